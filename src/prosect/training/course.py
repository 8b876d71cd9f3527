"""A recipe carried out: its stages, one after another, each going on from the averaged weights of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prosect.data.datalist import DataList
from prosect.errors import FormatError, RecipeError, ResourceError
from prosect.labelmap import extent
from prosect.lazy import load_module
from prosect.networks.vista3d import Vista3D
from prosect.training.augment import Augmentation, augment_intensities
from prosect.training.beginning import first_network
from prosect.training.export import described, export, largest_ml, one_piece, preparation_of
from prosect.training.loop import LoopSettings, TrainingLoop, mixed_is_sound
from prosect.training.losses import clicked_loss, published_loss
from prosect.training.mirror import other_sides
from prosect.training.objectives.automatic import AutomaticObjective, Prompted
from prosect.training.objectives.both import BothBranches
from prosect.training.objectives.interactive import ClickRules, InteractiveObjective
from prosect.training.parallel import ALONE, Ranks
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.prepared import prepared_scans
from prosect.training.recipe import Part, Recipe, Stage
from prosect.training.scans import Numbering, numbering_of
from prosect.training.sources import Source, judged_by, read_sources, refuse_unjudged
from prosect.training.stream import PatchStream
from prosect.training.targets import SamplerRules
from prosect.training.validation import Validator

__all__ = ["Course", "carry_out", "extra", "prepare_course"]

KEPT = "scans"
LEFT_OUT = 0.01  # share of a list's scans that may turn out unreadable after all were looked at
OfficialAugmentation = "prosect.training.augment_official"


@dataclass(frozen=True)
class Course:
    """A recipe ready to be carried out.

    Attributes:
        recipe: What is to be done.
        sources: Its lists.
        numbering: How structures are numbered.
        folder: Where states, logs, prepared scans and weights live.
        device: Where the network is trained.
        threads: Threads that draw patches ahead.
        ranks: This process among those that train together.
        watchers: Told of every row of the logs, after the name of the stage.
    """

    recipe: Recipe
    sources: tuple[Source, ...]
    numbering: Numbering
    folder: Path
    device: str = "cpu"
    threads: int = 0
    ranks: Ranks = ALONE
    watchers: tuple[Callable[[str, dict[str, Any]], None], ...] = ()


def prepare_course(recipe: Recipe, folder: Path, **settings: Any) -> Course:
    """Return a recipe with its lists read and its structures numbered; nothing is trained yet.

    Args:
        recipe: What is to be done.
        folder: Where everything of the run lives.
        settings: Further attributes of `Course`.

    Raises:
        RecipeError: See `read_sources`, `numbering_of` and `described`.
    """
    sources = read_sources(recipe)
    mappings = {f"{n} {name}": m for n, s in enumerate(sources) for name, m in s.training.mappings.items()}
    pseudo = sorted({i for source in sources for i in source.training.pseudo_classes or ()})
    every = DataList((), mappings, sources[0].training.vocabulary, tuple(pseudo))
    numbering = numbering_of(every, recipe.shape.classes)
    if not numbering.order:
        raise RecipeError("The lists name no structure to learn. Give `map`, or `pseudo_classes` in a list.")
    if not numbering.classes and any(stage.branch != "interactive" for stage in recipe.stages):
        raise RecipeError("The automatic branch has no class to learn: `classes` of [shape] is empty.")
    refuse_unjudged(recipe, sources)
    if max(numbering.classes, default=0) >= recipe.shape.rows:
        raise RecipeError(
            f"The class index {max(numbering.classes)} needs more than {recipe.shape.rows} rows of [shape]."
        )
    described(recipe, numbering, {}, {})  # what could not be offered afterwards is refused before
    return Course(recipe, sources, numbering, folder, **settings)


def carry_out(course: Course, stop_at: float | None = None, stages: Sequence[str] | None = None) -> Path | None:
    """Carry out the stages of a recipe and return the weights file; None where the time was over before.

    Killed at any time, the same call goes on from the last saved state; stages that are done are not done again.

    Args:
        course: See `prepare_course`.
        stop_at: Time (`time.time()`) after which the current stage saves its state and the call returns.
        stages: Train only these, in the recipe's order, from the weights of those before them that are done.

    Raises:
        RecipeError: A stage diverges, or its folder holds another run.
        FormatError: A scan cannot be read.
    """
    recipe = course.recipe
    torch.manual_seed(recipe.seed)
    network = first_network(recipe, course.numbering).to(course.device)
    history: dict[str, int] = {}
    for stage in recipe.stages:
        wanted = stages is None or stage.name in stages
        if not wanted and not (course.folder / stage.name).exists():
            continue
        loop = loop_of(course, stage, network)
        loop.resume()
        if wanted:
            try:
                loop.run(stop_at=stop_at)
            finally:
                if loop.stream is not None:
                    loop.stream.close()
        if not loop.finished:
            if wanted:
                return None
            continue
        history[stage.name] = loop.step
        network.load_state_dict(loop.chosen()[0])
    path = course.folder / f"{recipe.name}.safetensors"
    scans = [scan for scan, _ in weighted_scans(course, recipe.stages[-1])]  # by all processes, because they share it
    if course.ranks.rank == 0:
        volumes, single = largest_ml(scans, course.numbering), one_piece(scans, course.numbering)
        export(network.state_dict(), described(recipe, course.numbering, volumes, history, single), path)
    return path


def loop_of(course: Course, stage: Stage, network: Vista3D) -> TrainingLoop:
    """Return the loop of one stage, with its parts of the network set to learn."""
    for name, parameters in parts_of(network).items():
        for parameter in parameters:
            parameter.requires_grad_(name in stage.train)
    seed = course.recipe.seed + course.recipe.stages.index(stage)  # or stages alike would draw the same patches
    if not mixed_is_sound(network, course.device, stage.patch):
        stage = replace(stage, bfloat16=False)
    scans = weighted_scans(course, stage)
    settings = settings_of(stage, seed)
    generator = np.random.default_rng(settings.seed)
    edge = course.recipe.shape.spacing_mm
    sampler = PatchSampler(
        stage.patch, edge, generator, stage.max_degrees, stage.zoom, stage.foreground, turned=stage.turned
    )
    source = PatchSource([scan for scan, _ in scans], [weight for _, weight in scans], sampler)
    stream = PatchStream(source, settings.seed, course.threads)
    lists = judged_by(course.sources, stage)
    validator = Validator(course.recipe, stage, course.numbering, lists, course.folder, course.device)
    trained = [(parts_of(network)[part], 1.0) for part in stage.train if part in parts_of(network)]
    return TrainingLoop(
        network,
        objective_of(course, stage, network, stream, generator),
        generator,
        settings,
        course.folder / stage.name,
        trained,
        validate=validator if stage.validate_every else None,
        stream=stream,
        identity=identity_of(course, stage, scans, network),
        watchers=[partial(tell, stage.name) for tell in course.watchers],
        ranks=course.ranks,
    )


def parts_of(network: Vista3D) -> dict[Part, list[torch.nn.Parameter]]:
    """Return the parameters of a network by the part that stages name."""
    image = network.image_encoder
    modules: dict[Part, list[torch.nn.Module]] = {
        "encoder": [image.encoder],
        "automatic": [image.up_layers_auto, network.class_head],
        "interactive": [image.up_layers, network.point_head],
    }
    return {name: [p for module in found for p in module.parameters()] for name, found in modules.items()}


def settings_of(stage: Stage, seed: int) -> LoopSettings:
    """Return a stage's settings of the loop."""
    shared = {name: getattr(stage, name) for name in LoopSettings.__dataclass_fields__ if hasattr(stage, name)}
    return LoopSettings(**shared, seed=seed)


