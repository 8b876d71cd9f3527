"""The cavity of chest, abdomen and pelvis, the wall of muscle around it, and fat and skin around that.

World is RAS mm of a straight adult of unit scale; z is 0 between the twelfth thoracic and the first lumbar vertebra.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.anatomy import Part
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Blend, Bulk, Grown, bent_tube, curve
from prosect.phantom.shapes import Both, HalfSpace, Loft, Point, Shape, Without

__all__ = ["FAT_HU", "SIDES", "abdominal", "cavity", "chest_floor", "domes", "limbs", "muscle_wall", "outline_parts"]

SIDES = (("right", 1), ("left", -1))
FAT_HU, VISCERAL_FAT_HU, SKIN_HU = -103.0, -99.0, 15.0

# Height, back, front and half width of the inner wall.
CAVITY = (
    (-392, -60, -8, 14), (-375, -76, 16, 30), (-340, -88, 36, 47), (-300, -100, 48, 56), (-260, -102, 58, 76),
    (-225, -86, 66, 103), (-180, -74, 74, 120), (-140, -73, 79, 124), (-100, -77, 81, 126), (-60, -84, 82, 128),
    (-20, -91, 83, 131), (20, -94, 82, 134), (60, -96, 82, 135), (100, -96, 80, 133), (140, -93, 73, 124),
    (175, -87, 59, 110), (205, -77, 39, 89), (230, -66, 18, 64), (247, -56, 0, 42), (258, -44, -16, 20),
)  # fmt: skip
# The same of the outside of the muscles.
MUSCLE = (
    (-460, -126, 58, 168), (-380, -134, 66, 170), (-340, -142, 68, 174), (-300, -144, 69, 173), (-260, -142, 72, 163),
    (-220, -138, 78, 149), (-180, -134, 85, 141), (-140, -133, 90, 141), (-100, -132, 93, 143), (-60, -132, 95, 145),
    (-20, -132, 96, 148), (20, -133, 96, 150), (60, -134, 96, 152), (100, -135, 95, 153), (140, -134, 90, 152),
    (175, -130, 80, 148), (205, -122, 66, 136), (230, -112, 47, 112), (252, -100, 33, 82), (280, -86, 37, 64),
    (320, -72, 48, 60),
)  # fmt: skip
# Share of the fat under the skin at the sides, in front and behind.
FAT = (
    (-460, 0.9, 0.8, 0.9), (-380, 1.4, 0.9, 1.4), (-300, 1.5, 1.1, 1.6), (-220, 1.4, 1.4, 1.2), (-140, 1.2, 1.4, 1.0),
    (-60, 1.0, 1.1, 0.8), (20, 0.8, 0.7, 0.7), (100, 0.7, 0.5, 0.8), (175, 0.7, 0.5, 0.9), (230, 0.7, 0.5, 0.8),
    (320, 0.5, 0.5, 0.6),
)  # fmt: skip
# Where the belly bulges: height, share.
BELLY = ((-300, 0.0), (-230, 0.6), (-150, 1.0), (-80, 1.0), (0, 0.5), (60, 0.1), (120, 0.0))
# Muscles from the pelvis to the thigh: middle line on the right, and radii.
THIGH: tuple[tuple[tuple[Point, ...], tuple[float, ...]], ...] = (
    (((104, 32, -262), (112, 34, -330), (112, 28, -470)), (8, 17, 26)),  # in front
    (((142, 16, -262), (150, 8, -330), (146, 0, -470)), (9, 19, 26)),  # outside
    (((40, 24, -318), (62, 18, -370), (76, 6, -470)), (12, 25, 34)),  # inside, in front
    (((22, -4, -345), (46, -20, -390), (62, -24, -470)), (9, 22, 30)),  # inside
    (((62, -62, -386), (80, -70, -420), (90, -74, -470)), (8, 22, 28)),  # behind
    (((50, -6, -322), (84, -22, -352), (122, -30, -350)), (12, 13, 8)),  # from the inside to the hip
    (((58, -74, -330), (98, -52, -326), (130, -34, -322)), (10, 10, 7)),  # behind the joint
    (((74, 30, -300), (84, 44, -360), (76, 44, -470)), (5, 10, 11)),
)
STEP_MM = 9.0


def loft(rows: NDArray[np.float64], power: float) -> Loft:
    """Return the loft through rows of height, back, front and half width, on a smooth curve."""
    heights, *columns = curve(rows.tolist(), 6).T
    z = np.arange(rows[0, 0], rows[-1, 0] + STEP_MM, STEP_MM)
    back, front, side = (np.interp(z, heights, column) for column in columns)
    # A loft has a middle and half widths; both sides are alike.
    middle_x, middle_y, depth = np.zeros_like(z), (front + back) / 2, (front - back) / 2
    stations = np.stack([z, middle_x, middle_y, side, depth], axis=1)
    return Loft(tuple(tuple(row) for row in stations.tolist()), power)


def swell(rows: tuple[tuple[float, ...], ...], person: Person) -> NDArray[np.float64]:
    """Return rows of height, back, front and half width with the belly and the hips of this person."""
    table = np.asarray(rows, dtype=np.float64)
    heights = table[:, 0]
    bulge = np.interp(heights, *np.asarray(BELLY).T) * person.belly
    hips = np.zeros_like(heights)
    if person.female:
        hips = np.interp(heights, (-330, -200, -120), (1.0, 1.0, 0.0)) * 0.05
    # A belly grows to the front, and a third of that to each side.
    table[:, 2] += 36 * bulge
    table[:, 3] = table[:, 3] * (1 + hips) + 13 * bulge
    return table


def cavity(person: Person) -> Loft:
    """Return the inside of the wall of chest, abdomen and pelvis."""
    return loft(swell(CAVITY, person), 2.3)


def muscle_wall(person: Person) -> Loft:
    """Return the outside of the muscles of the trunk."""
    return loft(muscle_rows(person), 2.4)


def muscle_rows(person: Person) -> NDArray[np.float64]:
    """Return rows of the outside of the muscles; weak ones are thin at the belly."""
    table = swell(MUSCLE, person)
    thin = np.interp(table[:, 0], (-260, -180, -20, 60), (0.0, 1.0, 1.0, 0.3)) * (1.05 - person.muscle)
    table[:, 2] -= 8 * thin
    table[:, 3] -= 24 * thin
    return table


def skin(person: Person) -> Loft:
    """Return the outside of the trunk."""
    table = muscle_rows(person)
    shares = np.asarray(FAT)
    side, front, back = (person.fat_mm * np.interp(table[:, 0], shares[:, 0], shares[:, n]) for n in (1, 2, 3))
    table[:, 1:] += np.stack([-back, front, side], axis=1)
    return loft(table, 2.35)


def domes(person: Person) -> Blend:
    """Return the space under the diaphragm, from where its domes are widest up to their tops."""
    rise = -13.0 * person.breath
    wide = 1 + 0.06 * person.belly
    right = Bulk((62 * wide, -3, -26), (72, 88, 76 + rise), (-11, 0, 0), 2.4)
    left = Bulk((-64 * wide, -3, -28), (70, 86, 67 + rise), (-11, 0, 0), 2.4)
    middle = Bulk((-2, 4, -28), (80, 80, 62 + rise), (-11, 0, 0), 2.5)
    return Blend((right, left, middle), 16.0)


def chest_floor() -> HalfSpace:
    """Return what lies above the lowest place of the lungs, deeper behind than in front."""
    normal = np.array([0.0, -0.28, 1.0])
    normal /= np.linalg.norm(normal)
    return HalfSpace(tuple(normal.tolist()), -22.0)


def abdominal(person: Person, by_mm: float) -> Shape:
    """Return the space of the abdomen and pelvis, shrunk: under the diaphragm, inside the wall."""
    floor = chest_floor()
    below = HalfSpace((-floor.normal[0], -floor.normal[1], -floor.normal[2]), -floor.offset_mm)
    return Both(cavity(person).shrunk(by_mm), Blend((Grown(domes(person), -by_mm), below)))


def outline_parts(person: Person) -> list[Part]:
    """Return skin, the fat under it, the muscles of the trunk and the fat of the abdomen."""
    muscle = person.enhancement.hu("muscle") - 25 * person.marbling
    outer, inner = skin(person), muscle_wall(person)
    limbs_out, limbs_in = limbs(person)
    crotch = Bulk((0, 0, -420), (16, 90, 66), power=2.5)
    rest = (*limbs_out, *breasts(person))
    fat: tuple[Shape, ...] = (outer.shrunk(2.0), *(Grown(shape, -2.0) for shape in rest))
    return [
        Part("body", SKIN_HU, (outer, *rest)),
        Part("body", FAT_HU, fat, 6, grain=1),
        *gland(person),
        Part("body", muscle, (inner, *limbs_in), 7 + 14 * person.marbling, grain=1),
        *fat_planes(person),
        *thighs(person, muscle),
        Part("body", FAT_HU, (crotch, *armpits()), 6, grain=1),
        Part("body", VISCERAL_FAT_HU, (Both(cavity(person), HalfSpace((0, 0, -1), -20)),), 7, grain=1),
    ]


def limbs(person: Person) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """Return shoulders and arms: their outside, and their muscles."""
    outside: list[Shape] = []
    inside: list[Shape] = []
    for _, s in SIDES:
        path, radii = arm(person, s)
        outside += bent_tube(path, radii, 2)
        inside += bent_tube(path, [r - 2 - 0.6 * person.fat_mm * r / 45 for r in radii], 2)
    return tuple(outside), tuple(inside)


def arm(person: Person, side: int) -> tuple[list[Point], list[float]]:
    """Return the middle line of shoulder and arm, and its radii."""
    strength = person.muscle
    if person.female:
        strength = 0.88 * person.muscle
    thick = strength + person.fat_mm / 90
    shoulder: Point = (92.0, -34.0, 205.0)
    # On the right; arms beside the body lie as far out as the belly is wide.
    if person.arms == "none":
        right, radii = [shoulder, (135.0, -32.0, 205.0)], [46, 43]
    elif person.arms == "up":
        right = [shoulder, (140.0, -26.0, 232.0), (168.0, -6.0, 300.0), (172.0, 8.0, 360.0)]
        radii = [50, 48, 42, 40]
    else:
        out = 186 + person.fat_mm + 14 * person.belly
        right = [shoulder, (152.0, -34.0, 200.0), (out, -42.0, 70.0), (out + 4, -30.0, -60.0),
                 (out - 4, 0.0, -200.0), (out - 8, 8.0, -290.0)]  # fmt: skip
        radii = [48, 45, 39, 34, 26, 24]
    path: list[Point] = [(side * x, y, z) for x, y, z in right]
    return path, [radius * thick for radius in radii]


def breasts(person: Person) -> tuple[Shape, ...]:
    """Return breasts, flattened as on a back that lies."""
    if not person.female:
        return ()
    size = person.size("breast") * (0.75 + person.fat_mm / 60)
    found = []
    for _, s in SIDES:
        found.append(Bulk((s * 78.0, 72.0, 88.0), (58 * size, 44 * size, 56 * size), (0, 0, s * 18.0)))
    return tuple(found)


def gland(person: Person) -> list[Part]:
    """Return the glandular tissue of the breasts."""
    if not person.female:
        return []
    size = person.size("breast") * (1.15 - 0.6 * person.age)
    shapes = tuple(Bulk((s * 80.0, 86.0, 90.0), (34 * size, 24 * size, 32 * size)) for _, s in SIDES)
    return [Part("body", -15.0, shapes, 42, grain=1)]


def fat_planes(person: Person) -> list[Part]:
    """Return the thin fat between the layers of muscle of the chest and of the belly."""
    wall = cavity(person)
    chest = Both(Without(wall.shrunk(-16.0 - 0.1 * person.fat_mm), wall.shrunk(-13.5)), slice_between(30, 205))
    side = Blend((HalfSpace((1.0, 0, 0), 70), HalfSpace((-1.0, 0, 0), 70)))
    belly = slice_between(-190, -15)
    sheets = []
    for out in (7.5, 14.0):
        sheets.append(Without(wall.shrunk(-out), wall.shrunk(-out + 1.4)))
    layers = tuple(Both(Both(sheet, belly), side) for sheet in sheets)
    return [Part("body", FAT_HU, (chest,), 8, grain=1), Part("body", -70.0, layers, 10, grain=1)]


def slice_between(low: float, high: float) -> Shape:
    """Return everything between two heights."""
    return Both(HalfSpace((0, 0, 1), low), HalfSpace((0, 0, -1), -high))


def thighs(person: Person, muscle_hu: float) -> list[Part]:
    """Return the fat between the muscles around hip and thigh, and those muscles that have no name here."""
    m = 0.6 + 0.4 * person.muscle
    inner = muscle_wall(person).shrunk(3.0)
    bed = Both(inner, HalfSpace((0, 0, -1), 292))
    flesh: list[Shape] = []
    for _, s in SIDES:
        for path, radii in THIGH:
            flesh.append(Blend(bent_tube([(s * x, y, z) for x, y, z in path], [r * m for r in radii], 2), 4.0))
    return [
        Part("body", FAT_HU, (bed,), 8, grain=1),
        Part("body", muscle_hu, tuple(Both(shape, inner) for shape in flesh), 8 + 14 * person.marbling, grain=1),
    ]


def armpits() -> tuple[Shape, ...]:
    """Return the fat between arm and chest."""
    found = []
    for _, s in SIDES:
        found.append(Bulk((s * 120.0, -16.0, 165.0), (22, 36, 44), (0, s * 14.0, 0)))
    return tuple(found)
