"""Both branches of a VISTA3D as graphs of OpenVINO: same weights, fused by a library that is made for processors.

The graph is written here, operation by operation, and not converted from a trace: that takes no time and needs no tool
of OpenVINO's, so nothing of its telemetry, which is kept out of the process altogether. A graph is compiled once for
each window shape. The modules of this package are the slow twin that the tests compare with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from prosect.networks.buffers import Buffers
from prosect.networks.vista3d.network import Vista3D

# Before OpenVINO is loaded: its tools then fall back to a telemetry that does nothing.
sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
import openvino  # noqa: E402
from openvino import opset13 as ops  # noqa: E402

__all__ = ["OpenVinoBranches"]

EPSILON = 1e-5  # torch's instance norm
PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
SPACE = (2, 3, 4)
CHANNELS_LAST = (0, 2, 3, 4, 1)


class OpenVinoBranches:
    """Inference through a network's encoder and either decoder.

    Args:
        network: A VISTA3D in evaluation mode on the CPU, float32. Its weights are read when a shape is first seen.
        dtype: In which it multiplies.
    """

    def __init__(self, network: Vista3D, dtype: torch.dtype = torch.float32) -> None:
        self.network = network
        self._settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            # Threads that are bound to cores wait where a neighbour has the core.
            "ENABLE_CPU_PINNING": False,
        }
        self._requests: dict[tuple[str, int, tuple[int, ...]], Any] = {}
        self._buffers = Buffers()

    def automatic_features(self, windows: Tensor) -> Tensor:
        """Return features (b c i j k), channels-last in memory, of windows (b 1 i j k)."""
        features = [self._run("automatic", window[None]) for window in windows]
        if len(features) == 1:
            stacked = features[0]
        else:
            stacked = torch.cat(features)
        return stacked.permute(0, 4, 1, 2, 3)

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on a patch (1 1 i j k) shares; see `Vista3D.interactive_features`."""
        out: Tensor = self.network.point_head.downsample(self._run("interactive", image))
        return out

    @property
    def weights_alive(self) -> int:
        """Bytes of the weights of the automatic branch, which OpenVINO arranges anew for its kernels."""
        encoder: Any = self.network.image_encoder
        parts = [encoder.encoder]
        if self.network.architecture.automatic:
            parts.append(encoder.up_layers_auto)
        total = 0
        for part in parts:
            total += sum(weight.numel() * weight.element_size() for weight in part.parameters())
        return total

    def release(self) -> None:
        """Return the memory of results that nobody holds to the system."""
        self._buffers.release()

    def _run(self, branch: str, image: Tensor) -> Tensor:
        """Return what the graph of a branch makes of an image (1 1 i j k)."""
        threads = torch.get_num_threads()
        key = (branch, threads, tuple(image.shape))
        if key not in self._requests:
            settings = {**self._settings, "INFERENCE_NUM_THREADS": threads}
            graph = graph_of(self.network, branch, image.shape)
            compiled = openvino.Core().compile_model(graph, "CPU", settings)
            self._requests[key] = compiled.create_infer_request()
        request = self._requests[key]
        found = self._buffers.take(request.model_outputs[0].shape)
        # OpenVINO writes where the result is wanted: memory of its own would have to be copied, page by page.
        request.set_output_tensor(0, openvino.Tensor(found.numpy(), shared_memory=True))
        request.infer([image.float().contiguous().numpy()], share_inputs=True, share_outputs=True)
        return found


def graph_of(network: Vista3D, branch: str, shape: Sequence[int]) -> Any:
    """Return the graph from an image (1 1 i j k) of a shape to the features of a branch.

    Args:
        network: Whose features.
        branch: `automatic`, features (1 i j k c) as they are blended, or `interactive`, features (1 c i j k) as the
            click head takes them.
        shape: Of the image.
    """
    image = ops.parameter(list(shape), np.float32)
    encoder: Any = network.image_encoder
    pyramid = encode(encoder.encoder, image)
    if branch == "automatic":
        out = map_features(network, decode(encoder.up_layers_auto, pyramid))
        # So they lie in memory inside the graph already: nothing is moved.
        out = ops.transpose(out, constant(np.array(CHANNELS_LAST, np.int64)))
    else:
        out = decode(encoder.up_layers, pyramid)
        if network.architecture.click_head == "maps" and network.architecture.automatic:
            known = map_features(network, decode(encoder.up_layers_auto, pyramid))
            out = ops.concat([out, known], 1)
    return openvino.Model([out], [image], branch)


