"""DICOM labels of real series as other programs read them: positions, overlap, errors of a validator, pictures.

`python experiments/dicom_readers.py --pair NAME SERIES LABELS ... --work DIR [--nii2 PYTHON]`. LABELS lie on the
grid of their series, in any format. Needs the `dicom` extra, and uses dcmqi, dciodvfy and plastimatch where installed;
PYTHON is an environment that has dcmrtstruct2nii, which needs an older pydicom. A column without its program is empty.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pydicom
from numpy.typing import NDArray
from skimage.measure import points_in_poly

import prosect
from prosect import vocabulary
from prosect.io.dicom.choices import DicomChoices

matplotlib.use("Agg")
from matplotlib import pyplot

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from worlds.label_objects import label_points, same_points, seg_points

Masks = dict[str, NDArray[np.bool_]]
Points = dict[str, NDArray[np.float64]]
# Files by name, as they are chosen with --seg-encoding, --seg-compression and --deidentify.
SEGS = {
    "binary": DicomChoices(),
    "binary-deflate": DicomChoices(seg_compression="deflate"),
    "labelmap": DicomChoices("labelmap"),
    "labelmap-none": DicomChoices("labelmap", seg_compression="none"),
    "labelmap-deflate": DicomChoices("labelmap", seg_compression="deflate"),
    "deidentified": DicomChoices(deidentify=True),
}
RTSTRUCTS = {
    "exact": DicomChoices(),
    "half-a-millimetre": DicomChoices(rt_tolerance_mm=0.5),
    "deidentified": DicomChoices(deidentify=True),
}
COLOURS = matplotlib.colormaps["tab20"]


def main() -> None:
    """Write all kinds of labels of each series and print what each reader finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=3, action="append", metavar=("NAME", "SERIES", "LABELS"), required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--vocabulary", default="prosect", help="names of the label values")
    parser.add_argument("--nii2", type=Path, help="Python that has dcmrtstruct2nii")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: dict[str, list[str]] = defaultdict(list)
    for name, series, stored in args.pair:
        folder = args.work / name
        folder.mkdir(parents=True, exist_ok=True)
        volume = prosect.read(series)
        array = prosect.read_labels(Path(stored), like=volume).array.astype(np.uint16)
        about = {"model": "experiment", "weights_sha256": "00" * 32}
        labels = prosect.LabelMap(array, volume.grid, vocabulary.load(args.vocabulary), about)
        for kind, choices in SEGS.items():
            path = prosect.write(labels, folder / f"{kind}.seg.dcm", like=volume, dicom=choices)
            rows["seg"].append(seg_row(name, kind, path, labels, volume))
        for kind, choices in RTSTRUCTS.items():
            path = prosect.write(labels, folder / f"{kind}.rtstruct.dcm", like=volume, dicom=choices)
            rows["rtstruct"].append(outline_row(name, kind, path, labels, volume, Path(series), args.nii2))
        for kind in ("exact", "deidentified"):
            path = prosect.write(labels, folder / f"{kind}.sr.dcm", like=volume, dicom=RTSTRUCTS[kind])
            rows["sr"].append(f"| {name} | {kind} | {path.stat().st_size / 1e6:.3f} | {validate(path)} |")
        draw(volume, folder)
        print(f"{name}: {len(labels.present)} structures, shape {volume.grid.shape}", flush=True)
    print("\n| series | SEG | MB | by hand mm | highdicom mm | dcmqi mm | read again | dciodvfy errors |")
    print("|---|---|---|---|---|---|---|---|\n" + "\n".join(rows["seg"]))
    print("\n| series | RTSTRUCT | MB | least Dice by hand | plastimatch | dcmrtstruct2nii | read again | dciodvfy |")
    print("|---|---|---|---|---|---|---|---|\n" + "\n".join(rows["rtstruct"]))
    print("\n| series | SR | MB | dciodvfy errors |\n|---|---|---|---|\n" + "\n".join(rows["sr"]))


def seg_row(name: str, kind: str, path: Path, labels: prosect.LabelMap, volume: prosect.Volume) -> str:
    """Return how far the voxels of a SEG are from those of the labels for each reader, in mm."""
    truth = label_points(labels)
    # The others cannot inflate, or look at the pixels as these are packed already in another row.
    readers = [seg_points, highdicom_points, dcmqi_points]
    cells = [f"{path.stat().st_size / 1e6:.2f}"]
    for reader in readers:
        cells.append(attempt(lambda reader=reader: f"{same_points(reader(path), truth):.1e}"))
    same = np.array_equal(prosect.read_labels(path, like=volume).array, labels.array)
    return "| " + " | ".join([name, kind, *cells, "equal" if same else "DIFFERS", validate(path)]) + " |"


