"""What a file or folder given as weights is, where it is none: called by its name, with the way to the weights."""

from __future__ import annotations

import io
import json
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from prosect.errors import CheckpointError, ProsectWarning
from prosect.io.sniff import sniff_bytes

__all__ = ["refuse_content", "refuse_other_zip", "weights_file"]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
# Where MONAI bundles and folders of the Hugging Face hub keep their weights, ours before theirs where both are there.
PLACES = (
    "model.safetensors", "models/model.safetensors", "vista3d_pretrained_model/model.safetensors", "models/model.pt",
    "vista3d_pretrained_model/model.pt", "model.pt", "pytorch_model.bin",
)  # fmt: skip
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# Folders are looked into as deep as a hub keeps its files: models--NAME/snapshots/REVISION/folder/file.
DEEPEST, MOST_NAMED = 5, 4
HEAD_BYTES = 1024
ARCHIVES = {
    "gzip": "a gzip archive",
    "a bzip2 stream": "a bzip2 archive",
    "an xz stream": "an xz archive",
    "a Zstandard stream": "a Zstandard archive",
}
MODELS = ((b"GGUF", "a GGUF model"), (b"7z\xbc\xaf", "a 7-Zip archive"), (b"Rar!", "a RAR archive"))
# What readers of archives raise over damage. Memory that ends is none of it.
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError,
    OverflowError, NotImplementedError,
)  # fmt: skip
BROWSER = (
    "Open the address in a browser, sign in or accept the licence where it asks for that, and download the file itself"
)


def weights_file(path: Path) -> Path:
    """Return the file of weights that a path means: itself, or the one in a bundle's or hub's folder.

    Raises:
        CheckpointError: The folder holds none (`MODEL_MISSING`), or several and none in a known place
            (`MODEL_SEVERAL`).
    """
    if not path.is_dir():
        return path
    places = [path, *sorted(path.glob("snapshots/*"))]
    known = [base / place for base in places for place in PLACES if (base / place).is_file()]
    if known:
        # Files of one name beside one another are one set of weights, written for two programs.
        strangers = [other for other in known[1:] if other.with_suffix("") != known[0].with_suffix("")]
        if strangers:
            others = ", ".join(other.relative_to(path).as_posix() for other in strangers)
            warnings.warn(
                f"{path.name} holds several files of weights: {known[0].relative_to(path).as_posix()} is taken, not "
                f"{others}. Give the file itself to choose.",
                ProsectWarning,
                stacklevel=4,
            )
        return known[0]
    if any((base / index).is_file() for base in places for index in INDEXES):
        raise CheckpointError(
            f"{path.name}: the folder holds weights in several parts, as large language models have. Save them as one "
            "file.",
            code="MODEL_SEVERAL",
        )
    found = sorted(_weights_below(path))
    if not found:
        raise CheckpointError(
            f"{path.name}: this is a folder, and no weights are in it (looked for {', '.join(SUFFIXES)}). Give the "
            "file of weights.",
            code="MODEL_MISSING",
        )
    if len(found) > 1:
        raise CheckpointError(
            f"{path.name}: this folder holds {len(found)} files that may be weights: {_some(found)}. Give one of them.",
            code="MODEL_SEVERAL",
        )
    return path / found[0]


def _weights_below(folder: Path) -> list[str]:
    """Return the names of files below a folder, not too deep, that end as weights do."""
    names = []
    for inner in folder.rglob("*"):
        if inner.suffix in SUFFIXES and inner.is_file():
            names.append(inner.relative_to(folder))
    found: list[str] = []
    for name in names:
        if len(name.parts) <= DEEPEST:
            found.append(name.as_posix())
    return found


def refuse_content(path: Path, data: bytes) -> CheckpointError:
    """Return the refusal of a file that holds no weights, saying what it is and how to get them."""
    what, remedy = _content(data)
    return CheckpointError(f"{path.name}: this is {what}, not weights. {remedy}.", code="MODEL_CORRUPT")


def _content(data: bytes) -> tuple[str, str]:
    """Return what bytes are, and what to do."""
    head = data[:HEAD_BYTES]
    kind = sniff_bytes(head)
    if head.startswith(b"version https://git-lfs"):
        return (
            f"a Git LFS pointer ({len(data)} bytes)",
            "The weights themselves were not downloaded: run `git lfs pull` in that folder, or download the file",
        )
    if b"/annex/objects/" in head:
        return f"a git-annex pointer ({len(data)} bytes)", "Run `git annex get` on it, or download the file itself"
    if kind in ARCHIVES:
        return f"{ARCHIVES[kind]}{_inside_tar(data)}", "Unpack it and give the file of weights in it"
    if data[257:262] == b"ustar":
        return f"a tar archive{_inside_tar(data)}", "Unpack it and give the file of weights in it"
    for magic, name in MODELS:
        if head.startswith(magic):
            return name, "Give a safetensors or torch file"
    if kind == "a JSON document":
        return _json_content(data)
    if kind.startswith("an HTML page") or kind == "an XML document":
        return f"{kind.split(',')[0]}, as a failed download leaves it", BROWSER
    if kind == "an empty file":
        return kind, "Download it again"
    if kind == "a file of unknown kind":
        return f"neither a safetensors nor a torch file ({len(data)} bytes)", "Download it again, or convert it"
    return _image_words(kind), "Give a safetensors or torch file"


def _image_words(kind: str) -> str:
    scans = {"nifti": "a NIfTI scan", "nrrd": "an NRRD scan", "metaimage": "a MetaImage scan", "dicom": "a DICOM file"}
    return scans.get(kind, kind)


def _json_content(data: bytes) -> tuple[str, str]:
    try:
        found = json.loads(data)
    except ValueError:
        return "a JSON document", BROWSER
    if isinstance(found, dict) and "weight_map" in found:
        return "the index of weights in several parts", "Save the parts as one file"
    return "a JSON document, such as a configuration or an error message", BROWSER


def _inside_tar(data: bytes) -> str:
    """Return, in words, which files of weights a tar archive holds, as far as it can be read."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return _words_of(archive.getnames())
    except DAMAGED:
        return ""


def refuse_other_zip(path: Path, data: bytes) -> CheckpointError | None:
    """Return the refusal of a zip archive that `torch.save` did not write, or None where it did or is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except DAMAGED:
        return None
    inner = set()
    for name in names:
        inner.add(PurePosixPath(name).name)
    if any(PurePosixPath(name).parent.name == "code" or "/code/" in name for name in names) and "data.pkl" in inner:
        return CheckpointError(
            f"{path.name}: this is a TorchScript program, which carries code beside its weights. Give the network's "
            "state_dict, in bundles `models/model.pt`.",
            code="MODEL_UNSAFE",
        )
    if "data.pkl" in inner:
        return None
    return CheckpointError(
        f"{path.name}: this is a zip archive that torch did not write{_words_of(names)}. Unpack it and give the file "
        "of weights in it.",
        code="MODEL_CORRUPT",
    )


def _words_of(names: Iterable[str]) -> str:
    found = sorted(name for name in names if PurePosixPath(name).suffix in SUFFIXES)
    if found:
        return f" with {_some(found)} in it"
    return " with no file of weights in it"


def _some(names: list[str]) -> str:
    more = ""
    if len(names) > MOST_NAMED:
        more = f" and {len(names) - MOST_NAMED} more"
    return ", ".join(names[:MOST_NAMED]) + more
