"""A synthetic head, neck and shoulders down to the lung apices, arms down, contrast in the vessels.

World is RAS mm: right is +x. The origin is between the ear canals, at the base of the skull.
"""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Anatomy, Part, random_waves
from prosect.phantom.bones import spine
from prosect.phantom.shapes import Both, Box, Capsule, Ellipsoid, HalfSpace, Loft, Point, Shape, Without, tube

__all__ = ["FIELD_OF_VIEW", "head_neck_anatomy"]

FIELD_OF_VIEW = ((-212.0, -126.0, -236.0), (212.0, 116.0, 130.0))
FAT_HU, MUSCLE_HU, BONE_HU, LUNG_HU, GAS_HU, BLOOD_HU = -98.0, 58.0, 620.0, -830.0, -990.0, 165.0
SIDES = (("right", 1), ("left", -1))

CERVICAL = {"C1": -14, "C2": -31, "C3": -50, "C4": -67, "C5": -84, "C6": -101, "C7": -119, "T1": -139, "T2": -161}
CERVICAL |= {"T3": -184, "T4": -207, "T5": -231}
SPINE_Y = ((-240.0, -52.0), (-160.0, -34.0), (-100.0, -12.0), (-60.0, -8.0), (-14.0, -14.0), (10.0, -14.0))

NECK = Loft(
    ((-250, 0, -8, 196, 92), (-222, 0, -10, 196, 88), (-196, 0, -12, 182, 80), (-176, 0, -13, 146, 70),
     (-156, 0, -12, 104, 64), (-134, 0, -10, 72, 60), (-105, 0, -6, 60, 58), (-80, 0, -2, 59, 62), (-62, 0, 4, 62, 72),
     (-30, 0, 0, 68, 82), (2, 0, -4, 71, 88), (30, 0, -6, 66, 84)), 2.25,
)  # fmt: skip
CRANIUM = Ellipsoid((0, -6, 42), (76, 96, 80))
FACE = Loft(
    ((-92, 0, 56, 22, 24), (-78, 0, 50, 42, 40), (-45, 0, 44, 56, 50), (-10, 0, 46, 62, 50), (25, 0, 44, 60, 48),
     (55, 0, 38, 50, 44)), 2.3,
)  # fmt: skip
NOSE = Capsule((0, 90, 22), (0, 104, -12), 6, 13)


def head_neck_anatomy(generator: np.random.Generator) -> Anatomy:
    """Return one person drawn from the generator."""
    scale = generator.normal(1.0, 0.025, size=3).clip(0.94, 1.06)
    waves = random_waves(generator)
    fat_mm = float(generator.uniform(4.5, 9.0))
    parts = [
        *soft_outline(fat_mm),
        *shoulders(),
        *spine(CERVICAL, SPINE_Y, cord_end=-250.0),
        *vessels_and_glands(generator),
        *face(generator),
        *skull(),
        *brain(),
        *jaw(generator),
        *throat(generator),
    ]
    return Anatomy(tuple(parts), tuple(float(s) for s in scale), waves)  # type: ignore[arg-type]


def near(generator: np.random.Generator, point: Point, sd_mm: float = 1.5) -> Point:
    """Return the point moved a little."""
    x, y, z = np.asarray(point) + generator.normal(0, sd_mm, size=3)
    return float(x), float(y), float(z)


def pair(center: Point, radii_mm: Point, turn_z: float = 0.0, turn_y: float = 0.0) -> tuple[Ellipsoid, Ellipsoid]:
    """Return an ellipsoid on the right and its mirror image on the left."""
    x, y, z = center
    return Ellipsoid((x, y, z), radii_mm, turn_z, turn_y), Ellipsoid((-x, y, z), radii_mm, -turn_z, -turn_y)


