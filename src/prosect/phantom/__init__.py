"""Synthetic people with a known truth: `torso`, `head_neck`, and the `asymmetric_letter` for geometry."""

from prosect.phantom.letter import LETTER, asymmetric_letter
from prosect.phantom.people import head_neck, torso
from prosect.phantom.scanner import Anatomy, Part, render
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
    "head_neck",
    "render",
    "torso",
]
