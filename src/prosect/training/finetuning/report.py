"""What few scans came to, written down: a table, a curve, every scan; Table 3 of the paper beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prosect.evaluation.plots import BLUE, GREY, ORANGE, overlap_axis, png
from prosect.evaluation.published import table3_rows
from prosect.evaluation.report import NONE, as_csv, figure, interval, section_json, setting_lines, table_lines
from prosect.evaluation.summary import Mean
from prosect.io.atomic import write_atomically
from prosect.training.finetuning.fewshot import Outcome
from prosect.training.finetuning.seeds import Way, ways

__all__ = ["curve_rows", "markdown", "write_few_shots"]

SCHEMA = "prosect-fewshot/1"
PUBLISHED = "Published: Table 3, average Dice on the paper's test scans after finetuning on so many"
METHODS = ("auto3dseg", "nnunet", "totalsegmentator", "vista3d")
FAIR = (
    "Both ways take the same steps on the same scans, the first of the list, and are tested on the same others, on "
    "the scans' own voxels. Finetuning fits its class head to the features it has first, which costs little. Neither "
    "way stops early nor chooses a step by looking at further scans, and where steps are few more scans do not help. "
    "Intervals: 95 %, percentile bootstrap over test scans"
)
ONE_SEED = "; they do not tell how another draw of training scans, or another seed, would have done."
SEEDS = (
    " and over the seeds, each drawn by itself; they do not tell how another draw of training scans would have done. "
    "A seed decides sampling, augmentation and random weights."
)
OTHERS = "Other structures, other scans, other machines: a yardstick for the shape of the curve, not a comparison."


def write_few_shots(found: Sequence[Outcome], settings: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `results.json`, `cases.csv`, `summary.csv`, `report.md` and `fewshot.png`, and return their paths.

    Raises:
        FormatError: The folder cannot be written.
        ResourceError: The disk is full.
    """
    files = {
        "results.json": json.dumps(as_json(found, settings), indent=1, allow_nan=False).encode("ascii") + b"\n",
        "cases.csv": as_csv(case_rows(found)),
        "summary.csv": as_csv(curve_rows(found)),
        "report.md": markdown(found, settings).encode("utf-8", "replace"),
        "fewshot.png": png(curve_of(found)),
    }
    for name, content in files.items():
        write_atomically(folder / name, [content])
    return [folder / name for name in files]


