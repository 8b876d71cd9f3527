"""How much of what is not there the shipped models find, and how much of it is left after withholding, in Markdown.

`python experiments/withholding.py find --data DATA --cache CACHE` runs the shipped models on the scans that
`withholding.tsv` names, withholds nothing, and keeps labels and evidence; it goes on where it was stopped.
`python experiments/withholding.py table --data DATA --cache CACHE` judges them. For the scans by which the rules were
chosen, and for those that were run only after that, it prints the mean mL per scan of false structures found and left,
the true structures that were withheld, and the Dice lost where a scan is labelled.

False is what the region that a scan shows does not have (`withholding.tsv` says by eye which it is), lung that is no
air, and what shares less than a tenth of the smaller one's voxels with its label.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import prosect
from prosect import phantom
from prosect.checkpoints.model_facts import ModelFacts, Range, Region, StructureFacts, facts_of
from prosect.models.checks import not_hounsfield
from prosect.models.evidence import Evidence, body_sections
from prosect.models.plausibility import judge
from prosect.models.vista3d import Vista3DModel
from prosect.volume import Volume

MODELS = ("prosect-small", "prosect-torso")
LIST = Path(__file__).with_name("withholding.tsv")
WORDS = prosect.vocabulary.load("prosect")
# Whatever else is found in a scan of a region is not there.
TRUNK = {"lung", "esophagus", "spinal cord", "vertebrae", "aorta", "inferior vena cava", "heart", "body"}
HAS = {
    "neck": {"left parotid", "right parotid", "larynx", "Brain-Stem", "mandible", "lung", "esophagus", "spinal cord",
             "aorta", "vertebrae", "body"},
    "chest": TRUNK,
    "abdomen": TRUNK | {"liver", "spleen", "right kidney", "left kidney", "stomach", "gallbladder", "pancreas",
                        "portal vein and splenic vein", "right adrenal gland", "left adrenal gland"},
    "thigh": {"body"},
    "MR": {"body"},
}  # fmt: skip
LABELS = {
    "openkbp": {1: "Brain-Stem", 2: "spinal cord", 3: "right parotid", 4: "left parotid", 5: "esophagus", 6: "larynx",
                7: "mandible"},
    "btcv_sabs": {1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver",
                  7: "stomach", 8: "aorta", 9: "inferior vena cava", 10: "portal vein and splenic vein",
                  11: "pancreas", 12: "right adrenal gland", 13: "left adrenal gland"},
}  # fmt: skip
ELSEWHERE, AIR_HU, LEAST_ML = 0.1, -400.0, 0.5


@dataclass(frozen=True)
class Scan:
    """A scan of the list: its file, its labels or nothing, what it shows, and the models whose rules it shaped."""

    scan: str
    labels: str
    shows: tuple[str, ...]
    chosen_on: tuple[str, ...]

    @property
    def key(self) -> str:
        """A name for its files in the cache."""
        return self.scan.replace("/", "_").replace(":", "_")

    @property
    def kind(self) -> str:
        """The row of the table."""
        return "phantom neck" if self.scan.startswith("phantom") else self.shows[0]


@dataclass(frozen=True)
class Outcome:
    """What became of a scan: mL of what is false, names of what is true and withheld, Dice before and after."""

    scan: Scan
    found_ml: float
    left_ml: float
    lost: tuple[str, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("find", "table"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("-m", "--model", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--each", action="store_true", help="a line for each scan, too")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.model:
        if args.do == "find":
            find(args.data, args.cache, name)
        else:
            show(name, args.data, args.cache, args.each)


def read_list() -> list[Scan]:
    """Return the scans of the list."""
    with LIST.open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return [
        Scan(row["scan"], row["labels"], tuple(row["shows"].split(",")), tuple(row["chosen_on"].split(",")))
        for row in rows
    ]


def find(data: Path, cache: Path, name: str) -> None:
    """Run a model on every scan that is not in the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    loaded = cast(Vista3DModel, prosect.load(name))
    open_minded = replace(loaded, spec=replace(loaded.spec, facts=anything(loaded)))
    for scan in read_list():
        file = cache / f"{scan.key}.{name}.npz"
        if file.exists():
            continue
        started = time.perf_counter()
        volume = read_scan(scan, data)
        doubt = not_hounsfield(volume, loaded.spec)
        labels = (loaded.keeping_all() if doubt else open_minded).segment(volume)
        sections, order = body_sections(volume), volume.grid.to_ras()
        facts = {
            "doubt": doubt,
            "evidence": labels.provenance.get("evidence", {}),
            "girth": sections.typical_cm2,
            "range": [float(volume.array.min()), float(volume.array.max())],
            "voxel_ml": volume.grid.voxel_volume_ml,
        }
        array = np.ascontiguousarray(order.apply(labels.array))
        np.savez_compressed(file, array=array, facts=np.array(json.dumps(facts)))
        print(f"{time.perf_counter() - started:.0f} s {file.name}", flush=True)


