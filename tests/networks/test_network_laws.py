"""Laws of the networks' parts that hold for any weights: convolutions by their sums, attention by its softmax."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prosect.networks.sam.image_encoder import ImageEncoder, joined_windows, neck, split_windows
from prosect.networks.two_way_transformer import Attention, TwoWayTransformer
from prosect.networks.vista3d.class_head import ClassHead
from prosect.networks.vista3d.cpu_layers import activated, blocks_of, read
from prosect.networks.vista3d.map_head import FAR, MAPS, NEAR, SILENT, MapHead
from prosect.networks.winograd import _KERNEL, WinogradConv3

few = settings(max_examples=12, deadline=None)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def direct(x: Tensor, weight: Tensor) -> Tensor:
    """Return the plain convolution (i j k o) of channels-last values (i j k c)."""
    return F.conv3d(x.permute(3, 0, 1, 2)[None], weight, padding=1)[0].permute(1, 2, 3, 0)


@few
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_half_the_multiplications_give_the_same_convolution(rows: int, columns: int, seed: int) -> None:
    x, weight = randn(4, rows, columns, 5, seed=seed), randn(6, 5, 3, 3, 3, seed=seed + 1)
    block = F.pad(x, (0, 0, 0, 0, 1, 1, 1, 1))
    torch.testing.assert_close(WinogradConv3(weight)(block), direct(x, weight), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.3])
def test_what_is_applied_while_reading_is_applied_to_the_inside_and_not_to_the_padding(slope: float) -> None:
    x, scale, shift = randn(8, 5, 6, 4), randn(4, seed=2), randn(4, seed=3)
    before = x.clone()
    expected = F.pad(F.leaky_relu(x * scale + shift, slope), (0, 0, 0, 0, 1, 1, 1, 1))
    found = read(x, slice(-1, 9), slice(-1, 6), (scale, shift, slope))
    torch.testing.assert_close(found, expected)
    inner = read(x, slice(2, 8), slice(1, 5), (scale, shift, slope))
    torch.testing.assert_close(inner, expected[3:9, 2:6])
    assert torch.equal(x, before), "the input stays as it was"


@few
@given(st.integers(1, 40), st.integers(1, 90), st.integers(1, 4_000_000))
def test_blocks_hold_every_row_of_every_plane_once(planes: int, rows: int, row_bytes: int) -> None:
    covered = np.zeros((planes, rows), int)
    heights = set()
    for block in blocks_of(planes, rows, row_bytes):
        covered[block] += 1
        heights.add(block[1].stop - block[1].start)
    assert (covered == 1).all()
    # The last of a column may be lower, all others are of one height.
    assert len(heights) <= 2


def test_the_kernel_transform_is_that_of_its_interpolation_points() -> None:
    """A kernel is a polynomial; its transform holds its values at 0, 1, -1, 2, -2 and infinity, each scaled."""
    g = np.array(_KERNEL)
    points = [0.0, 1.0, -1.0, 2.0, -2.0]
    for row, point in zip(g[:5], points, strict=True):
        powers = np.array([1.0, point, point**2])
        scale = row[0]
        np.testing.assert_allclose(row, scale * powers, atol=1e-12)
    np.testing.assert_allclose(g[5], (0, 0, 1))


@pytest.mark.parametrize(("channels", "pays"), [(31, False), (32, True), (256, True), (257, False)])
def test_it_is_taken_where_it_pays(channels: int, pays: bool) -> None:
    assert WinogradConv3.fits(torch.zeros(1, channels, 3, 3, 3)) is pays


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_activation_is_scale_shift_and_slope(slope: float) -> None:
    x, scale, shift = randn(3, 4, 5), randn(5, seed=1), randn(5, seed=2)
    torch.testing.assert_close(activated(x, (scale, shift, slope)), F.leaky_relu(x * scale + shift, slope))


def attention_twin(layer: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return attention one head and one query after another."""
    queries, keys, values = layer.q_proj(q), layer.k_proj(k), layer.v_proj(v)
    width = queries.shape[-1] // layer.heads
    mixed = torch.zeros_like(queries)
    for b, head, t in itertools.product(range(q.shape[0]), range(layer.heads), range(q.shape[1])):
        own = slice(head * width, (head + 1) * width)
        scores = torch.stack([queries[b, t, own] @ keys[b, s, own] / math.sqrt(width) for s in range(k.shape[1])])
        share = scores.softmax(0)
        mixed[b, t, own] = sum(share[s] * values[b, s, own] for s in range(k.shape[1]))
    return layer.out_proj(mixed)


