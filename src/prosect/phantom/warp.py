"""Other people out of one labelled scan: its space bent at random, its contrast phase changed.

Where there is only one labelled scan, a network learns that one person by heart. Bending it by a random smooth map that
never folds, and giving every organ the attenuation of another phase, keeps real texture and real neighbours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from prosect.errors import GeometryError
from prosect.labelmap import LabelMap
from prosect.phantom.bending import rotation
from prosect.phantom.body.contrast import Enhancement, draw_enhancement
from prosect.phantom.smoothing import smooth
from prosect.volume import Volume

__all__ = ["random_displacement", "recontrast", "warp", "warp_arrays"]

NODE_MM = 44.0  # distance of the nodes of the random velocity
COARSE_MM = 9.0  # the map is worked out on voxels of about this size
HALVINGS = 6

# Structures by the tissue of `contrast.TABLE` whose attenuation they take.
PHASED: dict[str, str] = {
    "liver": "liver", "spleen": "spleen", "pancreas": "pancreas", "right kidney": "kidney", "left kidney": "kidney",
    "aorta": "artery", "inferior vena cava": "cava above", "portal vein and splenic vein": "portal vein",
    "right adrenal gland": "adrenal", "left adrenal gland": "adrenal", "duodenum": "bowel wall",
    "small bowel": "bowel wall", "stomach": "stomach wall", "heart": "left heart",
    "pulmonary artery": "pulmonary artery",
    "left iliac artery": "artery", "right iliac artery": "artery", "left iliac vena": "iliac vein",
    "right iliac vena": "iliac vein", "superior vena cava": "right heart", "prostate": "prostate",
    "thyroid gland": "thyroid", "left iliopsoas": "muscle", "right iliopsoas": "muscle", "left autochthon": "muscle",
    "right autochthon": "muscle", "left gluteus maximus": "muscle", "right gluteus maximus": "muscle",
    "left gluteus medius": "muscle", "right gluteus medius": "muscle",
}  # fmt: skip
AROUND_HU = 90.0  # what differs more from the median of its label is gas, fat, stool, stone or bone


def warp(
    volume: Volume, labels: LabelMap, generator: np.random.Generator, *, strength: float = 1.0, phase: bool = True
) -> tuple[Volume, LabelMap]:
    """Return another person made of a labelled scan, on the same grid.

    Args:
        volume: A CT.
        labels: On its grid.
        generator: Source of everything.
        strength: Of the bending: 1 moves organs by about a centimetre against each other.
        phase: Whether the contrast phase changes too.

    Raises:
        GeometryError: Labels and scan differ in shape.
    """
    if volume.grid.shape != labels.grid.shape:
        raise GeometryError(f"The labels have shape {labels.grid.shape} but the scan {volume.grid.shape}.")
    if phase:
        volume = recontrast(volume, labels, generator)
    spacing = volume.grid.spacing_mm
    image, array = warp_arrays(volume.array, labels.array, generator, spacing_mm=spacing, strength=strength)
    made = Volume(image, volume.grid, volume.modality, replace(volume.source, header=None))
    return made, LabelMap(array, labels.grid, labels.vocabulary, labels.provenance)


def warp_arrays(
    image: NDArray[np.float32],
    labels: NDArray[np.integer],
    generator: np.random.Generator,
    *,
    spacing_mm: tuple[float, float, float],
    strength: float = 1.0,
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return image and labels (i j k) pulled through one random map; what comes from outside is the darkest value.

    Args:
        image: Intensities.
        labels: Label values; each voxel takes that of the nearest one.
        generator: Source of the map.
        spacing_mm: Voxel size.
        strength: See `warp`.
    """
    shape = image.shape
    unit = random_displacement(shape, spacing_mm, generator, strength)
    low = float(image.min())
    values = torch.from_numpy(np.ascontiguousarray(image) - np.float32(low))[None, None]
    moved = F.grid_sample(values, unit, mode="bilinear", padding_mode="zeros", align_corners=True)[0, 0].numpy() + low
    names = torch.from_numpy(labels.astype(np.float32))[None, None]
    found = F.grid_sample(names, unit, mode="nearest", padding_mode="zeros", align_corners=True)[0, 0]
    return np.asarray(moved, dtype=np.float32), found.round().numpy().astype(np.uint16)