def anything(model: Vista3DModel) -> ModelFacts:
    """Return facts by which everything that a model knows may be anywhere."""
    wide = Range(0.0, float("inf"))
    places = {
        s.index: StructureFacts(wide, wide, wide, ("any",), witness_of="any") for s in model.vocabulary if s.supported
    }
    return ModelFacts(places, {"any": Region()})


def read_scan(scan: Scan, data: Path) -> Volume:
    """Return a scan of the list, or the synthetic person that it names by kind, spacing and number."""
    if not scan.scan.startswith("phantom:"):
        return prosect.read(data / scan.scan)
    _, kind, spacing, number = scan.scan.split(":")
    size = float(spacing)
    person, _ = phantom.case(np.random.default_rng(9000 + int(number)), cast(Any, kind), spacing_mm=(size, size, size))
    return person


def show(model: str, data: Path, cache: Path, each: bool) -> None:
    """Print the table of a model."""
    outcomes: list[Outcome] = []
    for scan in read_list():
        file = cache / f"{scan.key}.{model}.npz"
        if file.exists():
            outcomes.append(outcome_of(scan, file, model, data))
    if each:
        for one in outcomes:
            print(f"{one.scan.scan}: {one.found_ml:.1f} -> {one.left_ml:.1f}; lost {one.lost}")
    print(f"\n| {model} | rules | scans | found, mL | left, mL | most left | true ones withheld | Dice lost |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in dict.fromkeys(one.scan.kind for one in outcomes):
        of_kind = [one for one in outcomes if one.scan.kind == kind]
        for is_seen, word in ((True, "chosen on these"), (False, "measured")):
            rows = [one for one in of_kind if (model in one.scan.chosen_on) == is_seen]
            if rows:
                print(line(kind, word, rows))


def line(kind: str, word: str, rows: Sequence[Outcome]) -> str:
    """Return a line of the table."""
    found, left = ([getattr(row, name) for row in rows] for name in ("found_ml", "left_ml"))
    lost = sum(len(row.lost) for row in rows)
    drops: list[float] = []
    for row in rows:
        drops += [row.before[name] - row.after[name] for name in row.before]
    dice = f"{np.mean(drops):.4f}" if drops else ""
    means = f"{np.mean(found):.1f} | {np.mean(left):.2f} | {max(left):.1f}"
    return f"| {kind} | {word} | {len(rows)} | {means} | {lost} | {dice} |"


def outcome_of(scan: Scan, file: Path, model: str, data: Path) -> Outcome:
    """Return what became of a scan."""
    kept = np.load(file)
    facts, array = json.loads(str(kept["facts"])), kept["array"]
    evidence = {int(index): Evidence(**row) for index, row in facts["evidence"].items()}
    judgement = judge(evidence, facts_of(model), facts["girth"], Range(*facts["range"]), facts["doubt"])
    known = facts_of(model).structures
    volumes = {index: float((array == index).sum()) * facts["voxel_ml"] for index in known}
    present = {index: volume for index, volume in volumes.items() if volume}
    # In a scan that is doubted nothing is left, whatever was found.
    withheld = set(known) if facts["doubt"] else set(judgement.withheld)
    before, shared = overlaps(scan, array, present, data)
    false = {index for index in present if is_false(index, scan, evidence, shared, Range(*facts["range"]))}
    lost = [index for index in present if index in withheld - false and present[index] >= LEAST_ML]
    names = {index: WORDS[index].name for index in present}
    return Outcome(
        scan,
        found_ml=sum(present[index] for index in false),
        left_ml=sum(present[index] for index in false - withheld),
        lost=tuple(f"{names[index]} ({present[index]:.1f} mL)" for index in lost),
        before=before,
        after={name: 0.0 if WORDS[name].index in withheld else value for name, value in before.items()},
    )


def is_false(
    index: int, scan: Scan, evidence: Mapping[int, Evidence], shared: Mapping[str, float], span: Range
) -> bool:
    """Return whether a structure that was found is not there."""
    name = WORDS[index].name
    if not any(name in HAS[region] for region in scan.shows):
        return True
    if shared.get(name, 1.0) < ELSEWHERE:
        return True
    row = evidence.get(index)
    solid = max(AIR_HU, span.low + 5)
    return name == "lung" and row is not None and row.median_hu is not None and row.median_hu > solid


def overlaps(
    scan: Scan, array: NDArray[np.generic], present: Iterable[int], data: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Return of each structure that is labelled and was found its Dice, and which part of the smaller one is shared.

    Some labels are parts: of a spinal cord a few centimetres may be drawn.
    """
    dice: dict[str, float] = {}
    shared: dict[str, float] = {}
    if not scan.labels:
        return dice, shared
    stored = prosect.read_labels(data / scan.labels)
    truth = stored.grid.to_ras().apply(stored.array)
    for value, name in LABELS[scan.labels.split("/")[0]].items():
        labelled, mine = truth == value, array == WORDS[name].index
        if labelled.any() and WORDS[name].index in present:
            both = float((labelled & mine).sum())
            dice[name] = 2 * both / float(labelled.sum() + mine.sum())
            shared[name] = both / float(min(labelled.sum(), mine.sum()))
    return dice, shared


if __name__ == "__main__":
    main()