@pytest.mark.parametrize(("heads", "downsample"), [(1, 1), (2, 2), (4, 1)])
def test_attention_is_a_mean_weighted_by_likeness(heads: int, downsample: int) -> None:
    torch.manual_seed(0)
    layer = Attention(8, heads, downsample).eval()
    q, k, v = randn(2, 3, 8), randn(2, 5, 8, seed=1), randn(2, 5, 8, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(layer(q, k, v), attention_twin(layer, q, k, v), atol=1e-5, rtol=1e-4)


@few
@given(st.integers(0, 1000))
def test_the_order_of_what_is_attended_to_does_not_matter(seed: int) -> None:
    torch.manual_seed(seed)
    layer = Attention(8, 2).eval()
    q, k = randn(1, 3, 8, seed=seed), randn(1, 6, 8, seed=seed + 1)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(6))
    with torch.no_grad():
        torch.testing.assert_close(layer(q, k[:, order], k[:, order]), layer(q, k, k), atol=1e-5, rtol=1e-4)


def test_exchanged_tokens_give_exchanged_answers() -> None:
    torch.manual_seed(1)
    transformer = TwoWayTransformer(2, 8, 2, 16).eval()
    image, codes, tokens = randn(2, 10, 8), randn(1, 10, 8, seed=1), randn(2, 4, 8, seed=2)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        found, seen = transformer(image, codes, tokens)
        turned, same = transformer(image, codes, tokens[:, order])
    torch.testing.assert_close(turned, found[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(same, seen, atol=1e-5, rtol=1e-4)


@few
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_windows_are_cut_with_zeros_behind_the_far_edges_and_put_together_again(h: int, w: int, window: int) -> None:
    tokens = randn(2, h, w, 3) + 5
    cut = split_windows(tokens, window)
    assert cut.shape == (2 * math.ceil(h / window) * math.ceil(w / window), window, window, 3)
    torch.testing.assert_close(joined_windows(cut, tokens.shape), tokens)
    assert float(cut.sum()) == pytest.approx(float(tokens.sum()), rel=1e-4), "nothing is repeated"
    torch.testing.assert_close(cut[0, : min(h, window), : min(w, window)], tokens[0, :window, :window])


def test_a_neck_changes_channels_and_keeps_places() -> None:
    torch.manual_seed(0)
    layers = neck(6, 4).eval()
    with torch.no_grad():
        plain = layers(randn(1, 6, 7, 5))
        turned = layers(randn(1, 6, 7, 5).flip(0))
    assert plain.shape == (1, 4, 7, 5)
    torch.testing.assert_close(turned, plain)


def test_an_encoder_sees_only_its_windows_where_no_block_attends_to_everything() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(12, 2, (2, 2), 24, side=4, patch=4, out_channels=8).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    image = randn(1, 3, 16, 16)
    changed = image.clone()
    changed[:, :, :8, :8] += 1.0
    with torch.no_grad():
        tokens = encoder.patch_embed.proj(image).permute(0, 2, 3, 1) + encoder.pos_embed
        others = encoder.patch_embed.proj(changed).permute(0, 2, 3, 1) + encoder.pos_embed
        for block in encoder.blocks:
            tokens, others = block(tokens), block(others)
    same = (tokens - others).abs().amax(-1)[0] < 1e-6
    expected = torch.ones(4, 4, dtype=torch.bool)
    expected[:2, :2] = False
    torch.testing.assert_close(same, expected)


def test_an_encoder_that_attends_to_everything_sees_everything() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(12, 2, (2, 4), 24, side=4, patch=4, out_channels=8).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    image = randn(1, 3, 16, 16).requires_grad_(True)
    encoder(image)[0, :, 3, 3].sum().backward()
    assert image.grad is not None
    assert bool((image.grad.abs().sum(1)[0, :4, :4] > 0).any()), "the far corner counts"


@pytest.fixture(scope="module")
def clicks() -> MapHead:
    torch.manual_seed(0)
    return MapHead(6, 4, (1, 2)).eval()


def one(points: list[list[float]], labels: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    return torch.tensor([points]), torch.tensor([labels]), torch.tensor([False])


def test_maps_of_a_click_are_one_at_the_click_and_fall_with_the_distance(clicks: MapHead) -> None:
    looks = F.normalize(randn(6, 9, 8, 7), dim=0)
    with torch.no_grad():
        near, far, alike = clicks._signed(looks, torch.tensor([[4.0, 3.0, 2.0]]))
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (9, 8, 7)), indexing="ij"), -1).float()
    distance = (places - torch.tensor([4.0, 3.0, 2.0])).norm(dim=-1)
    torch.testing.assert_close(near, (-(distance**2) / (2 * NEAR**2)).exp(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(far, (-distance / FAR).exp(), atol=1e-4, rtol=1e-3)
    assert float(alike.max()) <= 1 + 1e-5
    assert float(alike[4, 3, 2]) == pytest.approx(float(alike.max()), abs=0.35)


def test_several_clicks_of_a_sign_are_their_nearest(clicks: MapHead) -> None:
    looks = F.normalize(randn(6, 9, 8, 7), dim=0)
    first, second = torch.tensor([[1.0, 1.0, 1.0]]), torch.tensor([[7.0, 6.0, 5.0]])
    with torch.no_grad():
        both = clicks._signed(looks, torch.cat([first, second]))
        each = [clicks._signed(looks, points) for points in (first, second)]
    for number in range(3):
        torch.testing.assert_close(both[number], torch.maximum(each[0][number], each[1][number]), atol=1e-4, rtol=1e-3)


def test_a_sign_without_clicks_has_empty_maps(clicks: MapHead) -> None:
    looks = F.normalize(randn(6, 5, 5, 5), dim=0)
    with torch.no_grad():
        maps = clicks._maps(looks, torch.tensor([[2.0, 2.0, 2.0]]), torch.tensor([1]), torch.tensor(True))
    assert maps.shape == (MAPS - 1, 5, 5, 5)
    assert bool((maps[0] == 1).all()), "the kind of the object"
    assert bool(maps[1:4].any())
    assert not bool(maps[4:].any())


def test_an_ignored_click_is_none(clicks: MapHead) -> None:
    features = randn(1, 6, 8, 8, 8)
    with torch.no_grad():
        plain = clicks(features, *one([[3.0, 3.0, 3.0]], [1]))
        padded = clicks._answer(features, *one([[3.0, 3.0, 3.0], [6.0, 6.0, 6.0]], [1, -1]), None)
    torch.testing.assert_close(padded, plain)


def test_an_untrained_head_is_silent() -> None:
    torch.manual_seed(0)
    head = MapHead(6, 4, (1, 2)).eval()
    torch.nn.init.zeros_(head.out.weight)
    with torch.no_grad():
        found = head(randn(1, 6, 8, 8, 8), *one([[3.0, 3.0, 3.0]], [1]))
    assert found.shape == (1, 1, 8, 8, 8)
    torch.testing.assert_close(found, torch.full_like(found, SILENT))


@pytest.mark.parametrize(("factors", "stride"), [((1,), 1), ((1, 2), 2), ((1, 2, 3, 3), 8)])
def test_the_stride_doubles_with_each_level(factors: tuple[int, ...], stride: int) -> None:
    assert MapHead(4, 4, factors).stride == stride


def test_a_class_vector_does_not_depend_on_the_others_asked_for() -> None:
    torch.manual_seed(0)
    head = ClassHead(8, 12).eval()
    with torch.no_grad():
        every = head.vectors(torch.arange(12))
        for index in (0, 7, 11):
            torch.testing.assert_close(head.vectors(torch.tensor([index]))[0], every[index])


def test_adding_to_an_embedding_changes_no_vector_because_each_is_normalised_over_its_own_values() -> None:
    torch.manual_seed(0)
    head = ClassHead(8, 3).eval()
    hidden = head.mlp[0](head.class_embeddings.weight).detach()
    norm = head.mlp[1]
    torch.testing.assert_close(norm(hidden + 3.0), norm(hidden), atol=1e-5, rtol=1e-4)
    assert float(norm(hidden).mean(-1).abs().max()) < 1e-5


def test_mapping_is_blind_to_brightness_of_its_convolutions() -> None:
    torch.manual_seed(0)
    block = ClassHead(4, 3).image_post_mapping[0].eval()
    x = randn(1, 4, 5, 6, 7)
    layer = block.layer
    with torch.no_grad():
        plain = block(x)
        layer.conv1.conv.weight.mul_(3.0)
        scaled = block(x)
    torch.testing.assert_close(scaled, plain, atol=1e-3, rtol=1e-2)
