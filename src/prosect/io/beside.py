"""Data files that a header names: read only from the folder of the header itself."""

from __future__ import annotations

from pathlib import Path

from prosect.errors import FormatError
from prosect.io.paths import file_name, require_file
from prosect.io.payload import Payload, read_payload

__all__ = ["data_beside"]


def data_beside(header: Path, reference: str) -> Payload:
    """Return the content of the data file that a header names.

    A header from elsewhere could name `/etc/passwd`, and its bytes would come back as voxels; so only a plain name
    is followed, and not through a link that leaves the folder.

    Raises:
        FormatError: The name leads elsewhere, lists several files (`INPUT_DETACHED`), or the file is missing.
    """
    name = reference.strip()
    while name.startswith("./"):  # as teem and ITK write it: the folder of the header
        name = name[2:].lstrip("/")
    several = name.upper().startswith("LIST") or "%" in name
    if several or Path(name).name != name or "\\" in name or "\x00" in name or name in ("", ".", ".."):
        where = "in several files" if several else "outside its folder"
        raise FormatError(
            f"{file_name(header)}: the header keeps its voxels {where}; only one data file in the same folder is read. "
            "Save the scan as one file.",
            code="INPUT_DETACHED",
        )
    place = header.parent / name
    require_file(place)
    if place.resolve().parent != header.parent.resolve():
        raise FormatError(
            f"{file_name(header)}: the data file it names is a link out of the folder. Copy the data "
            "beside the header.",
            code="INPUT_DETACHED",
        )
    return read_payload(place)
