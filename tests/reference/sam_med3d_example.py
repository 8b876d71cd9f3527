"""A small SAM-Med3D whose weights, image and clicks follow from formulas, and what medim's network answers to it.

`python tests/reference/sam_med3d_example.py` records medim's answer anew beside this file.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

RECORD = Path(__file__).with_suffix(".json")
SIDE = 32
SIZES = {"image_size": SIDE, "vit_patch_size": 8, "encoder_embed_dim": 24, "encoder_depth": 3, "encoder_num_heads": 2,
         "encoder_global_attn_indexes": [1], "prompt_embed_dim": 48}  # fmt: skip
CLICKS = [([12.0, 20, 7], 1), ([25.0, 3, 16], 0), ([12.0, 21, 30], 1)]


def wave(shape: tuple[int, ...], number: int) -> Tensor:
    """Return numbers between -1 and 1 that look random and are the same everywhere."""
    place = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(place * (0.7 + 0.013 * number) + place.square() * 1e-3 + number).float().view(shape)


def filled(net: nn.Module) -> nn.Module:
    """Return a network with weights by formula, of about the scale of trained ones."""
    state = net.state_dict()
    for number, key in enumerate(sorted(state)):
        shape = tuple(state[key].shape)
        values = wave(shape, number)
        if len(shape) > 1 and "rel_pos" not in key and "pos_embed" not in key and "gaussian" not in key:
            values *= 1.4 / math.sqrt(math.prod(shape[1:]))
        elif "norm" in key and key.endswith("weight"):
            values = 1 + 0.3 * values
        state[key] = values
    net.load_state_dict(state)
    return net.eval()


def image() -> Tensor:
    """Return the crop (1 1 i j k)."""
    return 2 * wave((1, 1, SIDE, SIDE, SIDE), 3)


def sampled(values: Tensor) -> list[float]:
    """Return ninety values spread over a tensor."""
    flat = values.flatten()
    places = (torch.arange(90, dtype=torch.float64) * (flat.numel() - 1) / 89).long()
    return [float(f"{value:.6g}") for value in flat[places].tolist()]


def official() -> nn.Module:
    """Return medim's network."""
    import medim

    with contextlib.redirect_stdout(io.StringIO()):
        net: nn.Module = medim.create_model("SAM-Med3D", **SIZES)
    return filled(net)


@torch.no_grad()
def official_answers() -> dict[str, list[float]]:
    """Return medim's features and its answers to the clicks, one at a time."""
    net: Any = official()
    features = net.image_encoder(image())
    found = {"features": sampled(features)}
    answer = torch.zeros(1, 1, *(SIDE // 2,) * 3)
    for number, (point, label) in enumerate(CLICKS):
        points = [torch.tensor([[point]]), torch.tensor([[label]])]
        sparse, dense = net.prompt_encoder(points=points, boxes=None, masks=answer)
        answer = net.mask_decoder(features, net.prompt_encoder.get_dense_pe(), sparse, dense)[0]
        found[f"click {number}"] = sampled(answer)
    return found


def recorded() -> dict[str, Tensor]:
    """Return what is on record."""
    return {key: torch.tensor(values) for key, values in json.loads(RECORD.read_text()).items()}


if __name__ == "__main__":
    RECORD.write_text(json.dumps(official_answers(), indent=1) + "\n")
