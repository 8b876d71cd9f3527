"""Where the scan and the labels of a case lie, so that a person can look at exactly that one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prosect.cohort.ledger import START, Event
from prosect.errors import FormatError
from prosect.io.formats import label_stem
from prosect.io.paths import file_name
from prosect.jobs.cohort import is_address

__all__ = ["CaseFiles", "command_of", "files_of_cases", "folder_of_scans", "require_scan"]


@dataclass(frozen=True)
class CaseFiles:
    """A case that can be opened.

    Attributes:
        case: The case.
        scan: File or DICOM folder of the scan.
        series: Which DICOM series of that folder.
        labels: The file of its labels; None where there is none that a session can begin with, such as one per class.
    """

    case: str
    scan: Path
    series: str | None
    labels: Path | None


def folder_of_scans(ledgers: Iterable[Iterable[Event]]) -> Path | None:
    """Return the folder that scans were found in or listed from, as the last run says; None where none does."""
    found, latest = None, ""
    for events in ledgers:
        for event in events:
            if event["event"] == START and event.get("scans") and str(event.get("time", "")) >= latest:
                found, latest = Path(event["scans"]), str(event.get("time", ""))
    return found


def files_of_cases(out: Path, scans: Path | None, done: Mapping[str, Event]) -> dict[str, CaseFiles]:
    """Return the files of each finished case, where its scan is known.

    Args:
        out: The folder of the results.
        scans: The folder of the scans; None where it is not known.
        done: The `done` event of each case. Those of older runs do not name the scan.
    """
    if scans is None or is_address(scans):
        return {}
    found = {}
    for case, event in done.items():
        if event.get("scan"):
            labels = labels_of(case, event["files"])
            place = None
            if labels is not None:
                place = out / labels
            found[case] = CaseFiles(case, scans / event["scan"], event["input"].get("series"), place)
    return found


def labels_of(case: str, files: Iterable[str]) -> str | None:
    """Return which file of a result is named like its case and holds labels, None where there is none."""
    for name in files:
        if label_stem(PurePosixPath(name).name) == case:
            return name
    return None


def require_scan(files: CaseFiles) -> CaseFiles:
    """Return the files of a case whose scan is there.

    Raises:
        FormatError: It is not (`INPUT_NOT_FOUND`).
    """
    if not files.scan.exists():
        raise FormatError(
            f"{file_name(files.case)}: its scan is no longer at {files.scan}. Say where the scans lie now: "
            "--scans FOLDER.",
            code="INPUT_NOT_FOUND",
        )
    return files


def command_of(files: CaseFiles) -> str:
    """Return the command that opens a case with its labels."""
    words = ["prosect", "view", word_of(files.scan)]
    if files.labels is not None:
        words.append(word_of(files.labels))
    if files.series is not None:
        words += ["--series", files.series]
    return shlex.join(words)


def word_of(path: Path) -> str:
    """Return a path as a word that is never taken for a flag."""
    return str(path.absolute())
