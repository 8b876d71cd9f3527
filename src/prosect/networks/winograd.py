"""3x3x3 convolution with half the multiplications: Winograd's F(4,3) along the first axis, in plain torch.

Four output planes need six two-dimensional convolutions instead of twelve. Works on channels-last arrays (i j k c), a
block at a time that stays in the processor's cache. Agrees with the direct convolution to about 1e-5 of its scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prosect.networks.direct import convolve

__all__ = ["TILE", "WinogradConv3"]

# Kernel transform G of F(4,3) (Lavin and Gray 2016, Sec. 4), interpolation points 0, 1, -1, 2, -2 and infinity.
_KERNEL = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
TILE = 4


class WinogradConv3:
    """A 3x3x3 convolution of four planes, stride 1, no bias.

    Args:
        weight: Kernel (o c 3 3 3).
    """

    def __init__(self, weight: Tensor) -> None:
        transform = torch.tensor(_KERNEL, dtype=torch.float64)
        kernels = torch.einsum("td,ocdhw->tochw", transform, weight.double()).float()
        self.kernels = [k.contiguous(memory_format=torch.channels_last) for k in kernels]

    @staticmethod
    def fits(weight: Tensor) -> bool:
        """Return whether it pays: too few channels are bound by memory, too many are efficient already."""
        return 32 <= weight.shape[1] <= 256

    def __call__(self, block: Tensor) -> Tensor:
        """Return four output planes (4 j k o) of six input planes (6 j+2 k c): borders included, but not k's."""
        d0, d1, d2, d3, d4, d5 = block.unbind(0)
        # The input transform B of F(4,3), by parts that two planes share: sums of even and of odd planes.
        even, odd = torch.sub(d4, d2, alpha=4), torch.sub(d3, d1, alpha=4)
        even2, odd2 = d4 - d2, (d3 - d1).mul_(2)
        # Each transformed plane is used up before the next is made, so that few lie in the cache at a time.
        m1, m2 = self._plane(even + odd, 1), self._plane(even - odd, 2)
        sum1, diff1 = m1 + m2, m1.sub_(m2)
        m3, m4 = self._plane(even2 + odd2, 3), self._plane(even2 - odd2, 4)
        sum2, diff2 = m3 + m4, m3.sub_(m4)
        m0 = self._plane(even.sub_(d2).add_(d0, alpha=4), 0)
        m5 = self._plane(torch.sub(d5, d3, alpha=5).add_(d1, alpha=4), 5)
        # The output transform A, again by shared sums and differences.
        out = torch.empty(TILE, *m0.shape)
        torch.add(m0.add_(sum1), sum2, out=out[0])
        torch.add(diff1, diff2, alpha=2, out=out[1])
        torch.add(sum1, sum2, alpha=4, out=out[2])
        torch.add(diff1.add_(m5), diff2, alpha=8, out=out[3])
        return out

    def _plane(self, plane: Tensor, number: int) -> Tensor:
        """Return the 2D convolution (j k o) of a transformed plane (j+2 k c)."""
        out = convolve(plane.permute(2, 0, 1)[None], self.kernels[number], (0, 1))
        return out[0].permute(1, 2, 0)
