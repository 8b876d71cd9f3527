"""Whether the results of a request can be made at all: everything that can be said before the work."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path

from prosect.errors import OutputError, ProsectWarning
from prosect.geometry import Grid
from prosect.io import check_writable
from prosect.io.atomic import probe
from prosect.io.formats import FORMATS, format_for
from prosect.io.paths import file_name
from prosect.lazy import load_module
from prosect.results.request import COHORT_LEDGER, REPORT_NAME, Request, planned_files

__all__ = ["refuse"]

SMALL_BYTES = 4 << 20
# What rounding leaves of a grid without shear.
MAX_SHEAR = 1e-6


def refuse(
    request: Request,
    source: Path | None = None,
    overwrite: bool = False,
    grid: Grid | None = None,
    *,
    header: object = None,
) -> None:
    """Refuse outputs that exist, clash, are the input itself, or could not be written.

    Args:
        request: What is to be written.
        source: The input file or folder.
        overwrite: Whether existing results may be replaced; the input never is.
        grid: The scan's grid, once it is known: then the disk space and the format are checked against it.
        header: The header of the scan (`Source.header`), which DICOM results refer to.

    Raises:
        FormatError: `OUTPUT_IS_INPUT`, `OUTPUT_EXISTS`, `OUTPUT_CLASH`, `OUTPUT_FORMAT_UNKNOWN`, `OUTPUT_UNSUPPORTED`
            or `OUTPUT_UNWRITABLE`; and where a DICOM result cannot refer to the scan, see `prosect.io.dicom.source`.
        ResourceError: Too little disk space (`DISK_FULL`).
    """
    if grid is not None:
        refuse_grid(request, grid)
    refuse_source(request, grid, header)
    refuse_endings(request)
    refuse_tables(request)
    refuse_clashes(request)
    refuse_cohort(request)
    for path in planned_files(request):
        refuse_input(request, path, source)
        refuse_kind(request, path)
        if not overwrite:
            refuse_existing(request, path)
    refuse_unwritable(request, 0 if grid is None else grid.voxel_count * 2)


def refuse_grid(request: Request, grid: Grid) -> None:
    """Refuse a format that cannot hold this scan's labels."""
    for row in request.formats:
        if grid.shear > MAX_SHEAR and not row.shear:
            others = " or ".join(other.ending for other in FORMATS if other.written and other.shear)
            raise OutputError(
                f"{file_name(request.output)}: the scan's grid is sheared (gantry tilt), which {row.title} readers "
                f"cannot place; use {others}.",
                code="OUTPUT_UNSUPPORTED",
            )


def refuse_source(request: Request, grid: Grid | None, header: object) -> None:
    """Refuse DICOM results that cannot refer to the scan or whose writer is not installed; warn of doubts.

    Raises:
        ImportError: The extra that brings the writer is not installed.
    """
    for row in request.formats:
        if not row.needs_source:
            continue
        module = load_module(row.module)
        if grid is not None:
            module.refuse(header, grid, request.dicom)
            for doubt in module.doubts(header, grid):
                warnings.warn(f"{file_name(request.output)}: {doubt}", ProsectWarning, stacklevel=3)


def refuse_endings(request: Request) -> None:
    """Refuse statistics, reports and labels under names that promise something else."""
    wanted = [(request.statistics, (".json", ".csv"), "the statistics"), (request.report, (".json",), "the report")]
    wanted.append((request.probabilities, (".nii.gz", ".nii"), "the probabilities"))
    for path, endings, what in wanted:
        if isinstance(path, Path) and not path.name.lower().endswith(endings):
            raise OutputError(
                f"{file_name(path)}: the name of {what} must end in {' or '.join(endings)}.",
                code="OUTPUT_FORMAT_UNKNOWN",
            )
    for path in request.label_files:
        row = format_for(path.name)
        if request.overlap and row is not None and not row.layers:
            others = " or ".join(other.ending for other in FORMATS if other.written and other.layers)
            raise OutputError(
                f"{file_name(request.output)}: layers that overlap cannot be stored as {row.title}; use {others}.",
                code="OUTPUT_UNSUPPORTED",
            )
    if request.overlap and "dicom_seg" in request.kinds and request.dicom.seg_encoding == "labelmap":
        raise OutputError(
            f"{file_name(request.output)}: layers that overlap cannot be stored as a LABELMAP; leave out "
            "--seg-encoding, or --overlap.",
            code="OUTPUT_UNSUPPORTED",
        )


