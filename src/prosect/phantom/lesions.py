"""Lesions planted into scans, real or synthetic: for structures of which there are few labelled examples.

A lesion grows from a random place of its host, stays in it, keeps the noise of the scan, and pushes its surroundings
aside a little, but only within the host, so that every other label stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from prosect.errors import RecipeError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.smoothing import smooth
from prosect.volume import Volume

__all__ = ["KINDS", "Kind", "Look", "Planted", "plant", "plant_into"]

Mask = NDArray[np.bool_]
Box3 = tuple[slice, slice, slice]

LEAST_VOXELS = 4
LEAST_HOST_VOXELS = 60  # a smaller piece of an organ is the rim of one that the scan cuts
TRIES = 12


@dataclass(frozen=True)
class Look:
    """How one sort of lesion appears.

    Attributes:
        name: For people.
        share: How often it is drawn, among the looks of its kind.
        hu: Least and greatest mean attenuation.
        relative: Whether that is a difference to the host around it.
        margin_mm: Least and greatest width of its edge.
        texture_hu: Standard deviation of its unevenness.
        rim_hu: What its rim has more than its inside.
        core_hu: Attenuation of its dead middle; None where it has none.
        lumps: How uneven its outline is, as a share of its radius.
        spikes: How far rays reach out of it, as a share of its radius.
    """

    name: str
    share: float
    hu: tuple[float, float]
    relative: bool = True
    margin_mm: tuple[float, float] = (1.0, 4.0)
    texture_hu: float = 8.0
    rim_hu: float = 0.0
    core_hu: float | None = None
    lumps: float = 0.25
    spikes: float = 0.0


@dataclass(frozen=True)
class Kind:
    """One structure of the vocabulary that can be planted.

    Attributes:
        structure: Its name.
        hosts: Structures in which it grows.
        radius_mm: Least and greatest mean radius; drawn evenly on a logarithmic scale.
        looks: How it may appear.
    """

    structure: str
    hosts: tuple[str, ...]
    radius_mm: tuple[float, float]
    looks: tuple[Look, ...]


LUNGS = ("left lung upper lobe", "left lung lower lobe", "right lung upper lobe", "right lung middle lobe",
         "right lung lower lobe")  # fmt: skip
VERTEBRAE = tuple(f"vertebrae {letter}{n}" for letter, last in (("L", 5), ("T", 12)) for n in range(last, 0, -1))
CYST = Look("cyst", 1.0, (-5, 18), relative=False, margin_mm=(0.8, 1.6), texture_hu=2, lumps=0.08)
KINDS: dict[str, Kind] = {
    kind.structure: kind
    for kind in (
        Kind("hepatic tumor", ("liver",), (4, 45), (
            Look("metastasis", 0.5, (-55, -15), rim_hu=18, lumps=0.2),
            Look("necrotic metastasis", 0.2, (-40, -10), rim_hu=25, core_hu=22, lumps=0.3),
            Look("hypervascular", 0.3, (15, 60), texture_hu=16, core_hu=None, lumps=0.2),
        )),
        Kind("lung tumor", (*LUNGS, "lung"), (3, 30), (
            Look("solid", 0.6, (10, 70), False, (0.8, 2.0), 10, lumps=0.22, spikes=0.15),
            Look("spiculated", 0.25, (20, 60), False, (0.8, 2.0), 12, lumps=0.3, spikes=0.6),
            Look("ground glass", 0.15, (-650, -350), False, (2.0, 5.0), 45, lumps=0.3),
        )),
        Kind("pancreatic tumor", ("pancreas",), (5, 22), (
            Look("hypodense", 0.75, (-50, -18), margin_mm=(2, 6), lumps=0.3),
            Look("neuroendocrine", 0.25, (20, 60), margin_mm=(1, 2.5), lumps=0.15),
        )),
        Kind("colon cancer primaries", ("colon",), (8, 28), (
            Look("mass", 1.0, (45, 95), False, (1, 3), 12, lumps=0.35),
        )),
        Kind("bone lesion", (*VERTEBRAE, "sacrum", "left hip", "right hip"), (3, 18), (
            Look("lytic", 0.5, (20, 90), False, (0.8, 2.5), 20, rim_hu=60, lumps=0.25),
            Look("sclerotic", 0.5, (500, 1100), False, (1.0, 3.0), 80, lumps=0.3),
        )),
        Kind("left kidney cyst", ("left kidney",), (4, 30), (CYST,)),
        Kind("right kidney cyst", ("right kidney",), (4, 30), (CYST,)),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A scan with a lesion.

    Attributes:
        volume: The scan.
        mask: Where the lesion is (i j k).
        look: Which look it has.
        center_ras: Where it grew from, in world mm.
        radius_mm: Its mean radius.
    """

    volume: Volume
    mask: Mask
    look: str
    center_ras: tuple[float, float, float]
    radius_mm: float


