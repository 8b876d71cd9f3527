"""Supervoxels (VISTA3D, Alg. 2): a scan cut into about a hundred pieces along the borders that an image encoder sees.

`generate` makes them, `load_encoder` keeps an encoder for many scans, `plan` tells the memory beforehand. All
are loaded on first use, because they bring torch and scikit-image with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prosect.lazy import lazy_names

if TYPE_CHECKING:
    from prosect.supervoxels.alg2 import generate
    from prosect.supervoxels.encoders import ENCODERS, load_encoder, planned_encoder
    from prosect.supervoxels.memory import plan

_HOMES = {
    "ENCODERS": "prosect.supervoxels.encoders",
    "generate": "prosect.supervoxels.alg2",
    "load_encoder": "prosect.supervoxels.encoders",
    "plan": "prosect.supervoxels.memory",
    "planned_encoder": "prosect.supervoxels.encoders",
}

__all__ = ["ENCODERS", "generate", "load_encoder", "plan", "planned_encoder"]

__getattr__ = lazy_names(__name__, _HOMES)
