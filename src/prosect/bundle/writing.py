"""Write a model as a MONAI bundle: a folder that `monai.bundle` runs without any code of ours."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import prosect
from prosect.bundle.inference import Contents, batch_config, inference_config
from prosect.errors import CheckpointError, OutputError
from prosect.io.atomic import make_folder, write_atomically
from prosect.io.paths import file_name
from prosect.models import Learns
from prosect.models.spec import profile
from prosect.results.folder import stage_folder

__all__ = ["contents_of", "export_bundle"]

MARKER = "prosect.format"
# What the classes in the configuration need; MONAI's own metadata asks for it.
MONAI, TORCH, NUMPY = "1.6.1", "2.10.0", "1.26.0"
PACKAGES = {"pytorch-ignite": "0.5.0", "fire": "0.7.0", "nibabel": "5.3.0"}
LOGGING = """\
[loggers]
keys=root

[handlers]
keys=consoleHandler

[formatters]
keys=fullFormatter

[logger_root]
level=INFO
handlers=consoleHandler

[handler_consoleHandler]
class=StreamHandler
level=INFO
formatter=fullFormatter
args=(sys.stdout,)

[formatter_fullFormatter]
format=%(asctime)s - %(name)s - %(levelname)s - %(message)s
"""
README = """\
# {name}

A model of prosect {version} as a MONAI bundle. Every class in the configurations is MONAI's own; there is no script.
Research use only: not for diagnosis or treatment.

    python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\
        --input_dict "{{'image': 'ct.nii.gz', 'label_prompt': [{example}]}}"

`label_prompt` takes class indices or names of `labels_dict`; without it every class is segmented.
{clicks}
Two recipes: `inference.json` brings axes to RAS first and blends windows smoothly, as prosect does. Without prosect's
own steps after the network (logits interpolated to the scan, nested structures, plausibility) the labels are not those
of prosect. `inference_official.json` has the order of steps of the official bundle, and gives voxel for voxel what
`prosect segment --profile bundle` gives.

Several scans: `--config_file "['configs/inference.json','configs/batch_inference.json']" --input_dir DIR`.