def plant(
    volume: Volume,
    host: Mask,
    kind: Kind,
    generator: np.random.Generator,
    *,
    radius_mm: float | None = None,
    push: float = 0.25,
) -> Planted:
    """Return a scan with one more lesion. The scan given is not changed.

    Args:
        volume: A CT.
        host: Where it may grow (i j k); no voxel outside changes.
        kind: What grows, one of `KINDS`.
        generator: Source of place, size, shape and look.
        radius_mm: Its mean radius; drawn by default. A lesion larger than its host is cut to it.
        push: How far its surroundings are pushed aside, as a share of the radius.

    Raises:
        RecipeError: The host is empty or too small for a lesion (`LESION_NO_HOST`).
    """
    places = np.flatnonzero(host)
    for _ in range(TRIES if len(places) else 0):
        voxel = np.unravel_index(int(places[int(generator.integers(len(places)))]), host.shape)
        growth = seed(volume.grid, np.array(voxel, dtype=np.float64), kind, generator, radius_mm)
        mask = (growth.depth > 0) & host[growth.box]
        if mask.sum() >= LEAST_VOXELS:
            array = volume.array.copy()
            array[growth.box] = grow(volume.array[growth.box], host[growth.box], growth, volume.grid, generator, push)
            whole = np.zeros(host.shape, dtype=bool)
            whole[growth.box] = mask
            made = Volume(array, volume.grid, volume.modality, volume.source)
            return Planted(made, whole, growth.look.name, growth.center_ras, growth.radius_mm)
    raise RecipeError(
        f"No '{kind.structure}' fits into a host of {len(places)} voxels; give the mask of one of "
        f"{', '.join(kind.hosts[:3])}.",
        code="LESION_NO_HOST",
    )


def plant_into(
    volume: Volume,
    labels: LabelMap,
    generator: np.random.Generator,
    *,
    structures: Sequence[str] | None = None,
    count: int = 1,
) -> tuple[Volume, LabelMap]:
    """Return a scan and its labels with lesions in hosts that the labels hold; a lesion covers its host's label.

    Args:
        volume: A CT.
        labels: On its grid.
        generator: Source of everything.
        structures: Names of `KINDS` to choose from; all by default.
        count: How many lesions.

    Raises:
        RecipeError: No structure asked for has a host in these labels, or none fits (`LESION_NO_HOST`).
    """
    array = labels.array.astype(np.uint16)
    for _ in range(count):
        counts = np.bincount(array.ravel())
        present = set()
        for index in np.flatnonzero(counts >= LEAST_HOST_VOXELS):
            if index:
                present.add(labels.name_of(int(index)))
        able = []
        for name in structures or KINDS:
            if present & set(KINDS[name].hosts):
                able.append(KINDS[name])
        if not able:
            wanted = ", ".join(structures or KINDS)
            raise RecipeError(f"The labels hold no host for any of {wanted}.", code="LESION_NO_HOST")
        kind = able[int(generator.integers(len(able)))]
        hosts = sorted(present & set(kind.hosts))
        host = hosts[int(generator.integers(len(hosts)))]
        planted = plant(volume, array == labels.vocabulary[host].index, kind, generator)
        volume = planted.volume
        array[planted.mask] = labels.vocabulary[kind.structure].index
    return volume, LabelMap(array, labels.grid, labels.vocabulary, labels.provenance)


