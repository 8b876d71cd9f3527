"""Whether what was found can be there: withhold structures of regions that a scan does not show, and say so.

A network that has only ever seen necks finds something of a neck in a thigh. Three things tell that apart: it is less
sure, the thing has another size, and the body around it another girth. What cannot be there is taken out of the
labels, and the result keeps why.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from prosect.checkpoints.model_facts import ModelFacts, Region, StructureFacts
from prosect.errors import ProsectWarning
from prosect.geometry import Grid
from prosect.inference.canvas import Canvas
from prosect.inference.gauge import Gauge
from prosect.labelmap import HasVocabulary, smallest_container
from prosect.models.checks import not_hounsfield
from prosect.models.spec import ModelSpec
from prosect.volume import Volume

__all__ = [
    "Evidence",
    "Judgement",
    "body_sections",
    "confidence_of",
    "evidence_of",
    "judge",
    "sentences",
    "take_out_implausible",
    "typical_girth",
    "withhold",
]

# How much larger than in the training scans still half agrees, as natural logarithms of the quotient.
VOLUME_SCALE, SECTION_SCALE = 0.7, 0.35
# Necks are wider than those of a few dozen training scans: one of 320 cm2 was taken for a trunk. Trunks begin at 380.
WIDER = 1.25
# A witness must be as sure as in all but 2 % of the training scans, but for this; what is far less sure is not there.
WITNESS, LEAST = 0.97, 0.75
# Sections are measured on voxels of about this size; what is below AIR_HU, or the darkest of a clipped scan, is air.
COARSE_MM, AIR_HU = 4.0, -200.0
SMALLEST_SECTION_CM2 = 20.0

Sections = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What speaks for a structure in one scan.

    Attributes:
        volume_ml: Its volume.
        probability: The model's mean probability over its voxels.
        section_cm2: The area of the body in the axial plane through its middle; 0 where that is not known.
        touches_border: Whether it reaches the edge of the scan, so that it may be larger.
    """

    volume_ml: float
    probability: float
    section_cm2: float = 0.0
    touches_border: bool = False


@dataclass(frozen=True)
class Judgement:
    """What a scan shows, and what cannot be in it.

    Attributes:
        confidence: From 0 to 1, of each structure that facts are known of, by index.
        withheld: Why, by the index of each structure that cannot be there.
        regions: The regions that the scan shows.
        evidence: What this is drawn from.
    """

    confidence: Mapping[int, float]
    withheld: Mapping[int, str]
    regions: tuple[str, ...] = ()
    evidence: Mapping[int, Evidence] = field(default_factory=dict)

    def facts(self, asked: Sequence[int], taken_ml: Mapping[int, float]) -> dict[str, object]:
        """Return what a result keeps of it, for the structures that were asked for.

        Args:
            asked: Their indices.
            taken_ml: The volume of each that was withheld.
        """
        confidence = {index: round(value, 4) for index, value in self.confidence.items() if index in asked}
        withheld = {index: self.withheld[index] for index in taken_ml}
        evidence = {index: asdict(self.evidence[index]) for index in confidence}
        regions = list(self.regions)
        return {"regions": regions, "confidence": confidence, "withheld": withheld, "evidence": evidence}


def take_out_implausible(
    canvas: Canvas, volume: Volume, grid: Grid, gauges: Sequence[Gauge], spec: ModelSpec
) -> tuple[dict[str, object], list[str]]:
    """Take out of painted labels, in place, what cannot be in the scan.

    Args:
        canvas: Painted labels.
        volume: The scan.
        grid: That of the network.
        gauges: How sure it was; nothing where it does not judge.
        spec: The model.

    Returns:
        What a result keeps of it, and in words what was withheld.
    """
    won: dict[int, tuple[int, float]] = {}
    for gauge in gauges:
        # With one layer for each structure, each gauge knows the others as rivals: the first answer is its own.
        won = {**gauge.won(), **won}
    if not won:
        return {}, []
    sections = body_sections(volume)
    evidence = evidence_of(canvas, volume.grid, won, grid.voxel_volume_ml, sections)
    judgement = judge(evidence, spec.facts, typical_girth(sections), not_hounsfield(volume, spec))
    taken = withhold(canvas, judgement, spec)
    taken_ml = {index: voxels * volume.grid.voxel_volume_ml for index, voxels in taken.items()}
    return judgement.facts(canvas.indices, taken_ml), sentences(judgement, taken_ml, spec)


def body_sections(volume: Volume) -> Sections:
    """Return the area in cm2 of the largest connected piece of body in each axial plane (k, from below).

    The body is what is no air. Legs side by side are two pieces, and so is an arm beside a chest.
    """
    order = volume.grid.to_ras()
    scan, grid = order.apply(volume.array), volume.grid.reorder(order)
    steps = [max(1, round(COARSE_MM / spacing)) for spacing in grid.spacing_mm]
    coarse = scan[:: steps[0], :: steps[1]]
    threshold = max(AIR_HU, float(coarse.min()) + 1)
    pixel_cm2 = grid.spacing_mm[0] * steps[0] * grid.spacing_mm[1] * steps[1] / 100
    areas = np.zeros(scan.shape[2])
    for k in range(scan.shape[2]):
        pieces, count = ndimage.label(coarse[:, :, k] > threshold)
        if count:
            areas[k] = np.bincount(pieces.ravel())[1:].max() * pixel_cm2
    return areas


