"""What is known of a model from its training scans: how large its structures are, where they lie, how sure it was.

One JSON file for each model of the catalogue that has such facts, made by `experiments/model_facts.py`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

__all__ = ["ModelFacts", "Range", "Region", "StructureFacts", "facts_of", "read_facts"]

FOLDER = "facts"


@dataclass(frozen=True)
class Range:
    """Between which values most training scans lie.

    Attributes:
        low: The 2nd percentile.
        high: The 98th percentile.
    """

    low: float
    high: float


@dataclass(frozen=True)
class StructureFacts:
    """One structure in the training scans.

    Attributes:
        volume_ml: Its volume.
        section_cm2: The area of the body in the axial plane through the structure's middle.
        probability: The model's mean probability where it found the structure.
        regions: Regions of the body, one of which a scan must show for it to be there.
        median_hu: The median intensity of its voxels; None where training scans say nothing of it.
        witness_of: The region that a scan shows where the structure was rightly found; empty where it tells of none, as
            a heart, parts of which a model finds in necks, too.
    """

    volume_ml: Range
    section_cm2: Range
    probability: Range
    regions: tuple[str, ...] = ()
    median_hu: Range | None = None
    witness_of: str = ""

    @property
    def fills_one_region(self) -> bool:
        """Whether it lies in one region alone and training scans of that show it whole, so that its size tells."""
        return self.regions == (self.witness_of,)


@dataclass(frozen=True)
class Region:
    """A part of the body.

    Attributes:
        girth_cm2: The area of an axial plane of the body from which much speaks for it; 0 for none.
    """

    girth_cm2: float = 0.0


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model.

    Attributes:
        structures: Facts by index; of a structure without any nothing is judged.
        regions: Regions by name.
    """

    structures: Mapping[int, StructureFacts] = field(default_factory=dict)
    regions: Mapping[str, Region] = field(default_factory=dict)


def read_facts(text: str) -> ModelFacts:
    """Return the facts that a JSON text holds.

    Raises:
        KeyError: Something is missing.
        TypeError: A key is unknown.
    """
    plain: dict[str, Any] = json.loads(text)
    regions = {name: Region(**row) for name, row in plain["regions"].items()}
    structures: dict[int, StructureFacts] = {}
    for index, row in plain["structures"].items():
        ranges = {}
        for key in ("volume_ml", "section_cm2", "probability"):
            ranges[key] = Range(*row[key])
        intensity = None
        if "median_hu" in row:
            intensity = Range(*row["median_hu"])
        structures[int(index)] = StructureFacts(
            **ranges, regions=tuple(row["regions"]), median_hu=intensity, witness_of=row["witness_of"]
        )
    return ModelFacts(structures, regions)


@functools.cache
def facts_of(model: str) -> ModelFacts:
    """Return the facts of a model of the catalogue; none where no file has any."""
    file = resources.files("prosect") / "checkpoints" / FOLDER / f"{model}.json"
    if file.is_file():
        return read_facts(file.read_text("utf-8"))
    return ModelFacts()
