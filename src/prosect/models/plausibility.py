"""Whether what was found can be there: withhold structures of regions that a scan does not show, and say so.

A network that has only ever seen necks finds something of a neck in a thigh. Four things tell that apart: it is less
sure, the thing has another size, the body around it another girth, the voxels another intensity. Each of them speaks
for or against a structure. One alone never decides: a slab cuts what it shows, a coarse or noisy scan makes a network
less sure, and people differ. Only a speck in the midst of a scan is of use to nobody, true or false. To lose a true
structure is worse than to keep a little of a false one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from prosect.checkpoints.model_facts import ModelFacts, Range, StructureFacts
from prosect.display import millilitres
from prosect.geometry import Grid
from prosect.inference.canvas import Canvas
from prosect.inference.gauge import Gauge
from prosect.labelmap import HasVocabulary, smallest_container
from prosect.models.checks import not_hounsfield
from prosect.models.evidence import Evidence, body_sections, evidence_of
from prosect.models.spec import ModelSpec
from prosect.models.withheld import NOT_SHOWN, left_unsaid, sentences
from prosect.volume import Volume

__all__ = [
    "Belief",
    "Judgement",
    "belief_in",
    "judge",
    "take_out_implausible",
    "withhold",
]

# How much larger than in the training scans begins to count, as natural logarithms of the quotient.
VOLUME_SCALE, SECTION_SCALE = 0.7, 0.35
# People differ more than a few dozen training scans show: a neck of 320 cm2 was taken for a trunk once.
WIDER, NARROWER = 1.25, 1.6
# A structure smaller than this share of the smallest in training is a crumb; smaller than that, nobody has use for it.
CRUMB, SPECK = 0.2, 0.1
# A probability of this share of the lowest in training speaks neither for nor against; each step more or less does.
EVEN, STEP = 0.90, 0.05
# What one kind of evidence may say at most. Sureness is the one that speaks for: hardly anything false is sure.
MOST_SURE, LEAST_SURE, OF_SIZE, OF_PLACE, OF_INTENSITY = 2.0, -0.7, -1.0, -1.0, -4.0
CRUMB_SAYS = -0.5
# What one structure may say of its region, and how much of what the others of its region say counts for it.
LEAST_SAID, MOST_SAID, NEIGHBOURS = -1.0, 2.0, 0.5
# A body as wide as a trunk's outweighs what its structures say.
GIRTH_SAYS = 3.0
# Below these a region is not shown, and a structure of a region that is shown is not there.
REGION_LIMIT, STRUCTURE_LIMIT = -0.8, -1.5
# A sliver that the edge of a scan leaves is mixed with what borders it: the base of a lung had -675 HU.
SLIVER_LEEWAY = 2.0
# Of a scan clipped to a narrow range this share of it is what intensities may differ by.
CLIPPED_SHARE = 0.025


@dataclass(frozen=True)
class Belief:
    """What each kind of evidence says of a structure: above 0 for it, below 0 against it.

    Attributes:
        sureness: By how sure the model is.
        size: By its volume.
        place: By the body around it.
        intensity: By its voxels.
    """

    sureness: float
    size: float = 0.0
    place: float = 0.0
    intensity: float = 0.0

    @property
    def total(self) -> float:
        """All kinds together."""
        return self.sureness + self.size + self.place + self.intensity

    @property
    def said(self) -> float:
        """What it says of its region: no single structure decides."""
        return min(max(self.total, LEAST_SAID), MOST_SAID)

    @property
    def against(self) -> str:
        """The kinds that speak against it, the strongest first, in words."""
        words = {
            "the model is less sure than in training": self.sureness,
            "it has another size": self.size,
            "the body around it has another width": self.place,
            "its intensities do not fit": self.intensity,
        }
        return ", ".join(sorted((word for word, value in words.items() if value < 0), key=words.__getitem__))


@dataclass(frozen=True)
class Judgement:
    """What a scan shows, and what cannot be in it.

    Attributes:
        confidence: From 0 to 1, of each structure that facts are known of, by index.
        withheld: Why, by the index of each structure that cannot be there.
        regions: The regions that the scan shows.
        missing: Regions that the scan does not show, though structures of them were found.
        evidence: What this is drawn from.
        doubt: Why nothing in this scan is believed, or nothing.
    """

    confidence: Mapping[int, float]
    withheld: Mapping[int, str]
    regions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    evidence: Mapping[int, Evidence] = field(default_factory=dict)
    doubt: str = ""

    def facts(self, asked: Sequence[int], taken_ml: Mapping[int, float]) -> dict[str, object]:
        """Return what a result keeps of it, for the structures that were asked for.

        Args:
            asked: Their indices.
            taken_ml: The volume of each that was withheld.
        """
        confidence = {}
        for index, value in self.confidence.items():
            if index in asked:
                confidence[index] = round(value, 4)
        withheld = {}
        for index, volume in taken_ml.items():
            withheld[index] = f"{self.withheld[index]} ({millilitres(volume)})"
        evidence = {}
        for index in confidence:
            evidence[index] = asdict(self.evidence[index])
        regions = {"regions": list(self.regions), "missing": list(self.missing)}
        return {**regions, "confidence": confidence, "withheld": withheld, "evidence": evidence}


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
    evidence = evidence_of(canvas, volume, won, grid.voxel_volume_ml, sections)
    span = Range(float(volume.array.min()), float(volume.array.max()))
    judgement = judge(evidence, spec.facts, sections.typical_cm2, span, not_hounsfield(volume, spec))
    if judgement.doubt:
        judgement = replace(judgement, withheld={**judgement.withheld, **wholes_of(judgement, canvas, spec)})
    taken = withhold(canvas, judgement, spec)
    taken_ml = {}
    for index, voxels in taken.items():
        taken_ml[index] = voxels * volume.grid.voxel_volume_ml
    facts = judgement.facts(canvas.indices, taken_ml)
    unsaid = left_unsaid(judgement, taken_ml, spec)
    if unsaid:
        facts["unsaid"] = unsaid
    return facts, sentences(judgement, taken_ml, spec, unsaid)


def wholes_of(judgement: Judgement, canvas: Canvas, spec: ModelSpec) -> dict[int, str]:
    """Return what contains the structures that nobody believes, such as the body, and why it is not believed either.

    Facts say nothing of it; but where the scan is none that the model knows, its outline rests on the same intensities.
    It comes after its parts, which fall to it first. Asked for alone it stays.
    """
    wholes = {}
    for index in canvas.indices:
        if index not in spec.facts.structures:
            continue
        whole = smallest_container(index, canvas.indices, spec)
        if whole:
            wholes[whole] = judgement.doubt
    return wholes


def belief_in(evidence: Evidence, facts: StructureFacts, span: Range) -> Belief:
    """Return what the evidence says of a structure.

    Of what does not fill one region neither size nor place is asked: training scans do not show all of it.

    Args:
        evidence: What was found.
        facts: What training scans say.
        span: The lowest and the highest intensity in the scan.
    """
    share = 1.0
    if facts.probability.low:
        # The lowest in training is the scale: how sure a model is of a structure differs from one to the other.
        share = evidence.probability / facts.probability.low
    # What a scan cuts down to a sliver may be anything: however sure the model is, that speaks for nothing.
    most, leeway = MOST_SURE, 1.0
    if is_crumb(evidence, facts.volume_ml):
        most = 0.0
        if evidence.touches_border:
            leeway = SLIVER_LEEWAY
    sureness = min(max((share - EVEN) / STEP, LEAST_SURE), most)
    intensity = intensity_says(evidence.median_hu, facts.median_hu, span, leeway)
    if not facts.fills_one_region:
        return Belief(sureness, intensity=intensity)
    return Belief(sureness, size_says(evidence, facts.volume_ml), place_says(evidence, facts.section_cm2), intensity)


def size_says(evidence: Evidence, usual: Range) -> float:
    """Return what a volume says: too large is unlikely, and so is a crumb that the scan does not cut."""
    if evidence.volume_ml > usual.high:
        return max(-math.log(evidence.volume_ml / usual.high) / VOLUME_SCALE, OF_SIZE)
    if is_crumb(evidence, usual) and not evidence.touches_border:
        return CRUMB_SAYS
    return 0.0


def is_crumb(evidence: Evidence, usual: Range) -> bool:
    """Return whether a structure is far smaller than any in training."""
    return evidence.volume_ml < CRUMB * usual.low


def is_speck(evidence: Evidence, usual: Range) -> bool:
    """Return whether so little was found in the midst of a scan that it is false, or of no use where it is true."""
    return evidence.volume_ml < SPECK * usual.low and not evidence.touches_border


def place_says(evidence: Evidence, usual: Range) -> float:
    """Return what the area of the body around a structure says; of a plane that cuts the body too small an area says
    nothing."""
    area = evidence.section_cm2
    if area > WIDER * usual.high:
        return max(-math.log(area / (WIDER * usual.high)) / SECTION_SCALE, OF_PLACE)
    if 0 < area < usual.low / NARROWER and not evidence.is_cut:
        return max(-math.log(usual.low / NARROWER / area) / SECTION_SCALE, OF_PLACE)
    return 0.0


def intensity_says(median_hu: float | None, usual: Range | None, span: Range, leeway: float = 1.0) -> float:
    """Return what the median intensity says: what lies further beside the usual range than this is wide counts.

    In a scan clipped to a narrow range, such as -125 to 275, lung lies at the very floor, and fat just above it.

    Args:
        median_hu: Of the structure.
        usual: That of training scans.
        span: The lowest and the highest intensity in the scan.
        leeway: So many widths of the usual range may lie between.
    """
    if median_hu is None or usual is None:
        return 0.0
    width = usual.high - usual.low
    low, high = usual.low - leeway * width, usual.high + leeway * width
    if high < span.low or low > span.high:
        low, high = min(low, span.high), max(high, span.low)
        width = CLIPPED_SHARE * (span.high - span.low)
    beyond = max(low - median_hu, median_hu - high, 0.0)
    if width:
        return max(-2 * beyond / width, OF_INTENSITY)
    return 0.0


def judge(
    evidence: Mapping[int, Evidence], facts: ModelFacts, girth_cm2: float, span: Range, doubt: str = ""
) -> Judgement:
    """Return which regions a scan shows and which structures cannot be in it.

    Works for any set of models, if the facts are those of all of them.

    Args:
        evidence: Of each structure that was found.
        facts: What training scans say.
        girth_cm2: The area of a typical axial plane of the body.
        span: The lowest and the highest intensity in the scan.
        doubt: Why the scan is none that the models were made for, such as MR where they know CT; then nothing that
            facts are known of is believed.
    """
    rows = {index: facts.structures[index] for index in evidence if index in facts.structures}
    beliefs = {index: belief_in(evidence[index], row, span) for index, row in rows.items()}
    confidence: dict[int, float] = {}
    for index, belief in beliefs.items():
        doubted = belief.size + belief.place + belief.intensity
        confidence[index] = evidence[index].probability * math.exp(min(doubted, 0.0))
    if doubt:
        return Judgement(confidence, dict.fromkeys(rows, doubt), evidence=dict(evidence), doubt=doubt)
    scores = region_scores(beliefs, facts, girth_cm2)
    possible = set()
    for name, score in scores.items():
        if score > REGION_LIMIT:
            possible.add(name)
    withheld: dict[int, str] = {}
    for index, row in rows.items():
        if not set(row.regions) & possible:
            withheld[index] = f"{NOT_SHOWN} the {' or the '.join(row.regions)}"
        elif row.fills_one_region and is_speck(evidence[index], row.volume_ml):
            withheld[index] = f"so little of it was found, where people have {row.volume_ml.low:.3g} mL or more"
        elif beliefs[index].total + support_of(index, beliefs, facts) <= STRUCTURE_LIMIT:
            withheld[index] = beliefs[index].against
    shown = tuple(name for name, score in scores.items() if score > 0)
    missing = tuple(name for name in scores if name not in possible)
    return Judgement(confidence, withheld, shown, missing, dict(evidence))


def region_scores(beliefs: Mapping[int, Belief], facts: ModelFacts, girth_cm2: float) -> dict[str, float]:
    """Return what speaks for each region of which anything was found: above 0 for it, below 0 against it."""
    scores: dict[str, float] = {}
    for name, region in facts.regions.items():
        said = []
        for index, belief in beliefs.items():
            if facts.structures[index].witness_of == name:
                said.append(belief.said)
        if not said:
            continue
        is_wide = bool(region.girth_cm2) and girth_cm2 >= region.girth_cm2
        scores[name] = sum(said) + (GIRTH_SAYS if is_wide else 0.0)
    return scores


def support_of(index: int, beliefs: Mapping[int, Belief], facts: ModelFacts) -> float:
    """Return what the other witnesses of a structure's region say for it."""
    region = facts.structures[index].witness_of
    if not region:
        return 0.0
    others: list[float] = []
    for other, belief in beliefs.items():
        if other != index and facts.structures[other].witness_of == region:
            others.append(belief.said)
    if others:
        return NEIGHBOURS * sum(others) / len(others)
    return 0.0


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
