"""Fit how the scale of a click is chosen: what each cue is worth, from structures whose truth is known.

`python experiments/scale_rule.py collect LIST.json -o cues.jsonl` clicks the middle of every structure of a data list
and writes, for each scale that is tried, the cues of the answer and its Dice.
`python experiments/scale_rule.py fit cues.jsonl` prints the weights for `catalog.toml`, and what they choose. Lists of
training scans belong in the fit, others in `--test`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from prosect.data.datalist import read_datalist
from prosect.data.labels import read_labelled
from prosect.evaluation.dice import dice
from prosect.inference.question import Question
from prosect.inference.scale_cues import CUES, cues_of
from prosect.models.checks import not_hounsfield
from prosect.morphology import Components
from prosect.prompts import LabelledClick, voxel_of
from prosect.simulated_user import centre_click

MARGINS = (0.0, 0.03, 0.06, 0.1, 0.14, 0.2)
RIDGE = 20.0


def collect(lists: list[Path], output: Path) -> None:
    """Write a line for each structure: its set, and cues and Dice by scale."""
    model: Any = prosect.load("prosect-small")
    tried = model.spec.click_scales.rule.tried
    with output.open("w", encoding="utf-8") as file:
        for path in lists:
            datalist = read_datalist(path)
            for entry in datalist:
                scan = read_labelled(entry, datalist)
                responder = model.responder(scan.volume)
                for index in scan.known:
                    truth = scan.truth(index)
                    click = centre_click(truth, scan.volume.grid)
                    if click is None:
                        continue
                    row: dict[str, Any] = {"set": scan.dataset, "case": scan.name, "structure": index, "scales": {}}
                    row["hounsfield"] = not not_hounsfield(scan.volume, model.spec)
                    for scale in tried:
                        at = responder if scale == 1 else responder.rescaled.at(scale)
                        cues = cues_of(at.view([(click.position_ras, 1)], True))
                        row["scales"][scale] = {**cues, "dice": dice_at(at, click, truth, scan.volume.grid)}
                    file.write(json.dumps(row) + "\n")


def dice_at(at: Any, click: Any, truth: np.ndarray, grid: Any) -> float:
    """Return the Dice of what one click finds at a scale."""
    patch = at.place(click.position_ras, [])
    box = at.box(patch)
    _, yes = at.propose(Question((LabelledClick(click.position_ras, 1, patch),), True), box)
    parts = Components.of(yes)
    i, j, k = np.subtract(voxel_of(click.position_ras, grid), box.start).tolist()
    label = parts.at((i, j, k))
    found = np.zeros_like(truth)
    if label is not None:
        found[box.slices] = parts.mask({label})
    return float(dice(found, truth) or 0.0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines that `collect` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tables(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return cues (objects, scales, cues) and Dice (objects, scales)."""
    cues, dices = [], []
    for row in rows:
        by_scale = list(row["scales"].values())
        cues.append([[each[name] for name in CUES] for each in by_scale])
        dices.append([each["dice"] for each in by_scale])
    return np.array(cues), np.array(dices)


def fit(rows: list[dict[str, Any]]) -> np.ndarray:
    """Return the worth of each cue by ridge regression of Dice within objects; a set counts by the root of its size."""
    cues, dices = tables(rows)
    sizes = Counter(row["set"] for row in rows)
    weights = np.array([sizes[row["set"]] ** -0.5 for row in rows])
    weights /= weights.mean()
    spread = cues.reshape(-1, len(CUES)).std(axis=0)
    seen = (cues - cues.mean(axis=1, keepdims=True)) / spread * np.sqrt(weights)[:, None, None]
    wanted = (dices - dices.mean(axis=1, keepdims=True)) * np.sqrt(weights)[:, None]
    flat = seen.reshape(-1, len(CUES))
    return np.linalg.solve(flat.T @ flat + RIDGE * np.eye(len(CUES)), flat.T @ wanted.ravel()) / spread


def report(rows: list[dict[str, Any]], worth: np.ndarray, title: str) -> None:
    """Print what the rule chooses with each margin, beside scale 1 and the best of all."""
    cues, dices = tables(rows)
    own = [float(scale) for scale in rows[0]["scales"]].index(1.0)
    print(f"{title}: {len(rows)} objects, scale 1 {dices[:, own].mean():.3f}, best {dices.max(axis=1).mean():.3f}")
    for margin in MARGINS:
        scores = cues @ worth
        scores[:, own] += margin
        chosen = dices[np.arange(len(rows)), scores.argmax(axis=1)]
        print(f"  margin {margin}: {chosen.mean():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("collect", "fit"))
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("cues.jsonl"))
    parser.add_argument("--test", type=Path)
    args = parser.parse_args()
    if args.do == "collect":
        collect(args.inputs, args.output)
        return
    rows = [row for path in args.inputs for row in read_rows(path)]
    worth = fit(rows)
    print(dict(zip(CUES, worth.round(3).tolist(), strict=True)))
    report(rows, worth, "fitted")
    if args.test is not None:
        for is_hounsfield in (True, False):
            part = [row for row in read_rows(args.test) if row["hounsfield"] is is_hounsfield]
            if part:
                report(part, worth, "test, Hounsfield units" if is_hounsfield else "test, other scans")


if __name__ == "__main__":
    main()