def objective_of(
    course: Course, stage: Stage, network: Vista3D, stream: PatchStream, generator: np.random.Generator
) -> Callable[[], Tensor]:
    """Return the loss of a stage."""
    numbering = course.numbering
    count = len(numbering.classes)
    augment: Augmentation = augment_intensities
    if stage.augmentation == "official":
        augment = extra(OfficialAugmentation).augment_official
    own = {q: bit for q, bit in numbering.nested.items() if q < count}
    prompted = Prompted(stage.foreground_classes, stage.background_classes) if stage.loss == "independent" else None
    automatic = AutomaticObjective(
        network, numbering.classes, own, stream, generator, stage.bfloat16, prompted, augment, stage.background
    )
    supported = [*range(1, count + 1), *(-1 - bit for bit in own.values())]
    clicked = {numbering.order.index(i): bit for i, bit in numbering.bits.items() if not holds_most(numbering, i)}
    interactive = InteractiveObjective(
        network, stream, generator, supported, clicked,
        ClickRules(rounds=stage.rounds, objects=stage.objects, remap=stage.remap), stage.bfloat16,
        sampler=SamplerRules().at(course.recipe.shape.spacing_mm), train_encoder="encoder" in stage.train,
        augment=augment, loss=clicked_loss if stage.click_loss == "balanced" else published_loss,
    )  # fmt: skip
    if stage.branch == "both":
        return BothBranches(automatic, interactive)
    return automatic if stage.branch == "automatic" else interactive


def extra(module: str) -> Any:
    """Return a module that needs packages of the `training` extra.

    Raises:
        ResourceError: One of them is not installed (`EXTRA_MISSING`).
    """
    try:
        return load_module(module)
    except ModuleNotFoundError as missing:
        raise ResourceError(
            f"This needs {missing.name}, which is not installed. Install it with pip install 'prosect[training]'.",
            code="EXTRA_MISSING",
        ) from missing


