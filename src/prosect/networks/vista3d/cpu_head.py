"""The point head's last steps arranged for processors: same weights, same answer, a third of the time.

Image tokens are channels-last already. The transposed convolution becomes matrix products per parity of the output
voxel; its result is normalised, activated and multiplied with the folded last convolution while it lies in cache.
`PointHead.upscale` is the slow twin that the tests compare with.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prosect.networks.vista3d.cpu_layers import INPUTS
from prosect.networks.vista3d.point_head import PointHead

__all__ = ["CpuPointHead"]

PLANES = 2  # of the half-size grid at a time: small enough for the cache
EPSILON = 1e-5  # torch's instance norm


class CpuPointHead:
    """Mask logits from cached features, as `PointHead.forward`.

    Args:
        head: A point head in evaluation mode on the CPU, float32.
    """

    def __init__(self, head: PointHead) -> None:
        self.head = head
        upscaling: Any = head.output_upscaling
        weight = upscaling[0].weight.detach()
        self._parities = []
        for parity in itertools.product((0, 1), repeat=3):
            inputs = list(itertools.product(*(INPUTS[p] for p in parity)))
            shifts = []
            for each in inputs:
                shifts.append(tuple(shift for shift, _ in each))
            taps = []
            for (_, a), (_, b), (_, c) in inputs:
                taps.append(weight[:, :, a, b, c])
            self._parities.append((parity, shifts, torch.cat(taps)))

    @torch.inference_mode()
    def __call__(self, image: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
        """Return mask logits (q 1 i j k); arguments as for `PointHead.forward`."""
        half = image.shape[2:]
        tokens, masks = self.head.attend(image, points, labels, zero_shot)
        vectors = self.head.output_hypernetworks_mlps(masks)
        answers = []
        for own_tokens, vector in zip(tokens, vectors, strict=True):
            answers.append(self._upscale(own_tokens.view(*half, -1), vector))
        return torch.stack(answers)

    def _upscale(self, image: Tensor, vector: Tensor) -> Tensor:
        """Return logits (1 i j k) of image tokens (i/2 j/2 k/2 d) for one object's vector (d)."""
        maps, scale, shift = self._transposed(image)
        last: Any = self.head.output_upscaling[3]
        # Folded with the object's vector as in the twin: one value for each input channel and tap.
        taps = torch.einsum("o,oiabc->iabc", vector, last.weight).flatten(1)
        h, w, d = image.shape[:3]
        # With a rim of one voxel, into which the taps of the outermost voxels write; it is cut off at the end.
        padded = torch.zeros(2 * h + 2, 2 * w + 2, 2 * d + 2)
        for (parity, _, _), values in zip(self._parities, maps, strict=True):
            for first in range(0, h, PLANES):
                rows = values[first : first + PLANES]
                products = F.gelu(torch.addcmul(shift, rows, scale)) @ taps
                # Each voxel adds its share to the 27 around it; voxels of one parity lie two apart.
                for n, tap in enumerate(itertools.product((0, 1, 2), repeat=3)):
                    a, b, c = (p + 2 - t for p, t in zip(parity, tap, strict=True))
                    i = a + 2 * first
                    target = padded[i : i + 2 * len(rows) : 2, b : b + 2 * w : 2, c : c + 2 * d : 2]
                    target += products[..., n]
        logits: Tensor = padded[1:-1, 1:-1, 1:-1] + vector @ last.bias
        return logits[None]

    def _transposed(self, image: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the transposed convolution by parity (i/2 j/2 k/2 d), and the instance norm as scale and shift (d).

        The convolution's bias is left out: the norm takes a constant away.
        """
        h, w, d, width = image.shape
        padded = F.pad(image, (0, 0, 0, 1, 0, 1, 0, 1))
        total, squares = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
        maps = [torch.empty(h, w, d, width) for _ in self._parities]
        for first in range(0, h, PLANES):
            last = min(first + PLANES, h)
            for (_, shifts, weight), out in zip(self._parities, maps, strict=True):
                inputs = []
                for a, b, c in shifts:
                    inputs.append(padded[first + a : last + a, b : b + w, c : c + d])
                rows = torch.cat(inputs, dim=-1).view(-1, len(shifts) * width) @ weight
                out[first:last] = rows.view(last - first, w, d, width)
                total += rows.sum(0)
                squares += rows.square_().sum(0)
        count = 8 * h * w * d
        mean = total / count
        scale = ((squares / count - mean.square()).clamp_min_(0) + EPSILON).rsqrt()
        return maps, scale.float(), (-mean * scale).float()
