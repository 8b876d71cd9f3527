"""Write a scan with one library and read it with others: the brightest voxel lies at one place in the world.

python campaigns/geometry.py --count 2000

Hypothesis draws shape, spacing, rotation, axis order, origin and the bright voxel. We, nibabel, SimpleITK and pynrrd
each write the scan in the formats they know, and all others read it. The world position of the voxel is compared with
the truth in double precision, not affines with affines. ITK's own remarks on standard error mean nothing here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import nibabel as nib
import nrrd
import numpy as np
import SimpleITK
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import prosect
from prosect.geometry import AxisOrder
from prosect.volume import Volume
from samples import LPS, Array

# What the formats themselves can hold: NIfTI keeps its affine in single precision.
LIMIT_MM = {"nii": 1e-3, "nrrd": 1e-6, "mha": 1e-6}
ORDERS = [AxisOrder(axes, flips) for axes in itertools.permutations(range(3))
          for flips in itertools.product((False, True), repeat=3)]  # fmt: skip
Distances = dict[tuple[str, str, str], float]


@dataclass(frozen=True, eq=False)
class Example:
    """A scan with one bright voxel, and where that lies in RAS mm."""

    array: Array
    affine: Array
    place: Array


def main() -> int:
    """Print one line of figures; the status is 1 where a library pair disagrees beyond what the format can hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="examples (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the largest distance of each pair as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        worst = campaign(Path(folder), args.count, args.seed)
    ours = {key: mm for key, mm in worst.items() if "prosect" in key}
    bad = {key: mm for key, mm in ours.items() if not mm <= LIMIT_MM[key[0]]}
    if args.json:
        print(json.dumps({" ".join(key): mm for key, mm in sorted(worst.items())}, indent=1))
    else:
        largest = {kind: max(mm for key, mm in ours.items() if key[0] == kind) for kind in LIMIT_MM}
        shown = ", ".join(f"{kind} {mm:.1e}" for kind, mm in largest.items())
        print(f"geometry: {args.count} examples, {len(ours)} pairs with prosect, largest distance in mm: {shown}; "
              f"{len(bad)} pairs beyond the format's precision")  # fmt: skip
    return int(bool(bad))


def campaign(folder: Path, count: int, number: int) -> Distances:
    """Return for each format, writer and reader the largest distance of the bright voxel from the truth."""
    worst: Distances = defaultdict(float)

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(examples())
    def compare(example: Example) -> None:
        for key, mm in triangle(example, folder).items():
            worst[key] = max(worst[key], mm)

    compare()
    return worst


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Draw a scan: any rotation, all 48 orders, spacings of 0.3 to 10 mm, origins up to a metre away."""
    shape = tuple(draw(st.integers(1, 9)) for _ in range(3))
    spacing = [draw(st.floats(0.3, 10)) for _ in range(3)]
    angles = [draw(st.sampled_from([0.0, 90.0, 45.0]) | st.floats(-180, 180)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) @ np.diag(spacing)
    affine[:3, 3] = [draw(st.floats(-1000, 1000)) for _ in range(3)]
    order = ORDERS[draw(st.integers(0, 47))]
    bright = tuple(draw(st.integers(0, n - 1)) for n in shape)
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape) % 50
    array[bright] = 999
    place = affine @ [*bright, 1.0]
    stored = prosect.Grid((shape[0], shape[1], shape[2]), affine).reorder(order)
    return Example(order.apply(array).copy(), stored.affine, place[:3])


def rotation(degrees: list[float]) -> Array:
    """Return the product of turns about x, y and z."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        turn = one @ turn
    return turn


def triangle(example: Example, folder: Path) -> Distances:
    """Return the distance in mm for each format, writer and reader."""
    found = {}
    for kind, (writers, readers) in FORMATS.items():
        for writer, write in writers.items():
            path = folder / f"{writer}.{kind}"
            write(example, path)
            for reader, read in readers.items():
                array, affine = read(path)
                index = np.unravel_index(int(np.argmax(array)), array.shape)
                place = affine @ [*index, 1.0]
                found[kind, writer, reader] = float(np.linalg.norm(place[:3] - example.place))
    return found


def write_ours(example: Example, path: Path) -> None:
    """Write with prosect."""
    shape = example.array.shape
    prosect.write(Volume(example.array, prosect.Grid(shape, example.affine)), path)


def write_nibabel(example: Example, path: Path) -> None:
    """Write with nibabel."""
    image = nib.Nifti1Image(example.array, example.affine)
    image.set_qform(example.affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_itk(example: Example, path: Path) -> None:
    """Write with SimpleITK."""
    lps = LPS @ example.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(example.array.T)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path))


def write_pynrrd(example: Example, path: Path) -> None:
    """Write with pynrrd."""
    lps = LPS @ example.affine
    header = {"space": "left-posterior-superior", "space directions": lps[:3, :3].T, "space origin": lps[:3, 3],
              "kinds": ["domain"] * 3}  # fmt: skip
    nrrd.write(str(path), example.array, header)


def read_ours(path: Path) -> tuple[Array, Array]:
    """Read with prosect."""
    found = prosect.read(path)
    return found.array, found.grid.affine


def read_nibabel(path: Path) -> tuple[Array, Array]:
    """Read with nibabel."""
    found = nib.load(path)
    return found.get_fdata(), found.affine


def read_itk(path: Path) -> tuple[Array, Array]:
    """Read with SimpleITK, and ask it for the place of each corner."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, 3] = image.TransformIndexToPhysicalPoint((0, 0, 0))
    for axis in range(3):
        index = [0.0, 0.0, 0.0]
        index[axis] = 1.0
        affine[:3, axis] = image.TransformContinuousIndexToPhysicalPoint(index) - affine[:3, 3]
    return SimpleITK.GetArrayFromImage(image).T, LPS @ affine


def read_pynrrd(path: Path) -> tuple[Array, Array]:
    """Read with pynrrd."""
    array, header = nrrd.read(str(path))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    return array, LPS @ affine


Writer: TypeAlias = Callable[[Example, Path], None]
Reader: TypeAlias = Callable[[Path], tuple[Array, Array]]
FORMATS: dict[str, tuple[dict[str, Writer], dict[str, Reader]]] = {
    "nii": (
        {"prosect": write_ours, "nibabel": write_nibabel, "SimpleITK": write_itk},
        {"prosect": read_ours, "nibabel": read_nibabel, "SimpleITK": read_itk},
    ),
    "nrrd": (
        {"prosect": write_ours, "pynrrd": write_pynrrd, "SimpleITK": write_itk},
        {"prosect": read_ours, "pynrrd": read_pynrrd, "SimpleITK": read_itk},
    ),
    "mha": ({"prosect": write_ours, "SimpleITK": write_itk}, {"prosect": read_ours, "SimpleITK": read_itk}),
}


if __name__ == "__main__":
    sys.exit(main())
