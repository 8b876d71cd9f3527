"""What a server counts and times, in the text that Prometheus reads; no names of people or files, and no paths."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

__all__ = ["BOUNDS_S", "Metrics"]

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
PREFIX = "prosect_"
HELP = {
    "requests_total": "Requests that were answered.",
    "request_seconds": "From a request's headers to the last byte of its answer.",
    "queue_seconds": "That work waited for the model's thread.",
    "model_seconds": "That work took on the model's thread; a draft's include the clicks that went before it.",
    "pack_seconds": "That it took to make an answer of the labels that changed.",
    "sessions_live": "Sessions in memory.",
    "sessions_suspended": "Sessions that their next call brings back.",
    "queue_length": "Pieces of work that wait for the model's thread.",
    "scan_bytes": "What the scans in memory take, as planned.",
    "memory_planned_bytes": "What scans and sessions in memory take, as planned.",
    "memory_used_bytes": "What the process takes.",
    "journal_bytes": "What the journals take on the disk.",
    "log_lines_lost": "Lines of the log that could not be written.",
}

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]


class Metrics:
    """Counts and times of a server since its start. State: those.

    Each name and each set of labels is a series of its own, so labels have few values.
    """

    def __init__(self) -> None:
        self._counts: Counter[Series] = Counter()
        # Per series one count for each bound and one for what is above all of them, and the sum.
        self._times: dict[Series, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS_S) + 1))
        self._sums: dict[Series, float] = defaultdict(float)
        self._lock = threading.Lock()

    def count(self, name: str, **labels: str) -> None:
        """Count one more."""
        with self._lock:
            self._counts[(name, tuple(labels.items()))] += 1

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Take one more time, in s."""
        series = (name, tuple(labels.items()))
        with self._lock:
            self._times[series][bisect_left(BOUNDS_S, seconds)] += 1
            self._sums[series] += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return all of it in Prometheus' text format.

        Args:
            gauges: What is measured now, by name.
        """
        with self._lock:
            counts = dict(self._counts)
            times = {series: list(each) for series, each in self._times.items()}
            sums = dict(self._sums)
        lines: list[str] = []
        for name in sorted(gauges):
            lines += [*heading(name, "gauge"), f"{PREFIX}{name} {gauges[name]:.15g}"]
        for name in sorted({name for name, _ in counts}):
            lines += heading(name, "counter")
            found = sorted(item for item in counts.items() if item[0][0] == name)
            lines += [f"{PREFIX}{name}{braces(labels)} {value}" for (_, labels), value in found]
        for name in sorted({name for name, _ in times}):
            lines += heading(name, "histogram")
            for series in sorted(each for each in times if each[0] == name):
                lines += histogram(name, series[1], times[series], sums[series])
        return "\n".join(lines) + "\n"


def heading(name: str, kind: str) -> list[str]:
    """Return the lines before the values of a name."""
    return [f"# HELP {PREFIX}{name} {HELP[name]}", f"# TYPE {PREFIX}{name} {kind}"]


def histogram(name: str, labels: Labels, counts: list[int], total_s: float) -> list[str]:
    """Return the lines of one histogram: how many took at most so long, for each bound."""
    lines, reached = [], 0
    for bound, count in zip([*BOUNDS_S, float("inf")], counts, strict=True):
        reached += count
        limit = "+Inf" if bound == float("inf") else f"{bound:g}"
        lines.append(f"{PREFIX}{name}_bucket{braces((*labels, ('le', limit)))} {reached}")
    lines.append(f"{PREFIX}{name}_sum{braces(labels)} {total_s:.6f}")
    lines.append(f"{PREFIX}{name}_count{braces(labels)} {reached}")
    return lines


def braces(labels: Labels) -> str:
    """Return labels as they stand behind a name."""
    if not labels:
        return ""
    pairs = [f'{key}="{escape(value)}"' for key, value in labels]
    return "{" + ",".join(pairs) + "}"


def escape(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
