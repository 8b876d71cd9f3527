"""Liver, gallbladder, spleen, pancreas, stomach, kidneys and adrenal glands."""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Part
from prosect.phantom.body.branching import tree
from prosect.phantom.body.outline import SIDES, abdominal
from prosect.phantom.body.person import Person
from prosect.phantom.body.vessels import front_of_spine
from prosect.phantom.organic import Blend, Bulk, Grown, bent_tube, fan, roughen
from prosect.phantom.shapes import Both, HalfSpace, Point, Shape, Without

__all__ = ["kidney", "kidney_parts", "stomach_parts", "upper_abdomen_parts"]

GAS_HU = -985.0
KIDNEYS: dict[str, Point] = {"right": (64.0, -50.0, -80.0), "left": (-64.0, -48.0, -64.0)}


def near(generator: np.random.Generator, point: Point, sd_mm: float) -> Point:
    """Return the point moved a little."""
    x, y, z = (np.asarray(point) + generator.normal(0, sd_mm, size=3).clip(-2 * sd_mm, 2 * sd_mm)).tolist()
    return float(x), float(y), float(z)


def plane(normal: Point, through: Point) -> HalfSpace:
    """Return what lies on the side of a plane to which `normal` points."""
    unit = np.asarray(normal) / np.linalg.norm(normal)
    return HalfSpace(tuple(unit.tolist()), float(unit @ through))


def upper_abdomen_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return liver with its vessels, gallbladder, spleen and pancreas."""
    e, g = person.enhancement, generator
    if g.random() < 0.12:
        fatty = float(g.uniform(15, 55))
    else:
        fatty = float(g.normal(0, 5))
    parts = [
        Part("spleen", e.hu("spleen") + float(g.normal(0, 5)), (spleen(g, person),), *mottle(person)),
        Part("liver", e.hu("liver") - fatty, (liver(g, person),), 6, grain=1),
        *liver_vessels(g, person, fatty),
        *pancreas(g, person),
    ]
    if "spleen" in person.absent:
        parts = [part for part in parts if part.structure != "spleen"]
    return [*parts, *([] if "gallbladder" in person.absent else gallbladder(g, person))]


def mottle(person: Person) -> tuple[float, int]:
    """Return the unevenness of the spleen, strong in the arterial phase."""
    early = max(0.0, 1 - abs(person.enhancement.moment - 1.0) / 0.5)
    return 6.0 + 30.0 * early, 2 if early else 1


def liver(generator: np.random.Generator, person: Person) -> Shape:
    """Return the liver: what is under the right dome, above its lower face and in front of stomach and spine."""
    g = generator
    more = 85.0 * (person.size("liver") - 1.0)
    face = plane((0.60 + g.normal(0, 0.05), 0.46 + g.normal(0, 0.05), 0.72), (25.0, 5.0, -40.0 - 1.3 * more))
    back = plane((0.66 + g.normal(0, 0.04), 0.72, 0.10), (24.0, -66.0, 0.0))
    left = plane((1.0, 0.15, 0.25), (-68.0 - 18 * g.normal() - more, 40.0, 0.0))
    room = Bulk((40, 0, -30), (165, 140, 98 + 8 * float(g.normal()) + more), power=2.5)
    whole = Both(Both(Both(abdominal(person, 4.2), face), Both(back, left)), room)
    dents: tuple[Shape, ...] = (
        Grown(kidney(person, "right"), 7.0), Bulk((18, 20, -72), (30, 34, 34)), Bulk((-44, -4, -30), (38, 34, 52)),
    )  # fmt: skip
    wavy = roughen(roughen(whole, g, 7.0, 130.0, 3), g, 2.0, 50.0)
    return Without(Both(wavy, abdominal(person, 3.6)), Blend(dents, 8.0))


def liver_vessels(generator: np.random.Generator, person: Person, fatty: float) -> list[Part]:
    """Return the trees of portal vein and hepatic veins inside the liver."""
    e = person.enhancement
    y = front_of_spine(person, -28, 10) + 22
    gates: list[Point] = [(82, -20, -22), (78, 28, -30), (64, -8, 14), (-14, 42, -8), (24, 48, -4), (92, 2, -62)]
    tips: list[Point] = [(88, -26, 8), (58, 24, 10), (2, 38, 10), (70, -44, -14)]
    portal = tree(generator, (38, y, -28), gates, 3.2, 4, 0.72)
    veins = tree(generator, (27, -18, 26), tips, 3.8, 3, 0.72)
    return [
        Part(None, e.hu("portal vein"), tuple(portal), over=("liver",)),
        Part(None, e.hu("hepatic vein"), tuple(veins), over=("liver",)),
    ]


def gallbladder(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return the gallbladder; some hold stones."""
    k = person.size("gallbladder")
    x, y, z = near(generator, (50.0, 40.0, -78.0), 5.0)
    turn: Point = (float(generator.normal(-35, 10)), 0.0, float(generator.normal(0, 15)))
    outer = Bulk((x, y, z), (16.5 * k, 16.5 * k, 31 * k), turn)
    stones: list[Shape] = []
    if generator.random() < 0.12:
        for _ in range(int(generator.integers(1, 6))):
            a, b, c = near(generator, (x, y - 6 * k, z - 3), 3.5)
            size = float(generator.uniform(1.5, 5.0))
            stones.append(Bulk((a, b, c), (size, size, size)))
    return [
        Part("gallbladder", person.enhancement.hu("bowel wall"), (outer,)),
        Part(None, float(generator.normal(7, 5)), (Grown(outer, -1.6),), 3, grain=1),
        Part(None, float(generator.uniform(80, 700)), tuple(stones), over=("gallbladder",)),
    ]


