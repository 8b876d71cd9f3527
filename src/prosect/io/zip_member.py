"""A zip that holds one NIfTI file, as portals hand out scans: read in memory, never unpacked onto the disk."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path

from prosect.errors import FormatError
from prosect.io.formats import content_endings
from prosect.io.nifti import image_of
from prosect.io.paths import file_name
from prosect.io.payload import Payload, check_memory, corrupt
from prosect.io.stored import StoredImage

__all__ = ["load", "nifti_members"]

ENDINGS = (".nii", ".nii.gz")


def nifti_members(path: Path) -> list[str]:
    """Return the names of the NIfTI files in a zip, none where it holds what may be DICOM slices or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
    if any(may_be_slice(name) for name in names):
        return []
    found: list[str] = []
    for name in names:
        if is_nifti(name):
            found.append(name)
    return found


def may_be_slice(name: str) -> bool:
    """Return whether a member of a zip is called as DICOM slices are: `.dcm`, a number or nothing at the end."""
    suffix = Path(name).suffix.lower()
    is_folder = name.endswith("/")
    is_known = suffix in content_endings("dicom", gzipped=False) or not suffix[1:].isalpha()
    return is_known and not is_folder and not Path(name).name.startswith(".")


def is_nifti(name: str) -> bool:
    """Return whether a member of a zip is called like a NIfTI file, and not by an operating system alone."""
    parts = name.replace("\\", "/").split("/")
    return name.lower().endswith(ENDINGS) and not parts[-1].startswith(".") and "__MACOSX" not in parts


def load(path: Path, assumed: str | None = None) -> StoredImage:
    """Return the image of the one NIfTI file in a zip.

    Args:
        path: The zip.
        assumed: Where the voxel axes point, for a file that does not say.

    Raises:
        FormatError: The zip holds several (`INPUT_SEVERAL_IMAGES`), is encrypted, or is damaged.
        GeometryError: The file does not say where its voxels are.
        ResourceError: Larger than the free memory.
    """
    found = nifti_members(path)
    if len(found) != 1:
        listed = ", ".join(file_name(name) for name in found[:5])
        more = ""
        if len(found) > 5:
            more = ", ..."
        raise FormatError(
            f"{file_name(path)}: {len(found)} NIfTI files are in the zip ({listed}{more}); one scan is needed. Unpack "
            "it and give one of them, or the folder.",
            code="INPUT_SEVERAL_IMAGES",
        )
    label = f"{file_name(found[0])} in {file_name(path)}"
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(found[0])
            if info.flag_bits & 1:
                raise FormatError(f"{file_name(path)}: the zip is encrypted. Unpack it first.", code="INPUT_UNREADABLE")
            check_memory(label, info.file_size)
            raw = archive.read(info)  # compares the checksum, and stops at the declared size
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise corrupt(label, str(error)) from error
    return image_of(Payload(label, raw, hashlib.sha256(raw).hexdigest()), assumed)