def holds_most(numbering: Numbering, index: int) -> bool:
    """Return whether a structure, such as the body, contains most others: no piece of it would be unlabelled."""
    inside = extent(numbering.vocabulary, index, whole=True) & set(numbering.order)
    return len(inside) > max(len(numbering.order) / 2, 2)


def weighted_scans(course: Course, stage: Stage) -> list[tuple[TrainingScan, float]]:
    """Return the scans that a stage draws from, with how often each is drawn.

    Raises:
        RecipeError: Nothing is left to draw from (`DATALIST_INVALID`), or too many scans have become unreadable
            (`DATALIST_UNFIT`).
    """
    chosen: list[tuple[TrainingScan, float]] = []
    for source in course.sources:
        if source.data.stages and stage.name not in source.data.stages:
            continue
        scans = readable_scans(course, stage, used(source.training, stage))
        kept = [scan if stage.supervoxels else replace(scan, supervoxels=None) for scan in scans]
        # Of a scan that is known not to show something, only the automatic branch learns.
        taught = [
            scan
            for scan in kept
            if scan.present or (scan.known.any() if stage.branch != "interactive" else scan.supervoxels is not None)
        ]
        sides = other_sides(course.numbering) if source.data.mirror else None
        chosen += [(replace(scan, sides=sides), source.data.weight) for scan in taught]
    if not chosen:
        raise RecipeError(f"Stage {stage.name} has no scan to learn from.", code="DATALIST_INVALID")
    return oversampled(chosen) if stage.oversample else chosen


def readable_scans(course: Course, stage: Stage, listed: DataList) -> list[TrainingScan]:
    """Return the scans of a list without a few that can no longer be read, which are told of.

    Raises:
        RecipeError: They are more than one in a hundred (`DATALIST_UNFIT`).
    """
    preparation = preparation_of(course.recipe.shape)
    prepare = partial(prepared_scans, numbering=course.numbering, preparation=preparation, folder=course.folder / KEPT)
    if course.ranks.world > 1:  # each process prepares some, then all read what is there
        prepare(course.ranks.share(listed), on_unreadable=lambda *_: None)
        course.ranks.tell(0.0)
    unreadable: dict[str, FormatError] = {}
    scans = prepare(listed, on_unreadable=unreadable.__setitem__)
    for name, error in unreadable.items():
        if len(unreadable) > LEFT_OUT * len(listed):
            raise RecipeError(
                f"{len(unreadable)} of {len(listed)} scans can no longer be read, the first is {name}: {error}",
                code="DATALIST_UNFIT",
            ) from error
        for tell in course.watchers:
            tell(stage.name, {"step": 0, "event": "left out", "scan": name, "reason": str(error)})
    return scans


def used(datalist: DataList, stage: Stage) -> DataList:
    """Return a list with only those labels that a stage uses."""
    entries = [
        replace(
            entry,
            pseudo_label=entry.pseudo_label if stage.pseudo else None,
            supervoxels=entry.supervoxels if stage.supervoxels else None,
        )
        for entry in datalist
        if entry.label is not None or stage.unlabelled
    ]
    return replace(datalist, entries=tuple(entries))


def oversampled(scans: Sequence[tuple[TrainingScan, float]]) -> list[tuple[TrainingScan, float]]:
    """Return scans with weights that grow as the rarest structure in them is rarer, by the root of its rarity."""
    counts: dict[int, int] = {}
    for scan, _ in scans:
        for value in scan.present:
            counts[value] = counts.get(value, 0) + 1
    rarest = [min((counts[value] for value in scan.present), default=len(scans)) for scan, _ in scans]
    return [(scan, weight * (len(scans) / few) ** 0.5) for (scan, weight), few in zip(scans, rarest, strict=True)]


def identity_of(course: Course, stage: Stage, scans: Sequence[tuple[TrainingScan, float]], network: Vista3D) -> str:
    """Return a hash of all that makes a stage what it is, besides the settings of the loop.

    Args:
        course: What is carried out.
        stage: One of its stages.
        scans: What the stage draws from, with weights; a changed file is another scan.
        network: As the stage begins with it, so that the end of another stage before it does not go unnoticed.
    """
    begins = hashlib.sha256()
    for value in network.state_dict().values():
        begins.update(value.detach().cpu().contiguous().numpy().tobytes())
    shape = asdict(replace(course.recipe.shape, start=None))
    del shape["offered"]  # changes nothing of what is learnt
    facts = {
        "stage": asdict(stage),
        "shape": shape,
        "order": [course.numbering.classes, course.numbering.others],
        "begins": begins.hexdigest(),
        "scans": [(scan.name, scan.origin, weight) for scan, weight in scans],
        "judged by": [[entry.name for entry in found] for found in judged_by(course.sources, stage)],
    }
    mirrored = [scan.name for scan, _ in scans if scan.sides is not None]
    facts |= {"mirrored": mirrored} if mirrored else {}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
