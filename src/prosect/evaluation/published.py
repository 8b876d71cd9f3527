"""Published figures, to lay beside ours. They are others' measurements on other scans: a yardstick, not a comparison.

`table1`, `table2` and `table3` are those of VISTA3D (CVPR 2025). `challenge` is the validation set of the CVPR 2025
challenge for interactive segmentation, core-set track, averaged over cases. Of Fig. 5 no figures are kept: the paper
draws its curves without giving their values.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from importlib import resources

from prosect.evaluation.scores import Row

__all__ = ["challenge_rows", "table1_rows", "table2_rows", "table3_rows"]

Cells = dict[str, str]


def table(name: str) -> list[Cells]:
    """Return the rows of a published table by column."""
    text = resources.files("prosect.evaluation").joinpath(f"tables/{name}.tsv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def table1_rows(rows: Iterable[Row]) -> list[Cells]:
    """Return the rows of Table 1 on data sets and structures that were judged, and its average.

    Average Dice on the paper's test split of each set: the automatic branch, a click in every window, and both with the
    best of several trials chosen by the truth.
    """
    structures = {(row.dataset, row.index) for row in rows}
    sets = set()
    for dataset, _ in structures:
        sets.add(dataset)
    kept = []
    for row in table("table1"):
        if not row["dataset"]:
            wanted = True  # the average of all sets
        elif row["index"]:
            wanted = (row["dataset"], int(row["index"])) in structures
        else:
            wanted = row["dataset"] in sets
        if wanted:
            kept.append(row)
    return kept


def table2_rows() -> list[Cells]:
    """Return Table 2: seconds by size at 1.5 mm, 118 classes, on a V100 with 16 GB."""
    return table("table2")


def table3_rows(dataset: str | None = None) -> list[Cells]:
    """Return Table 3: average Dice after finetuning on few scans, of one data set or of both."""
    found = []
    for row in table("table3"):
        if dataset in (None, row["dataset"]):
            found.append(row)
    return found


def challenge_rows() -> list[Cells]:
    """Return the challenge's figures of the organisers' baselines."""
    return table("challenge")
