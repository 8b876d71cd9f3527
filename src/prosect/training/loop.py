"""A resumable training loop for any branch."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prosect.errors import FormatError, RecipeError, ResourceError
from prosect.io.atomic import write_atomically
from prosect.io.temporary import sweep
from prosect.training.loop_settings import OF_LENGTH, LoopSettings, Row, Surroundings
from prosect.training.states import read_state, write_state
from prosect.training.stream import stream_of

__all__ = ["TrainingLoop"]

STATE, PREVIOUS, BEST, LOG = "state.pt", "state.previous.pt", "best.pt", "log.jsonl"
LOGGED_EVERY = 25


class TrainingLoop:
    """Train a network by an objective that draws its own patches.

    Every patch has a random stream of its own, made of the seed, the step and its number in the step. So a run that
    was killed and goes on, and one whose patches are shared out among processes, draw what one undisturbed run draws.

    Args:
        network: The network to train, in place.
        objective: Returns the loss of one freshly drawn patch; all its randomness comes from `generator` and `stream`.
        generator: Turned to the stream of each patch before the objective is asked.
        settings: See `LoopSettings`.
        folder: Where the state and the log live.
        trained: Parameters to train, in groups with their share of the learning rate; all of the network's by default.
        around: See `Surroundings`.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Callable[[], Tensor],
        generator: np.random.Generator,
        settings: LoopSettings,
        folder: Path,
        trained: Iterable[tuple[Iterable[nn.Parameter], float]] | None = None,
        around: Surroundings | None = None,
    ) -> None:
        self.network, self.objective, self.generator = network, objective, generator
        self.settings, self.folder = settings, folder
        self.around = around or Surroundings()
        self.ranks, self.stream = self.around.ranks, self.around.stream
        self.trained: list[nn.Parameter] = []
        groups: list[dict[str, Any]] = []
        if trained is None:
            trained = [(network.parameters(), 1.0)]
        for part, share in trained:
            parameters = list(part)
            self.trained += parameters
            groups.append({"params": parameters, "share": share})
        # One pass over weights, gradients and both moments instead of one for each operation of the rule.
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in self.trained)
        decay = settings.weight_decay
        self.optimizer = torch.optim.AdamW(groups, settings.learning_rate, weight_decay=decay, fused=fused or None)
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.step = 0
        self.skipped = self.skipped_in_a_row = 0
        self.best, self.best_step, self.unjudged = -math.inf, 0, 0
        self.first_look: tuple[float, int] | None = None
        if self.ranks.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
            sweep([folder])  # what a kill during a save has left

    def run(self, save_every: int = 100, stop_at: float | None = None) -> None:
        """Train to the last step, until validation gains nothing more, or the clock (`time.time()`) passes `stop_at`.

        Raises:
            RecipeError: Steps without a finite loss follow one another (`TRAINING_DIVERGED`); the last saved state and
                the best weights are whole.
            FormatError, ResourceError: The last state cannot be saved; earlier ones stay, and failures to save on the
                way are only logged.
        """
        recent: list[float] = []
        half = None
        if stop_at is not None and self.settings.validate_every:
            half = (self.around.now() + stop_at) / 2
        clock = self.around.clock
        started, waited = clock(), self._waited
        while not self.finished and not self._is_over(stop_at):
            recent.append(self._one_step())
            if self.step % LOGGED_EVERY == 0:
                spent = clock() - started
                busy = 1 - (self._waited - waited) / spent
                self._log(loss=float(np.mean(recent)), seconds=spent / len(recent), busy=round(busy, 4))
                recent, started, waited = [], clock(), self._waited
            if self.settings.validate_every and self.step % self.settings.validate_every == 0:
                self._validate()
            elif self._wants_first_look(half):
                self._look()
            if self.step % save_every == 0:
                self._save_or_go_on()
        self.save()
        self.ranks.barrier()  # none reads what the first has not written yet

    def _is_over(self, stop_at: float | None) -> bool:
        """Return whether the time is over, by the first process's watch: all must stop at the same step."""
        if stop_at is None:
            return False
        return bool(self.ranks.broadcast(float(self.around.now() >= stop_at)))

    def _wants_first_look(self, half: float | None) -> bool:
        """Return whether half of the time is over and nothing has been validated yet."""
        if not self.settings.validate_every or self.best_step or self.first_look is not None:
            return False
        return self._is_over(half)

    def _look(self) -> None:
        """Score the averaged weights for people alone: what is chosen must not depend on how fast a machine is."""
        score = self.ranks.broadcast(self._score() if self.ranks.rank == 0 else 0.0)
        self.first_look = (score, self.step)
        self._log(event="looked", score=score)

    @property
    def _waited(self) -> float:
        if self.stream is None:
            return 0.0
        return self.stream.waited

    @property
    def finished(self) -> bool:
        """Whether the last step is done, or validation has gained nothing for too long."""
        s = self.settings
        stale = s.patience * s.validate_every
        judged = self.step - self.unjudged * s.validate_every
        return self.step >= s.steps or (stale > 0 and judged - self.best_step >= stale)

    def chosen(self) -> tuple[dict[str, Tensor], int]:
        """Return the averaged weights of the best validation, and its step.

        Where none was, or its file is damaged, which the log then says, they are those of the last step.
        """
        if not self.best_step:  # the file, if there is one, is of an earlier run
            return self.average, self.step
        best = read_state(self.folder / BEST)
        if best is not None and best["step"] == self.best_step:
            return best["average"], self.best_step
        self._log(event="best weights lost", best_step=self.best_step, instead=self.step)
        return self.average, self.step

    def rate(self) -> float:
        """Return the learning rate of the coming step."""
        s = self.settings
        if self.step < s.warmup_steps:
            return s.learning_rate * (self.step + 1) / s.warmup_steps
        if s.schedule == "constant":
            return s.learning_rate
        # Half a cosine: full rate after warming up, none at the last step.
        done = (self.step - s.warmup_steps) / max(1, s.steps - s.warmup_steps)
        return s.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def _one_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        total, drawn = 0.0, []
        for number in self.ranks.patches(self.settings.patches_per_step):
            self._turn_to(number)
            # Divided before and added up after, so that several processes get the gradient of one.
            loss = self.objective() / self.settings.patches_per_step
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            drawn.append(self.stream.drawn if self.stream is not None else "")
        self.ranks.add_up_gradients(self.trained)
        total = self.ranks.add_up(total)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.settings.max_gradient_norm)
        if math.isfinite(total) and bool(torch.isfinite(norm)):
            self.optimizer.step()
            self._update_average()
            self.skipped_in_a_row = 0
        else:
            self._skip(total, drawn)
        self.step += 1
        return total

    def _turn_to(self, number: int) -> None:
        """Turn the generator and the stream to a patch of the coming step."""
        seed = self.settings.seed
        self.generator.bit_generator.state = stream_of(seed, self.step, number).bit_generator.state
        if self.stream is not None:
            count = self.settings.patches_per_step
            mine = [(self.step + n, k) for n in (0, 1) for k in self.ranks.patches(count)]
            later = []
            for key in mine:
                if key > (self.step, number) and key[0] < self.settings.steps:
                    later.append(key)
            self.stream.seek(self.step, number, later)

    def _skip(self, total: float, drawn: Sequence[str]) -> None:
        """Leave the weights as they are after a loss or gradient that is not finite.

        Raises:
            RecipeError: Too often in a row (`TRAINING_DIVERGED`).
        """
        self.skipped += 1
        self.skipped_in_a_row += 1
        self._log(event="skipped", loss=total, scans=list(drawn))
        if self.skipped_in_a_row >= self.settings.give_up:
            raise RecipeError(
                f"{self.skipped_in_a_row} steps in a row had no finite loss, the last at step {self.step} on "
                f"{', '.join(drawn) or 'an unnamed scan'}. The last good state is {self.folder / STATE}; look at these "
                "scans, or go on with a lower learning rate.",
                code="TRAINING_DIVERGED",
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly, or it would long remember the first weights.
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)

    def _validate(self) -> None:
        """Score the averaged weights and keep them where they are the best so far."""
        score = self.ranks.broadcast(self._score() if self.ranks.rank == 0 else 0.0)
        if math.isnan(score):  # neither better nor worse, and nothing that patience counts
            self.unjudged += 1
            return
        if score > self.best and self._kept(score):
            self.best, self.best_step = score, self.step
        self._log(event="validated", score=score, best=self.best, best_step=self.best_step)

    def _score(self) -> float:
        """Return what validation says; not a number where the disk is too full to make the model that it looks at."""
        try:
            if self.around.validate is None:
                return 0.0
            return self.around.validate(self.average)
        except (OSError, ResourceError) as error:
            if isinstance(error, ResourceError) and error.code != "DISK_FULL":
                raise
            self._log(event="not validated", reason=str(error))
            return math.nan

    def _kept(self, score: float) -> bool:
        """Keep the averaged weights as the best; return whether that worked, which all processes must agree on."""
        try:
            self._write(BEST, {"average": self.average, "step": self.step, "score": score})
            failed = ""
        except (FormatError, ResourceError) as error:
            failed = str(error)
            self._log(event="not saved", reason=failed)
        return not self.ranks.broadcast(float(bool(failed)))

    def _log(self, **values: Any) -> None:
        if self.ranks.rank:
            return
        row = {"step": self.step, "rate": self.rate(), "skipped": self.skipped, **values}
        try:
            with (self.folder / LOG).open("a") as log:
                log.write(json.dumps(row) + "\n")
        except OSError:  # the disk that is too full for a state is too full for the note about it
            pass
        for watcher in self.around.watchers:
            watcher(row)

    def _forget_later_rows(self) -> None:
        """Take rows of steps that were lost with the process off the log: they will be done again."""
        log = self.folder / LOG
        if self.ranks.rank or not log.exists():
            return
        kept = []
        for line in log.read_text().splitlines():
            if _step_of(line) <= self.step:
                kept.append(line)
        with contextlib.suppress(OSError):
            write_atomically(log, [("".join(f"{line}\n" for line in kept)).encode()])

    def _save_or_go_on(self) -> None:
        try:
            self.save()
        except (FormatError, ResourceError) as error:
            # A full disk must not end hours of training; the next save may succeed.
            self._log(event="not saved", reason=str(error))

    def save(self) -> None:
        """Write the whole state in one atomic step, so that a killed run resumes where it stood; keep the one before.

        Raises:
            FormatError: It cannot be written (`OUTPUT_UNWRITABLE`); what was saved before stays.
            ResourceError: The disk is full (`DISK_FULL`); what was saved before stays.
            RecipeError: A weight is not finite (`TRAINING_DIVERGED`); what was saved before stays.
        """
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.trained):
            raise RecipeError(
                f"At step {self.step} a weight is not finite. The last good state is {self.folder / STATE}; go on with "
                "a lower learning rate.",
                code="TRAINING_DIVERGED",
            )
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "skipped": self.skipped,
            "best": self.best,
            "best_step": self.best_step,
            "unjudged": self.unjudged,
            "settings": asdict(self.settings),
            "identity": self.around.identity,
            "lineage": self.around.lineage,
            "threads": torch.get_num_threads(),
        }
        self._write(STATE, state, PREVIOUS)

    def _write(self, name: str, state: Row, previous: str | None = None) -> None:
        if self.ranks.rank == 0:
            write_state(self.folder / name, state, None if previous is None else self.folder / previous)

    def resume(self) -> bool:
        """Load a saved state if there is one, or the one before where the last is damaged; return whether there was.

        A run that is finished may be trained on for more steps: the rate is then that of the longer run. The log says
        where it was trained on.

        Raises:
            RecipeError: It is the state of another run (`RESUME_OTHER_RUN`).
        """
        for path in (self.folder / STATE, self.folder / PREVIOUS):
            state = read_state(path)
            if state is None:
                continue
            settings = asdict(self.settings)
            # A state of an earlier version lacks the settings that are newer than it, and had their defaults.
            before = asdict(LoopSettings()) | state["settings"]
            other = sorted(key for key in settings | before if settings.get(key) != before.get(key))
            longer = bool(other) and self._is_longer(state["step"], before, other)
            around = self.around
            if longer:
                same = state.get("lineage") == around.lineage
            else:
                same = state["identity"] == around.identity
            if not same or (other and not longer):
                raise other_run(path, other, before, settings)
            self._load(state)
            if longer:
                self._log(event="trained on", before=before["steps"], now=self.settings.steps)
            return True
        return False

    def _is_longer(self, step: int, before: Row, other: Sequence[str]) -> bool:
        """Return whether a state is that of this run, finished after fewer steps."""
        only = all(key in OF_LENGTH for key in other)
        return only and step >= before["steps"] and self.settings.steps > before["steps"]

    def _load(self, state: Row) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for key, value in state["average"].items():
            self.average[key].copy_(value)  # stays on the network's device
        self.step, self.skipped = state["step"], state["skipped"]
        self.best, self.best_step = state["best"], state["best_step"]
        self.unjudged = state.get("unjudged", 0)
        self._forget_later_rows()
        if state["threads"] != torch.get_num_threads():
            # Sums are rounded in another order: as good, but not bit for bit the same.
            self._log(event="other threads", before=state["threads"], now=torch.get_num_threads())


def other_run(path: Path, other: Sequence[str], before: Row, now: Row) -> RecipeError:
    """Return the refusal of a state that is of another run."""
    what = "other data"
    if other:
        what = "other settings (" + ", ".join(f"{key} {before.get(key)}, now {now.get(key)}" for key in other) + ")"
    way = "Give another work folder, or remove it to begin anew."
    if "steps" in other and all(key in OF_LENGTH for key in other):
        way = "Only a run that is finished can be trained on, for more steps: finish it first, or give another folder."
    return RecipeError(f"{path}: this is the state of a run with {what}. {way}", code="RESUME_OTHER_RUN")


def _step_of(line: str) -> float:
    """Return the step of a row of the log; infinity for a line that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
