"""What the native protocol says of the server, its scans and its jobs; never where files lie."""

from __future__ import annotations

from typing import Any

import prosect
from prosect.server.device import Job
from prosect.server.exports import FORMATS, formats_for
from prosect.server.scans import OpenScan
from prosect.server.service import Service
from prosect.server.wire import problem_text

__all__ = ["describe_server", "job_json", "kind_of", "scan_json"]

PRESETS = {
    "soft tissue": (-160, 240),
    "lung": (-1350, 150),
    "bone": (-500, 1300),
    "brain": (0, 80),
    "liver": (-50, 150),
}


def describe_server(service: Service) -> dict[str, Any]:
    """Return what the server can do."""
    model = service.shelf.clicker()
    structures = []
    for each in model.vocabulary:
        if each.status in ("supported", "group"):
            row = {"index": each.index, "name": each.name, "supported": each.status == "supported"}
            structures.append({**row, "colour": "#{:02x}{:02x}{:02x}".format(*each.color)})
    settings = service.settings
    return {
        "version": prosect.__version__,
        "model": dict(model.identity),
        "licence": service.shelf.licence,
        "models": service.shelf.drafters(),
        "structures": structures,
        "formats": list(FORMATS),
        "read_only": settings.read_only,
        "saves": settings.output_root is not None,
        "limits": {"upload_bytes": settings.max_upload_bytes, "voxels": settings.max_voxels},
        "dialects": list(settings.dialects),
        "notice": "Research use only. Not a medical device; not for diagnosis or treatment.",
    }


def scan_json(scan: OpenScan) -> dict[str, Any]:
    """Return what a page needs to know of a scan; never where it lies."""
    grid = scan.volume.grid
    presets = PRESETS if scan.volume.is_ct else {}
    return {
        "scan_id": scan.entry.identity,
        "name": scan.entry.name,
        "sha256": scan.entry.sha256,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "affine_ras": grid.affine.tolist(),
        "modality": scan.volume.modality,
        "formats": list(formats_for(scan.volume)),
        "hounsfield": scan.volume.is_ct,
        "window": {"low": scan.window[0], "high": scan.window[1]},
        "presets": {name: {"low": low, "high": high} for name, (low, high) in presets.items()},
        "view": scan.view.to_json(),
        "notes": list(scan.volume.source.notes),
    }


def kind_of(name: str, folder: bool) -> str:
    """Return what an entry of a folder may be; only opening it tells for sure."""
    if folder:
        return "folder"
    lowered = name.lower()
    if lowered.endswith((".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".zip")):
        return "scan"
    return "dicom" if lowered.endswith((".dcm", ".ima")) or "." not in name else "file"


def job_json(job: Job[Any], service: Service) -> dict[str, Any]:
    """Return how far a job is."""
    error = job.error
    return {
        "job_id": job.identity,
        "kind": job.kind,
        "state": job.state,
        "done": job.done,
        "total": job.total,
        "position": service.device.position(job) if job.state == "queued" else 0,
        "problem": None if error is None else problem_text(error),
    }
