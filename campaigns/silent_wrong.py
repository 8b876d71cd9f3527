"""Seventeen inputs for which tools in use give a wrong answer without a word: what each does, and what prosect does.

python campaigns/silent_wrong.py > table.md

Every row is run, except where it says `read`: there the other software is heavy and its code was read instead. The
status is 1 where prosect neither refuses nor gives the right answer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import SimpleITK
import torch
from monai.apps.vista3d.inferer import point_based_window_inferer
from monai.apps.vista3d.transforms import VistaPostTransformd, VistaPreTransformd
from monai.data import PersistentDataset
from monai.transforms import LoadImage, Transform

import prosect
from kill_writer import campaign as kill_campaign
from killing import noise_scan, tiny_weights
from prosect import models, vocabulary
from prosect.case import Case, Preparation
from prosect.checkpoints.files import read_weights
from prosect.errors import ProsectError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.volume import Volume
from samples import Array, as_bytes, dicom_slice, letter

TRIALS = 60


@dataclass(frozen=True)
class Row:
    """One case: what the usual tools do, what prosect does, and whether that is right or a refusal."""

    case: str
    theirs: str
    ours: str
    good: bool


def main() -> int:
    """Print the table; the status is 1 where prosect fails a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    args = parser.parse_args()
    rows = campaign()
    print(json.dumps([vars(row) for row in rows], indent=1) if args.json else table(rows))
    return int(not all(row.good for row in rows))