def soft_outline(fat_mm: float) -> list[Part]:
    """Return skin, fat and the muscles of neck and face."""
    thin = Ellipsoid(CRANIUM.center, (74, 94, 78))
    skin: tuple[Shape, ...] = (NECK, CRANIUM, FACE, NOSE, *pair((78, -8, 0), (6, 13, 26), 18))
    spared = NECK.shrunk(fat_mm)
    return [
        Part("body", 25, skin),
        Part("body", FAT_HU, (NECK.shrunk(2), thin, FACE.shrunk(2)), 6),
        Part("body", MUSCLE_HU, (Both(spared, HalfSpace((0, 0, -1), 8)),), 6),
        Part("body", FAT_HU, (Ellipsoid((0, 12, -58), (42, 28, 66)), *pair((40, 14, -130), (24, 18, 40))), 8),
        Part("body", MUSCLE_HU, (Loft(((-240, 0, -70, 60, 24), (-90, 0, -42, 46, 22), (-10, 0, -52, 44, 20))),), 8),
        Part("body", MUSCLE_HU, pair((27, -14, -86), (13, 15, 62)), 4),
        Part("body", FAT_HU, pair((104, 6, -226), (20, 40, 34)), 6),
        Part("body", MUSCLE_HU, tuple(rod for _, s in SIDES for rod in sternomastoid(s)), 4),
    ]


def sternomastoid(side: int) -> tuple[Capsule, ...]:
    """Return the oblique muscle at the side of the neck."""
    return tube([(side * 56, -22, -20), (side * 48, 4, -80), (side * 22, 34, -160)], (8, 11, 8))


def shoulders() -> list[Part]:
    """Return apices of the lungs, first ribs, collar bones, shoulder blades and upper arms."""
    lungs = pair((52, -28, -236), (44, 48, 54))
    parts = [
        Part("body", FAT_HU, (Ellipsoid((0, -8, -236), (30, 46, 44)),), 6),
        Part("lung", LUNG_HU, lungs, 25),
        Part(None, 60, tuple(rod for _, s in SIDES for rod in apex_vessels(s))),
    ]
    for name, s in SIDES:
        collar: list[Point] = [(s * 14, 40, -184), (s * 60, 36, -176), (s * 112, 0, -170), (s * 150, -22, -172)]
        first: list[Point] = [(s * 26, -46, -150), (s * 54, -34, -162), (s * 60, 0, -178), (s * 26, 34, -194)]
        second: list[Point] = [(s * 28, -60, -172), (s * 76, -52, -188), (s * 88, -8, -208), (s * 62, 30, -226)]
        blade = Ellipsoid((s * 98, -62, -214), (46, 5, 54), s * 24.0)
        parts += [
            Part(f"{name} clavicula", BONE_HU, tube(collar, 6.0), 20),
            Part(None, 220, tube(collar, 3.0)),
            Part(f"{name} rib 1", 420, tube(first, 4.5), 20),
            Part(f"{name} rib 2", 420, tube(second, 4.5), 20),
            Part(f"{name} scapula", 420, (blade, Capsule((s * 100, -66, -190), (s * 132, -32, -192), 7, 9)), 20),
            Part(f"{name} humerus", BONE_HU, (Ellipsoid((s * 160, -8, -206), (23, 23, 25)),), 20),
            Part(None, 190, (Ellipsoid((s * 160, -8, -206), (20.5, 20.5, 22.5)),), 25),
        ]
    return parts


def apex_vessels(side: int) -> tuple[Capsule, ...]:
    """Return a few vessels in the apex of one lung."""
    targets = ((58, -10, -196), (64, -44, -198), (44, -36, -190), (78, -24, -216))
    found = []
    for x, y, z in targets:
        found.append(Capsule((side * 40, -20, -245), (side * x, y, z), 3.0, 1.0))
    return tuple(found)


def skull() -> list[Part]:
    """Return the vault and the base of the skull with its air cells."""
    base: Shape = Both(Ellipsoid((0, -6, 4), (66, 78, 16)), HalfSpace((0, 0, 1), -10))
    vault = Ellipsoid(CRANIUM.center, (69, 89, 73))
    cells = pair((58, -24, -8), (9, 12, 13))
    canals = tuple(Capsule((s * 40, -6, 0), (s * 80, -8, 0), 3, 3.5) for s in (1, -1))
    mastoid = pair((56, -22, -14), (13, 16, 20))
    return [
        Part("skull", BONE_HU, (Both(base, vault), *mastoid), 60),
        Part("skull", 950, (Both(vault, HalfSpace((0, 0, 1), -2)),), 50),
        Part(None, 480, (Both(Ellipsoid(CRANIUM.center, (67, 87, 71)), HalfSpace((0, 0, 1), 0)),), 60),
        Part(None, -520, cells, 180),
        Part(None, GAS_HU, canals),
    ]