def spleen(generator: np.random.Generator, person: Person) -> Shape:
    """Return the spleen: against the wall under the left dome, hollow towards stomach and kidney."""
    k = person.size("spleen")
    x, y, z = near(generator, (-96.0, -40.0, -4.0), 4.0)
    whole = Both(Bulk((x, y, z), (44 * k, 51 * k, 64 * k), (0, 12, 0), 2.2), abdominal(person, 4.2))
    hollow = Blend((Bulk((-54, -6, 6), (44, 52, 78)), Grown(kidney(person, "left"), 6.0)), 10.0)
    return Without(roughen(whole, generator, 2.5, 55.0), hollow)


def pancreas(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return the pancreas, more lobed and fatty with age, and its duct."""
    k = person.size("pancreas") * (1.06 - 0.14 * person.age)
    y = front_of_spine(person, -60, 10)
    line = [near(generator, p, 2.5) for p in (
        (18, y + 14, -98), (31, y + 20, -80), (15, y + 32, -62), (-14, y + 30, -52), (-46, y + 12, -44),
        (-78, -28, -28),
    )]  # fmt: skip
    rods = bent_tube(line, [10.5 * k, 16.5 * k, 11 * k, 11 * k, 12 * k, 10 * k], 3)
    body = roughen(Blend(rods, 4.0), generator, 1.6, 13.0, 6)
    hu = person.enhancement.hu("pancreas") - 35 * person.age * person.marbling
    return [
        Part("pancreas", hu, (body,), 8 + 22 * person.age, grain=0),
        Part(None, 20.0, bent_tube(line[1:], float(generator.uniform(0.6, 1.6)))),
    ]


def stomach_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return the stomach with its wall, what is in it, and gas in front."""
    g = generator
    k = person.size("stomach")
    a, b, c = near(g, (-60.0, -16.0, 10.0), 4.0)
    fundus = Bulk((a, b, c), (34 * k, 35 * k, 36 * k))
    line = []
    for p in ((-60, -4, 0), (-58, 36, -38), (-28, 54, -64), (8, 48, -64)):
        line.append(near(g, p, 4.0))
    line.append((27.0, 38.0, -58.0))
    rods = bent_tube(line, [30 * k, 25 * k, 20 * k, 15 * k, 10], 3)
    whole = Both(Blend((fundus, *rods), 10.0), abdominal(person, 5.0))
    inner = Grown(whole, -float(g.uniform(3.0, 5.5)))
    e = person.enhancement
    if e.oral and g.random() < 0.8:
        drunk = e.oral
    else:
        drunk = float(g.normal(18, 15))
    level = b + (8 + 45 * float(g.uniform(-0.5, 0.9))) * k
    fill = 15.0
    if not e.oral:
        fill = float(g.uniform(5, 60))
    return [
        Part("stomach", e.hu("stomach wall"), (whole,), 8, grain=1),
        Part(None, drunk, (inner,), fill, grain=0),
        Part(None, GAS_HU, (Both(inner, plane((0, 1, 0.05), (0, level, 0))),)),
    ]


def kidney(person: Person, side: str) -> Bulk:
    """Return a kidney without its hollow."""
    k = person.size("kidney")
    s = -1
    if side == "right":
        s = 1
    return Bulk(KIDNEYS[side], (28 * k, 25 * k, 54 * k), (-10.0, s * -13.0, s * 25.0), 2.15)


def kidney_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return kidneys with cortex, pyramids, fatty hollow and pelvis, now and then a cyst or stone; adrenal glands."""
    parts: list[Part] = []
    for name, s in SIDES:
        parts += adrenal(person, s, name)
        if f"{name} kidney" not in person.absent:
            parts += one_kidney(generator, person, name, s)
    return parts


def one_kidney(generator: np.random.Generator, person: Person, name: str, s: int) -> list[Part]:
    """Return one kidney and its ureter."""
    g, e = generator, person.enhancement
    outer = kidney(person, name)
    _, y, z = outer.center
    own = f"{name} kidney"
    shape = Without(roughen(outer, g, 1.2, 30.0), Bulk(within(outer, s, 31, 2, 0), (14, 13, 19), outer.turn))
    sinus = Bulk(within(outer, s, 11, 1, 0), (12 + 3 * person.age, 9, 27), outer.turn)
    gate: Point = (s * 42.0, y + 14, z - 34)
    funnel = bent_tube([within(outer, s, 9, 1, 0), within(outer, s, 24, 3, -4), gate], [5.5, 4.5, 2.6], 3)
    low = front_of_spine(person, -150, 6) + 8
    ureter: list[Point] = [gate, (s * 40, low, -150), (s * 46, -24, -215), (s * 42, -48, -260), (s * 20, -24, -308)]
    urine = e.hu("pelvis")
    parts = [
        Part(own, e.hu("kidney"), (shape,), 5, grain=1),
        Part(None, e.hu("medulla"), pyramids(outer, s), 4, grain=1, over=(own,)),
        Part(None, -70.0, (sinus,), 25, grain=1, over=(own,)),
        Part(None, urine, funnel),
        Part(None, min(urine, 200.0) + 15, bent_tube(ureter, 2.0, 3)),
    ]
    if g.random() < 0.08:
        stone = Bulk(near(g, within(outer, s, 8, 0, 0), 8.0), (2.5, 2.5, 2.5))
        parts.append(Part(None, 700.0, (stone,), over=(own,)))
    return [*parts, *cysts(g, person, outer, s, name)]


def within(outer: Bulk, s: int, inward: float, front: float, up: float) -> Point:
    """Return a place given along a kidney's own axes."""
    a, b, c = (np.asarray(outer.center) + outer.axes() @ np.array([-s * inward, front, up])).tolist()
    return float(a), float(b), float(c)


def pyramids(outer: Bulk, s: int) -> tuple[Shape, ...]:
    """Return the pyramids of the medulla, in two rows around the hollow."""
    found = []
    for angle in np.linspace(-2.1, 2.1, 9):
        for front in (-9.0, 9.0):
            place = within(outer, s, 3 - 13 * float(np.cos(angle)), front, 36 * float(np.sin(angle)))
            found.append(Bulk(place, (5.2, 5.0, 6.5)))
    return tuple(found)


def cysts(generator: np.random.Generator, person: Person, outer: Bulk, s: int, name: str) -> list[Part]:
    """Return the cysts of one kidney, more of them with age."""
    g = generator
    parts = []
    for _ in range(int(g.poisson(0.35 * (0.2 + person.age)))):
        radius = float(g.uniform(5, 22))
        way = g.normal(size=3)
        way[0] = -abs(way[0])
        a, b, c = (way / np.linalg.norm(way) * np.array([24, 23, 48])).tolist()
        ball = Bulk(within(outer, s, a, b, c), (radius, radius, radius))
        parts.append(Part(f"{name} kidney cyst", float(g.normal(6, 5)), (ball,), over=(f"{name} kidney", "body")))
    return parts


def adrenal(person: Person, s: int, name: str) -> list[Part]:
    """Return one adrenal gland: two thin limbs that meet in front."""
    k = person.size("adrenal")
    ridge: list[Point] = [(s * 31.0, -34.0, -10.0), (s * 36.0, -33.0, -38.0)]
    lateral: list[Point] = [(s * 41.0, -56.0, -12.0), (s * 47.0, -50.0, -36.0)]
    medial: list[Point] = [(s * 27.0, -56.0, -12.0), (s * 35.0, -52.0, -36.0)]
    thickness_mm = (2.3 * k, 1.9 * k)
    limbs = (fan(ridge, lateral, thickness_mm, 8, 1.5), fan(ridge, medial, thickness_mm, 8, 1.5))
    hu = person.enhancement.hu("adrenal")
    return [Part(f"{name} adrenal gland", hu, (Blend(limbs, 2.0),), 5, grain=1)]
