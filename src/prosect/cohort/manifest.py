"""Which scans a folder holds, what their results are called, and which results would overwrite one another."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prosect.cohort.series import folder_series
from prosect.errors import FormatError, OutputError
from prosect.io.formats import DATA_ENDINGS, PROMISING_ENDINGS, content_endings, reading_module, scan_stem
from prosect.io.paths import file_name, unreadable
from prosect.io.sniff import sniff
from prosect.results.request import COHORT_LEDGER

__all__ = [
    "LEDGER", "Manifest", "Scan", "find_scans", "flat_name", "promises_image", "refuse_clashes", "stamp", "stem",
]  # fmt: skip

CLASHES_SHOWN = 5
# What our own results lie beside: a folder that has one is no place to look for scans.
LEDGER = COHORT_LEDGER
REPORT = "report.json"
OUR_REPORT = b'"schema": "prosect'


@dataclass(frozen=True)
class Scan:
    """One scan of a cohort.

    Attributes:
        name: What its results are called.
        path: File or DICOM folder, as the reader takes it.
        origin: The same for people and reports: its path within the folder or as it was listed.
        series: Which DICOM series of that folder; None where there is no choice.
        files: The files whose size and time tell whether the input changed.
        version: What tells it instead, of a scan that lies in an object store.
    """

    name: str
    path: Path
    origin: str = ""
    series: str | None = None
    files: tuple[Path, ...] = ()
    version: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a folder or a list holds.

    Attributes:
        scans: Its scans; those of a folder in the order of their names.
        passed: Number of files that are no scans, by what they are.
    """

    scans: tuple[Scan, ...]
    passed: Mapping[str, int]

    @property
    def is_one_series(self) -> bool:
        """Whether the folder is a single DICOM series: one scan rather than a cohort."""
        return len(self.scans) == 1 and self.scans[0].path.is_dir()


def find_scans(folder: Path, skip: Collection[Path] = ()) -> Manifest:
    """Return every scan in `folder` and the folders below it.

    A scan is an image file or zip, told by its content; a file that only its name calls an image, so that it is
    refused visibly; and each DICOM series of a folder. Hidden files and folders and links to folders are not entered.

    Args:
        folder: Where to look.
        skip: Folders to leave out, such as that of the results.

    Raises:
        FormatError: A folder cannot be read.
    """
    scans: list[Scan] = []
    dicom: list[Path] = []
    passed: dict[str, int] = {}
    for base, names in folders(folder, {Path(os.path.realpath(place)) for place in skip}):
        if base != folder and holds_results(base, names):
            passed["results of prosect"] = passed.get("results of prosect", 0) + len(names)
            continue
        for name in names:
            path = base / name
            kind = kind_of(path)
            if kind == "dicom":
                dicom.append(path)
            elif reading_module(kind) is not None or promises_image(name):
                scans.append(Scan(flat_name(folder, path, stem(name)), path, within(folder, path), files=(path,)))
            else:
                passed[kind] = passed.get(kind, 0) + 1
    series, others = folder_series(dicom)
    for found in series:
        name = series_name(folder, found.path, found.label)
        scans.append(Scan(name, found.path, within(folder, found.path), found.uid, found.files))
    for reason, count in others.items():
        passed[reason] = passed.get(reason, 0) + count
    return Manifest(tuple(sorted(scans, key=lambda scan: (scan.name, str(scan.path)))), passed)


