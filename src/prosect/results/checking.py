"""Whether results are what their report says, and what has changed where they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

from prosect.errors import FormatError
from prosect.io import read_labels
from prosect.io.dicom.choices import SEG_COMPRESSIONS, SEG_ENCODINGS, DicomChoices, SegCompression, SegEncoding
from prosect.io.formats import OUTPUT_TYPES, format_for
from prosect.io.paths import file_name
from prosect.results.report import Parameters, sha256_of
from prosect.results.request import REPORT_NAME, Beside, Request, kind_of, stem

__all__ = [
    "changed_files",
    "changed_versions",
    "find_report",
    "input_name",
    "output_files",
    "parameters_of",
    "refuse_stranger",
    "request_of",
    "unequal",
    "voxels_apart",
]


def find_report(place: Path) -> Path:
    """Return the report that a name leads to: itself, that of a folder, or the one beside a result.

    Raises:
        FormatError: There is none (`REPORT_MISSING`).
    """
    tried = []
    if place.suffix.lower() == ".json":
        tried = [place]
    tried.append(place / REPORT_NAME if place.is_dir() else place.with_name(f"{stem(place)}_{REPORT_NAME}"))
    tried.append(place.parent / REPORT_NAME)
    for path in tried:
        if path.is_file():
            return path
    raise FormatError(
        f"{file_name(place)}: there is no report of this result ({tried[0].name} was looked for). Give the report; "
        "`prosect segment -rp` writes one.",
        code="REPORT_MISSING",
    )


def output_files(report: Mapping[str, Any], folder: Path) -> list[tuple[Path, str]]:
    """Return each output with its recorded hash.

    Raises:
        FormatError: A name leads out of the folder, an entry is damaged, or the report does not say what was segmented
            with what (`REPORT_INVALID`).
    """
    files: list[tuple[Path, str]] = []
    try:
        for entry in report["outputs"]:
            name = PurePosixPath(entry["file"])
            if name.is_absolute() or ".." in name.parts:
                raise ValueError(f"the name {entry['file']!s:.80} leads out of its folder")
            files.append((folder / name, str(entry["sha256"])))
        if not files:
            raise ValueError("no output is listed")
        report["input"]["sha256"], report["model"]["weights_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(error) from error
    return files


def refuse_stranger(place: Path, report: Path, files: Sequence[tuple[Path, str]]) -> None:
    """Refuse to speak for a file that the report beside it does not list.

    Raises:
        FormatError: `REPORT_MISSING`.
    """
    if place.is_file() and place != report and all(place.name != path.name for path, _ in files):
        raise FormatError(
            f"{file_name(place)}: the report beside it ({report.name}) does not list this file. Give its own report.",
            code="REPORT_MISSING",
        )


def changed_files(files: Sequence[tuple[Path, str]]) -> list[str]:
    """Return a sentence for each file that is missing or has other bytes than recorded."""
    found = []
    for path, recorded in files:
        if not path.is_file():
            found.append(f"output missing: {path.name}")
        elif sha256_of(path) != recorded:
            found.append(f"output changed: {path.name} has other bytes than when it was written")
    return found


def changed_versions(report: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Return a sentence for each library whose version differs."""
    then: Mapping[str, Any] = report["versions"]
    found: list[str] = []
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            found.append(
                f"version changed: {name} was {then.get(name, 'not recorded')}, is {now.get(name, 'not installed')}"
            )
    return found


def parameters_of(report: Mapping[str, Any]) -> Parameters:
    """Return what was asked.

    Raises:
        FormatError: The report is damaged (`REPORT_INVALID`).
    """
    try:
        asked = dict(report["parameters"])
        classes = asked.pop("classes")
        return Parameters(classes=None if classes is None else tuple(map(str, classes)), **asked)
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(error) from error


def input_name(report: Mapping[str, Any]) -> Path:
    """Return the file name of the scan, without a folder.

    Raises:
        FormatError: The report is damaged (`REPORT_INVALID`).
    """
    try:
        return Path(Path(str(report["input"]["name"])).name)
    except (KeyError, TypeError) as error:
        raise invalid(error) from error


def request_of(report: Mapping[str, Any]) -> Request:
    """Return the request that makes the recorded files once more, without a folder and without a report beside them.

    Raises:
        FormatError: The report is damaged (`REPORT_INVALID`).
    """
    try:
        said = report["output"]
        place = Path(Path(str(said["name"])).name)
        kinds = tuple(kind for kind in OUTPUT_TYPES if kind in said["types"])
        if len(kinds) != len(said["types"]) or not (said["folder"] or kind_of(place)):
            raise ValueError("its output types are not known")
        flags = {}
        for key in ("per_class", "multilabel", "statistics", "preview"):
            flags[key] = bool(said[key])
        overlap, extra = bool(report["parameters"]["overlap"]), bool(said["statistics_extra"])
        # Reports of earlier versions do not say these.
        beside = Beside(
            overlap=overlap,
            extra=extra,
            aggregation="median" if said.get("aggregation") == "median" else "mean",
            radiomics=bool(said.get("radiomics", False)),
            dicom=dicom_choices(said),
            preview_rows=bool(said.get("preview_rows", False)),
            label_tables=bool(said.get("label_tables", False)),
            renumber=bool(said.get("renumber", False)),
            probabilities=bool(said.get("probabilities", False)),
        )
        return Request(place, bool(said["folder"]), kinds, **flags, **beside)
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(error) from error


def dicom_choices(said: Mapping[str, Any]) -> DicomChoices:
    """Return how DICOM results were written; reports of earlier versions do not say, and had none.

    Raises:
        ValueError: Encoding or compression are not known, or the tolerance is no number.
    """
    encoding = str(said.get("seg_encoding", "binary"))
    compression = said.get("seg_compression")
    if encoding not in SEG_ENCODINGS or compression not in (None, *SEG_COMPRESSIONS):
        raise ValueError(f"its encoding is {encoding:.20}, its compression {compression!s:.20}")
    return DicomChoices(
        cast(SegEncoding, encoding),
        bool(said.get("deidentify", False)),
        cast(SegCompression | None, compression),
        float(said.get("rt_tolerance_mm", 0.0)),
    )


def unequal(files: Sequence[tuple[Path, str]], again: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the pairs of a recorded file and its second making that differ; both lists are in the same order.

    Raises:
        FormatError: They are not the same set of files (`REPORT_INVALID`).
    """
    if len(files) != len(again):
        raise invalid(ValueError(f"it lists {len(files)} files, and the run makes {len(again)}"))
    found: list[tuple[Path, Path]] = []
    for (old, sha256), new in zip(files, again, strict=True):
        if sha256_of(new) != sha256:
            found.append((old, new))
    return found


def voxels_apart(old: Path, new: Path) -> str:
    """Return in words how far two label files are apart, as far as that can be said."""
    row = format_for(old.name)
    if row is None or row.needs_source or not old.is_file():
        return ""
    one, other = read_labels(old), read_labels(new)
    if one.array.shape != other.array.shape:
        return f" (shape {one.array.shape} was recorded, {other.array.shape} is made now)"
    count = int((one.array != other.array).sum())
    if count:
        return f" ({count} of {one.array.size} voxels)"
    return " (the voxels are equal, the header is not)"


def invalid(error: Exception) -> FormatError:
    """Return the refusal of a damaged report."""
    if isinstance(error, KeyError):
        why = f"it lacks {error}"
    else:
        why = f"{error!s:.160}"
    return FormatError(f"The report cannot be used: {why}.", code="REPORT_INVALID")
