"""A synthetic person from the fourth lumbar vertebra to the lung apices, arms raised, contrast in the portal phase.

World is RAS mm: right is +x, so the liver lies at +x and the spleen at -x. The origin is between the twelfth thoracic
and the first lumbar vertebra. Sizes are those of an adult; every draw of the generator makes another person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prosect.phantom.bones import rib_cage_bones, spine
from prosect.phantom.scanner import Anatomy, Part, random_waves
from prosect.phantom.shapes import Both, Ellipsoid, HalfSpace, Loft, Point, Shape, Without, tube

__all__ = ["FIELD_OF_VIEW", "torso_anatomy"]

FIELD_OF_VIEW = ((-186.0, -146.0, -188.0), (186.0, 134.0, 250.0))
FAT_HU, MUSCLE_HU, VISCERAL_FAT_HU, LUNG_HU, GAS_HU = -102.0, 56.0, -98.0, -855.0, -985.0
VESSEL_HU = 155.0
# Vertebra by height of its middle (mm), the twelve thoracic from below, then the lumbar ones.
VERTEBRAE = {
    "L5": -181, "L4": -147, "L3": -113, "L2": -79, "L1": -45, "T12": -14, "T11": 14, "T10": 40, "T9": 65, "T8": 89,
    "T7": 112, "T6": 135, "T5": 157, "T4": 178, "T3": 198, "T2": 217, "T1": 235,
}  # fmt: skip
SPINE_Y = ((-190.0, -60.0), (-110.0, -54.0), (0.0, -62.0), (110.0, -63.0), (245.0, -50.0))

TRUNK = Loft(
    ((-196, 0, 0, 163, 114), (-100, 0, 0, 156, 108), (0, 0, 0, 160, 110), (100, 0, 0, 168, 112),
     (175, 0, 0, 166, 108), (215, 0, 0, 148, 98), (256, 0, 0, 126, 86)), 2.5,
)  # fmt: skip
CAGE = Loft(
    ((-80, 0, -4, 126, 82), (0, 0, -5, 132, 86), (80, 0, -5, 134, 87), (140, 0, -6, 124, 82), (190, 0, -10, 102, 66),
     (225, 0, -18, 72, 45), (246, 0, -22, 46, 28)), 2.3,
)  # fmt: skip
LUNG_STATIONS = (
    (-30, 88, -42, 30, 34), (10, 80, -18, 50, 66), (60, 77, -6, 54, 78), (120, 74, -8, 52, 74), (175, 64, -14, 43, 60),
    (215, 50, -20, 29, 40), (240, 42, -24, 12, 16),
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """What the draws decide before anything is placed.

    Attributes:
        fat_mm: Thickness of the fat under the skin.
        enhancement: How much contrast is in the vessels, about 1.
    """

    fat_mm: float
    enhancement: float

    @property
    def cavity(self) -> Loft:
        """The abdominal cavity, inside the muscle wall."""
        return TRUNK.shrunk(self.fat_mm + 16)


def torso_anatomy(generator: np.random.Generator) -> Anatomy:
    """Return one person drawn from the generator."""
    body = Body(float(generator.uniform(9, 17)), float(generator.normal(1.0, 0.08)))
    scale = generator.normal(1.0, 0.03, size=3).clip(0.93, 1.07)
    waves = random_waves(generator)
    parts = [
        *wall(body),
        *lungs(generator),
        *mediastinum(body),
        *upper_abdomen(generator, body),
        *bowel(generator, body),
        *kidneys(generator, body),
        *great_vessels(body),
        *back_muscles(),
        *spine(VERTEBRAE, SPINE_Y, cord_end=-45.0),
        *rib_cage_bones(VERTEBRAE, CAGE, SPINE_Y),
    ]
    return Anatomy(tuple(parts), tuple(float(s) for s in scale), waves)  # type: ignore[arg-type]


def mirrored(stations: Sequence[tuple[float, ...]]) -> Loft:
    """Return the loft reflected to the other side of the body."""
    return Loft(tuple((z, -x, y, rx, ry) for z, x, y, rx, ry in stations))


def near(generator: np.random.Generator, point: Point, sd_mm: float = 2.5) -> Point:
    """Return the point moved a little."""
    x, y, z = np.asarray(point) + generator.normal(0, sd_mm, size=3)
    return float(x), float(y), float(z)


def wall(body: Body) -> list[Part]:
    """Return table, skin, fat, muscle and the space inside them."""
    table = Loft(((-400, 0, -150, 210, 32), (400, 0, -150, 210, 32)), 3.0)
    return [
        Part(None, -640, (Both(table, HalfSpace((0, -1, 0), 118.5)),)),
        Part("body", 20, (TRUNK,)),
        Part("body", FAT_HU, (TRUNK.shrunk(2.2),), 6),
        Part("body", MUSCLE_HU, (TRUNK.shrunk(body.fat_mm),), 5),
        Part("body", FAT_HU, tuple(Ellipsoid((s * 112, 8, 206), (24, 42, 46)) for s in (1, -1)), 6),
        Part("body", VISCERAL_FAT_HU, (Both(body.cavity, HalfSpace((0, 0, -1), -20)), CAGE.shrunk(7)), 6),
    ]


def lungs(generator: np.random.Generator) -> list[Part]:
    """Return both lungs with their vessels."""
    inside = CAGE.shrunk(9)
    halves = (Loft(LUNG_STATIONS), mirrored(LUNG_STATIONS))
    parts = [Part("lung", LUNG_HU, tuple(Both(half, inside) for half in halves), 22)]
    for side, half in zip((1, -1), halves, strict=True):
        parts.append(Part(None, 70, tuple(Both(rod, Both(half, inside)) for rod in lung_vessels(generator, side))))
    return parts


def lung_vessels(generator: np.random.Generator, side: int) -> list[Shape]:
    """Return branches from the hilum into the lung."""
    rods: list[Shape] = []
    hilum = np.array([side * 36.0, -14.0, 122.0])
    for _ in range(15):
        target = np.array([side * generator.uniform(58, 118), generator.uniform(-72, 58), generator.uniform(5, 225)])
        fork = hilum + (target - hilum) * generator.uniform(0.4, 0.6) + generator.normal(0, 5, 3)
        rods += tube([tuple(hilum), tuple(fork)], (5.0, 2.6))
        for _ in range(3):
            rods += tube([tuple(fork), tuple(target + generator.normal(0, 17, 3))], (2.4, 0.9))
    return rods


def mediastinum(body: Body) -> list[Part]:
    """Return heart, airways and gullet."""
    blood = VESSEL_HU * body.enhancement
    turn = {"turn_z": -32.0, "turn_y": 14.0}
    fat = Ellipsoid((-15, 20, 82), (66, 54, 52), **turn)
    heart = Ellipsoid((-17, 22, 80), (60, 47, 45), **turn)
    chambers = (
        Ellipsoid((-44, 22, 68), (25, 17, 19), **turn),  # left ventricle
        Ellipsoid((-8, 46, 72), (29, 15, 23), **turn),  # right ventricle
        Ellipsoid((25, 22, 88), (15, 21, 25)),  # right atrium
        Ellipsoid((-6, -6, 98), (27, 15, 18)),  # left atrium
    )
    windpipe = [(0.0, -8.0, 256.0), (1.0, -14.0, 158.0)]
    bronchi = [[(1.0, -14.0, 158.0), (40.0, -15.0, 126.0)], [(1.0, -14.0, 158.0), (-44.0, -16.0, 124.0)]]
    gullet: list[Point] = [(-3, -30, 256), (-5, -32, 160), (-8, -28, 75), (-18, -6, 26)]
    return [
        Part("body", VISCERAL_FAT_HU, (fat, Ellipsoid((0, 0, 165), (34, 42, 70)))),
        Part("heart", 105, (heart,), 4),
        Part(None, blood, chambers, 3),
        Part("trachea", 40, (*tube(windpipe, 10.5), *(rod for b in bronchi for rod in tube(b, (9, 7.5))))),
        Part(None, GAS_HU, (*tube(windpipe, 8.7), *(rod for b in bronchi for rod in tube(b, (7, 5.5))))),
        Part("esophagus", 46, tube(gullet, (8, 8, 9, 9)), 4),
        Part(None, -300, tube(gullet[:2], 2.0)),
    ]


def upper_abdomen(generator: np.random.Generator, body: Body) -> list[Part]:
    """Return diaphragm, liver, gallbladder, spleen, stomach and pancreas."""
    inside = body.cavity
    domes = (Ellipsoid((66, -3, -28), (68, 80, 80)), Ellipsoid((-66, -3, -32), (66, 78, 70)))
    thin = (Ellipsoid((66, -3, -28), (65, 77, 77)), Ellipsoid((-66, -3, -32), (63, 75, 67)))
    x, y, z = near(generator, (66, -3, -30), 1.5)
    hollow = Ellipsoid((28, 5, -108), (58, 62, 58))
    liver = Both(Without(Ellipsoid((x, y, z), (63, 74, 77)), hollow), inside.shrunk(2))
    left_lobe = Both(Without(Ellipsoid((2, 38, -8), (58, 36, 34), turn_y=12), hollow), inside.shrunk(2))
    stomach = Ellipsoid(near(generator, (-58, 26, -4)), (42, 44, 42), turn_y=-15)
    antrum = tube([(-50, 40, -25), (-18, 52, -52), (14, 46, -50)], (26, 19, 14))
    level = HalfSpace((0, 1, 0), 46 + float(generator.normal(0, 4)))
    meal = Ellipsoid(stomach.center, (38, 40, 38), turn_y=-15)
    head_to_tail = tube([(26, 16, -72), (14, 22, -52), (-22, 12, -42), (-66, -20, -28)], (13, 11, 9, 7))
    veins = [tube([(34, -12, 22), (70 + dx, 12 + dx / 2, -30)], (4.5, 1.8)) for dx in (-25, 5, 32)]
    spleen = Ellipsoid(near(generator, (-97, -38, -2)), (27, 42, 48), turn_z=-24, turn_y=10)
    above = HalfSpace((0, 0, 1), -30)
    return [
        Part("body", 52, tuple(Both(dome, Both(inside, above)) for dome in domes)),
        Part("body", VISCERAL_FAT_HU, tuple(Both(dome, inside) for dome in thin), 6),
        Part("stomach", 58, (Both(stomach, inside.shrunk(3)), *antrum), 4),
        Part(None, 22, (Both(meal, inside.shrunk(7)),), 8),
        Part(None, GAS_HU, (Both(meal, Both(level, inside.shrunk(7))),)),
        Part("spleen", 118 * body.enhancement, (Both(spleen, inside.shrunk(3)),), 4),
        Part("pancreas", 92, head_to_tail, 6),
        Part("liver", 108 * body.enhancement, (liver, left_lobe), 5),
        Part(None, 150 * body.enhancement, tuple(rod for vein in veins for rod in vein)),
        Part("gallbladder", 8, (Ellipsoid(near(generator, (52, 44, -66)), (14, 23, 16), turn_z=30),)),
    ]


def bowel(generator: np.random.Generator, body: Body) -> list[Part]:
    """Return duodenum, colon with stool and gas, and loops of small bowel."""
    frame: list[Point] = [
        (100, -8, -196), (98, -2, -130), (84, 24, -106), (40, 66, -104), (-30, 70, -92), (-82, 22, -58),
        (-106, -18, -84), (-106, -10, -196),
    ]  # fmt: skip
    path = [near(generator, p, 2.0) for p in frame]
    gas: list[Point] = [(x, y + 9, z) for x, y, z in path[2:6]]
    loops: list[Point] = []
    for n in range(34):
        side = (-1) ** (n // 2) * generator.uniform(12, 72)
        loops.append((float(side), 30 + (-1) ** n * float(generator.uniform(0, 28)), -126 - 2.2 * n))
    c_loop = tube([(14, 46, -50), (42, 26, -62), (46, 4, -100), (2, 0, -112), (-28, 12, -100)], 11)
    return [
        Part("small bowel", 64, tube(loops, 9.5), 8),
        Part(None, 18, tube(loops, 6.5), 12),
        Part("duodenum", 52, c_loop, 6),
        Part("colon", 52, tuple(Both(rod, body.cavity.shrunk(1)) for rod in tube(path, 19)), 4),
        Part(None, 8, tuple(Both(rod, body.cavity.shrunk(3)) for rod in tube(path, 16)), 45),
        Part(None, GAS_HU, tube(gas, (3, 7, 8, 5))),
    ]


def kidneys(generator: np.random.Generator, body: Body) -> list[Part]:
    """Return psoas, and kidneys with a bright rind and a fatty sinus."""
    psoas = [tube([(s * 24, -52, -40), (s * 36, -46, -120), (s * 46, -36, -198)], (9, 17, 21)) for s in (1, -1)]
    parts = [
        Part(f"{name} iliopsoas", MUSCLE_HU + 4, rods, 4) for name, rods in zip(("right", "left"), psoas, strict=True)
    ]
    for name, side, height in (("right", 1, -84.0), ("left", -1, -66.0)):
        x, y, z = near(generator, (side * 64.0, -48.0, height))
        turn = side * -11.0
        parts += [
            Part(f"{name} kidney", 185 * body.enhancement, (Ellipsoid((x, y, z), (28, 27, 54), side * 20.0, turn),), 4),
            Part(None, 120, (Ellipsoid((x - side * 3, y, z), (20, 18, 42), side * 20.0, turn),), 8),
            Part(None, -60, (Ellipsoid((x - side * 13, y + 2, z), (12, 9, 22), 0.0, turn),), 8),
        ]
    return parts


def great_vessels(body: Body) -> list[Part]:
    """Return aorta, pulmonary trunk, hollow veins and portal vein."""
    blood = VESSEL_HU * body.enhancement
    arch: list[Point] = [
        (-2, 16, 104), (13, 22, 138), (8, 10, 166), (-9, -14, 174), (-22, -36, 157), (-23, -40, 110), (-18, -40, 60),
        (-11, -34, 0), (-8, -28, -110), (-7, -32, -172),
    ]  # fmt: skip
    lower: list[Point] = [(26, -14, 62), (27, -22, 10), (24, -24, -60), (20, -30, -196)]
    trunk = tube([(-16, 36, 108), (-20, 16, 138)], (14, 13))
    branches = (*tube([(-20, 14, 138), (46, -8, 134)], (11, 8)), *tube([(-20, 14, 138), (-52, -14, 140)], (11, 8)))
    portal = tube([(52, 8, -30), (22, 8, -48), (0, 6, -50), (-72, -26, -22)], (7, 7, 6, 4))
    return [
        Part("pulmonary artery", blood * 0.95, (*trunk, *branches)),
        Part("superior vena cava", blood * 0.9, tube([(27, 8, 176), (27, 12, 108)], 9)),
        Part("inferior vena cava", blood * 0.85, tube(lower, (12, 13, 12, 11))),
        Part("portal vein and splenic vein", blood, portal),
        Part("aorta", blood, tube(arch, (15, 15, 14, 13, 13, 12.5, 12, 11.5, 10, 9))),
    ]


def back_muscles() -> list[Part]:
    """Return the two columns of muscle beside the spine."""
    parts = []
    for name, side in (("right", 1), ("left", -1)):
        column = Loft(((-196, side * 31, -86, 29, 17), (0, side * 30, -84, 27, 15), (230, side * 24, -74, 20, 10)))
        parts.append(Part(f"{name} autochthon", MUSCLE_HU + 2, (Both(column, TRUNK.shrunk(8)),), 6))
    return parts
