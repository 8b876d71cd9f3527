"""What is said while a cohort runs."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from prosect.cli.cohort_progress import CohortProgress, time_left, watching
from prosect.cohort.manifest import Scan
from prosect.cohort.pipeline import Outcome

DONE = Outcome(Scan("a", Path("a")), kept={"structures": 3}, seconds={"reading": 1.0, "saving": 0.5})
REFUSED = Outcome(Scan("b", Path("b")), code="INPUT_TRUNCATED", message="cut [short]", trace="Traceback")


@pytest.mark.parametrize(
    ("seconds", "count", "total", "said"),
    [
        (10.0, 1, 3, "20 s left"),
        (60.0, 1, 11, "10 min left"),
        (3600.0, 1, 4, "3 h 0 min left"),
        (10.0, 3, 3, ""),
        (0.0, 1, 2, "1 s left"),
        (10.0, 0.5, 2, "30 s left"),
    ],
)
def test_the_time_left_follows_the_pace_so_far(seconds: float, count: int, total: int, said: str) -> None:
    assert time_left(seconds, count, total) == said


def test_without_a_terminal_each_scan_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 30.0, 60.0])
    with watching(2, False, False, lambda: next(times)) as watch:
        watch.outcome(DONE)
        watch.outcome(REFUSED)
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] a: 3 structures, 1.5 s, 30 s left",
        "[2/2] b: refused [INPUT_TRUNCATED] cut [short]",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(1, True, False, lambda: 0.0) as watch:
        watch.outcome(REFUSED)
    assert capsys.readouterr() == ("", "")


def test_only_debug_shows_the_traceback_of_a_bug() -> None:
    lines: list[str] = []
    for debug in (False, True):
        CohortProgress(1, lines.append, None, debug, lambda: 0.0).outcome(REFUSED)
    assert lines.count("Traceback") == 1


def test_a_terminal_has_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    times = iter([0.0, 10.0, 30.0, 60.0])
    with watching(3, False, False, lambda: next(times)) as watch:
        assert watch.on_window is not None
        watch.part(0.5)
        watch.outcome(DONE)
        watch.outcome(REFUSED)
    said = terminal.getvalue()
    assert "2.0/3" in said
    assert "30 s left" in said
    assert "cut [short]" in said, "brackets are no markup"
