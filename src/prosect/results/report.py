"""The run report: everything a result came from, so that anyone can check it, and nothing about the patient."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prosect.errors import FormatError
from prosect.io.paths import file_name, require_file
from prosect.labelmap import Labels
from prosect.measure import Measurement
from prosect.results.label_tables import file_values
from prosect.results.request import Request
from prosect.volume import Volume

__all__ = ["SCHEMA", "Parameters", "Run", "build", "encode", "file_entry", "load", "plausibility", "sha256_of"]

SCHEMA = "prosect-report/1"
LIMITS = "Research use only. Not for diagnosis or treatment."
CHUNK = 1 << 20
MAX_REPORT_BYTES = 16 << 20


@dataclass(frozen=True)
class Parameters:
    """What was asked, as far as it changes the labels.

    Attributes:
        classes: Names as they were given; None for everything.
        overlap: One layer per structure.
        model: Model name; None for the default.
        weights: Name of a weights file that was given, without its folder.
        profile: How the scan is swept.
        device: As it was given.
        series: Which DICOM series.
        volume: Which volume of a 4D file.
        phantom: Which synthetic person, where there is no input file.
        modality: What kind of scan it was said to be.
        nan_as: Intensity that NaN was given.
        assume_orientation: Orientation that was stated for a file without one.
        regularise: Whether slices whose distance changes were resampled to the smallest one.
        fast: Whether the model ran on its coarser grid.
        keep_all: Whether what cannot be in the scan was kept.
        least_mm3: Smaller pieces were left out; None where all stay.
        engine: The way to run the network, as it was given.
        precision: In what it multiplies, as it was given.
    """

    classes: tuple[str, ...] | None = None
    overlap: bool = False
    model: str | None = None
    weights: str | None = None
    profile: str = "prosect"
    device: str = "auto"
    series: str | None = None
    volume: int | None = None
    phantom: str | None = None
    modality: str | None = None
    nan_as: float | None = None
    assume_orientation: str | None = None
    regularise: bool = False
    fast: bool = False
    keep_all: bool = False
    least_mm3: float | None = None
    engine: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Run:
    """How a result came about, beyond what the labels say themselves.

    Attributes:
        parameters: What was asked.
        started: When.
        warnings: Each repair and assumption that was shown.
        libraries: Versions, the package's own among them.
        threads: Threads of one operation.
    """

    parameters: Parameters = field(default_factory=Parameters)
    started: datetime | None = None
    warnings: tuple[str, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None


def build(
    labels: Labels,
    volume: Volume,
    request: Request,
    run: Run,
    case: str,
    found: Sequence[Measurement],
    outputs: Iterable[Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return the report as plain data, its keys always in the same order."""
    said, values = labels.provenance, file_values(labels, request.renumber)
    return {
        "schema": SCHEMA,
        "notice": LIMITS,
        "started": None if run.started is None else run.started.isoformat(timespec="seconds"),
        "exit": 0,
        "case": case,
        "versions": dict(sorted(run.libraries.items())),
        "model": {
            "name": said.get("model"),
            "weights_sha256": said.get("weights_sha256"),
            "profile": said.get("profile"),
            "device": said.get("device"),
            "engine": said.get("engine"),
            "precision": said.get("precision"),
            "threads": run.threads,
            "windows": said.get("windows"),
            **members_entry(labels),
        },
        "input": input_entry(volume),
        "parameters": plain(asdict(run.parameters)),
        "output": request_entry(request),
        "prompts": {"classes": names(labels), "expansions": plain(said.get("expansions", {}))},
        "regions": plain(said.get("regions", [])),
        "structures": [structure_entry(labels, index, found, values.get(index, index)) for index in labels.sought],
        "repairs": list(volume.source.notes),
        "warnings": list(dict.fromkeys(run.warnings)),
        "notes": plain(said.get("notes", [])),
        "seconds": {name: round(value, 3) for name, value in {**seconds, **inner_seconds(said)}.items()},
        "outputs": [dict(entry) for entry in outputs],
    }


def members_entry(labels: Labels) -> dict[str, Any]:
    """Return which of several models that answered as one looked for which structures; nothing of a single model."""
    said = labels.provenance.get("models")
    if not isinstance(said, Sequence):
        return {}
    members = []
    for each in said:
        structures = []
        for index in each["classes"]:
            structures.append(labels.name_of(index))
        members.append({"name": each["model"], "weights_sha256": each["weights_sha256"], "structures": structures})
    return {"members": members}


