"""Vertebrae, discs, cord and sacrum along the curve of the spine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.anatomy import Part
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Blend, Bulk, Slab, bent_tube, curve
from prosect.phantom.shapes import Both, Box, Capsule, HalfSpace, Point, Shape, Without, tube

__all__ = ["HEIGHTS", "column_parts", "column_sleeve", "spine_y"]

CORTEX_HU, MARROW_HU, DISC_HU, FLUID_HU, CORD_HU = 640.0, 128.0, 80.0, 12.0, 40.0
CORTEX_MM = 1.6
HEIGHTS = {
    "L5": -181, "L4": -147, "L3": -113, "L2": -79, "L1": -45, "T12": -14, "T11": 14, "T10": 40, "T9": 65, "T8": 89,
    "T7": 112, "T6": 135, "T5": 157, "T4": 178, "T3": 198, "T2": 217, "T1": 235, "C7": 252, "C6": 268, "C5": 284,
    "C4": 300,
}  # fmt: skip
# Height, place along A, half width and half depth of the vertebral bodies.
BODIES = (
    (-205, -56, 27, 18), (-181, -48, 27, 18.5), (-147, -41, 26, 18.5), (-113, -41, 25, 18), (-79, -47, 24, 17.5),
    (-45, -55, 23, 17), (-14, -63, 21.5, 16.5), (40, -72, 18.5, 16), (89, -76, 16.5, 15), (135, -74, 15, 13.5),
    (178, -65, 13.5, 11), (217, -53, 14.5, 9.5), (252, -41, 14, 8.5), (284, -33, 12.5, 8), (320, -24, 12, 8),
)  # fmt: skip
SACRUM = ((0, -59, -210), (0, -80, -236), (0, -98, -257), (0, -110, -278), (0, -115, -297), (0, -109, -316))
SACRUM_MM = (17, 15, 13, 11, 9, 6)  # its radii
# What lies beside that on the right, from above: middle, half axes, degrees about R and S, fullness (see `Bulk`).
SACRAL_WINGS: tuple[tuple[Point, Point, tuple[float, float], float], ...] = (
    ((34, -78, -217), (27, 20, 22), (25, 18), 2.5),
    ((27, -100, -246), (19, 13.5, 24), (38, 12), 2.3),
    ((18, -114, -272), (12, 8, 18), (20, 0), 2.0),
)
SACRAL_CREST: tuple[Point, ...] = ((0, -92, -214), (0, -116, -240), (0, -126, -262), (0, -127, -284))
COCCYX: tuple[Point, ...] = ((0, -109, -316), (0, -99, -330), (0, -86, -340))
COCCYX_MM = (5, 4, 3)


def spine_y(person: Person, z: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the middle of the vertebral bodies lies along A at heights z."""
    table = curve(BODIES, 6)
    y = np.interp(z, table[:, 0], table[:, 1])
    # A round back lies further behind at T8 and further in front at the neck; the lumbar spine stays.
    lean = np.interp(z, (-60, 90, 160, 300), (0.0, -1.0, -0.3, 1.0))
    return np.asarray(y + (person.hunch - 1) * 11 * lean)


def dimensions(z: float) -> tuple[float, float]:
    """Return half width and half depth of a vertebral body at a height."""
    table = np.asarray(BODIES)
    return float(np.interp(z, table[:, 0], table[:, 2])), float(np.interp(z, table[:, 0], table[:, 3]))


def column_sleeve(person: Person) -> tuple[Shape, ...]:
    """Return the soft tissue around the column, which keeps lungs and bowel away from it."""
    z: NDArray[np.float64] = np.arange(-200.0, 270.0, 12.0)
    y = spine_y(person, z)
    points: list[Point] = []
    for a, b in zip(z, y, strict=True):
        points.append((0.0, float(b) - 6.0, float(a)))
    return tube(points, [dimensions(float(a))[0] + 5.0 for a in z])


