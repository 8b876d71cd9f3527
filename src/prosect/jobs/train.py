"""Train a model by a recipe."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

import prosect
from prosect.data.check import check_datalist, refuse_unfit
from prosect.data.labels import TOLERANCE_MM
from prosect.errors import ProsectWarning
from prosect.jobs.job import Job
from prosect.jobs.work_folder import lock_work_folder, refuse_locked
from prosect.models import device_named
from prosect.training.course import Course, Watcher, prepare_course
from prosect.training.extra import load_extra
from prosect.training.parallel import Ranks
from prosect.training.recipe import Recipe, shorten
from prosect.training.recipe_checks import refuse_unknown_stages
from prosect.training.recipe_file import read_recipe
from prosect.training.stages import carry_out
from prosect.training.torchrun import join_launched, own_device

__all__ = ["TrainJob"]

TENSORBOARD = "prosect.training.tensorboard"

OnCheck = Callable[[int, str], None]
OnPlan = Callable[[Course], None]


def ignore(*_event: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class TrainJob(Job):
    """Carry out the stages of a recipe; killed at any time, the same job goes on from the last saved state.

    Attributes:
        recipe: A TOML file; see `read_recipe`.
        work: Folder of states, logs, prepared scans and the weights.
        stages: Only these stages, by name; None for all.
        steps: At most so many steps in each stage.
        tolerance_mm: How far label voxels may lie from the scan's.
        device: As in `prosect.load`.
        threads: Processor threads; None for as many as torch takes.
        loaders: Threads that draw patches ahead.
        checked: Whether every file is read before the first step.
        tensorboard: Whether the logs are written for TensorBoard, too.
    """

    kind: ClassVar[str] = "train"

    recipe: Path
    work: Path
    stages: tuple[str, ...] | None = None
    steps: int | None = None
    tolerance_mm: float = TOLERANCE_MM
    device: str = "auto"
    threads: int | None = None
    loaders: int = 0
    checked: bool = True
    tensorboard: bool = False

    def read_recipe(self) -> Recipe:
        """Return the recipe, with as many steps as the job allows.

        Raises:
            FormatError: There is no such file.
            RecipeError: It is no recipe, or lacks a stage that the job names (`RECIPE_INVALID`).
        """
        recipe = read_recipe(self.recipe)
        if self.steps is not None:
            recipe = shorten(recipe, self.steps)
        refuse_unknown_stages(recipe, self.stages)
        return recipe

    def identity(self) -> Mapping[str, Any]:
        """Return what decides the weights beside the scans; folders, threads and devices do not.

        Raises:
            FormatError: There is no such recipe.
            RecipeError: It is no recipe.
        """
        recipe = self.read_recipe()
        return {
            "prosect": prosect.__version__,
            "recipe": recipe.name,
            "recipe_sha256": hashlib.sha256(self.recipe.read_bytes()).hexdigest(),
            "stages": [stage.name for stage in recipe.stages if self.stages is None or stage.name in self.stages],
            "steps": self.steps,
        }

    def plan(self, *, on_check: OnCheck = ignore) -> Course:
        """Return what would be trained, after every file was checked; nothing is written.

        Args:
            on_check: Told of each list before its files are read: how many scans, and its name.

        Raises:
            ProsectError: What `run` would refuse.
        """
        recipe, device = self.read_recipe(), self._own_device()
        refuse_locked(self.work)
        self._watchers(None)  # refused where its package is missing
        with join_launched(device) as ranks, silence_others(ranks):
            return self._course(recipe, device, ranks, (), on_check)

    def run(
        self,
        *,
        on_check: OnCheck = ignore,
        on_plan: OnPlan = ignore,
        watch: Watcher | None = None,
        stop_at: float | None = None,
    ) -> Path | None:
        """Train, and return the weights file; None where the time was over before.

        Under `torchrun` the processes train together, and the first one alone tells of it.

        Args:
            on_check: Told of each list before its files are read: how many scans, and its name.
            on_plan: Told what will be trained, before the first step.
            watch: Told of every row of the logs, after the name of its stage.
            stop_at: Save the state and return by this time (`time.time()`).

        Raises:
            FormatError: Another process trains in the same folder (`OUTPUT_LOCKED`).
            RecipeError: The recipe, a list or a scan cannot be used, or a stage diverges.
            ResourceError: The processes do not find each other (`RANKS_APART`).
        """
        recipe, device = self.read_recipe(), self._own_device()
        with join_launched(device) as ranks, silence_others(ranks):
            # One lock for all processes: those beside the first train in its folder.
            is_first = ranks.rank == 0
            with lock_work_folder(self.work if is_first else None):
                watchers = self._watchers(watch) if is_first else ()
                course = self._course(recipe, device, ranks, watchers, on_check)
                if is_first:
                    on_plan(course)
                return carry_out(course, stop_at, self.stages)

    def _own_device(self) -> torch.device:
        """Return where this process trains, with as many threads as the job says."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return own_device(device_named(self.device))

    def _course(
        self, recipe: Recipe, device: torch.device, ranks: Ranks, watchers: tuple[Watcher, ...], on_check: OnCheck
    ) -> Course:
        """Return the course of the recipe, its files checked; of many processes each looks at some."""
        course = prepare_course(
            recipe,
            self.work,
            device=str(device),
            threads=self.loaders,
            ranks=ranks,
            watchers=watchers,
            tolerance_mm=self.tolerance_mm,
        )
        if self.checked:
            check_sources(course, on_check if ranks.rank == 0 else ignore)
        return course

    def _watchers(self, watch: Watcher | None) -> tuple[Watcher, ...]:
        """Return what is told of every row of the logs."""
        found: list[Watcher] = []
        if watch is not None:
            found.append(watch)
        if self.tensorboard:
            found.append(tensorboard_of_stages(self.work / "tensorboard"))
        return tuple(found)


def check_sources(course: Course, on_check: OnCheck = ignore) -> None:
    """Read every file of every list; of many processes each looks at some.

    Raises:
        RecipeError: A scan cannot be used; the message counts them and names the first.
    """
    for source in course.sources:
        for part in (source.training, source.validation):
            if part is not None:
                on_check(len(part), source.data.list.name)
                refuse_unfit(check_datalist(course.ranks.share(part), course.tolerance_mm))


def tensorboard_of_stages(folder: Path) -> Watcher:
    """Return what writes each stage's log into a folder of its own for TensorBoard.

    Raises:
        ResourceError: TensorBoard is not installed (`EXTRA_MISSING`).
    """
    open_watcher = load_extra(TENSORBOARD).tensorboard_watcher
    opened: dict[str, Callable[[dict[str, Any]], None]] = {}

    def watch(stage: str, row: dict[str, Any]) -> None:
        # Opened by its first row, because a stage that is not run shall leave no folder.
        if stage not in opened:
            opened[stage] = open_watcher(folder / stage)
        opened[stage](row)

    return watch


@contextmanager
def silence_others(ranks: Ranks) -> Iterator[None]:
    """Keep our own warnings from being shown by every process: the first one warns for all."""
    if ranks.rank == 0:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProsectWarning)
        yield
