"""How many labelled scans a new structure needs: finetuned and from scratch, by number of scans (VISTA3D, Table 3)."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prosect.checkpoints.files import read_weights
from prosect.data.datalist import DataList, split_as_published
from prosect.errors import CheckpointError, RecipeError
from prosect.evaluation.ledger import Ledger, Refused
from prosect.evaluation.protocols import Rules
from prosect.evaluation.report import Section
from prosect.evaluation.running import Examination, examine, section
from prosect.io.atomic import make_folder
from prosect.models import Learns, Model, load
from prosect.training.finetuning.finetune import finetune, save_finetuned, settings_as_data
from prosect.training.finetuning.plan import plan_finetuning
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.scan_store import content_of

__all__ = ["Arm", "Outcome", "arms", "few_shots", "pools"]

WEIGHTS, LEDGER, SCANS, WORK = "weights.safetensors", "ledger.jsonl", "scans", "work"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Arm:
    """One training of the protocol.

    Attributes:
        shots: Scans it learns from.
        scratch: Whether it starts from random weights.
        seed: Its seed, where the protocol is carried out with several; None is that of the settings.
    """

    shots: int
    scratch: bool
    seed: int | None = None

    @property
    def start(self) -> str:
        """Where it starts, in one word."""
        if self.scratch:
            return "scratch"
        return "finetuned"

    @property
    def key(self) -> str:
        """Its name in files."""
        name = f"{self.start}_{self.shots:03d}"
        if self.seed is None:
            return name
        return f"{name}_seed{self.seed}"

    @property
    def title(self) -> str:
        """Its name for people."""
        name = f"{self.shots} scan{'s' if self.shots > 1 else ''}, {'from scratch' if self.scratch else 'finetuned'}"
        if self.seed is None:
            return name
        return f"{name}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What one training came to on the test scans.

    Attributes:
        arm: Which.
        section: Dice by scan, structure and over all.
        training: The report of the finetuning.
        refused: Test scans that could not be judged.
    """

    arm: Arm
    section: Section
    training: Mapping[str, Any]
    refused: Sequence[Refused]


def pools(datalist: DataList, most: int | None = None) -> tuple[DataList, DataList]:
    """Return the scans to learn from and those to be tested on, both in the order of the list.

    Args:
        datalist: Where it names no testing scans, a fifth is for testing, as the paper splits.
        most: Test scans at most: the first ones.
    """
    if not any(entry.split == "testing" for entry in datalist):
        datalist = split_as_published(datalist)
    own = tuple(replace(e, split="training") for e in datalist if e.split != "testing" and e.label is not None)
    test = datalist.part("testing")
    return replace(datalist, entries=own), replace(test, entries=test.entries[:most])


def arms(shots: Sequence[int], scratch: bool, available: int, seeds: Sequence[int | None] = (None,)) -> list[Arm]:
    """Return the trainings, fewest scans first within a seed: whoever stops early has whole curves of the first seeds.

    Args:
        shots: Numbers of scans.
        scratch: Also train each number from random weights.
        available: How many scans there are to learn from.
        seeds: One training each; None is the seed of the settings.

    Raises:
        RecipeError: There are not so many scans to learn from (`SHOTS_TOO_MANY`).
    """
    if max(shots) > available:
        raise RecipeError(
            f"{max(shots)} scans to learn from are asked for, and the list has {available}; ask for fewer.",
            code="SHOTS_TOO_MANY",
        )
    starts = [False, True] if scratch else [False]
    return [Arm(n, own, seed) for seed, n, own in itertools.product(seeds, sorted(set(shots)), starts)]