@dataclass(frozen=True, eq=False)
class Growth:
    """Where a lesion grows, and how far.

    Attributes:
        look: How it appears.
        radius_mm: Its mean radius.
        center_ras: Where it began, in world mm.
        box: Voxels that it can touch.
        away: Vectors (3 i j k) in mm from its middle to the voxels of the box.
        depth: How deep in it each of them lies (mm).
    """

    look: Look
    radius_mm: float
    center_ras: tuple[float, float, float]
    box: Box3
    away: NDArray[np.float32]
    depth: NDArray[np.float32]


def seed(
    grid: Grid, voxel: NDArray[np.float64], kind: Kind, generator: np.random.Generator, radius_mm: float | None
) -> Growth:
    """Return a lesion of a random look, size and shape that begins in a voxel."""
    g = generator
    shares = np.array([look.share for look in kind.looks])
    look = kind.looks[int(g.choice(len(kind.looks), p=shares / shares.sum()))]
    radius = radius_mm or float(np.exp(g.uniform(*np.log(kind.radius_mm))))
    center = grid.to_world([voxel + g.uniform(-0.5, 0.5, 3)])[0]
    box = around(grid, center, 2.2 * radius + 6)
    away = offsets(grid, box, center)
    x, y, z = center.tolist()
    return Growth(look, radius, (x, y, z), box, away, lesion_depth(away, radius, look, g))


def around(grid: Grid, center: NDArray[np.float64], reach_mm: float) -> Box3:
    """Return the voxel box that holds a ball, cut to the grid."""
    middle = grid.to_voxel([center])[0]
    # A ball of radius r reaches r |row| voxels along an axis, row being that of the world-to-voxel matrix.
    reach = reach_mm * np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    start = np.maximum(np.floor(middle - reach), 0).astype(int)
    stop = np.minimum(np.ceil(middle + reach) + 1, grid.shape).astype(int)
    return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])


