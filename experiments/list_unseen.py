"""Write the data list of MR scans, a modality the shipped model has never seen: hearts, brains, thighs, cords.

`python experiments/list_unseen.py --data DATA --set heart -o heart.json`; then
`prosect evaluate clicks heart.json -o RESULTS --zero-shot --clicks 10`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.mapping import mapping_of, with_new

# Folder, its files of image and label, structure of the value 1.
SETS = {
    "heart": (
        "msd_heart_la",
        [(f"la_{n}_image.nii.gz", f"la_{n}_label.nii.gz") for n in ("009", "016")],
        "left atrium",
    ),
    "brain": ("pyradiomics", [(f"brain{n}_image.nrrd", f"brain{n}_label.nrrd") for n in (1, 2)], "brain tumor"),
    "thigh": (
        "sts_thigh",
        [(f"STS_00{n}_MR_T1_image.nii.gz", f"STS_00{n}_MR_T1_mask.nii.gz") for n in (2, 3)],
        "+soft tissue tumor",
    ),
    "cord": (
        "sct_spinal_cord_mri",
        [("t1_t1w.nii.gz", "t1_t1w_seg-manual.nii.gz"), ("t2_t2.nii.gz", "t2_t2_seg-manual.nii.gz")],
        "spinal cord",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    folder, files, structure = SETS[args.set]
    words = vocabulary.load("prosect")
    words = with_new(words, [(1, structure)])
    entries = [
        Entry(Path(image).name.split(".")[0], args.data / folder / image, args.data / folder / label,
              dataset=folder, split="testing")
        for image, label in files
    ]  # fmt: skip
    print(write_datalist(DataList(tuple(entries), {folder: mapping_of([(1, structure)], words)}, words), args.output))


if __name__ == "__main__":
    main()
