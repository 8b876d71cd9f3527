"""Attenuation of blood and organs by the time since the injection of contrast agent.

Values are typical ones of 120 kV abdominal CT, in Hounsfield units: native, late arterial (30 s), portal venous (70 s)
and delayed (4 min). A person is drawn at any moment between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PHASES", "Enhancement", "draw_enhancement"]

PHASES = ("native", "arterial", "portal", "delayed")
# Rows: native, arterial, portal, delayed; the columns are the four phases.
TABLE: dict[str, tuple[float, float, float, float]] = {
    "artery": (42, 310, 155, 112),
    "left heart": (42, 320, 155, 112),
    "right heart": (42, 220, 150, 112),
    "pulmonary artery": (42, 240, 150, 112),
    "cava above": (40, 190, 145, 110),
    "renal vein": (40, 150, 165, 118),
    "cava below": (40, 58, 105, 108),
    "iliac vein": (42, 52, 85, 105),
    "portal vein": (40, 105, 168, 118),
    "hepatic vein": (40, 55, 150, 115),
    "liver": (56, 66, 112, 92),
    "spleen": (48, 118, 122, 98),
    "kidney": (32, 165, 185, 150),
    "medulla": (30, 65, 165, 165),
    "pelvis": (6, 6, 10, 380),
    "pancreas": (38, 108, 96, 74),
    "muscle": (54, 60, 65, 64),
    "myocardium": (46, 102, 108, 88),
    "bowel wall": (38, 78, 88, 72),
    "stomach wall": (40, 70, 84, 70),
    "adrenal": (18, 58, 76, 56),
    "thyroid": (105, 185, 165, 140),
    "prostate": (38, 56, 82, 84),
    "uterus": (44, 82, 112, 104),
    "marrow": (0, 8, 14, 12),
}


@dataclass(frozen=True)
class Enhancement:
    """Where contrast agent is.

    Attributes:
        moment: 0 native, 1 arterial, 2 portal, 3 delayed, and anything between.
        dose: How much of it, about 1.
        oral: Attenuation of what was drunk; 0 is plain food and water.
    """

    moment: float
    dose: float
    oral: float

    def hu(self, tissue: str) -> float:
        """Return the mean attenuation of a tissue of the table."""
        row = TABLE[tissue]
        native = row[0]
        return float(native + self.dose * (np.interp(self.moment, range(4), row) - native))

    @property
    def phase(self) -> str:
        """The nearest phase."""
        return PHASES[round(self.moment)]


def draw_enhancement(generator: np.random.Generator) -> Enhancement:
    """Return a moment: a third native, otherwise any time after the injection, mostly the portal phase."""
    g = generator
    native = g.random() < 0.33
    moment = float(np.clip(g.normal(*(1.9, 0.45) if g.random() < 0.75 else (1.0, 0.25)), 0.8, 3.0))
    dose = float(np.clip(g.normal(1.0, 0.16), 0.6, 1.5))
    oral = 0.0
    if g.random() < 0.3:
        oral = float(g.uniform(120, 450))
    return Enhancement(0.0 if native else moment, dose, oral)
