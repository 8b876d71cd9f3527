"""Images and labels of MONAI Label's protocol: scans below the roots, scans that clients sent, labels they submitted.

State: which scans were sent, and which labels were submitted; one small file beside the labels.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prosect.errors import FormatError, ProsectError
from prosect.server.kept import Kind
from prosect.server.library import Library
from prosect.server.scans import OpenScan
from prosect.server.uploads import SAFE

__all__ = ["FINAL", "Datastore", "Image", "SavedLabel", "read_datastore", "safe_name"]

DATASTORE = Kind("prosect-datastore", 1, "the list of images and labels")
DATASTORE_NAME = "datastore.json"
FINAL = "final"  # the tag of a label that a person has submitted
SCANS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
SLICES = (".dcm", ".ima")
MAX_DEPTH = 6
MAX_IMAGES = 5000


@dataclass(frozen=True)
class Image:
    """A scan that clients can ask for by name.

    Attributes:
        identity: Its name.
        ending: Of the file that is given out.
        root: Below which root it lies; empty for one that a client sent.
        path: Where below the root.
        scan: What the library calls it, for one that a client sent.
        slices: Whether it lies in several files, so that it is given out as NIfTI.
    """

    identity: str
    ending: str
    root: str = ""
    path: str = ""
    scan: str = ""
    slices: bool = False


@dataclass(frozen=True)
class SavedLabel:
    """A label that a client submitted.

    Attributes:
        file: Name of its file in the folder of labels.
        info: Names and values of its structures, as the client told them.
    """

    file: str
    info: tuple[Mapping[str, Any], ...] = ()

    @property
    def ending(self) -> str:
        """Of its file."""
        return next((each for each in (".seg.nrrd", *SCANS) if self.file.endswith(each)), ".nrrd")


class Datastore:
    """Images and labels.

    Args:
        library: Has the scans.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self.labels_folder = library.settings.work / "labels"
        self.labels_folder.mkdir(mode=0o700, exist_ok=True)
        self._file = library.settings.work / DATASTORE_NAME
        self._sent, self._labels = read_datastore(library.settings.work)
        self._lock = threading.Lock()

    def images(self) -> dict[str, Image]:
        """Return the images by name, those below the roots first; two never have the same name."""
        found: dict[str, Image] = {}
        for image in self._below_roots():
            name = image.identity
            if name in found:
                name = f"{image.identity}{image.ending.replace('.', '-')}"
            found.setdefault(name, replace(image, identity=name))
            if len(found) >= MAX_IMAGES:
                break
        for name, scan in self._sent.items():
            found[name] = Image(name, ".nii.gz", scan=scan)
        return found

    def open(self, identity: str) -> OpenScan:
        """Return the scan of an image, or of a DICOM series by its UID.

        Raises:
            ProsectError: There is none (`IMAGE_UNKNOWN`), or it cannot be read.
        """
        images = self.images()
        image = images.get(identity)
        if image is None:
            return self._series(identity, images)
        if image.scan:
            return self._library.scan(image.scan)
        return self._library.open_scan(image.root, image.path)

    def keep_image(self, identity: str, path: Path) -> str:
        """Take a file that a client sent as an image, and return its name.

        Raises:
            ProsectError: It is no scan, or a scan below the roots has this name (`IMAGE_EXISTS`).
        """
        name = safe_name(identity)
        taken = self.images()
        if name in taken and not taken[name].scan:
            raise FormatError(f"There is an image '{name}' here; send yours by another name.", code="IMAGE_EXISTS")
        scan = self._library.keep_upload(path, name)
        with self._lock:
            self._save({**self._sent, name: scan.entry.identity}, self._labels)
        return name

    def keep_label(self, image: str, tag: str, path: Path, info: tuple[Mapping[str, Any], ...]) -> str:
        """Take a file of labels for an image, and return its name; an earlier one of this tag is replaced."""
        folder = self.labels_folder / safe_name(image)
        folder.mkdir(mode=0o700, exist_ok=True)
        ending = next((each for each in (".seg.nrrd", *SCANS) if path.name.endswith(each)), ".nrrd")
        name = f"{safe_name(image)}/{safe_name(tag)}{ending}"
        old = self._labels.get(image, {}).get(tag)
        if old is not None and old.file != name:
            (self.labels_folder / old.file).unlink(missing_ok=True)
        shutil.move(path, self.labels_folder / name)
        tags = {**self._labels.get(image, {}), tag: SavedLabel(name, info)}
        with self._lock:
            self._save(self._sent, {**self._labels, image: tags})
        return image

    def labels(self, image: str) -> Mapping[str, SavedLabel]:
        """Return the labels of an image by tag."""
        return self._labels.get(image, {})

    def label(self, image: str, tag: str) -> Path:
        """Return the file of a label.

        Raises:
            FormatError: There is none (`LABEL_UNKNOWN`).
        """
        found = self.labels(image).get(tag)
        if found is None:
            raise FormatError(f"There is no label '{tag:.40}' of '{image:.60}' here.", code="LABEL_UNKNOWN")
        return self.labels_folder / found.file

    def next_unlabelled(self) -> Image | None:
        """Return the first image that nobody has submitted a label for, or None."""
        for name, image in self.images().items():
            if FINAL not in self.labels(name):
                return image
        return None

    def _series(self, uid: str, images: Mapping[str, Image]) -> OpenScan:
        """Return the scan of a DICOM series, looked for in every folder of slices."""
        if uid and all(character.isdigit() or character == "." for character in uid):
            for image in images.values():
                if not image.slices:
                    continue
                try:
                    return self._library.open_scan(image.root, image.path, uid)
                except ProsectError:
                    continue  # another folder may hold it
        raise FormatError(f"There is no image '{uid:.60}' here.", code="IMAGE_UNKNOWN")

    def _below_roots(self) -> Iterator[Image]:
        roots = self._library.roots
        several = len(roots.names) > 1
        for root, is_folder in roots.kinds().items():
            prefix = (root,) if several else ()
            if is_folder:
                yield from self._below(root, "", prefix, 0)
            else:
                yield from image_in(roots.path(root, "").name, prefix, root, "")

    def _below(self, root: str, path: str, names: tuple[str, ...], depth: int) -> Iterator[Image]:
        """Yield the images in a folder below a root and in the folders below that."""
        entries = self._library.roots.entries(root, path)
        if any(entry.name.lower().endswith(SLICES) for entry in entries if not entry.folder):
            yield Image(joined(names) or root, ".nii.gz", root, path, slices=True)
        for entry in entries:
            below = f"{path}/{entry.name}" if path else entry.name
            if entry.folder and depth < MAX_DEPTH:
                yield from self._below(root, below, (*names, entry.name), depth + 1)
            else:
                yield from image_in(entry.name, (*names,), root, below)

    def _save(self, sent: Mapping[str, str], labels: Mapping[str, Mapping[str, SavedLabel]]) -> None:
        """Keep what is known and bring it to the disk; called with the lock held."""
        rows = []
        for image, tags in labels.items():
            for tag, label in tags.items():
                rows.append({"image": image, "tag": tag, "file": label.file, "info": list(label.info)})
        DATASTORE.write(self._file, {"sent": dict(sent), "labels": rows})
        self._sent, self._labels = sent, labels


