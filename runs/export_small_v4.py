"""Write the shipped model's fourth version: what `prosect train runs/small_v4.toml` made, offering what it knows.

`python runs/export_small_v4.py WORK/prosect-small.safetensors -o FILE`. Classes that came out too weak to be shown stay
rivals: they win voxels that then belong to nobody. `python benches/torso.py` and the model card say which and why.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from prosect.checkpoints.files import read_weights, write_weights

OFFERED = (220, 121, 205, 204, 11, 210, 347, 20, 346)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    trained = read_weights(args.trained)
    metadata = {key: value for key, value in trained.metadata.items() if key != "content_sha256"}
    metadata["version"] = 4
    metadata["classes"] = [index for index in metadata["classes"] if index in OFFERED]
    write_weights(args.output, trained.tensors, metadata, torch.float16)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
