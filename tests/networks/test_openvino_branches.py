"""OpenVINO's graphs equal the modules, and nothing leaves the machine."""

from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from prosect.lazy import load_module
from prosect.networks.vista3d import Architecture, Vista3D, vista3d

pytest.importorskip("openvino", reason="the extra `openvino` is not installed")


def network(**other: object) -> Vista3D:
    """Return a small random network whose norms scale and shift."""
    torch.manual_seed(0)
    net = vista3d(Architecture(width=8, blocks=(1, 2, 1), **other)).eval()  # type: ignore[arg-type]
    for module in net.modules():
        if isinstance(module, nn.InstanceNorm3d) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return net


@pytest.mark.parametrize("head", ["tokens", "maps"])
def test_both_branches_equal_the_modules(head: str) -> None:
    net = network(click_head=head)
    windows = torch.rand(2, 1, 8, 16, 12)
    graphs = load_module("prosect.networks.vista3d.openvino_branches").OpenVinoBranches(net)
    with torch.inference_mode():
        for expected, found in (
            (net.automatic_features(windows), graphs.automatic_features(windows)),
            (net.interactive_features(windows[:1]), graphs.interactive_features(windows[:1])),
        ):
            assert found.shape == expected.shape
            assert float((found - expected).abs().max() / expected.std()) < 3e-3
            labels = [each.argmax(1) for each in (expected, found)]
            assert float((labels[0] == labels[1]).float().mean()) > 0.999


def test_graphs_share_the_weights_of_the_network_and_what_openvino_arranges_anew_is_told() -> None:
    module = load_module("prosect.networks.vista3d.openvino_branches")
    net = network(interactive=False)
    weight = net.class_head.image_post_mapping[0].layer.conv1.conv.weight  # type: ignore[index,union-attr]
    assert np.shares_memory(module.constant(module.values(weight)).data, weight.detach().numpy())
    counted = sum(each.numel() for each in net.image_encoder.parameters())
    assert module.OpenVinoBranches(net).weights_alive == 4 * counted


def test_a_result_outlives_the_window_after_it() -> None:
    graphs = load_module("prosect.networks.vista3d.openvino_branches").OpenVinoBranches(network(interactive=False))
    windows = torch.rand(2, 1, 8, 8, 8)
    first = graphs.automatic_features(windows[:1])
    kept = first.clone()
    graphs.automatic_features(windows[1:])
    assert torch.equal(first, kept)


def test_features_are_written_once_in_the_order_they_are_blended_in_and_their_memory_is_used_again() -> None:
    graphs = load_module("prosect.networks.vista3d.openvino_branches").OpenVinoBranches(network(interactive=False))
    window = torch.rand(1, 1, 32, 32, 32)
    places = set()
    for _ in range(6):
        features = graphs.automatic_features(window)
        assert features.permute(0, 2, 3, 4, 1).is_contiguous()
        places.add(features.data_ptr())
        del features
    assert len(places) <= 2
    graphs.release()
    assert graphs.automatic_features(window).shape == (1, 8, 32, 32, 32)


ALONE = """
import socket, sys
def refuse(*_, **__): raise AssertionError("a connection was tried")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import torch
from prosect.lazy import load_module
from prosect.networks.vista3d import Architecture, vista3d
net = vista3d(Architecture(width=8, blocks=(1, 1), interactive=False)).eval()
graphs = load_module("prosect.networks.vista3d.openvino_branches").OpenVinoBranches(net)
graphs.automatic_features(torch.rand(1, 1, 8, 8, 8))
assert sys.modules["openvino_telemetry"] is None
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""


def test_no_connection_is_tried_and_no_telemetry_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_guard_of_connections_can_fail() -> None:
    check = [*ALONE.splitlines()[1:4], "socket.create_connection(('127.0.0.1', 9))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(check)], capture_output=True, text=True, timeout=60)
    assert "a connection was tried" in done.stderr
    assert socket.create_connection.__module__ == "socket"
