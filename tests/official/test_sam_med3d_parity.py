"""Our SAM-Med3D against medim's on shared random weights."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.checkpoints.files import RawWeights
from prosect.checkpoints.fit_sam_med3d import fit_sam_med3d
from prosect.networks.sam_med3d import SamMed3D, sam_med3d
from reference import sam_med3d_example as example
from worlds.rounding import spread

medim = pytest.importorskip("medim")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]

TOLERANCE = 1e-4
SIZES = [
    {"image_size": 48, "vit_patch_size": 16, "encoder_embed_dim": 48, "encoder_depth": 3, "encoder_num_heads": 2,
     "encoder_global_attn_indexes": [1], "prompt_embed_dim": 96},
    {"image_size": 16, "vit_patch_size": 8, "encoder_embed_dim": 24, "encoder_depth": 2, "encoder_num_heads": 3,
     "encoder_global_attn_indexes": [0], "prompt_embed_dim": 48},
]  # fmt: skip


def official(seed: int, **sizes: Any) -> nn.Module:
    """Return medim's network with random weights, those that begin at zero perturbed so that each one matters."""
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        net: nn.Module = medim.create_model("SAM-Med3D", **sizes).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "rel_pos" in name or "pos_embed" in name or p.ndim == 1:
                p.add_(0.3 * torch.randn_like(p))
    return net


def ours(net: nn.Module) -> SamMed3D:
    """Return our network with the same weights."""
    return fit_sam_med3d(RawWeights(dict(net.state_dict()), "0" * 64, "torch"))[0]


def relative(a: Tensor, b: Tensor) -> float:
    """Return the largest difference over the scale of the values."""
    return float((a - b).abs().max() / b.std())


def answer(net: Any, features: Tensor, points: Tensor | None, labels: Tensor | None, previous: Tensor) -> Tensor:
    """Return the official answer to clicks, as its inference asks for it."""
    given = None if points is None else [points, labels]
    sparse, dense = net.prompt_encoder(points=given, boxes=None, masks=previous)
    masks: Tensor = net.mask_decoder(
        image_embeddings=features,
        image_pe=net.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )[0]
    return masks


@pytest.fixture(scope="module", params=range(len(SIZES)))
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, SamMed3D, int]:
    """Return both networks and the side of the crop."""
    net = official(request.param, **SIZES[request.param])
    return net, ours(net), SIZES[request.param]["image_size"]  # type: ignore[return-value]


@torch.no_grad()
def test_the_encoder_equals_the_official_one(pair: tuple[Any, SamMed3D, int]) -> None:
    net, mine, size = pair
    image = torch.randn(1, 1, size, size, size)
    assert relative(mine.embed(image), net.image_encoder(image)) <= TOLERANCE


@pytest.mark.parametrize(("grid", "window"), [(5, 3), (4, 2), (3, 3)])
@torch.no_grad()
def test_windows_smaller_than_the_grid_equal_the_official_ones(grid: int, window: int) -> None:
    from medim.models.sam_med3d import Block3D

    from prosect.networks.sam_med3d.image_encoder import _Block

    torch.manual_seed(0)
    block = Block3D(24, 2, use_rel_pos=True, window_size=window).eval()
    for p in block.parameters():
        p.add_(0.3 * torch.randn_like(p))
    mine = _Block(24, 2, window, False, "official")
    mine.load_state_dict(block.state_dict())
    mine.norm1.eps = mine.norm2.eps = block.norm1.eps
    tokens = torch.randn(1, grid, grid, grid, 24)
    assert relative(mine(tokens), block(tokens)) <= TOLERANCE


@torch.no_grad()
def test_the_prompt_encoder_equals_the_official_one(pair: tuple[Any, SamMed3D, int]) -> None:
    net, mine, size = pair
    encoder = mine.prompt_encoder
    points, labels = torch.rand(3, 4, 3) * size, torch.tensor([[1, 0, -1, 1], [0, 0, 1, 1], [1, 1, 1, 0]])
    grid = (mine.architecture.grid,) * 3
    mask = torch.randn(3, 1, *(4 * n for n in grid))
    sparse, dense = net.prompt_encoder(points=[points, labels.float()], boxes=None, masks=mask)
    assert relative(encoder.embed_points(points, labels, (size,) * 3), sparse) <= TOLERANCE
    assert relative(encoder.embed_mask(mask, grid), dense) <= TOLERANCE
    assert relative(encoder.grid(grid), net.prompt_encoder.get_dense_pe()) <= TOLERANCE
    _, nothing = net.prompt_encoder(points=[points[:1], labels[:1].float()], boxes=None, masks=None)
    assert torch.equal(encoder.embed_mask(None, grid), nothing)


