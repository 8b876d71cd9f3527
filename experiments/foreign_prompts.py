"""What a drawing in another viewer is worth: Dice after one box, scribble or lasso beside one click in the centre.

`python experiments/foreign_prompts.py --data DATA [--scans 3] [--weights FILE]`. The truth of abdominal scans draws: in
the axial plane in which a structure is largest, a box around it, a stroke along it and a lasso just inside its outline.
Each goes the way that it goes in the server, to an object that no class describes. The table is in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import prosect
from prosect.boxes import Box
from prosect.morphology import city_block_depth, erode, innermost, largest_component
from prosect.server.converting import BoxPrompt, Drawing, PointPrompt, Prompt
from prosect.server.unnamed import answer_prompt

ORGANS = {2: "right kidney", 1: "spleen", 6: "liver", 8: "aorta", 7: "stomach", 3: "left kidney"}
STROKE_DEPTH = 0.5  # a stroke keeps away from the outline by this share of the greatest depth
SMALLEST = 2000

Mask = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--skip", type=int, default=0, help="scans to leave out at the beginning")
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    model = prosect.load(weights=args.weights)
    found: dict[str, dict[str, list[float]]] = {}
    kinds: list[str] = []
    for path in sorted((args.data / "btcv_sabs").glob("*_ct.nii.gz"))[args.skip : args.skip + args.scans]:
        volume = prosect.read(path, modality="CT")
        truth = prosect.read_labels(path.with_name(path.name.replace("_ct", "_seg"))).array
        responder = model.responder(volume)
        for value, organ in ORGANS.items():
            mask = largest_component(np.asarray(truth) == value)
            if mask is None or mask.sum() < SMALLEST:
                continue
            for kind, prompt in prompts(mask, volume.grid.spacing_mm):
                began = time.perf_counter()
                session = model.session(volume, responder=responder)
                answer_prompt(session, nothing, name="object", waiting=(), prompt=prompt)
                got = session.mask("object")
                dice = overlap(session.mask("object"), np.asarray(truth) == value)
                found.setdefault(organ, {}).setdefault(kind, []).append(dice)
                if kind not in kinds:
                    kinds.append(kind)
                clicks = len(session.clicks("object"))
                share = got.sum() / mask.sum()
                spent = time.perf_counter() - began
                print(
                    f"{path.name} {organ} {kind} {dice:.3f} {share:.2f} {clicks} clicks {spent:.1f} s", file=sys.stderr
                )
    print_table(found, kinds)


def nothing(_done: int, _total: int) -> None:
    """Take no notice of progress."""


def prompts(mask: Mask, spacing_mm: tuple[float, float, float]) -> Iterator[tuple[str, Prompt]]:
    """Yield what a person would draw for a structure (i j k)."""
    i, j, k = (float(part) for part in innermost(mask, spacing_mm))
    yield "centre click", PointPrompt((i, j, k), True)
    plane = int(mask.sum(axis=(0, 1)).argmax())
    region = largest_component(mask[..., plane])
    assert region is not None
    flat = np.zeros_like(mask)
    flat[..., plane] = region
    yield "box", BoxPrompt(Box.of(flat), True)
    for kind, drawn in (("scribble", stroke(region)), ("lasso", erode(region))):
        flat[..., plane] = drawn if drawn.any() else region
        box = Box.of(flat)
        yield kind, Drawing(kind, box, flat[box.slices], True)  # type: ignore[arg-type]


def stroke(region: Mask) -> Mask:
    """Return a line along a region (i j), from one end of its inner part to the other through its middle."""
    depth = city_block_depth(region, (1.0, 1.0))
    inner = np.argwhere(depth >= STROKE_DEPTH * depth.max()).astype(float)
    middle = inner.mean(axis=0)
    axis = np.linalg.eigh(np.cov((inner - middle).T) + 1e-6 * np.eye(2))[1][:, -1]
    along = (inner - middle) @ axis
    ends = inner[along.argmin()], inner[along.argmax()]
    drawn = np.zeros_like(region)
    for share in np.linspace(0, 1, 200):
        i, j = np.rint(ends[0] + share * (ends[1] - ends[0])).astype(int)
        drawn[i, j] = True
    return drawn & region


def overlap(mask: Mask, truth: Mask) -> float:
    """Return Dice."""
    return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())


def print_table(found: dict[str, dict[str, list[float]]], kinds: list[str]) -> None:
    """Print mean Dice by structure, and over all."""
    print(f"| structure | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
    for organ, by_kind in found.items():
        print(
            f"| {organ} ({len(by_kind[kinds[0]])}) | {' | '.join(f'{np.mean(by_kind[kind]):.2f}' for kind in kinds)} |"
        )
    means = []
    for kind in kinds:
        everything = [value for by_kind in found.values() for value in by_kind[kind]]
        means.append(f"{np.mean(everything):.3f}")
    print(f"| **mean** | {' | '.join(means)} |")


if __name__ == "__main__":
    main()
