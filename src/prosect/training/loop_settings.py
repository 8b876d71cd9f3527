"""What a training loop is told before its first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from prosect.training.parallel import ALONE, Ranks
from prosect.training.stream import PatchStream

__all__ = ["OF_LENGTH", "LoopSettings", "Row", "Surroundings"]

Row = dict[str, Any]

# Settings that a run trained on for longer may have otherwise: those that follow from its length.
OF_LENGTH = ("steps", "warmup_steps", "validate_every")


@dataclass(frozen=True)
class LoopSettings:
    """Settings of one run; changing one starts another run.

    Attributes:
        steps: Optimiser steps in total.
        learning_rate: Peak rate of AdamW, after a linear warm-up.
        schedule: After the warm-up the rate falls by half a `cosine` to zero, or stays `constant`.
        weight_decay: Of AdamW.
        warmup_steps: Length of the warm-up.
        ema: Decay of the running average of the weights that is saved as the model.
        max_gradient_norm: Gradients are scaled down to this norm.
        patches_per_step: Patches whose gradients are added up before a step, over all processes.
        bfloat16: Compute the network in mixed bfloat16; weights, losses and the optimiser stay in float32.
        seed: Of initial weights, sampling and augmentation.
        give_up: So many steps without a finite loss and gradient in a row end the run.
        validate_every: Steps between validations; 0 never validates.
        patience: So many validations in a row without a gain end the run; 0 never does.
    """

    steps: int = 3000
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    ema: float = 0.995
    max_gradient_norm: float = 1.0
    patches_per_step: int = 1
    bfloat16: bool = False
    seed: int = 0
    give_up: int = 10
    validate_every: int = 0
    patience: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What a loop works with beside its network; nothing of it decides what is learnt but the stream.

    Attributes:
        stream: Where the objective's patches come from, to be told which come next.
        validate: Returns a score of a network with the averaged weights, the larger the better.
        identity: What besides the settings makes this run what it is, such as the hash of its data; a state of another
            is not taken up.
        lineage: The same without what follows from the length of the run; a finished state of it may be trained on.
        watchers: Told of every row of the log.
        ranks: This process among those that train together.
        clock: Seconds, for the log.
        now: The time by which a run may have to stop, as `time.time` gives it.
    """

    stream: PatchStream | None = None
    validate: Callable[[dict[str, Tensor]], float] | None = None
    identity: str = ""
    lineage: str = ""
    watchers: Sequence[Callable[[Row], None]] = ()
    ranks: Ranks = ALONE
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    now: Callable[[], float] = field(default=time.time, repr=False)
