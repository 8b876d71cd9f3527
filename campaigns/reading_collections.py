"""Read every file and series of folders of test data, and compare what is read with what other readers make of it.

python campaigns/collections.py FOLDER...
python campaigns/collections.py --installed     (what pydicom, nibabel and pynrrd install with themselves)

Compared are shape, affine and values of the first volume with nibabel, pynrrd, SimpleITK, pydicom and dcm2niix, as far
as they are installed. The status is 1 where something was read as no other reader reads it, or ended in an accident.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prosect.cohort.manifest import find_scans
from prosect.errors import FormatError, ProsectError
from prosect.io import read
from prosect.io.sniff import sniff
from prosect.volume import Volume
from witnesses import Image, agree, witnesses

# Several volumes, of which the first is compared.
SEVERAL = ("INPUT_SEVERAL_VOLUMES", "DICOM_SEVERAL_SERIES")
READ = ("nifti", "nifti pair", "nrrd", "metaimage", "mgh", "dicom", "zip", "tar")
INSTALLED = {"pydicom": "data/test_files", "nibabel": ".", "nrrd": "tests/data"}


@dataclass(frozen=True)
class Case:
    """One input and what became of it.

    Attributes:
        name: Its path below the folder.
        kind: What its bytes are; a series is `dicom series`.
        outcome: `equal`, `other`, `alone` (no other reader reads it), `refused` or `crashed`.
        detail: A code, an exception, or the readers that agree or differ.
        others: Readers that read it.
    """

    name: str
    kind: str
    outcome: str
    detail: str
    others: tuple[str, ...] = ()


def main() -> int:
    """Print a table of kinds and outcomes; the status is 1 where something was read otherwise or crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--installed", action="store_true", help="the test data that libraries install")
    parser.add_argument("--list", action="store_true", help="print every input that is not equal")
    parser.add_argument("--json", action="store_true", help="print every input as JSON")
    args = parser.parse_args()
    cases: list[Case] = []
    for folder in [*args.folders, *(installed() if args.installed else ())]:
        cases += campaign(folder)
    if args.json:
        print(json.dumps([asdict(case) for case in cases], indent=1))
    else:
        print(table(cases))
    if args.list:
        for case in cases:
            if case.outcome != "equal":
                also = f" (read by {', '.join(case.others)})" if case.others else ""
                print(f"{case.outcome:8} {case.kind:12} {case.name}: {case.detail}{also}")
    return int(any(case.outcome in ("other", "crashed") for case in cases))


def installed() -> Iterator[Path]:
    """Yield the folders of test data that libraries bring with them."""
    for library, below in INSTALLED.items():
        found = importlib.util.find_spec(library)
        if found is not None and found.origin is not None:
            folder = Path(found.origin).parent / below
            if folder.is_dir():
                yield folder


def campaign(folder: Path) -> list[Case]:
    """Return what became of every image file below a folder, and of every series of several files."""
    series = [scan for scan in find_scans(folder).scans if scan.path.is_dir() and len(scan.files) > 1]
    slices = {path for scan in series for path in scan.files}
    cases: list[Case] = []
    for path, kind in images(folder):
        if path not in slices:
            cases.append(judge(path, path.relative_to(folder).as_posix(), kind, None))
    for scan in series:
        name = scan.path.relative_to(folder).as_posix()
        cases.append(judge(scan.path, name, "dicom series", scan.series, scan.files))
    return cases


def images(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files whose bytes are those of an image, and what they are."""
    for path in sorted(folder.rglob("*")):
        try:
            kind = sniff(path).kind if path.is_file() else ""
        except FormatError:
            continue  # a damaged gzip stream, or one of something else
        if kind in READ:
            yield path, kind


def judge(path: Path, name: str, kind: str, series: str | None, files: Sequence[Path] = ()) -> Case:
    """Return what became of one input."""
    others = witnesses(path, kind, files)
    readers = tuple(others)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume = first_volume(path, series)
    except ProsectError as error:
        return Case(name, kind, "refused", error.code, readers)
    except Exception as error:  # the campaign looks for exactly this
        return Case(name, kind, "crashed", f"{type(error).__name__}: {error}", readers)
    ours = Image(volume.array, volume.grid.affine)
    equal = [reader for reader, images in others.items() if any(agree(ours, image) for image in images)]
    outcome = "equal" if equal else "other" if others else "alone"
    return Case(name, kind, outcome, ", ".join(equal or readers), readers)


def first_volume(path: Path, series: str | None) -> Volume:
    """Return the scan at a path, the first of several volumes."""
    try:
        return read(path, series=series)
    except ProsectError as error:
        if error.code not in SEVERAL:
            raise
        return read(path, series=series, volume=0)


def table(cases: Sequence[Case]) -> str:
    """Return how many inputs of each kind had which outcome, and the codes of refusals with who reads those inputs."""
    columns = ("equal", "other", "alone", "refused", "crashed")
    lines = ["| kind | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for kind in sorted({case.kind for case in cases}):
        counts = Counter(case.outcome for case in cases if case.kind == kind)
        lines.append(f"| {kind} | " + " | ".join(str(counts[column]) for column in columns) + " |")
    lines += ["", "| refused with | inputs | of these read by another reader |", "|---|---|---|"]
    refused = [case for case in cases if case.outcome == "refused"]
    for code, count in Counter(case.detail for case in refused).most_common():
        read_by = sum(case.detail == code and bool(case.others) for case in refused)
        lines.append(f"| `{code}` | {count} | {read_by} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
