"""The training loop of finetuning: which parts are trained, on which patches, for what."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from prosect.inference.windows import Shape
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Vista3D
from prosect.training.finetuning.measures import mean_dice
from prosect.training.finetuning.recipe_of import FinetunePlan, FinetuneSettings
from prosect.training.loop import LoopSettings, TrainingLoop, mixed_is_sound
from prosect.training.objectives.automatic import AutomaticObjective
from prosect.training.objectives.both import BothBranches
from prosect.training.objectives.interactive import InteractiveObjective
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan
from prosect.training.stream import PatchStream

__all__ = ["loop_of", "padded", "trained_parts"]

# Few steps must be enough to find a structure at all; the few-shot figures were taken with it. At 1 borders would be
# tighter after long training.
BACKGROUND = 0.3

Say = Callable[[str], None]


def trained_parts(network: Vista3D, settings: FinetuneSettings) -> list[tuple[list[nn.Parameter], float]]:
    """Return the parameters to train with their share of the rate; all others are frozen."""
    encoder, decoder, head = network.image_encoder.encoder, network.image_encoder.up_layers_auto, network.class_head
    parts: list[tuple[list[nn.Module], float]] = [([decoder, head], 1.0)]
    if not settings.freeze_encoder:
        parts.append(([encoder], 1.0 if settings.from_scratch else settings.encoder_share))
    elif network.architecture.interactive and network.architecture.click_head == "maps":
        # This click head looks at the automatic branch's features, so they have to stay, too.
        parts = [([head.class_embeddings, head.mlp], 1.0)]
    if settings.clicks:
        parts.append(([network.image_encoder.up_layers, network.point_head], settings.encoder_share))
    network.requires_grad_(False)
    groups = []
    for modules, share in parts:
        parameters = [p for module in modules for p in module.parameters()]
        for parameter in parameters:
            parameter.requires_grad_(True)
        groups.append((parameters, share))
    return groups


def padded(scan: TrainingScan, patch: Shape) -> TrainingScan:
    """Return a scan with its outermost voxels repeated around it on axes that are shorter than a patch.

    Inference repeats them, too, and beyond a scan a patch would show air that the scan never had.
    """
    pads = [(p // 2, p // 2) if n < p else (0, 0) for n, p in zip(scan.labels.shape, patch, strict=True)]
    if not any(low for low, _ in pads):
        return scan
    intensities, labels, nested = (np.pad(a, pads, mode="edge") for a in (scan.intensities, scan.labels, scan.nested))
    return replace(scan, intensities=intensities, labels=labels, nested=nested, places={}, supervoxels=None)


def loop_of(
    network: Vista3D,
    model: Vista3DModel,
    plan: FinetunePlan,
    settings: FinetuneSettings,
    scans: Sequence[TrainingScan],
    folder: Path,
    identity: str,
    say: Say,
) -> tuple[TrainingLoop, AutomaticObjective, PatchSource]:
    """Return the training loop, not yet begun, with the automatic branch's loss and where patches come from.

    Args:
        network: To be trained, in place.
        model: Where it starts.
        plan: What is trained.
        settings: How.
        scans: Prepared scans.
        folder: For states and the log.
        identity: What makes the run this one.
        say: Told what happens.
    """
    s = settings
    trained = trained_parts(network, s)
    chosen = LoopSettings(
        steps=s.steps, learning_rate=s.learning_rate, warmup_steps=min(100, s.steps // 10 + 1),
        patches_per_step=s.patches_per_step, seed=s.seed,
        bfloat16=s.bfloat16 and mixed_is_sound(network, model.device.type, plan.spec.patch),
        validate_every=s.validate_every, patience=s.patience,
    )  # fmt: skip
    generator = np.random.default_rng(s.seed)
    sampler = PatchSampler(plan.spec.patch, plan.spec.spacing_mm[0], generator)
    source = PatchSource(scans, [1.0] * len(scans), sampler)
    stream = PatchStream(source, s.seed)
    classes, labels = plan.numbering.classes, plan.numbering
    nested = {q: bit for q, bit in labels.nested.items() if q < len(classes)}
    objective = AutomaticObjective(network, classes, nested, stream, generator, chosen.bfloat16, background=BACKGROUND)
    judge = copy.deepcopy(network)

    def validate(average: dict[str, Tensor]) -> float:
        judge.load_state_dict(average)
        return mean_dice(Vista3DModel(judge.eval(), plan.spec, model.profile, model.device), plan)

    def watch(row: Mapping[str, Any]) -> None:
        if "loss" in row and "event" not in row:
            say(f"step {row['step']}: loss {row['loss']:.3f}, {row['seconds']:.2f} s a step")
        elif row.get("event") == "validated":
            say(f"step {row['step']}: validation Dice {row['score']:.3f}, best {row['best']:.3f}")

    whole: Callable[[], Tensor] = objective
    if s.clicks:
        supported = [q + 1 for q in range(len(classes)) if q not in nested] + [-1 - bit for bit in nested.values()]
        whole = BothBranches(
            objective, InteractiveObjective(network, stream, generator, supported, nested, bfloat16=chosen.bfloat16)
        )
    loop = TrainingLoop(network, whole, generator, chosen, folder, trained, validate, stream, identity, (watch,))
    return loop, objective, source