def refuse_tables(request: Request) -> None:
    """Refuse label tables of what is no NIfTI label map, and new label values in files that cannot name them."""
    name = file_name(request.output)
    if request.label_tables and ("nifti" not in request.kinds or not request.label_files or request.overlap):
        raise OutputError(
            f"{name}: --label-tables describes a NIfTI file with one label per voxel; end the name in .nii.gz, or give "
            "a folder with -ml, and leave out --overlap.",
            code="OUTPUT_UNSUPPORTED",
        )
    if request.renumber and "mha" in request.kinds:
        raise OutputError(
            f"{name}: MetaImage holds no names, so nobody could tell what --renumber made of the values; use .nii.gz "
            "or .nrrd.",
            code="OUTPUT_UNSUPPORTED",
        )


def refuse_clashes(request: Request) -> None:
    """Refuse two results under one name."""
    inside = (*request.label_files, *request.beside_files)
    count = Counter(os.path.realpath(path).casefold() for path in inside)
    for path in inside:
        if count[os.path.realpath(path).casefold()] > 1:
            raise OutputError(
                f"{file_name(path)}: two results would have this name. Choose different names.", code="OUTPUT_CLASH"
            )


def refuse_input(request: Request, path: Path, source: Path | None) -> None:
    """Refuse to write over the scan, or to make a folder of results of the folder that holds it; links count."""
    if source is None:
        return
    if same_file(path, source):
        raise OutputError(
            f"{file_name(path)}: the output is the input itself, which would destroy the scan. Choose another name.",
            code="OUTPUT_IS_INPUT",
        )
    if request.is_folder and path == request.output and same_file(path, Path(os.path.realpath(source)).parent):
        raise OutputError(
            f"{file_name(path)}: the output folder holds the input, which a result could replace. "
            "Choose another folder.",
            code="OUTPUT_IS_INPUT",
        )


def refuse_kind(request: Request, path: Path) -> None:
    """Refuse a file where a folder is to be."""
    if request.is_folder and path == request.output and os.path.lexists(path) and not path.is_dir():
        raise OutputError(f"{file_name(path)}: this is a file; give the name of a folder.", code="OUTPUT_UNWRITABLE")


def refuse_cohort(request: Request) -> None:
    """Refuse to put one scan's results among those of a folder run, whose statistics and files they would replace.

    Not even `overwrite` may: the ledger of that run would no longer tell what its files are.
    """
    if request.is_folder and os.path.lexists(request.output / COHORT_LEDGER):
        raise OutputError(
            f"{file_name(request.output)}: the folder holds the results of many scans, among which those of one scan "
            f"must not lie ({COHORT_LEDGER} lists them). Choose another folder, or one inside it.",
            code="OUTPUT_EXISTS",
        )


def refuse_existing(request: Request, path: Path) -> None:
    """Refuse to replace what is there; an empty folder is nothing."""
    if not os.path.lexists(path):
        return
    if request.is_folder and path == request.output:
        if any(path.iterdir()):
            raise OutputError(
                f"{file_name(path)}: the folder is not empty. Choose another, or replace results in "
                "it with --overwrite.",
                code="OUTPUT_EXISTS",
            )
        return
    raise OutputError(
        f"{file_name(path)}: the file exists already. Choose another name, or replace it with --overwrite.",
        code="OUTPUT_EXISTS",
    )


def refuse_unwritable(request: Request, need_bytes: int) -> None:
    """Refuse places that cannot be written, by writing there and removing it again."""
    if not request.is_folder:
        check_writable(request.output, need_bytes)
    elif request.output.is_dir():
        probe(request.output / REPORT_NAME, need_bytes)
    else:
        probe(request.output, need_bytes)
    for path in planned_files(request):
        if path != request.output:
            probe(path, SMALL_BYTES)


def same_file(path: Path, other: Path) -> bool:
    """Return whether both names lead to one file; links count."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
