"""Both branches arranged for processors: same weights, same answer, about half the arithmetic.

Arrays are channels-last (i j k c); norms are reduced to one scale and shift per channel and applied where the next
convolution reads; residuals are added where it writes; wide 3x3x3 convolutions use Winograd's F(4,3). The modules of
this package are the slow twin that the tests compare with.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.vista3d.network import Vista3D
from prosect.networks.winograd import Affine, WinogradConv3, activate_

__all__ = ["CpuBranches"]

CHUNK = 8192


class CpuBranches:
    """Inference through a network's encoder and either decoder.

    Args:
        network: A VISTA3D in evaluation mode on the CPU, float32. Its weights are read now and shared where possible.
    """

    def __init__(self, network: Vista3D) -> None:
        self.network = network
        self._winograd: dict[Tensor, WinogradConv3] = {}
        self._strided = {
            m.weight: m.weight.detach().contiguous(memory_format=torch.channels_last_3d)
            for m in network.modules()
            if isinstance(m, nn.Conv3d | nn.ConvTranspose3d)
        }

    @torch.inference_mode()
    def automatic_features(self, windows: Tensor) -> Tensor:
        """Return features (b c i j k), channels-last in memory, of windows (b 1 i j k)."""
        network: Any = self.network
        features = []
        for window in windows:
            x = self._decode(network.image_encoder.up_layers_auto, self._encode(window))
            for mapping in network.class_head.image_post_mapping:
                x = self._mapping_block(mapping.layer, x)
            features.append(x)
        return torch.stack(features).permute(0, 4, 1, 2, 3)

    @torch.inference_mode()
    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on a patch (1 1 i j k) shares: features (1 c i/2 j/2 k/2)."""
        decoded = self._decode(self.network.image_encoder.up_layers, self._encode(image[0]))
        return self.network.point_head.downsample(decoded.permute(3, 0, 1, 2)[None])

    def _encode(self, window: Tensor) -> list[Tensor]:
        """Return the pyramid of a window (1 i j k), finest first."""
        encoder: Any = self.network.image_encoder.encoder
        x = self._convolve(encoder.conv_init, window.movedim(0, -1))
        pyramid = []
        for level in encoder.layers:
            for block in level.blocks:
                x = self._res_block(block, x)
            pyramid.append(x)
            if isinstance(level.downsample, nn.Conv3d):
                x = self._convolve(level.downsample, x)
        return pyramid

    def _decode(self, decoder: Any, pyramid: list[Tensor]) -> Tensor:
        """Return features (i j k c) at full resolution; the pyramid is used up."""
        x = pyramid.pop()
        for up in decoder:
            x = self._transposed(up.upsample.deconv, x).add_(pyramid.pop())
            for block in up.blocks:
                x = self._res_block(block, x)
            if isinstance(up.head, nn.Conv3d):
                x = _linear(up.head, x)
        return x

    def _res_block(self, block: Any, x: Tensor) -> Tensor:
        y = self._conv3(block.conv1, x, _affine(x, block.norm1))
        return self._conv3(block.conv2, y, _affine(y, block.norm2), residual=x)

    def _mapping_block(self, layer: Any, x: Tensor) -> Tensor:
        y = self._conv3(layer.conv1.conv, x)
        y = self._conv3(layer.conv2.conv, y, _affine(y, None, slope=0.01))
        scale, shift, _ = _affine(y, None)
        for a, b in zip(_rows(y), _rows(x), strict=True):
            F.leaky_relu_(a.mul_(scale).add_(shift).add_(b), 0.01)
        return y

    def _conv3(
        self, conv: nn.Conv3d, x: Tensor, affine: Affine | None = None, residual: Tensor | None = None
    ) -> Tensor:
        """Return conv(activation(x)) + residual."""
        if WinogradConv3.fits(conv.weight, x.shape[0]):
            if conv.weight not in self._winograd:
                self._winograd[conv.weight] = WinogradConv3(conv.weight.detach())
            return self._winograd[conv.weight](x, affine, residual)
        if affine is not None:
            x = x.clone()
            for rows in _rows(x):
                activate_(rows, affine)
        out = self._convolve(conv, x)
        return out if residual is None else out.add_(residual)

    def _convolve(self, conv: Any, x: Tensor) -> Tensor:
        weight = self._strided[conv.weight]
        out = F.conv3d(x.permute(3, 0, 1, 2)[None], weight, stride=conv.stride, padding=conv.padding)
        return out[0].permute(1, 2, 3, 0).contiguous()

    def _transposed(self, conv: nn.ConvTranspose3d, x: Tensor) -> Tensor:
        out = F.conv_transpose3d(
            x.permute(3, 0, 1, 2)[None], self._strided[conv.weight], stride=2, padding=1, output_padding=1
        )
        return out[0].permute(1, 2, 3, 0).contiguous()


def _rows(x: Tensor) -> tuple[Tensor, ...]:
    """Return views (n c) of a channels-last array that fit the cache."""
    return torch.split(x.view(-1, x.shape[-1]), CHUNK)


def _linear(head: nn.Conv3d, x: Tensor) -> Tensor:
    """Return a 1x1x1 convolution as a matrix product."""
    return F.linear(x, head.weight.flatten(1), head.bias)


def _affine(x: Tensor, norm: nn.Module | None, slope: float = 0.0) -> Affine:
    """Return the instance norm of a channels-last array as scale and shift, with the activation that follows.

    Sums are taken per chunk about the first voxel's values, then added in double precision: one pass, no cancellation.
    """
    origin = x.reshape(-1, x.shape[-1])[0].clone()
    total = torch.zeros(x.shape[-1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    count = 0
    for rows in _rows(x):
        centred = rows - origin
        total += centred.sum(0)
        squares += centred.mul_(centred).sum(0)
        count += rows.shape[0]
    mean = total / count
    variance = (squares / count - mean.square()).clamp_min_(0)
    scale = (variance + 1e-5).rsqrt()
    shift = -(mean + origin) * scale
    if isinstance(norm, nn.InstanceNorm3d):
        scale = scale * norm.weight
        shift = shift * norm.weight + norm.bias
    return scale.float(), shift.float(), slope
