"""Weights that are kept under a model's name: taken over from a file, checked, or fetched.

Nothing is fetched unless `pull` is called.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prosect.checkpoints.catalog import entry, locate, weights_folder
from prosect.checkpoints.files import read_weights, write_weights
from prosect.checkpoints.fitting import FITTINGS, Report, network_of
from prosect.errors import CheckpointError

__all__ = ["fetch_https", "import_weights", "pull", "verify", "verify_file"]

Fetch = Callable[[str, Path], None]


def import_weights(path: str | Path, name: str, ema: bool = False) -> tuple[Path, Report]:
    """Convert a weights file to ours and keep it under a model's name; return where and what was found.

    Args:
        path: The file.
        name: The model.
        ema: Take the running average that lies in the file beside the weights.

    Raises:
        CheckpointError: The file is unsafe, damaged or another network's, or the model comes with the package.
    """
    found = entry(name)
    if found.shipped:
        raise CheckpointError(f"'{name}' comes with prosect and takes no other weights.", code="MODEL_UNKNOWN")
    raw = read_weights(path, ema)
    said = raw.metadata.get("model", found.name)
    if said != found.name:
        raise CheckpointError(
            f"{Path(path).name}: these are weights of '{said}', not of '{found.name}', and know other structures. Use "
            "them by -w.",
            code="MODEL_WRONG_NETWORK",
        )
    network, report = FITTINGS[found.network].fit(raw)
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {
        "format": 1,
        "model": found.name,
        "vocabulary": found.vocabulary,
        "licence": found.licence,
        "source_sha256": raw.sha256,
        **{key: raw.metadata[key] for key in ("architecture",) if key in raw.metadata},  # what no shape tells
    }
    target = write_weights(folder / f"{found.name}.safetensors", network.state_dict(), metadata)
    return target, report


def verify(name: str) -> Report:
    """Read a model's weights, check their content hash and fit them; return the report.

    Raises:
        CheckpointError: They are missing or damaged.
    """
    _, report = FITTINGS[entry(name).network].fit(read_weights(locate(name)))
    return report


def fetch_https(url: str, target: Path) -> None:
    """Download `url` to `target`. Only https."""
    if urllib.parse.urlsplit(url).scheme != "https":
        raise CheckpointError(f"{url} is not an https address.", code="MODEL_UNKNOWN")
    with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as file:
        shutil.copyfileobj(response, file, 2**20)


def pull(name: str, fetch: Fetch = fetch_https) -> tuple[Path, str, Report]:
    """Download the official weights of a model and take them over; return where, the download's sha256, the report.

    Raises:
        CheckpointError: The model comes with the package, the download fails, or the file is not what it should be.
    """
    found = entry(name)
    if not found.url:
        raise CheckpointError(f"'{name}' comes with prosect; there is nothing to fetch.", code="MODEL_UNKNOWN")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / Path(urllib.parse.urlsplit(found.url).path).name
        try:
            fetch(found.url, target)
        except OSError as error:
            raise CheckpointError(
                f"The weights of '{name}' could not be fetched from {found.url} ({error}). Download the file by other "
                f"means and run 'prosect weights import FILE {name}'.",
                code="MODEL_DOWNLOAD_FAILED",
            ) from error
        sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
        path, report = import_weights(target, name)
    return path, sha256, report


def verify_file(path: Path) -> Report:
    """Read a weights file, check its content hash where it carries one, and fit it; return the report.

    Raises:
        CheckpointError: It is missing, damaged or no network's that is known.
    """
    raw = read_weights(path)
    said = raw.metadata.get("base") or raw.metadata.get("model")
    if said:
        network = entry(said).network
    else:
        network = network_of(raw)
    _, report = FITTINGS[network].fit(raw)
    return report