def few_shots(
    model: Learns,
    train: DataList,
    test: DataList,
    chosen: Sequence[Arm],
    settings: FinetuneSettings,
    folder: Path,
    rules: Rules,
    say: Say = lambda _: None,
    stop_at: float | None = None,
) -> list[Outcome]:
    """Train and test every arm, each in a folder of its own; return those that are done by `stop_at`.

    The scans of fewer shots are among those of more: the first of the list, as the official `train_number` takes them.
    All arms take the same steps and none looks at other scans to stop early: with one scan there are none to look at.
    Each is tested as its file loads. What is done already is not done again.

    Args:
        model: Where finetuning starts, and whose shape those from scratch have.
        train: Scans to learn from.
        test: Scans to be tested on.
        chosen: See `arms`.
        settings: Of every training.
        folder: For everything.
        rules: How results are judged.
        say: Told what happens.
        stop_at: Train no more steps after this time (`time.time()`).

    Raises:
        FormatError: The folder holds results of another run (`RUN_CHANGED`).
        RecipeError: A scan is in both lists (`SPLIT_LEAK`).
    """
    refuse_shared(train, test)
    done: list[Outcome] = []
    tested = digest(test)
    largest = replace(train, entries=train.entries[: max(arm.shots for arm in chosen)])
    settings = settle(model, largest, settings)
    for arm in chosen:
        own = replace(settings, from_scratch=arm.scratch, validate_every=0, seed=seed_of(arm, settings))
        part = replace(train, entries=train.entries[: arm.shots])
        make_folder(folder / arm.key)
        about = {
            "arm": arm.key,
            "start": dict(model.identity),
            "settings": settings_as_data(own),
            "rules": asdict(rules),
            "trained_on": digest(part),
            "tested_on": tested,
        }
        ledger = Ledger.open(folder / arm.key / LEDGER, about)
        learnt = train_arm(model, part, arm, own, folder, say, stop_at)
        if learnt is None:
            break
        examine(test, learnt, Examination("auto", rules), ledger, grid_tolerance_mm=settings.tolerance_mm)
        done.append(outcome(arm, ledger, folder))
        mean = done[-1].section.means["dice"]
        say(f"{arm.title}: mean Dice {mean.value if mean else 0.0:.3f} on {len(ledger.rows)} scans")
    return done


def seed_of(arm: Arm, settings: FinetuneSettings) -> int:
    """Return the seed of a training."""
    if arm.seed is None:
        return settings.seed
    return arm.seed


def settle(model: Learns, largest: DataList, settings: FinetuneSettings) -> FinetuneSettings:
    """Return settings in which nothing is left to be decided by the scans of one arm: all see scans alike."""
    plan = plan_finetuning(model, largest, replace(settings, validate_every=0))
    kind: Literal["model", "percentile"] = "percentile"
    if plan.spec.intensity == model.spec.intensity:
        kind = "model"
    return replace(settings, patch=plan.spec.window, intensity=kind, spacing_mm=plan.spec.spacing_mm[0])


def train_arm(
    model: Learns,
    part: DataList,
    arm: Arm,
    settings: FinetuneSettings,
    folder: Path,
    say: Say,
    stop_at: float | None,
) -> Model | None:
    """Return what an arm learns, as its file loads; None where the time was over before."""
    place = folder / arm.key
    if not is_whole(place / WEIGHTS):
        plan = plan_finetuning(model, part, settings, arm.key)
        say(f"{arm.title}: {settings.steps} steps")
        result = finetune(model, plan, settings, place / WORK, stop_at, say, measure=False, scans_folder=folder / SCANS)
        if not result.complete:
            return None
        save_finetuned(result, place / WEIGHTS)
        shutil.rmtree(place / WORK)
    return load(weights=place / WEIGHTS, device=str(model.device), profile=model.profile.name)


def outcome(arm: Arm, ledger: Ledger, folder: Path) -> Outcome:
    """Return what an arm came to."""
    training = read_weights(folder / arm.key / WEIGHTS).metadata["training"]["finetuning"]
    own = section(arm.title, arm.key, ledger.all_rows, 0, np.random.default_rng(0))
    return Outcome(arm, own, training, list(ledger.refused.values()))


def digest(datalist: DataList) -> str:
    """Return a hash of what scans and labels are, whatever folder they lie in."""
    lines = []
    for e in datalist:
        lines.append(f"{e.name} {content_of(e.image)} {content_of(e.label) if e.label else None}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def refuse_shared(train: DataList, test: DataList) -> None:
    """Refuse scans that are both learnt from and tested on.

    Raises:
        RecipeError: `SPLIT_LEAK`.
    """
    shared = sorted({e.image for e in train} & {e.image for e in test})
    if shared:
        raise RecipeError(
            f"{shared[0].name} is both among the scans to learn from and among those to be tested on.",
            code="SPLIT_LEAK",
        )


def is_whole(path: Path) -> bool:
    """Return whether weights are there and whole."""
    try:
        read_weights(path)
    except CheckpointError:
        return False
    return True