def input_entry(volume: Volume) -> dict[str, Any]:
    """Return what the input was, by its content and not by its place."""
    grid = volume.grid
    return {
        "name": volume.source.name,
        "format": volume.source.format,
        "sha256": volume.source.sha256,
        "modality": volume.modality,
        "shape": list(grid.shape),
        "spacing_mm": [float(x) for x in grid.spacing_mm],
        "affine_ras": [[float(x) for x in row] for row in grid.affine],
    }


def request_entry(request: Request) -> dict[str, Any]:
    """Return which results were asked for; names only."""
    return {
        "name": Path(os.path.abspath(request.output)).name,
        "folder": request.is_folder,
        "types": list(request.kinds),
        "per_class": request.per_class,
        "multilabel": request.multilabel,
        "statistics": request.statistics is not False,
        "statistics_extra": request.extra,
        "preview": request.preview,
        "aggregation": request.aggregation,
        "radiomics": request.radiomics,
        "seg_encoding": request.dicom.seg_encoding,
        "deidentify": request.dicom.deidentify,
        **request.dicom.stated(),
        "preview_rows": request.preview_rows,
        "label_tables": request.label_tables,
        "renumber": request.renumber,
        "probabilities": request.probabilities is not False,
    }


def names(labels: Labels) -> list[str]:
    """Return the structures that were looked for."""
    found: list[str] = []
    for index in labels.sought:
        if labels.vocabulary.get(index) is not None:
            found.append(labels.name_of(index))
    return found


def structure_entry(labels: Labels, index: int, found: Sequence[Measurement], value: int) -> dict[str, Any]:
    """Return one structure: its label value in files, whether it was found, how large, and whether the scan cuts it."""
    structure = labels.vocabulary.get(index)
    m = next((m for m in found if m.index == index), None)
    return {
        "index": index,
        "value": value,
        "name": None if structure is None else structure.name,
        "present": m is not None,
        "voxels": 0 if m is None else m.voxels,
        "touches_border": m is not None and m.touches_border,
        **plausibility(labels.provenance, index),
    }


def plausibility(provenance: Mapping[str, object], index: int) -> dict[str, Any]:
    """Return how much speaks for a structure, from 0 to 1, and whether it can be there; None where nobody judged."""
    confidence, withheld = provenance.get("confidence"), provenance.get("withheld")
    if not isinstance(confidence, Mapping) or not isinstance(withheld, Mapping) or index not in confidence:
        return {"plausible": None, "confidence": None, "withheld": None}
    return {"plausible": index not in withheld, "confidence": confidence[index], "withheld": withheld.get(index)}


def inner_seconds(provenance: Mapping[str, object]) -> dict[str, float]:
    """Return the stages of the segmentation itself."""
    seconds = provenance.get("seconds", {})
    if isinstance(seconds, Mapping):
        found: dict[str, float] = {}
        for k, v in seconds.items():
            found[f"segmenting/{k}"] = float(v)
        return found
    return {}


def plain(value: object) -> Any:
    """Return a value with lists for tuples."""
    return json.loads(json.dumps(value))


def file_entry(actual: Path, name: str) -> dict[str, Any]:
    """Return name, size and hash of an output as it lies on the disk."""
    return {"file": name, "bytes": actual.stat().st_size, "sha256": sha256_of(actual)}


def sha256_of(path: Path) -> str:
    """Return the hash of a file."""
    total = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def encode(report: Mapping[str, Any]) -> bytes:
    """Return the report as JSON in plain ASCII: a file name need not be valid text."""
    return (json.dumps(report, indent=2, allow_nan=False) + "\n").encode("ascii")


def load(path: Path) -> dict[str, Any]:
    """Return a report that was written before.

    Raises:
        FormatError: It is missing, or not a report of this schema (`REPORT_INVALID`).
    """
    require_file(path)
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise ValueError("it is too large")
        report = json.loads(path.read_bytes())
        if report["schema"] != SCHEMA:
            raise ValueError(f"its schema is {report['schema']!s:.40}; {SCHEMA} is known")
        missing = {"input", "model", "parameters", "output", "outputs", "versions"} - set(report)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{file_name(path)}: this is not a run report that can be checked ({error!s:.120}). "
            "Give the report that `prosect segment -rp` wrote, or the result beside it.",
            code="REPORT_INVALID",
        ) from error
    found: dict[str, Any] = report
    return found
