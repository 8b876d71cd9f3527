"""Flip one bit of a file that carries a checksum: it is refused, or the bit did not matter.

python campaigns/bitflip.py --count 1000

For each kind: how many flips were caught, how many were harmless (everything read is the same, as with the time stamp
in a gzip header), and how many were missed. Below a line, for honesty, kinds whose format has no checksum over the
flipped bits: no reader can catch these.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import prosect
from prosect.checkpoints.files import read_weights, write_weights
from prosect.checkpoints.fit import fit
from prosect.errors import ProsectError
from prosect.geometry import Grid
from prosect.networks.vista3d import Architecture, vista3d
from prosect.volume import Volume
from samples import letter

Content = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Target:
    """A kind of file.

    Attributes:
        name: Of the file.
        raw: Its bytes.
        read: Returns all that is read from it, as comparable values; raises where it is refused.
        start: The first byte that its checksum covers.
        covered: Whether it has a checksum at all.
    """

    name: str
    raw: bytes
    read: Callable[[Path], Content]
    start: int = 0
    covered: bool = True


def main() -> int:
    """Print one line per kind; the status is 1 where a flip under a checksum was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="flips per kind of file (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = targets(Path(folder))
        figures = {t.name: campaign(t, Path(folder), args.count, args.seed) for t in kinds}
    covered = [target.name for target in kinds if target.covered]
    if args.json:
        other = {name: counts for name, counts in figures.items() if name not in covered}
        print(json.dumps({"covered": {name: figures[name] for name in covered}, "no checksum": other}, indent=1))
    else:
        for target in kinds:
            print(line(target, figures[target.name], args.count))
    return int(any(figures[name]["missed"] for name in covered))


def line(target: Target, counts: Counter[str], count: int) -> str:
    """Return the figures of one kind."""
    found = f"{counts['caught']} of {count} caught, {counts['harmless']} harmless, {counts['missed']} "
    return f"bitflip: {target.name}: {found}{'missed' if target.covered else 'undetectable by format'}"


def campaign(target: Target, folder: Path, count: int, seed: int) -> Counter[str]:
    """Return how many flipped bits of one file were caught, harmless, or missed."""
    path = folder / target.name
    path.write_bytes(target.raw)
    truth = target.read(path)
    counts: Counter[str] = Counter(caught=0, harmless=0, missed=0)
    for bit in np.random.default_rng(seed).integers(8 * target.start, 8 * len(target.raw), count):
        damaged = bytearray(target.raw)
        damaged[bit // 8] ^= 1 << int(bit % 8)
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a warning says that something is wrong, too
                found = target.read(path)
        except (ProsectError, UserWarning):
            counts["caught"] += 1
        else:
            counts["harmless" if same(found, truth) else "missed"] += 1
    return counts


def targets(folder: Path) -> list[Target]:
    """Return a file of each kind."""
    values = letter((40, 36, 24)).astype(np.float32)
    scan = Volume(values, Grid(values.shape, np.diag([0.75, 1.0, 2.5, 1.0])), "CT")
    images = {
        name: prosect.write(scan, folder / name).read_bytes() for name in ("a.nii.gz", "a.nrrd", "a.mha", "a.nii")
    }
    weights = network_weights()
    write_weights(folder / "ours.safetensors", weights, {"model": "prosect-small"})
    torch.save(weights, folder / "torch.pt")
    body = images["a.nrrd"].index(b"\n\n") + 2
    local = images["a.mha"].index(b"LOCAL\n") + 6
    return [
        Target("a.nii.gz", images["a.nii.gz"], image),
        Target("a.nrrd", images["a.nrrd"], image, body),
        Target("a.mha", images["a.mha"], image, local),
        Target("ours.safetensors", (folder / "ours.safetensors").read_bytes(), model),
        Target("torch.pt", (folder / "torch.pt").read_bytes(), model),
        Target("a.nii", images["a.nii"], image, covered=False),
    ]


def network_weights() -> dict[str, torch.Tensor]:
    """Return the weights of a small random network."""
    torch.manual_seed(0)
    return vista3d(Architecture(width=8, blocks=(1, 1), interactive=False)).state_dict()


def image(path: Path) -> Content:
    """Return all that is read from a scan."""
    found = prosect.read(path)
    return {"array": found.array, "affine": found.grid.affine, "modality": found.modality}


def model(path: Path) -> Content:
    """Return all that is read from a model, which must fit the network."""
    raw = read_weights(path)
    network, _ = fit(raw)
    return {**network.state_dict(), "metadata": raw.metadata}


def same(found: Content, truth: Content) -> bool:
    """Return whether two readings are equal to the last bit."""
    return found.keys() == truth.keys() and all(
        bool(np.array_equal(value, truth[key])) if hasattr(value, "shape") else value == truth[key]
        for key, value in found.items()
    )


if __name__ == "__main__":
    sys.exit(main())
