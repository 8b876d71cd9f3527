"""Synthetic people with a known truth: `torso`, `head_neck`, `case` for both as a hospital would scan them, and the
`asymmetric_letter` for geometry. Beside them `lesions`, `synthesis` and `warp` make more of real labels, and `dataset`
writes folders.
"""

from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.letter import LETTER, asymmetric_letter
from prosect.phantom.people import case, head_neck, torso
from prosect.phantom.scanner import render
from prosect.phantom.shapes import Box, Capsule, Ellipsoid, Loft

__all__ = [
    "LETTER",
    "Anatomy",
    "Box",
    "Capsule",
    "Ellipsoid",
    "Loft",
    "Part",
    "asymmetric_letter",
    "case",
    "head_neck",
    "render",
    "torso",
]
