"""Black out parts of the necks that teach, as the dose masks of their data set black out parts of scans.

`python experiments/list_openkbp.py --data OPENKBP -o NECKS/lists/neck.json`, then
`python experiments/masked_necks.py NECKS/lists/neck.json`, which writes `masked.json` beside the list and a copy of
each training scan in which all is air but an ellipsoid around a labelled place and the labelled structures with a rim
of a voxel. Then, beside `experiments/masked_necks.toml` copied to NECKS and version 5 of prosect-small:

`prosect train NECKS/masked_necks.toml --work NECKS/run`, and the same without its second list, to compare with;
`prosect evaluate auto NECKS/lists/neck.json --split validation -m prosect-small -w NECKS/run/prosect-small.safetensors`
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import prosect
from prosect.data.datalist import Entry, read_datalist, write_datalist
from prosect.io.writing import write
from prosect.volume import Volume

AIR_HU = -1024.0
# Half axes of the ellipsoid, and how far its middle lies from the labelled place (standard deviation).
LEAST_MM, MOST_MM, AWAY_MM = 60.0, 150.0, 25.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path)
    args = parser.parse_args()
    necks = read_datalist(args.list)
    folder = args.list.parent / "masked"
    folder.mkdir(exist_ok=True)
    masked = tuple(masked_copy(entry, folder) for entry in necks if entry.split == "training")
    write_datalist(replace(necks, entries=masked), args.list.parent / "masked.json")


def masked_copy(entry: Entry, folder: Path) -> Entry:
    """Write the masked copy of a scan, unless it is there, and return its entry; the labels stay true."""
    path = folder / f"{entry.name}.nii.gz"
    if not path.exists():
        volume, labels = prosect.read(entry.image), prosect.read_labels(entry.label).array
        generator = np.random.default_rng(list(entry.name.encode()))
        keep = kept(labels > 0, np.asarray(volume.grid.spacing_mm), generator)
        hu = np.where(keep, volume.array, AIR_HU).astype(np.float32)
        write(Volume(hu, volume.grid, "CT"), path)
    return replace(entry, name=f"{entry.name}_masked", image=path)


def kept(
    organs: NDArray[np.bool_], spacing_mm: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return what a dose mask might have left (i j k)."""
    places = np.argwhere(organs)
    centre = places[generator.integers(len(places))] * spacing_mm + generator.normal(0, AWAY_MM, 3)
    axes = [np.arange(count) * step for count, step in zip(organs.shape, spacing_mm, strict=True)]
    away = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - centre
    inside = ((away / generator.uniform(LEAST_MM, MOST_MM, 3)) ** 2).sum(-1) < 1
    return np.asarray(inside | ndimage.binary_dilation(organs))


if __name__ == "__main__":
    main()