def evidence_of(
    canvas: Canvas, grid: Grid, won: Mapping[int, tuple[int, float]], voxel_ml: float, sections: Sections
) -> dict[int, Evidence]:
    """Return what speaks for each structure that was found, or won voxels without being asked for.

    Args:
        canvas: Painted labels.
        grid: Their grid.
        won: Of each structure the voxels of the network that it won, and its mean probability there.
        voxel_ml: Volume of a voxel of the network.
        sections: See `body_sections`.
    """
    counts = canvas.counts()
    order = grid.to_ras()
    axis, flip = order.axes[2], order.flips[2]
    found: dict[int, Evidence] = {}
    for index, (voxels, probability) in won.items():
        if index not in canvas.indices:
            found[index] = Evidence(voxels * voxel_ml, probability)
            continue
        if not counts.get(index):
            continue
        box = canvas.box(index)
        plane = (box.start[axis] + box.stop[axis] - 1) // 2
        section = float(sections[len(sections) - 1 - plane if flip else plane])
        cut = any(start == 0 or stop == n for start, stop, n in zip(box.start, box.stop, grid.shape, strict=True))
        found[index] = Evidence(counts[index] * grid.voxel_volume_ml, probability, section, cut)
    return found


def agreement(value: float, high: float, scale: float) -> float:
    """Return from 0 to 1 how well a size agrees with the largest seen: 1 up to it, less the further it goes beyond."""
    if value <= high:
        return 1.0
    return math.exp(-0.5 * (math.log(value / high) / scale) ** 2)


def confidence_of(evidence: Evidence, facts: StructureFacts) -> float:
    """Return how much speaks for a structure, from 0 to 1: mean probability, times agreement in size and in place.

    Smaller than in training is no doubt: scans cut structures. Of what may lie in several regions neither size nor
    place is asked, because the training scans of one region do not show all of it.
    """
    if len(facts.regions) > 1:
        return evidence.probability
    size = agreement(evidence.volume_ml, facts.volume_ml.high, VOLUME_SCALE)
    place = agreement(evidence.section_cm2, WIDER * facts.section_cm2.high, SECTION_SCALE)
    return evidence.probability * size * place


def judge(evidence: Mapping[int, Evidence], facts: ModelFacts, girth_cm2: float, doubt: str = "") -> Judgement:
    """Return which regions a scan shows and which structures cannot be in it.

    Works for any set of models, if the facts are those of all of them.

    Args:
        evidence: Of each structure that was found.
        facts: What training scans say.
        girth_cm2: The area of a typical axial plane of the body.
        doubt: Why the scan is none that the models were made for, such as MR where they know CT; then nothing that
            facts are known of is believed.
    """
    known = {index: facts.structures[index] for index in evidence if index in facts.structures}
    confidence = {index: confidence_of(evidence[index], known[index]) for index in known}
    shown: list[str] = []
    for name, region in facts.regions.items():
        if not doubt and shows(name, region, confidence, facts, girth_cm2):
            shown.append(name)
    withheld: dict[int, str] = {}
    for index, row in known.items():
        if doubt:
            withheld[index] = doubt
        elif not set(row.regions) & set(shown):
            withheld[index] = f"the scan does not show the {' or the '.join(row.regions)}"
        elif confidence[index] < LEAST * row.probability.low:
            usual = f"in training it was at least {row.probability.low:.2f}"
            withheld[index] = f"its confidence is {confidence[index]:.2f}, and {usual}"
    return Judgement(confidence, withheld, tuple(shown), dict(evidence))


def shows(name: str, region: Region, confidence: Mapping[int, float], facts: ModelFacts, girth_cm2: float) -> bool:
    """Return whether a scan shows a region: the body is as wide, or enough of its structures are surely there."""
    if region.girth_cm2 and girth_cm2 >= region.girth_cm2:
        return True
    sure = 0
    for index, row in facts.structures.items():
        # Only what lies in this region alone bears witness of it, where there is such a structure.
        if row.regions[:1] == (name,) and confidence.get(index, 0.0) >= WITNESS * row.probability.low:
            sure += 1
    return sure >= region.witnesses


def withhold(canvas: Canvas, judgement: Judgement, names: HasVocabulary) -> dict[int, int]:
    """Take out of painted labels, in place, what cannot be there; its voxels fall to what contains it.

    Returns:
        The voxels taken from each structure that had any, by index.
    """
    taken: dict[int, int] = {}
    for index in judgement.withheld:
        if index not in canvas.indices:
            continue
        box = canvas.box(index)
        if box.size:
            mask = canvas.mask(index, box)
            taken[index] = int(np.count_nonzero(mask))
            canvas.drop(index, box, mask, smallest_container(index, canvas.indices, names))
    return taken


def typical_girth(sections: Sections) -> float:
    """Return the median area in cm2 of the planes that show a body."""
    body = sections[sections >= SMALLEST_SECTION_CM2]
    return float(np.median(body)) if body.size else 0.0


def sentences(judgement: Judgement, taken_ml: Mapping[int, float], names: HasVocabulary) -> list[str]:
    """Return, and warn of, what was withheld, in words: one sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for index, volume_ml in taken_ml.items():
        named = f"{names.vocabulary[index].name} ({volume_ml:.2g} mL)"
        by_reason.setdefault(judgement.withheld[index], []).append(named)
    said = [f"withheld, because {reason}: {', '.join(found)}" for reason, found in by_reason.items()]
    for sentence in said:
        warnings.warn(f"{sentence[0].upper()}{sentence[1:]}. --all shows it.", ProsectWarning, stacklevel=2)
    return said