def column_parts(person: Person) -> list[Part]:
    """Return discs, vertebrae, canal, cord and sacrum."""
    names = sorted(HEIGHTS, key=lambda name: HEIGHTS[name])
    z = np.array([HEIGHTS[name] for name in names], dtype=np.float64)
    y, pitch = spine_y(person, z), np.gradient(z)
    tilt = -np.degrees(np.arctan(np.gradient(y, z)))
    tilt[0] += 6.0
    parts = sacrum(person)
    places = list(zip(y.tolist(), z.tolist(), pitch.tolist(), tilt.tolist(), strict=True))
    for place in places:
        parts += disc(*place)
    for name, place in zip(names, places, strict=True):
        parts += vertebra(name, *place, person)
    line: list[Point] = [(0.0, -92.0, -232.0)]
    for middle, height, *_ in places:
        line.append((0.0, canal_y(middle, height), height))
    cord = []
    for point in line:
        if point[2] > -50.0:
            cord.append(point)
    heights = [point[2] for point in cord]
    radius = np.interp(heights, (-50, -20, 150, 260), (2.0, 4.6, 4.4, 5.8)).tolist()
    return [
        *parts,
        Part("body", FLUID_HU, bent_tube(line, 8.0, 2), 5, grain=1),
        Part("spinal cord", CORD_HU, bent_tube(cord, radius, 2), 4, grain=0),
    ]


def canal_y(y: float, z: float) -> float:
    """Return where the middle of the canal lies along A."""
    return y - dimensions(z)[1] - 8.0


def disc(y: float, z: float, pitch: float, tilt: float) -> list[Part]:
    """Return the disc below a vertebra."""
    wide, deep = dimensions(z)
    down = 0.5 * pitch
    angle = np.deg2rad(tilt)
    center = (0.0, y + down * float(np.sin(angle)), z - down * float(np.cos(angle)))
    return [Part("body", DISC_HU, (Slab(center, (wide - 0.5, deep - 0.5, 0.2 * pitch), (tilt, 0, 0)),), 8, grain=1)]


def vertebra(name: str, y: float, z: float, pitch: float, tilt: float, person: Person) -> list[Part]:
    """Return cortex and marrow of the body, and the arch with its processes."""
    wide, deep = dimensions(z)
    half = 0.415 * pitch
    body = Slab((0, y, z), (wide, deep, half), (tilt, 0, 0), 2.4, 0.07)
    inner = Slab((0, y, z), (wide - CORTEX_MM, deep - CORTEX_MM, half - CORTEX_MM), (tilt, 0, 0), 2.4, 0.07)
    lumbar, neck = name.startswith("L"), name.startswith("C")
    arch, core = arch_of(wide, canal_y(y, z), z, pitch, lumbar, neck)
    cortex, marrow = CORTEX_HU * (0.6 + 0.4 * person.bone), MARROW_HU * person.bone
    marrow += person.enhancement.hu("marrow")
    hole = Slab((0, canal_y(y, z), z), (9.0, 8.2, pitch), (tilt, 0, 0), 2.2)
    full = f"vertebrae {name}"
    return [
        Part(full, cortex, (body,), 40, grain=0),
        Part(None, marrow, (inner,), 50 * person.bone, grain=0),
        Part(full, 0.8 * cortex, (Without(arch, hole),), 60, grain=0),
        Part(None, 1.1 * marrow, (Without(core, hole),), 40, grain=0),
    ]


