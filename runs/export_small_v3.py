"""Write the shipped model's third version from the work folders of its phases; 3.1 has the same weights as 3, and says
which classes are one piece.

`python runs/export_small_v3.py --second prosect-small.safetensors --automatic A --head H --clicks C -o FILE`: A and H
of `train_small_v3.py` (its phases `full` and `head`), C of `ablate_supervoxels.py train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from prosect.checkpoints.files import read_weights, write_weights

# Classes whose largest part holds 95 % of them in 95 % of the training scans, as `prosect train` finds them.
ONE_PIECE = (11, 121, 204, 205, 210, 220, 347)
CLICKED = ("image_encoder.up_layers.", "point_head.")
# Of the class embeddings that the phase `head` has moved: all of the way finds more larynx and mandible, but loses
# brainstems; chosen on the validation scans (0.613 against 0.610; 0.609 before the phases `full` and `head`).
SHARE = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--second", type=Path, required=True, help="the model of version 2, for what it says of itself")
    parser.add_argument("--automatic", type=Path, required=True)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--clicks", type=Path, required=True)
    parser.add_argument("--name", default="prosect-small")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    second = read_weights(args.second)
    states: dict[str, Any] = {
        name: torch.load(getattr(args, name) / "state.pt", weights_only=True)
        for name in ("automatic", "head", "clicks")
    }
    tensors = {
        key: value.lerp(states["head"]["average"][key], SHARE) for key, value in states["automatic"]["average"].items()
    }
    tensors |= {k: v for k, v in states["clicks"]["average"].items() if k.startswith(CLICKED)}
    missing = second.tensors.keys() ^ tensors.keys()
    if missing:
        raise SystemExit(f"the phases do not make the same network: {sorted(missing)[:5]}")
    metadata = {key: value for key, value in second.metadata.items() if key != "content_sha256"}
    before = metadata.pop("training")
    trained = {name: {key: state[key] for key in ("step", "settings")} for name, state in states.items()}
    metadata |= {"model": args.name, "version": "3.1", "one_piece": ONE_PIECE}
    metadata["training"] = {"version 2": before, **trained}
    write_weights(args.output, tensors, metadata, torch.float16)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