def offsets(grid: Grid, box: Box3, center: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the vectors (3 i j k) in mm from a place to the voxels of a box."""
    indices = [np.arange(side.start, side.stop) for side in box]
    voxels = np.stack(np.meshgrid(*indices, indexing="ij"), axis=-1)
    axes, origin = grid.affine[:3, :3], grid.affine[:3, 3]
    away = voxels @ axes.T + (origin - center)
    return np.moveaxis(away, -1, 0).astype(np.float32)


def waves(
    away: NDArray[np.float32], generator: np.random.Generator, length_mm: float, count: int = 8
) -> NDArray[np.float32]:
    """Return a smooth random field (i j k) of unit variance in world space, so that it does not know the grid."""
    total = np.zeros(away.shape[1:], dtype=np.float32)
    for _ in range(count):
        way = generator.normal(size=3)
        way *= 2 * np.pi / (length_mm * generator.uniform(0.7, 1.5)) / np.linalg.norm(way)
        phase = generator.uniform(0, 2 * np.pi)
        total += np.sin(np.tensordot(way.astype(np.float32), away, 1) + np.float32(phase))
    return total * np.float32(np.sqrt(2 / count))


def lesion_depth(
    away: NDArray[np.float32], radius: float, look: Look, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return how deep in the lesion each voxel lies (mm): a ball, stretched, with lumps and rays."""
    g = generator
    turn, _ = np.linalg.qr(g.normal(size=(3, 3)))
    stretch = np.exp(g.normal(0, 0.12, 3))
    # Stretched and squeezed, but of the volume that was drawn.
    stretch /= np.prod(stretch) ** (1 / 3)
    own = np.tensordot((turn / stretch[:, None]).astype(np.float32), away, 1)
    distance = np.sqrt((own**2).sum(axis=0))
    outline = radius * (1 + look.lumps * 0.6 * np.clip(waves(away, g, 1.7 * radius), -1.6, 1.6))
    if look.spikes:
        unit = own / np.maximum(distance, 1e-3)
        for _ in range(int(g.integers(6, 14))):
            way = g.normal(size=3)
            near = np.tensordot((way / np.linalg.norm(way)).astype(np.float32), unit, 1)
            outline = outline + radius * look.spikes * float(g.uniform(0.4, 1)) * np.exp((near - 1) * 90)
    return np.asarray(outline - distance, dtype=np.float32)


def grow(
    image: NDArray[np.float32],
    host: Mask,
    growth: Growth,
    grid: Grid,
    generator: np.random.Generator,
    push: float,
) -> NDArray[np.float32]:
    """Return the box of the scan with the lesion in it."""
    look, depth = growth.look, growth.depth
    spacing = np.asarray(grid.spacing_mm)
    pushed = displace(image, growth, push, host_weight(host), grid)
    calm = smooth(pushed, (1.6 / spacing).tolist())
    near = host & (depth < 0)
    own = inner_hu(growth, float(np.median(pushed[near if near.any() else host])), generator)
    margin = float(generator.uniform(*look.margin_mm)) + 0.5 * float(spacing.mean())
    weight = np.clip(depth / margin + 0.5, 0, 1) * host
    # The noise of the scan stays; structures of the host, such as vessels, do not.
    rest = np.clip(pushed - calm, -60, 60)
    return np.asarray(pushed + weight * (own + rest - pushed), dtype=np.float32)


def inner_hu(growth: Growth, around_hu: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return what the lesion would measure at every voxel: texture, rim and dead middle."""
    look, radius, depth = growth.look, growth.radius_mm, growth.depth
    own = float(generator.uniform(*look.hu)) + (around_hu if look.relative else 0.0)
    hu = own + look.texture_hu * waves(growth.away, generator, max(0.6 * radius, 3.0))
    if look.rim_hu:
        hu += look.rim_hu * np.exp(-(((depth - 0.15 * radius) / (0.22 * radius)) ** 2))
    if look.core_hu is not None:
        core = np.clip(depth / radius - 0.35 + 0.12 * waves(growth.away, generator, 0.9 * radius), 0, 0.25) * 4
        hu += core * (look.core_hu - hu)
    return np.asarray(hu, dtype=np.float32)


def host_weight(host: Mask) -> NDArray[np.float32]:
    """Return 0 outside the host and at its border, rising to 1 inside."""
    soft = smooth(host.astype(np.float32), 1.5)
    return np.asarray(np.clip(2 * soft - 1, 0, 1) * host, dtype=np.float32)


def displace(
    image: NDArray[np.float32], growth: Growth, push: float, deep: NDArray[np.float32], grid: Grid
) -> NDArray[np.float32]:
    """Return the image pushed away from the middle of the lesion, nowhere where `deep` is 0."""
    if not push or min(image.shape) < 2:
        return image
    away, radius = growth.away, growth.radius_mm
    distance = np.sqrt((away**2).sum(axis=0))
    share = push * radius * np.exp(-((distance / (1.5 * radius)) ** 2)) * deep
    shift = away / np.maximum(distance, 1e-3) * np.minimum(share, 0.6 * distance)
    vox = np.tensordot(np.linalg.inv(grid.affine[:3, :3]).astype(np.float32), shift, 1)
    index = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in image.shape), indexing="ij")
    unit = []
    for n in (2, 1, 0):
        unit.append(2 * (index[n] - vox[n]) / (image.shape[n] - 1) - 1)
    places = torch.from_numpy(np.stack(unit, axis=-1).astype(np.float32))[None]
    values = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    found = F.grid_sample(values, places, mode="bilinear", padding_mode="border", align_corners=True)[0, 0].numpy()
    return np.where(deep > 0, found, image)
