"""Duodenum, small bowel and colon with what is in them, and the vessels of the mesentery."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prosect.phantom.anatomy import Part
from prosect.phantom.body.branching import tree
from prosect.phantom.body.outline import cavity
from prosect.phantom.body.person import Person
from prosect.phantom.body.vessels import front_of_spine
from prosect.phantom.organic import bent_tube, curve
from prosect.phantom.shapes import Capsule, Loft, Point, tube

__all__ = ["bowel_parts"]

GAS_HU = -980.0
# Place in a lean body and radius, from the blind end to the anus.
COLON: tuple[tuple[float, float, float, float], ...] = (
    (82, 18, -230, 22), (94, 8, -206, 25), (100, -10, -172, 24), (102, -24, -130, 22), (100, -18, -98, 21),
    (92, 6, -86, 21), (70, 40, -98, 20), (36, 62, -116, 20), (0, 66, -124, 20), (-36, 62, -112, 19), (-66, 42, -88, 19),
    (-98, 6, -52, 19), (-106, -28, -56, 17), (-108, -44, -90, 14), (-106, -40, -140, 13), (-99, -28, -190, 13),
    (-86, -4, -222, 14), (-58, 14, -242, 14), (-26, 10, -240, 14), (4, -10, -230, 14), (20, -40, -240, 14),
    (6, -64, -254, 15), (0, -72, -280, 19), (0, -78, -312, 19), (0, -62, -345, 12), (0, -64, -376, 8),
)  # fmt: skip
WANDER_MM = 9.0
HAUSTRA_MM = 36.0
LEAN_HALF_WIDTH, LEAN_FRONT = 124.0, 79.0
NODE_MM, LEAP_MM = 23.0, 58.0


def bowel_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return everything from the end of the stomach to the anus."""
    wall = cavity(person)
    line, radii = colon_line(generator, person, wall)
    nodes = small_bowel_nodes(generator, person, wall, line)
    return [
        *mesentery(generator, person, nodes),
        *small_bowel(generator, person, nodes),
        *duodenum(generator, person),
        *colon(generator, person, line, radii),
    ]


def fit_to_wall(points: NDArray[np.float64], wall: Loft) -> NDArray[np.float64]:
    """Return points (n, 3) of a lean body moved outwards with the wall of this one."""
    moved = points.copy()
    _, cy, rx, ry = wall.at(points[:, 2])
    inside = np.interp(points[:, 2], (-260, -200), (0.0, 1.0))
    moved[:, 0] *= 1 + inside * (np.maximum(rx / LEAN_HALF_WIDTH, 1.0) - 1)
    front = np.maximum((cy + ry) / LEAN_FRONT, 1.0) - 1
    moved[:, 1] += np.maximum(points[:, 1], 0) * front * inside
    return moved


