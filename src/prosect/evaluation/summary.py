"""Rows to means: by structure and over all, with what chance alone may have made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.evaluation.scores import Row

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "Curve",
    "Mean",
    "StructureSummary",
    "after",
    "area",
    "by_object",
    "challenge_areas",
    "curve",
    "latest",
    "mean_of",
    "mean_of_seeds",
    "over_all",
    "structures",
    "table",
]

Floats = NDArray[np.float64]

RESAMPLES = 2000
CONFIDENCE = 0.95
CHALLENGE_CLICKS = 5
CHALLENGE_LEAST_DICE = 0.2  # below it the challenge counts a surface Dice of 0


@dataclass(frozen=True)
class Mean:
    """A mean with its confidence interval.

    Attributes:
        value: The mean.
        low: Lower end of the interval of 95 % (percentile bootstrap over scans).
        high: Upper end.
        count: Values that went into it.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class StructureSummary:
    """How well one structure was found over all scans that say something about it.

    Attributes:
        structure: Its name.
        index: Its index.
        dice: Mean Dice as a user meets it: finding what is not there counts 0. None where nothing counts.
        nsd: Mean surface Dice in the same way.
        dice_present: Mean Dice over the scans that have the structure: the paper's way.
        median: Median Dice over those scans.
        present: Scans that have it.
        absent: Scans that are known not to have it.
        false_positives: Those of them where it was found all the same.
        false_ml: Mean volume found in those.
        hd95_mm: Mean HD95 over the scans where the structure is and something was found of it; a miss has no distance.
        surface_mm: Mean surface distance in the same way.
        missed: Scans that have the structure and where nothing was found of it.
    """

    structure: str
    index: int
    dice: Mean | None
    nsd: Mean | None
    dice_present: float | None
    median: float | None
    present: int
    absent: int
    false_positives: int
    false_ml: float | None
    hd95_mm: float | None = None
    surface_mm: float | None = None
    missed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Curve:
    """Overlap by number of clicks.

    Attributes:
        clicks: Number of clicks, from 0 or 1.
        dice: Mean Dice after so many clicks; a structure that ended early keeps its last.
        nsd: Mean surface Dice.
        used: Mean number of clicks really given by then: the x axis of Fig. 5.
        best: Mean of the best Dice by then: the y axis of Fig. 5, which looks at the truth.
    """

    clicks: tuple[int, ...]
    dice: tuple[Mean, ...]
    nsd: tuple[Mean, ...]
    used: tuple[float, ...]
    best: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the curve as plain data."""
        return asdict(self)


def table(keys: Sequence[tuple[str, str]], values: Sequence[float | None]) -> Floats:
    """Return values as (scans, structures), NaN where there is none.

    Args:
        keys: Scan and structure of each value.
        values: In the same order; None is no value.
    """
    scans: dict[str, int] = {}
    names: dict[str, int] = {}
    for scan, name in keys:
        scans.setdefault(scan, len(scans))
        names.setdefault(name, len(names))
    out = np.full((len(scans), len(names)), np.nan)
    for (scan, name), value in zip(keys, values, strict=True):
        if value is not None:
            out[scans[scan], names[name]] = value
    return out


def table_of(rows: Sequence[Row], column: str) -> Floats:
    """Return a column of rows as (scans, structures)."""
    keys = [(row.case, row.structure) for row in rows]
    return table(keys, [getattr(row, column) for row in rows])


def mean_of(values: Floats, generator: np.random.Generator, resamples: int = RESAMPLES) -> Mean | None:
    """Return the mean over structures of their means over scans; None where there is no value.

    The interval comes from drawing scans with replacement: structures of one scan stand or fall together.

    Args:
        values: (scans, structures), NaN where there is no value.
        generator: Draws the scans.
        resamples: How often.
    """
    known = np.isfinite(values)
    if not known.any():
        return None
    # 0 where nothing is known adds nothing to a sum, and nothing to a count.
    filled = np.where(known, values, 0.0)
    # How often each scan is drawn: counts times values are the sums of a resample, without copying rows.
    drawn = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples).astype(np.float64)
    means = by_structure(drawn @ filled, drawn @ known)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(means, [tail, 100 - tail])
    return Mean(plain_mean(values), float(low), float(high), int(known.sum()))


def mean_of_seeds(columns: Sequence[Floats], generator: np.random.Generator, resamples: int = RESAMPLES) -> Mean | None:
    """Return the mean of trainings that differ in their seed alone; None where there is no value.

    The interval draws seeds and scans with replacement, each by itself: another seed may do otherwise, and other scans.

    Args:
        columns: Of each seed (scans, structures), the same scans in the same order; NaN where there is no value.
        generator: Draws both.
        resamples: How often.
    """
    values = np.stack(columns)
    known = np.isfinite(values)
    if not known.any():
        return None
    filled = np.where(known, values, 0.0)
    seeds, scans, _ = values.shape
    drawn_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(np.float64)
    drawn_scans = generator.multinomial(scans, np.full(scans, 1 / scans), size=resamples).astype(np.float64)
    sums = np.einsum("ns,nc,sck->nk", drawn_seeds, drawn_scans, filled, optimize=True)
    counts = np.einsum("ns,nc,sck->nk", drawn_seeds, drawn_scans, known.astype(np.float64), optimize=True)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(by_structure(sums, counts), [tail, 100 - tail])
    return Mean(plain_mean(values.reshape(seeds * scans, -1)), float(low), float(high), int(known.sum()))


def by_structure(sums: Floats, counts: Floats) -> Floats:
    """Return the mean over structures of sum over count (n, structures); NaN where no structure has a value."""
    some = counts > 0
    means = np.divide(sums, counts, out=np.zeros_like(sums, dtype=np.float64), where=some)
    number = some.sum(axis=1)
    return np.asarray(np.divide(means.sum(axis=1), number, out=np.full(len(sums), np.nan), where=number > 0))


def structures(rows: Sequence[Row], generator: np.random.Generator) -> list[StructureSummary]:
    """Return a summary of every structure of rows with the same number of clicks, in the order of their indices."""
    by_name: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda r: r.index):
        by_name.setdefault(row.structure, []).append(row)
    found: list[StructureSummary] = []
    for own in by_name.values():
        found.append(summary_of(own, generator))
    return found


def summary_of(rows: Sequence[Row], generator: np.random.Generator) -> StructureSummary:
    """Return the summary of the rows of one structure."""
    there: list[Row] = []
    absent = missed = 0
    false_ml: list[float] = []
    for row in rows:
        if row.truth_ml > 0:
            there.append(row)
            missed += row.found_ml == 0
            continue
        absent += 1
        if row.found_ml > 0:
            false_ml.append(row.found_ml)
    found = [row.dice for row in there if row.dice is not None]
    # The order of the means matters: each draws its interval from the generator.
    return StructureSummary(
        structure=rows[0].structure,
        index=rows[0].index,
        dice=mean_of(table_of(rows, "dice"), generator),
        nsd=mean_of(table_of(rows, "nsd"), generator),
        dice_present=mean_known(found),
        median=float(np.median(found)) if found else None,
        present=len(there),
        absent=absent,
        false_positives=len(false_ml),
        false_ml=mean_known(false_ml),
        hd95_mm=mean_known([row.hd95_mm for row in rows]),
        surface_mm=mean_known([row.surface_mm for row in rows]),
        missed=missed,
    )


def mean_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are defined; None where there is none."""
    known = []
    for value in values:
        if value is not None:
            known.append(value)
    if known:
        return float(np.mean(known))
    return None


