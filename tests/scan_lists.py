"""Lists of scans that lie in files, made from a scan in memory."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

import prosect
from prosect.data.datalist import DataList, Entry
from prosect.data.labelled import LabelledScan
from prosect.data.mapping import LabelMapping


def write_list(folder: Path, scan: LabelledScan, *names: str) -> DataList:
    """Write a scan and its labels once for each name, and return the list of them."""
    entries = []
    for name in names or (scan.name,):
        image, label = folder / f"{name}.nii.gz", folder / f"{name}-label.nii.gz"
        prosect.write(scan.volume, image)
        array = np.asarray(scan.labels.array)  # type: ignore[union-attr]
        nibabel.save(nibabel.Nifti1Image(array, scan.volume.grid.affine), label)
        entries.append(Entry(name, image, label, dataset=scan.dataset))
    mapping = LabelMapping({index: index for index in scan.known})
    return DataList(tuple(entries), {scan.dataset: mapping}, scan.vocabulary)