def read_datastore(work: Path) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, SavedLabel]]]:
    """Return which scans were sent and which labels submitted, as the file in a work folder says; at first none.

    Raises:
        FormatError: The file is damaged (`INDEX_DAMAGED`).
    """
    return DATASTORE.read(work / DATASTORE_NAME, parse_datastore) or ({}, {})


def parse_datastore(
    document: Mapping[str, Any],
) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, SavedLabel]]]:
    """Return which scans were sent and which labels submitted, as a kept file says."""
    labels: dict[str, dict[str, SavedLabel]] = {}
    for row in document["labels"]:
        labels.setdefault(row["image"], {})[row["tag"]] = SavedLabel(row["file"], tuple(row["info"]))
    return dict(document["sent"]), labels


def ending_of(name: str) -> str:
    """Return the ending of a file that holds a scan, as it is written; empty for other files."""
    lowered = name.lower()
    found = next((each for each in SCANS if lowered.endswith(each)), "")
    return name[len(name) - len(found) :] if found else ""


def image_in(name: str, names: tuple[str, ...], root: str, path: str) -> Iterator[Image]:
    """Yield the image in a file, nothing where it holds none."""
    ending = ending_of(name)
    if ending:
        split = ending.lower() in (".nhdr", ".mhd")  # a header whose voxels lie in another file
        identity = joined((*names, name[: -len(ending)]))
        yield Image(identity, ".nii.gz" if split else ending, root, path, slices=split)


def joined(names: tuple[str, ...]) -> str:
    """Return the name of an image from those of its folders and file."""
    return safe_name("__".join(names)) if names else ""


def safe_name(given: str) -> str:
    """Return a name that is no path, whatever it was."""
    return SAFE.sub("_", given).strip(". ")[:120] or "image"