def encode(encoder: Any, image: Any) -> list[Any]:
    """Return the pyramid of an image, finest first."""
    x = convolution(image, encoder.conv_init)
    pyramid = []
    for level in encoder.layers:
        for block in level.blocks:
            x = res_block(x, block)
        pyramid.append(x)
        if isinstance(level.downsample, nn.Conv3d):
            x = convolution(x, level.downsample)
    return pyramid


def decode(decoder: Any, pyramid: Sequence[Any]) -> Any:
    """Return features at full resolution from a pyramid, finest first."""
    x = pyramid[-1]
    for level, skip in zip(decoder, reversed(pyramid[:-1]), strict=True):
        x = ops.add(transposed(x, level.upsample.deconv), skip)
        for block in level.blocks:
            x = res_block(x, block)
        if isinstance(level.head, nn.Conv3d):
            x = convolution(x, level.head)
    return x


def map_features(network: Vista3D, x: Any) -> Any:
    """Return features in which class logits are linear."""
    for mapping in cast(Any, network.class_head.image_post_mapping):
        y = leaky(instance_norm(convolution(x, mapping.layer.conv1.conv)))
        y = instance_norm(convolution(y, mapping.layer.conv2.conv))
        x = leaky(ops.add(y, x))
    return x


def res_block(x: Any, block: Any) -> Any:
    """Return a residual block."""
    y = convolution(ops.relu(instance_norm(x, block.norm1)), block.conv1)
    return ops.add(convolution(ops.relu(instance_norm(y, block.norm2)), block.conv2), x)


def instance_norm(x: Any, norm: nn.InstanceNorm3d | None = None) -> Any:
    """Return every channel with mean 0 and variance 1, then scaled and shifted as a norm says."""
    y = ops.mvn(x, constant(np.array(SPACE, np.int64)), True, EPSILON, "INSIDE_SQRT")
    if norm is None or not norm.affine:
        return y
    return ops.add(ops.multiply(y, per_channel(norm.weight)), per_channel(norm.bias))


def convolution(x: Any, conv: nn.Conv3d) -> Any:
    """Return a convolution as a module has it."""
    pads = list(cast(tuple[int, ...], conv.padding))
    y = ops.convolution(x, constant(values(conv.weight)), list(conv.stride), pads, pads, [1, 1, 1])
    if conv.bias is None:
        return y
    return ops.add(y, per_channel(conv.bias))


def transposed(x: Any, conv: nn.ConvTranspose3d) -> Any:
    """Return a transposed convolution as a module has it."""
    pads, more = list(cast(tuple[int, ...], conv.padding)), list(conv.output_padding)
    weight = constant(values(conv.weight))
    make: Callable[..., Any] = ops.convolution_backprop_data
    return make(x, weight, list(conv.stride), pads_begin=pads, pads_end=pads, output_padding=more)


def leaky(x: Any) -> Any:
    """Return the leaky ReLU that the class head has."""
    return ops.prelu(x, constant(np.array([0.01], np.float32)))


def per_channel(weight: Tensor) -> Any:
    """Return one value per channel in a shape that maps (b c i j k) take."""
    return constant(values(weight).reshape(1, -1, 1, 1, 1))


def values(weight: Tensor) -> np.ndarray[Any, Any]:
    """Return a weight as an array that shares its memory."""
    return weight.detach().numpy()


def constant(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as a constant of a graph, which shares its memory: a copy of all weights would be kept."""
    return ops.constant(array, shared_memory=True)