@torch.no_grad()
def test_the_mask_decoder_equals_the_official_one(pair: tuple[Any, SamMed3D, int]) -> None:
    net, mine, _ = pair
    grid, width = mine.architecture.grid, mine.architecture.embedding
    image, pe, dense = (torch.randn(n, width, grid, grid, grid) for n in (1, 1, 2))
    sparse = torch.randn(2, 3, width)
    for every in (True, False):
        masks, quality = net.mask_decoder(image, pe, sparse, dense, multimask_output=False)
        if every:
            masks, quality = net.mask_decoder.predict_masks(image, pe, sparse, dense)
        found = mine.mask_decoder(image, pe, sparse, dense, every)
        assert relative(found[0], masks) <= TOLERANCE
        assert float((found[1] - quality).abs().max()) <= TOLERANCE


@torch.no_grad()
def test_a_walk_of_clicks_equals_the_official_one(pair: tuple[Any, SamMed3D, int]) -> None:
    net, mine, size = pair
    image = torch.randn(1, 1, size, size, size)
    features, expected_features = mine.embed(image), net.image_encoder(image)
    found = mine.blank(features)
    expected = torch.zeros_like(found)
    walk = torch.rand(4, 1, 3) * (size - 1)
    labels = torch.tensor([1, 0, 1, 1])
    for n in range(5):
        # One click at a time; a round without a click; then all clicks together, as the official inference shows them.
        points, signs = {2: (None, None), 4: (walk.transpose(0, 1), labels[None])}.get(
            n, (walk[None, n % 4], labels[None, n % 4, None])
        )
        found = mine.refine(features, points, signs, found)
        expected = answer(net, expected_features, points, signs, expected)
        assert relative(found, expected) <= TOLERANCE
    up = F.interpolate(expected, size=(size,) * 3, mode="trilinear", align_corners=False)
    assert relative(mine.upsample(found), up) <= TOLERANCE


def test_the_record_that_runs_without_medim_is_medims() -> None:
    # Three blocks of five sums, two convolutions, and 25 sums at each of three clicks; the longest sum is that of a
    # convolution (27 x 48 terms). This allows 1.2e-4; a wrong answer differs by 0.1 and more.
    tolerance = spread(sums=3 * 5 + 2 + 3 * 25, terms=27 * 48)
    expected = example.recorded()
    for key, values in example.official_answers().items():
        assert relative(expected[key], torch.tensor(values)) <= tolerance, key


def test_gradients_equal_the_official_ones(pair: tuple[Any, SamMed3D, int]) -> None:
    net, _, size = pair
    mine = ours(net).requires_grad_(True)
    image, points = torch.randn(1, 1, size, size, size), torch.rand(1, 2, 3) * (size - 1)
    labels = torch.tensor([[1, 0]])
    net.zero_grad()
    previous = torch.zeros(1, 1, *(4 * mine.architecture.grid,) * 3)
    answer(net, net.image_encoder(image), points, labels, previous).square().mean().backward()
    mine.refine(mine.embed(image), points, labels, previous).square().mean().backward()
    expected = dict(net.named_parameters())
    for name, p in mine.named_parameters():
        theirs = expected[name].grad
        if p.grad is None:
            assert theirs is None or not theirs.any(), name
        elif "qkv.bias" not in name and "k_proj.bias" not in name:  # the key's bias has none but for rounding
            assert float((p.grad - theirs).abs().max()) <= 1e-3 * float(theirs.abs().max()), name


def test_the_published_size_has_the_official_keys_and_order() -> None:
    with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
        theirs = medim.create_model("SAM-Med3D").state_dict()
        mine = sam_med3d().state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in theirs.items()}
