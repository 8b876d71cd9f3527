"""Judge a model on a list of labelled scans."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from prosect.checkpoints.offers import names_in
from prosect.data.datalist import DataList, Entry
from prosect.errors import RecipeError, VocabularyError
from prosect.evaluation.baselines import baseline_named
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.protocols import Rules, finds_itself
from prosect.evaluation.report import Evaluation
from prosect.evaluation.running import Examination, evaluation_of, examine, write
from prosect.evaluation.sam_med3d import shows_crops
from prosect.io.atomic import make_folder
from prosect.jobs.inputs import ModelChoice
from prosect.jobs.job import Job
from prosect.jobs.lists import ListInput
from prosect.jobs.warning_log import keep_warnings
from prosect.models import Model

__all__ = ["EvaluateJob", "Evaluated"]

LEDGER = "ledger.jsonl"

Protocol = Literal["auto", "point", "auto+point", "clicks", "speed"]
OnCase = Callable[[str, str], None]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What came of an evaluation.

    Attributes:
        evaluation: Its figures.
        files: What was written: JSON, tables, Markdown and pictures.
        warnings: What the model warned of, with how often: it may say the same of every click.
    """

    evaluation: Evaluation
    files: tuple[Path, ...]
    warnings: Mapping[str, int]


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Judge a model on labelled scans; killed at any time, the same job goes on in the same folder.

    Attributes:
        protocol: What is judged; see `evaluation.running`.
        scans: The list.
        output: Folder of the results.
        split: Which part of the list: `training`, `validation`, `testing` or `all`; by default testing where the list
            has such, else all.
        fold: Which fold of that part.
        limit: At most so many scans.
        classes: Only these structures, by name.
        as_published: Count as the paper does, flattery included.
        overlap: Judge one layer per structure, not the flat map.
        clicks: Clicks per structure.
        rules: Where is clicked; see `evaluation.clickers`.
        zero_shot: Click as if no structure had a name.
        nsd_mm: Tolerance of the normalised surface Dice.
        repeats: How often a scan is timed; the fastest counts.
        seed: Of clicks and intervals.
        model: Who is judged.
        overwrite: Begin anew where the folder holds results.
        box: Begin each structure with a box around it, which counts as two clicks.
        baseline: Judge clicks without a network in place of the model, see `evaluation.baselines`.
    """

    kind: ClassVar[str] = "evaluate"

    protocol: Protocol
    scans: ListInput
    output: Path
    split: Literal["training", "validation", "testing", "all"] | None = None
    fold: int | None = None
    limit: int | None = None
    classes: tuple[str, ...] | None = None
    as_published: bool = False
    overlap: bool = False
    clicks: int = 5
    rules: str = "person"
    zero_shot: bool = False
    nsd_mm: float = 2.0
    repeats: int = 1
    seed: int = 0
    model: ModelChoice = field(default_factory=ModelChoice)
    overwrite: bool = False
    box: bool = False
    baseline: str | None = None

    def run(self, model: Model | None = None, *, on_case: OnCase | None = None) -> Evaluated:
        """Judge the model scan by scan, and write the results.

        Args:
            model: Who is judged; by default the one that the job names is loaded.
            on_case: Told of each scan: its name, and how it went in words.

        Raises:
            ProsectError: The list, the model or the folder cannot be used; a single scan is noted as refused.
        """
        datalist = self.chosen_scans()
        for name in self.classes or ():
            datalist.vocabulary.find(name)
        judged = model or self.load_model()
        examination = self.examination(judged)
        self.refuse_strangers(datalist, judged, examination)
        make_folder(self.output)
        settings = self.identity(judged, datalist, examination)
        ledger = Ledger.open(self.output / LEDGER, settings, self.overwrite)
        with keep_warnings(show=False) as warnings:
            examine(datalist, judged, examination, ledger, on_case, grid_tolerance_mm=self.scans.tolerance_mm)
        found = evaluation_of(ledger, examination)
        return Evaluated(found, tuple(write(found, self.output)), Counter(warnings))

    def chosen_scans(self) -> DataList:
        """Return the scans to judge.

        Raises:
            RecipeError: None is left, or one has no manual labels (`LABEL_MISSING`).
        """
        # Structures that finetuned weights have of their own need no mark as new ones in the mapping.
        part = self.scans.read(names_in(self.model.weights)).examined(self.split, self.fold)
        part = replace(part, entries=part.entries[: self.limit])
        bare = []
        for entry in part:
            if entry.label is None:
                bare.append(entry.name)
        if bare and self.protocol != "speed":
            raise RecipeError(
                f"{len(bare)} scans have no manual labels to be judged by, such as {bare[0]}.", code="LABEL_MISSING"
            )
        return part

    def load_model(self) -> Model:
        """Return the model; as published, with the profile of the official evaluation.

        Raises:
            ProsectError: See `prosect.load`.
        """
        if self.baseline is not None:
            return baseline_named(self.baseline)
        if self.as_published and self.protocol == "auto":
            return replace(self.model, profile="research").load()
        return self.model.load()

    def examination(self, model: Model) -> Examination:
        """Return what is examined; each model's published rules are its own."""
        is_official = not shows_crops(model)
        is_favourable = self.as_published and self.protocol == "clicks" and is_official
        rules = Rules(
            tolerance_mm=self.nsd_mm,
            overlap=self.overlap,
            clicker="paper" if is_favourable else self.rules,
            count=self.clicks,
            zero_shot=self.zero_shot,
            only_labelled_slices=is_favourable,
            box=self.box,
        )
        return Examination(self.protocol, rules, self.as_published, self.classes, self.repeats, self.seed)

    def refuse_strangers(self, datalist: DataList, model: Model, examination: Examination) -> None:
        """Refuse a model that knows none of the structures by itself, before anything is read.

        Raises:
            VocabularyError: `STRUCTURE_UNSUPPORTED`.
        """
        is_clicked = self.protocol in ("point", "clicks") and shows_crops(model)
        if self.protocol == "speed" or not examination.needs_classes or is_clicked:
            return
        indices = {index for entry in datalist for index in datalist.known(entry)}
        names = set()
        for index in indices:
            names.add(datalist.vocabulary[index].name)
        if not any(finds_itself(model.vocabulary, name) for name in names):
            raise VocabularyError(
                f"The model finds none of the {len(names)} structures of the list by itself; `prosect evaluate clicks` "
                "judges it by clicks.",
                code="STRUCTURE_UNSUPPORTED",
            )

    def identity(self, model: Model, datalist: DataList, examination: Examination) -> dict[str, Any]:
        """Return what decides the figures, as plain data; paths, threads and devices do not."""
        rules, protocol = examination.rules, self.protocol
        is_clicking = protocol in ("point", "auto+point", "clicks")
        return {
            "protocol": protocol + (" as published" if self.as_published else ""),
            **dict(model.identity),
            "list": self.scans.path.name,
            "list_sha256": digest(datalist.entries),
            "scans": len(datalist),
            "structures": examination.wanted,
            "surface_tolerance_mm": rules.tolerance_mm,
            "one_layer_per_structure": rules.overlap or None,
            "clicks": rules.count if protocol == "clicks" else None,
            "clicks_placed_by": rules.clicker if is_clicking else None,
            "zero_shot": rules.zero_shot or None,
            "begins_with_a_box": rules.box or None,
            "seed": examination.seed,
            "repeats": examination.repeats if protocol == "speed" else None,
        }


def digest(entries: tuple[Entry, ...]) -> str:
    """Return a hash of which scans are judged, whatever folder they lie in."""
    lines = []
    for entry in entries:
        if entry.label is None:
            label = None
        else:
            label = entry.label.name
        lines.append(f"{entry.name}\t{entry.image.name}\t{label}\t{entry.dataset}\t{entry.labelled}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