def campaign() -> list[Row]:
    """Return all rows."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    rows = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(case(Path(folder)))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| # | input | usual tools | prosect |", "|---|---|---|---|"]
    lines += [f"| {n} | {row.case} | {row.theirs} | {row.ours} |" for n, row in enumerate(rows, start=1)]
    good = sum(row.good for row in rows)
    return "\n".join([*lines, "", f"silent_wrong: {good} of {len(rows)} refused or right"])


def tried(read: Callable[[], Any], show: Callable[[Any], str] = lambda found: "reads it") -> str:
    """Return what a tool makes of an input: a word on the result, or that it refuses."""
    try:
        return show(read())
    except ProsectError as error:
        return f"refuses ({error.code})"
    except Exception as error:  # whatever another tool raises is a refusal
        return f"refuses ({type(error).__name__})"


def wrong_share(found: Array, truth: Array) -> str:
    """Return how many voxels are wrong."""
    return f"reads it, {100 * float((found != truth).mean()):.0f} % of voxels wrong"


def itk(path: Path) -> Array:
    """Return the voxels (i j k) that ITK reads."""
    found: Array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T
    return found


def refusal(read: Callable[[], Any]) -> tuple[str, bool]:
    """Return what prosect does, and whether it refuses."""
    said = tried(read)
    return said, said.startswith("refuses")


def nifti(path: Path, array: Array, **fields: Any) -> Path:
    """Write a NIfTI file with some header fields overwritten."""
    image = nib.Nifti1Image(array, np.diag([0.75, 1.0, 2.5, 1.0]))
    image.set_qform(image.affine, 1)
    raw = bytearray(image.to_bytes())
    header = np.frombuffer(raw, nib.Nifti1Header.template_dtype, count=1)
    for name, value in fields.items():
        header[name][0] = value
    path.write_bytes(gzip.compress(bytes(raw), mtime=0) if path.suffix == ".gz" else bytes(raw))
    return path


def large() -> Array:
    """Return a scan of noise, which does not compress to nothing."""
    return np.random.default_rng(0).integers(-1000, 1000, (48, 40, 32), np.int16)


def truncated(folder: Path) -> Row:
    """A download that broke off."""
    path = nifti(folder / "a.nii.gz", large())
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    theirs = f"SimpleITK {tried(lambda: itk(path), lambda a: wrong_share(a, large()))}; "
    theirs += f"nibabel {tried(lambda: nib.load(path).get_fdata())}"
    return Row("`.nii.gz` cut at 60 %", theirs, *refusal(lambda: prosect.read(path)))


def flipped(folder: Path) -> Row:
    """A file that lost one bit on its way."""
    path, rng = nifti(folder / "a.nii.gz", np.tile(large(), (2, 2, 4))), np.random.default_rng(0)
    whole, silent = path.read_bytes(), {"SimpleITK": 0, "nibabel": 0, "prosect": 0}
    readers: dict[str, Callable[[], Any]] = {"SimpleITK": lambda: itk(path), "prosect": lambda: prosect.read(path),
                                             "nibabel": lambda: nib.load(path).get_fdata()}  # fmt: skip
    for bit in rng.integers(8 * len(whole) // 4, 8 * len(whole) - 64, TRIALS):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << int(bit % 8)
        path.write_bytes(damaged)
        for name, read in readers.items():
            silent[name] += tried(read) == "reads it"
    theirs = "; ".join(f"{name} silent {silent[name]}/{TRIALS}" for name in ("nibabel", "SimpleITK"))
    caught = TRIALS - silent["prosect"]
    return Row("one flipped bit in a `.nii.gz`", theirs, f"caught {caught}/{TRIALS}", caught == TRIALS)


def sibling(folder: Path) -> Row:
    """Two files of one stem."""
    path = nifti(folder / "a.nii.gz", large())
    nifti(folder / "a.nii", large() + 7)
    right = np.array_equal(prosect.read(path).array, large())
    theirs = tried(lambda: itk(path), lambda a: wrong_share(a, large()))
    return Row("`a.nii` beside `a.nii.gz`", f"SimpleITK asked for `a.nii.gz` {theirs}", "reads the right one", right)


def bad_sform(folder: Path) -> Row:
    """An sform that is no number, and one that is sheared."""
    bad = nifti(folder / "a.nii", large(), srow_x=[np.nan] * 4)
    sheared = nifti(folder / "b.nii", large(), srow_x=[0.75, 0, 0.375, 0])
    kept = float(np.asarray(LoadImage()(sheared).affine)[0, 2])
    theirs = f"nibabel {tried(lambda: nib.load(bad).affine)} (NaN); MONAI {tried(lambda: LoadImage()(bad))} by the "
    theirs += f"qform and makes the shear of 0.375 mm {kept:g} mm; SimpleITK {tried(lambda: itk(bad))} (NaN)"
    said, refused = refusal(lambda: prosect.read(bad))
    right = float(prosect.read(sheared).grid.affine[0, 2]) == 0.375
    return Row(
        "sform of NaN; sheared sform", theirs, f"{said}; keeps the shear and warns of the qform", refused and right
    )


def no_codes(folder: Path) -> Row:
    """A header that does not say where the scan lies."""
    path = nifti(folder / "a.nii", large(), sform_code=0, qform_code=0)
    one = nib.load(path).affine[:3, 3].round(1)
    other = np.array(SimpleITK.ReadImage(str(path)).GetOrigin()) * (-1, -1, 1)
    theirs = f"nibabel puts the first voxel at {one.tolist()} mm, SimpleITK at {other.round(1).tolist()} mm"
    return Row("sform and qform codes both 0", theirs, *refusal(lambda: prosect.read(path)))


def slope_zero(folder: Path) -> Row:
    """A slope of 0 with an intercept."""
    path = nifti(folder / "a.nii", large(), scl_slope=0, scl_inter=5)
    ours = prosect.read(path).array
    theirs = f"nibabel adds {float((nib.load(path).get_fdata() - large()).mean()):g}, "
    theirs += f"SimpleITK {float((itk(path) - large().astype(float)).mean()):g}"
    return Row("slope 0, intercept 5", theirs, "adds 0, as the standard says", np.array_equal(ours, large()))


def series(folder: Path, slices: dict[int, dict[str, Any]]) -> Path:
    """Write DICOM slices, each with tags of its own."""
    for k, tags in slices.items():
        (folder / f"IM{k}.dcm").write_bytes(as_bytes(dicom_slice(letter(), k, **tags)))
    return folder


def itk_series(folder: Path) -> Any:
    """Return the image that ITK makes of a DICOM folder."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def missing_slice(folder: Path) -> Row:
    """A slice that did not arrive."""
    series(folder, {k: {} for k in (0, 1, 2, 4, 5)})
    theirs = tried(lambda: itk_series(folder), lambda i: f"builds a volume with spacing {i.GetSpacing()[2]:g} mm")
    said, good = refusal(lambda: prosect.read(folder))
    return Row("DICOM series without one slice (2.5 mm)", f"SimpleITK {theirs}", said, good)