def over_all(rows: Sequence[Row], generator: np.random.Generator) -> dict[str, Mean | None]:
    """Return the means over structures: `dice` and `nsd` as a user meets them, `dice_present` the paper's way.

    Where distances were measured, `hd95_mm` and `surface_mm`, too.
    """
    there = []
    for row in rows:
        if row.truth_ml > 0:
            there.append(row)
    means = {
        "dice": mean_of(table_of(rows, "dice"), generator),
        "nsd": mean_of(table_of(rows, "nsd"), generator),
        "dice_present": mean_of(table_of(there, "dice"), generator),
    }
    # Last, because every mean draws from the generator.
    if any(row.hd95_mm is not None for row in rows):
        means["hd95_mm"] = mean_of(table_of(rows, "hd95_mm"), generator)
        means["surface_mm"] = mean_of(table_of(rows, "surface_mm"), generator)
    return means


def curve(rows: Iterable[Row], generator: np.random.Generator) -> Curve | None:
    """Return overlap by number of clicks, as the mean over structures of means over scans; None without rows."""
    series = by_object(rows)
    if not series:
        return None
    fewest = min(min(own) for own in series.values())
    most = max(max(own) for own in series.values())
    objects = list(series)
    nothing = Mean(0.0, 0.0, 0.0, 0)
    best = np.zeros(len(objects))
    clicks, dice, nsd, used, best_dice = [], [], [], [], []
    steps: list[list[Row]] = []
    # Every mean draws from the generator, so all of Dice come before all of surface Dice.
    for n in range(fewest, most + 1):
        step = [latest(own, n) for own in series.values()]
        steps.append(step)
        clicks.append(n)
        dice.append(mean_of(table_of(step, "dice"), generator) or nothing)
    for step in steps:
        nsd.append(mean_of(table_of(step, "nsd"), generator) or nothing)
        used.append(plain_mean(table(objects, [row.clicks for row in step])))
        # Fig. 5 shows the best so far, which only who knows the truth can choose.
        best = np.maximum(best, [row.dice or 0.0 for row in step])
        best_dice.append(plain_mean(table(objects, best.tolist())))
    return Curve(tuple(clicks), tuple(dice), tuple(nsd), tuple(used), tuple(best_dice))


