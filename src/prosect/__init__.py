"""prosect: segment 3D medical scans, automatically and by clicks. Research use only; not for diagnosis.

The public names load on first use: importing the package loads neither torch nor any image library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prosect.lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from prosect.errors import ProsectError, ProsectWarning
    from prosect.geometry import Grid
    from prosect.io import read, read_labels, write
    from prosect.jobs.one_call import segment
    from prosect.labelmap import LabelLayers, LabelMap
    from prosect.models import Finds, TakesClicks, load, require_clicks, require_finds, require_learns
    from prosect.models.resuming import resume
    from prosect.session import Session
    from prosect.vocabulary import Vocabulary
    from prosect.volume import Volume

_HOMES = {
    "Finds": "prosect.models",
    "Grid": "prosect.geometry",
    "LabelLayers": "prosect.labelmap",
    "LabelMap": "prosect.labelmap",
    "ProsectError": "prosect.errors",
    "ProsectWarning": "prosect.errors",
    "Session": "prosect.session",
    "TakesClicks": "prosect.models",
    "Vocabulary": "prosect.vocabulary",
    "Volume": "prosect.volume",
    "load": "prosect.models",
    "read": "prosect.io",
    "read_labels": "prosect.io",
    "require_clicks": "prosect.models",
    "require_finds": "prosect.models",
    "require_learns": "prosect.models",
    "resume": "prosect.models.resuming",
    "segment": "prosect.jobs.one_call",
    "write": "prosect.io",
}

__all__ = [
    "Finds",
    "Grid",
    "LabelLayers",
    "LabelMap",
    "ProsectError",
    "ProsectWarning",
    "Session",
    "TakesClicks",
    "Vocabulary",
    "Volume",
    "load",
    "read",
    "read_labels",
    "require_clicks",
    "require_finds",
    "require_learns",
    "resume",
    "segment",
    "write",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