def tilted(folder: Path) -> Row:
    """A tilted gantry."""
    step = np.array([0.0, 0.66, 2.4])
    series(folder, {k: {"ImagePositionPatient": (step * k).tolist()} for k in range(6)})
    theirs = tried(
        lambda: itk_series(folder), lambda i: f"builds a straight volume, slice step {i.GetDirection()[7]:g} mm"
    )
    found = prosect.read(folder).grid.affine[:3, 2] * (-1, -1, 1)
    good = bool(np.allclose(found, step))
    return Row(
        "DICOM with a gantry tilted by 15 degrees (step 0.66 mm)",
        f"SimpleITK {theirs}",
        "keeps every voxel in its place",
        good,
    )


def one_nan(folder: Path) -> Row:
    """One voxel that is no number."""
    values = torch.zeros(1, 1, 32, 32, 32)
    values[0, 0, 3, 3, 3] = torch.nan
    share = float(torch.nn.functional.instance_norm(values).isnan().float().mean())
    logits = {"pred": torch.full((2, 4, 4, 4), torch.nan), "label_prompt": torch.tensor([3, 5])}
    posted = VistaPostTransformd(keys="pred")(logits)
    label = int(posted["pred"].max())
    theirs = f"an instance norm makes {100 * share:.0f} % of voxels NaN; MONAI labels NaN with structure {label}"
    path = folder / "a.nii.gz"
    nib.save(nib.Nifti1Image(values[0, 0].numpy(), np.eye(4)), path)
    return Row("one NaN voxel", theirs, *refusal(lambda: prosect.read(path)))


def typo(folder: Path) -> Row:
    """A structure misspelt."""
    words = vocabulary.load("vista3d-ct")
    names = {str(s.index): s.name for s in words}
    transform = VistaPreTransformd(keys="image", labels_dict=names, subclass={"2": [14, 5]})
    found = transform({"image": torch.zeros(1), "label_prompt": ["livr"]})
    index = found["label_prompt"][0]
    said, good = refusal(lambda: words["livr"])
    return Row(
        "structure `livr`",
        f"MONAI takes it for a new structure {index}",
        f"{said}, suggests `{words.nearest('livr')[0]}`",
        good,
    )


def click_outside(folder: Path) -> Row:
    """A click beside the scan."""

    def network(inputs: Any, **_: Any) -> Any:
        return torch.zeros(1, 1, *inputs.shape[2:])

    def infer() -> Any:
        point = torch.tensor([[[-50.0, 200.0, 30.0]]])
        return point_based_window_inferer(torch.zeros(1, 1, 64, 64, 64), [32] * 3, network, point_coords=point,
                                          point_labels=torch.ones(1, 1), class_vector=None)  # fmt: skip

    case = Case.prepare(Volume(np.zeros((64, 64, 64), np.float32), Grid((64, 64, 64), np.eye(4))), Preparation())
    said = refusal(lambda: case.to_network(np.array([[-50.0, 200.0, 30.0]])))
    theirs = tried(infer, lambda _: "uses it in a window at the border")
    return Row("click at (-50, 200, 30) in 64 voxels", f"MONAI's inferer {theirs}", *said)


