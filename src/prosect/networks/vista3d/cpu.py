"""Both branches arranged for processors: same weights, same answer, about half the arithmetic.

Arrays are channels-last (i j k c); norms are reduced to one scale and shift per channel and applied where the next
convolution reads; residuals are added where it writes; wide 3x3x3 convolutions use Winograd's F(4,3). Each layer is one
parallel region, and maps lie in memory that is used again. The modules of this package are the slow twin that the tests
compare with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from prosect.networks.vista3d.cpu_layers import Layers, Map
from prosect.networks.vista3d.network import Vista3D

__all__ = ["CpuBranches"]

Pyramid = list[Map]


class CpuBranches:
    """Inference through a network's encoder and either decoder.

    Args:
        network: A VISTA3D in evaluation mode on the CPU, float32. Its weights are read when they are first used.
        dtype: Of its maps: float32, or bfloat16 on processors that multiply it.
    """

    def __init__(self, network: Vista3D, dtype: torch.dtype = torch.float32) -> None:
        self.network = network
        self._layers = Layers(dtype)

    @torch.inference_mode()
    def automatic_features(self, windows: Tensor) -> Tensor:
        """Return features (b c i j k), channels-last in memory, of windows (b 1 i j k)."""
        features = []
        for w in windows:
            features.append(self._map(self._decode(self._automatic_decoder, self._encode(w)[0])))
        if len(features) == 1:
            stacked = features[0][None]
        else:
            stacked = torch.stack(features)
        return stacked.permute(0, 4, 1, 2, 3)

    @torch.inference_mode()
    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on a patch (1 1 i j k) shares, float32; see `Vista3D.interactive_features`."""
        network: Any = self.network
        both = network.architecture.click_head == "maps" and network.architecture.automatic
        pyramid, copy = self._encode(image[0], twice=both)
        features = self._decode(network.image_encoder.up_layers, pyramid)
        if both:
            features = torch.cat([features, self._map(self._decode(self._automatic_decoder, copy))], dim=3)
        out: Tensor = network.point_head.downsample(features.float().permute(3, 0, 1, 2)[None])
        return out

    def release(self) -> None:
        """Return the memory of maps to the system."""
        self._layers.buffers.release()

    @property
    def _automatic_decoder(self) -> Any:
        return self.network.image_encoder.up_layers_auto

    def _encode(self, window: Tensor, twice: bool = False) -> tuple[Pyramid, Pyramid]:
        """Return the pyramid of a window (1 i j k), finest first; and a copy where two decoders use it up."""
        encoder: Any = self.network.image_encoder.encoder
        x = self._layers.convolve(encoder.conv_init, window.movedim(0, -1).contiguous().to(self._layers.dtype))
        pyramid, copy = [], []
        for level in encoder.layers:
            for block in level.blocks:
                # A norm follows where another block does.
                x = self._res_block(block, x, measure=block is not level.blocks[-1])
            pyramid.append(x)
            if twice:
                copy.append(Map(x.values.clone(), x.moments))
            if isinstance(level.downsample, nn.Conv3d):
                x = self._layers.convolve(level.downsample, x.values)
        return pyramid, copy

    def _decode(self, decoder: Any, pyramid: Pyramid) -> Tensor:
        """Return features (i j k c) at full resolution; the pyramid is used up."""
        x = pyramid.pop()
        for up in decoder:
            x = self._layers.transpose(up.upsample.deconv, x.values, pyramid.pop().values)
            head = None
            if isinstance(up.head, nn.Conv3d):
                head = up.head
            for block in up.blocks:
                x = self._res_block(block, x, head, measure=block is not up.blocks[-1])
        return x.values

    def _res_block(self, block: Any, x: Map, head: nn.Conv3d | None = None, measure: bool = True) -> Map:
        """Return a residual block of a map, in the map's own memory."""
        first = x.moments.affine(block.norm1)
        y = self._layers.convolve(block.conv1, x.values, first)
        second = y.moments.affine(block.norm2)
        # Written into the block's input: what it adds to, and what nobody needs afterwards.
        return self._layers.convolve(block.conv2, y.values, second, into=x.values, head=head, measure=measure)

    def _map(self, x: Tensor) -> Tensor:
        """Return features (i j k c) in which class logits are linear, in the memory of those given."""
        network: Any = self.network
        for mapping in network.class_head.image_post_mapping:
            y = self._layers.convolve(mapping.layer.conv1.conv, x)
            y = self._layers.convolve(mapping.layer.conv2.conv, y.values, y.moments.affine(None, slope=0.01))
            x = self._layers.activate(y.values, y.moments.affine(None, slope=0.01), x)
        return x
