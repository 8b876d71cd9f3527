"""How a person is scanned: place and size of the field of view, slices, tilt, tube voltage, kernel and noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prosect import vocabulary
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.scanner import LOWEST_HU, render
from prosect.phantom.shapes import Both, Capsule, Loft, Shape, Without
from prosect.phantom.smoothing import smooth
from prosect.volume import Source, Volume

__all__ = ["REGIONS", "Protocol", "acquire", "draw_protocol", "label_values"]

HIGHEST_HU = 3071.0
# Lowest and highest height (mm) of the usual scans of a trunk, and how often each is made.
REGIONS: dict[str, tuple[float, float, float]] = {
    "chest": (-70.0, 262.0, 0.25),
    "abdomen": (-215.0, 70.0, 0.25),
    "abdomen and pelvis": (-385.0, 70.0, 0.25),
    "trunk": (-385.0, 262.0, 0.2),
    "pelvis": (-390.0, -120.0, 0.05),
}


@dataclass(frozen=True)
class Protocol:
    """The settings of one scan.

    Attributes:
        low_ras: Lowest corner of the field of view, in world mm.
        high_ras: Highest corner.
        spacing_mm: Voxel size along R, A, S.
        tilt_deg: How far the gantry leans: slices are parallel and stacked along S, but not square to it.
        kernel: -1 soft, 0 standard, 1 sharp.
        noise_hu: Standard deviation of the noise in the middle of a person of medium size.
        iodine: Enhancement over that at 120 kV.
        bone: Density of bone over that at 120 kV.
        padding_hu: Value outside the round field of view; None where the field is square.
        table: Whether there is a table, and how far behind the skin (mm) it lies.
    """

    low_ras: tuple[float, float, float]
    high_ras: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    tilt_deg: float = 0.0
    kernel: float = 0.0
    noise_hu: float = 12.0
    iodine: float = 1.0
    bone: float = 1.0
    padding_hu: float | None = None
    table: float | None = None

    def grid(self) -> Grid:
        """Return the grid; a tilted one is sheared."""
        extent = np.subtract(self.high_ras, self.low_ras)
        shape = np.maximum(np.ceil(extent / self.spacing_mm), 1).astype(int)
        angle = np.deg2rad(self.tilt_deg)
        step = np.diag(np.asarray(self.spacing_mm, dtype=np.float64))
        step[1:, 1] = np.array([np.cos(angle), np.sin(angle)]) * self.spacing_mm[1]
        affine = np.eye(4)
        affine[:3, :3] = step
        middle = (np.asarray(self.low_ras) + np.asarray(self.high_ras)) / 2
        affine[:3, 3] = middle - step @ ((shape - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def draw_protocol(
    generator: np.random.Generator,
    low_ras: tuple[float, float, float],
    high_ras: tuple[float, float, float],
    spacing_mm: tuple[float, float, float] | None = None,
) -> Protocol:
    """Return the settings of one scan of what lies between two corners.

    Args:
        generator: Source of the draw.
        low_ras: Lowest corner of what is to be seen, in world mm.
        high_ras: Highest corner.
        spacing_mm: Voxel size; drawn by default, 1.2 to 2.2 mm in the plane and 1.5 to 5 mm across.
    """
    g = generator
    plane = float(g.uniform(1.2, 2.2))
    spacing = spacing_mm or (plane, plane, float(g.choice([1.5, 2.0, 2.5, 3.0, 3.75, 5.0])))
    if g.random() < 0.8:
        share = g.normal(1.0, 0.09)
    else:
        share = g.uniform(0.7, 0.9)
    middle = (np.asarray(low_ras[:2]) + np.asarray(high_ras[:2])) / 2 + g.normal(0, (8.0, 8.0))
    half = (np.asarray(high_ras[:2]) - np.asarray(low_ras[:2])) / 2 * np.clip(share, 0.68, 1.25)
    low, high = middle - half, middle + half
    kernel = float(np.clip(g.normal(0, 0.5), -1, 1))
    soft_noise = float(np.exp(g.normal(np.log(11), 0.45)))
    tilted = g.random() < 0.06
    return Protocol(
        (float(low[0]), float(low[1]), low_ras[2] + float(g.uniform(-15, 15))),
        (float(high[0]), float(high[1]), high_ras[2] + float(g.uniform(-15, 15))),
        spacing,
        tilt_deg=float(g.normal(0, 9)) if tilted else 0.0,
        kernel=kernel,
        noise_hu=float(np.clip(soft_noise * np.exp(0.6 * kernel), 2, 60)),
        iodine=float(np.clip(g.normal(1.0, 0.15), 0.75, 1.6)),
        bone=float(np.clip(g.normal(1.0, 0.08), 0.85, 1.25)),
        padding_hu=float(g.choice([-1024.0, -1000.0, -2000.0, -3024.0])) if g.random() < 0.35 else None,
        table=float(g.uniform(-6, 14)) if g.random() < 0.9 else None,
    )


def label_values(anatomy: Anatomy) -> dict[str, int]:
    """Return the label value of every structure of an anatomy, in the `prosect` vocabulary."""
    words = vocabulary.load("prosect")
    names: set[str] = set()
    for part in anatomy.parts:
        names.update(name for name in (part.structure, *part.over) if name is not None)
    found: dict[str, int] = {}
    for name in sorted(names):
        found[name] = words[name].index
    return found


def acquire(
    anatomy: Anatomy, protocol: Protocol, generator: np.random.Generator, name: str, back_mm: float = -150.0
) -> tuple[Volume, LabelMap]:
    """Return what a scanner makes of an anatomy, and the truth; there is no label outside the field of view.

    Args:
        anatomy: Who lies in it.
        protocol: The settings.
        generator: Source of noise and of what lies about.
        name: Name of the volume.
        back_mm: Where the back of the body lies along A.
    """
    grid = protocol.grid()
    furnished = replace(anatomy, parts=(*furniture(protocol, generator, back_mm), *expose(anatomy, protocol)))
    hu, labels = render(furnished, grid, label_values(furnished))
    hu = reconstruct(hu, protocol)
    hu += noise(generator, hu, protocol)
    np.clip(np.rint(hu, out=hu), LOWEST_HU, HIGHEST_HU, out=hu)
    if protocol.padding_hu is not None:
        outside = beyond_circle(grid)
        hu[outside], labels[outside] = protocol.padding_hu, 0
    volume = Volume(hu, grid, "CT", Source(name=name, format="phantom"))
    return volume, LabelMap(labels, grid, vocabulary.load("prosect"), {"source": name})


def expose(anatomy: Anatomy, protocol: Protocol) -> list[Part]:
    """Return the parts as another tube voltage shows them: what is denser than flesh changes."""
    parts = []
    for part in anatomy.parts:
        hu = part.hu
        if hu is not None and hu > 65:
            if hu > 330:
                gain = protocol.bone
            else:
                gain = protocol.iodine
            hu = 65 + (hu - 65) * gain
        parts.append(part if hu == part.hu else replace(part, hu=hu))
    return parts


def furniture(protocol: Protocol, generator: np.random.Generator, back_mm: float) -> list[Part]:
    """Return the table and wires on the skin, which are no part of the body."""
    g = generator
    parts: list[Part] = []
    if protocol.table is not None:
        top = back_mm - protocol.table
        hollow = float(g.uniform(300, 900))  # radius of its curve
        wide = float(g.uniform(200, 240))
        low, high = protocol.low_ras[2] - 150, protocol.high_ras[2] + 150
        rows: list[Shape] = []
        for drop, thick in ((0.0, 3.0), (float(g.uniform(30, 70)), 2.5)):
            middle = top - drop + hollow
            tub = Loft(((low, 0.0, middle, hollow, hollow), (high, 0.0, middle, hollow, hollow)))
            within = Loft(((low, 0.0, top - drop, wide, 45.0), (high, 0.0, top - drop, wide, 45.0)), 6.0)
            rows.append(Without(Both(within, tub.shrunk(-thick)), tub))
        parts.append(Part(None, float(g.uniform(-350, 120)), tuple(rows), still=True))
    for _ in range(int(g.poisson(1.2))):
        z = float(g.uniform(protocol.low_ras[2], protocol.high_ras[2]))
        x, y = float(g.uniform(-120, 120)), float(g.uniform(92, 135))
        end = (x + float(g.normal(0, 60)), y + float(g.normal(0, 12)), z + float(g.normal(0, 60)))
        wire = Capsule((x, y, z), end, 1.2, 1.2)
        parts.append(Part(None, float(g.uniform(100, 2500)), (wire,), still=True))
    return parts


def reconstruct(hu: NDArray[np.float32], protocol: Protocol) -> NDArray[np.float32]:
    """Return what the kernel makes of the true attenuation: softer, or with raised edges."""
    fine = np.asarray(protocol.spacing_mm)
    blur = (1.1 - 0.45 * protocol.kernel, 1.1 - 0.45 * protocol.kernel, 0.5) / fine * 0.6
    soft = smooth(hu, blur.tolist())
    if protocol.kernel > 0.1:
        wide = smooth(soft, (1.6 / fine * (1, 1, 0)).tolist())
        soft += np.float32(0.55 * protocol.kernel) * (soft - wide)
    return soft


def noise(generator: np.random.Generator, hu: NDArray[np.float32], protocol: Protocol) -> NDArray[np.float32]:
    """Return noise: its grain depends on the kernel, its strength on how much the rays had to pass.

    A sharp kernel keeps the fine grain and takes out the coarse; a soft one does the reverse. There is more noise in
    the middle of the body than at the skin, and in slices with shoulders or hips it forms streaks from side to side.
    """
    g = generator
    sx, sy, _ = protocol.spacing_mm
    white = g.standard_normal(hu.shape, dtype=np.float32)
    fine = 0.8 - 0.45 * protocol.kernel
    grain = smooth(white, (fine / sx, fine / sy, 0.25))
    grain -= smooth(white, (2.6 / sx, 2.6 / sy, 0.25)) * np.float32(0.45 + 0.45 * protocol.kernel)
    # Of unit strength whatever the kernel, so that noise_hu alone says how strong it is.
    grain /= max(float(grain.std()), 1e-6)
    matter = np.maximum(hu + 1000, 0) / 1000
    across = matter.sum(axis=0) * sx  # water equivalent along R, by j and k
    body = np.maximum(across.max(axis=0), 1.0)
    slice_share = np.exp((np.clip(body, 150, 480) - 320) * 0.0035)
    inner = smooth(np.minimum(matter, 1.2), (28 / sx, 28 / sy, 0.0))
    strength = protocol.noise_hu * (0.55 + 0.5 * inner) * slice_share[None, None].astype(np.float32)
    lines = smooth(g.standard_normal((1, *hu.shape[1:]), dtype=np.float32), (0, 0.8, 0))
    streak = lines * (0.5 * protocol.noise_hu * np.clip(across / 330 - 0.9, 0, 1)).astype(np.float32)
    return np.asarray(grain * strength + streak, dtype=np.float32)


def beyond_circle(grid: Grid) -> NDArray[np.bool_]:
    """Return which voxels lie outside the circle that fits the slices."""
    ni, nj, _ = grid.shape
    mm_i, mm_j, _ = grid.spacing_mm
    i, j = np.ogrid[:ni, :nj]
    across, along = (i - (ni - 1) / 2) * mm_i, (j - (nj - 1) / 2) * mm_j
    radius = max(ni * mm_i, nj * mm_j) / 2
    is_beyond = across**2 + along**2 > radius**2
    return np.broadcast_to(is_beyond[..., None], grid.shape)
