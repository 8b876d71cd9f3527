"""A plain, resumable training loop for any branch. One of the three places that hold state."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["LoopSettings", "TrainingLoop"]


@dataclass(frozen=True)
class LoopSettings:
    """Settings of one run; changing one starts another run.

    Attributes:
        steps: Optimiser steps in total.
        learning_rate: Peak rate of AdamW; linear warm-up, then half a cosine to zero.
        weight_decay: Of AdamW.
        warmup_steps: Length of the warm-up.
        ema: Decay of the running average of the weights that is saved as the model.
        max_gradient_norm: Gradients are scaled down to this norm.
        patches_per_step: Patches whose gradients are added up before a step.
        bfloat16: Compute the network in mixed bfloat16; weights, losses and the optimiser stay in float32.
        seed: Of initial weights, sampling and augmentation.
    """

    steps: int = 3000
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    ema: float = 0.995
    max_gradient_norm: float = 1.0
    patches_per_step: int = 1
    bfloat16: bool = False
    seed: int = 0


class TrainingLoop:
    """Train a network by an objective that draws its own patches.

    Args:
        network: The network to train, in place.
        objective: Returns the loss of one freshly drawn patch; all its randomness comes from `generator`.
        generator: Part of the saved state.
        settings: See `LoopSettings`.
        folder: Where the state and the log live.
        trained: Parameters to train, in groups with their share of the learning rate; all of the network's by default.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Callable[[], Tensor],
        generator: np.random.Generator,
        settings: LoopSettings,
        folder: Path,
        trained: Iterable[tuple[Iterable[nn.Parameter], float]] | None = None,
    ) -> None:
        self.network, self.objective, self.generator = network, objective, generator
        self.settings, self.folder = settings, folder
        groups = [
            (list(part), share) for part, share in ([(network.parameters(), 1.0)] if trained is None else trained)
        ]
        self.trained = [parameter for part, _ in groups for parameter in part]
        self.optimizer = torch.optim.AdamW(
            [{"params": part, "share": share} for part, share in groups],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.step = 0
        self.skipped = 0
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, save_every: int = 100, stop_at: float | None = None) -> None:
        """Train to the last step, or until the wall clock (`time.time()`) passes `stop_at`; then save."""
        recent: list[float] = []
        started = time.perf_counter()
        while self.step < self.settings.steps and (stop_at is None or time.time() < stop_at):
            recent.append(self._one_step())
            if self.step % 25 == 0:
                self._log(loss=float(np.mean(recent)), seconds=(time.perf_counter() - started) / len(recent))
                recent, started = [], time.perf_counter()
            if self.step % save_every == 0:
                self.save()
        self.save()

    def rate(self) -> float:
        """Return the learning rate of the coming step."""
        s = self.settings
        if self.step < s.warmup_steps:
            return s.learning_rate * (self.step + 1) / s.warmup_steps
        done = (self.step - s.warmup_steps) / max(1, s.steps - s.warmup_steps)
        return s.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def _one_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for _ in range(self.settings.patches_per_step):
            loss = self.objective() / self.settings.patches_per_step
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.settings.max_gradient_norm)
        if math.isfinite(total) and bool(torch.isfinite(norm)):
            self.optimizer.step()
            self._update_average()
        else:
            self.skipped += 1
        self.step += 1
        return total

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)

    def _log(self, **values: float) -> None:
        row = {"step": self.step, "rate": self.rate(), "skipped": self.skipped, **values}
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the whole state in one atomic step, so that a killed run resumes where it stood."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "skipped": self.skipped,
            "generator": json.dumps(self.generator.bit_generator.state),
            "settings": asdict(self.settings),
        }
        part = self.folder / f".state.tmp-{os.getpid()}"
        torch.save(state, part)
        part.replace(self.folder / "state.pt")

    def resume(self) -> bool:
        """Load a saved state if there is one; return whether there was."""
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.step, self.skipped = state["step"], state["skipped"]
        self.generator.bit_generator.state = json.loads(state["generator"])
        return True
