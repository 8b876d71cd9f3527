"""Bladder, prostate or womb, and what surrounds them."""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Part
from prosect.phantom.body.outline import SIDES, cavity
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Bulk, Grown, bent_tube, roughen
from prosect.phantom.shapes import Both, Point, Shape

__all__ = ["pelvis_parts"]

NECK_Z = -333.0  # where the bladder drains, whatever it holds


def pelvis_parts(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return womb or prostate, and the bladder over them."""
    if person.female:
        inside = womb(generator, person)
    else:
        inside = prostate(generator, person)
    floor = tuple(Bulk((s * 22.0, -42.0, -352.0), (7, 34, 22), (0, s * -28.0, 0)) for _, s in SIDES)
    walls = tuple(Bulk((s * 46.0, -14.0, -318.0), (7, 34, 34), (0, s * 10.0, 0)) for _, s in SIDES)
    muscle = person.enhancement.hu("muscle") - 15 * person.marbling
    return [Part("body", muscle, (*floor, *walls), 8, grain=1), *inside, *bladder(generator, person)]


def bladder(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return the bladder, empty or full, with contrast agent at its bottom in the late phase."""
    g, e = generator, person.enhancement
    k = person.size("bladder") * float(g.uniform(0.75, 1.45))
    height = 27.0 * k
    shape = Bulk((float(g.normal(0, 2)), 4.0, NECK_Z + height), (38 * k, 31 * k, height), (-8, 0, 0), 2.2)
    whole = Both(roughen(shape, g, 2.0, 50.0), cavity(person).shrunk(5))
    late = float(np.clip((e.moment - 2.2) / 0.8, 0, 1))
    return [
        Part("bladder", 32.0 + 0.2 * e.hu("bowel wall"), (whole,), 4, grain=1),
        Part(
            None,
            float(g.normal(5, 4)) + 160 * late,
            (Grown(whole, -max(5.5 - 2.2 * k, 1.8)),),
            3,
            grain=1,
            slope_hu_mm=5.0 * late,
        ),
    ]


def prostate(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return prostate, larger with age, and seminal vesicles."""
    g, e = generator, person.enhancement
    k = person.size("prostate") * (0.88 + 0.3 * person.age)
    gland = roughen(Bulk((0, 0, -349), (24 * k, 16 * k, 18 * k), (15, 0, 0)), g, 1.2, 25.0)
    sacs: tuple[Shape, ...] = tuple(
        Bulk((s * 17.0, -24.0, -326.0), (16, 6, 8), (0, s * -18.0, s * -15.0)) for _, s in SIDES
    )
    root = bent_tube([(0, 6, -366), (0, 40, -380), (0, 66, -400)], [9, 12, 14], 2)
    return [
        Part("body", e.hu("prostate"), (*sacs, *root), 8, grain=1),
        Part("prostate", e.hu("prostate"), (gland,), 9, grain=1),
    ]


def womb(generator: np.random.Generator, person: Person) -> list[Part]:
    """Return womb, vagina and ovaries; the womb is smaller with age, and some have none."""
    g, e = generator, person.enhancement
    k = person.size("uterus") * (1.12 - 0.35 * person.age)
    tilt = float(g.normal(55, 25))
    tunnel = bent_tube([(0, -26, -318), (0, -16, -350), (0, -8, -384)], [11, 8, 7], 2)
    parts = [Part("body", e.hu("prostate"), tunnel, 8, grain=1)]
    for _, s in SIDES:
        beside, front, height = float(g.normal(42, 5)), float(g.normal(-30, 8)), float(g.normal(-268, 8))
        ovary = Bulk((s * beside, front, height), (11, 9, 14))
        parts.append(Part("body", 35.0, (ovary,), 14, grain=1))
    if "uterus" in person.absent:
        return parts
    middle: Point = (float(g.normal(0, 6)), float(g.normal(-22, 5)), float(g.normal(-284, 5)))
    body = Bulk(middle, (24 * k, 21 * k, 34 * k), (-tilt, 0, 0))
    neck = Bulk((0, -28, -312), (13, 12, 18), (-15, 0, 0))
    lining = Bulk(middle, (7 * k, 3, 22 * k), (-tilt, 0, 0))
    return [
        *parts,
        Part("uterocervix", e.hu("uterus"), (roughen(body, g, 1.5, 30.0), neck), 9, grain=1),
        Part(None, 30.0 + 0.3 * e.hu("uterus"), (lining,)),
    ]
