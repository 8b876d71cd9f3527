"""The point head arranged for processors: same weights, same answer, less than half of the time.

Image tokens are channels-last already. Clicks and image attend to each other as `prosect.networks.cpu_attention` says.
The transposed convolution becomes matrix products per parity of the output voxel; its result is normalised, activated
and multiplied with the folded last convolution while it lies in cache. It is made twice, once for the norm's mean and
variance: to keep it would take 400 MB for a patch of 128 voxels, and longer. All is shared out among threads plane by
plane, so that nobody spins at a barrier while a neighbour has the core. `PointHead` is the slow twin that the tests
compare with.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.networks.buffers import Buffers
from prosect.networks.cpu_attention import CpuTwoWay
from prosect.networks.moments import Moments
from prosect.networks.vista3d.cpu_layers import INPUTS
from prosect.networks.vista3d.point_head import PointHead
from prosect.networks.workers import Workers

__all__ = ["CpuPointHead"]

# A voxel that is so far away along each axis, and the weights (d d) by which it adds.
Step: TypeAlias = tuple[tuple[int, int, int], Tensor]

# So many planes are upscaled at once: enough that little time goes between the steps, few enough for a core's cache.
PLANES = 4
TAPS = tuple(itertools.product((0, 1, 2), repeat=3))


class CpuPointHead:
    """Mask logits from cached features, as `PointHead.forward`.

    Args:
        head: A point head in evaluation mode on the CPU, float32.
    """

    def __init__(self, head: PointHead) -> None:
        self.head = head
        self._workers, self._buffers = Workers(), Buffers()
        self._attention = CpuTwoWay(head.transformer, self._workers)
        upscaling: Any = head.output_upscaling
        weight = upscaling[0].weight.detach()
        self._parities = []
        for parity in itertools.product((0, 1), repeat=3):
            steps = []
            for (di, a), (dj, b), (dk, c) in itertools.product(*(INPUTS[p] for p in parity)):
                steps.append(((di, dj, dk), weight[:, :, a, b, c].contiguous()))
            self._parities.append((parity, steps))

    @torch.inference_mode()
    def __call__(self, image: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
        """Return mask logits (q 1 i j k); arguments as for `PointHead.forward`."""
        half = (int(image.shape[2]), int(image.shape[3]), int(image.shape[4]))
        prompts = self.head.prompt_tokens(half, points, labels, zero_shot)
        codes = self.head.position_codes(half)
        source = image[0].permute(1, 2, 3, 0).reshape(-1, image.shape[1])
        answers = []
        for tokens in prompts:
            updated = self._buffers.take(source.shape)
            mask_token = self._attention(source, codes, tokens, updated)[:1]
            vector = self.head.output_hypernetworks_mlps(mask_token)[0]
            answers.append(self._upscale(updated.view(*half, -1), vector))
        # Hundreds of megabytes, used again for each object; the next click is a person's time away.
        self._buffers.release()
        return torch.stack(answers)

    def _upscale(self, image: Tensor, vector: Tensor) -> Tensor:
        """Return logits (1 i j k) of image tokens (i/2 j/2 k/2 d) for one object's vector (d)."""
        sources = self._shifted(image)
        scale, shift, _ = self._moments(sources).affine(None)
        last: Any = self.head.output_upscaling[3]
        # Folded with the object's vector as in the twin: one value for each tap and input channel.
        taps = torch.einsum("o,oiabc->abci", vector, last.weight).flatten(0, 2)
        h, w, d, width = image.shape

        def piece(planes: range) -> Tensor:
            count = len(planes)
            # Two planes of voxels add to themselves and to one on either side; likewise a rim in the other axes. Voxels
            # of one parity lie side by side, so that runs of memory are added.
            sums = torch.zeros(2, 2, 2, count + 1, w + 1, d + 1)
            made = torch.empty(count, w * d, width)
            for parity, steps in self._parities:
                for plane, own in zip(planes, made, strict=True):
                    transposed(sources, plane, steps, own)
                rows = F.gelu(torch.addcmul(shift, made, scale, out=made)).view(-1, width)
                shares = (taps @ rows.T).view(-1, count, w, d)
                # Each voxel adds its share to the 27 around it.
                for share, tap in zip(shares, TAPS, strict=True):
                    a, b, c = (p + 2 - t for p, t in zip(parity, tap, strict=True))
                    plane, row, column = a // 2, b // 2, c // 2
                    near = sums[a % 2, b % 2, c % 2, plane : plane + count, row : row + w, column : column + d]
                    near += share
            return sums.permute(3, 0, 4, 1, 5, 2).reshape(2 * count + 2, 2 * w + 2, 2 * d + 2)

        blocks = [range(first, min(first + PLANES, h)) for first in range(0, h, PLANES)]
        padded = torch.zeros(2 * h + 2, 2 * w + 2, 2 * d + 2)
        for planes, sums in zip(blocks, self._workers.map(piece, blocks), strict=True):
            padded[2 * planes.start : 2 * planes.stop + 2] += sums
        logits: Tensor = padded[1:-1, 1:-1, 1:-1] + vector @ last.bias
        return logits[None]

    def _shifted(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return image tokens (i/2+1 j/2+1 k/2 d) as they are and moved by one along the last axis, zeros beyond.

        Rows and planes that are shifted by whole voxels are then one run of memory.
        """
        h, w, d, width = image.shape
        sources = []
        for moved in (0, 1):
            source = self._buffers.take((h + 1, w + 1, d, width))
            source[h:] = 0
            source[:, w:] = 0
            source[:, :, d - moved :] = 0
            source[:h, :w, : d - moved] = image[:, :, moved:]
            sources.append(source)
        return sources[0], sources[1]

    def _moments(self, sources: tuple[Tensor, Tensor]) -> Moments:
        """Return mean and variance of the transposed convolution, of which no value is kept.

        The convolution's bias is left out: the norm takes a constant away.
        """
        h, w, d, width = sources[0].shape

        def piece(plane: int) -> Moments:
            made = torch.empty((w - 1) * d, width)
            parts = []
            for _, steps in self._parities:
                transposed(sources, plane, steps, made)
                parts.append(Moments.of(made))
            return Moments.merge(parts)

        return Moments.merge(self._workers.map(piece, range(h - 1)))


def transposed(sources: tuple[Tensor, Tensor], plane: int, steps: Sequence[Step], out: Tensor) -> None:
    """Write one plane of one parity of the transposed convolution (j/2*k/2 d).

    Args:
        sources: See `CpuPointHead._shifted`.
        plane: Its number.
        steps: Which voxels add to it, and their weights.
        out: Takes the plane.
    """
    w = sources[0].shape[1] - 1
    for number, ((di, dj, dk), weight) in enumerate(steps):
        rows = sources[dk][plane + di, dj : dj + w].view(out.shape)
        if number:
            out.addmm_(rows, weight)
        else:
            torch.mm(rows, weight, out=out)
