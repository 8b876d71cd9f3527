"""A mirror exchanges left and right, in the picture, in the labels and in what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.errors import RecipeError
from prosect.training.mirror import other_sides
from prosect.training.patches import Patch, PatchSampler, TrainingScan, mirror
from prosect.training.scans import Numbering

WORDS = vocabulary.load("prosect")
LIVER, RIGHT_KIDNEY, LEFT_KIDNEY, SPLEEN, LEFT_HIP = 1, 5, 14, 3, 95


def numbering(*order: int, bits: dict[int, int] | None = None) -> Numbering:
    return Numbering(WORDS, order, (), bits or {})


def patch() -> Patch:
    labels = torch.zeros(4, 3, 2, dtype=torch.int32)
    labels[0], labels[1, 1], labels[3, 2] = 1, 2, 3
    known = torch.tensor([True, True, False])
    return Patch(labels[None, None] / 3, labels, labels + 7, known, labels + 1)


def test_sides_are_exchanged_and_what_has_none_stays() -> None:
    assert other_sides(numbering(LIVER, RIGHT_KIDNEY, SPLEEN, LEFT_KIDNEY)).tolist() == [0, 1, 4, 3, 2]
    assert other_sides(numbering(LEFT_HIP, LIVER)).tolist() == [0, 0, 2], "a right hip is none of the numbering"
    every = {s.index: s for s in WORDS if s.laterality}
    table = other_sides(numbering(*every))
    assert (table[1:] > 0).mean() > 0.95, "nearly all have their counterpart"
    paired = table[table > 0]
    np.testing.assert_array_equal(table[table[paired]], paired)


def test_a_mirrored_patch_shows_the_other_side_of_everything() -> None:
    sides = other_sides(numbering(LIVER, RIGHT_KIDNEY, LEFT_KIDNEY))
    seen = mirror(patch(), sides)
    torch.testing.assert_close(seen.image, patch().image.flip(2))
    assert (seen.labels[3] == 1).all()
    assert (seen.labels[2, 1] == 3).all(), "the right kidney is a left one"
    assert (seen.labels[0, 2] == 2).all()
    torch.testing.assert_close(seen.nested, patch().nested.flip(0))
    assert seen.known.tolist() == [True, False, True]
    again = mirror(seen, sides)
    for name in ("image", "labels", "nested", "known", "supervoxels"):
        torch.testing.assert_close(getattr(again, name), getattr(patch(), name))


def test_only_scans_that_may_be_mirrored_are_and_half_of_the_time() -> None:
    labels = np.zeros((16, 16, 16), dtype=np.uint8)
    labels[:8] = 1
    sides = other_sides(numbering(RIGHT_KIDNEY, LEFT_KIDNEY))
    known = np.array([True, True])
    made = [
        TrainingScan("a", labels.astype(np.float16), labels, labels, (3.0, 3.0, 3.0), (1,), known, sides=table)
        for table in (None, sides)
    ]
    sampler = PatchSampler((8, 8, 8), 3.0, np.random.default_rng(0), max_degrees=0, zoom=(1.0, 1.0), foreground=1.0)
    plain = [int(sampler(made[0]).labels.max()) for _ in range(40)]
    turned = [int(sampler(made[1]).labels.max()) for _ in range(40)]
    assert set(plain) == {1}
    assert 8 < turned.count(2) < 32


def test_a_sided_structure_that_contains_others_is_refused() -> None:
    with pytest.raises(RecipeError, match="left hip"):
        other_sides(numbering(LEFT_HIP, bits={LEFT_HIP: 0}))