def by_object(rows: Iterable[Row]) -> dict[tuple[str, str], dict[int, Row]]:
    """Return the rows of every scan and structure by their number of clicks."""
    series: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        series.setdefault((row.case, row.structure), {})[row.clicks] = row
    return series


def plain_mean(values: Floats) -> float:
    """Return the mean over structures of means over scans."""
    known = np.isfinite(values)
    return float(by_structure(np.where(known, values, 0.0).sum(axis=0)[None], known.sum(axis=0)[None])[0])


def after(rows: Iterable[Row], clicks: int) -> list[Row]:
    """Return for every scan and structure its row after so many clicks, or its last before that."""
    found: list[Row] = []
    for own in by_object(rows).values():
        found.append(latest(own, clicks))
    return found


def latest(own: Mapping[int, Row], clicks: int) -> Row:
    """Return the row after so many clicks, or the last before; the first of all where none is before."""
    earlier = []
    for n in own:
        if n <= clicks:
            earlier.append(n)
    return own[max(earlier, default=min(own))]


def challenge_areas(rows: Sequence[Row], generator: np.random.Generator) -> dict[str, Mean | None] | None:
    """Return the CVPR 2025 challenge's figures over five clicks, or None where fewer were given.

    By scan: means over its structures after each click; where that Dice is not above 0.2 the surface Dice counts 0; the
    areas under both by the trapezoid rule (at most 4), and both after the last click.
    """
    if not rows or max(row.clicks for row in rows) < CHALLENGE_CLICKS:
        return None
    by_scan: dict[str, list[Mapping[int, Row]]] = {}
    for (scan, _), own in by_object(rows).items():
        by_scan.setdefault(scan, []).append(own)
    values = np.array([challenge_figures(objects) for objects in by_scan.values()])
    names = ("dsc_auc", "nsd_auc", "dsc_final", "nsd_final")
    found = {}
    for n, name in enumerate(names):
        found[name] = mean_of(values[:, [n]], generator)
    return found


def challenge_figures(objects: Sequence[Mapping[int, Row]]) -> tuple[float, float, float, float]:
    """Return the areas under Dice and surface Dice of one scan, and both after the last click."""
    dsc, nsd = np.zeros(CHALLENGE_CLICKS), np.zeros(CHALLENGE_CLICKS)
    for n in range(CHALLENGE_CLICKS):
        step = [latest(own, n + 1) for own in objects]
        dsc[n] = np.mean([row.dice or 0.0 for row in step])
        nsd[n] = np.mean([row.nsd or 0.0 for row in step])
    nsd[dsc <= CHALLENGE_LEAST_DICE] = 0
    return area(dsc), area(nsd), float(dsc[-1]), float(nsd[-1])


def area(values: Floats) -> float:
    """Return the area under values one step apart, by the trapezoid rule."""
    return float((values[1:] + values[:-1]).sum() / 2)
