"""Ribs, breastbone, shoulder girdle and arms: the bones that hang on the chest."""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Part
from prosect.phantom.body.column import HEIGHTS, spine_y
from prosect.phantom.body.outline import SIDES, arm, cavity
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Blend, Bulk, bent_tube, fan
from prosect.phantom.shapes import Capsule, Loft, Point, Shape

__all__ = ["frame_parts"]

# Degrees at which a rib goes over into its cartilage, or ends; 90 is in front. That of the others is in `rib`.
UNTIL = {10: 25.0, 11: -15.0, 12: -38.0}
RIB_HU, RIB_MARROW_HU, CARTILAGE_HU, LONG_BONE_HU = 430.0, 105.0, 92.0, 900.0


def frame_parts(person: Person) -> list[Part]:
    """Return ribs with their cartilage, breastbone, shoulder blades, collar bones and upper arms."""
    cage = cavity(person).shrunk(-5.0)
    cartilages: list[Part] = []
    bones: list[Part] = []
    strong = 0.6 + 0.4 * person.bone
    for number in range(1, 13):
        start = float(HEIGHTS[f"T{number}"])
        back = float(spine_y(person, start)) - 18
        for name, side in SIDES:
            bone, cartilage = rib(number, side, start, back, cage)
            thick = 0.86
            if 3 <= number <= 10:
                thick = 1.0
            if cartilage:
                hu = CARTILAGE_HU + 110 * person.age**2
                cartilages.append(Part("costal cartilages", hu, bent_tube(cartilage, 5.0, 2), 28, grain=1))
            bones += [
                Part(f"{name} rib {number}", RIB_HU * strong, bent_tube(bone, 5.3 * thick, 1), 60, grain=0),
                Part(None, RIB_MARROW_HU * person.bone, bent_tube(bone, 3.3 * thick, 1), 40, grain=0),
            ]
    return [*cartilages, *bones, *sternum(cage, person), *shoulder_girdle(person), *upper_arms(person)]


def rib(number: int, side: int, start: float, back: float, cage: Loft) -> tuple[list[Point], list[Point]]:
    """Return the path of one rib and of its cartilage along the cage, from the spine forwards and down."""
    until = UNTIL.get(number, 62.0)
    fall_mm = 22.0 + 5.5 * min(number, 9)
    bone: list[Point] = [(side * 24.0, back, start)]
    for angle in np.linspace(-66, until, 14):
        bone.append(along(cage, angle, side, start - fall_mm * share(angle)))
    cartilage: list[Point] = []
    # Seven pairs reach the breastbone by a cartilage, which rises again; the others end before.
    if number <= 7:
        end = bone[-1]
        cartilage = [end]
        for angle in (70.0, 78.0, 86.0):
            cartilage.append(along(cage, angle, side, end[2] + (angle - until) * 0.6))
    return bone, cartilage


def share(angle: float) -> float:
    """Return which part of its fall a rib has made at an angle (degrees, -90 behind, 90 in front)."""
    return float((angle + 80) / 150)


def along(cage: Loft, angle: float, side: int, z: float) -> Point:
    """Return the point of the cage wall at an angle and a height."""
    _, middle_y, half_x, half_y = (float(v) for v in cage.at(np.asarray(z)))
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    # The cage is a superellipse: on it, cosine and sine are raised to this power, each with its sign.
    power = 2.0 / cage.power
    x = side * half_x * cos**power
    y = middle_y + half_y * np.sign(sin) * abs(sin) ** power
    return float(x), float(y), float(z)


def sternum(cage: Loft, person: Person) -> list[Part]:
    """Return the breastbone: handle, body and tip."""
    rows = (
        (58, 4, 3.0),
        (72, 10, 4.5),
        (90, 17, 5.5),
        (125, 16, 6.0),
        (150, 14, 6.0),
        (168, 20, 6.5),
        (190, 29, 7.5),
        (200, 24, 7),
    )
    front = []
    for z, w, d in rows:
        front.append((float(z), along(cage, 90, 1, z)[1], w, d))
    outer = Loft(tuple((z, 0.0, y + 2.0, w, d) for z, y, w, d in front), 2.5)
    inner = Loft(tuple((z, 0.0, y + 2.0, w - 1.8, d - 1.8) for z, y, w, d in front), 2.5)
    return [
        Part("sternum", 420 * (0.6 + 0.4 * person.bone), (outer,), 40, grain=0),
        Part(None, 125 * person.bone, (inner,), 35, grain=0),
    ]


