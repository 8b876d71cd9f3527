"""The great vessels of chest, abdomen and pelvis."""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Part
from prosect.phantom.body.column import dimensions, spine_y
from prosect.phantom.body.outline import SIDES
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Bulk, bent_tube
from prosect.phantom.shapes import Capsule, Point, Shape

__all__ = ["abdominal_vessels", "chest_vessels", "front_of_spine"]

Line = list[Point]
ROOT: Line = [(-7, 18, 92), (1, 20, 112), (13, 24, 138), (11, 13, 163), (-5, -9, 174), (-20, -34, 161), (-23, -50, 136)]
ARCH_RADII = (15.5, 15.5, 15.5, 14.5, 13.5, 13.0, 12.6)
AORTA_X = ((110, -23, 12.3), (60, -19, 12.0), (10, -11, 11.2), (-40, -8, 10.4), (-90, -6, 9.6), (-152, -4, 9.0))
# Straight vessels of the chest: name, blood, points, radii.
CHEST: tuple[tuple[str, str, Line, tuple[float, ...]], ...] = (
    ("pulmonary artery", "pulmonary artery", [(-12, 46, 100), (-16, 34, 122), (-19, 14, 138)], (14, 14.5, 13.5)),
    ("pulmonary artery", "pulmonary artery", [(-18, 14, 138), (12, -3, 134), (42, -11, 130)], (12, 11, 8)),
    ("pulmonary artery", "pulmonary artery", [(-19, 12, 139), (-38, -14, 143), (-48, -26, 128)], (12, 10.5, 8)),
    ("pulmonary vein", "left heart", [(22, -6, 110), (46, 0, 118)], (7.5, 5.5)),
    ("pulmonary vein", "left heart", [(20, -16, 98), (46, -27, 92)], (7.5, 5.5)),
    ("pulmonary vein", "left heart", [(-24, -6, 114), (-46, 3, 124)], (7.5, 5.5)),
    ("pulmonary vein", "left heart", [(-22, -17, 100), (-46, -30, 98)], (7.5, 5.5)),
    ("superior vena cava", "right heart", [(28, 10, 178), (30, 12, 146), (31, 16, 112)], (9.5, 9.5, 10.5)),
    ("right brachiocephalic vein", "right heart", [(24, 14, 214), (27, 11, 196), (28, 10, 178)], (7.5, 8, 8.5)),
    ("left brachiocephalic vein", "right heart",
     [(-26, 18, 210), (-6, 27, 193), (16, 20, 185), (27, 12, 180)], (7, 7.5, 7.5, 8)),
    ("brachiocephalic trunk", "artery", [(5, 8, 176), (13, 6, 196), (18, 0, 215)], (6.8, 6.5, 6)),
    ("right common carotid artery", "artery", [(18, 0, 215), (20, -3, 250), (22, 2, 310)], (4.2, 3.8, 3.8)),
    ("right subclavian artery", "artery",
     [(18, 0, 215), (36, -14, 240), (74, 2, 232), (122, -14, 216)], (5, 4.6, 4.2, 3.6)),
    ("left common carotid artery", "artery",
     [(-6, -2, 182), (-14, -4, 220), (-20, -4, 255), (-22, 2, 310)], (4.5, 4.2, 3.8, 3.8)),
    ("left subclavian artery", "artery",
     [(-16, -22, 178), (-22, -22, 215), (-40, -16, 240), (-76, 2, 232), (-122, -14, 216)], (5.5, 5, 4.6, 4.2, 3.6)),
    ("body", "right heart", [(26, 20, 222), (28, 14, 214), (30, 10, 250), (30, 8, 310)], (6, 6, 6.5, 7)),
    ("body", "right heart", [(-28, 20, 220), (-30, 12, 250), (-31, 8, 310)], (6, 6, 6.5)),
    ("body", "right heart", [(28, 18, 220), (70, 12, 226), (122, -8, 210)], (6, 5, 4.5)),
    ("body", "right heart", [(-28, 18, 216), (-70, 12, 226), (-122, -8, 210)], (6, 5, 4.5)),
)  # fmt: skip


