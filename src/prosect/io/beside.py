"""Data files that a header names: read only from the folder of the header itself."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from prosect.errors import FormatError
from prosect.io.paths import file_name, require_file
from prosect.io.payload import Payload, read_payload

__all__ = ["data_beside"]

DRIVE = re.compile(r"[A-Za-z]:")  # `C:x.raw` begins elsewhere on Windows, whatever follows


def data_beside(header: Path, reference: str) -> Payload:
    """Return the content of the data file that a header names.

    A header from elsewhere could name `/etc/passwd`, and its bytes would come back as voxels; so only a name beside
    the header or in a folder below it is followed, and not through a link that leaves these.

    Raises:
        FormatError: The name leads elsewhere, lists several files (`INPUT_DETACHED`), or the file is missing.
    """
    # Windows programs write backslashes. `./`, as teem and ITK write it, is the folder of the header.
    name = PurePosixPath(reference.strip().replace("\\", "/"))
    several = reference.strip().upper().startswith("LIST") or "%" in reference
    leaves = name.is_absolute() or ".." in name.parts or DRIVE.match(str(name)) is not None
    if several or leaves or "\x00" in reference or not name.parts:
        where = "outside its folder"
        if several:
            where = "in several files"
        raise FormatError(
            f"{file_name(header)}: the header keeps its voxels {where}; only one data file beside the header is read. "
            "Save the scan as one file.",
            code="INPUT_DETACHED",
        )
    place = header.parent / name
    require_file(place)
    if not place.resolve().is_relative_to(header.parent.resolve()):
        raise FormatError(
            f"{file_name(header)}: the data file it names is a link out of the folder. Copy the data "
            "beside the header.",
            code="INPUT_DETACHED",
        )
    return read_payload(place)
