"""The attention of clicks and image for processors answers as the module, however it is cut and shared out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prosect.networks import cpu_attention
from prosect.networks.cpu_attention import Attended, CpuTwoWay
from prosect.networks.two_way_transformer import TwoWayTransformer
from prosect.networks.workers import Workers


def transformer(dim: int, depth: int = 2, heads: int = 4) -> TwoWayTransformer:
    torch.manual_seed(dim + depth)
    made = TwoWayTransformer(depth=depth, dim=dim, heads=heads, hidden=64).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            # Biases and norms of a new module are 0 and 1, which would hide that they were forgotten.
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def answers(module: TwoWayTransformer, image: Tensor, codes: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    updated = torch.empty_like(image)
    with torch.inference_mode():
        found = CpuTwoWay(module, Workers())(image, codes, tokens, updated)
    return found, updated


@pytest.mark.parametrize(("dim", "depth", "heads"), [(48, 2, 4), (16, 2, 2), (24, 1, 1), (32, 3, 8)])
@pytest.mark.parametrize(("count", "slice_of"), [(300, 64), (1, 64), (128, 4096)])
def test_it_answers_as_the_module(
    dim: int, depth: int, heads: int, count: int, slice_of: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_attention, "SLICE", slice_of)
    module = transformer(dim, depth, heads)
    image, codes, tokens = torch.randn(count, dim), torch.randn(count, dim), torch.randn(5, dim)
    with torch.inference_mode():
        expected_tokens, expected_image = module(image[None], codes[None], tokens[None])
    found_tokens, found_image = answers(module, image, codes, tokens)
    torch.testing.assert_close(found_tokens, expected_tokens[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found_image, expected_image[0], rtol=1e-4, atol=1e-4)


def test_what_it_is_given_stays_as_it_is() -> None:
    image, codes, tokens = torch.randn(50, 16), torch.randn(50, 16), torch.randn(3, 16)
    kept = [each.clone() for each in (image, codes, tokens)]
    answers(transformer(16), image, codes, tokens)
    for given, before in zip((image, codes, tokens), kept, strict=True):
        assert torch.equal(given, before)


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "SLICE", 32)
    module, before = transformer(16), torch.get_num_threads()
    image, codes, tokens = torch.randn(200, 16), torch.randn(200, 16), torch.randn(4, 16)
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(answers(module, image, codes, tokens))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_scores_that_would_overflow_are_put_together_rightly() -> None:
    scores, image = torch.tensor([[900.0, 0.0, 901.0, -900.0]]), torch.eye(4)
    parts = [Attended.of(scores[:, :2].clone(), image[:2]), Attended.of(scores[:, 2:].clone(), image[2:])]
    torch.testing.assert_close(Attended.mean(parts), scores.softmax(1) @ image)
