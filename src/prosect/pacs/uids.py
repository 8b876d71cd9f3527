"""Names from elsewhere: identifiers are checked before they become part of an address or a path."""

from __future__ import annotations

import hashlib
import re

from prosect.errors import FormatError

__all__ = ["checked_uid", "file_name_of", "is_uid"]

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
LONGEST = 64


def is_uid(text: str) -> bool:
    """Return whether a text is digits and dots, as identifiers of DICOM are."""
    return len(text) <= LONGEST and UID.fullmatch(text) is not None


def checked_uid(text: str) -> str:
    """Return an identifier.

    Raises:
        FormatError: It is none (`PACS_ANSWER`).
    """
    if not is_uid(text):
        raise FormatError(
            f"{text!r:.80} is no identifier of DICOM; digits and dots are needed. Copy it from `prosect pacs list`.",
            code="PACS_ANSWER",
        )
    return text


def file_name_of(instance_uid: str) -> str:
    """Return the file name of an instance: a hash, so that no name from elsewhere reaches the disk."""
    return f"{hashlib.sha256(instance_uid.encode()).hexdigest()[:32]}.dcm"
