"""Whether an input is one scan or many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from prosect import vocabulary
from prosect.cohort.listing import read_scans_of_list
from prosect.cohort.manifest import Manifest, find_scans
from prosect.data.datalist import DataList, Entry
from prosect.errors import FormatError, RecipeError, UsageError
from prosect.io.paths import file_name
from prosect.results.request import kind_of

__all__ = ["list_of_folder", "scans_of"]


def scans_of(
    path: Path, output: Path | None, *, output_is_folder: bool = False, series: str | None = None
) -> Manifest | None:
    """Return the scans of an input that is a folder or a list of scans; None where it is one scan.

    A folder that holds a single DICOM series is one scan, and so is any folder where the output is a label file or
    a series was chosen.

    Args:
        path: A folder or a list.
        output: Where results are to go, where that is known.
        output_is_folder: Whether that is a folder whatever its name.
        series: Which DICOM series was chosen.

    Raises:
        FormatError: The folder or list cannot be read, holds no scan, or the results would lie in the same folder.
    """
    if series is not None:
        return None
    if output is not None and kind_of(output) is not None and not output_is_folder:
        refuse_one_file(path, output)
        return None
    if not path.is_dir():
        return read_scans_of_list(path)
    if output is not None and output.is_dir() and os.path.samefile(output, path):
        raise FormatError(
            f"{file_name(output)}: results in the folder of the scans would be taken for scans the next time. "
            "Give another folder.",
            code="OUTPUT_IS_INPUT",
        )
    found = find_scans(path, skip=[] if output is None else [output])
    if not found.scans:
        counts = ", ".join(f"{count} {what}" for what, count in found.passed.items())
        raise FormatError(
            f"{file_name(path)}: no scans are in this folder ({counts or 'no files at all'}). "
            "Give a folder of NIfTI, NRRD, MetaImage or DICOM.",
            code="INPUT_NO_SCANS",
        )
    if found.is_one_series:
        return None
    return found


def list_of_folder(folder: Path, *, skip: Sequence[Path] = (), dataset: str | None = None) -> DataList:
    """Return the scans that a folder holds in any way, as a data list without labels.

    Args:
        folder: Where scans are.
        skip: Folders in it that are not looked into.
        dataset: Name of the data set; by default that of the folder.

    Raises:
        RecipeError: There is no scan (`DATALIST_INVALID`).
    """
    found = find_scans(folder, skip=skip)
    if not found.scans:
        raise RecipeError(f"{folder.name}: no scan is in the folder.", code="DATALIST_INVALID")
    name = dataset or folder.resolve().name
    entries = tuple(Entry(scan.name, scan.path, dataset=name) for scan in found.scans)
    return DataList(entries, {}, vocabulary.load("prosect"))


def refuse_one_file(path: Path, output: Path) -> None:
    """Refuse one output file for a folder or list of several scans; several DICOM series are listed by the reader.

    Raises:
        UsageError: `USAGE`.
    """
    scans = (find_scans(path) if path.is_dir() else read_scans_of_list(path)).scans
    if any(not scan.path.is_dir() for scan in scans):
        raise UsageError(
            f"{file_name(output)}: one file cannot hold the results of the {len(scans)} scans of {file_name(path)}. "
            "Give a folder for the results, or the path of one scan."
        )
