"""What was asked for, and the names that follow from it: the one place that names results."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict, Unpack

from prosect.errors import FormatError, OutputError
from prosect.io.dicom.choices import DicomChoices
from prosect.io.formats import WRITTEN_ENDINGS, Format, format_for, format_named, written_ending
from prosect.io.paths import file_name
from prosect.vocabulary import Structure

__all__ = [
    "COHORT_LEDGER",
    "Aggregation",
    "Beside",
    "Kind",
    "Request",
    "planned_files",
    "request_for",
    "structure_key",
    "structure_keys",
]

# The name of a format that is written; `prosect.io.formats` lists them.
Kind: TypeAlias = str
Aggregation: TypeAlias = Literal["mean", "median"]
DEFAULT_KIND = "nifti"
REPORT_NAME = "report.json"
# What results of many scans lie beside.
COHORT_LEDGER = "cohort_ledger.jsonl"
LABELS_NAME, DATASET_NAME = "labels", "dataset.json"
PROBABILITIES_NAME = "probabilities.nii.gz"


@dataclass(frozen=True)
class Request:
    """What one scan's results are, and where.

    Attributes:
        output: A label file, or the folder of all results.
        is_folder: Which of the two it is.
        kinds: The formats; a file has the one of its ending.
        per_class: In a folder, one mask per structure.
        multilabel: In a folder, one file with all structures.
        overlap: Whether the labels come as layers.
        statistics: Where `.json` and `.csv` go (either name stands for both); True for their usual place.
        extra: More numbers per structure in `statistics.json`.
        preview: Whether a picture is made.
        report: Where the run report goes; True for its usual place. A folder always has one.
        aggregation: Which intensity the statistics' JSON has of a structure: `mean` or `median`.
        radiomics: Whether `statistics_radiomics.json` is written.
        dicom: How DICOM results are written.
        preview_rows: Whether the picture has a row of planes for each structure.
        label_tables: Whether names and colours of the label values are written for other programs.
        probabilities: Where the probability of each structure goes; True for its usual place.
        renumber: Whether label values in files count from 1; else they are the indices of the vocabulary.
    """

    output: Path
    is_folder: bool = False
    kinds: tuple[Kind, ...] = (DEFAULT_KIND,)
    per_class: bool = False
    multilabel: bool = True
    overlap: bool = False
    statistics: Path | bool = False
    extra: bool = False
    preview: bool = False
    report: Path | bool = False
    aggregation: Aggregation = "mean"
    radiomics: bool = False
    dicom: DicomChoices = field(default_factory=DicomChoices)
    preview_rows: bool = False
    label_tables: bool = False
    renumber: bool = False
    probabilities: Path | bool = False

    @property
    def formats(self) -> tuple[Format, ...]:
        """What `kinds` names."""
        return tuple(format_named(kind) for kind in self.kinds)

    @property
    def label_files(self) -> tuple[Path, ...]:
        """Files that hold all structures."""
        if not self.is_folder:
            return (self.output,)
        whole = []
        for row in self.formats:
            if self.multilabel or row.holds_all:
                whole.append(row)
        return tuple(self.output / f"{LABELS_NAME}{row.ending}" for row in whole)

    @property
    def mask_endings(self) -> tuple[str, ...]:
        """Endings of the masks, empty where there are none; some formats always hold all structures."""
        if not (self.is_folder and self.per_class):
            return ()
        return tuple(row.ending for row in self.formats if not row.holds_all)

    @property
    def statistics_files(self) -> tuple[Path, ...]:
        """The JSON and the CSV, or nothing."""
        if self.statistics is False:
            return ()
        if self.statistics is True:
            path = self._beside("statistics.json")
        else:
            path = Path(self.statistics)
        return path.with_suffix(".json"), path.with_suffix(".csv")

    @property
    def radiomics_file(self) -> Path | None:
        """The features of shape and intensity."""
        if self.radiomics:
            return self._beside("statistics_radiomics.json")
        return None

    @property
    def beside_files(self) -> tuple[Path, ...]:
        """Everything beside labels and masks, the report last."""
        optional = (
            *self.table_files, self.probabilities_file, *self.statistics_files, self.radiomics_file, self.preview_file,
            self.report_file,
        )  # fmt: skip
        return tuple(path for path in optional if path is not None)

    @property
    def older_files(self) -> tuple[Path, ...]:
        """What an earlier run has written beside the one label file and this one will not replace."""
        if self.is_folder:
            return ()
        every = replace(
            self, statistics=True, radiomics=True, preview=True, report=True, label_tables=True, probabilities=True
        )
        mine = {*self.beside_files, self.output}
        return tuple(path for path in every.beside_files if path not in mine and path.exists())

    @property
    def table_files(self) -> tuple[Path, ...]:
        """Names and colours for ITK-SNAP, 3D Slicer and nnU-Net, or nothing."""
        if not self.label_tables:
            return ()
        # The viewers look for a table by the name of the label file; nnU-Net by a name that is always the same.
        if self.is_folder:
            name = LABELS_NAME
        else:
            name = stem(self.output)
        if self.is_folder:
            folder = self.output
        else:
            folder = self.output.parent
        return folder / f"{name}.label.txt", folder / f"{name}.ctbl", self._beside(DATASET_NAME)

    @property
    def probabilities_file(self) -> Path | None:
        """The probability of each structure."""
        if self.probabilities is False:
            return None
        return self._beside(PROBABILITIES_NAME) if self.probabilities is True else Path(self.probabilities)

    @property
    def preview_file(self) -> Path | None:
        """The picture."""
        if self.preview:
            return self._beside("preview.png")
        return None

    @property
    def report_file(self) -> Path | None:
        """The run report."""
        if self.report is False and not self.is_folder:
            return None
        if isinstance(self.report, bool):
            return self._beside(REPORT_NAME)
        return Path(self.report)

    def mask_files(self, key: str) -> tuple[Path, ...]:
        """Return the masks of the structure that has a key (`structure_keys`), one per format."""
        return tuple(self.output / f"{key}{ending}" for ending in self.mask_endings)

    def _beside(self, name: str) -> Path:
        if self.is_folder:
            return self.output / name
        return self.output.with_name(f"{stem(self.output)}_{name}")


class Beside(TypedDict, total=False):
    """What is written beside the labels, and how they come; as in `Request`."""

    overlap: bool
    statistics: Path | bool
    extra: bool
    preview: bool
    report: Path | bool
    aggregation: Aggregation
    radiomics: bool
    dicom: DicomChoices
    preview_rows: bool
    label_tables: bool
    renumber: bool
    probabilities: Path | bool


def request_for(
    output: str | os.PathLike[str],
    *,
    kinds: tuple[Kind, ...] = (),
    per_class: bool = False,
    multilabel: bool = False,
    is_folder: bool = False,
    **beside: Unpack[Beside],
) -> Request:
    """Return the request that an output name stands for.

    A name with a label ending is one file with all structures. Any other name is a folder: of one mask per structure,
    or with `multilabel` of one `labels` file, or of both with both flags.

    Args:
        output: A label file or a folder.
        kinds: Formats of a folder (NIfTI by default); for a file it must agree with the ending.
        per_class: One mask per structure; the output is a folder.
        multilabel: One file for all structures.
        is_folder: The output is a folder whatever its name.
        **beside: The further fields of `Request`.

    Raises:
        OutputError: An ending that no format has (`OUTPUT_FORMAT_UNKNOWN`), or flags that contradict each other or
            the ending (`OUTPUT_UNSUPPORTED`).
    """
    place = Path(output)
    kind = kind_of(place)
    if is_folder or place.is_dir() or (kind is None and (per_class or not place.suffix)):
        chosen = kinds or (DEFAULT_KIND,)
        whole_only = all(format_named(name).holds_all for name in chosen)
        masks = per_class or not (multilabel or whole_only)
        if "dicom_sr" in chosen and "dicom_seg" not in chosen:
            raise contradiction(place, "a DICOM SR refers to a DICOM SEG; ask for both: -ot dicom_seg dicom_sr")
        made = Request(place, True, chosen, masks, multilabel, **beside)
        if masks and not made.mask_endings:
            titles = " and ".join(row.title for row in made.formats)
            raise contradiction(place, f"{titles} always holds all structures; one per structure needs another type")
        return made
    kind = file_kind(place, kinds, per_class)
    if kind == "dicom_sr":
        raise contradiction(place, "a DICOM SR refers to a DICOM SEG; give a folder and -ot dicom_seg dicom_sr")
    return Request(place, False, (kind,), False, True, **beside)


def file_kind(place: Path, kinds: tuple[Kind, ...], per_class: bool) -> Kind:
    """Return the format of a label file.

    Raises:
        FormatError: Its ending is unknown, or contradicts the flags.
    """
    kind = kind_of(place)
    if kind is None:
        raise OutputError(
            f"{file_name(place)}: no label format has this ending. End the name in "
            f"{', '.join(WRITTEN_ENDINGS)}, or give a folder (a name without ending, or with / at its "
            "end) for one mask per structure.",
            code="OUTPUT_FORMAT_UNKNOWN",
        )
    if per_class:
        raise contradiction(place, "one mask per structure needs a folder; give a name without ending")
    # A Slicer segmentation is an NRRD file: either type agrees with the ending of the other.
    if {format_named(given).content for given in kinds} - {format_named(kind).content}:
        raise contradiction(
            place, f"the ending stands for {kind}, not for {', '.join(kinds)}; give a folder or one type"
        )
    return kind


def planned_files(request: Request) -> tuple[Path, ...]:
    """Return every place that a request takes; a folder counts as one."""
    files = (*request.label_files, *request.beside_files)
    if not request.is_folder:
        return files
    return (request.output, *(path for path in files if path.parent != request.output))


def structure_key(structure: Structure) -> str:
    """Return the name of a structure for files and keys: `left kidney` is `left_kidney`, `Brain-Stem` `brain_stem`.

    Words are in small letters but for numbered ones, which TotalSegmentator writes as `vertebrae_L5`.
    """
    words = re.sub(r"[^\w.]+", "_", structure.name).strip("_.").split("_")
    return "_".join(word if word[-1:].isdigit() else word.lower() for word in words)


def structure_keys(structures: Iterable[Structure]) -> dict[int, str]:
    """Return the key of each structure by its index; of several with one key, such as `my lesion` and `My_Lesion`, each
    has its index at the end, so that none replaces another's mask.
    """
    keys = {structure.index: structure_key(structure) for structure in structures}
    counts = Counter(key.casefold() for key in keys.values())
    return {index: f"{key}_{index}" if counts[key.casefold()] > 1 else key for index, key in keys.items()}


def kind_of(path: Path) -> Kind | None:
    """Return the format that a file name promises, or None."""
    row = format_for(path.name)
    if row is None:
        return None
    return row.name


def stem(path: Path) -> str:
    """Return a file name without the ending of its format."""
    ending = written_ending(path.name) or path.suffix
    return path.name[: len(path.name) - len(ending)]


def contradiction(path: Path, cause: str) -> FormatError:
    """Return the refusal of outputs that contradict each other."""
    return OutputError(f"{file_name(path)}: {cause}.", code="OUTPUT_UNSUPPORTED")