Weights: {licence}. SHA-256 of the file they come from: `{sha256}`.
"""
CLASSES_ONLY = """
Classes only: these weights have no click head that MONAI's network could use. `points` are refused.
"""
WITH_CLICKS = """
The click head is in the weights, and these configurations ask for classes only: `points` are refused.
"""
EXCLUSIVE = """
The classes of this model compete: ask for all of them (no `label_prompt`), because a class asked for alone takes voxels
that belong to another.
"""


def contents_of(model: Learns, profile_name: str) -> Contents:
    """Return what of a model goes into a bundle that runs a profile."""
    spec = model.spec
    everything = model.vocabulary.everything(spec.everything)
    rivals = set(spec.exclusive) - set(everything)
    names, groups = {}, {}
    for structure in model.vocabulary:
        if structure.status == "group":
            groups[structure.index] = tuple(model.vocabulary.resolve([structure.name]).indices)
        if structure.supported or structure.index in rivals:
            names[structure.index] = structure.name
    return Contents(
        architecture=model.network.architecture,
        spec=spec,
        profile=profile(profile_name),
        everything=tuple(sorted({*everything, *rivals})),
        shown=tuple(everything),
        names=names,
        groups=groups,
    )


def export_bundle(model: Learns, folder: Path, source: Path | None = None) -> tuple[Path, ...]:
    """Write a bundle and return its files.

    Args:
        model: A model that finds classes.
        folder: A new or empty folder.
        source: The weights file that the model was loaded from. One of ours is copied beside MONAI's, because it says
            what a plain dictionary cannot: then `-w FOLDER` gives the results of the file itself.

    Raises:
        CheckpointError: The network has no automatic branch (`MODEL_NO_AUTOMATIC`).
        OutputError: The folder holds something (`OUTPUT_EXISTS`), or cannot be written; it stays as it was then.
        ResourceError: The disk is full (`DISK_FULL`); the folder stays as it was then.
    """
    if not model.network.architecture.automatic:
        raise CheckpointError(
            f"{model.spec.name}: this network takes clicks only, and a bundle asks for classes.",
            code="MODEL_NO_AUTOMATIC",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{file_name(folder)}: the folder is not empty. Give a new one.", code="OUTPUT_EXISTS")
    ours, official = contents_of(model, "prosect"), contents_of(model, "bundle")
    files = {
        "configs/metadata.json": as_json(metadata(ours)),
        "configs/inference.json": as_json(inference_config(ours)),
        "configs/inference_official.json": as_json(inference_config(official)),
        "configs/batch_inference.json": as_json(batch_config()),
        "configs/logging.conf": LOGGING.encode(),
        "docs/README.md": readme(ours).encode(),
        "docs/labels.json": as_json({str(index): name for index, name in sorted(ours.names.items())}),
        "LICENSE": f"The weights are under: {model.spec.licence or 'no licence is stated'}\n".encode(),
    }
    names = [*files, "models/model.pt"]
    with stage_folder(folder) as place:
        for name in ("configs", "models", "docs"):
            make_folder(place / name)
        for name, content in files.items():
            write_atomically(place / name, [content])
        write_tensors(model, place / "models" / "model.pt")
        if source is not None and source.suffix == ".safetensors":
            names.append("models/model.safetensors")
            write_atomically(place / names[-1], [source.read_bytes()])
    return tuple(folder / name for name in names)


def write_tensors(model: Learns, path: Path) -> None:
    """Write the weights as MONAI loads them, a plain dictionary of float32 tensors."""
    plain = {}
    for key, value in model.network.state_dict().items():
        if key == MARKER:
            continue
        kept = value.detach().cpu()
        plain[key] = kept.float() if kept.is_floating_point() else kept
    content = io.BytesIO()
    torch.save(plain, content)
    write_atomically(path, [content.getvalue()])


def as_json(thing: Mapping[str, Any]) -> bytes:
    """Return data as the bytes of a JSON file."""
    return json.dumps(thing, indent=4).encode("ascii") + b"\n"


def readme(contents: Contents) -> str:
    """Return what a person reads first."""
    clicks = WITH_CLICKS if contents.takes_clicks else CLASSES_ONLY
    if contents.spec.exclusive:
        clicks += EXCLUSIVE
    return README.format(
        name=contents.spec.name,
        version=prosect.__version__,
        example=contents.shown[0],
        clicks=clicks,
        licence=contents.spec.licence or "no licence is stated",
        sha256=contents.spec.weights_sha256,
    )


def metadata(contents: Contents) -> dict[str, Any]:
    """Return `metadata.json` with the keys that MONAI asks for."""
    spec = contents.spec
    channels = {str(index): contents.names[index] for index in contents.shown}
    image = {
        "type": "image",
        "format": "hounsfield" if spec.intensity.kind == "window" else "magnitude",
        "modality": "CT" if spec.intensity.kind == "window" else "any",
        "num_channels": contents.architecture.in_channels,
        "spatial_shape": list(spec.window),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {"0": "image"},
    }
    labels = {
        "type": "image",
        "format": "segmentation",
        "num_channels": 1,
        "spatial_shape": list(spec.window),
        "dtype": "uint8",
        "value_range": [0, max(contents.shown)],
        "is_patch_data": False,
        "channel_def": {"0": "background", **channels},
    }
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
        "meta_schema_generator_20240725.json",
        "version": prosect.__version__,
        "changelog": {prosect.__version__: "exported by prosect"},
        "monai_version": MONAI,
        "pytorch_version": TORCH,
        "numpy_version": NUMPY,
        "required_packages_version": PACKAGES,
        "supported_apps": {},
        "name": spec.name,
        "task": "segmentation of a 3D scan by classes" + ("" if contents.takes_clicks else " (classes only)"),
        "description": f"{spec.name}, exported by prosect; {len(contents.shown)} classes. Research use only.",
        "authors": "see the licence of the weights",
        "copyright": spec.licence or "no licence is stated",
        "intended_use": "Research use only: not for diagnosis or treatment.",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": labels}},
    }
