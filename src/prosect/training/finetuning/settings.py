"""How a user asks for a model to learn new structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prosect.data.labels import TOLERANCE_MM
from prosect.training.recipe import Triple

__all__ = ["FinetuneSettings"]


@dataclass(frozen=True)
class FinetuneSettings:
    """How a model learns new structures.

    Attributes:
        steps: Optimiser steps at most.
        head_steps: Steps before these that fit embeddings alone to the features of the start; see `CachedFeatures`.
        learning_rate: Peak rate of AdamW for decoder and class head.
        encoder_share: The encoder's share of that rate.
        patches_per_step: Patches of one step.
        spacing_mm: Working spacing; None chooses one by the structures' size, at most the model's.
        patch: Voxels of a patch and of the window of the result; None takes the model's, shrunk to smaller scans.
        intensity: `model` scales intensities as the model does, `percentile` between the 1st and 99th of each scan,
            `auto` takes percentiles where most scans cannot be the Hounsfield units that the model takes.
        clicks: Teach clicks the new structures, too; twice the work.
        freeze_encoder: Leave everything as it is that answers to clicks depend on.
        from_scratch: Start from random weights of the same shape, to compare with; they take no clicks.
        keep_classes: Keep the classes that the model knows, too.
        sources: Known class by new class to start from; by default the most similar is looked for.
        validation: Share of the scans held out to stop early by, where the list names no validation scans.
        validate_every: Steps between validations; 0 never validates.
        patience: Validations in a row without a gain that end the run; 0 never ends it.
        bfloat16: Compute the network in mixed bfloat16.
        tolerance_mm: How far label voxels may lie from their scan's.
        seed: Of sampling and augmentation, and of random weights.
    """

    steps: int = 400
    head_steps: int = 100
    learning_rate: float = 2e-3
    encoder_share: float = 0.5
    patches_per_step: int = 1
    spacing_mm: float | None = None
    patch: Triple | None = None
    intensity: Literal["auto", "model", "percentile"] = "auto"
    clicks: bool = False
    freeze_encoder: bool = False
    from_scratch: bool = False
    keep_classes: bool = False
    sources: tuple[tuple[str, str], ...] = ()
    validation: float = 0.2
    validate_every: int = 50
    patience: int = 4
    bfloat16: bool = True
    tolerance_mm: float = TOLERANCE_MM
    seed: int = 0
