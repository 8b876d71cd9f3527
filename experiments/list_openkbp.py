"""Write the data list of the head-neck set: what each scan is labelled for, and what a neck cannot show.

`python experiments/list_openkbp.py --data OPENKBP -o openkbp.json`; then `prosect check-data openkbp.json` and
`prosect evaluate auto openkbp.json --split validation -o RESULTS`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.mapping import mapping_of

VALUES = {
    "Brainstem": (1, "Brain-Stem"),
    "SpinalCord": (2, "spinal cord"),
    "RightParotid": (3, "right parotid"),
    "LeftParotid": (4, "left parotid"),
    "Esophagus": (5, "esophagus"),
    "Larynx": (6, "larynx"),
    "Mandible": (7, "mandible"),
}
ABSENT = ("liver", "spleen", "left kidney", "right kidney", "pancreas", "bladder", "left hip", "right hip")
SPLITS = {"train": "training", "validation": "validation"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    words = vocabulary.load("prosect")
    entries = []
    with (args.data / "cases.tsv").open() as table:
        for row in csv.DictReader(table, delimiter="\t"):
            image, label = (args.data / f"{row['case']}_{part}.nii.gz" for part in ("ct", "oars"))
            labelled = tuple(VALUES[name][0] for name in row["labelled"].split("|") if name)
            split = SPLITS[row["case"].split("_")[0]]
            entries.append(Entry(row["case"], image, label, dataset="openkbp", split=split, labelled=labelled))
    mapping = mapping_of(VALUES.values(), words, absent=ABSENT)
    print(write_datalist(DataList(tuple(entries), {"openkbp": mapping}, words), args.output))


if __name__ == "__main__":
    main()
