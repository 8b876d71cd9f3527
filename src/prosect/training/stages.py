"""A course carried out: its stages, one after another, each going on from the averaged weights of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prosect.training.course import Course
from prosect.training.export import export, largest_ml, one_piece
from prosect.training.families import family_of
from prosect.training.loop import TrainingLoop
from prosect.training.loop_settings import OF_LENGTH, LoopSettings, Surroundings
from prosect.training.patches import PatchSampler, PatchSource
from prosect.training.recipe import Part, Shape, Stage
from prosect.training.sources import judged_by
from prosect.training.stage_scans import Weighted, weighted_scans
from prosect.training.stream import PatchStream
from prosect.training.target_scales import TargetScales
from prosect.training.validation import Validator

__all__ = ["Trained", "carry_out", "train_stages"]


@dataclass(frozen=True, eq=False)
class Trained:
    """How far a course has come.

    Attributes:
        network: With the weights that the last stage chose.
        history: Steps of the stages that are done, by name.
        loop: Of the last stage that was begun; None where none was.
        finished: Whether all stages that were asked for are done.
    """

    network: nn.Module
    history: dict[str, int]
    loop: TrainingLoop | None
    finished: bool


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
    trained = train_stages(course, stop_at, stages)
    if not trained.finished:
        return None
    path = course.folder / f"{recipe.name}.safetensors"
    scans = [scan for scan, _ in weighted_scans(course, recipe.stages[-1])]  # by all processes, because they share it
    if course.ranks.rank == 0:
        volumes, single = largest_ml(scans, course.numbering), one_piece(scans, course.numbering)
        about = family_of(recipe).describe(recipe, course.numbering, volumes, trained.history, single)
        export(trained.network.state_dict(), about, path)
    return path


def train_stages(course: Course, stop_at: float | None = None, stages: Sequence[str] | None = None) -> Trained:
    """Train the stages of a course, and return how far it has come; arguments and errors as in `carry_out`."""
    network = _first(course)
    history: dict[str, int] = {}
    loop = None
    for stage in course.recipe.stages:
        wanted = stages is None or stage.name in stages
        if not wanted and not (course.folder / stage.name).exists():
            continue
        loop = loop_of(course, stage, network)
        if loop.resume() and not loop.finished:
            course.log(stage.name, {"step": loop.step, "event": "resumed"})
        if wanted:
            _run(loop, stage, stop_at)
        if not loop.finished and not wanted:
            continue
        # The next stage goes on from the averaged weights that validation chose, not from the last ones.
        network.load_state_dict(loop.chosen()[0])
        if not loop.finished:
            return Trained(network, history, loop, finished=False)
        history[stage.name] = loop.step
    return Trained(network, history, loop, finished=True)


def _first(course: Course) -> nn.Module:
    """Return the network that the first stage begins with; the caller's random numbers stay as they are."""
    if course.beginning.network is not None:
        return course.beginning.network()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(course.recipe.seed)
        network: nn.Module = family_of(course.recipe).first(course.recipe, course.numbering)
    return network.to(course.device)


def _run(loop: TrainingLoop, stage: Stage, stop_at: float | None) -> None:
    try:
        loop.run(stage.save_every, stop_at)
    finally:
        if loop.stream is not None:
            loop.stream.close()


def loop_of(course: Course, stage: Stage, network: nn.Module) -> TrainingLoop:
    """Return the loop of one stage, with its parts of the network set to learn."""
    family = family_of(course.recipe)
    trained = learning_parts(network, stage, family.parts(network))
    if not family.mixed_is_sound(network, course.device, stage.patch):
        stage = replace(stage, bfloat16=False)
    settings = settings_of(course, stage)
    scans = weighted_scans(course, stage)
    generator = np.random.default_rng(settings.seed)
    stream = stream_over(course, stage, scans, generator)
    around = Surroundings(
        stream,
        Validator(course, stage) if stage.validate_every else None,
        identity_of(course, stage, scans, network),
        identity_of(course, stage, scans, network, without=(*OF_LENGTH, "save_every")),
        [partial(course.log, stage.name)],
        course.ranks,
    )
    return TrainingLoop(
        network,
        family.objective(course.recipe, course.numbering, stage, network, stream, generator),
        generator,
        settings,
        course.folder / stage.name,
        trained,
        around,
    )