def random_displacement(
    shape: tuple[int, ...], spacing_mm: tuple[float, float, float], generator: np.random.Generator, strength: float
) -> Tensor:
    """Return where each voxel is read, as normalised coordinates (1 i j k 3) in the order k, j, i of `grid_sample`.

    A random smooth velocity is followed for a unit of time by squaring (Arsigny et al., MICCAI 2006), after a random
    turn, stretch and shift: the map is smooth, has a smooth inverse and keeps left and right.
    """
    g = generator
    extent = np.asarray(shape) * spacing_mm
    nodes = np.maximum(np.ceil(extent / NODE_MM).astype(int), 4)
    velocity = g.standard_normal((1, 3, *nodes), dtype=np.float32) * np.float32(9.0 * strength)
    coarse = np.maximum(np.ceil(extent / COARSE_MM).astype(int), 4)
    field = F.interpolate(torch.from_numpy(velocity), size=coarse.tolist(), mode="trilinear", align_corners=True)
    field = torch.from_numpy(np.stack([smooth(part, 0.25 * NODE_MM / COARSE_MM) for part in field[0].numpy()]))[None]
    scale = torch.from_numpy((2 / np.maximum(extent, 1e-6)).astype(np.float32)).view(1, 3, 1, 1, 1)
    field = field * scale / 2**HALVINGS
    base = identity(coarse.tolist())
    for _ in range(HALVINGS):
        at = (base + field.permute(0, 2, 3, 4, 1)).flip(-1)
        field = field + F.grid_sample(field, at, mode="bilinear", padding_mode="border", align_corners=True)
    fine = F.interpolate(field, size=list(shape), mode="trilinear", align_corners=True).permute(0, 2, 3, 4, 1)
    turn = rotation(*np.deg2rad(g.normal(0, (4.0, 4.0, 5.0)) * strength))
    stretch = np.exp(g.normal(0, 0.05 * strength, 3) + g.normal(0, 0.06 * strength))
    matrix = np.diag(1 / extent) @ (turn * stretch) @ np.diag(extent)
    shift = g.normal(0, 0.02 * strength, 3)
    points = identity(list(shape)) @ torch.from_numpy(matrix.T.astype(np.float32)) + torch.from_numpy(
        shift.astype(np.float32)
    )
    return (points + fine).flip(-1)


def identity(shape: list[int]) -> Tensor:
    """Return the normalised coordinates (1 i j k 3) of the voxels themselves, in the order i, j, k."""
    axes = [torch.linspace(-1, 1, n) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)[None]


def recontrast(
    volume: Volume, labels: LabelMap, generator: np.random.Generator, enhancement: Enhancement | None = None
) -> Volume:
    """Return the scan as another contrast phase might have shown it.

    Every labelled organ is shifted to the attenuation of that phase, smoothly over its border; its texture and the
    noise stay. What is no tissue of the organ (gas, stool, fat, stones) keeps its value.

    Args:
        volume: A CT.
        labels: On its grid.
        generator: Source of the phase and of the variation between organs.
        enhancement: The phase; drawn by default.
    """
    e = enhancement or draw_enhancement(generator)
    shift = np.zeros(volume.grid.shape, dtype=np.float32)
    calm = smooth(volume.array, 0.8)
    for index in labels.present:
        tissue = PHASED.get(labels.name_of(index))
        if tissue is None:
            continue
        mask = labels.array == index
        middle = float(np.median(calm[mask]))
        goal = e.hu(tissue) + float(generator.normal(0, 6))
        change = np.where(np.abs(calm - middle) < AROUND_HU, goal - middle, 0)[mask]
        if tissue == "kidney" and 0.7 < e.moment < 1.7:
            rind = 1 - smooth(mask.astype(np.float32), (4.5 / np.asarray(volume.grid.spacing_mm)).tolist())[mask]
            change = change * np.clip(0.35 + 1.6 * rind, 0.3, 1.15)
        shift[mask] = change
    soft = smooth(shift, 0.6)
    return Volume(volume.array + soft, volume.grid, volume.modality, volume.source)
