"""Where the point head starts from when it is trained from scratch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from prosect.networks.vista3d.point_head import PointHead

__all__ = ["look_where_clicked"]

# Half periods of the position code across a patch, per axis. The slower tells far from near, the faster is the sharper.
FREQUENCIES = (0.5, 1.5)
NEARNESS = 2.0  # gain of queries and keys: how fast attention falls off with distance
ALIKENESS = 1.6  # the same in later blocks, where what lies under a click counts too
NOWHERE = 2.5  # strength of the answer "near no click", which every image token may choose
BELOW = -2.2  # what the mask starts at, in standard deviations


@torch.no_grad()
def look_where_clicked(head: PointHead) -> None:
    """Set a new point head so that it answers a click with a small ball around it, which training then shapes.

    From random weights a click's attention is spread evenly over all image tokens, the answer is "nothing", and with
    few channels thousands of steps pass before it is anything else. Here, instead: slow position codes leave some
    channels free, in which clicks carry their sign and the token of the object's kind says "near no click";
    attention between clicks and image compares positions, in later blocks what lies there, too; convolutions begin as
    smoothing and interpolation; and the mask reads the sign.

    Args:
        head: A new point head with one attention head as wide as its tokens, of at least 16 channels.

    Raises:
        ValueError: The head is narrower, or its attention is split or narrowed.
    """
    width = head.mask_tokens.weight.shape[1]
    transformer: Any = head.transformer
    attention = transformer.final_attn_token_to_image
    if width < 16 or width % 4 or attention.heads != 1 or attention.q_proj.weight.shape[0] != width:
        raise ValueError("A point head of 16 or more channels with a single attention head as wide is needed.")
    identity = torch.eye(width)
    free, constant = _position_codes(head, width)
    shared = torch.zeros(width, width // 4)
    shared[torch.arange(width), torch.arange(width) % (width // 4)] = 1
    _convolutions(head, shared, identity)
    _tokens(head, free, constant)
    position = NEARNESS * (identity - shared @ shared.T / 4)  # blind to what the image shows, see `_convolutions`
    for number, block in enumerate(transformer.layers):
        compared = position if number == 0 else ALIKENESS * identity
        _attend(block.self_attn, 2 * identity, identity)
        _attend(block.cross_attn_token_to_image, position, identity)
        _attend(block.cross_attn_image_to_token, compared, identity)
    _attend(attention, position, identity)
    _mask(head, free, identity)


def _position_codes(head: PointHead, width: int) -> tuple[Tensor, Tensor]:
    """Set slow frequencies along the axes; return the channels that are free (d), and those that are constant (d)."""
    frequencies = torch.zeros(3, width // 2)
    for axis in range(3):
        for n, frequency in enumerate(FREQUENCIES):
            frequencies[axis, 3 * n + axis] = frequency
    head.pe_layer.positional_encoding_gaussian_matrix.copy_(frequencies)
    free, constant = torch.zeros(width), torch.zeros(width)
    free[6 : width // 2] = 1  # the sine of frequency 0
    constant[width // 2 + 6 :] = 1  # its cosine
    return free, constant


def _convolutions(head: PointHead, shared: Tensor, identity: Tensor) -> None:
    """Let convolutions smooth and interpolate; a quarter of the channels say what the image shows, each four times."""
    width = len(identity)
    mixed = shared @ torch.linalg.qr(torch.randn(width, width // 4))[0].T
    down: Any = head.feat_downsample
    up: Any = head.output_upscaling
    _convolve(down[0], (0.25, 0.5, 0.25), identity, 0.1)
    _convolve(down[3], (0.0, 1.0, 0.0), mixed, 0.02)
    _convolve(up[0], (0.5, 1.0, 0.5), identity, 0.1)
    _convolve(up[3], (0.0, 1.0, 0.0), identity, 0.1)
    nn.init.constant_(up[3].bias, BELOW)


def _tokens(head: PointHead, free: Tensor, constant: Tensor) -> None:
    """Let clicks carry their sign, and the kind of the object the answer to places near no click."""
    embeddings: Any = head.point_embeddings
    embeddings[0].weight.copy_(-2 * free)
    embeddings[1].weight.copy_(2 * free)
    for kind in (head.zeroshot_embed, head.supported_embed):
        kind.weight.mul_(0.1).add_(NOWHERE * constant - 2 * free)
    head.mask_tokens.weight.mul_(0.1).add_(2 * free - 2 * constant)
    head.special_class_embed.weight.mul_(0.1)


def _mask(head: PointHead, free: Tensor, identity: Tensor) -> None:
    """Let the mask be the sign."""
    layers: Any = head.output_hypernetworks_mlps.layers
    for layer in layers[:2]:
        layer.weight.mul_(0.1).add_(identity)
        nn.init.zeros_(layer.bias)
    layers[2].weight.mul_(0.1).add_(0.5 * torch.diag(free))
    nn.init.zeros_(layers[2].bias)


def _attend(attention: Any, compared: Tensor, passed: Tensor) -> None:
    """Set what an attention compares, and what it passes on."""
    for layer, weight in zip(
        (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj),
        (compared, compared, passed, passed),
        strict=True,
    ):
        layer.weight.copy_(weight)
        nn.init.zeros_(layer.bias)


def _convolve(convolution: Any, taps: tuple[float, float, float], channels: Tensor, noise: float) -> None:
    """Set a convolution to a separable filter times a mixing of channels, plus some of the noise it had."""
    t = torch.tensor(taps)
    kernel = torch.einsum("a,b,c->abc", t, t, t)
    convolution.weight.mul_(noise).add_(channels[:, :, None, None, None] * kernel)
    nn.init.zeros_(convolution.bias)
