"""One file that may be a DICOM slice: its name, and how its bytes are had, plain or gzipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prosect.io.paths import file_name, unreadable
from prosect.io.payload import inflate, inflate_head, read_payload

__all__ = ["MAX_MEMBERS", "Member", "file_member", "is_candidate"]

MAX_MEMBERS = 100_000
# Gzipped files that are no slice; inflating them would cost for nothing.
NO_SLICES = (".nii.gz", ".img.gz", ".hdr.gz", ".raw.gz", ".tar.gz")


@dataclass(frozen=True)
class Member:
    """One file that may be a DICOM slice.

    Attributes:
        name: Its name without folders, for messages.
        size: Its length in bytes.
        head: Returns its first bytes, at most as many as asked for.
        has_checksum: Whether reading all of it tells damage, as in a zip.
    """

    name: str
    size: int
    head: Callable[[int], bytes]
    has_checksum: bool = False

    def read(self) -> bytes:
        """Return all its bytes.

        Raises:
            FormatError: It cannot be read, or its zip checksum is wrong.
        """
        return self.head(self.size)


def file_member(place: Path) -> Member:
    """Return a file on the disk as a member, inflated where its name says that it is gzipped."""
    if place.name.lower().endswith(".gz") and not place.name.lower().endswith(NO_SLICES):
        return gzip_member(place)
    return Member(file_name(place), place.stat().st_size, file_head(place))


def is_candidate(name: str) -> bool:
    """Return whether a file of this name can be a slice."""
    return not name.startswith(".") and Path(name).stem.upper() != "DICOMDIR"


def file_head(place: Path) -> Callable[[int], bytes]:
    """Return a reader of the first bytes of a file."""

    def head(count: int) -> bytes:
        try:
            with open(place, "rb") as handle:
                return handle.read(count)
        except OSError as error:
            raise unreadable(place, error) from error

    return head


def gzip_member(place: Path) -> Member:
    """Return a gzipped file as a member. Its length stands in its last four bytes, and reading all of it checks that.

    Raises:
        FormatError: It cannot be read.
    """
    try:
        with open(place, "rb") as handle:
            is_gzip = handle.read(2) == b"\x1f\x8b"
            if not is_gzip:
                return Member(file_name(place), place.stat().st_size, file_head(place))
            handle.seek(-4, 2)
            size = int.from_bytes(handle.read(4), "little")
    except OSError as error:
        raise unreadable(place, error) from error

    def head(count: int) -> bytes:
        payload = read_payload(place)
        if count < size:
            return inflate_head(payload.raw, count, payload.name)
        return bytes(inflate(payload.raw, size, payload.name))

    return Member(file_name(place), size, head, has_checksum=True)