def brain() -> list[Part]:
    """Return brain with sulci, ventricles and cerebellum, brainstem and the cord that leaves it."""
    inside = Ellipsoid((0, -6, 42), (62, 82, 66))
    above = HalfSpace((0, 0, 1), 1)
    white = pair((27, -6, 50), (24, 66, 36))
    ventricles = pair((10, -4, 52), (6, 30, 9), -8)
    cerebellum = Both(Ellipsoid((0, -52, 6), (50, 30, 24)), Ellipsoid((0, -6, 42), (64, 84, 68)))
    stem = tube([(0, -10, 30), (0, -8, 12), (0, -16, -14)], (14, 13.5, 8.5))
    return [
        Part("body", 10, (Both(Ellipsoid((0, -6, 42), (64, 84, 68)), HalfSpace((0, 0, 1), -2)),)),
        Part("brain", 39, (Both(inside, above),), 4),
        Part(None, 30, tuple(Both(w, above) for w in white), 2),
        Part(None, 9, (*ventricles, Capsule((0, 78, 60), (0, -84, 60), 1.2, 1.2))),
        Part("brain", 40, (cerebellum,), 5),
        Part(None, 12, (Ellipsoid((0, -30, 8), (24, 9, 22)),)),
        Part("brainstem", 35, stem, 2),
    ]


def face(generator: np.random.Generator) -> list[Part]:
    """Return orbits, sinuses, nose, palate, tongue and the muscles of chewing."""
    bones: tuple[Shape, ...] = (
        Both(FACE.shrunk(8), Box((-60, 30, -42), (60, 110, 26))),
        *(rod for _, s in SIDES for rod in tube([(s * 60, 14, -4), (s * 64, 40, -8), (s * 46, 68, -8)], 4)),
    )
    orbits = pair((31, 66, 16), (18, 30, 17), 12)
    sinuses = pair((28, 58, -18), (16, 21, 17))
    nose: tuple[Shape, ...] = (Ellipsoid((0, 56, -10), (9, 34, 22)), *pair((8, 64, 18), (6, 17, 11)))
    eyes = pair(near(generator, (31, 76, 16), 0.5), (12, 12, 12))
    nerves = tuple(Capsule((s * 29, 64, 16), (s * 12, 34, 16), 2, 2) for s in (1, -1))
    masseter = pair((54, 30, -44), (9, 17, 30), 14)
    frontal = pair((12, 82, 38), (12, 6, 11))
    tongue = Ellipsoid((0, 38, -58), (24, 34, 22))
    return [
        Part("body", FAT_HU, (Both(FACE.shrunk(3), HalfSpace((0, 0, -1), 34)),), 8),
        Part("skull", 420, bones, 110),
        Part("body", FAT_HU, (*pair((44, 52, -22), (13, 20, 20)), *orbits), 6),
        Part("body", GAS_HU, (*sinuses, *frontal)),
        Part("body", 45, (Ellipsoid((0, 56, -10), (11, 36, 24)),)),
        Part(None, GAS_HU, nose),
        Part(None, 250, (Box((-1, 24, -30), (1, 86, 10)),), 40),
        Part(None, 12, eyes),
        Part(None, 38, nerves),
        Part("body", 62, (*masseter, tongue, *pair((34, 26, -34), (8, 15, 18))), 5),
    ]


def jaw(generator: np.random.Generator) -> list[Part]:
    """Return lower jaw, palate and teeth; now and then a metal filling."""
    bone: list[Capsule] = []
    core: list[Capsule] = []
    for _, s in SIDES:
        bone += tube([(s * 50, 12, -8), (s * 49, 14, -32), (s * 47, 20, -62)], (6, 7, 8))
        bone += tube([(s * 49, 22, -20), (s * 48, 30, -40), (s * 47, 20, -62)], (4, 7, 8))
        body: list[Point] = [(s * 47, 20, -62), (s * 40, 48, -74), (s * 26, 70, -78), (s * 9, 82, -80), (0, 83, -80)]
        bone += tube(body, (8, 9, 9, 9, 9))
        core += tube(body[1:], (5.5, 5.5, 5, 5))
    palate = Both(Ellipsoid((0, 46, -42), (31, 36, 7)), HalfSpace((0, 0, 1), -46))
    metal = generator.random() < 0.3
    return [
        Part("mandible", 980, tuple(bone), 40),
        Part(None, 340, tuple(core), 60),
        Part("skull", 520, (palate,), 60),
        Part(None, 1900, (*dental_arch(27, 34, -53), *dental_arch(26, 33, -62)), 120),
        Part(None, 3000, (Ellipsoid((26, 52, -54), (3, 3, 3)),) if metal else ()),
    ]


