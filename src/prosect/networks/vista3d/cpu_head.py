"""The point head's last steps arranged for processors: same weights, same answer, a third of the time.

Image tokens are channels-last already. The transposed convolution becomes matrix products per parity of the output
voxel; its result is normalised, activated and multiplied with the folded last convolution while it lies in cache. Both
are shared out among threads plane by plane, so that nobody spins at a barrier while a neighbour has the core.
`PointHead.upscale` is the slow twin that the tests compare with.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.networks.buffers import Buffers
from prosect.networks.moments import Affine, Moments
from prosect.networks.vista3d.cpu_layers import INPUTS
from prosect.networks.vista3d.point_head import PointHead
from prosect.networks.workers import Workers

__all__ = ["CpuPointHead"]

TAPS = tuple(itertools.product((0, 1, 2), repeat=3))


class CpuPointHead:
    """Mask logits from cached features, as `PointHead.forward`.

    Args:
        head: A point head in evaluation mode on the CPU, float32.
    """

    def __init__(self, head: PointHead) -> None:
        self.head = head
        self._workers, self._buffers = Workers(), Buffers()
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
        half = image.shape[2:]
        tokens, masks = self.head.attend(image, points, labels, zero_shot)
        vectors = self.head.output_hypernetworks_mlps(masks)
        answers = []
        for own_tokens, vector in zip(tokens, vectors, strict=True):
            answers.append(self._upscale(own_tokens.view(*half, -1), vector))
        # Hundreds of megabytes, used again for each object; the next click is a person's time away.
        self._buffers.release()
        return torch.stack(answers)

    def _upscale(self, image: Tensor, vector: Tensor) -> Tensor:
        """Return logits (1 i j k) of image tokens (i/2 j/2 k/2 d) for one object's vector (d)."""
        maps, (scale, shift, _) = self._transposed(image)
        last: Any = self.head.output_upscaling[3]
        # Folded with the object's vector as in the twin: one value for each tap and input channel.
        taps = torch.einsum("o,oiabc->abci", vector, last.weight).flatten(0, 2)
        h, w, d, width = image.shape

        def piece(plane: int) -> Tensor:
            # Two planes of voxels add to themselves and to one on either side; likewise a rim in the other axes.
            sums = torch.zeros(4, 2 * w + 2, 2 * d + 2)
            for (parity, _), values in zip(self._parities, maps, strict=True):
                rows = F.gelu(torch.addcmul(shift, values[plane], scale)).view(-1, width)
                shares = (taps @ rows.T).view(-1, w, d)
                # Each voxel adds its share to the 27 around it; voxels of one parity lie two apart.
                for share, tap in zip(shares, TAPS, strict=True):
                    a, b, c = (p + 2 - t for p, t in zip(parity, tap, strict=True))
                    sums[a, b : b + 2 * w : 2, c : c + 2 * d : 2] += share
            return sums

        padded = torch.zeros(2 * h + 2, 2 * w + 2, 2 * d + 2)
        for plane, sums in enumerate(self._workers.map(piece, range(h))):
            padded[2 * plane : 2 * plane + 4] += sums
        logits: Tensor = padded[1:-1, 1:-1, 1:-1] + vector @ last.bias
        return logits[None]

    def _transposed(self, image: Tensor) -> tuple[list[Tensor], Affine]:
        """Return the transposed convolution by parity (i/2 j/2 k/2 d), and the instance norm that follows.

        The convolution's bias is left out: the norm takes a constant away.
        """
        h, w, d, width = image.shape
        # With a rim of zeros at the far faces the inputs of a plane, shifted by whole voxels, are one run of memory.
        flat = F.pad(image, (0, 0, 0, 1, 0, 1, 0, 1)).view(-1, width)
        row, area = d + 1, (w + 1) * (d + 1)
        # What is computed for the rim itself is not used; the very last of it would lie outside.
        count = w * row - 1
        maps = [self._buffers.take((h, w, d, width)) for _ in self._parities]

        def piece(plane: int) -> Moments:
            made = torch.empty(w * row, width)
            parts = []
            for (_, steps), out in zip(self._parities, maps, strict=True):
                sums = made[:count].zero_()
                for (di, dj, dk), weight in steps:
                    first = (plane + di) * area + dj * row + dk
                    sums.addmm_(flat[first : first + count], weight)
                target = out[plane]
                target.copy_(made.view(w, row, width)[:, :d])
                parts.append(Moments.of(target))
            return Moments.merge(parts)

        moments = Moments.merge(self._workers.map(piece, range(h)))
        return maps, moments.affine(None)
