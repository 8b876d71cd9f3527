"""How many labelled scans a new structure needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from prosect.data.check import check_datalist, refuse_unfit
from prosect.data.datalist import DataList
from prosect.errors import RecipeError
from prosect.evaluation.protocols import Rules
from prosect.io.atomic import make_folder
from prosect.jobs.inputs import ModelChoice
from prosect.jobs.job import Job
from prosect.jobs.lists import ListInput
from prosect.jobs.warning_log import keep_warnings
from prosect.jobs.work_folder import lock_work_folder
from prosect.models import Learns, Model, require_learns
from prosect.training.finetuning.fewshot import Outcome, arms, few_shots, pools
from prosect.training.finetuning.finetune import settings_as_data
from prosect.training.finetuning.plan import words_of
from prosect.training.finetuning.report import write_few_shots
from prosect.training.finetuning.settings import FinetuneSettings

__all__ = ["FewShotJob", "FewShots"]

# Which settings the report repeats: those that decide what is learnt.
REPORTED = (
    "steps",
    "head_steps",
    "learning_rate",
    "encoder_share",
    "patches_per_step",
    "spacing_mm",
    "patch",
    "intensity",
    "seed",
)

Say = Callable[[str], None]


def ignore(_text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class FewShots:
    """What came of training by numbers of scans.

    Attributes:
        outcomes: Of each training that is done.
        planned: How many trainings there are to be.
        files: What was written.
    """

    outcomes: tuple[Outcome, ...]
    planned: int
    files: tuple[Path, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all trainings are done."""
        return len(self.outcomes) == self.planned

    @property
    def has_refused(self) -> bool:
        """Whether a scan could not be tested on."""
        return any(outcome.refused for outcome in self.outcomes)


@dataclass(frozen=True)
class FewShotJob(Job):
    """Train by numbers of scans and test each; killed at any time, the same job goes on in the same folder.

    Attributes:
        scans: The list; it has scans to learn from and scans to test on.
        output: Folder of the trainings and of the report.
        shots: The numbers of scans.
        from_scratch: Train each number from random weights, too.
        limit: Test on so many scans at most.
        settings: How is learnt.
        nsd_mm: Tolerance of the normalised surface Dice.
        overlap: Judge one layer per structure, not the flat map.
        model: Where it starts.
        seeds: How often each is trained, with seeds that follow that of the settings.
    """

    kind: ClassVar[str] = "few-shots"

    scans: ListInput
    output: Path
    shots: tuple[int, ...]
    from_scratch: bool = False
    limit: int | None = None
    settings: FinetuneSettings = field(default_factory=FinetuneSettings)
    nsd_mm: float = 2.0
    overlap: bool = False
    model: ModelChoice = field(default_factory=ModelChoice)
    seeds: int = 1

    def identity(self, model: Learns, test: DataList) -> Mapping[str, Any]:
        """Return what decides the figures, as the report gives it; paths, threads and devices do not."""
        settings = settings_as_data(self.settings)
        repeated = {}
        if self.seeds > 1:
            repeated["seeds"] = self.seeds
        return {
            "protocol": "fewshot",
            **dict(model.identity),
            "list": self.scans.path.name,
            "shots": list(self.shots),
            **repeated,
            "test_scans": len(test),
            **{name: settings[name] for name in settings if name in REPORTED},
        }

    def each_seed(self) -> list[int | None]:
        """Return the seed of each training by as many scans; None alone is that of the settings.

        Raises:
            RecipeError: It is to be trained less than once (`RECIPE_INVALID`).
        """
        if self.seeds < 1:
            raise RecipeError(f"each number of scans is trained with {self.seeds} seeds; ask for 1 or more.")
        if self.seeds == 1:
            return [None]
        return list(range(self.settings.seed, self.settings.seed + self.seeds))

    def run(self, model: Model | None = None, *, say: Say = ignore, stop_at: float | None = None) -> FewShots:
        """Train and test by number of scans, and write the report.

        Args:
            model: Where it starts; by default the one that the job names is loaded.
            say: Told what happens, in words.
            stop_at: Train no more steps after this time (`time.time()`).

        Raises:
            ProsectError: The list, the model, a scan or the folder cannot be used.
        """
        start = require_learns(model or self.model.load_one())
        train, test = pools(self.scans.read(words_of(start)), self.limit)
        chosen = arms(self.shots, self.from_scratch, len(train), self.each_seed())
        refuse_unfit(check_datalist(test, self.scans.tolerance_mm))
        make_folder(self.output)
        rules = Rules(tolerance_mm=self.nsd_mm, overlap=self.overlap)
        with keep_warnings(show=False), lock_work_folder(self.output):
            outcomes = few_shots(start, train, test, chosen, self.settings, self.output, rules, say, stop_at)
        files = write_few_shots(outcomes, self.identity(start, test), self.output)
        return FewShots(tuple(outcomes), len(chosen), tuple(files))