def as_json(found: Sequence[Outcome], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything but the rows as plain data."""
    return {
        "schema": SCHEMA,
        "settings": dict(settings),
        "arms": list(map(arm_json, found)),
        "over_seeds": list(map(way_json, ways(found))),
        "published": table3_rows(),
        "notes": [fairness(found), OTHERS],
    }


def arm_json(outcome: Outcome) -> dict[str, Any]:
    """Return what one training came to as plain data."""
    section = section_json(outcome.section)
    return {
        "shots": outcome.arm.shots,
        "start": outcome.arm.start,
        "seed": outcome.training["settings"]["seed"],
        "means": section["means"],
        "structures": section["structures"],
        "training": dict(outcome.training),
        "refused": list(map(asdict, outcome.refused)),
    }


def way_json(way: Way) -> dict[str, Any]:
    """Return what the trainings of all seeds came to as plain data."""
    means = {}
    for column in ("dice", "nsd"):
        mean = way.mean(column)
        means[column] = None if mean is None else asdict(mean)
    return {"shots": way.shots, "start": way.start, "seeds": len(way.outcomes), "means": means}


def fairness(found: Sequence[Outcome]) -> str:
    """Return what makes the ways comparable, and what the intervals tell."""
    if several_seeds(found):
        return FAIR + SEEDS
    return FAIR + ONE_SEED


def several_seeds(found: Sequence[Outcome]) -> bool:
    """Return whether a number of scans was trained with more than one seed."""
    return any(len(way.outcomes) > 1 for way in ways(found))


def case_rows(found: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Yield a row for every training, test scan and structure."""
    for each in found:
        for row in each.section.rows:
            yield {**head_of(each), **row.to_json()}


def head_of(each: Outcome) -> dict[str, Any]:
    """Return the columns that tell which training a row is of."""
    head: dict[str, Any] = {"shots": each.arm.shots, "start": each.arm.start}
    if each.arm.seed is not None:
        head["seed"] = each.arm.seed
    return head


def curve_rows(found: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Yield a row for every number of scans and start, over all structures and by structure, the mean of its seeds."""
    for way in ways(found):
        head = {"shots": way.shots, "start": way.start}
        yield {**head, "structure": "mean", **spread(way.mean("dice"), way.mean("nsd"))}
        for name in way.structures:
            yield {**head, "structure": name, **spread(way.mean("dice", name), way.mean("nsd", name))}


def spread(dice: Mean | None, nsd: Mean | None) -> dict[str, Any]:
    """Return means with the ends of their intervals as columns."""
    row: dict[str, Any] = {}
    for name, mean in (("dice", dice), ("nsd", nsd)):
        values: tuple[float | None, float | None, float | None] = (None, None, None)
        if mean is not None:
            values = (mean.value, mean.low, mean.high)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    return row


def markdown(found: Sequence[Outcome], settings: Mapping[str, Any]) -> str:
    """Return the report for people."""
    lines = ["# Evaluation: fewshot", ""]
    lines += setting_lines({key: value for key, value in settings.items() if value != 0})
    lines += ["", fairness(found), "", "## Mean Dice [95 %] by number of scans", "", *mean_lines(found), ""]
    if several_seeds(found):
        lines += ["## Mean Dice of each seed", "", *seed_lines(found), ""]
    for name in dict.fromkeys(s.structure for each in found for s in each.section.structures):
        lines += [f"## {name}: Dice [95 %]", "", *structure_lines(found, name), ""]
    body = []
    for row in table3_rows():
        body.append([row["dataset"], row["cases"], *(row[m] or NONE for m in METHODS)])
    lines += [f"## {PUBLISHED}", "", *table_lines(["dataset", "scans", *METHODS], body), "", OTHERS, ""]
    refused = [(each.arm.title, r.case, r.code, r.message) for each in found for r in each.refused]
    if refused:
        lines += ["## Could not be judged", "", *table_lines(["training", "scan", "code", "why"], refused), ""]
    return "\n".join(lines)


def both(found: Sequence[Outcome]) -> Iterator[tuple[int, Way | None, Way | None]]:
    """Yield for each number of scans what finetuning and training from scratch came to."""
    by = {(way.shots, way.scratch): way for way in ways(found)}
    for shots in sorted({each.arm.shots for each in found}):
        yield shots, by.get((shots, False)), by.get((shots, True))


def mean_lines(found: Sequence[Outcome]) -> list[str]:
    """Return the table over all structures, surface Dice beside it."""
    body = []
    for shots, tuned, scratch in both(found):
        cells = [str(shots)]
        for key in ("dice", "nsd"):
            for way in (tuned, scratch):
                # A training that is not done yet leaves its cell open.
                cells.append(NONE if way is None else interval(way.mean(key)))
        body.append(cells)
    return table_lines(["scans", "finetuned", "from scratch", "NSD, finetuned", "NSD, from scratch"], body)


def seed_lines(found: Sequence[Outcome]) -> list[str]:
    """Return the table of each seed's mean, in the order of the seeds."""
    body = []
    for shots, *both_ways in both(found):
        cells = [str(shots)]
        for way in both_ways:
            values = [] if way is None else way.by_seed("dice")
            cells.append(", ".join(map(figure, values)) or NONE)
        body.append(cells)
    return table_lines(["scans", "finetuned", "from scratch"], body)


def structure_lines(found: Sequence[Outcome], name: str) -> list[str]:
    """Return the table of one structure."""
    body = []
    for shots, *both_ways in both(found):
        means, medians = [], []
        for way in both_ways:
            means.append(NONE if way is None else interval(way.mean("dice", name)))
            medians.append(NONE if way is None else figure(way.median(name)))
        body.append([str(shots), *means, *medians])
    return table_lines(["scans", "finetuned", "from scratch", "median, finetuned", "median, from scratch"], body)


def curve_of(found: Sequence[Outcome]) -> Figure:
    """Return Dice by number of scans, the paper's curves faint behind."""
    drawn = Figure(figsize=(8.0, 4.6), layout="constrained")
    axes = drawn.add_subplot()
    draw_published(axes)
    draw_own(axes, found, scratch=False, colour=BLUE, label="finetuned")
    draw_own(axes, found, scratch=True, colour=ORANGE, label="from scratch")
    axes.set_xscale("log")
    numbers = sorted({each.arm.shots for each in found} | {1, 5, 10, 20, 40})
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.minorticks_off()
    axes.set_xlabel("labelled scans to learn from")
    over = "test scans and seeds" if several_seeds(found) else "test scans"
    axes.set_title(f"Mean Dice over structures, with the 95 % interval over {over}", fontsize=9)
    overlap_axis(axes, "y")
    axes.legend(fontsize=7, loc="lower right")
    return drawn


def draw_published(axes: Axes) -> None:
    """Draw the paper's curves, each data set fainter than the one before."""
    for n, name in enumerate(dict.fromkeys(row["dataset"] for row in table3_rows())):
        rows = table3_rows(name)
        cases = [int(row["cases"]) for row in rows]
        for column, style in (("vista3d", "-"), ("nnunet", ":")):
            values = [float(row[column]) for row in rows]
            label = f"paper, {name}: {column}"
            axes.plot(cases, values, style, color=GREY, linewidth=1, alpha=0.9 - 0.35 * n, label=label)


def draw_own(axes: Axes, found: Sequence[Outcome], *, scratch: bool, colour: str, label: str) -> None:
    """Draw the means of our trainings that began in one way, with their intervals; nothing where there are none."""
    shots, values, low, high = [], [], [], []
    for way in ways(found):
        mean = way.mean("dice")
        if way.scratch is scratch and mean is not None:
            shots.append(way.shots)
            values.append(mean.value)
            low.append(mean.low)
            high.append(mean.high)
    if shots:
        axes.plot(shots, values, "o-", color=colour, markersize=4, label=label)
        axes.fill_between(shots, low, high, color=colour, alpha=0.15)
