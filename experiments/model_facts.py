"""Write what training scans say of a model's structures, by which `segment` judges what can be in a scan.

`python experiments/model_facts.py openkbp.json --split training -o src/prosect/checkpoints/facts/prosect-small.json`
runs the model on the scans of a list (`--every N`: each Nth of them; `--fold N`: those that this fold trains on) and
keeps of each structure that was found its volume, the area of the body in the axial plane through its middle, the
mean probability, and for prosect-small the median intensity (what prosect-torso learnt from is clipped). Where the list
labels the structure, the label must agree (Dice of 0.4 or more); else a piece of 5 mL counts. Ranges are the 2nd to the
98th percentile. `--chests` names lists of which all scans are taken, for what lies in the trunk: an abdomen shows only
a part of a heart. That of prosect-torso, with LISTS for `models/prosect-torso/lists`:

`LISTS/btcv.json --fold 0 --every 3 --chests LISTS/chests_own.json LISTS/torso.json -m prosect-torso`
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from prosect.checkpoints.model_facts import ModelFacts, Range, Region, StructureFacts
from prosect.data.datalist import DataList, Entry, read_datalist
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_labelled
from prosect.labelmap import Labels
from prosect.models.protocols import Learns
from prosect.models.spec import ModelSpec

# Of each structure its evidence, by index.
Seen = dict[int, dict[str, float]]
# The regions in which a model's structures lie. What a model of the abdomen knows of an oesophagus is its lower end.
NECK, TRUNK, ABDOMEN = "head and neck", "trunk", "abdomen"
ORGANS = (
    "liver", "spleen", "right kidney", "left kidney", "stomach", "gallbladder", "pancreas", "aorta",
    "inferior vena cava", "portal vein and splenic vein", "esophagus", "right adrenal gland", "left adrenal gland",
)  # fmt: skip
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "prosect-small": {
        **dict.fromkeys(("left parotid", "right parotid", "larynx", "Brain-Stem", "mandible"), (NECK,)),
        **dict.fromkeys(("lung", "esophagus", "spinal cord"), (TRUNK, NECK)),
    },
    # In necks up to 100 mL of a heart are found, and of a lung they show the tip, which another model knows better. So
    # both are shown with an abdomen only: the scan of a chest shows its upper end.
    "prosect-torso": {
        **dict.fromkeys(ORGANS, (ABDOMEN,)),
        **dict.fromkeys(("heart", "lung"), (ABDOMEN,)),
        "vertebrae": (TRUNK, ABDOMEN),
    },
}
# What a structure bears witness of is the first of its regions, except for these. A spine is no witness of an abdomen.
WITNESS_OF: dict[str, dict[str, str]] = {
    "prosect-small": {},
    "prosect-torso": {"heart": "", "lung": ""},
}
# A trunk is as wide as this; thighs and necks are not.
REGIONS: dict[str, dict[str, dict[str, float]]] = {
    "prosect-small": {NECK: {}, TRUNK: {"girth_cm2": 300.0}},
    "prosect-torso": {ABDOMEN: {}, TRUNK: {"girth_cm2": 300.0}},
}
# Scans clipped to a narrow range do not say how dark or bright a structure is; those of `--chests` are not clipped.
CLIPPED = ("prosect-torso",)
LEAST_DICE, LEAST_ML = 0.4, 5.0
KEYS = ("volume_ml", "section_cm2", "probability", "median_hu")
PERCENTILES = (2, 98)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("list", type=Path)
    parser.add_argument("--split", default="training")
    parser.add_argument("--fold", type=int)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--chests", type=Path, nargs="*", default=[])
    parser.add_argument("-m", "--model", default="prosect-small", choices=sorted(PLACES))
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    data = read_datalist(args.list).part(args.split, args.fold)
    loaded = prosect.require_learns(prosect.load(args.model))
    model = replace(loaded, spec=replace(loaded.spec, facts=anything(loaded.spec)))
    seen: list[Seen] = []
    for found in found_in(model, data, list(data)[:: args.every]):
        if args.model in CLIPPED:
            seen.append(without_intensity(found))
        else:
            seen.append(found)
    organs = {loaded.spec.vocabulary[name].index for name in ORGANS}
    for path in args.chests:
        chests = read_datalist(path)
        for found in found_in(model, chests, list(chests)):
            seen.append({index: evidence for index, evidence in found.items() if index not in organs})
    args.output.write_text(json.dumps(facts_from(seen, loaded.spec), indent=1) + "\n")


def found_in(model: Learns, data: DataList, entries: Sequence[Entry]) -> Iterator[Seen]:
    """Yield what a model rightly finds in each scan, and print the name of the scan."""
    for entry in entries:
        scan = read_labelled(entry, data)
        yield agreeing(model.segment(scan.volume), scan)
        print(entry.name, flush=True)


def without_intensity(seen: Seen) -> Seen:
    """Return evidence that does not say how bright the structures are."""
    dark: Seen = {}
    for index, evidence in seen.items():
        dark[index] = {key: value for key, value in evidence.items() if key != "median_hu"}
    return dark


def anything(spec: ModelSpec) -> ModelFacts:
    """Return facts by which everything that a model knows may be anywhere."""
    wide = Range(0.0, math.inf)
    offered = places_of(spec)
    places = {
        spec.vocabulary[name].index: StructureFacts(wide, wide, wide, ("any",), witness_of="any") for name in offered
    }
    return ModelFacts(places, {"any": Region()})


def places_of(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Return the regions of each structure that a model offers."""
    return {name: places for name, places in PLACES[spec.name].items() if spec.vocabulary[name].supported}


def agreeing(labels: Labels, scan: LabelledScan) -> Seen:
    """Return the evidence of each structure that was rightly found."""
    found: Seen = {}
    for index, evidence in dict(labels.provenance["evidence"]).items():
        if index in scan.known:
            truth, mine = scan.labels.own_mask(index), labels.own_mask(index)
            agrees = 2 * (truth & mine).sum() >= LEAST_DICE * (truth.sum() + mine.sum())
        else:
            agrees = evidence["volume_ml"] >= LEAST_ML
        if agrees:
            found[index] = evidence
    return found


def facts_from(seen: Sequence[Seen], spec: ModelSpec) -> dict[str, Any]:
    """Return the file's content from what was seen in each scan."""
    structures: dict[str, Any] = {}
    for name, regions in places_of(spec).items():
        index = spec.vocabulary[name].index
        rows = [found[index] for found in seen if index in found]
        ranges = {}
        for key in KEYS:
            values = [row[key] for row in rows if key in row]
            if values:
                ranges[key] = span(values)
        witness = WITNESS_OF[spec.name].get(name, regions[0])
        where = {"regions": list(regions), "witness_of": witness}
        structures[str(index)] = {"name": name, "scans": len(rows), **ranges, **where}
    return {"scans": len(seen), "regions": REGIONS[spec.name], "structures": structures}


def span(values: Sequence[float]) -> list[float]:
    """Return the range in which most values lie."""
    return [round(float(value), 3) for value in np.percentile(values, PERCENTILES)]


if __name__ == "__main__":
    main()
