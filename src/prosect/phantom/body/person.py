"""Who is scanned: everything that is decided before anything is placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prosect.phantom.body.contrast import Enhancement, draw_enhancement
from prosect.phantom.shapes import Point

__all__ = ["ABSENCES", "Person", "draw_person"]

Arms = Literal["up", "down", "none"]

# What a person can lack, and how often.
ABSENCES = {"gallbladder": 0.08, "right kidney": 0.012, "left kidney": 0.012, "spleen": 0.01, "uterus": 0.15}


@dataclass(frozen=True)
class Person:
    """One adult.

    Attributes:
        female: Sex.
        scale: Stretch along R, A, S.
        fat_mm: Thickness of the fat under the skin, about; each region has its own share of it.
        belly: How much fat lies among the organs: 0 lean, 1 much.
        muscle: Size of the muscles, about 1.
        marbling: Fat in the muscles, 0 to 1.
        bone: Density of the bones, about 1.
        breath: -1 after breathing out, 1 after a deep breath.
        hunch: How round the back is, about 1.
        age: 0 young to 1 old.
        arms: Where they are.
        sizes: Linear size of each organ that varies on its own, about 1.
        absent: Organs that were removed.
        enhancement: Where contrast agent is.
    """

    female: bool
    scale: Point
    fat_mm: float
    belly: float
    muscle: float
    marbling: float
    bone: float
    breath: float
    hunch: float
    age: float
    arms: Arms
    sizes: dict[str, float]
    absent: frozenset[str]
    enhancement: Enhancement

    def size(self, organ: str) -> float:
        """Return the linear size of an organ, about 1."""
        return self.sizes.get(organ, 1.0)


# Standard deviation of the linear size; a volume varies three times as much.
VARIATION = {
    "liver": 0.05, "spleen": 0.16, "kidney": 0.07, "pancreas": 0.10, "stomach": 0.16, "gallbladder": 0.20,
    "bladder": 0.20, "heart": 0.06, "aorta": 0.08, "prostate": 0.14, "uterus": 0.15, "bowel": 0.10, "colon": 0.12,
    "adrenal": 0.14, "thyroid": 0.14, "vein": 0.12, "breast": 0.22,
}  # fmt: skip


def draw_person(generator: np.random.Generator) -> Person:
    """Return one adult."""
    g = generator
    female = bool(g.random() < 0.5)
    age = float(g.uniform(0, 1))
    build = float(g.normal())  # lean to heavy
    height = float((0.945 if female else 1.0) * g.normal(1.0, 0.035))
    girth = (0.94 if female else 1.0) * np.exp(0.025 * build)
    scale = (float(girth * g.normal(1, 0.025)), float(girth * g.normal(1, 0.025)), height)
    fat = float(np.clip((17 if female else 12) * np.exp(0.45 * build + 0.2 * g.normal()), 3.5, 55))
    belly = float(np.clip((0.2 if female else 0.4) + 0.25 * build + 0.2 * age + 0.15 * g.normal() - 0.1, 0, 1.3))
    return Person(
        female=female,
        scale=scale,
        fat_mm=fat,
        belly=belly,
        muscle=float(np.clip((0.9 if female else 1.05) - 0.2 * age + 0.1 * g.normal(), 0.6, 1.25)),
        marbling=float(np.clip(0.1 + 0.7 * age * g.uniform(0, 1) + 0.1 * build, 0, 1)),
        bone=float(np.clip(1.15 - 0.4 * age + 0.12 * g.normal(), 0.55, 1.4)),
        breath=float(np.clip(0.3 + 0.5 * g.normal(), -1, 1)),
        hunch=float(np.clip(1 + 0.25 * g.normal() + 0.3 * (age - 0.5), 0.5, 1.7)),
        age=age,
        arms=g.choice(np.array(["up", "down", "none"]), p=(0.7, 0.15, 0.15)).item(),
        sizes={organ: float(np.clip(g.normal(1, sd), 1 - 2.5 * sd, 1 + 2.5 * sd)) for organ, sd in VARIATION.items()},
        absent=frozenset(organ for organ, share in ABSENCES.items() if g.random() < share),
        enhancement=draw_enhancement(g),
    )
