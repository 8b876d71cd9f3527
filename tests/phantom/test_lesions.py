"""Planted lesions: in their host, of the asked look, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from prosect import vocabulary
from prosect.errors import RecipeError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.lesions import KINDS, Kind, Look, plant, plant_into
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
TILTED = np.array([[1.4, 0.2, 0, -40], [-0.2, 1.4, 0.3, -38], [0, -0.3, 2.0, -36], [0, 0, 0, 1.0]])
HOSTS = ("liver", "left lung upper lobe", "pancreas", "colon", "vertebrae L3", "left kidney", "right kidney")
BASE = {"left lung upper lobe": -850.0, "vertebrae L3": 180.0, "colon": 0.0}


def scan(structure: str, affine: np.ndarray = TILTED, seed: int = 0) -> tuple[Volume, LabelMap]:
    """Return a noisy ball of one structure in fat, with a chequered ring around it to show any push."""
    grid = Grid((60, 60, 40), affine)
    places = grid.to_world(np.argwhere(np.ones(grid.shape))) - grid.to_world([[29.5, 29.5, 19.5]])
    distance = np.linalg.norm(places, axis=1).reshape(grid.shape)
    inside = distance < 25
    hu = np.where(inside, BASE.get(structure, 110.0), -100.0) + 40.0 * (np.indices(grid.shape).sum(0) // 3 % 2)
    hu = hu + np.random.default_rng(seed).normal(0, 9, grid.shape)
    labels = np.where(inside, WORDS[structure].index, WORDS["body"].index).astype(np.uint16)
    return Volume(hu.astype(np.float32), grid, "CT"), LabelMap(labels, grid, WORDS)


@pytest.mark.parametrize("structure", HOSTS)
def test_lesions_stay_in_their_host_and_nothing_else_changes(structure: str) -> None:
    volume, labels = scan(structure)
    host = labels.mask(structure)
    kinds = [kind for kind in KINDS.values() if structure in kind.hosts]
    assert kinds
    for kind in kinds:
        planted = plant(volume, host, kind, np.random.default_rng(4))
        assert planted.mask.any()
        assert not (planted.mask & ~host).any()
        np.testing.assert_array_equal(planted.volume.array[~host], volume.array[~host])
        assert (planted.volume.array[host] != volume.array[host]).any()


def test_the_mask_is_where_the_image_is_the_lesion() -> None:
    volume, labels = scan("liver")
    kind = Kind("hepatic tumor", ("liver",), (8, 8), (Look("cold", 1.0, (-80, -80), lumps=0.2, texture_hu=2),))
    planted = plant(volume, labels.mask("liver"), kind, np.random.default_rng(3), push=0.0)
    inside = planted.volume.array[planted.mask] - volume.array[planted.mask]
    near = labels.mask("liver") & ~planted.mask
    assert -100 < inside.mean() < -55
    assert np.abs(planted.volume.array[near] - volume.array[near]).mean() < 8


@pytest.mark.parametrize("affine", [TILTED, np.diag([2.0, 1.0, 1.5, 1.0])], ids=["tilted", "anisotropic"])
def test_a_lesion_has_its_size_in_millimetres_on_any_grid(affine: np.ndarray) -> None:
    volume, _ = scan("liver", affine)
    kind = Kind("hepatic tumor", ("liver",), (9, 9), (Look("ball", 1.0, (-60, -60), lumps=0.0),))
    everywhere = np.ones(volume.grid.shape, dtype=bool)
    host = np.zeros_like(everywhere)
    host[28:32, 28:32, 18:22] = True
    seeds = plant(volume, host, kind, np.random.default_rng(1), radius_mm=9.0)
    whole = plant(volume, everywhere, kind, np.random.default_rng(5), radius_mm=6.0)
    assert np.linalg.norm(np.subtract(seeds.center_ras, volume.grid.to_world([[29.5, 29.5, 19.5]])[0])) < 9
    voxels = volume.grid.to_voxel([whole.center_ras])[0]
    if (voxels > 6).all() and (voxels < np.array(volume.grid.shape) - 6).all():
        ml = whole.mask.sum() * volume.grid.voxel_volume_ml
        assert ml == pytest.approx(4 / 3 * np.pi * 6**3 / 1000, rel=0.12)


def test_one_seed_is_one_lesion() -> None:
    volume, labels = scan("liver")
    first, again = (plant(volume, labels.mask("liver"), KINDS["hepatic tumor"], np.random.default_rng(9)) for _ in "ab")
    np.testing.assert_array_equal(first.volume.array, again.volume.array)
    np.testing.assert_array_equal(first.mask, again.mask)


def test_the_noise_of_the_scan_stays_in_the_lesion() -> None:
    volume, labels = scan("liver")
    kind = Kind("hepatic tumor", ("liver",), (12, 12), (Look("even", 1.0, (-40, -40), texture_hu=0.0, lumps=0.0),))
    planted = plant(volume, labels.mask("liver"), kind, np.random.default_rng(2), push=0.0)
    assert planted.volume.array[planted.mask].std() > 8


def test_a_lesion_pushes_only_within_its_host() -> None:
    volume, labels = scan("liver")
    host = labels.mask("liver")
    look = Look("ball", 1.0, (0, 0), lumps=0.0)
    kind = Kind("hepatic tumor", ("liver",), (7, 7), (look,))
    still, pushed = (plant(volume, host, kind, np.random.default_rng(6), push=p) for p in (0.0, 0.5))
    moved = (still.volume.array != pushed.volume.array) & ~still.mask
    assert moved.any()
    assert not (moved & ~host).any()


def test_planting_into_labels_names_the_lesion_and_covers_only_its_host() -> None:
    volume, labels = scan("liver")
    made, named = plant_into(volume, labels, np.random.default_rng(0), count=2)
    changed = named.array != labels.array
    assert set(np.unique(named.array[changed])) == {WORDS["hepatic tumor"].index}
    assert set(np.unique(labels.array[changed])) == {WORDS["liver"].index}
    assert made.grid == volume.grid


def test_without_a_host_nothing_is_planted() -> None:
    volume, labels = scan("liver")
    with pytest.raises(RecipeError) as caught:
        plant(volume, np.zeros(volume.grid.shape, bool), KINDS["lung tumor"], np.random.default_rng(0))
    assert caught.value.code == "LESION_NO_HOST"
    with pytest.raises(RecipeError, match="lung tumor"):
        plant_into(volume, labels, np.random.default_rng(0), structures=["lung tumor"])


def test_every_kind_names_structures_of_the_vocabulary() -> None:
    for kind in KINDS.values():
        assert WORDS[kind.structure].supported
        assert all(name in WORDS for name in kind.hosts)
        assert 0 < kind.radius_mm[0] < kind.radius_mm[1]
