"""Which label file is the truth for which other: by name in two folders, by case in a list, by place in DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prosect.data.datalist import DataList, Entry
from prosect.data.mapping import LabelMapping
from prosect.data.pairs import label_files
from prosect.errors import FormatError, GeometryError, RecipeError
from prosect.geometry import FloatArray, Grid
from prosect.io import read, read_labels
from prosect.io.dicom.outline_extent import outline_points
from prosect.io.formats import label_stem, scan_stem
from prosect.io.paths import file_name
from prosect.io.sniff import sniff
from prosect.io.stored import StoredLabels

__all__ = ["MaskPair", "pair_masks", "pair_with_list", "read_pair"]

SHOWN = 3
DICOM = ("dicom", "zip")
# Two segmentations of one series have the same slices to within what decimals leave of positions, in voxels.
NEAR = 0.02


@dataclass(frozen=True)
class MaskPair:
    """A label file that is the truth and one that is judged by it.

    Attributes:
        name: The case.
        truth: Its label file; of DICOM, a folder too.
        result: The other.
        scan: The scan that both belong to, where it is known.
        mapping: What the label values of the truth mean, where a list says it.
    """

    name: str
    truth: Path
    result: Path
    scan: Path | None = None
    mapping: LabelMapping | None = None


def pair_masks(truths: Path, results: Path) -> tuple[MaskPair, ...]:
    """Return the pairs of two files, or of the label files in two folders whose names are one but for their endings.

    Raises:
        RecipeError: A truth has no result, a result no truth, two files have one name, or there are none
            (`DATALIST_INVALID`).
    """
    if truths.is_file() and results.is_file():
        return (MaskPair(label_stem(truths.name), truths, results),)
    first, second = label_files(truths), label_files(results)
    refuse_alone(first, second, "result for the truth")
    refuse_alone(second, first, "truth for the result")
    if not first:
        raise RecipeError(f"{file_name(truths)}: no label file is in the folder.", code="DATALIST_INVALID")
    return tuple(MaskPair(stem, first[stem], second[stem]) for stem in sorted(first))


def refuse_alone(here: dict[str, Path], there: dict[str, Path], what: str) -> None:
    """Refuse label files that have no partner.

    Args:
        here: Files by case.
        there: Where each needs a partner.
        what: What is missing, for the message.

    Raises:
        RecipeError: `DATALIST_INVALID`.
    """
    alone = sorted(here.keys() - there.keys())
    if not alone:
        return
    names = ", ".join(here[stem].name for stem in alone[:SHOWN])
    more = ""
    if len(alone) > SHOWN:
        more = f" and {len(alone) - SHOWN} more"
    raise RecipeError(
        f"There is no {what} {names}{more}. Files of one name belong together; a missing result must not go "
        "uncounted. Add what is missing, or take these out of the folder.",
        code="DATALIST_INVALID",
    )


def pair_with_list(truths: DataList, results: Path) -> tuple[MaskPair, ...]:
    """Return the manual labels of a list with the results in a folder that are named after case, scan or labels.

    Results of scans that are not in the list are left out.

    Raises:
        RecipeError: A scan has no manual labels (`LABEL_MISSING`) or no result (`DATALIST_INVALID`).
    """
    found = label_files(results)
    pairs: list[MaskPair] = []
    without: list[str] = []
    for entry in truths:
        if entry.label is None:
            raise RecipeError(f"{entry.name}: the list has no manual labels for it.", code="LABEL_MISSING")
        result = next((found[name] for name in names_of(entry, entry.label) if name in found), None)
        if result is None:
            without.append(entry.name)
            continue
        pairs.append(MaskPair(entry.name, entry.label, result, entry.image, truths.mappings.get(entry.dataset)))
    if without:
        more = ""
        if len(without) > SHOWN:
            more = f" and {len(without) - SHOWN} more"
        raise RecipeError(
            f"{file_name(results)}: there is no result for {', '.join(without[:SHOWN])}{more}. A result is named after "
            "its scan; a missing one must not go uncounted. Add what is missing, or take these off the list.",
            code="DATALIST_INVALID",
        )
    return tuple(pairs)


def names_of(entry: Entry, label: Path) -> tuple[str, ...]:
    """Return the names under which the result of an entry may lie, the surest first."""
    scan = scan_stem(entry.image.name)
    return entry.name, scan, scan.removesuffix("_0000"), label_stem(label.name)


def read_pair(pair: MaskPair) -> tuple[StoredLabels, StoredLabels]:
    """Return truth and result on one grid: that of the scan or of the file that is no DICOM, else one that holds both.

    Raises:
        ProsectError: A file cannot be read, or does not lie where the other does.
    """
    is_dicom = sniff_content(pair.truth) in DICOM, sniff_content(pair.result) in DICOM
    if any(is_dicom) and pair.scan is not None:
        scan = read(pair.scan)
        return read_labels(pair.truth, like=scan), read_labels(pair.result, like=scan)
    if not is_dicom[0]:
        truth = read_labels(pair.truth)
        return truth, read_labels(pair.result, like=truth.grid)
    if not is_dicom[1]:
        result = read_labels(pair.result)
        return read_labels(pair.truth, like=result.grid), result
    place = common_grid(pair)
    return read_labels(pair.truth, like=place), read_labels(pair.result, like=place)


def sniff_content(path: Path) -> str:
    """Return what the bytes of a file are; a folder can hold DICOM alone."""
    if path.is_dir():
        return "dicom"
    return sniff(path).kind


def common_grid(pair: MaskPair) -> Grid:
    """Return a grid that holds the slices of two DICOM objects.

    A segmentation holds labelled slices alone, so either may have more than the other. Outlines have no grid.

    Raises:
        FormatError: Both are outlines (`LABELS_NEED_SCAN`), or a file cannot be read.
        GeometryError: Their slices are not of one series (`LABELS_ELSEWHERE`).
    """
    own: list[Grid] = []
    outlines: list[Path] = []
    for path in (pair.truth, pair.result):
        try:
            own.append(read_labels(path).grid)
        except FormatError as error:
            if error.code != "LABELS_NEED_SCAN" or outlines:
                raise
            outlines.append(path)
    if not outlines:
        first, second = sorted(own, key=lambda grid: grid.spacing_mm[2])
        return span(first, second, f"{file_name(pair.truth)} and {file_name(pair.result)}")
    return reach(own[0], own[0].to_voxel(outline_points(outlines[0]))[:, 2])


def reach(grid: Grid, depths: FloatArray) -> Grid:
    """Return a grid with so many slices more that it holds all depths (n), which count its slices from 0."""
    if not depths.size:
        return grid
    start = min(0, int(np.rint(depths.min())))
    stop = max(grid.shape[2], int(np.rint(depths.max())) + 1)
    return grid.crop((0, 0, start), (*grid.shape[:2], stop))


def span(fine: Grid, coarse: Grid, names: str) -> Grid:
    """Return the grid of two that differ in their slices alone.

    Args:
        fine: The one whose slices lie at most as far apart as the other's.
        coarse: The other.
        names: The files, for messages.

    Raises:
        GeometryError: They are not of one series (`LABELS_ELSEWHERE`).
    """
    last = np.array([n - 1.0 for n in coarse.shape])
    ends = fine.to_voxel(coarse.to_world(np.stack([np.zeros(3), last])))
    expected = np.array([[0.0, 0.0], last[:2]])
    is_one_series = (
        coarse.shape[:2] == fine.shape[:2]
        and np.abs(ends[:, :2] - expected).max() <= NEAR
        and np.abs(ends[:, 2] - np.rint(ends[:, 2])).max() <= NEAR
    )
    if not is_one_series:
        raise GeometryError(
            f"{names} do not lie on slices of one series. Give two files of one series, or a list that says which scan "
            "they belong to.",
            code="LABELS_ELSEWHERE",
        )
    return reach(fine, ends[:, 2])
