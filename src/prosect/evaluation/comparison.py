"""Any number of models side by side: what they reach by clicks, and whether one is better than the first.

Made of finished evaluations of the same scans, so no model runs again. What makes a scan hard makes it hard for all,
so gains are drawn by a paired bootstrap over scans.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prosect.errors import RecipeError
from prosect.evaluation.click_counts import Difference, click_figures, paired_difference
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.report import interval, table_lines
from prosect.evaluation.scores import Row
from prosect.evaluation.summary import Mean, after, mean_of, table_of
from prosect.io.atomic import make_folder, write_atomically

__all__ = ["Comparison", "Contender", "compare", "read_contender", "write_comparison"]

CLICKS = (1, 3, 5)
LEDGER = "ledger.jsonl"
# Settings that must agree, or rows are not of the same objects.
SAME = ("protocol", "list_sha256", "structures", "clicks", "clicks_placed_by", "zero_shot", "seed")
Figures = Mapping[str, Mean | None]


@dataclass(frozen=True)
class Contender:
    """One finished evaluation.

    Attributes:
        name: Of the model; with the folder's name where two have the same.
        settings: What was judged.
        rows: Its rows.
    """

    name: str
    settings: Mapping[str, Any]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Comparison:
    """Models side by side.

    Attributes:
        names: The models; the others are compared with the first.
        figures: Of each the mean Dice after 1, 3 and 5 clicks, clicks needed, area, and seconds of a click.
        gains: Of each but the first, by clicks, what it gains over the first.
        objects: Structures that all of them answered.
    """

    names: tuple[str, ...]
    figures: Mapping[str, Figures]
    gains: Mapping[str, Mapping[int, Difference]]
    objects: int


def read_contender(folder: Path) -> Contender:
    """Return the evaluation in a folder.

    Raises:
        RecipeError: There is none (`RESULTS_UNFIT`).
        FormatError: Its ledger is damaged.
    """
    path = folder / LEDGER
    if not path.is_file():
        raise RecipeError(
            f"{folder}: there is no evaluation here ({LEDGER} is missing). Name folders that `prosect evaluate` wrote.",
            code="RESULTS_UNFIT",
        )
    ledger = Ledger.read(path)
    name = str(ledger.settings.get("model", folder.name))
    box = ""
    if ledger.settings.get("begins_with_a_box"):
        box = " with a box"
    return Contender(f"{name}{box}", ledger.settings, ledger.all_rows)


def compare(contenders: Sequence[Contender], seed: int = 0) -> Comparison:
    """Return models side by side, on the objects that all of them answered.

    Args:
        contenders: Two or more; the others are compared with the first.
        seed: Of the intervals.

    Raises:
        RecipeError: They are fewer than two, or were not judged on the same scans by the same rules (`RESULTS_UNFIT`).
    """
    if len(contenders) < 2:
        raise RecipeError("One evaluation cannot be compared; name two folders or more.", code="RESULTS_UNFIT")
    refuse_different(contenders)
    names = distinct([each.name for each in contenders])
    shared = shared_objects(contenders)
    rows: dict[str, list[Row]] = {}
    for name, each in zip(names, contenders, strict=True):
        rows[name] = [row for row in each.rows if (row.case, row.structure) in shared]
    figures: dict[str, Figures] = {}
    gains: dict[str, dict[int, Difference]] = {}
    for name in names:
        figures[name] = figures_of(rows[name], seed)
        if name != names[0]:
            gains[name] = gains_over(rows[names[0]], rows[name], seed)
    return Comparison(names, figures, gains, len(shared))


def refuse_different(contenders: Sequence[Contender]) -> None:
    """Refuse evaluations of other scans or by other rules.

    Raises:
        RecipeError: `RESULTS_UNFIT`.
    """
    first = contenders[0]
    for each in contenders[1:]:
        for key in SAME:
            if each.settings.get(key) != first.settings.get(key):
                values = f"{first.settings.get(key)} and {each.settings.get(key)}"
                raise RecipeError(
                    f"{first.name} and {each.name} were not judged alike: {key.replace('_', ' ')} is {values}. "
                    "Evaluate both with the same list and flags.",
                    code="RESULTS_UNFIT",
                )


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of which no two are the same."""
    found: list[str] = []
    for name in names:
        number, one = 2, name
        while one in found:
            one, number = f"{name} ({number})", number + 1
        found.append(one)
    return tuple(found)


def shared_objects(contenders: Sequence[Contender]) -> set[tuple[str, str]]:
    """Return scan and structure of what all have answered."""
    objects = []
    for each in contenders:
        objects.append({(row.case, row.structure) for row in each.rows})
    return set.intersection(*objects)


def figures_of(rows: Sequence[Row], seed: int) -> Figures:
    """Return the figures of one model: `dice_1` and so on, those of `click_figures`, and `seconds`."""
    generator = np.random.default_rng(seed)
    figures: dict[str, Mean | None] = {}
    for count in CLICKS:
        figures[f"dice_{count}"] = mean_of(table_of(after(rows, count), "dice"), generator)
    figures.update(click_figures(rows, generator) or {})
    figures["seconds"] = mean_of(table_of(rows, "seconds"), generator)
    return figures


def gains_over(first: Sequence[Row], other: Sequence[Row], seed: int) -> dict[int, Difference]:
    """Return by clicks what another model gains over the first."""
    gains = {}
    for count in CLICKS:
        found = paired_difference(other, first, count, np.random.default_rng(seed))
        if found is not None:
            gains[count] = found
    return gains


def write_comparison(found: Comparison, folder: Path) -> list[Path]:
    """Write `comparison.json` and `comparison.md` into a folder, and return their paths.

    Raises:
        FormatError: The folder cannot be written.
    """
    make_folder(folder)
    files = {
        "comparison.json": json.dumps(as_json(found), indent=1, allow_nan=False).encode("ascii") + b"\n",
        "comparison.md": markdown(found).encode("utf-8", "replace"),
    }
    for name, content in files.items():
        write_atomically(folder / name, [content])
    return [folder / name for name in files]


def as_json(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data."""
    figures = {}
    for name, own in found.figures.items():
        figures[name] = {key: None if mean is None else asdict(mean) for key, mean in own.items()}
    gains = {}
    for name, by_count in found.gains.items():
        gains[name] = {str(count): asdict(gain) for count, gain in by_count.items()}
    return {"compared_with": found.names[0], "objects": found.objects, "figures": figures, "gains": gains}


def markdown(found: Comparison) -> str:
    """Return the tables for people."""
    columns: dict[str, None] = {}  # in the order in which they first occur
    for own in found.figures.values():
        columns.update(dict.fromkeys(own))
    body = []
    for name in found.names:
        body.append([name, *(interval(found.figures[name].get(key)) for key in columns)])
    lines = [f"# {len(found.names)} models on {found.objects} objects", ""]
    lines += [*table_lines(["model", *columns], body), ""]
    gained = []
    for name, by_count in found.gains.items():
        gained.append([name, *(gain_words(by_count.get(count)) for count in CLICKS)])
    lines += [f"## Gain in Dice over {found.names[0]}", ""]
    lines += [*table_lines(["model", *(f"{count} clicks" for count in CLICKS)], gained), ""]
    lines += ["Intervals: 95 %, bootstrap over scans; of gains, paired.", ""]
    return "\n".join(lines)


def gain_words(gain: Difference | None) -> str:
    """Return a gain with its interval and sign."""
    if gain is None:
        return "-"
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
