"""Keys of official files: any wrapping is taken off, what no network reads is left out, two networks are refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.checkpoints.layouts import canonical, research_layout
from prosect.errors import CheckpointError
from prosect.networks.vista3d import Architecture, vista3d

OURS = {
    "image_encoder.encoder.conv_init.weight": torch.ones(1),
    "class_head.mlp.0.weight": torch.full((2, 2), 2.0),
    "class_head.mlp.0.bias": torch.full((2,), 3.0),
    "point_head.transformer.layers.0.mlp.linear1.weight": torch.full((1,), 4.0),
}
INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "module.")


def same(found: dict[str, torch.Tensor]) -> None:
    """Assert that these are our tensors, each itself."""
    assert set(found) == set(OURS)
    for key, tensor in OURS.items():
        assert found[key] is tensor


@pytest.mark.parametrize("prefix", ["", "module.", "network.", "model.net.", "anything at all."])
def test_what_stands_before_the_parts_is_taken_off_whatever_it_is_called(prefix: str) -> None:
    found = canonical({prefix + key: tensor for key, tensor in OURS.items()})
    same(found.tensors)
    assert found.prefix == prefix
    assert found.renamed == 0
    assert found.dropped == ()


@given(st.lists(st.sampled_from(INSERTED), max_size=3), st.lists(st.sampled_from(INSERTED), max_size=2))
@settings(max_examples=40, deadline=None)
def test_what_wrappers_insert_is_taken_out_at_any_place(before: list[str], within: list[str]) -> None:
    wrapped = {}
    for key, tensor in OURS.items():
        part, rest = key.split(".", 1)
        wrapped["".join(before) + part + "." + "".join(within) + rest] = tensor
    same(canonical(wrapped).tensors)


def test_older_names_of_the_research_code_become_ours() -> None:
    old = {key.replace("linear1", "lin1"): tensor for key, tensor in OURS.items()}
    found = canonical(old)
    same(found.tensors)
    assert found.renamed == 1


@pytest.mark.parametrize("extra", ["total_ops", "image_encoder.total_params", "n_averaged", "class_head.mlp.total_ops"])
def test_counters_are_no_weights(extra: str) -> None:
    found = canonical({**OURS, extra: torch.zeros(1)})
    same(found.tensors)
    assert found.dropped == (extra,)


@pytest.mark.parametrize(
    "extra", ["weight_mapper.0.weight", "point_head.output_add_hypernetworks_mlps.1.layers.2.bias"]
)
def test_tensors_that_nothing_reads_are_left_out(extra: str) -> None:
    found = canonical({**OURS, extra: torch.zeros(1)})
    same(found.tensors)
    assert found.dropped == (extra,)


def test_losses_beside_a_wrapped_network_are_left_out() -> None:
    wrapped = {f"network.{key}": tensor for key, tensor in OURS.items()}
    found = canonical({**wrapped, "criterion.weight": torch.zeros(1)})
    same(found.tensors)
    assert found.dropped == ("criterion.weight",)


def test_two_networks_in_one_file_are_refused_by_their_prefixes() -> None:
    both = {prefix + key: tensor for prefix in ("student.", "teacher.") for key, tensor in OURS.items()}
    with pytest.raises(CheckpointError) as refused:
        canonical(both)
    assert refused.value.code == "MODEL_SEVERAL"
    assert "'student.', 'teacher.'" in str(refused.value)


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(CheckpointError, match="two tensors are called point_head"):
        canonical({**OURS, "point_head.transformer.layers.0.mlp.lin1.weight": torch.zeros(1)})


@pytest.mark.parametrize("prefix", ["module.", "model.net.", ""])
def test_of_a_network_that_is_none_of_ours_known_prefixes_are_taken_off(prefix: str) -> None:
    found = canonical({f"{prefix}swinViT.layer.weight": torch.zeros(1), f"{prefix}out.bias": torch.zeros(1)})
    assert set(found.tensors) == {"swinViT.layer.weight", "out.bias"}


def test_no_tensors_at_all_are_none() -> None:
    assert canonical({}).tensors == {}


def test_the_research_layout_and_back_is_every_tensor_of_the_network() -> None:
    torch.manual_seed(0)
    network = vista3d(Architecture(width=16, blocks=(1, 1), classes=5))
    ours = dict(network.state_dict())
    research = research_layout(ours)
    assert set(research) != set(ours)
    unused = [key for key in research if key.startswith(("weight_mapper", "point_head.output_add"))]
    assert len(unused) == 16
    assert all(not bool(research[key].any()) for key in unused)
    found = canonical(research)
    assert set(found.dropped) == set(unused)
    assert set(found.tensors) == set(ours)
    for key, tensor in ours.items():
        assert torch.equal(found.tensors[key], tensor)


def test_every_wrapping_of_every_layout_gives_the_same_tensors() -> None:
    for prefix, old in itertools.product(("", "module.", "net."), (False, True)):
        keys = {key.replace("linear1", "lin1") if old else key: tensor for key, tensor in OURS.items()}
        same(canonical({prefix + key: tensor for key, tensor in keys.items()}).tensors)