def colon_line(
    generator: np.random.Generator, person: Person, wall: Loft
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle line (n, 3) of the colon and its radii, pouched by haustra."""
    table = np.asarray(COLON, dtype=np.float64)
    free = np.ones(len(table))
    free[-4:] = 0.15
    table[:, :3] += generator.normal(0, WANDER_MM, (len(table), 3)) * free[:, None]
    table[7:10, 2] -= generator.uniform(-5, 35)  # the transverse colon may sag
    table[:, :3] = fit_to_wall(table[:, :3], wall)
    table[:, 3] *= person.size("colon") * generator.uniform(0.75, 1.2, len(table))
    dense = curve(table, 6)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(dense[:, :3], axis=0), axis=1))])
    pouch = 1 + 0.13 * np.sin(2 * np.pi * length / HAUSTRA_MM)
    pouch[length > 0.86 * length[-1]] = 1.0
    line = inside(dense[:, :3], wall, dense[:, 3] + 2)
    return line, np.maximum(dense[:, 3] * pouch, 5.0)


def inside(points: NDArray[np.float64], wall: Loft, margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points drawn towards the middle of their slice until they keep a margin from the wall."""
    _, middle_y, half_x, half_y = wall.at(points[:, 2])
    middle = np.stack([np.zeros_like(middle_y), middle_y], axis=1)
    offset = points[:, :2] - middle
    room = np.stack([np.maximum(half_x - margin, 4), np.maximum(half_y - margin, 4)], axis=1)
    # 1 where a point keeps just the margin, more where it lies too far out; only those are moved.
    rho = ((np.abs(offset) / room) ** wall.power).sum(axis=1) ** (1 / wall.power)
    too_far = 1 - 1 / np.maximum(rho, 1.0)
    moved = points.copy()
    moved[:, :2] = points[:, :2] - offset * too_far[:, None]
    return moved


def colon(
    generator: np.random.Generator, person: Person, line: NDArray[np.float64], radii: NDArray[np.float64]
) -> list[Part]:
    """Return the colon with stool, fluid and gas."""
    g, e = generator, person.enhancement
    parts = [Part("colon", e.hu("bowel wall") - 8, rods(line, radii), 8, grain=1)]
    step = max(len(line) // 9, 2)
    for start in range(0, len(line) - 1, step):
        piece = slice(start, min(start + step + 1, len(line)))
        points, inner = line[piece], np.maximum(radii[piece] - 2.6, 1.5)
        kind = g.random()
        if kind < 0.55:
            stool = float(g.normal(-30, 35))
            parts.append(Part(None, stool, rods(points, inner), float(g.uniform(30, 170)), grain=0))
        elif kind < 0.75:
            if e.oral and g.random() < 0.5:
                fluid = e.oral
            else:
                fluid = float(g.normal(15, 10))
            parts.append(Part(None, fluid, rods(points, inner), 12, grain=0))
        elif kind < 0.88:
            parts.append(Part(None, GAS_HU, rods(points, inner)))
        if 0.1 < kind < 0.75 and g.random() < 0.65:
            share = float(g.uniform(0.3, 0.7))
            lifted = points + np.array([0.0, 1.0, 0.0]) * ((1 - share) * inner)[:, None]
            parts.append(Part(None, GAS_HU, rods(lifted, share * inner)))
    return parts


def rods(points: NDArray[np.float64], radii: NDArray[np.float64]) -> tuple[Capsule, ...]:
    """Return a tube along points (n, 3)."""
    return tube([(float(x), float(y), float(z)) for x, y, z in points], [float(r) for r in radii])


def small_bowel_nodes(
    generator: np.random.Generator, person: Person, wall: Loft, colon_points: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return the middle lines of the loops: places that are free, joined to their nearest neighbours."""
    g = generator
    axes = [np.arange(-96, 97, NODE_MM), np.arange(-26, 110, NODE_MM), np.arange(-286, -76, NODE_MM)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    places = places + g.normal(0, 5.0, places.shape)
    is_free = free_of_organs(places, person, wall, colon_points)
    return chains(places[is_free & (g.random(len(places)) < 0.9)])


def free_of_organs(
    places: NDArray[np.float64], person: Person, wall: Loft, colon_points: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which places (n, 3) of the abdomen are left to loops of the small bowel."""
    x, y, z = places.T
    depth_mm = wall.depth_mm(x[:, None, None], y[:, None, None], z[:, None, None])[:, 0, 0]
    spine_front = np.array([front_of_spine(person, height, 10) for height in z])
    from_colon_mm = np.linalg.norm(places[:, None] - colon_points[None, ::3], axis=2).min(axis=1)
    below_liver = z < -58 - 0.8 * x - 0.45 * y
    below_stomach = z < np.where(x < 20, -92.0, -60.0)
    beside_bladder = (z > -262) | (y < 0)
    is_inside = (depth_mm > 12) & (y > spine_front + 20) & (z > -292)
    return np.asarray(is_inside & (from_colon_mm > 28) & below_liver & below_stomach & beside_bladder)


def chains(places: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the places as lines, each going on to the nearest place that is left unless that is too far."""
    lines: list[NDArray[np.float64]] = []
    todo = list(range(len(places)))
    now: list[int] = []
    while todo:
        if not now:
            now = [todo.pop(0)]
            continue
        apart = np.linalg.norm(places[todo] - places[now[-1]], axis=1)
        if apart.min() > LEAP_MM:
            lines.append(places[now])
            now = []
        else:
            now.append(todo.pop(int(apart.argmin())))
    lines.append(places[now] if now else np.empty((0, 3)))
    found: list[NDArray[np.float64]] = []
    for line in lines:
        if len(line) > 1:
            found.append(line)
    return found


def small_bowel(generator: np.random.Generator, person: Person, lines: list[NDArray[np.float64]]) -> list[Part]:
    """Return the loops with what is in them: fluid, what was drunk, gas, or nothing."""
    g, e = generator, person.enhancement
    parts: list[Part] = []
    fills: list[Part] = []
    for line in lines:
        radii = person.size("bowel") * g.uniform(8.0, 13.5, len(line))
        dense = curve(np.column_stack([line, radii]), 5)
        points, outer = dense[:, :3], np.maximum(dense[:, 3], 4.0)
        parts.append(Part("small bowel", e.hu("bowel wall"), rods(points, outer), 9, grain=1))
        for start in range(0, len(points) - 1, 18):
            piece = slice(start, min(start + 19, len(points)))
            kind, inner = g.random(), np.maximum(outer[piece] - 2.4, 1.0)
            if kind < 0.45:
                if e.oral and g.random() < 0.7:
                    hu = e.oral
                else:
                    hu = float(g.normal(22, 10))
                fills.append(Part(None, hu, rods(points[piece], inner), 14, grain=0))
            elif kind < 0.54:
                lifted = points[piece] + np.array([0.0, 1.0, 0.0]) * (0.4 * inner)[:, None]
                fills.append(Part(None, 15.0, rods(points[piece], inner), 12, grain=0))
                fills.append(Part(None, GAS_HU, rods(lifted, 0.6 * inner)))
    return [*parts, *fills]


def duodenum(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return the loop around the head of the pancreas."""
    y = front_of_spine(person, -110, 10) + 15
    line: list[Point] = [
        (27, 38, -58), (44, 32, -60), (52, 14, -74), (50, y + 6, -104), (30, y, -120), (0, y, -118), (-26, y + 8, -98),
        (-34, y + 18, -84),
    ]  # fmt: skip
    shifted = np.asarray(line, dtype=np.float64) + generator.normal(0, 2.0, (len(line), 3))
    middle: list[Point] = list(map(tuple, shifted.tolist()))
    wide = generator.uniform(9.5, 13.0, len(line)).tolist()
    e = person.enhancement
    drunk = e.oral and generator.random() < 0.5  # contrast medium has come this far
    if drunk:
        hu = e.oral
    else:
        hu = float(generator.normal(18, 12))
    hollow = []
    for radius in wide:
        hollow.append(max(radius - float(generator.uniform(2.5, 7)), 1.0))
    gas: tuple[Capsule, ...] = ()
    if generator.random() < 0.3:
        # Gas gathers in the upper half of the loop, at the front of a person who lies on the back.
        above: list[Point] = [(x, v + 3.0, z) for x, v, z in middle[:4]]
        gas = bent_tube(above, [0.6 * radius for radius in hollow[:4]])
    return [
        Part("duodenum", e.hu("bowel wall"), bent_tube(middle, wide), 8, grain=1),
        Part(None, hu, bent_tube(middle, hollow), 14, grain=0),
        Part(None, GAS_HU, gas),
    ]


def mesentery(generator: np.random.Generator, person: Person, lines: list[NDArray[np.float64]]) -> list[Part]:
    """Return the vessels that run through the fat to the loops, and small lymph nodes among them."""
    e, g = person.enhancement, generator
    if not lines:
        return []
    places = np.vstack(lines)
    chosen = places[g.permutation(len(places))[:14]]
    y = front_of_spine(person, -120, 10) + 28
    goals: list[Point] = []
    for a, b, c in chosen:
        goals.append((float(a) * 0.6, (float(b) + y) / 2, (float(c) - 130) / 2))
    arteries = tree(g, (3, y, -118), goals, 1.5, 3, 0.7)
    veins = tree(g, (12, y - 2, -116), goals, 2.2, 3, 0.7)
    few = places[g.permutation(len(places))[:20]]
    dots: list[Point] = [(a, b, c) for a, b, c in (few + g.normal(0, 9, few.shape)).tolist()]
    nodes = tuple(Capsule(p, (p[0] + 4, p[1] + 2, p[2] + 3), 2.2, 2.0) for p in dots)
    return [
        Part(None, e.hu("portal vein") * 0.9, tuple(veins), over=("body",)),
        Part(None, e.hu("artery") * 0.85, tuple(arteries), over=("body",)),
        Part(None, e.hu("muscle"), nodes, over=("body",)),
    ]
