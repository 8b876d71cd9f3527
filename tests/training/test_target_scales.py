"""Patches at the scale of their objects: sizes as sessions would show them, and older recipes untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosect.training.patches import Patch, PatchSampler, TrainingScan
from prosect.training.target_scales import TargetScales, extent_mm

SHAPE = (16, 16, 16)
SCALES = TargetScales(0.5, 8.0, 0.0, (15.0, 120.0))


def scan_of(side: int, spacing: float = 4.0, size: int = 48) -> TrainingScan:
    """Return a scan with one bright cube of so many voxels in its middle."""
    labels = np.zeros((size,) * 3, np.uint8)
    start = (size - side) // 2
    labels[(slice(start, start + side),) * 3] = 1
    bright = (labels * 0.8).astype(np.float16)
    known = np.array([True])
    return TrainingScan("cube", bright, labels, np.zeros_like(labels), (spacing,) * 3, (1,), known)


def sampler(seed: int, scales: TargetScales | None, **more: object) -> PatchSampler:
    """Return a sampler that always draws around the object and turns nothing."""
    rules = {"foreground": 1.0, "turned": 0.0, **more}
    return PatchSampler(SHAPE, 4.0, np.random.default_rng(seed), scales=scales, **rules)  # type: ignore[arg-type]


@given(extent=st.floats(1.0, 2000.0), seed=st.integers(0, 2**32 - 1))
def test_an_object_comes_out_in_the_apparent_sizes_as_far_as_the_scales_allow(extent: float, seed: int) -> None:
    scale = SCALES.draw(extent, np.random.default_rng(seed))
    assert SCALES.finest <= scale <= SCALES.coarsest
    apparent = extent / scale
    low, high = SCALES.apparent_mm
    assert apparent >= low * (1 - 1e-9) or scale == SCALES.finest
    assert apparent <= high * (1 + 1e-9) or scale == SCALES.coarsest


def test_scales_are_drawn_evenly_in_the_logarithm_where_there_is_no_object() -> None:
    generator = np.random.default_rng(0)
    drawn = np.log2([SCALES.draw(None, generator) for _ in range(4000)])
    assert abs(drawn.mean() - 1.0) < 0.06  # the middle of -1 to 3
    assert drawn.min() < -0.9
    assert drawn.max() > 2.9


def test_the_share_at_the_models_own_scale_is_what_was_asked_for() -> None:
    generator = np.random.default_rng(1)
    mixed = replace(SCALES, own=0.3)
    own = np.mean([mixed.draw(500.0, generator) == 1.0 for _ in range(4000)])
    assert abs(own - 0.3) < 0.03


@pytest.mark.parametrize("axis", range(3))
def test_the_extent_is_the_longest_side_of_the_box_in_mm(axis: int) -> None:
    mask = np.zeros((9, 10, 11), bool)
    mask[4, 4, 4] = True
    end = [4, 4, 4]
    end[axis] = 8
    mask[tuple(end)] = True
    spacing = (1.0, 2.0, 3.0)
    assert extent_mm(np.flatnonzero(mask), mask.shape, spacing) == max(5 * spacing[axis], *spacing)


@pytest.mark.parametrize(("side", "factor"), [(8, 1.0), (32, 4.0), (4, 0.5)])
def test_a_patch_shows_its_object_at_the_drawn_scale(side: int, factor: float) -> None:
    # Apparent sizes of one value alone, so that the scale is known.
    scales = TargetScales(0.1, 10.0, 0.0, (32.0, 32.0))
    centred = sampler(0, scales)
    patches = [centred(scan_of(side)) for _ in range(20)]
    assert {patch.scale for patch in patches} == {factor}
    # Where it is seen whole, the cube has the eight voxels that 32 mm have at 4 mm.
    whole = [patch for patch in patches if not touches(patch)]
    assert whole
    for patch in whole:
        assert abs(int(patch.labels.sum()) ** (1 / 3) - 8) < 1.01


def touches(patch: Patch) -> bool:
    """Return whether the object reaches a face of its patch."""
    mask = patch.labels.numpy() > 0
    inner = mask[1:-1, 1:-1, 1:-1].sum()
    return bool(inner < mask.sum())


def test_what_lies_under_a_coarse_voxel_is_averaged_and_not_picked() -> None:
    # A fine chequerboard of 0 and 1 is grey from afar; picking voxels would show black and white.
    places = np.indices((64, 64, 64)).sum(axis=0) % 2
    board = replace(scan_of(32, size=64), intensities=places.astype(np.float16))
    patch = sampler(3, TargetScales(4.0, 4.0, 0.0, (15.0, 120.0)), max_degrees=0.0)(board)
    inside = patch.image[patch.image > 0]
    assert patch.scale == 4.0
    assert inside.numel() > 500
    assert float((inside - 0.5).abs().median()) < 0.02


def test_without_scales_patches_stay_what_they_were() -> None:
    scan = scan_of(8)
    plain = PatchSampler(SHAPE, 4.0, np.random.default_rng(5), foreground=1.0)
    first = plain(scan)
    # The numbers that a patch draws: object or not, which, which voxel, jitter, rotation, zoom. One more would
    # make all patches after it others.
    generator = np.random.default_rng(5)
    generator.random()
    generator.integers(len(scan.present))
    generator.integers(8**3)
    generator.uniform(-0.3, 0.3, 3)
    for _ in range(3):
        generator.uniform(-12.0, 12.0)
    generator.uniform(0.0, 1.0)
    generator.uniform(-0.07, 0.07, 3)
    assert first.scale == 1.0
    assert plain.generator.bit_generator.state == generator.bit_generator.state


def test_the_same_stream_gives_the_same_scaled_patch() -> None:
    one, other = (sampler(9, SCALES, turned=1.0)(scan_of(20)) for _ in range(2))
    assert one.scale == other.scale != 1.0
    assert bool((one.image == other.image).all())
    assert bool((one.labels == other.labels).all())
