"""What clicks do to automatic drafts: mean Dice after up to three clicks, each in the largest error of its structure.

`python experiments/corrections.py LIST.json [--split validation] [--fold 0] [--scans 4] [-m prosect-small]`. Every
structure is drafted, then corrected by itself.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from prosect.data.datalist import read_datalist
from prosect.data.labels import read_labelled
from prosect.evaluation.dice import dice
from prosect.simulated_user import error_click

CLICKS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--fold", type=int)
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("-m", "--model")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    model: Any = prosect.load(args.model) if args.model else prosect.load()
    datalist = read_datalist(args.datalist)
    if args.fold is None:
        entries = [entry for entry in datalist if entry.split == args.split]
    else:
        entries = [entry for entry in datalist if entry.fold == args.fold]
    curves = []
    for entry in entries[: args.scans]:
        curves += corrected(model, read_labelled(entry, datalist))
        print(f"{len(curves)} structures: {np.mean(curves, axis=0).round(3).tolist()}")


def corrected(model: Any, scan: Any) -> list[list[float]]:
    """Return for each structure that was drafted its Dice before any click and after each."""
    session = model.session(scan.volume)
    session.start_from(model.segment(scan.volume))
    curves = []
    drafted = {state.name for state in session.states if state.voxels}
    for index in scan.known:
        truth = scan.truth(index)
        name = model.vocabulary[index].name
        if name not in drafted or not truth.any():
            continue
        curve = [float(dice(session.mask(name), truth) or 0.0)]
        for _ in range(CLICKS):
            click = error_click(truth, session.mask(name), scan.volume.grid, np.random.default_rng(0))
            if click is not None:
                session.click(click.position_ras, click.positive, structure=name)
            curve.append(float(dice(session.mask(name), truth) or 0.0))
        curves.append(curve)
    return curves


if __name__ == "__main__":
    main()
