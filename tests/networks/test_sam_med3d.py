"""SAM-Med3D's network: published names and sizes, the short attention against padding, and what is odd about it."""

from __future__ import annotations

import hashlib
import itertools
import math

import pytest
import torch
from torch import Tensor

from prosect.networks.sam_med3d import BUILDS, Architecture, SamMed3D, sam_med3d
from prosect.networks.sam_med3d.image_encoder import _Attention
from prosect.networks.sam_med3d.short_attention import Padding, official_bias, relative_table
from reference import sam_med3d_example as example
from reference.padded_attention import padded_attention
from worlds.rounding import spread

TINY = Architecture(crop=32, patch=8, width=24, depth=3, heads=2, global_blocks=(1,), window=5, embedding=48,
                    decoder_hidden=32)  # fmt: skip


def randomised(module: torch.nn.Module, seed: int = 0, scale: float = 0.3) -> None:
    """Give every weight a random part, those that begin at zero or one too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=generator))


def tiny(seed: int = 0, **other: object) -> SamMed3D:
    """Return a small random network."""
    torch.manual_seed(seed)
    net = sam_med3d(Architecture(**{**vars(TINY), **other})).eval()  # type: ignore[arg-type]
    randomised(net, seed)
    return net


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("vit_b_ori", 100_509_232), ("vit_b", 36_186_928), ("vit_l", 322_786_864), ("vit_h", 652_434_992)],
)
def test_builds_have_their_published_sizes(name: str, parameters: int) -> None:
    with torch.device("meta"):
        net = sam_med3d(name)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_names_and_shapes_are_those_of_the_published_weights() -> None:
    with torch.device("meta"):
        state = sam_med3d().state_dict()
    lines = sorted(f"{key} {tuple(value.shape)}" for key, value in state.items())
    assert len(lines) == 324
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == "9590214e821247565c21a3dd83d68795d7c218c2082a39bb91c987f08ddbbdc9"


def test_weights_with_boxes_have_two_more_tensors() -> None:
    with torch.device("meta"):
        state = sam_med3d(Architecture(box_embeddings=True)).state_dict()
    assert len(state) == 326
    assert sum(v.numel() for k, v in state.items() if "gaussian" not in k) == 100_510_000


def test_the_small_build_is_small() -> None:
    with torch.device("meta"):
        net = sam_med3d("small")
    assert sum(p.numel() for p in net.parameters()) < 4_000_000
    with pytest.raises(ValueError, match="vit_b_ori"):
        sam_med3d("tiny")


@pytest.mark.parametrize(
    ("grid", "size"),
    [((4, 4, 4), 5), ((4, 4, 4), 4), ((3, 3, 3), 7), ((5, 5, 5), 4), ((6, 6, 6), 3), ((2, 3, 4), 5), ((7, 4, 5), 5)],
)
def test_the_short_attention_is_attention_over_the_padding(grid: tuple[int, ...], size: int) -> None:
    torch.manual_seed(0)
    attention = _Attention(24, 2, size, False, "official").double()
    randomised(attention, scale=1.0)
    tokens = torch.randn(2, *grid, 24, dtype=torch.float64, requires_grad=True)
    short, padded = attention(tokens), padded_attention(attention, tokens, size, heads=2)
    # The logits of position are computed in single precision: three axes, a head of 12 terms. With weights of this
    # scale they reach tens, and what a logit is off is the relative error of its weight. This allows 7e-5.
    assert relative(short, padded) < 30 * spread(sums=3, terms=12)
    weights = torch.randn_like(short)
    ours = torch.autograd.grad((short * weights).sum(), [tokens, *attention.parameters()])
    theirs = torch.autograd.grad((padded * weights).sum(), [tokens, *attention.parameters()])
    for found, expected in zip(ours, theirs, strict=True):
        assert relative(found, expected) < 1e-4


def test_the_short_attention_at_the_published_window() -> None:
    torch.manual_seed(1)
    attention = _Attention(8, 1, 14, False, "official")
    randomised(attention)
    tokens = torch.randn(1, 8, 8, 8, 8)
    with torch.no_grad():
        assert relative(attention(tokens), padded_attention(attention, tokens, 14, heads=1)) < 1e-4


def test_padding_takes_a_real_share_of_the_attention() -> None:
    tables = tuple(relative_table(torch.zeros(27, 4), 14) for _ in range(3))
    padding = Padding(*torch.zeros(3, 1, 4))
    _, padded = official_bias(torch.randn(1, 1, 8, 8, 8, 4), tables, padding, 0.5)  # type: ignore[arg-type]
    assert padded is not None
    torch.testing.assert_close(padded, torch.full_like(padded, math.log(14**3 - 8**3)))


def test_extreme_logits_stay_finite() -> None:
    query = torch.full((1, 1, 3, 3, 3, 4), 60.0, requires_grad=True)
    table = torch.zeros(9, 4)
    table[:3] = 50.0
    padding = Padding(*(torch.full((1, 4), value) for value in (60.0, -3.0, 1.0)))
    tables = (relative_table(table, 5), relative_table(-table, 5), relative_table(table, 5))
    bias, padded = official_bias(query, tables, padding, 0.5)
    assert padded is not None
    (padded.sum() + bias.sum()).backward()
    assert query.grad is not None
    assert all(bool(each.isfinite().all()) for each in (bias, padded, query.grad))


def test_the_official_indexing_is_not_the_one_of_each_axis() -> None:
    torch.manual_seed(0)
    official, fixed = (_Attention(8, 1, 4, True, mode) for mode in ("official", "fixed"))
    randomised(official)
    fixed.load_state_dict(official.state_dict())
    tokens = torch.randn(1, 4, 4, 4, 8)
    with torch.no_grad():
        assert relative(official(tokens), fixed(tokens)) > 0.1


def test_fixed_positions_turn_with_the_axes() -> None:
    attention = _Attention(8, 2, 4, True, "fixed")
    randomised(attention)
    turned = _Attention(8, 2, 4, True, "fixed")
    state = attention.state_dict()
    turned.load_state_dict({**state, "rel_pos_d": state["rel_pos_w"], "rel_pos_w": state["rel_pos_d"]})
    tokens = torch.randn(1, 4, 4, 4, 8)
    with torch.no_grad():
        assert relative(turned(tokens.transpose(1, 3)), attention(tokens).transpose(1, 3)) < 1e-5


def test_fixed_positions_take_any_box_and_official_ones_cubes_only() -> None:
    image = torch.randn(1, 1, 32, 16, 48)
    net = tiny(positions="fixed")
    with torch.no_grad():
        features = net.embed(image)
        points, labels = torch.tensor([[[30.0, 2, 40]]]), torch.tensor([[1]])
        assert net.upsample(net.refine(features, points, labels, net.blank(features))).shape == image.shape
    with pytest.raises(ValueError, match="not a cube"):
        tiny().embed(image)
    with pytest.raises(ValueError, match="multiple of 8"):
        tiny().embed(image[..., :44])


def test_another_crop_size_gets_interpolated_positions() -> None:
    net = tiny()
    with torch.no_grad():
        features = net.embed(torch.randn(1, 1, 48, 48, 48))
        net.image_encoder.pos_embed.fill_(0.25)
        positions = net.image_encoder._positions((6, 6, 6))
    assert features.shape == (1, 48, 6, 6, 6)
    torch.testing.assert_close(positions, torch.full((1, 6, 6, 6, 24), 0.25))


def test_the_grid_counts_its_first_two_axes_the_other_way_round() -> None:
    encoder = tiny().prompt_encoder
    with torch.no_grad():
        grid = encoder.grid((4, 4, 4))[0]
        for i, j, k in itertools.product(range(4), repeat=3):
            centre = torch.tensor([[[8.0 * j + 3.5, 8.0 * i + 3.5, 8.0 * k + 3.5]]])
            code = encoder.embed_points(centre, torch.tensor([[1]]), (32, 32, 32))[0, 0]
            torch.testing.assert_close(grid[:, i, j, k] + encoder.point_embeddings[1].weight[0], code)


def test_in_fixed_positions_a_click_has_the_code_of_its_place() -> None:
    encoder = tiny(positions="fixed").prompt_encoder
    with torch.no_grad():
        grid = encoder.grid((4, 4, 4))[0]
        centre = torch.tensor([[[8.0 * 1 + 3.5, 8.0 * 3 + 3.5, 8.0 * 2 + 3.5]]])
        code = encoder.embed_points(centre, torch.tensor([[1]]), (32, 32, 32))[0, 0]
        torch.testing.assert_close(grid[:, 1, 3, 2] + encoder.point_embeddings[1].weight[0], code)


def test_a_code_is_sine_cosine_and_sine_again() -> None:
    layer = tiny().prompt_encoder.pe_layer
    point = torch.tensor([0.1, 0.6, 0.9])
    phase = 2 * math.pi * (2 * point - 1) @ layer.positional_encoding_gaussian_matrix
    torch.testing.assert_close(layer(point), torch.cat([phase.sin(), phase.cos(), phase.sin()]))


def test_a_padding_token_follows_the_clicks() -> None:
    encoder = tiny().prompt_encoder
    tokens = encoder.embed_points(torch.rand(2, 3, 3) * 31, torch.tensor([[1, 0, -1], [0, 0, 1]]), (32, 32, 32))
    assert tokens.shape == (2, 4, 48)
    for place in ((0, 3), (1, 3), (0, 2)):
        assert torch.equal(tokens[place], encoder.not_a_point_embed.weight[0])


def test_objects_are_answered_apart_and_share_the_image() -> None:
    net = tiny()
    points, labels = torch.rand(3, 2, 3) * 31, torch.tensor([[1, 0], [1, 1], [0, 1]])
    with torch.no_grad():
        features = net.embed(torch.randn(1, 1, 32, 32, 32))
        previous = torch.randn(3, 1, 16, 16, 16)
        together = net.refine(features, points, labels, previous)
        apart = [net.refine(features, points[n, None], labels[n, None], previous[n, None]) for n in range(3)]
    assert relative(together, torch.cat(apart)) < 1e-4


def test_a_round_without_clicks_improves_the_previous_answer() -> None:
    net = tiny()
    with torch.no_grad():
        features = net.embed(torch.randn(1, 1, 32, 32, 32))
        answers = [net.refine(features, None, None, value * torch.ones(2, 1, 16, 16, 16)) for value in (-5.0, 5.0)]
    assert answers[0].shape == (2, 1, 16, 16, 16)
    assert relative(*answers) > 0.01


def test_a_forward_pass_is_a_first_click() -> None:
    net = tiny()
    image, points, labels = torch.randn(1, 1, 32, 32, 32), torch.rand(2, 1, 3) * 31, torch.ones(2, 1).long()
    with torch.no_grad():
        features = net.embed(image)
        expected = net.upsample(net.refine(features, points, labels, torch.zeros(2, 1, 16, 16, 16)))
        assert torch.equal(net(image, points, labels), expected)


@torch.no_grad()
def test_recorded_answers_of_the_official_network_are_repeated() -> None:
    sizes = Architecture(crop=32, patch=8, width=24, depth=3, heads=2, global_blocks=(1,), embedding=48)
    net = example.filled(sam_med3d(sizes))
    assert isinstance(net, SamMed3D)
    expected = example.recorded()
    features = net.embed(example.image())
    assert relative(torch.tensor(example.sampled(features)), expected["features"]) < 1e-4
    answer = net.blank(features)
    for number, (point, label) in enumerate(example.CLICKS):
        answer = net.refine(features, torch.tensor([[point]]), torch.tensor([[label]]), answer)
        assert relative(torch.tensor(example.sampled(answer)), expected[f"click {number}"]) < 1e-4


def test_every_weight_that_a_click_uses_is_trained() -> None:
    net = tiny()
    features = net.embed(torch.randn(1, 1, 32, 32, 32))
    first = net.refine(features, torch.rand(1, 2, 3) * 31, torch.tensor([[1, 0]]), net.blank(features))
    net.refine(features, None, None, first).square().sum().backward()
    idle = {name for name, weight in net.named_parameters() if weight.grad is None}
    unused = ("mask_decoder.iou_prediction_head", "prompt_encoder.no_mask_embed", "mask_decoder.output_hypernetworks")
    assert all(name.startswith(unused) for name in idle), sorted(idle)


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference over the scale of the values."""
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.std())


def test_wrong_numbers_are_refused() -> None:
    for wrong in ({"crop": 100}, {"width": 100}, {"embedding": 64}):
        with pytest.raises(ValueError, match="multiple"):
            Architecture(**wrong)  # type: ignore[arg-type]
    assert BUILDS["vit_b_ori"].grid == 8