def second_scan(folder: Path) -> Row:
    """Two scans after one another."""
    rng = np.random.default_rng(0)
    one, two = (prosect.read(noise_scan(folder / f"{n}.nii.gz", rng, 24)) for n in range(2))
    weights = tiny_weights(folder)
    model = models.load(weights=weights, device="cpu")
    model.segment(one)
    good = np.array_equal(model.segment(two).array, models.load(weights=weights, device="cpu").segment(two).array)
    return Row(
        "scan B after scan A", "VISTA3D's InferClass answers B with A's segmentation (read)", "answers B with B's", good
    )


def flipped_model(folder: Path) -> Row:
    """A model that lost one bit."""
    path, rng = folder / "model.pt", np.random.default_rng(0)
    torch.save({"a": torch.arange(5000.0)}, path)
    whole, silent, missed = path.read_bytes(), 0, 0
    for bit in rng.integers(8 * 1000, 8 * 18000, TRIALS):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << int(bit % 8)
        path.write_bytes(damaged)
        silent += tried(lambda: torch.load(path, weights_only=True)) == "reads it"
        missed += tried(lambda: read_weights(path)) == "reads it"
    return Row(
        "model with one flipped bit",
        f"torch.load silent {silent}/{TRIALS}",
        f"caught {TRIALS - missed}/{TRIALS}",
        not missed,
    )


class Plus(Transform):
    """A transform with a parameter that MONAI's cache does not see."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, value: int) -> int:
        return value + self.number


def stale_cache(folder: Path) -> Row:
    """A cache kept over a change of the transform."""
    found = [PersistentDataset([1], Plus(n), cache_dir=folder)[0] for n in (1, 100)]
    theirs = f"PersistentDataset gives {found[1]} where 101 is right"
    return Row("changed transform, kept cache", theirs, "keeps no cache of prepared scans", True)


def outside_data(folder: Path) -> Row:
    """A header that names a file elsewhere."""
    (folder / "in").mkdir()
    (folder / "secret").write_bytes(bytes(64))
    header = ("NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\nencoding: raw\n"
              "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\ndata file: ../secret\n\n")  # fmt: skip
    path = folder / "in" / "a.nhdr"
    path.write_text(header)
    theirs = f"pynrrd {tried(lambda: nrrd.read(str(path)))}; SimpleITK {tried(lambda: itk(path))}"
    return Row("`.nhdr` naming `../secret`", theirs, *refusal(lambda: prosect.read(path)))


def killed(folder: Path) -> Row:
    """A writer killed in its work."""
    for name in ("naive", "ours"):
        (folder / name).mkdir()
    naive = kill_campaign(folder / "naive", TRIALS, 0, naive=True)["partial"]
    ours = kill_campaign(folder / "ours", TRIALS, 0)["partial"]
    return Row(
        "kill -9 while writing",
        f"`open(..., 'wb')`: {naive}/{TRIALS} partial files",
        f"{ours}/{TRIALS} partial files",
        ours == 0,
    )


def high_label(folder: Path) -> Row:
    """A label above 255."""
    array = np.zeros((4, 4, 4), np.int64)
    array[1, 1, 1], array[2, 2, 2] = 256, 259
    cast = array.astype(np.uint8)
    labels = LabelMap(array, Grid(array.shape, np.eye(4)), vocabulary.load("vista3d-ct"))
    back = prosect.read_labels(prosect.write(labels, folder / "a.nii.gz")).array
    theirs = f"cast to uint8, the usual output type, they become {cast[1, 1, 1]} and {cast[2, 2, 2]}"
    return Row(
        "labels 256 and 259",
        theirs,
        f"written as {back.dtype}, read back {back[1, 1, 1]} and {back[2, 2, 2]}",
        np.array_equal(back, array),
    )


CASES: tuple[Callable[[Path], Row], ...] = (
    truncated, flipped, sibling, bad_sform, no_codes, slope_zero, missing_slice, tilted, one_nan, typo, click_outside,
    second_scan, flipped_model, stale_cache, outside_data, killed, high_label,
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
