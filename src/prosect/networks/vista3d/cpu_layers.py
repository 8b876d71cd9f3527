"""Layers on channels-last maps (i j k c), each one parallel region whose pieces stay in the processor's cache.

A layer reads its input with the norm and activation before it applied, adds what is to be added where it writes, and
gathers while it writes what the norm after it needs. So no map is read or written but by convolutions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.buffers import Buffers
from prosect.networks.direct import convolve
from prosect.networks.moments import Affine, Moments
from prosect.networks.winograd import TILE, WinogradConv3
from prosect.networks.workers import Workers

__all__ = ["INPUTS", "Layers", "Map"]

BLOCK_BYTES = 2**21  # of a piece's output; of a quarter to four times as many the fastest
# A kernel of more values than this over fewer voxels than this is all about reading the kernel.
KERNEL_VALUES, FEW_VOXELS = 2**18, 640
CHUNK = 64  # output channels of a piece of such a layer
# Of a stride-2, 3-tap transposed convolution with padding 1, by the parity of an output voxel: where its inputs lie,
# and the tap of each. Even ones see one input, odd ones two.
INPUTS = {0: ((0, 1),), 1: ((0, 2), (1, 0))}

Block = tuple[slice, slice]
"""Planes and rows of a map."""


@dataclass(frozen=True, eq=False)
class Map:
    """A feature map (i j k c) and its moments, which are none where no norm follows."""

    values: Tensor
    moments: Moments


class Layers:
    """The layers of one network, with their kernels as they are used, their threads and their memory.

    Args:
        dtype: Of maps and kernels: float32, or bfloat16 on processors that multiply it.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self.buffers = Buffers()
        self._workers = Workers()
        self._kernels: dict[tuple[str, Tensor], Tensor] = {}
        self._winograd: dict[Tensor, WinogradConv3] = {}

    def convolve(
        self,
        conv: nn.Conv3d,
        x: Tensor,
        affine: Affine | None = None,
        into: Tensor | None = None,
        head: nn.Conv3d | None = None,
        measure: bool = True,
    ) -> Map:
        """Return a 3x3x3 convolution with padding 1 of `x` (i j k c).

        Args:
            conv: Stride 1 or 2, no bias.
            x: Input.
            affine: Applied to `x` while it is read; padding stays zero.
            into: Added to the output, and where the result is written.
            head: A 1x1x1 convolution of the result, which it replaces.
            measure: Whether a norm follows, which needs the moments.
        """
        stride = conv.stride[0]
        i, j, k = (-(-n // stride) for n in x.shape[:3])
        out = self.buffers.take((i, j, k, conv.out_channels), self.dtype) if into is None else into
        if conv.weight.numel() >= KERNEL_VALUES and i * j * k <= FEW_VOXELS and head is None:
            return self._by_channels(conv, x, affine, out, into is not None)
        convolved = self._block_function(conv, x, affine, out.shape[0])

        def piece(block: Block) -> Moments | None:
            y, target = convolved(*block), out[block]
            if into is not None:
                y += target
            if head is not None:
                bias = None if head.bias is None else head.bias.to(y.dtype)
                y = F.linear(y, head.weight.flatten(1).to(y.dtype), bias)
            target.copy_(y)
            return Moments.of(y) if measure else None

        row_bytes = k * max(conv.out_channels, conv.in_channels) * self.dtype.itemsize
        parts = self._workers.map(piece, blocks_of(i, j, row_bytes))
        return Map(out, Moments.merge([part for part in parts if part is not None]))

    def _block_function(
        self, conv: nn.Conv3d, x: Tensor, affine: Affine | None, planes: int
    ) -> Callable[[slice, slice], Tensor]:
        """Return what makes the planes and rows (p r k o) of a convolution."""
        stride = conv.stride[0]
        fits = stride == 1 and planes % TILE == 0 and self.dtype == torch.float32
        if fits and WinogradConv3.fits(conv.weight):
            if conv.weight not in self._winograd:
                self._winograd[conv.weight] = WinogradConv3(conv.weight.detach())
            winograd = self._winograd[conv.weight]
            return lambda i, j: winograd(read(x, reach(i), reach(j), affine))
        kernel = self._direct(conv.weight)

        def direct(i: slice, j: slice) -> Tensor:
            source = read(x, reach(i, stride), reach(j, stride), affine)
            return convolve(source.permute(3, 0, 1, 2)[None], kernel, (0, 0, 1), stride)[0].permute(1, 2, 3, 0)

        return direct

    def transpose(self, conv: nn.ConvTranspose3d, x: Tensor, skip: Tensor) -> Map:
        """Return a 3x3x3 transposed convolution with stride 2 of `x` (i j k c), added to `skip` (2i 2j 2k o) in place.

        The convolution becomes matrix products per parity of the output voxel.
        """
        i, j, k, channels = x.shape

        def piece(task: tuple[tuple[int, int, int], slice]) -> Moments:
            (a, b, c), planes = task
            shifts = itertools.product(*(INPUTS[parity] for parity in (a, b, c)))
            inputs = []
            for (di, _), (dj, _), (dk, _) in shifts:
                shifted = x[planes.start + di : planes.stop + di, dj:, dk:]
                lacking = (0, 0, 0, k - shifted.shape[2], 0, j - shifted.shape[1])
                inputs.append(F.pad(shifted, (*lacking, 0, planes.stop - planes.start - shifted.shape[0])))
            y = torch.cat(inputs, dim=-1) @ self._parity(conv.weight, (a, b, c))
            target = skip[2 * planes.start + a : 2 * planes.stop : 2, b::2, c::2]
            y += target
            target.copy_(y)
            return Moments.of(y)

        depth = max(1, BLOCK_BYTES // (j * k * channels * self.dtype.itemsize))
        parts = []
        for first in range(0, i, depth):
            parts.append(slice(first, min(first + depth, i)))
        # Those with the most taps first, so that nobody is left alone with a long one.
        parities = sorted(itertools.product((0, 1), (0, 1), (0, 1)), key=sum, reverse=True)
        tasks = [(parity, planes) for parity in parities for planes in parts]
        return Map(skip, Moments.merge(self._workers.map(piece, tasks)))

    def activate(self, x: Tensor, affine: Affine, residual: Tensor) -> Tensor:
        """Return activation(norm(x) + residual), written to `residual`; all (i j k c)."""
        scale, shift, slope = affine

        def piece(block: Block) -> None:
            target = residual[block]
            total = torch.addcmul(shift, x[block].float(), scale).add_(target)
            target.copy_(F.leaky_relu_(total, slope))

        self._workers.map(piece, blocks_of(x.shape[0], x.shape[1], x.shape[2] * x.shape[3] * x.element_size()))
        return residual

    def _by_channels(self, conv: nn.Conv3d, x: Tensor, affine: Affine | None, out: Tensor, add: bool) -> Map:
        """Return a convolution over few voxels as matrix products, shared out by output channels."""
        stride, channels = conv.stride[0], x.shape[3]
        i, j, k = out.shape[:3]
        padded = x.new_zeros(x.shape[0] + 2, x.shape[1] + 2, x.shape[2] + 2, channels)
        if affine is None:
            padded[1:-1, 1:-1, 1:-1] = x
        else:
            padded[1:-1, 1:-1, 1:-1] = activated(x, affine)
        a, b, c, _ = padded.stride()
        size = (i, j, k, 3, 3, 3 * channels)
        columns = padded.as_strided(size, (stride * a, stride * b, stride * c, a, b, 1)).reshape(i * j * k, -1)

        def piece(first: int) -> Moments:
            y = columns @ self._columns(conv.weight, first)
            target = out[..., first : first + CHUNK]
            y = y.view(target.shape)
            if add:
                y += target
            target.copy_(y)
            return Moments.of(y)

        parts = self._workers.map(piece, range(0, conv.out_channels, CHUNK))
        mean, squares = torch.cat([part.mean for part in parts]), torch.cat([part.squares for part in parts])
        return Map(out, Moments(parts[0].count, mean, squares))

    def _keep(self, kind: str, weight: Tensor, make: partial[Tensor]) -> Tensor:
        """Return a kernel as it is used, made at its first use."""
        key = (kind, weight)
        if key not in self._kernels:
            self._kernels[key] = make().to(self.dtype)
        return self._kernels[key]

    def _direct(self, weight: Tensor) -> Tensor:
        """Return a kernel (o c 3 3 3) in channels-last memory."""
        make = partial(weight.detach().contiguous, memory_format=torch.channels_last_3d)
        return self._keep("direct", weight, make)

    def _columns(self, weight: Tensor, first: int) -> Tensor:
        """Return the columns of a kernel (27c CHUNK) that make the output channels from `first` on."""

        def make() -> Tensor:
            part = weight.detach()[first : first + CHUNK]
            return part.permute(2, 3, 4, 1, 0).reshape(-1, part.shape[0]).contiguous()

        return self._keep(f"columns {first}", weight, partial(make))

    def _parity(self, weight: Tensor, parity: tuple[int, int, int]) -> Tensor:
        """Return the taps (t*c o) of a transposed kernel that output voxels of a parity see."""

        def make() -> Tensor:
            inputs = itertools.product(*(INPUTS[p] for p in parity))
            return torch.cat([weight.detach()[:, :, a, b, c] for (_, a), (_, b), (_, c) in inputs])

        return self._keep(f"parity {parity}", weight, partial(make))


def blocks_of(planes: int, rows: int, row_bytes: int) -> list[Block]:
    """Return the blocks of a map, four planes each and as many rows as fit the cache."""
    most = max(4, min(rows, BLOCK_BYTES // (TILE * row_bytes)))
    # All of nearly one height: a thin block is nearly all border.
    height = -(-rows // -(-rows // most))
    starts: Iterable[tuple[int, int]] = itertools.product(range(0, planes, TILE), range(0, rows, height))
    found: list[Block] = []
    for a, b in starts:
        found.append((slice(a, min(a + TILE, planes)), slice(b, min(b + height, rows))))
    return found


def activated(x: Tensor, affine: Affine) -> Tensor:
    """Return values (... c) scaled, shifted and activated."""
    scale, shift, slope = affine
    out = torch.addcmul(shift, x.float(), scale)
    if slope == 0:
        out = out.relu_()
    else:
        out = F.leaky_relu_(out, slope)
    return out.to(x.dtype)


def reach(out: slice, stride: int = 1) -> slice:
    """Return which inputs a 3-tap convolution with padding 1 reads for outputs; the ends may lie outside."""
    return slice(stride * out.start - 1, stride * (out.stop - 1) + 2)


def read(x: Tensor, planes: slice, rows: slice, affine: Affine | None) -> Tensor:
    """Return planes and rows of `x` (i j k c) with zeros outside, the inside scaled, shifted and activated."""
    first, last = max(planes.start, 0), min(planes.stop, x.shape[0])
    top, bottom = max(rows.start, 0), min(rows.stop, x.shape[1])
    source = x[first:last, top:bottom]
    if affine is None:
        inside = source
    else:
        inside = activated(source, affine)
    before, above = first - planes.start, top - rows.start
    shape = (planes.stop - planes.start, rows.stop - rows.start)
    if inside.shape[:2] == shape:
        return inside.contiguous()
    block = x.new_empty(*shape, *x.shape[2:])
    # Only the border is cleared: clearing all costs as much as writing all.
    block[:before] = 0
    block[before + last - first :] = 0
    block[:, :above] = 0
    block[:, above + bottom - top :] = 0
    block[before : before + last - first, above : above + bottom - top] = inside
    return block
