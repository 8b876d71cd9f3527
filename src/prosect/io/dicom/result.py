"""What all DICOM results have in common: the series they refer to, their maker, their identifiers, their bytes.

The same labels of the same series give the same bytes: identifiers are hashes of what the result came from and holds,
and dates are those of the study, so that a second run replaces a result instead of multiplying it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.uid import UID

from prosect import __version__
from prosect.errors import OutputError
from prosect.io.dicom.source import DicomHeader, SourceFrame, Study, require_header
from prosect.io.stored import Label, Outgoing

__all__ = [
    "CHARACTER_SET", "MANUFACTURER", "PRIVATE_SCHEME", "RESEARCH_ONLY", "Maker", "Result", "dicom_uid", "file_bytes",
    "one_mask", "private_value", "result_of", "set_common", "set_dates", "set_patient", "short_text",
]  # fmt: skip

RESEARCH_ONLY = "Research use only"
SERIES_DESCRIPTION = "prosect (RESEARCH)"
MANUFACTURER = "prosect"
CHARACTER_SET = "ISO_IR 192"
# Where a study has no date, or none may be told.
NO_DATE, NO_TIME = "19000101", "000000"
ANONYMOUS = "ANONYMOUS"
DEIDENTIFICATION = "prosect: no patient or study attributes; UIDs are hashes"
PRIVATE_SCHEME = "99PROSECT"
# Names of an implementation, as every DICOM file carries them.
IMPLEMENTATION_UID = "2.25.212063906229462086206938210403221094351"
SERIAL_DIGITS = 16
LONG_STRING = 64


@dataclass(frozen=True)
class Maker:
    """Who made the labels.

    Attributes:
        algorithm: Name of the model; empty where labels were not made by one.
        kind: `AUTOMATIC`, `SEMIAUTOMATIC` where a person clicked, `MANUAL` where no model is known.
        weights_sha256: Hash of its weights, empty where unknown.
        profile: How the scan was swept, empty where it was not.
    """

    algorithm: str
    kind: str
    weights_sha256: str = ""
    profile: str = ""

    @property
    def serial(self) -> str:
        """What stands for the serial number of a device: the beginning of the hash of the weights."""
        return self.weights_sha256[:SERIAL_DIGITS] or "none"

    @property
    def summary(self) -> str:
        """Model and version in words."""
        return f"{self.algorithm or 'labels'}, prosect {__version__}"


@dataclass(frozen=True, eq=False)
class Result:
    """Labels about to become a DICOM object.

    Attributes:
        image: The labels.
        header: The series they refer to; without patient and with other identifiers where that was asked for.
        maker: Who made them.
        labels: The structures that have a voxel, ascending by label value.
        origin: Hash of input and model, without the labels themselves.
        content: Hash of all that decides the object.
    """

    image: Outgoing
    header: DicomHeader
    maker: Maker
    labels: tuple[Label, ...]
    origin: str
    content: str

    def uid(self, role: str) -> str:
        """Return the identifier of a part of the object."""
        return dicom_uid(role, self.content)

    def tracking_uid(self, label: Label) -> str:
        """Return the identifier of a structure, the same in every object made from the same scan and weights."""
        return dicom_uid("tracking", self.origin, str(label.value))

    @property
    def when(self) -> tuple[str, str]:
        """Date and time that stand in the object: the study's."""
        values = self.header.study.values
        return values.get("StudyDate", NO_DATE), values.get("StudyTime", NO_TIME)


def result_of(image: Outgoing, name: str) -> Result:
    """Return labels as a result that refers to their series.

    Args:
        image: The labels with the header of their scan.
        name: What is made, for messages.

    Raises:
        OutputError: The series cannot be referred to (see `require_header`), or no structure has a voxel
            (`DICOM_NOTHING_FOUND`).
    """
    header = require_header(image.header, name)
    labels = present_labels(image)
    if not labels:
        raise OutputError(
            f"{name}: no structure has a voxel, and a DICOM object cannot be empty. There is nothing to write.",
            code="DICOM_NOTHING_FOUND",
        )
    maker = maker_of(image)
    facts = [image.source_sha256, maker.algorithm, maker.weights_sha256, maker.profile, image.dicom.deidentify]
    origin = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    content = content_hash(image, labels, origin)
    if image.dicom.deidentify:
        header = deidentify(header)
    return Result(image, header, maker, labels, origin, content)


def present_labels(image: Outgoing) -> tuple[Label, ...]:
    """Return the structures that have a voxel, ascending; a value that the vocabulary does not know by its number."""
    known = {}
    for label in image.labels:
        known[label.value] = label
    if image.layered:
        values = []
        for label, mask in zip(image.labels, image.array, strict=True):
            if mask.any():
                values.append(label.value)
    else:
        values = [int(value) for value in np.flatnonzero(value_counts(image.array)) if value]
    unnamed = (128, 128, 128)
    found: list[Label] = []
    for value in sorted(values):
        found.append(known.get(value) or Label(value, f"label {value}", unnamed))
    return tuple(found)