def arch_of(wide: float, back: float, z: float, pitch: float, lumbar: bool, neck: bool) -> tuple[Shape, Shape]:
    """Return the arch with its processes, and its spongy inside."""
    thick = np.clip(pitch / 34, 0.5, 1.0)
    pedicle, facet = 3.6 + 2.7 * thick, 3.5 + 3.7 * thick
    rods: list[Capsule] = []
    for s in (1, -1):
        side = s * (11.0 + 3.0 * thick)
        rods += [
            Capsule((side * 0.9, back + 12, z + 0.12 * pitch), (side, back, z + 0.1 * pitch), pedicle, pedicle),
            Capsule((side * 1.12, back - 2, z + 0.40 * pitch), (side, back - 8, z - 0.48 * pitch), facet, facet * 0.9),
            Capsule((side * 0.9, back - 6, z), (0, back - 13, z - 0.12 * pitch), facet * 0.7, facet * 0.75),
        ]
        if lumbar:
            out, lift = wide + 17, -6
        elif neck:
            out, lift = wide + 6, 0
        else:  # the ribs rest on these: they point backwards
            out, lift = wide + 14, -16
        rods.append(Capsule((side, back - 2, z + 1), (s * out, back + lift, z + 2), facet * 0.75, facet * 0.62))
    rods.append(Capsule((0, back - 12, z), (0, back - 30, z - 0.1 * pitch), 2.6, 2.6))
    if lumbar:
        spike: Shape = Slab((0, back - 26, z - 7), (4.0, 16, 12.5), (0, 0, 0), 3.0)
        pith: Shape = Slab((0, back - 26, z - 7), (1.7, 13, 9), (0, 0, 0), 3.0)
    else:
        length, drop = (17, 6) if neck else (26, 0.9 * pitch)
        spike = Capsule((0, back - 10, z - 2), (0, back - length, z - 2 - drop), 3.8, 3.2)
        pith = Capsule((0, back - 10, z - 2), (0, back - length, z - 2 - drop), 1.8, 1.2)
    cores = tuple(
        Capsule(r.start, r.stop, max(r.start_radius_mm - 1.8, 0.8), max(r.stop_radius_mm - 1.8, 0.6)) for r in rods
    )
    return Blend((*rods, spike), 2.0), Blend((*cores, pith))


def sacrum(person: Person) -> list[Part]:
    """Return the sacrum and its first vertebra, the holes for its nerves, and the coccyx."""
    wide = 1.0
    if person.female:
        wide = 1.06
    outer, inner = sacral_mass(wide, 0.0), sacral_mass(wide, 2.2)
    marrow = 0.55 * (MARROW_HU * person.bone + person.enhancement.hu("marrow"))
    holes: list[Shape] = []
    for s in (1, -1):
        for x, y, z, r in ((26, -77, -224, 5.0), (22, -98, -246, 4.4), (19, -110, -266, 3.6)):
            holes.append(Capsule((s * x, y + 20, z + 8), (s * x, y - 18, z - 8), r, r - 1))
    up = np.array([0.0, 0.57, 0.82])
    first = HalfSpace(tuple(up.tolist()), float(up @ (0, -70, -225)))
    return [
        Part("sacrum", 0.85 * CORTEX_HU * (0.6 + 0.4 * person.bone), (outer,), 50, grain=0),
        Part(None, marrow, (inner,), 45 * person.bone, grain=0),
        Part("body", -40.0, (Both(Blend(tuple(holes)), Box((-60, -140, -300), (60, -40, -200))),), 10, grain=1),
        Part("vertebrae S1", None, (Both(Box((-90, -140, -250), (90, -30, -190)), first),), over=("sacrum",)),
    ]


def sacral_mass(wide: float, thinner_mm: float) -> Shape:
    """Return the sacrum and coccyx, or what lies that far below their surface."""
    t = thinner_mm
    middle: list[Point] = [(float(x), float(y), float(z)) for x, y, z in SACRUM]
    pieces: list[Shape] = [
        Slab((0, -60, -210), (26 - t, 16 - t, 14 - t), (35, 0, 0)),
        *bent_tube(middle, [radius - t for radius in SACRUM_MM], 2),
    ]
    for s in (1, -1):
        for (x, y, z), (a, b, c), (about_x, about_z), power in SACRAL_WINGS:
            center: Point = (s * x * wide, y, z)
            pieces.append(Bulk(center, (a * wide - t, b - t, c - t), (about_x, 0, s * about_z), power))
    pieces += bent_tube(SACRAL_CREST, 6.5 - t, 2)
    # The coccyx is thinner than twice the cortex, so less is taken from it, or nothing would be left inside.
    pieces += bent_tube(COCCYX, [radius - t * 0.8 for radius in COCCYX_MM], 2)
    return Blend(tuple(pieces), 5.0)
