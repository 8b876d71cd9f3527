"""Making the files of a request: masks, labels, statistics, picture, and last the report on them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prosect.errors import ProsectWarning
from prosect.io import write_mask
from prosect.io.atomic import gzip_chunks, write_atomically
from prosect.io.formats import format_for, written_ending
from prosect.io.paths import file_name
from prosect.io.writing import labels_of, store_checked
from prosect.labelmap import LabelLayers, LabelMap, Labels
from prosect.lazy import lazy_module
from prosect.measure import Measurement, measure
from prosect.results import report as reports
from prosect.results import statistics as tables
from prosect.results.folder import stage_folder
from prosect.results.label_tables import as_itksnap, as_nnunet, as_slicer, file_values
from prosect.results.report import Run
from prosect.results.request import Request, stem, structure_keys
from prosect.stopwatch import Stopwatch
from prosect.vocabulary import Structure
from prosect.volume import Volume

if TYPE_CHECKING:
    from prosect import preview, radiomics
    from prosect.inference.probabilities import Probabilities
    from prosect.io import nifti
else:
    nifti = lazy_module("prosect.io.nifti")
    radiomics = lazy_module("prosect.radiomics")
    preview = lazy_module("prosect.preview")

__all__ = ["write"]

# Masks are compressed side by side; each holds one byte per voxel while it is written.
MASK_THREADS = 4


@dataclass(frozen=True)
class Place:
    """Where files are made before they take their names.

    Attributes:
        request: What is made.
        staging: The folder that will become the output; None where the output is a file.
    """

    request: Request
    staging: Path | None

    def actual(self, final: Path) -> Path:
        """Return where a result is written now."""
        inside = self.staging is not None and final.parent == self.request.output
        if inside and self.staging is not None:
            return self.staging / final.name
        return final


def write(
    labels: LabelMap | LabelLayers,
    volume: Volume,
    request: Request,
    run: Run | None = None,
    *,
    case: str | None = None,
    found: Sequence[Measurement] | None = None,
    watch: Stopwatch | None = None,
    probabilities: Probabilities | None = None,
) -> tuple[Path, ...]:
    """Write everything a request asks for and return the files, the report last.

    A folder appears whole or not at all. Single files appear one after another, each whole; with a report among them,
    they are complete when it is there. Existing results are replaced: call `refuse` first.

    Args:
        labels: What was found.
        volume: The scan, on the same grid.
        request: What to write.
        run: What the report says on how the labels came about.
        case: Name of the scan in tables and picture; by default that of its file.
        found: What `measure(labels, volume)` returned, where it is known.
        watch: Takes the time of each stage.
        probabilities: What the labels were decided from, where the request wants them.

    Raises:
        OutputError: A place that cannot be written, or labels that a format cannot hold.
        ResourceError: The disk is full.
    """
    watch = watch or Stopwatch()
    case = case or stem(Path(volume.source.name))
    if found is None:
        with watch.stage("measuring"):
            found = measure(labels, volume)
    report, run = request.report_file, run or Run()
    warn_of_older(request)
    with place_for(request) as place:
        files = write_results(place, labels, volume, case, found, watch)
        files += write_probabilities(place, labels, volume, probabilities, watch)
        if report is None:
            return files
        with watch.stage("hashing"):
            outputs = []
            for file in files:
                outputs.append(reports.file_entry(place.actual(file), path_in_report(file, report)))
        content = reports.encode(reports.build(labels, volume, request, run, case, found, outputs, watch.seconds))
        # A report beside the folder is written when the folder has its name, because it vouches for what is in it.
        inside = place.actual(report)
        if inside != report:
            write_atomically(inside, [content])
    if inside == report:
        write_atomically(report, [content])
    return (*files, report)


def warn_of_older(request: Request) -> None:
    """Warn of tables, pictures and reports beside the labels that tell of labels which are replaced now."""
    older = ", ".join(path.name for path in request.older_files)
    if older:
        warnings.warn(
            f"{older}: of an earlier result, not of this one. Remove what you do not need, or ask for it again.",
            ProsectWarning,
            stacklevel=3,
        )


@contextmanager
def place_for(request: Request) -> Iterator[Place]:
    """Yield where files are made."""
    if not request.is_folder:
        yield Place(request, None)
        return
    with stage_folder(request.output) as temporary:
        yield Place(request, temporary)


def write_results(
    place: Place, labels: LabelMap | LabelLayers, volume: Volume, case: str,
    found: Sequence[Measurement], watch: Stopwatch,
) -> tuple[Path, ...]:  # fmt: skip
    """Write all files but the report, and return their final names."""
    request = place.request
    files = writable_files(request, labels)
    values = file_values(labels, request.renumber)
    with watch.stage("writing"):
        for file in files:
            store_checked(labels, place.actual(file), volume, request.dicom, values)
        files += write_tables(place, labels, volume, values)
        files += written_masks(place, labels, volume)
    if request.statistics_files:
        with watch.stage("statistics"):
            json_file, csv_file = request.statistics_files
            medians = None
            if request.aggregation == "median":
                medians = medians_of(labels, volume)
            write_atomically(place.actual(json_file), [tables.as_json(labels, found, request.extra, medians)])
            write_atomically(place.actual(csv_file), [tables.as_csv(labels, found, case)])
            files += [json_file, csv_file]
    features = request.radiomics_file
    if features is not None:
        with watch.stage("radiomics"):
            rows = {}
            for index, row in radiomics.radiomics(labels, volume).items():
                rows[index] = radiomics.finite(row)
            write_atomically(place.actual(features), [tables.as_radiomics(labels, rows)])
            files.append(features)
    picture = request.preview_file
    if picture is not None:
        with watch.stage("preview"):
            preview.render(
                volume, labels, place.actual(picture), title=case, measurements=found, each=request.preview_rows
            )
            files.append(picture)
    return tuple(files)


def write_probabilities(
    place: Place, labels: Labels, volume: Volume, probabilities: Probabilities | None, watch: Stopwatch
) -> tuple[Path, ...]:
    """Write the probability of each structure as a volume of one NIfTI file, where wanted; return its final name.

    One is computed, compressed and forgotten after the other, so all of them never lie in memory.
    """
    file = place.request.probabilities_file
    if file is None or probabilities is None:
        return ()
    known = probabilities
    with watch.stage("probabilities"):
        volumes = (known.array(index) for index in known.indices)
        names = [labels.name_of(index) for index in known.indices]
        header = volume.source.header if volume.grid == known.grid else None
        chunks = nifti.encode_stack(volumes, names, known.grid, header)
        write_atomically(place.actual(file), gzip_chunks(chunks) if file.name.endswith(".gz") else chunks)
    return (file,)


def write_tables(place: Place, labels: LabelMap | LabelLayers, volume: Volume, values: Mapping[int, int]) -> list[Path]:
    """Write names and colours of the label values for other programs, where wanted; return the final names."""
    files = place.request.table_files
    if not files:
        return []
    rows = labels_of(labels.vocabulary, labels.sought, values)
    ending = written_ending(place.request.label_files[0].name)
    contents = (as_itksnap(rows), as_slicer(rows), as_nnunet(rows, volume.modality or "CT", ending))
    for file, content in zip(files, contents, strict=True):
        write_atomically(place.actual(file), [content])
    return list(files)


def medians_of(labels: LabelMap | LabelLayers, volume: Volume) -> dict[int, float]:
    """Return the median intensity of each structure that is present."""
    found: dict[int, float] = {}
    for index in labels.present:
        found[index] = float(np.median(volume.array[labels.own_mask(index)]))
    return found


def writable_files(request: Request, labels: LabelMap | LabelLayers) -> list[Path]:
    """Return the files that hold all structures; a DICOM object cannot be empty, and is left out with a warning."""
    files: list[Path] = []
    for file in request.label_files:
        row = format_for(file.name)
        if row is not None and row.needs_source and not labels.present:
            warnings.warn(
                f"{file_name(file)}: nothing was found, and a {row.title} cannot be empty; it was not written.",
                ProsectWarning,
                stacklevel=2,
            )
        else:
            files.append(file)
    return files


def written_masks(place: Place, labels: LabelMap | LabelLayers, volume: Volume) -> list[Path]:
    """Write a mask of each structure that was looked for, empty where it was not found; return the final names."""
    structures = []
    for index in labels.sought:
        if (s := labels.vocabulary.get(index)) is not None:
            structures.append(s)
    keys = structure_keys(structures)
    jobs: list[tuple[Structure, Path]] = []
    for structure in structures:
        jobs += [(structure, file) for file in place.request.mask_files(keys[structure.index])]

    def one(job: tuple[Structure, Path]) -> None:
        structure, file = job
        mask = labels.own_mask(structure.index)
        write_mask(mask, labels.grid, structure, place.actual(file), like=volume)

    with ThreadPoolExecutor(min(MASK_THREADS, os.cpu_count() or 1)) as pool:
        list(pool.map(one, jobs))
    return [file for _, file in jobs]


def path_in_report(file: Path, report: Path) -> str:
    """Return how the report calls a file: by its path below the report's folder, else by its name alone."""
    here = Path(os.path.abspath(report)).parent
    full = Path(os.path.abspath(file))
    if full.is_relative_to(here):
        return full.relative_to(here).as_posix()
    return full.name
