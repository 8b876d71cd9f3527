"""Judge label files that exist by the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prosect import vocabulary as vocabularies
from prosect.data.labels import TOLERANCE_MM
from prosect.data.list_files import is_laid_out
from prosect.data.mapping import LabelMapping, mapping_of, mark_new, with_new
from prosect.data.mapping_pairs import parse_pair
from prosect.errors import FormatError
from prosect.evaluation.mask_pairs import MaskPair, pair_masks, pair_with_list
from prosect.evaluation.masks import evaluate_masks
from prosect.evaluation.report import Evaluation, write_evaluation
from prosect.io.atomic import make_folder
from prosect.jobs.job import Job
from prosect.jobs.lists import ListInput
from prosect.vocabulary import Vocabulary

__all__ = ["EvaluateMasksJob"]


@dataclass(frozen=True)
class EvaluateMasksJob(Job):
    """Judge label files by label files of the same names.

    Attributes:
        truths: A label file, or a folder of them, or a data list (or a folder with `images` and `labels`).
        results: A label file, or a folder of them, of what is judged.
        output: Folder of the results.
        pairs: What label values mean, such as `1=liver`; none where the names in the files say it.
        nsd_mm: Tolerance of the normalised surface Dice.
        tolerance_mm: How far the voxels of truth and result may lie apart.
        seed: Of the intervals.
        split: Which scans of a list; `all`, or by default its testing scans where it has such.
        overwrite: Begin anew where the folder holds results.
    """

    kind: ClassVar[str] = "evaluate-masks"

    truths: Path
    results: Path
    output: Path
    pairs: tuple[str, ...] = ()
    nsd_mm: float = 2.0
    tolerance_mm: float = TOLERANCE_MM
    seed: int = 0
    split: str | None = None
    overwrite: bool = False

    def run(self) -> tuple[Evaluation, tuple[Path, ...]]:
        """Judge the files, write what came of it, and return it with the files written.

        Raises:
            FormatError: The folder holds results (`OUTPUT_EXISTS`), or cannot be written.
            RecipeError: Files do not pair, or the mapping is none.
        """
        if (self.output / "results.json").exists() and not self.overwrite:
            raise FormatError(
                f"{self.output} holds results; choose another folder, or --overwrite.", code="OUTPUT_EXISTS"
            )
        files, mapping, words = self.read_files()
        settings = {
            "protocol": "masks",
            "truths": self.truths.name,
            "results": self.results.name,
            "scans": len(files),
            "mapping": list(self.pairs) or None,
            "surface_tolerance_mm": self.nsd_mm,
            "seed": self.seed,
        }
        found = evaluate_masks(files, mapping, words, self.nsd_mm, settings, self.tolerance_mm, self.seed)
        make_folder(self.output)
        return found, tuple(write_evaluation(found, self.output))

    def read_files(self) -> tuple[tuple[MaskPair, ...], LabelMapping | None, Vocabulary]:
        """Return the pairs of files, what label values mean in all of them, and the structures.

        Raises:
            RecipeError: Files do not pair, or the mapping is none.
        """
        is_list = self.truths.is_file() and self.results.is_dir()
        if is_list or is_laid_out(self.truths):
            truths = ListInput(self.truths, pairs=self.pairs).read().examined(self.split)
            return pair_with_list(truths, self.results), None, truths.vocabulary
        words = vocabularies.load("prosect")
        mapping: LabelMapping | None = None
        if self.pairs:
            chosen = mark_new([parse_pair(text) for text in self.pairs], words)
            words = with_new(words, chosen)
            mapping = mapping_of(chosen, words)
        return pair_masks(self.truths, self.results), mapping, words
