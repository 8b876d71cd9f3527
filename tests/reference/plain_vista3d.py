"""VISTA3D read from its weights alone: every step of both branches in the order of the paper, in double precision.

It knows the official names of the weights and no class of prosect. Arrays as in `plain_layers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reference import plain_layers as plain

__all__ = ["Weights", "class_logits", "decoded", "mask_logits", "pyramid", "two_way"]

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def below(weights: Weights, prefix: str) -> Weights:
    """Return the weights whose names begin with a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def count(weights: Weights, prefix: str) -> int:
    """Return how many numbered things follow a prefix."""
    return len({key.removeprefix(prefix).split(".")[0] for key in weights if key.startswith(prefix)})


def residual(x: Array, weights: Weights) -> Array:
    """Return a block of the encoder (Sec. 3.1): norm, ReLU, convolution, twice, plus the input (c i j k)."""
    y = plain.relu(plain.instance_norm(x, weights["norm1.weight"], weights["norm1.bias"]))
    y = plain.conv3(y, weights["conv1.weight"])
    y = plain.relu(plain.instance_norm(y, weights["norm2.weight"], weights["norm2.bias"]))
    return x + plain.conv3(y, weights["conv2.weight"])


def pyramid(image: Array, weights: Weights) -> list[Array]:
    """Return one map (c i j k) per level of the encoder, finest first, of an image (1 i j k)."""
    weights = below(weights, "image_encoder.encoder.")
    x = plain.conv3(image, weights["conv_init.weight"])
    levels = []
    for level in range(count(weights, "layers.")):
        for block in range(count(weights, f"layers.{level}.blocks.")):
            x = residual(x, below(weights, f"layers.{level}.blocks.{block}."))
        levels.append(x)
        if f"layers.{level}.downsample.weight" in weights:
            x = plain.conv3(x, weights[f"layers.{level}.downsample.weight"], stride=2)
    return levels


def decoded(levels: list[Array], weights: Weights, branch: str) -> Array:
    """Return features (c i j k) of one branch: `up_layers` for clicks, `up_layers_auto` for classes."""
    weights = below(weights, f"image_encoder.{branch}.")
    x = levels[-1]
    for number, skip in enumerate(reversed(levels[:-1])):
        x = plain.conv_transpose3(x, weights[f"{number}.upsample.deconv.weight"]) + skip
        x = residual(x, below(weights, f"{number}.blocks.0."))
        if f"{number}.head.weight" in weights:
            mixing = weights[f"{number}.head.weight"][:, :, 0, 0, 0]
            x = np.einsum("oc,cijk->oijk", mixing, x) + weights[f"{number}.head.bias"][:, None, None, None]
    return x


def class_logits(features: Array, weights: Weights, index: int) -> Array:
    """Return logits (i j k) of a class: its vector against the mapped features (c i j k)."""
    weights = below(weights, "class_head.")
    x = features
    for block in range(2):
        inner = below(weights, f"image_post_mapping.{block}.layer.")
        y = plain.leaky_relu(plain.instance_norm(plain.conv3(x, inner["conv1.conv.weight"])))
        y = plain.instance_norm(plain.conv3(y, inner["conv2.conv.weight"]))
        x = plain.leaky_relu(x + y)
    vector = weights["class_embeddings.weight"][[index]]
    vector = plain.linear(vector, weights["mlp.0.weight"], weights["mlp.0.bias"])
    vector = plain.gelu(plain.layer_norm(vector))
    vector = plain.linear(vector, weights["mlp.3.weight"], weights["mlp.3.bias"])
    return np.einsum("c,cijk->ijk", vector[0], x)


def codes(unit: Array, weights: Weights) -> Array:
    """Return Fourier codes (n d) of places (n 3) in the unit cube."""
    phase = 2 * math.pi * (2 * unit - 1) @ weights["pe_layer.positional_encoding_gaussian_matrix"]
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)


def attend(queries: Array, keys: Array, values: Array, weights: Weights) -> Array:
    """Return tokens (t d) of one attention with its projections; VISTA3D's have four heads."""
    q, k, v = (
        plain.linear(x, weights[f"{name}_proj.weight"], weights[f"{name}_proj.bias"])
        for x, name in ((queries, "q"), (keys, "k"), (values, "v"))
    )
    mixed = plain.attention(q, k, v, heads=4)
    return plain.linear(mixed, weights["out_proj.weight"], weights["out_proj.bias"])