def value_counts(array: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many voxels of label values (i j k) have each value; plane by plane, for bincount widens them."""
    counts = np.zeros(int(array.max(initial=0)) + 1, np.int64)
    for k in range(array.shape[2]):
        counts += np.bincount(array[..., k].ravel(), minlength=len(counts))
    return counts


def one_mask(image: Outgoing, label: Label) -> NDArray[np.bool_]:
    """Return where a structure is (i j k)."""
    if not image.layered:
        return np.asarray(image.array == label.value)
    number = [each.value for each in image.labels].index(label.value)
    return np.asarray(image.array[number], dtype=np.bool_)


def maker_of(image: Outgoing) -> Maker:
    """Return who made labels, by their provenance."""
    said = image.provenance
    algorithm = str(said.get("model") or said.get("name") or "")
    kind = "MANUAL"
    if algorithm:
        kind = "AUTOMATIC"
    if said.get("clicks"):
        kind = "SEMIAUTOMATIC"
    return Maker(algorithm, kind, str(said.get("weights_sha256") or ""), str(said.get("profile") or ""))


def content_hash(image: Outgoing, labels: Sequence[Label], origin: str) -> str:
    """Return the hash of all that decides an object: what it came from, its structures, and every voxel."""
    total = hashlib.sha256()
    named = []
    for label in labels:
        named.append([label.value, label.name, list(label.rgb)])
    decided: list[object] = [__version__, origin, image.dicom.seg_encoding, named]
    # Only where something was stated, so that objects keep the identifiers that they had before these could be.
    if image.dicom.stated():
        decided.append(image.dicom.stated())
    total.update(json.dumps(decided).encode())
    # Slice by slice, whatever the order of the array in memory.
    for k in range(image.array.shape[-1]):
        total.update(np.ascontiguousarray(image.array[..., k]).tobytes())
    return total.hexdigest()


def dicom_uid(*parts: str) -> str:
    """Return an identifier that stands for these texts alone: `2.25.` and 128 bits of their hash (PS3.5 B.2)."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def deidentify(header: DicomHeader) -> DicomHeader:
    """Return a header without patient and study, in which a hash stands for every identifier.

    Objects of one study still belong together. Whoever has the original identifiers can recompute the hashes.
    """

    def hashed(uid: str) -> str:
        return dicom_uid("deidentified", uid)

    frames: list[SourceFrame] = []
    for frame in header.frames:
        frames.append(replace(frame, instance_uid=hashed(frame.instance_uid)))
    study = hashed(header.study_uid)
    values = {"PatientName": ANONYMOUS, "PatientID": f"ANON-{study[-12:]}"}
    return replace(
        header,
        study=Study(study, values),
        series_uid=hashed(header.series_uid),
        frame_of_reference_uid=hashed(header.frame_of_reference_uid),
        frames=tuple(frames),
    )


def set_patient(dataset: Dataset, result: Result) -> None:
    """Set what an object repeats of patient and study; what the source does not say stays empty."""
    study = result.header.study
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, study.values.get(keyword, ""))
    dataset.StudyInstanceUID = study.uid
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(dataset, keyword, study.values.get(keyword, ""))
    dataset.ReferringPhysicianName = ""
    if result.image.dicom.deidentify:
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = DEIDENTIFICATION


def set_common(dataset: Dataset, result: Result, role: str) -> None:
    """Set identifiers, dates, character set and maker of an object.

    Args:
        dataset: The object.
        result: What it holds.
        role: What it is, such as `seg`.
    """
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.SOPInstanceUID = result.uid(role)
    dataset.SeriesInstanceUID = result.uid(f"{role} series")
    dataset.SeriesDescription = SERIES_DESCRIPTION
    dataset.InstanceNumber = 1
    set_dates(dataset, result, ("InstanceCreationDate", "InstanceCreationTime"))
    dataset.Manufacturer = dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions = __version__
    dataset.DeviceSerialNumber = result.maker.serial
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def set_dates(dataset: Dataset, result: Result, keywords: tuple[str, str]) -> None:
    """Set a date and a time to those of the study."""
    for keyword, value in zip(keywords, result.when, strict=True):
        setattr(dataset, keyword, value)


def file_bytes(dataset: Dataset) -> bytes:
    """Return an object as a DICOM file."""
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    dataset.file_meta.ImplementationVersionName = f"PROSECT_{__version__}"[:16]
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def private_value(label: Label) -> str:
    """Return the value of our own code for a structure that has none in SNOMED CT."""
    return f"P{label.value:04d}"


def short_text(text: str, length: int = LONG_STRING, taken: Iterable[str] = ()) -> str:
    """Return text that a DICOM string of this length can hold and that is none of `taken`."""
    plain = re.sub(r"[\\\x00-\x1f]+", " ", text).strip()
    used = set(taken)
    short, number = plain[:length], 2
    while short in used:
        ending = f" {number}"
        short, number = plain[: length - len(ending)] + ending, number + 1
    return short
