"""Segment every scan of a folder or a list."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from prosect.io.dicom.choices import DicomChoices
from prosect.io.formats import format_named
from prosect.jobs.inputs import ModelChoice, ScanInput
from prosect.jobs.job import Job
from prosect.jobs.segment import SegmentJob
from prosect.results import Aggregation, Kind, Request, planned_files, request_for

if TYPE_CHECKING:
    from prosect.models import Finds

__all__ = ["LIST_SUFFIXES", "CohortJob", "is_address", "may_hold_many"]

# Endings of a list of scans, as `cohort.listing` reads them.
LIST_SUFFIXES = (".txt", ".csv", ".tsv")


def may_hold_many(path: Path) -> bool:
    """Return whether it is a folder or a list: only those hold several scans."""
    return path.is_dir() or path.suffix.lower() in LIST_SUFFIXES


def is_address(path: Path | None) -> bool:
    """Return whether a path as it was typed is the address of an object store, such as `s3://bucket/scans`."""
    return path is not None and path.parts[:1] == ("s3:",)


@dataclass(frozen=True)
class CohortJob(Job):
    """Segment every scan of a folder or a list into one folder of results, which a later run takes up again.

    A cohort finds scans and keeps a ledger, so it lies above the jobs: `cohort.running.run_cohort` runs this one.

    Attributes:
        input: A folder of scans, or a list of them.
        output: The folder of the results.
        classes: Names of structures and groups; None for everything that the model finds.
        overlap: One layer per structure, so that none hides another.
        model: Who is asked.
        volume: Which volume of a 4D file, from 0.
        modality: What kind of scans they are, for formats that do not say.
        nan_as: Intensity of voxels that are NaN; None refuses such scans.
        assume_orientation: Where the voxel axes of files point that do not say.
        regularise: Whether DICOM slices whose distance changes are resampled to the smallest one.
        kinds: Formats of the labels; NIfTI where there is none.
        per_class: One mask per structure: each scan has a folder of its own.
        multilabel: One file with all structures, too, where there are masks.
        statistics: Write volumes and intensities.
        extra: More numbers per structure.
        preview: Draw a picture.
        report: Write a report of each scan.
        dicom: How DICOM results are written.
        overwrite: Whether results may be replaced that no earlier run accounts for.
        least_mm3: Connected pieces smaller than this are left out; None keeps all.
        aggregation: Which intensity the statistics' JSON has of a structure.
        radiomics: Write features of shape and intensity.
        preview_rows: The picture has a row of planes for each structure.
        label_tables: Write names and colours of the label values for other programs.
        renumber: Label values in files count from 1.
        tables: Which tables of all scans are written at the end: `wide`, `parquet`; both need the statistics.
    """

    kind: ClassVar[str] = "cohort"

    input: Path
    output: Path
    classes: tuple[str, ...] | None = None
    overlap: bool = False
    model: ModelChoice = field(default_factory=ModelChoice)
    volume: int | None = None
    modality: str | None = None
    nan_as: float | None = None
    assume_orientation: str | None = None
    regularise: bool = False
    kinds: tuple[Kind, ...] = ()
    per_class: bool = False
    multilabel: bool = False
    statistics: bool = False
    extra: bool = False
    preview: bool = False
    report: bool = False
    dicom: DicomChoices = field(default_factory=DicomChoices)
    overwrite: bool = False
    least_mm3: float | None = None
    aggregation: Aggregation = "mean"
    radiomics: bool = False
    preview_rows: bool = False
    label_tables: bool = False
    renumber: bool = False
    tables: tuple[str, ...] = ()

    @property
    def scans_folder(self) -> str:
        """From where the paths of its scans count: the folder, that of the list, or the address."""
        if is_address(self.input):
            return f"s3://{'/'.join(self.input.parts[1:])}"
        if self.input.is_dir():
            return str(self.input.absolute())
        return str(self.input.absolute().parent)

    @property
    def any_input(self) -> ScanInput:
        """How each scan is read."""
        return ScanInput(
            volume=self.volume,
            modality=self.modality,
            nan_as=self.nan_as,
            assume_orientation=self.assume_orientation,
            regularise=self.regularise,
        )

    def request(self, name: str) -> Request:
        """Return what is written of one scan: `OUTPUT/<name>` with the ending of its format, or a folder of that name.

        Raises:
            FormatError: Fields that contradict each other (`OUTPUT_UNSUPPORTED`).
        """
        kinds: tuple[Kind, ...] = self.kinds or ("nifti",)
        as_folder = self.per_class or len(kinds) > 1
        if as_folder:
            ending = ""
        else:
            ending = format_named(kinds[0]).ending
        return request_for(
            self.output / f"{name}{ending}",
            kinds=kinds,
            is_folder=as_folder,
            per_class=self.per_class,
            multilabel=as_folder and (self.multilabel or not self.per_class),
            overlap=self.overlap,
            statistics=self.statistics,
            extra=self.extra,
            preview=self.preview,
            report=self.report,
            aggregation=self.aggregation,
            radiomics=self.radiomics,
            dicom=self.dicom,
            preview_rows=self.preview_rows,
            label_tables=self.label_tables,
            renumber=self.renumber,
        )

    def planned_names(self, name: str) -> tuple[str, ...]:
        """Return the places that one scan takes, relative to the folder of the results."""
        return tuple(path.relative_to(self.output).as_posix() for path in planned_files(self.request(name)))

    def scan_job(self, name: str, path: Path, series: str | None = None) -> SegmentJob:
        """Return the job of one scan.

        Args:
            name: What its results are called.
            path: File or DICOM folder.
            series: Which DICOM series of that folder.
        """
        return SegmentJob(
            input=replace(self.any_input, path=path, series=series),
            classes=self.classes,
            overlap=self.overlap,
            model=self.model,
            request=self.request(name),
            # Whose files may be replaced, the ledger has decided.
            overwrite=True,
            case=name,
            least_mm3=self.least_mm3,
        )

    def identity(self, model: Finds) -> dict[str, Any]:
        """Return what decides the results, and with that whether they may lie in one folder.

        Raises:
            VocabularyError: A structure is unknown.
        """
        request = self.request("case")
        any_scan = SegmentJob(self.any_input, self.classes, self.overlap, self.model, request, least_mm3=self.least_mm3)
        return any_scan.identity(model)