def stream_over(course: Course, stage: Stage, scans: Sequence[Weighted], generator: np.random.Generator) -> PatchStream:
    """Return the patches of a stage."""
    scales = None
    if stage.scales != (1.0, 1.0):
        scales = TargetScales(*stage.scales, stage.own_scale, stage.apparent_mm)
    sampler = PatchSampler(
        stage.patch, course.recipe.shape.spacing_mm, generator, stage.max_degrees, stage.zoom, stage.foreground,
        turned=stage.turned, scales=scales,
    )  # fmt: skip
    source = PatchSource([scan for scan, _ in scans], [weight for _, weight in scans], sampler)
    return PatchStream(source, settings_of(course, stage).seed, course.threads)


def learning_parts(
    network: nn.Module, stage: Stage, parts: Mapping[Part, list[nn.Parameter]]
) -> list[tuple[list[nn.Parameter], float]]:
    """Return the parameters that a stage trains with their share of the rate; all others are frozen."""
    network.requires_grad_(False)
    groups = []
    for name in stage.train:
        parameters = parts.get(name, [])  # a network may lack a branch
        for parameter in parameters:
            parameter.requires_grad_(True)
        if parameters:
            groups.append((parameters, stage.share_of(name)))
    return groups


def settings_of(course: Course, stage: Stage) -> LoopSettings:
    """Return a stage's settings of the loop."""
    shared = {}
    for name in LoopSettings.__dataclass_fields__:
        if hasattr(stage, name):
            shared[name] = getattr(stage, name)
    if stage.seed is None:  # stages alike would draw the same patches
        names = [each.name for each in course.recipe.stages]
        shared["seed"] = course.recipe.seed + names.index(stage.name)
    return LoopSettings(**shared)


def identity_of(
    course: Course, stage: Stage, scans: Sequence[Weighted], network: nn.Module, without: Sequence[str] = ()
) -> str:
    """Return a hash of all that makes a stage what it is, besides the settings of the loop.

    Args:
        course: What is carried out.
        stage: One of its stages.
        scans: What the stage draws from, with weights; a changed file is another scan.
        network: As the stage begins with it, so that the end of another stage before it does not go unnoticed.
        without: Settings of the stage that do not count.
    """
    stage_facts, shape = settings_that_count(course.recipe.shape, stage, without)
    judged: list[list[str]] = []
    for part in judged_by(course.sources, stage):
        judged.append([entry.name for entry in part])
    facts: dict[str, Any] = {
        "stage": stage_facts,
        "shape": shape,
        "order": [course.numbering.classes, course.numbering.others],
        "begins": hash_of(network),
        "scans": [(scan.name, scan.origin, weight) for scan, weight in scans],
        "judged by": judged,
    }
    if course.recipe.sam_med3d is not None:
        facts["sam_med3d"] = asdict(course.recipe.sam_med3d)
    mirrored, copied = [], []
    for scan, _ in scans:
        if scan.sides is not None:
            mirrored.append(scan.name)
        if scan.copies is not None:
            copied.append((scan.name, scan.copies.warp, scan.copies.synthesis))
    # Only where there are some, so that states of before either could be asked for stay valid.
    if mirrored:
        facts["mirrored"] = mirrored
    if copied:
        facts["copied"] = copied
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def settings_that_count(shape: Shape, stage: Stage, without: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a stage and of the network's shape that make another run where they differ.

    What a recipe does not use is left out, so that states of before it could be asked for stay valid.

    Args:
        shape: Of the recipe.
        stage: The stage.
        without: Settings of the stage that do not count.
    """
    unused = set(without)
    if stage.scales == (1.0, 1.0):
        unused |= {"scales", "own_scale", "apparent_mm"}
    chosen = asdict(stage)
    for name in unused:
        del chosen[name]
    seen = asdict(replace(shape, start=None))
    for name in ("offered", "keep_classes"):  # they change nothing of what is learnt
        del seen[name]
    if shape.scans_mm is None:
        del seen["scans_mm"]
    return chosen, seen


def hash_of(network: nn.Module) -> str:
    """Return the hash of a network's weights."""
    begins = hashlib.sha256()
    for value in network.state_dict().values():
        begins.update(value.detach().cpu().contiguous().numpy().tobytes())
    return begins.hexdigest()
