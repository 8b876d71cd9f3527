"""`prosect info`: what a scan file holds. No patient data is shown, because none is kept after reading."""

from __future__ import annotations

import argparse
import json

import numpy as np

from prosect.cli.choices import scan_of
from prosect.cli.console import open_console
from prosect.volume import Volume

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Print the facts about one scan and return 0."""
    facts = described(scan_of(args).read())
    if args.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    console = open_console()
    for name, value in facts.items():
        for line in value if isinstance(value, list) and name == "notes" else [value]:
            console.print(f"{name.replace('_', ' '):<14} {shown(line)}")
    return 0


def described(volume: Volume) -> dict[str, object]:
    """Return the facts, in the order they are shown."""
    grid, array = volume.grid, volume.array
    corners = grid.corners_ras()
    return {
        "file": volume.source.name,
        "format": volume.source.format,
        "modality": volume.modality or "unknown",
        "shape": list(grid.shape),
        "spacing_mm": [round(s, 4) for s in grid.spacing_mm],
        "orientation": grid.orientation,
        "shear": round(grid.shear, 6),
        "low_ras_mm": [round(float(v), 2) for v in corners.min(axis=0)],
        "high_ras_mm": [round(float(v), 2) for v in corners.max(axis=0)],
        "intensity": [float(array.min()), float(np.median(array)), float(array.max())],
        "sha256": volume.source.sha256,
        "notes": list(volume.source.notes),
    }


def shown(value: object) -> str:
    """Return a value for reading."""
    if isinstance(value, list):
        return "  ".join(f"{v:g}" if isinstance(v, int | float) else str(v) for v in value)
    return str(value)
