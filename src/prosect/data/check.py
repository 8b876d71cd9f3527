"""Look at every file of a list before the first step: hours of training must not end at a file never looked at.

Nothing is repaired. What is wrong is told by file, all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from prosect.data.datalist import DataList, Entry
from prosect.data.labels import TOLERANCE_MM, read_manual, read_pseudo, read_supervoxels
from prosect.errors import ProsectError, RecipeError
from prosect.geometry import Grid
from prosect.io import read

__all__ = ["EntryReport", "Problem", "check_datalist", "refuse_unfit"]

SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file.

    Attributes:
        file: `image`, `label`, `pseudo_label` or `label_sv`.
        code: Of the error that using it would raise.
        message: The same in words.
        fatal: Whether the scan cannot be used; otherwise it is only worth a look.
    """

    file: str
    code: str
    message: str
    fatal: bool = True


@dataclass(frozen=True)
class EntryReport:
    """What was found out about one entry.

    Attributes:
        name: The case.
        split: Its split.
        shape: Voxels of the scan; None where it could not be read.
        spacing_mm: Their distances.
        present: Names of the structures that are labelled.
        known: Number of structures that the labels say something about.
        problems: What is wrong.
    """

    name: str
    split: str
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    present: tuple[str, ...] = ()
    known: int = 0
    problems: tuple[Problem, ...] = field(default=())

    @property
    def fit(self) -> bool:
        """Whether the scan can be used."""
        return not any(problem.fatal for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def check_datalist(
    datalist: DataList, tolerance_mm: float = TOLERANCE_MM, on_entry: Callable[[EntryReport], None] | None = None
) -> tuple[EntryReport, ...]:
    """Return a report for every entry, after reading each of its files whole.

    Found are files that are missing, damaged or no images; labels of another shape or place than the scan, with values
    that are no whole numbers, that the mapping does not list or that the scan was not labelled for; empty labels; and a
    scan that is in two splits.

    Args:
        datalist: The list.
        tolerance_mm: How far label voxels may lie from the scan's.
        on_entry: Told of each report as soon as it is there.
    """
    splits: dict[Any, set[str]] = {}
    for entry in datalist:
        splits.setdefault(entry.image, set()).add(entry.split)
    reports = []
    for entry in datalist:
        report = check_entry(entry, datalist, splits[entry.image], tolerance_mm)
        if on_entry is not None:
            on_entry(report)
        reports.append(report)
    return tuple(reports)


def check_entry(entry: Entry, datalist: DataList, splits: set[str], tolerance_mm: float) -> EntryReport:
    """Return the report of one entry."""
    problems: list[Problem] = []
    if len(splits) > 1:
        message = f"the same scan is in {' and '.join(sorted(splits))}: it would be judged on what it was taught"
        problems.append(Problem("image", "SPLIT_LEAK", message))
    shape = spacing_mm = None
    present: tuple[str, ...] = ()
    grid: Grid | None = None
    with note_refusals(problems, "image"):
        grid = read(entry.image).grid
    # Without the scan nothing can be said of its labels.
    if grid is not None:
        shape, spacing_mm = grid.shape, grid.spacing_mm
        present = check_labels(entry, datalist, grid, tolerance_mm, problems)
    known = len(datalist.known(entry))
    return EntryReport(entry.name, entry.split, shape, spacing_mm, present, known, tuple(problems))


def check_labels(
    entry: Entry, datalist: DataList, grid: Grid, tolerance_mm: float, problems: list[Problem]
) -> tuple[str, ...]:
    """Note what is wrong with the labels of an entry, and return the names of the structures in them."""
    present: list[int] = []
    if entry.label is not None:
        with note_refusals(problems, "label"):
            labels = read_manual(entry, datalist, grid, tolerance_mm)
            present += labels.present
            if not labels.present:
                problems.append(Problem("label", "LABELS_EMPTY", "nothing is labelled", fatal=False))
    if entry.pseudo_label is not None and entry.reliability > 0:
        with note_refusals(problems, "pseudo_label"):
            pseudo = read_pseudo(entry, datalist, grid, tolerance_mm)
            if pseudo is not None and not pseudo.present:
                problems.append(Problem("pseudo_label", "LABELS_EMPTY", "nothing is labelled", fatal=False))
    if entry.supervoxels is not None:
        with note_refusals(problems, "label_sv"):
            regions = read_supervoxels(entry, grid, tolerance_mm)
            if regions is not None and not regions.any():
                problems.append(Problem("label_sv", "LABELS_EMPTY", "there is no supervoxel", fatal=False))
    if entry.label is entry.pseudo_label is entry.supervoxels is None:
        problems.append(Problem("label", "LABEL_MISSING", "the list has no labels of any kind for it", fatal=False))
    return tuple(datalist.vocabulary[index].name for index in present)


@contextmanager
def note_refusals(problems: list[Problem], file: str) -> Iterator[None]:
    """Turn a refusal inside the block into a problem."""
    try:
        yield
    except ProsectError as error:
        problems.append(Problem(file, error.code, str(error)))


def refuse_unfit(reports: tuple[EntryReport, ...]) -> None:
    """Refuse a list of which a scan cannot be used.

    Raises:
        RecipeError: With the first few (`DATALIST_UNFIT`).
    """
    unfit = [report for report in reports if not report.fit]
    if not unfit:
        return
    first, *others = [next(problem for problem in report.problems if problem.fatal) for report in unfit]
    also = ""
    if others:
        # The codes of the others tell whether one correction will do for all.
        named = []
        for report, problem in zip(unfit[1:SHOWN], others, strict=False):
            named.append(f"{report.name} [{problem.code}]")
        also = f" The others: {', '.join(named)}"
        also += f" and {len(unfit) - SHOWN} more." if len(unfit) > SHOWN else "."
    raise RecipeError(
        f"{len(unfit)} of {len(reports)} scans cannot be used. {unfit[0].name} [{first.code}]: {first.message}{also} "
        "Correct them or take them off the list; `prosect check-data` tells of every file why.",
        code="DATALIST_UNFIT",
    )
