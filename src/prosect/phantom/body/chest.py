"""Lungs with their lobes, vessels and airways, diaphragm, heart and gullet."""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Part
from prosect.phantom.body.branching import rod, tree
from prosect.phantom.body.column import column_sleeve
from prosect.phantom.body.outline import SIDES, abdominal, cavity, chest_floor, domes
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Blend, Bulk, Grown, bent_tube, roughen
from prosect.phantom.shapes import Both, Capsule, HalfSpace, Point, Shape, Without

__all__ = ["LOBES", "airway_parts", "heart_parts", "lung_parts", "mediastinum_parts"]

AIR_HU, WALL_HU, FAT_HU = -985.0, 20.0, -96.0
LOBES = {
    "right": ("right lung upper lobe", "right lung middle lobe", "right lung lower lobe"),
    "left": ("left lung upper lobe", "left lung lower lobe"),
}
EVERY_LOBE = (*LOBES["right"], *LOBES["left"])
TWIGS = 420  # of each lung
HEART_TURN: Point = (0.0, -31.0, -30.0)
HILUM: Point = (40.0, -16.0, 128.0)
# Where the first branches of one lung end, on the right.
SEGMENTS: tuple[Point, ...] = (
    (62, -14, 182), (78, 18, 160), (82, -44, 165), (74, 44, 112), (72, 34, 78), (84, -12, 74), (62, -48, 62),
    (88, -52, 102), (58, -30, 40), (94, 10, 112),
)  # fmt: skip


def lung_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return lungs, the diaphragm under them and the fat of the upper abdomen."""
    hu = -845.0 - 35 * person.breath - 30 * person.age * generator.uniform(0, 1)
    space = Both(cavity(person).shrunk(2.2), chest_floor())
    parts: list[Part] = []
    for name, s in SIDES:
        # The left lung is painted over a little of the right one, so that no seam shows between two soft edges.
        half = Both(space, HalfSpace((float(s), 0, 0), -4.0 if s > 0 else 0.0))
        parts.append(Part(LOBES[name][0], hu, (half,), 22, grain=0, slope_hu_mm=0.45))
        for lobe, cut in fissures(generator, name):
            parts.append(Part(lobe, None, (cut,), over=LOBES[name]))
    under = Both(domes(person), cavity(person))
    muscle = person.enhancement.hu("muscle")
    parts += lung_vessels(generator, person)
    thin = Grown(domes(person), -3.2)
    parts.append(Part("body", muscle, (under,), 6, grain=1))
    return [*parts, Part("body", FAT_HU, (Both(thin, abdominal(person, 1.0)),), 7, grain=1)]


def fissures(generator: np.random.Generator, side: str) -> list[tuple[str, Shape]]:
    """Return what is cut off the upper lobe of a lung, in order."""
    s = -1
    if side == "right":
        s = 1
    lean = generator.normal(0, 0.05)
    normal = np.array([0.10 * s, -0.78 - lean, -0.63])
    normal /= np.linalg.norm(normal)
    through: Point = (60.0 * s, -28.0, (100.0 if s > 0 else 106.0) + float(generator.normal(0, 6)))
    behind = HalfSpace(tuple(normal.tolist()), float(normal @ through))
    lower = roughen(behind, generator, 5.0, 110.0)
    if s < 0:
        return [("left lung lower lobe", lower)]
    flat = np.array([0.08, 0.22, -1.0])
    flat /= np.linalg.norm(flat)
    level = (60.0, 20.0, 108.0 + float(generator.normal(0, 6)))
    middle = roughen(HalfSpace(tuple(flat.tolist()), float(flat @ level)), generator, 4.0, 100.0)
    return [("right lung middle lobe", middle), ("right lung lower lobe", lower)]


def lung_vessels(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return arteries, veins and airways inside the lungs."""
    parts: list[Part] = []
    blood = person.enhancement.hu("pulmonary artery") * 0.9
    x, y, z = HILUM
    for name, s in SIDES:
        lobes = LOBES[name]
        for (a, b, c), radius, levels in (((0, 0, 0), 3.0, 6), ((-4, 10, -16), 2.7, 5)):
            ends = []
            for u, v, w in SEGMENTS:
                ends.append((s * (u + 2 * a), v + b, w + c))
            rods = tree(generator, (s * (x + a), y + b, z + c), ends, radius, levels, 0.74)
            parts.append(Part(None, blood, tuple(rods), over=lobes))
        parts.append(Part(None, 0.8 * blood, twigs(generator, s), over=lobes))
        bronchi = tree(generator, (s * x, y - 6, z), [(s * u, v - 5, w) for u, v, w in SEGMENTS], 2.2, 2, 0.6)
        walls = tuple(Capsule(r.start, r.stop, r.start_radius_mm + 0.9, r.stop_radius_mm + 0.7) for r in bronchi)
        parts += [Part(None, -380.0, walls, over=lobes), Part(None, AIR_HU, tuple(bronchi), over=lobes)]
    return parts


