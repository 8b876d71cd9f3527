"""Small pieces go on request; what contained them takes their voxels over."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.geometry import Grid
from prosect.inference.small_pieces import without_small_pieces
from prosect.labelmap import LabelLayers, LabelMap
from prosect.vocabulary import load

WORDS = load("prosect")
BODY, LIVER, SPLEEN = (WORDS[name].index for name in ("body", "liver", "spleen"))
# Voxels of 2 mm3.
GRID = Grid((12, 10, 8), np.diag([1.0, 1.0, 2.0, 1.0]))


def array() -> np.ndarray:
    """A body with a liver of 27 voxels (54 mm3), a piece of 4 (8 mm3) beside it, and a spleen of 1 (2 mm3)."""
    values = np.full(GRID.shape, BODY, np.uint16)
    values[:3, :3, :3] = LIVER
    values[6:8, 6:8, 6] = LIVER
    values[11, 9, 7] = SPLEEN
    return values


def test_pieces_below_the_volume_fall_to_the_body_and_are_counted() -> None:
    before = LabelMap(array(), GRID, WORDS, {"notes": ["read"], "classes": [BODY, LIVER, SPLEEN]})
    after = without_small_pieces(before, 10.0)
    assert (after.array == LIVER).sum() == 27
    assert SPLEEN not in after.present
    assert (after.array == BODY).sum() == (before.array == BODY).sum() + 5
    assert after.sought == before.sought
    assert list(after.provenance["notes"]) == [
        "read",
        "liver: 1 piece smaller than 10 mm3 was left out",
        "spleen: 1 piece smaller than 10 mm3 was left out",
    ]


@pytest.mark.parametrize(("least", "left"), [(8.0, 31), (8.1, 27), (1.0, 31), (55.0, 0)])
def test_a_piece_of_exactly_the_volume_stays(least: float, left: int) -> None:
    after = without_small_pieces(LabelMap(array(), GRID, WORDS), least)
    assert (after.array == LIVER).sum() == left


def test_without_a_container_voxels_become_background_and_the_original_stays() -> None:
    values = array()
    values[values == BODY] = 0
    before = LabelMap(values, GRID, WORDS)
    after = without_small_pieces(before, 10.0)
    assert after.present == (LIVER,)
    assert before.present == (LIVER, SPLEEN)


def test_layers_lose_their_own_pieces_only() -> None:
    masks = np.stack([array() == LIVER, np.ones(GRID.shape, bool)])
    after = without_small_pieces(LabelLayers(masks, (LIVER, BODY), GRID, WORDS), 10.0)
    assert after.own_mask(LIVER).sum() == 27
    assert after.own_mask(BODY).all()
