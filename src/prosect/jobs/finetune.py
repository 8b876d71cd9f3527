"""Teach a model new structures from a few labelled scans."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from prosect.data.check import check_datalist, refuse_unfit
from prosect.data.mapping_pairs import parse_pair
from prosect.data.pairs import pair_files
from prosect.jobs.finetune_places import refuse_places, work_of
from prosect.jobs.inputs import ModelChoice
from prosect.jobs.job import Job
from prosect.jobs.warning_log import keep_warnings
from prosect.jobs.work_folder import LOCK, lock_work_folder
from prosect.models import Learns, Model, require_learns
from prosect.training.finetuning.finetune import Finetuned, finetune, save_finetuned
from prosect.training.finetuning.plan import FinetunePlan, plan_finetuning, words_of
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.finetuning.warm_start import STARTS
from prosect.training.stage_scans import KEPT

__all__ = ["FinetuneJob"]

# What a finetuning leaves in its work folder: folders of stages and prepared scans, and small files.
MADE, SMALL = ("head", "all", KEPT), (STARTS, LOCK)

Say = Callable[[str], None]
OnPlan = Callable[[FinetunePlan, Learns], None]


def ignore(_text: str) -> None:
    """Tell nobody."""


def ignore_plan(_plan: FinetunePlan, _model: Learns) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class FinetuneJob(Job):
    """Teach a model new structures, and write its weights; killed at any time, the same job goes on.

    Attributes:
        images: Folder of scans.
        labels: Folder of label maps of the same file names.
        classes: What label values mean, such as `1=left hippocampus head`; an unknown name is new.
        output: Weights, `.safetensors`.
        settings: How is learnt.
        name: Name of the model; by default that of the file.
        work: Folder of prepared scans and states; by default beside the output.
        model: Where it starts.
        overwrite: Whether weights that exist may be replaced.
        resume: Go on with a training that was stopped, and replace the weights that it has written.
        keep_work: Keep the work folder when all is done, to train for longer; one that was named stays anyway.
    """

    kind: ClassVar[str] = "finetune"

    images: Path
    labels: Path
    classes: tuple[str, ...]
    output: Path
    settings: FinetuneSettings = field(default_factory=FinetuneSettings)
    name: str | None = None
    work: Path | None = None
    model: ModelChoice = field(default_factory=ModelChoice)
    overwrite: bool = False
    resume: bool = False
    keep_work: bool = False

    @property
    def work_folder(self) -> Path:
        """Folder of prepared scans and states."""
        return work_of(self.output, self.work)

    def refuse(self) -> None:
        """Refuse an output that cannot be, before anything is read.

        Raises:
            ProsectError: See `refuse_places`.
        """
        refuse_places(self.output, self.overwrite, self.resume, self.work)

    def plan(self, model: Model | None = None, *, show_warnings: bool = True) -> tuple[FinetunePlan, Learns]:
        """Return what will be trained, and the model it starts from, after every file was checked; nothing is written.

        Args:
            model: Where it starts; by default the one that the job names is loaded.
            show_warnings: Pass warnings on.

        Raises:
            ProsectError: The output, the model, a scan or a setting cannot be used.
        """
        self.refuse()
        start = require_learns(model or self.model.load_one())
        pairs = [parse_pair(text) for text in self.classes]
        datalist = pair_files(self.images, self.labels, pairs, words_of(start))
        refuse_unfit(check_datalist(datalist, self.settings.tolerance_mm))
        with keep_warnings(show_warnings):
            return plan_finetuning(start, datalist, self.settings, self.name or self.output.stem), start

    def run(
        self,
        model: Model | None = None,
        *,
        on_plan: OnPlan = ignore_plan,
        say: Say = ignore,
        stop_at: float | None = None,
        show_warnings: bool = True,
    ) -> Finetuned:
        """Train, write the weights, and return what came of it.

        Args:
            model: Where it starts; by default the one that the job names is loaded.
            on_plan: Told what will be trained, before the first step.
            say: Told what happens.
            stop_at: Write what there is by this time (`time.time()`); the same job goes on later.
            show_warnings: Pass warnings on.

        Raises:
            ProsectError: See `plan`; or another process trains in the same folder (`OUTPUT_LOCKED`).
        """
        self.refuse()
        plan, start = self.plan(model, show_warnings=show_warnings)
        on_plan(plan, start)
        with keep_warnings(show_warnings), lock_work_folder(self.work_folder):
            done = finetune(start, plan, self.settings, self.work_folder, stop_at, say)
        save_finetuned(done, self.output)
        if done.complete and self.work is None and not self.keep_work:
            # Only what trainings make: a folder of this name may hold other things.
            for name in MADE:
                shutil.rmtree(self.work_folder / name, ignore_errors=True)
            remove_if_empty(self.work_folder)
        return done


def remove_if_empty(folder: Path) -> None:
    """Remove a work folder in which nothing is left but its small files."""
    for name in SMALL:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        folder.rmdir()