def outline_row(
    name: str, kind: str, path: Path, labels: prosect.LabelMap, volume: prosect.Volume, series: Path, nii2: Path | None
) -> str:
    """Return the least Dice of a structure of an RTSTRUCT for each reader."""
    truth = {labels.name_of(index): labels.own_mask(index) for index in labels.present}
    readers = [lambda: masks_by_hand(path, volume), lambda: plastimatch_masks(path, series)]
    readers.append(lambda: nii2_masks(path, series, nii2))
    cells = [f"{path.stat().st_size / 1e6:.2f}"]
    for reader in readers:
        cells.append(attempt(lambda reader=reader: f"{least_dice(reader(), truth):.4f}"))
    back = prosect.read_labels(path, like=volume).array
    other = int(np.count_nonzero(back != labels.array))
    return "| " + " | ".join([name, kind, *cells, f"{other} voxels differ", validate(path)]) + " |"


def attempt(work: Callable[[], str]) -> str:
    """Return what a reader gives, or in words that it refuses."""
    try:
        return work()
    except ModuleNotFoundError:
        return ""
    except (subprocess.CalledProcessError, RuntimeError, ValueError, KeyError, OSError, StopIteration) as error:
        return f"refuses ({type(error).__name__})"


def highdicom_points(path: Path) -> Points:
    """Return the voxel centres of each segment in LPS mm by highdicom."""
    from highdicom.seg import segread

    read = segread(path)
    placed = read.get_volume(combine_segments=True, skip_overlap_checks=True)
    found: Points = {}
    for number in read.segment_numbers:
        if number:
            title = str(read.get_segment_description(number).SegmentLabel)
            found[title] = placed.map_indices_to_reference(np.argwhere(placed.array == number))
    return found


