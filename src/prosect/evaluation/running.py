"""Judge a model on a list of scans, one scan after another, and sum up what came of it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prosect.data.datalist import DataList, Entry
from prosect.data.labelled import LabelledScan
from prosect.data.labels import TOLERANCE_MM, read_labelled, read_unlabelled
from prosect.errors import CancelledError, CheckpointError, ProsectError
from prosect.evaluation.click_counts import click_figures
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.plots import write_plots
from prosect.evaluation.protocols import (
    Rules,
    auto,
    auto_point,
    automatic_targets,
    clicked_targets,
    clicks,
    point,
)
from prosect.evaluation.published import challenge_rows, table1_rows, table2_rows
from prosect.evaluation.report import Evaluation, Section, write_evaluation
from prosect.evaluation.sam_med3d import COUNTED, sam_clicks_as_published, shows_crops
from prosect.evaluation.scores import Row
from prosect.evaluation.speed import time_scan
from prosect.evaluation.summary import after, challenge_areas, curve, over_all, structures
from prosect.evaluation.table1 import auto_as_published, auto_point_as_published, point_as_published
from prosect.models.protocols import Learns, Model, require_both, require_clicks, require_finds
from prosect.models.vista3d_clicks import refuse_clicks

__all__ = ["PROTOCOLS", "Examination", "evaluation_of", "examine", "section", "write"]

# `fewshot` (Table 3) is not among these: it trains before it judges, so it lives in `training.fewshot`.
PROTOCOLS = ("auto", "point", "auto+point", "clicks", "speed")

Facts = dict[str, Any]
OnCase = Callable[[str, str], None]

HONEST = (
    "Judged on the scans' own voxels. Where a structure is known not to be there and was found all the same, its Dice "
    "is 0; `where present` leaves such scans out, as the paper does. Intervals: 95 %, percentile bootstrap over scans."
)
FLATTERING = {
    "auto": "As published: each class for itself, none competing; scans without a structure do not count.",
    "point": "As published: one click in every window that shows the structure, not one click in all.",
    "auto+point": (
        "As published, an oracle choice: in every window the best of the automatic result and three trials is kept by "
        "looking at the truth. No user can do that."
    ),
    "clicks": (
        "As published: what is found in axial slices that show nothing of the structure is forgotten before the next "
        "click and before counting. The curve of Fig. 5 is the column of the best click so far."
    ),
}
NO_BOX = "The challenge may give a box before the clicks; here there is none. Its areas count the five clicks only."


@dataclass(frozen=True)
class Examination:
    """What is examined, and how.

    Attributes:
        protocol: One of `PROTOCOLS`.
        rules: How results are made and judged.
        as_published: Count as the paper does, flattery included.
        wanted: Only these structures, by name.
        repeats: How often a scan is timed.
        seed: Of every draw; each scan has its own stream, so the order of scans does not matter.
    """

    protocol: str
    rules: Rules
    as_published: bool = False
    wanted: tuple[str, ...] | None = None
    repeats: int = 1
    seed: int = 0

    @property
    def needs_classes(self) -> bool:
        """Whether only structures are judged that the model finds by itself."""
        return self.protocol in ("auto", "auto+point") or (self.as_published and self.protocol == "point")

    @property
    def is_challenge(self) -> bool:
        """Whether clicks are placed and counted as the CVPR 2025 challenge does."""
        return self.protocol == "clicks" and self.rules.clicker == "challenge"

    def generator(self, case: str) -> np.random.Generator:
        """Return the stream of a scan."""
        return np.random.default_rng([self.seed, zlib.crc32(case.encode("utf-8", "surrogateescape"))])


def examine(
    datalist: DataList,
    model: Model,
    examination: Examination,
    ledger: Ledger,
    on_case: OnCase | None = None,
    *,
    grid_tolerance_mm: float = TOLERANCE_MM,
) -> None:
    """Judge a model on the scans of a list, and keep the rows in a ledger as they come.

    A scan that is in the ledger is not judged again; one that is refused is noted, and the others go on.

    Args:
        datalist: The scans, each with manual labels, which `speed` alone does not need.
        model: Asked for what the protocol needs: to find, to take clicks, or both.
        examination: What is examined.
        ledger: Where rows are kept.
        on_case: Told of each scan: its name, and how it went in words.
        grid_tolerance_mm: How far label voxels may lie from the scan's.

    Raises:
        CheckpointError: The model takes no clicks (`MODEL_NO_CLICKS`), or finds nothing by itself
            (`MODEL_NO_AUTOMATIC`); all scans would end so.
    """
    for entry in datalist:
        if entry.name in ledger.rows:
            continue
        try:
            scan = read_scan(entry, datalist, examination, grid_tolerance_mm)
            rows, facts = judge(scan, model, examination)
        except (CheckpointError, CancelledError):
            raise  # every other scan would end so, too
        except ProsectError as error:
            ledger.refuse(entry.name, error)
            word = f"refused [{error.code}] {error}"
        else:
            ledger.add(entry.name, rows, facts)
            word = summary_line(rows, facts)
        if on_case is not None:
            on_case(entry.name, word)


def read_scan(entry: Entry, datalist: DataList, examination: Examination, grid_tolerance_mm: float) -> LabelledScan:
    """Return a scan of the list with what its examination needs to know of it; errors as in `read_labelled`."""
    if examination.protocol == "speed":
        return read_unlabelled(entry, datalist)
    return read_labelled(entry, datalist, grid_tolerance_mm)


def summary_line(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """Return how a scan went, in words."""
    if "timing" in facts:
        return f"{facts['timing']['seconds']:.2f} s"
    last_click = max((row.clicks for row in rows), default=0)
    dices = []
    for row in after(rows, last_click):
        if row.dice is not None:
            dices.append(row.dice)
    if not dices:
        return "no structure to judge"
    return f"mean Dice {np.mean(dices):.3f} over {len(dices)} structures"


def judge(scan: LabelledScan, model: Model, examination: Examination) -> tuple[list[Row], Facts]:
    """Return the rows of one scan, and what else is kept of it."""
    e, rules = examination, examination.rules
    if e.protocol == "speed":
        return [], {"timing": time_scan(scan.volume, require_finds(model), e.wanted, e.repeats)}
    generator = e.generator(scan.name)
    if e.as_published and e.protocol in ("point", "clicks") and shows_crops(model):
        targets = clicked_targets(scan, model.vocabulary, e.wanted, rules.zero_shot)
        once = replace(rules, count=1 if e.protocol == "point" else rules.count)
        return sam_clicks_as_published(scan, model, targets, once, generator), {"counted": COUNTED}
    if not e.needs_classes:
        targets = clicked_targets(scan, model.vocabulary, e.wanted, rules.zero_shot)
        ask = point
        if e.protocol == "clicks":
            ask = clicks
        return ask(scan, require_clicks(model), targets, rules, generator), {}
    targets, unknown = automatic_targets(scan, model.vocabulary, e.wanted)
    facts: Facts = {"unknown": unknown}
    if e.protocol == "auto":
        finder = require_finds(model)
        if e.as_published:
            return auto_as_published(scan, finder, targets, rules), facts
        return auto(scan, finder, targets, rules), facts
    groups = []
    for t in targets:
        if model.vocabulary[t.asked].status == "group":
            groups.append(t)
    targets = [t for t in targets if t not in groups]
    facts["unknown"] = unknown + [t.name for t in groups]
    if e.as_published:
        opened = require_windows(model)
        if e.protocol == "point":
            return point_as_published(scan, opened, targets, rules), facts
        return auto_point_as_published(scan, opened, targets, rules, generator), facts
    return auto_point(scan, require_both(model), targets, rules, generator), facts


def require_windows(model: Model) -> Learns:
    """Return a model that can be asked window by window: one whose network also takes part in training.

    Raises:
        CheckpointError: It is no VISTA3D (`MODEL_WRONG_NETWORK`), or takes no clicks (`MODEL_NO_CLICKS`).
    """
    if not isinstance(model, Learns):
        raise CheckpointError(
            "The published evaluation asks a VISTA3D window by window; leave --as-published out for this model.",
            code="MODEL_WRONG_NETWORK",
        )
    refuse_clicks(model.network, model.spec)
    return model


def evaluation_of(ledger: Ledger, examination: Examination) -> Evaluation:
    """Return what the rows of a ledger come to."""
    rows, facts = ledger.all_rows, ledger.facts
    generator = np.random.default_rng(examination.seed)
    sections = []
    for (title, key), count in sections_of(examination, rows):
        sections.append(section(title, key, rows, count, generator))
    by_clicks = None
    if examination.protocol == "clicks":
        by_clicks = curve(rows, generator)
    areas = None
    if examination.is_challenge:
        areas = challenge_areas(rows, generator)
    # Last, because every mean draws from the generator.
    figures = None
    if examination.protocol == "clicks":
        figures = click_figures(rows, generator)
    unknown: Counter[str] = Counter()
    for each in facts.values():
        unknown.update(each.get("unknown", ()))
    return Evaluation(
        settings=ledger.settings,
        rows=rows,
        sections=sections,
        curve=by_clicks,
        challenge=areas,
        click_figures=figures,
        timings={case: each["timing"] for case, each in facts.items() if "timing" in each},
        published=published_tables(examination, rows),
        unknown=dict(unknown),
        refused=list(ledger.refused.values()),
        notes=notes_of(ledger, examination),
    )


def published_tables(examination: Examination, rows: Sequence[Row]) -> dict[str, Sequence[Mapping[str, str]]]:
    """Return the published figures that lie beside an examination, by title."""
    if examination.protocol == "speed":
        return {"Table 2, seconds, V100 16 GB, 117-118 classes": table2_rows()}
    if examination.protocol != "clicks":
        return {"Table 1, average Dice on the paper's test splits": table1_rows(rows)}
    if examination.is_challenge:
        return {"CVPR 2025 challenge, validation set, box and five clicks": challenge_rows()}
    return {}  # the curves of Fig. 5 were published without their values


def notes_of(ledger: Ledger, examination: Examination) -> list[str]:
    """Return what a reader of the figures must know."""
    notes = sorted({facts["counted"] for facts in ledger.facts.values() if "counted" in facts})
    if not notes and examination.as_published and examination.protocol in FLATTERING:
        notes = [FLATTERING[examination.protocol]]
    if examination.is_challenge:
        notes.append(NO_BOX)
    if examination.protocol != "speed":
        notes.append(HONEST)
    return notes


def sections_of(e: Examination, rows: Sequence[Row]) -> list[tuple[tuple[str, str], int]]:
    """Return title, key and number of clicks of each summary."""
    if not rows:
        return []
    last = max(row.clicks for row in rows)
    if e.protocol == "auto+point" and not e.as_published:
        return [(("Automatic", "auto"), 0), (("Automatic, then one click", "auto_point"), last)]
    titles = {
        "auto": "Automatic",
        "point": "One click",
        "auto+point": "Automatic and clicks, by the oracle",
        "clicks": f"After {last} click{'s' if last != 1 else ''}",
    }
    return [((titles[e.protocol], e.protocol.replace("+", "_")), last)]


def section(title: str, key: str, rows: Sequence[Row], clicks_: int, generator: np.random.Generator) -> Section:
    """Return the summary of the rows after so many clicks."""
    chosen = after(rows, clicks_)
    return Section(title, key, chosen, structures(chosen, generator), over_all(chosen, generator))


def write(found: Evaluation, folder: Path) -> list[Path]:
    """Write an evaluation into a folder: JSON, tables, Markdown and pictures; return the paths."""
    return [*write_evaluation(found, folder), *write_plots(found, folder)]