def shoulder_girdle(person: Person) -> list[Part]:
    """Return shoulder blades and collar bones, turned upwards with raised arms."""
    parts: list[Part] = []
    up = person.arms == "up"
    hu = 480 * (0.6 + 0.4 * person.bone)
    for name, s in SIDES:
        plate, ridge, core = blade(s, up)
        muscle = person.enhancement.hu("muscle") - 20 * person.marbling
        tip: Point
        if up:
            tip = (s * 132.0, -26.0, 240.0)
        else:
            tip = (s * 138.0, -28.0, 222.0)
        path: list[Point] = [(s * 17.0, 47.0, 200.0), (s * 48.0, 48.0, 212.0), (s * 98.0, 8.0, 226.0), tip]
        fat = Bulk((s * 128.0, -18.0, 190.0), (16, 26, 26))
        parts += [
            Part("body", -100.0, (fat,), 6, grain=1),
            Part("body", muscle, (Blend((plate,), 0),), 8, grain=1),
            Part(f"{name} scapula", hu, (ridge,), 60, grain=0),
            Part(None, 190 * person.bone, (core,), 40, grain=0),
            Part(f"{name} clavicula", 640, bent_tube(path, [9.5, 6.6, 6.6, 7.5], 3), 50, grain=0),
            Part(None, 210 * person.bone, bent_tube(path, [7.3, 4.0, 4.0, 5.2], 3), 40, grain=0),
        ]
    return parts


def blade(side: int, up: bool) -> tuple[Shape, Shape, Shape]:
    """Return the muscles on a shoulder blade, the bone, and its spongy neck."""
    neck = on_side(side, [(126.0, -46.0, 212.0), (124.0, -50.0, 198.0)])
    border = on_side(side, [(80.0, -76.0, 222.0), (76.0, -95.0, 165.0), (96.0, -101.0, 100.0)])
    if up:
        border = on_side(side, [(82.0, -80.0, 218.0), (94.0, -96.0, 160.0), (128.0, -84.0, 112.0)])
    sheet = fan(neck, border, (5.5, 3.1), 11, 2.0)
    muscles = fan(neck, border, (15.0, 12.0), 7, 8.0)
    spine = on_side(side, [(84.0, -94.0, 196.0), (116.0, -82.0, 214.0), (142.0, -50.0, 232.0)])
    ridge = bent_tube(spine, [4, 5.5, 7.5], 2)
    beak = on_side(side, [(120.0, -42.0, 212.0), (116.0, -20.0, 218.0), (124.0, -8.0, 208.0)])
    hook = bent_tube(beak, [6, 5, 4.5], 2)
    socket = Bulk((side * 130.0, -44.0, 206.0), (9, 14, 19), (0, 0, side * 20.0))
    bone = Blend((sheet, socket, *ridge, *hook), 2.0)
    spongy = Bulk((side * 127.0, -46.0, 206.0), (6, 9, 13))
    return muscles, bone, spongy


def on_side(side: int, points: list[Point]) -> list[Point]:
    """Return points of the right on one side of the body."""
    return [(side * x, y, z) for x, y, z in points]


def upper_arms(person: Person) -> list[Part]:
    """Return the bones of the upper arms, and those of the forearms where they lie beside the body."""
    parts: list[Part] = []
    path, _ = arm(person, 1)
    strong = 0.6 + 0.4 * person.bone
    for name, s in SIDES:
        line = [(s * x, y, z) for x, y, z in path]
        head: Point = (s * 148.0, -34.0, 206.0)
        if person.arms == "up":
            head = (s * 146.0, -30.0, 232.0)
            shaft = [head, *line[2:]]
        elif person.arms == "down":
            shaft = [head, (s * (path[2][0] - 16), -40.0, 130.0), line[2], (line[3][0], line[3][1], -40.0)]
        else:
            shaft = [head, (s * 168.0, -34.0, 150.0)]
        radii, inner = [15.0, *[11.0] * (len(shaft) - 1)], [12.5, *[6.0] * (len(shaft) - 1)]
        bone: tuple[Shape, ...] = (Bulk(head, (23.5, 23.5, 24)), *bent_tube(shaft, radii, 3))
        parts += [
            Part(f"{name} humerus", LONG_BONE_HU * strong, bone, 60, grain=0),
            Part(None, 190 * person.bone, (Bulk(head, (21.8, 21.8, 22)),), 40, grain=0),
            Part(None, 60.0, bent_tube(shaft, inner, 3), 50, grain=0),
        ]
        if person.arms == "down":
            parts += forearm(line)
    return parts


def forearm(line: list[Point]) -> list[Part]:
    """Return the two bones of a forearm."""
    rods: list[Capsule] = []
    for shift in (-9.0, 9.0):
        rods += bent_tube([(x, y + shift, z) for x, y, z in line[3:]], 6.5, 2)
    core = []
    for rod in rods:
        core.append(Capsule(rod.start, rod.stop, 3.0, 3.0))
    return [Part("body", 850.0, tuple(rods), 60, grain=0), Part(None, 90.0, tuple(core))]
