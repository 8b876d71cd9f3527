"""DICOM labels of a whole body: seconds, size and memory of SEG and RTSTRUCT, and whether every voxel comes back.

`python benches/dicom_labels.py [--slices N] [--classes N] [--json FILE]` needs the `dicom` extra. The series and its
labels are made by code: bodies of the vocabulary's structures, rippled so that outlines have many points.
Each format is written and read in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import prosect
from prosect import vocabulary
from prosect.io.dicom.choices import DicomChoices
from prosect.labelmap import LabelMap

SIDE = 512
SPACING_MM, STEP_MM = 0.8, 3.0
FORMATS = {
    "SEG, BINARY": ("a.seg.dcm", DicomChoices()),
    "SEG, BINARY, deflate": ("b.seg.dcm", DicomChoices(seg_compression="deflate")),
    "SEG, LABELMAP, RLE": ("c.seg.dcm", DicomChoices("labelmap")),
    "SEG, LABELMAP, none": ("d.seg.dcm", DicomChoices("labelmap", seg_compression="none")),
    "RTSTRUCT": ("e.rtstruct.dcm", DicomChoices()),
    "RTSTRUCT, 0.5 mm": ("f.rtstruct.dcm", DicomChoices(rt_tolerance_mm=0.5)),
}


def main() -> None:
    """Print one row per format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--classes", type=int, default=117)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder / "ct", args.slices)
        array = structures(args.slices, args.classes)
        np.save(folder / "labels.npy", array)
        share = np.count_nonzero(array) / array.size
        found = np.unique(array).size - 1
        print(f"{found} structures in {array.shape[0]} x {array.shape[1]} x {array.shape[2]}, {share:.0%} labelled")
        print("| format | MB | frames or outlines | write s | read s | peak MiB | other voxels |")
        print("|---|---|---|---|---|---|---|")
        for title in FORMATS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measure, (folder, title))
            rows[title] = row
            cells = (f"{row['mb']:.1f}", row["parts"], f"{row['write_s']:.1f}", f"{row['read_s']:.1f}")
            print("| " + " | ".join(map(str, (title, *cells, row["peak_mib"], row["other"]))) + " |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def measure(folder: Path, title: str) -> dict[str, Any]:
    """Return what one format costs; seconds are of the processor."""
    warnings.simplefilter("ignore")
    name, choices = FORMATS[title]
    volume = prosect.read(folder / "ct")
    array = np.load(folder / "labels.npy")
    labels = LabelMap(array, volume.grid, vocabulary.load("vista3d-ct"), {"model": "bench"})
    before, start = peak_mib(), time.process_time()
    path = prosect.write(labels, folder / name, like=volume, dicom=choices)
    written, peak = time.process_time(), peak_mib()
    back = prosect.read_labels(path, like=volume)
    read = time.process_time()
    dataset = pydicom.dcmread(path)
    parts = dataset.get("NumberOfFrames")
    if parts is None:
        parts = sum(len(item.ContourSequence) for item in dataset.ROIContourSequence)
    return {
        "mb": path.stat().st_size / 1e6,
        "parts": int(parts),
        "write_s": written - start,
        "read_s": read - written,
        "peak_mib": peak,
        "before_mib": before,
        "other": differing(back, array),
    }


def differing(back: Any, array: NDArray[np.uint8]) -> int:
    """Return how many voxels came back otherwise, of each structure by itself where outlines overlap."""
    if not back.layers:
        return int(np.count_nonzero(back.array != array))
    count = 0
    for mask, value in zip(back.array, back.layers, strict=True):
        count += int(np.count_nonzero(mask != (array == value)))
    return count


def peak_mib() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def structures(slices: int, classes: int) -> NDArray[np.uint8]:
    """Return label values (i j k): rippled ellipsoids of many sizes, later ones over earlier ones."""
    rng = np.random.default_rng(0)
    indices = [each.index for each in vocabulary.load("vista3d-ct") if each.supported][:classes]
    array = np.zeros((SIDE, SIDE, slices), np.uint8)
    size = np.array([SIDE, SIDE, slices])
    # A few large ones first, as liver and lungs are; most are small.
    for number, index in enumerate(indices):
        axes = np.maximum(size * (0.17 if number < 8 else 0.055) * rng.uniform(0.6, 1.4, 3), 2)
        middle = size / 2 + (rng.random(3) - 0.5) * size * (0.75, 0.55, 0.9)
        low = np.maximum(np.floor(middle - 1.3 * axes), 0).astype(int)
        high = np.minimum(np.ceil(middle + 1.3 * axes) + 1, size).astype(int)
        places = np.ogrid[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
        away = sum(((place - m) / a) ** 2 for place, m, a in zip(places, middle, axes, strict=True))
        ripple = sum(np.sin(place / 5.0 + number) for place in places)
        part = array[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
        part[away < 1 + 0.06 * ripple] = index
    return array


def write_series(folder: Path, slices: int) -> None:
    """Write a CT series."""
    folder.mkdir()
    pixels = np.zeros((SIDE, SIDE), "<i2").tobytes()
    for k in range(slices):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"1.2.826.0.1.3680043.2.1.{k + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
        data.PatientName, data.PatientID, data.StudyDate, data.Modality = "Bench", "B1", "20200101", "CT"
        data.Rows = data.Columns = SIDE
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.ImagePositionPatient, data.ImageOrientationPatient = [-200, -200, STEP_MM * k], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness, data.InstanceNumber = [SPACING_MM, SPACING_MM], STEP_MM, k + 1
        data.PixelData = pixels
        pydicom.dcmwrite(folder / f"{k:04d}.dcm", data, enforce_file_format=True)


if __name__ == "__main__":
    main()
