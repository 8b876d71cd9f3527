"""Write the data list of structures that the clicks of the shipped model were not trained on.

`python experiments/list_unseen.py --data DATA --set heart -o heart.json`; then
`prosect evaluate clicks heart.json -o RESULTS --zero-shot --clicks 5`. Sets: MR of hearts, hippocampi, brains, thighs
(CT, too), cords and a spine; of abdominal CT the organs and the scans that the click training left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.mapping import mapping_of, with_new


@dataclass(frozen=True)
class UnseenSet:
    """Scans of one folder, with their label files, and what the label values mean (values left out are not asked)."""

    folder: str
    files: tuple[tuple[str, str], ...]
    structures: Mapping[int, str]


HIPPOCAMPI = ("001", "049", "098", "150")
ABDOMENS = ("05", "12", "18", "25")
# An object of a mask file has one name here, whatever its parts: front and back of a hippocampus are one structure.
SETS = {
    "heart": UnseenSet(
        "msd_heart_la",
        tuple((f"la_{n}_image.nii.gz", f"la_{n}_label.nii.gz") for n in ("009", "016")),
        {1: "left atrium"},
    ),
    "hippocampus": UnseenSet(
        "msd_hippocampus",
        tuple((f"images/hippocampus_{n}.nii.gz", f"labels/hippocampus_{n}.nii.gz") for n in HIPPOCAMPI),
        {1: "+hippocampus in MR", 2: "+hippocampus in MR"},
    ),
    "brain": UnseenSet(
        "pyradiomics", tuple((f"brain{n}_image.nrrd", f"brain{n}_label.nrrd") for n in (1, 2)), {1: "brain tumor"}
    ),
    "thigh": UnseenSet(
        "sts_thigh",
        tuple(
            (f"STS_{n}_image.nii.gz", f"STS_{n}_mask.nii.gz") for n in ("002_MR_T1", "003_MR_T1", "002_CT", "003_CT")
        ),
        {1: "+soft tissue tumor"},
    ),
    "cord": UnseenSet(
        "sct_spinal_cord_mri",
        (("t1_t1w.nii.gz", "t1_t1w_seg-manual.nii.gz"), ("t2_t2.nii.gz", "t2_t2_seg-manual.nii.gz")),
        {1: "spinal cord"},
    ),
    "vertebrae": UnseenSet(
        "tptbox_spine",
        (("sub-mri_label-6_T2w.nii.gz", "sub-mri_seg-vert_label-6_msk.nii.gz"),),
        {5: "+vertebra five", 6: "+vertebra six", 7: "+vertebra seven"},
    ),
    "spine parts": UnseenSet(
        "tptbox_spine",
        (("sub-mri_label-6_T2w.nii.gz", "sub-mri_seg-subreg_label-6_msk.nii.gz"),),
        {49: "+vertebral body", 60: "+spinal cord in MR", 61: "+spinal canal in MR"},
    ),
    "abdomen": UnseenSet(
        "btcv_sabs",
        tuple((f"btcv_{n}_ct.nii.gz", f"btcv_{n}_seg.nii.gz") for n in ABDOMENS),
        {4: "gallbladder", 7: "stomach", 11: "pancreas", 12: "right adrenal gland", 13: "left adrenal gland"},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    unseen = SETS[args.set]
    structures = list(unseen.structures.items())
    words = with_new(vocabulary.load("prosect"), structures)
    folder = args.data / unseen.folder
    entries = []
    for image, label in unseen.files:
        name = Path(image).name.split(".")[0]
        entries.append(Entry(name, folder / image, folder / label, dataset=unseen.folder, split="testing"))
    mapping = {unseen.folder: mapping_of([*structures, ("*", None)], words)}
    print(write_datalist(DataList(tuple(entries), mapping, words), args.output))


if __name__ == "__main__":
    main()