def norm(x: Array, weights: Weights, name: str) -> Array:
    """Return tokens (t d) after a named layer norm."""
    return plain.layer_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def two_way(image: Array, image_codes: Array, tokens: Array, weights: Weights) -> tuple[Array, Array]:
    """Return tokens (t d) and image tokens (s d) after mutual attention; tokens are their own codes."""
    own = tokens
    for number in range(count(weights, "layers.")):
        layer = below(weights, f"layers.{number}.")
        if number == 0:  # the first block has neither codes nor residual in its self-attention
            tokens = attend(tokens, tokens, tokens, below(layer, "self_attn."))
        else:
            tokens = tokens + attend(tokens + own, tokens + own, tokens, below(layer, "self_attn."))
        tokens = norm(tokens, layer, "norm1")
        looked = attend(tokens + own, image + image_codes, image, below(layer, "cross_attn_token_to_image."))
        tokens = norm(tokens + looked, layer, "norm2")
        hidden = plain.relu(plain.linear(tokens, layer["mlp.linear1.weight"], layer["mlp.linear1.bias"]))
        moved = plain.linear(hidden, layer["mlp.linear2.weight"], layer["mlp.linear2.bias"])
        tokens = norm(tokens + moved, layer, "norm3")
        told = attend(image + image_codes, tokens + own, tokens, below(layer, "cross_attn_image_to_token."))
        image = norm(image + told, layer, "norm4")
    last = attend(tokens + own, image + image_codes, image, below(weights, "final_attn_token_to_image."))
    return norm(tokens + last, weights, "norm_final_attn"), image


def click_tokens(points: Array, labels: list[int], shape: tuple[int, ...], weights: Weights) -> Array:
    """Return one token (n d) per click (n 3) in voxels; labels are those of the paper's Sec. 3.2, -1 for none."""
    positions = codes((points + 0.5) / np.array(shape), weights)
    rows = []
    for position, label in zip(positions, labels, strict=True):
        row = weights["not_a_point_embed.weight"][0] if label == -1 else position
        if label in (0, 2):
            row = row + weights["point_embeddings.0.weight"][0]
        if label in (1, 3):
            row = row + weights["point_embeddings.1.weight"][0]
        if label in (2, 3):
            row = row + weights["special_class_embed.weight"][0]
        rows.append(row)
    return np.stack(rows)


def mask_logits(features: Array, points: Array, labels: list[int], zero_shot: bool, weights: Weights) -> Array:
    """Return logits (i j k) of one object from features (c i j k) of a patch and clicks (n 3) in voxels."""
    weights = below(weights, "point_head.")
    down = plain.conv3(features, weights["feat_downsample.0.weight"], weights["feat_downsample.0.bias"], stride=2)
    down = plain.gelu(plain.instance_norm(down))
    down = plain.conv3(down, weights["feat_downsample.3.weight"], weights["feat_downsample.3.bias"])
    down = plain.instance_norm(down)
    half = down.shape[1:]
    cells = np.array(list(np.ndindex(*half)))
    image_codes = codes((cells + 0.5) / np.array(half), weights)
    kind = weights["zeroshot_embed.weight" if zero_shot else "supported_embed.weight"]
    clicks = click_tokens(points, labels, features.shape[1:], weights)
    tokens = np.concatenate([weights["mask_tokens.weight"], clicks, kind])
    image = down.reshape(len(down), -1).T
    tokens, image = two_way(image, image_codes, tokens, below(weights, "transformer."))
    up = image.T.reshape(len(down), *half)
    up = plain.conv_transpose3(up, weights["output_upscaling.0.weight"], weights["output_upscaling.0.bias"])
    up = plain.gelu(plain.instance_norm(up))
    up = plain.conv3(up, weights["output_upscaling.3.weight"], weights["output_upscaling.3.bias"])
    vector = tokens[:1]
    for layer in range(3):
        names = f"output_hypernetworks_mlps.layers.{layer}"
        vector = plain.linear(vector, weights[f"{names}.weight"], weights[f"{names}.bias"])
        vector = plain.relu(vector) if layer < 2 else vector
    return np.einsum("c,cijk->ijk", vector[0], up)