def front_of_spine(person: Person, z: float, radius: float) -> float:
    """Return where a vessel of this radius lies along A, just in front of the vertebral bodies."""
    return float(spine_y(person, z)) + dimensions(z)[1] + radius + 1.5


def aorta(person: Person) -> tuple[Line, list[float]]:
    """Return the middle line of the aorta and its radii, from the heart to the fork."""
    k = person.size("aorta") * (0.92 if person.female else 1.0) * (0.93 + 0.14 * person.age)
    line, radii = [*ROOT], [k * radius for radius in ARCH_RADII]
    for z, x, radius in AORTA_X:
        # In the chest the aorta lies beside the spine, further back than in front of it.
        behind = 0.0
        if z > 20:
            behind = 5.0
        line.append((float(x), front_of_spine(person, z, radius * k) - behind, float(z)))
        radii.append(k * radius)
    return line, radii


def chest_vessels(person: Person) -> list[Part]:
    """Return the vessels at the heart and those to head and arms."""
    e = person.enhancement
    parts = []
    for name, blood, points, radii in CHEST:
        parts.append(Part(name, e.hu(blood), bent_tube(points, radii, 3), 6, grain=2))
    azygos: Line = []
    for z in (20.0, 80.0, 130.0):
        azygos.append((9, front_of_spine(person, z, 2) - 10, z))
    return [Part("body", e.hu("cava above"), bent_tube([*azygos, (18, -40, 158), (26, -8, 160)], 3.4, 3)), *parts]


