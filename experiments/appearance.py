"""How much intensities should count where an object without a class is clicked: Dice of one click, by weight and reach.

`python experiments/appearance.py LIST.json...` clicks the middle of every structure of some data lists, as an object
that no class describes. Constants are chosen on scans that the model was trained on; `prosect evaluate clicks
--zero-shot` judges them on others.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from prosect.data.datalist import read_datalist
from prosect.data.labels import read_labelled
from prosect.evaluation.dice import dice
from prosect.inference.appearance import Appearance
from prosect.simulated_user import centre_click

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0)
REACHES = (2.0, 3.0, 6.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lists", nargs="+", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    shipped: Any = prosect.load("prosect-small")
    rows: dict[tuple[float, float], dict[str, list[float]]] = {}
    for path in args.lists:
        datalist = read_datalist(path)
        for entry in datalist:
            scan = read_labelled(entry, datalist)
            for weight, reach in settings():
                rules = Appearance(weight=weight, reach=reach) if weight else None
                model = replace(shipped, spec=replace(shipped.spec, appearance=rules))
                found = rows.setdefault((weight, reach), {}).setdefault(path.stem, [])
                found += one_click(model, scan)
    for (weight, reach), by_list in rows.items():
        means = {name: round(float(np.mean(values)), 3) for name, values in by_list.items()}
        print(f"weight {weight}, reach {reach}: mean of lists {np.mean(list(means.values())):.3f}, {means}")


def settings() -> list[tuple[float, float]]:
    """Return what is tried: weight and reach."""
    tried = [(weight, reach) for weight, reach in itertools.product(WEIGHTS, REACHES) if weight]
    return [(0.0, REACHES[0]), *tried]


def one_click(model: Any, scan: Any) -> list[float]:
    """Return Dice after one click in the middle of each structure of a scan."""
    found = []
    responder = model.responder(scan.volume)
    for index in scan.known:
        truth = scan.truth(index)
        click = centre_click(truth, scan.volume.grid)
        if click is None:
            continue
        session = model.session(scan.volume, responder=responder)
        session.click(click.position_ras, structure="object")
        found.append(float(dice(session.mask("object"), truth) or 0.0))
    return found


if __name__ == "__main__":
    main()
