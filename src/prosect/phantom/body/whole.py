"""The whole trunk, painted from the outside inwards."""

from __future__ import annotations

import numpy as np

from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.bending import random_bend
from prosect.phantom.body.abdomen import kidney_parts, stomach_parts, upper_abdomen_parts
from prosect.phantom.body.bowel import bowel_parts
from prosect.phantom.body.chest import airway_parts, heart_parts, lung_parts, mediastinum_parts
from prosect.phantom.body.column import column_parts
from prosect.phantom.body.frame import frame_parts
from prosect.phantom.body.hips import hip_parts
from prosect.phantom.body.muscles import buttock_parts, loin_parts
from prosect.phantom.body.outline import outline_parts
from prosect.phantom.body.pelvis import pelvis_parts
from prosect.phantom.body.person import Person, draw_person
from prosect.phantom.body.vessels import abdominal_vessels, chest_vessels
from prosect.phantom.grain import random_grain
from prosect.phantom.organic import Bulk, bent_tube
from prosect.phantom.shapes import Shape

__all__ = ["FIELD_OF_VIEW", "body_anatomy"]

FIELD_OF_VIEW = ((-200.0, -170.0, -395.0), (200.0, 140.0, 270.0))
# Grains of spongy bone and stool, of flesh and fat, and of whole organs.
PITCHES_MM = (2.6, 6.5, 22.0)


def body_anatomy(generator: np.random.Generator, person: Person | None = None) -> Anatomy:
    """Return the anatomy of one person.

    Args:
        generator: Source of everything that is not settled by `person`.
        person: Who it is; drawn from the generator by default.
    """
    g = generator
    person = person or draw_person(g)
    bend = random_bend(g)
    grains = tuple(random_grain(g, pitch) for pitch in PITCHES_MM)
    parts = [
        *outline_parts(person),
        *lung_parts(g, person),
        *mediastinum_parts(person),
        *buttock_parts(person),
        *loin_parts(person),
        *upper_abdomen_parts(g, person),
        *stomach_parts(g, person),
        *kidney_parts(g, person),
        *bowel_parts(g, person),
        *pelvis_parts(g, person),
        *airway_parts(g, person),
        *heart_parts(person),
        *chest_vessels(person),
        *abdominal_vessels(g, person),
        *throat(person),
        *frame_parts(person),
        *column_parts(person),
        *hip_parts(person),
    ]
    return Anatomy(tuple(parts), person.scale, bend=bend, grains=grains)


def throat(person: Person) -> list[Part]:
    """Return the thyroid gland and the muscles beside it."""
    k = person.size("thyroid")
    lobes = tuple(Bulk((s * 16.0, 2.0, 268.0), (9 * k, 10 * k, 24 * k), (8, s * 8.0, 0)) for s in (1, -1))
    straps: list[Shape] = []
    for s in (1, -1):
        straps += bent_tube([(s * 12, 40, 205), (s * 34, 24, 260), (s * 44, 6, 310)], 8.0, 2)
        straps += bent_tube([(s * 62, -20, 205), (s * 40, -28, 250), (s * 26, -24, 310)], [5, 9, 10], 2)
        straps += bent_tube([(s * 10, -12, 240), (s * 10, -8, 310)], 6.0, 2)
    return [
        Part("body", person.enhancement.hu("muscle"), tuple(straps), 6, grain=1),
        Part("thyroid gland", person.enhancement.hu("thyroid"), (*lobes, Bulk((0, 12, 262), (14, 4, 7))), 8, grain=1),
    ]