def abdominal_vessels(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return aorta and lower hollow vein with their branches down to the thighs; with age, chalk in the walls."""
    e = person.enhancement
    line, radii = aorta(person)
    fork = line[-1]
    legs: list[Part] = []
    chalk: list[Shape] = specks(generator, person, line[8:], radii[8:])
    for name, s in SIDES:
        artery: Line = [
            fork, (s * 22, -16, -184), (s * 42, -17, -222), (s * 60, 4, -258), (s * 72, 28, -290), (s * 78, 38, -330),
            (s * 84, 30, -400),
        ]  # fmt: skip
        inner: Line = [(s * 40, -17, -218), (s * 46, -44, -246), (s * 44, -62, -276)]
        vein: Line = [
            (14, fork[1] - 4, -166), (s * 20, -27, -190), (s * 38, -27, -222), (s * 55, -6, -258), (s * 66, 18, -290),
            (s * 68, 28, -330), (s * 74, 20, -400),
        ]  # fmt: skip
        tubes = (*bent_tube(artery, [6.2, 5.4, 5, 4.5, 4.5, 4.5, 4], 3), *bent_tube(inner, [3.6, 3, 2.2], 3))
        veins = bent_tube(vein, [8, 7.5, 7, 6.2, 6, 6, 5.5], 3)
        legs += [
            Part(f"{name} iliac vena", e.hu("iliac vein"), upper(veins), 5, grain=2),
            Part(None, e.hu("iliac vein"), veins, 5, grain=2),
            Part(f"{name} iliac artery", e.hu("artery"), upper(tubes), 5, grain=2),
            Part(None, e.hu("artery"), tubes, 5, grain=2),
        ]
        chalk += specks(generator, person, artery[:4], [6, 5.4, 5, 4.5])
    return [
        *legs,
        *hollow_vein(person),
        *branches(person),
        Part("body", 38.0, bent_tube(line, [r + 1.6 for r in radii], 4)),
        Part("aorta", e.hu("artery"), bent_tube(line, radii, 4), 6, grain=2),
        Part(None, 620.0, tuple(chalk)),
    ]


def upper(rods: tuple[Capsule, ...]) -> tuple[Capsule, ...]:
    """Return the rods above the groin, where the vessels change their names."""
    return tuple(rod for rod in rods if rod.stop[2] > -318)


def hollow_vein(person: Person) -> list[Part]:
    """Return the lower hollow vein, flatter below than at the heart."""
    e, k = person.enhancement, person.size("vein")
    heights = (-168.0, -120.0, -70.0, -30.0)
    low: Line = []
    for z in heights:
        low.append((17.0, front_of_spine(person, z, 8), z))
    high: Line = [(22, front_of_spine(person, -30, 9), -30), (27, -24, 0), (29, -14, 34), (30, 4, 60)]
    twins: list[Capsule] = []
    for aside in (-3.5, 4.5):
        line: Line = [(x + aside, y, z) for x, y, z in low]
        twins += bent_tube(line, [9 * k, 9 * k, 9 * k, 9.5 * k], 3)
    return [
        Part("inferior vena cava", e.hu("cava below"), tuple(twins), 8, grain=2),
        Part("inferior vena cava", e.hu("cava above"), bent_tube(high, [11 * k, 12 * k, 13 * k, 13], 3), 8, grain=2),
    ]


def branches(person: Person) -> list[Part]:
    """Return the vessels of kidneys, gut and spleen."""
    e = person.enhancement
    # All of them leave and reach the vessels in front of the spine.
    y = front_of_spine(person, -60, 10)
    arteries: list[Capsule] = [
        *bent_tube([(-6, y, -38), (-3, y + 18, -34), (22, y + 20, -36)], [3.6, 3, 2.4]),
        *bent_tube([(-4, y + 18, -34), (-40, y + 6, -30), (-86, -34, -14)], [2.8, 2.6, 2.4]),
        *bent_tube([(-6, y, -52), (-2, y + 18, -76), (3, y + 28, -120), (16, y + 34, -170)], [3.8, 3.6, 3, 2]),
    ]
    veins: list[Capsule] = []
    for _, s in SIDES:
        arteries += bent_tube([(-6, y - 4, -64), (s * 26, y - 16, -70), (s * 48, -42, -72)], [3, 2.8, 2.4])
    veins += bent_tube([(20, y, -66), (36, -34, -74), (50, -40, -76)], [5.5, 5, 4.5])
    veins += bent_tube([(16, y + 8, -62), (-6, y + 15, -62), (-30, y - 2, -66), (-50, -40, -68)], [4.5, 4, 5, 4.5])
    portal: list[Capsule] = [
        *bent_tube([(16, y + 26, -150), (14, y + 24, -104), (12, y + 24, -66)], [5, 5.5, 6]),
        *bent_tube([(12, y + 24, -66), (24, y + 24, -44), (38, y + 22, -28)], [7.5, 7, 6.5]),
        *bent_tube([(12, y + 24, -62), (-20, y + 16, -50), (-56, -20, -36), (-84, -34, -18)], [5.5, 5, 4.6, 4]),
    ]
    return [
        Part("body", e.hu("renal vein"), tuple(veins), 5, grain=2),
        Part("portal vein and splenic vein", e.hu("portal vein"), tuple(portal), 6, grain=2),
        Part("body", e.hu("artery"), tuple(arteries), 5, grain=2),
    ]


def specks(generator: np.random.Generator, person: Person, line: Line, radii: list[float]) -> list[Shape]:
    """Return chalk in the wall of an artery: none in the young, much in some of the old."""
    count = generator.poisson(14 * person.age**3)
    found: list[Shape] = []
    for _ in range(int(count)):
        n = int(generator.integers(len(line)))
        around = generator.normal(size=3)
        around[2] *= 0.3
        place = np.asarray(line[n]) + around / np.linalg.norm(around) * radii[n] * 0.95
        x, y, z = place.tolist()
        size = generator.uniform(1.2, 3.2)
        found.append(Bulk((x, y, z + float(generator.uniform(-8, 8))), (size, size, 1.8 * size)))
    return found
