"""Correct or make a structure of one scan by clicks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import prosect
from prosect import results
from prosect.clicks_file import read_clicks
from prosect.jobs.inputs import ModelChoice, ScanInput
from prosect.jobs.job import Job
from prosect.labelmap import LabelLayers, LabelMap
from prosect.lazy import lazy_module
from prosect.measure import Measurement, measure
from prosect.places import Corners
from prosect.prompts import Click, Prompt, click_at, click_in, for_structure, size_of, target_of
from prosect.results import Request
from prosect.session import Change, Session
from prosect.volume import Volume

if TYPE_CHECKING:
    from prosect import preview
    from prosect.models import TakesClicks
else:
    preview = lazy_module("prosect.preview")

__all__ = ["ClickJob", "Clicked", "Edited", "PlacedClick", "Resumed"]


@dataclass(frozen=True)
class PlacedClick:
    """One click, in the coordinates that the job names.

    Attributes:
        position: Three coordinates.
        positive: Whether the place belongs to the structure.
    """

    position: tuple[float, float, float]
    positive: bool = True


@dataclass(frozen=True)
class Resumed:
    """A journal is gone on with.

    Attributes:
        journal: The file.
        structures: What has been edited so far.
    """

    journal: Path
    structures: tuple[str, ...]


@dataclass(frozen=True)
class Edited:
    """A structure has changed.

    Attributes:
        change: What changed.
        by: A draft, a positive click, or a negative one.
        voxel_ml: Volume of a voxel, by which what changed is told in millilitres.
    """

    change: Change
    by: Literal["drafted", "+", "-"]
    voxel_ml: float


@dataclass(frozen=True, eq=False)
class Clicked:
    """What came of the clicks.

    Attributes:
        labels: All structures of the session, on the scan's grid.
        changes: What each draft and click changed.
        found: Their measurements.
        files: What was written, the labels first.
    """

    labels: LabelMap | LabelLayers
    changes: tuple[Change, ...]
    found: tuple[Measurement, ...]
    files: tuple[Path, ...]


Tell = Callable[[Resumed | Edited], None]


def ignore(_event: Resumed | Edited) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ClickJob(Job):
    """Answer clicks on one scan in their order, and write the labels.

    Attributes:
        input: The scan.
        output: A label file.
        clicks: The clicks, after those of the file.
        space: Of their coordinates: `ras` and `lps` in millimetres, `voxel` from 0.
        clicks_file: Clicks in JSON, or a Slicer `.mrk.json`.
        structure: What clicks are for that do not say so themselves; a name that no vocabulary has makes an object.
        draft: What is corrected: `auto` (where the model knows the structure), `none`, or the path of a mask.
        journal: Where every action is kept; one that exists is gone on with.
        model: Who answers.
        overwrite: Whether an output that exists may be replaced.
        boxes: Boxes around the structure by two opposite corners, before the clicks.
        extent_mm: The longest side of the structure, where it is known.
        preview: Draw the three planes through the last click, before and after the clicks.
        statistics: Write volumes and intensities.
    """

    kind: ClassVar[str] = "click"

    input: ScanInput
    output: Path
    clicks: tuple[PlacedClick, ...] = ()
    space: Literal["ras", "lps", "voxel"] = "ras"
    clicks_file: Path | None = None
    structure: str = "object"
    draft: str = "auto"
    journal: Path | None = None
    model: ModelChoice = field(default_factory=ModelChoice)
    overwrite: bool = False
    boxes: tuple[Corners, ...] = ()
    extent_mm: float | None = None
    preview: bool = False
    statistics: bool = False

    @property
    def request(self) -> Request:
        """What is written, and where."""
        return Request(self.output, preview=self.preview, statistics=self.statistics)

    def run(self, model: TakesClicks | None = None, volume: Volume | None = None, *, tell: Tell = ignore) -> Clicked:
        """Answer the clicks and write the labels; what can be refused is refused before a model is loaded.

        Args:
            model: Who answers; by default the one that the job names is loaded.
            volume: The scan, where it is read already.
            tell: Told of each change as it comes.

        Raises:
            ProsectError: The output exists, a click lies outside the scan, or scan or model cannot be loaded.
        """
        results.refuse(self.request, self.input.path, self.overwrite)
        scan = volume or self.input.read()
        clicks = self.placed_clicks(scan)
        Prompt(clicks=tuple(clicks), drafted=True, grid=scan.grid)
        asked = model or prosect.require_clicks(self.model.load())
        changes: list[Change] = []

        def keep(change: Change, by: Literal["drafted", "+", "-"]) -> None:
            """Keep a change, and tell of it."""
            changes.append(change)
            tell(Edited(change, by, scan.grid.voxel_volume_ml))

        if self.journal is not None and self.journal.exists():
            session = prosect.resume(self.journal, scan, model=asked)
            tell(Resumed(self.journal, tuple(session.structures)))
        else:
            session = asked.session(scan, journal=self.journal)
            for change in make_drafts(session, clicks, self.draft):
                keep(change, "drafted")
        before = session.labels
        for click in clicks:
            change = answer(session, click)
            keep(change, "+" if click.positive else "-")
        labels = session.labels
        found = measure(labels, scan)
        files = self.write(scan, before, labels, found, clicks)
        return Clicked(labels, tuple(changes), found, files)

    def write(
        self,
        volume: Volume,
        before: LabelMap | LabelLayers,
        labels: LabelMap | LabelLayers,
        found: Sequence[Measurement],
        clicks: Sequence[Click],
    ) -> tuple[Path, ...]:
        """Write the labels and what was asked for beside them, and return the files."""
        # The picture of a result is another one than that of clicks.
        files = results.write(labels, volume, replace(self.request, preview=False), found=found)
        picture = self.request.preview_file
        if picture is None:
            return files
        marks = []
        for click in clicks:
            marks.append((click.position_ras, click.positive))
        preview.render_clicks(volume, before, labels, marks, picture, title=self.output.name)
        return (*files, picture)

    def placed_clicks(self, volume: Volume) -> list[Click]:
        """Return the clicks in the scan's space: those of the file first, then boxes, each with its structure.

        Raises:
            PromptError: A click is refused; see `click_at` and `read_clicks`.
        """
        clicks: list[Click] = []
        if self.clicks_file is not None:
            clicks += read_clicks(self.clicks_file, volume.grid)
        for corner, opposite in self.boxes:
            clicks.append(click_in(corner, opposite, volume.grid, space=self.space))
        for click in self.clicks:
            clicks.append(click_at(click.position, volume.grid, positive=click.positive, space=self.space))
        if self.extent_mm is not None:
            clicks = [replace(click, extent_mm=size_of(self.extent_mm)) for click in clicks]
        return for_structure(clicks, self.structure)


def answer(session: Session, click: Click) -> Change:
    """Return what one click changes, that of a box where it came with one."""
    if click.box is None:
        return session.click(click.position_ras, click.positive, click.structure, extent_mm=click.extent_mm)
    i, j, k = click.box.stop
    last = (i - 1, j - 1, k - 1)
    return session.box(click.box.start, last, click.structure, space="voxel", extent_mm=click.extent_mm)


def make_drafts(session: Session, clicks: Sequence[Click], draft: str) -> Iterator[Change]:
    """Draft the structures that are clicked on, and yield what that changes."""
    named = []
    for click in clicks:
        if click.structure is not None:
            named.append(click.structure)
    names = list(dict.fromkeys(named))
    if draft == "auto":
        known = []
        for name in names:
            if not target_of(name, session.vocabulary).zero_shot:
                known.append(name)
        if known:
            yield session.segment(known)
    elif draft != "none":
        yield session.start_from(draft, names)
