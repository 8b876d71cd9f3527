"""Teach a model new structures from a few labelled scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from prosect.data.check import check_datalist, refuse_unfit
from prosect.data.mapping_pairs import parse_pair
from prosect.data.pairs import pair_files
from prosect.errors import FormatError
from prosect.io.atomic import probe
from prosect.jobs.inputs import ModelChoice
from prosect.jobs.job import Job
from prosect.jobs.warning_log import keep_warnings
from prosect.jobs.work_folder import lock_work_folder
from prosect.models import Learns, Model, require_learns
from prosect.training.finetuning.finetune import Finetuned, finetune, save_finetuned
from prosect.training.finetuning.plan import FinetunePlan, plan_finetuning, words_of
from prosect.training.finetuning.settings import FinetuneSettings

__all__ = ["FinetuneJob"]

SUFFIX = ".safetensors"
NEED_BYTES = 64 << 20

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

    def refuse(self) -> None:
        """Refuse an output that cannot be, before anything is read.

        Raises:
            FormatError: It has another ending (`OUTPUT_FORMAT_UNKNOWN`), or exists (`OUTPUT_EXISTS`).
        """
        if self.output.suffix.lower() != SUFFIX:
            raise FormatError(f"{self.output}: weights are written as {SUFFIX}.", code="OUTPUT_FORMAT_UNKNOWN")
        if self.output.exists() and not self.overwrite:
            raise FormatError(f"{self.output} exists; give --overwrite to replace it.", code="OUTPUT_EXISTS")

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
        probe(self.output, NEED_BYTES)
        plan, start = self.plan(model, show_warnings=show_warnings)
        on_plan(plan, start)
        work = self.work or self.output.with_suffix(".work")
        with keep_warnings(show_warnings), lock_work_folder(work):
            done = finetune(start, plan, self.settings, work, stop_at, say)
        save_finetuned(done, self.output)
        return done