def folders(top: Path, skip: Collection[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder and the names of its visible plain files, parents before children, in order."""

    def complain(error: OSError) -> None:
        raise unreadable(Path(error.filename or top), error) from error

    for base, below, names in os.walk(top, onerror=complain):
        here = Path(base)
        below[:] = sorted(
            name for name in below
            if not name.startswith((".", "__MACOSX")) and Path(os.path.realpath(here / name)) not in skip
        )  # fmt: skip
        yield here, sorted(name for name in names if not name.startswith(".") and (here / name).is_file())


def holds_results(folder: Path, names: Collection[str]) -> bool:
    """Return whether a folder is one that prosect wrote."""
    if LEDGER in names:
        return True
    report = folder / REPORT
    with suppress(OSError):
        return REPORT in names and OUR_REPORT in report.read_bytes()[:200]
    return False


def kind_of(path: Path) -> str:
    """Return what a file holds: a kind that is read, or a phrase for what else."""
    if path.name.lower().endswith(DATA_ENDINGS):
        return "voxel data of a header"
    try:
        found = sniff(path)
    except FormatError:
        return "a damaged gzip stream"
    if path.stem.upper() == "DICOMDIR":
        return "a DICOM directory"
    is_usual = not found.gzipped or bool(content_endings(found.kind, gzipped=True))
    if is_usual:
        return found.kind
    return f"{found.kind} inside a gzip stream"


def promises_image(name: str) -> bool:
    """Return whether a name ends like that of an image.

    It then makes a case even where the bytes do not keep the promise: it is refused by name, never passed over in
    silence.
    """
    return name.lower().endswith(PROMISING_ENDINGS)


def stem(name: str) -> str:
    """Return a file name without the ending of an image."""
    return scan_stem(name, PROMISING_ENDINGS) or name


def flat_name(top: Path, path: Path, last: str) -> str:
    """Return the folders below `top` and `last`, joined by underscores, so that all results lie side by side."""
    return "_".join([*path.relative_to(top).parts[:-1], last])


def series_name(top: Path, folder: Path, label: str) -> str:
    """Return the name of a series: its folders, and its short id where the folder holds several."""
    parts = folder.relative_to(top).parts or (folder.resolve().name or "series",)
    return "_".join([*parts, label] if label else parts)


def within(top: Path, path: Path) -> str:
    """Return a path as seen from `top`."""
    return path.relative_to(top).as_posix()


def stamp(scan: Scan) -> str:
    """Return count, bytes and newest change of the scan's files: it differs when the input was replaced.

    Raises:
        FormatError: A file is gone.
    """
    if scan.version:
        return scan.version
    try:
        states = [path.stat() for path in scan.files]
    except OSError as error:
        raise unreadable(scan.path, error) from error
    return f"{len(states)}:{sum(s.st_size for s in states)}:{max((s.st_mtime_ns for s in states), default=0)}"


def refuse_clashes(
    scans: Sequence[Scan], planned: Callable[[str], Sequence[str]], reserved: Collection[str] = ()
) -> None:
    """Refuse results that would overwrite one another, here or on a file system that ignores case.

    Args:
        scans: All scans.
        planned: The files of a case by its name, relative to the folder of the results.
        reserved: Relative names that are not free.

    Raises:
        OutputError: `OUTPUT_NAME_CLASH`; the message names the scans.
    """
    owners = dict.fromkeys(map(fold_name, reserved), "a file of the run itself")
    clashes: list[str] = []
    for scan in scans:
        mine = origin_of(scan)
        keys = []
        for name in planned(scan.name):
            keys.append(fold_name(name))
        taken = {owners[key] for key in keys if key in owners}
        for other in sorted(taken):
            clashes.append(f"{other} and {mine} (both {file_name(scan.name)})")
        # The first owner keeps a name, so that every later one is told with it.
        for key in keys:
            owners.setdefault(key, mine)
    if clashes:
        more = ""
        if len(clashes) > CLASHES_SHOWN:
            more = f", and {len(clashes) - CLASHES_SHOWN} more"
        raise OutputError(
            f"Results would overwrite one another: {'; '.join(clashes[:CLASHES_SHOWN])}{more}. "
            "Rename the scans, or segment them into different folders.",
            code="OUTPUT_NAME_CLASH",
        )


def fold_name(name: str) -> str:
    """Return the name as a file system that ignores case and Unicode form sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(PurePosixPath(name))).casefold())


def origin_of(scan: Scan) -> str:
    """Return the input for a message."""
    place = file_name(scan.path)
    if scan.origin:
        # Of a long path the last folder and the file tell scans apart.
        place = "/".join(map(file_name, scan.origin.split("/")[-2:]))
    if scan.series:
        return f"{place} series {scan.series}"
    return place