def twigs(generator: np.random.Generator, s: int) -> tuple[Capsule, ...]:
    """Return the small vessels of the outer lung, which all point away from its root."""
    root = np.array([s * HILUM[0], HILUM[1], HILUM[2]])
    places = generator.uniform((28, -92, -35), (128, 80, 245), (TWIGS, 3)) * (s, 1, 1)
    outwards = places - root
    ways = outwards / np.linalg.norm(outwards, axis=1, keepdims=True)
    ways += generator.normal(0, 0.35, ways.shape)
    length_mm = generator.uniform(8, 26, (TWIGS, 1))
    ends = places + ways * length_mm
    return tuple(rod(a, b, 1.25, 0.6) for a, b in zip(places, ends, strict=True))


def lung_disorders(generator: np.random.Generator) -> list[Part]:
    """Return, in some people, fluid behind the lungs and airless lung in front of it."""
    g = generator
    parts: list[Part] = []
    for name, s in SIDES:
        if g.random() < 0.07:
            level = -84.0 + float(g.exponential(18))
            normal = np.array([0.0, -1.0, -0.22])
            normal /= np.linalg.norm(normal)
            for depth, label, hu in ((6.0, None, 35.0), (0.0, "body", float(g.uniform(2, 25)))):
                fluid = HalfSpace(tuple(normal.tolist()), float(normal @ (0, level + depth, 40.0)))
                parts.append(Part(label, hu, (roughen(fluid, g, 3.0, 60.0),), 6, grain=1, over=LOBES[name]))
        if g.random() < 0.08:
            place = (s * float(g.uniform(40, 105)), float(g.uniform(-80, 20)), float(g.uniform(20, 190)))
            size = float(g.uniform(10, 34))
            cloud = roughen(Bulk(place, (size, 1.2 * size, size)), g, 0.3 * size, size)
            parts.append(Part(None, float(g.uniform(-600, 40)), (cloud,), 60, grain=1, over=LOBES[name]))
    return parts


def mediastinum_parts(person: Person) -> list[Part]:
    """Return the fat and tissue between the lungs, without what lies in it."""
    heart = Grown(heart_outside(person), 4.5)
    bulks: tuple[Shape, ...] = (
        Bulk((0, -4, 196), (27, 40, 62), power=2.4), Bulk((-2, 40, 128), (15, 36, 70), (-16, 0, 0), 2.2),
        Bulk((-8, -44, 70), (24, 18, 90), (0, 4, 0)), Bulk((26, -12, 52), (18, 20, 28)),
        *(Bulk((s * 32.0, -16.0, 128.0), (14, 18, 24)) for _, s in SIDES),
        Bulk((-30, 40, 42), (44, 32, 14), (0, 0, -20)),
    )  # fmt: skip
    inside = cavity(person)
    whole = Both(Blend((*bulks, heart, *column_sleeve(person)[::2]), 10.0), inside)
    throat = Both(Bulk((0, -24, 262), (50, 44, 52), power=2.3), HalfSpace((0, 0, 1), 218))
    hollows = tuple(Bulk((s * 58.0, 2.0, 234.0), (32, 22, 18)) for _, s in SIDES)
    return [
        Part("body", FAT_HU, (whole,), 9, grain=1),
        Part("body", 42.0, tuple(Both(tube, inside) for tube in column_sleeve(person)), 8, grain=1),
        Part("body", FAT_HU, (throat, *hollows), 10, grain=1),
    ]