def dental_arch(rx: float, ry: float, z: float) -> list[Ellipsoid]:
    """Return fourteen teeth on a half ellipse."""
    angles = np.deg2rad(np.linspace(4, 176, 14))
    found = []
    for a in angles:
        found.append(Ellipsoid((float(rx * np.cos(a)), float(46 + ry * np.sin(a)), z), (3.6, 3.6, 8)))
    return found


def throat(generator: np.random.Generator) -> list[Part]:
    """Return airway, larynx with its cartilage, hyoid bone, thyroid gland and gullet."""
    x, y, z = near(generator, (0, 27, -107), 1.0)
    larynx = Ellipsoid((x, y, z), (18, 19, 22))
    plate = Without(Ellipsoid((x, y, z), (17, 18, 19)), Ellipsoid((x, y - 3, z), (14, 17.5, 30)))
    pharynx: list[Point] = [(0, 26, -16), (0, 16, -48), (0, 14, -78), (0, 21, -98), (0, 25, -110)]
    windpipe: list[Point] = [(0, 25, -110), (0, 18, -126), (0, 4, -152), (0, -18, -245)]
    gullet: list[Point] = [(0, 3, -130), (-2, -11, -158), (-4, -34, -245)]
    gland = pair((18, 18, -140), (9, 11, 24), 10, 6)
    hyoid = tube([(-22, 22, -82), (-14, 42, -86), (0, 47, -87), (14, 42, -86), (22, 22, -82)], 2.6)
    return [
        Part("body", 45, tube(pharynx, (12, 11, 13, 12, 9)), 4),
        Part("thyroid gland", 185, (*gland, Capsule((-16, 27, -138), (16, 27, -138), 4, 4)), 10),
        Part("larynx", 62, (larynx,), 6),
        Part(None, 190, (plate,), 60),
        Part(None, 480, hyoid, 40),
        Part("esophagus", 48, tube(gullet, (7.5, 8, 8.5)), 5),
        Part("trachea", 55, tube(windpipe[1:], 10.5)),
        Part(None, GAS_HU, (*tube(pharynx, (9, 6.5, 9, 6.5, 3)), *tube(windpipe, (3, 7, 8.4, 8.4)))),
    ]


def vessels_and_glands(generator: np.random.Generator) -> list[Part]:
    """Return carotid arteries, jugular veins and salivary glands."""
    parts = []
    for name, s in SIDES:
        common: list[Point] = [(s * 14, -8, -240), (s * 20, 0, -178), (s * 25, 10, -140), (s * 26, 12, -92)]
        inner: list[Point] = [(s * 26, 12, -92), (s * 28, 4, -40), (s * 26, 8, -4)]
        outer: list[Point] = [(s * 27, 16, -92), (s * 34, 14, -60), (s * 42, 8, -30)]
        jugular: list[Point] = [(s * 16, 10, -236), (s * 30, 10, -170), (s * 36, 4, -120), (s * 33, -4, -20)]
        parotid = Ellipsoid(near(generator, (s * 54, -2, -34), 1.0), (12, 19, 27), s * 16.0)
        gland = Ellipsoid(near(generator, (s * 31, 36, -80), 1.0), (10, 16, 12), s * -20.0)
        parts += [
            Part("body", BLOOD_HU * 0.85, tube(jugular, (7, 7, 6.5, 4))),
            Part(f"{name} common carotid artery", BLOOD_HU, tube(common, (4.5, 4, 3.8, 4.4))),
            Part("body", BLOOD_HU, (*tube(inner, (3.2, 2.6, 2.5)), *tube(outer, (2.6, 2.0, 1.6)))),
            Part(f"{name} parotid", -12, (parotid,), 16),
            Part(f"{name} submandibular", 42, (gland,), 6),
        ]
    return parts
