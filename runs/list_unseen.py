"""Write the data list of scans whose modality the shipped model has never seen: hearts or brains in MR.

`python runs/list_unseen.py --data DATA --set heart -o heart.json`; then
`prosect evaluate clicks heart.json -o RESULTS --zero-shot --clicks 10`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from prosect import vocabulary
from prosect.training.datalist import DataList, Entry, write_datalist
from prosect.training.mapping import mapping_of

# Folder, cases, ending of image and label, structure of the value 1.
SETS = {
    "heart": ("msd_heart_la", ("la_009", "la_016"), ".nii.gz", "left atrium"),
    "brain": ("pyradiomics", ("brain1", "brain2"), ".nrrd", "brain tumor"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    folder, cases, ending, structure = SETS[args.set]
    words = vocabulary.load("prosect")
    entries = []
    for case in cases:
        image, label = (args.data / folder / f"{case}_{part}{ending}" for part in ("image", "label"))
        entries.append(Entry(case, image, label, dataset=folder, split="testing"))
    print(write_datalist(DataList(tuple(entries), {folder: mapping_of([(1, structure)], words)}, words), args.output))


if __name__ == "__main__":
    main()