def heart_outside(person: Person) -> Shape:
    """Return the outside of all four chambers."""
    return Blend(tuple(chambers(person, 0.0).values()), 9.0)


def chambers(person: Person, wall_mm: float) -> dict[str, Shape]:
    """Return the chambers by name: their outside, or what lies that far below it."""
    k, t = 1.06 * person.size("heart"), wall_mm
    c = np.array([-18.0, 20.0, 78.0])

    def bulk(middle: Point, radii: Point, turn: Point = (0.0, 0.0, 0.0)) -> Bulk:
        x, y, z = (c + k * (np.asarray(middle) - c)).tolist()
        a, b, d = (k * r - t for r in radii)
        return Bulk((x, y, z), (a, b, d), turn)

    return {
        "right ventricle": bulk((-14, 44, 67), (51, 28, 36), HEART_TURN),
        "right atrium": bulk((29, 20, 82), (24, 27, 35)),
        "left atrium": bulk((0, -10, 103), (34, 20, 24)),
        "left ventricle": bulk((-36, 19, 67), (54, 35, 36), HEART_TURN),
    }


def heart_parts(person: Person) -> list[Part]:
    """Return the heart with blood in its chambers, and the appendage of the left atrium."""
    e = person.enhancement
    inner = chambers(person, 2.8)
    left = chambers(person, 10.0)["left ventricle"]
    wall = chambers(person, 0.0)["left ventricle"]
    right = (inner["right atrium"], Without(inner["right ventricle"], wall))
    ear = Bulk((-37, 14, 114), (13, 10, 14), (0, 0, 30))
    return [
        Part("body", FAT_HU, (Grown(heart_outside(person), 3.5),), 7, grain=1),
        Part("heart", e.hu("myocardium"), (heart_outside(person),), 7, grain=1),
        Part(None, e.hu("right heart"), right, 10, grain=2),
        Part("left atrial appendage", e.hu("left heart"), (ear,)),
        Part(None, e.hu("left heart"), (inner["left atrium"],), 8, grain=2),
        Part(None, e.hu("myocardium"), (Grown(wall, -1.0),), 7, grain=1),
        Part(None, e.hu("left heart"), (left,), 10, grain=2),
    ]


def airway_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return windpipe, main bronchi and gullet, with gas in them."""
    pipe: list[Point] = [(0, 4, 310), (0, -4, 250), (1, -14, 200), (1, -18, 166)]
    right: list[Point] = [(1, -18, 166), (20, -19, 148), (42, -19, 128)]
    left: list[Point] = [(1, -18, 166), (-22, -23, 149), (-46, -25, 132)]
    gullet: list[Point] = [
        (-3, -18, 310), (-5, -26, 250), (-5, -37, 200), (-5, -42, 160), (-6, -46, 110), (-12, -38, 60), (-24, -16, 26),
        (-36, -4, 8),
    ]  # fmt: skip
    wide = 9.2
    if person.female:
        wide = 8.0
    tubes = (*bent_tube(pipe, wide), *bent_tube(right, [7.4, 6.8, 5.2]), *bent_tube(left, [7.0, 6.2, 5.0]))
    outer = tuple(Capsule(t.start, t.stop, t.start_radius_mm + 1.6, t.stop_radius_mm + 1.5) for t in tubes)
    empty = []
    for r in generator.uniform(0.0, 3.2, len(gullet)):
        empty.append(float(r))
    return [
        Part("trachea", WALL_HU, outer),
        Part(None, AIR_HU, tubes),
        Part("esophagus", 40.0 + 0.2 * person.enhancement.hu("bowel wall"), bent_tube(gullet, 7.4), 6, grain=1),
        Part(None, float(generator.choice([-700.0, 10.0, -300.0])), bent_tube(gullet, empty)),
    ]
