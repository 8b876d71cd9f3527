"""Layers as the textbooks write them, in NumPy and double precision: loops and sums, nothing fused, nothing in place.

Arrays are `(c i j k)` for images and `(t d)` for tokens; a network has no batch here.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

__all__ = [
    "attention",
    "conv3",
    "conv_transpose3",
    "gelu",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "linear",
    "relu",
    "softmax",
]

Array = NDArray[np.float64]


def conv3(x: Array, weight: Array, bias: Array | None = None, stride: int = 1) -> Array:
    """Return the convolution (o i j k) of an image (c i j k) with kernels (o c 3 3 3), zeros around the image."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1)))
    shape = tuple(-(-n // stride) for n in x.shape[1:])
    out = np.zeros((len(weight), *shape))
    for i, j, k in np.ndindex(*shape):
        a, b, c = i * stride, j * stride, k * stride
        seen = padded[:, a : a + 3, b : b + 3, c : c + 3]
        for o, kernel in enumerate(weight):
            out[o, i, j, k] = (kernel * seen).sum()
    if bias is not None:
        out += bias[:, None, None, None]
    return out


def conv_transpose3(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return an image (o 2i 2j 2k): each voxel (c i j k) paints its kernel (c o 3 3 3) around twice its place."""
    shape = tuple(2 * n for n in x.shape[1:])
    canvas = np.zeros((weight.shape[1], *(n + 2 for n in shape)))
    for i, j, k in np.ndindex(*x.shape[1:]):
        painted = np.zeros_like(canvas[:, :3, :3, :3])
        for c, kernel in enumerate(weight):
            painted += x[c, i, j, k] * kernel
        canvas[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, 2 * k : 2 * k + 3] += painted
    # Kernels are centred on their voxel, so one voxel of the canvas lies outside on each side.
    out = canvas[:, 1 : 1 + shape[0], 1 : 1 + shape[1], 1 : 1 + shape[2]]
    if bias is not None:
        out = out + bias[:, None, None, None]
    return out


def instance_norm(x: Array, weight: Array | None = None, bias: Array | None = None) -> Array:
    """Return each channel of an image (c i j k) with mean 0 and variance 1, then scaled and shifted."""
    out = np.empty_like(x)
    for c, channel in enumerate(x):
        out[c] = (channel - channel.mean()) / math.sqrt(channel.var() + 1e-5)
        if weight is not None and bias is not None:
            out[c] = out[c] * weight[c] + bias[c]
    return out


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None) -> Array:
    """Return each row of tokens (t d) with mean 0 and variance 1, then scaled and shifted."""
    rows = [(row - row.mean()) / math.sqrt(row.var() + 1e-5) for row in x]
    out = np.stack(rows)
    if weight is not None and bias is not None:
        out = out * weight + bias
    return out


def relu(x: Array) -> Array:
    """Return what is above 0, of any shape."""
    return np.where(x > 0, x, 0.0)


def leaky_relu(x: Array, slope: float = 0.01) -> Array:
    """Return values (any shape) with those below 0 made small."""
    return np.where(x > 0, x, slope * x)


def gelu(x: Array) -> Array:
    """Return each value (any shape) times the share of the normal distribution below it."""
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Return tokens (t o) of tokens (t d), with weights (o d)."""
    return np.stack([weight @ row + bias for row in x])


def softmax(x: Array) -> Array:
    """Return the shares of a vector."""
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def attention(queries: Array, keys: Array, values: Array, heads: int) -> Array:
    """Return tokens (t d): each query's mean of the values (s d), weighted by how its head likes their keys (s d)."""
    width = queries.shape[1] // heads
    out = np.zeros_like(queries)
    for head, t in itertools.product(range(heads), range(len(queries))):
        mine = slice(head * width, (head + 1) * width)
        logits = np.array([queries[t, mine] @ key[mine] for key in keys]) / math.sqrt(width)
        for share, value in zip(softmax(logits), values, strict=True):
            out[t, mine] += share * value[mine]
    return out
