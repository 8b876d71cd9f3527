"""Laws of the VISTA3D network."""

from __future__ import annotations

import pytest
import torch

from prosect.networks.vista3d import Architecture, Vista3D, vista3d

SMALL = Architecture(width=16, blocks=(1, 1, 2))


def small(seed: int = 0) -> Vista3D:
    """Return a small random network."""
    torch.manual_seed(seed)
    return vista3d(SMALL).eval()


def test_published_size() -> None:
    with torch.device("meta"):
        network = vista3d()
    assert sum(p.numel() for p in network.parameters()) == 217_964_982
    assert len(network.state_dict()) == 259


def test_class_logits_are_linear_in_the_features() -> None:
    network = small()
    a, b = torch.rand(2, 1, 1, 16, 16, 16)
    with torch.inference_mode():
        mixed = 0.3 * network.automatic_features(a) + 0.7 * network.automatic_features(b)
        vectors = network.class_vectors([1, 40])
        blended = 0.3 * network(a, [1, 40]) + 0.7 * network(b, [1, 40])
    torch.testing.assert_close(torch.einsum("qc,bcijk->bqijk", vectors, mixed), blended, rtol=1e-4, atol=1e-5)


def test_a_window_does_not_depend_on_its_batch() -> None:
    network = small()
    windows = torch.rand(3, 1, 16, 8, 12)
    with torch.inference_mode():
        together = network.automatic_features(windows)
        alone = torch.cat([network.automatic_features(w[None]) for w in windows])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_patch_that_is_no_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        small().automatic_features(torch.rand(1, 1, 16, 16, 18))


def test_folded_upscaling_equals_the_convolution_followed_by_the_product() -> None:
    head = small().point_head
    image, token = torch.randn(3, 16, 4, 6, 5), torch.randn(3, 16)
    with torch.inference_mode():
        full = head.output_upscaling(image)
        expected = torch.einsum("qd,qdijk->qijk", head.output_hypernetworks_mlps(token), full)[:, None]
        torch.testing.assert_close(head.upscale(image, token), expected, rtol=1e-4, atol=1e-4)


def test_an_ignored_point_leaves_the_mask_of_the_others_independent_of_its_place() -> None:
    network = small()
    labels = torch.tensor([[1, -1]])
    here, there = torch.tensor([[[3.0, 4, 5], [0, 0, 0]]]), torch.tensor([[[3.0, 4, 5], [9, 1, 7]]])
    with torch.inference_mode():
        features = network.interactive_features(torch.rand(1, 1, 16, 16, 16))
        a = network.point_logits(features, here, labels, torch.tensor([False]))
        b = network.point_logits(features, there, labels, torch.tensor([False]))
        c = network.point_logits(features, there, torch.tensor([[1, 0]]), torch.tensor([False]))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_network_without_the_interactive_branch_has_none_of_its_weights() -> None:
    network = vista3d(Architecture(width=16, blocks=(1, 1), interactive=False))
    assert not any(k.startswith(("point_head", "image_encoder.up_layers.")) for k in network.state_dict())


@pytest.mark.parametrize("branches", [{}, {"automatic": False}, {"interactive": False}])
def test_the_parts_of_a_network_hold_every_weight_once(branches: dict[str, bool]) -> None:
    network = vista3d(Architecture(width=8, blocks=(1, 1), **branches))
    held = [parameter for modules in network.parts().values() for m in modules for parameter in m.parameters()]
    assert len(held) == len({id(parameter) for parameter in held}) == len(list(network.parameters()))


def test_the_vectors_of_classes_are_learnt_within_the_automatic_part_and_change_no_feature() -> None:
    network = small()
    automatic = {id(p) for module in network.parts()["automatic"] for p in module.parameters()}
    vectors = [p for module in network.class_vector_modules() for p in module.parameters()]
    assert {id(p) for p in vectors} < automatic
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.inference_mode():
        features, before = network.automatic_features(image), network.class_vectors([5])
        for parameter in vectors:
            parameter.mul_(2).add_(0.5)
        assert torch.equal(network.automatic_features(image), features)
        assert not torch.equal(network.class_vectors([5]), before)