def dcmqi_points(path: Path) -> Points:
    """Return the voxel centres of each segment in LPS mm by dcmqi."""
    import dcmqi
    import SimpleITK

    program = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"
    out = fresh(path.with_suffix(".itk"))
    command = [program, "--inputDICOM", path, "--outputDirectory", out, "-t", "nrrd", "-p", "o", "--mergeSegments"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    names: dict[int, str] = {}
    for group in json.loads((out / "o-meta.json").read_text())["segmentAttributes"]:
        for entry in group:
            names[entry["labelID"]] = entry["SegmentLabel"]
    image = SimpleITK.ReadImage(str(next(out.glob("*.nrrd"))))
    array = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    found: Points = {}
    for value in np.unique(array[array > 0]):
        found[names[int(value)]] = np.argwhere(array == value) @ direction.T + image.GetOrigin()
    return found


def masks_by_hand(path: Path, volume: prosect.Volume) -> Masks:
    """Return the masks (i j k) of each region: pixel centres inside an odd number of its outlines on their slices."""
    data = pydicom.dcmread(path)
    names = {item.ROINumber: str(item.ROIName) for item in data.StructureSetROISequence}
    heights = np.array([frame.position_lps[2] for frame in volume.source.header.frames])
    to_voxel = np.linalg.inv(volume.grid.affine)
    found: Masks = {}
    for region in data.ROIContourSequence:
        mask = np.zeros(volume.grid.shape, np.bool_)
        for contour in region.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            k = int(np.abs(heights - points[0, 2]).argmin())
            ring = (points * (-1, -1, 1)) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
            low = np.maximum(np.floor(ring[:, :2].min(axis=0)).astype(int), 0)
            high = np.minimum(np.ceil(ring[:, :2].max(axis=0)).astype(int) + 1, volume.grid.shape[:2])
            places = np.argwhere(np.ones(high - low)) + low
            inside = points_in_poly(places, ring[:, :2])
            mask[places[inside, 0], places[inside, 1], k] ^= True
        found[names[region.ReferencedROINumber]] = mask
    return found


def plastimatch_masks(path: Path, series: Path) -> Masks:
    """Return the masks (i j k) of each region by plastimatch."""
    if shutil.which("plastimatch") is None:
        raise ModuleNotFoundError
    out = fresh(path.with_suffix(".plastimatch"))
    command = ["plastimatch", "convert", "--input", path, "--referenced-ct", series, "--output-prefix", out]
    subprocess.run([*command, "--prefix-format", "nrrd"], check=True, capture_output=True, timeout=600)
    return image_masks(out, "*.nrrd", "")


def nii2_masks(path: Path, series: Path, python: Path | None) -> Masks:
    """Return the masks (i j k) of each region by dcmrtstruct2nii."""
    if python is None:
        raise ModuleNotFoundError
    out = fresh(path.with_suffix(".nii2"))
    script = "import sys; from dcmrtstruct2nii import dcmrtstruct2nii; dcmrtstruct2nii(*sys.argv[1:4])"
    subprocess.run([python, "-c", script, path, series, out], check=True, capture_output=True, timeout=600)
    return image_masks(out, "mask_*.nii.gz", "mask_")


def image_masks(folder: Path, pattern: str, prefix: str) -> Masks:
    """Return the masks (i j k) in a folder of images, by the name of each file."""
    import SimpleITK

    found: Masks = {}
    for file in folder.glob(pattern):
        title = file.name.removeprefix(prefix).partition(".")[0]
        array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
        found[title.replace("_", " ").replace("-", " ")] = array.transpose(2, 1, 0) > 0
    return found


def least_dice(found: Masks, truth: Masks) -> float:
    """Return the least Dice of a structure; masks may be turned along k, for files do not say in which order."""
    worst = 1.0
    for title, mask in truth.items():
        other = found[title.replace("-", " ")] if title not in found else found[title]
        if other.shape != mask.shape:
            raise ValueError(f"{title}: shape {other.shape}")
        sizes = int(other.sum()) + int(mask.sum())
        overlap = max(int((other & mask).sum()), int((other[..., ::-1] & mask).sum()))
        worst = min(worst, 2 * overlap / sizes)
    return worst


def validate(path: Path) -> str:
    """Return how many errors dciodvfy finds, and keep what it says beside the file.

    It does not inflate; dcmtk's dcmconv does so before, which is a second reader of such files.
    """
    if shutil.which("dciodvfy") is None:
        return ""
    plain = path
    if pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_deflated:
        plain = path.with_suffix(".inflated")
        subprocess.run(["dcmconv", "+te", path, plain], check=True, capture_output=True, timeout=300)
    done = subprocess.run(["dciodvfy", "-new", plain], capture_output=True, text=True, timeout=300)
    path.with_suffix(".dciodvfy.txt").write_text(done.stdout + done.stderr)
    return str(sum(line.startswith("Error") for line in done.stderr.splitlines()))


def draw(volume: prosect.Volume, folder: Path) -> None:
    """Draw the outlines of the RTSTRUCT and the frames of the SEG over slices, both by what their files say."""
    masks = masks_by_hand(folder / "exact.rtstruct.dcm", volume)
    data = pydicom.dcmread(folder / "exact.rtstruct.dcm")
    names = [str(item.ROIName) for item in data.StructureSetROISequence]
    counts = sum(mask.sum(axis=(0, 1)) for mask in masks.values())
    chosen = np.quantile(np.flatnonzero(counts), [0.25, 0.5, 0.75]).astype(int)
    heights = np.array([frame.position_lps[2] for frame in volume.source.header.frames])
    to_voxel = np.linalg.inv(volume.grid.affine)
    low, high = np.percentile(volume.array, [2, 99.5])
    figure, axes = pyplot.subplots(1, 3, figsize=(18, 6.5))
    for axis, k in zip(axes, chosen, strict=True):
        axis.imshow(volume.array[..., k].T, cmap="gray", vmin=low, vmax=high)
        for region in data.ROIContourSequence:
            for contour in region.ContourSequence:
                points = np.array(contour.ContourData, float).reshape(-1, 3)
                if np.abs(heights - points[0, 2]).argmin() != k:
                    continue
                ring = (points * (-1, -1, 1)) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
                closed = np.concatenate([ring, ring[:1]])
                axis.plot(closed[:, 0], closed[:, 1], lw=1.2, color=np.array(region.ROIDisplayColor) / 255)
        axis.set_title(f"RTSTRUCT, slice {k} (LPS z {heights[k]:.1f} mm)")
    figure.savefig(folder / "rtstruct.png", dpi=70, bbox_inches="tight")
    pyplot.close(figure)
    draw_planes(volume, seg_points(folder / "binary.seg.dcm"), names, folder / "seg.png")


def draw_planes(volume: prosect.Volume, points: Points, names: list[str], path: Path) -> None:
    """Draw the segments, placed in mm, in an axial, a coronal and a sagittal plane through the middle of them all."""
    painted = np.zeros(volume.grid.shape, np.uint8)
    for number, title in enumerate(names, start=1):
        voxels = np.rint(volume.grid.to_voxel(points[title] * (-1, -1, 1))).astype(int)
        painted[tuple(voxels.T)] = number
    middle = np.median(np.argwhere(painted), axis=0).astype(int)
    low, high = np.percentile(volume.array, [2, 99.5])
    spacing = volume.grid.spacing_mm
    figure, axes = pyplot.subplots(1, 3, figsize=(18, 6.5))
    for axis, across in zip(axes, (2, 1, 0), strict=True):
        first, second = (n for n in range(3) if n != across)
        scan, label = (array.take(middle[across], across).T for array in (volume.array, painted))
        shape = {"aspect": spacing[second] / spacing[first], "origin": "upper" if across == 2 else "lower"}
        axis.imshow(scan, cmap="gray", vmin=low, vmax=high, **shape)
        colours = COLOURS(label % 20)
        colours[..., 3] = np.where(label > 0, 0.5, 0)
        axis.imshow(colours, interpolation="nearest", **shape)
        axis.set_title(f"SEG, {('sagittal', 'coronal', 'axial')[across]} through {middle[across]}")
    figure.savefig(path, dpi=70, bbox_inches="tight")
    pyplot.close(figure)


def fresh(folder: Path) -> Path:
    """Return an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
