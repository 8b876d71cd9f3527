"""Cutting patches: what is read of a scan, where each voxel of a patch lies, and what lies around places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.training.parallel import ALONE, Ranks, ranks_here
from prosect.training.patches import PatchSampler, PatchSource, TrainingScan, _averaged_at, _box_around
from prosect.training.stream import PatchStream, stream_of

SPACING = (2.0, 3.0, 1.5)
SHAPE = (20, 14, 26)


def scan(name: str = "one", spacing: tuple[float, float, float] = SPACING) -> TrainingScan:
    """Return a scan whose intensity says where along each axis a voxel lies."""
    i, j, k = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[5:9, 4:8, 6:12] = 1
    nested = np.zeros(SHAPE, dtype=np.uint8)
    nested[12:18, 6:12, 14:22] = 2
    intensities = ((i + j + k) / 64).astype(np.float16)
    return TrainingScan(name, intensities, labels, nested, spacing, (1, -2), np.array([True, False]))


def sampler(seed: int = 0, **settings_: float | tuple[float, float]) -> PatchSampler:
    return PatchSampler((8, 6, 10), 2.0, np.random.default_rng(seed), **settings_)  # type: ignore[arg-type]


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_what_is_read_of_a_scan_holds_every_place_and_two_planes_at_least(seed: int) -> None:
    rng = np.random.default_rng(seed)
    voxels = rng.uniform(-15, 35, (3, 2, 2, 3))
    box = _box_around(voxels, SHAPE)
    for axis, (side, size) in enumerate(zip(box, SHAPE, strict=True)):
        assert 0 <= side.start < side.stop
        assert side.stop - side.start >= 2
        seen = voxels[..., axis]
        seen = seen[(seen >= 0) & (seen <= size - 1)]
        if seen.size:
            assert side.start <= seen.min()
            assert side.stop - 1 >= min(np.ceil(seen.max()), size - 1)


def test_an_untouched_patch_lies_on_the_working_grid_about_its_middle() -> None:
    drawn = sampler(turned=0.0)
    one = scan()
    centre = np.array([9.0, 6.0, 12.0])
    voxels = drawn._voxels(one, centre, np.eye(3))
    np.testing.assert_allclose(voxels.mean(axis=(0, 1, 2)), centre)
    steps = [np.diff(voxels, axis=axis)[..., axis].ravel() for axis in range(3)]
    for step, spacing in zip(steps, SPACING, strict=True):
        np.testing.assert_allclose(step, 2.0 / spacing)


@pytest.mark.parametrize("seed", range(6))
def test_rotations_keep_handedness_and_zooms_stay_within_their_limits(seed: int) -> None:
    matrix = sampler(seed, max_degrees=20.0, zoom=(0.8, 1.25))._transform()
    lengths = np.linalg.norm(matrix, axis=0)
    assert np.linalg.det(matrix) > 0, "left stays left"
    assert np.all(lengths >= 1 / 1.25 / np.exp(0.07) - 1e-9)
    assert np.all(lengths <= 1 / 0.8 * np.exp(0.07) + 1e-9)
    unit = matrix / lengths
    np.testing.assert_allclose(unit.T @ unit, np.eye(3), atol=1e-9)
    angle = np.rad2deg(np.arccos(np.clip((np.trace(unit) - 1) / 2, -1, 1)))
    assert angle <= 3 * 20.0


def test_no_turning_is_the_identity() -> None:
    np.testing.assert_array_equal(sampler(turned=0.0)._transform(), np.eye(3))


def test_an_image_at_its_own_voxels_is_itself_and_between_them_the_mean() -> None:
    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, 6, 5, 7), dtype=np.float32))
    places = np.stack(np.meshgrid(np.arange(6.0), np.arange(5.0), np.arange(7.0), indexing="ij"), axis=-1)
    torch.testing.assert_close(_averaged_at(image, places, np.ones(3)), image, atol=1e-5, rtol=0)
    half = places[:-1] + np.array([0.5, 0.0, 0.0])
    expected = (image[:, :, 1:] + image[:, :, :-1]) / 2
    torch.testing.assert_close(_averaged_at(image, half, np.ones(3)), expected, atol=1e-5, rtol=0)


def test_coarse_places_average_what_lies_between_them() -> None:
    image = torch.zeros(1, 1, 12, 4, 4)
    image[:, :, ::2] = 1.0
    places = np.stack(np.meshgrid(np.arange(0.5, 12, 2), np.arange(4.0), np.arange(4.0), indexing="ij"), axis=-1)
    found = _averaged_at(image, places, np.array([2.0, 1.0, 1.0]))
    torch.testing.assert_close(found, torch.full_like(found, 0.5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(8))
def test_labels_and_intensities_of_a_patch_come_from_one_place(seed: int) -> None:
    one = scan()
    one.intensities[...] = 0.25 + 0.5 * (one.labels == 1)
    patch = sampler(seed, foreground=1.0, turned=0.0)(one)
    assert patch.image.shape == (1, 1, 8, 6, 10)
    assert patch.labels.shape == patch.nested.shape == (8, 6, 10)
    inside = patch.image[0, 0] > 0.26
    assert bool((patch.labels[patch.image[0, 0] > 0.55] == 1).all())
    assert bool((patch.labels[~inside] == 0).all())
    assert patch.known.tolist() == [True, False]


def test_with_foreground_alone_every_patch_shows_an_object_and_both_kinds_come() -> None:
    one, kinds = scan(), set()
    for seed in range(30):
        patch = sampler(seed, foreground=1.0)(one)
        shown = {"label"} if bool((patch.labels == 1).any()) else set()
        if bool((patch.nested & 2).any()):
            shown.add("nested")
        assert shown
        kinds |= shown
    assert kinds == {"label", "nested"}


def test_known_places_are_taken_as_they_are() -> None:
    one = scan()
    drawn = sampler(foreground=1.0)
    flat = drawn._object(one)
    assert flat is not None
    values = {int(one.labels.ravel()[n]) for n in flat} | {int(one.nested.ravel()[n]) for n in flat}
    assert values in ({0, 1}, {0, 2})
    listed = TrainingScan(
        "a", one.intensities, one.labels, one.nested, SPACING, (1,), one.known, places={1: np.array([7, 8])}
    )
    found = sampler(foreground=1.0)._object(listed)
    assert found is not None
    assert found.tolist() == [7, 8]
    assert sampler(foreground=0.0)._object(one) is None


def test_scans_are_drawn_as_often_as_their_weights_say() -> None:
    source = PatchSource([scan("rare"), scan("often")], [1.0, 4.0], sampler())
    names = [source.draw(np.random.default_rng(seed))[0] for seed in range(60)]
    assert 0.65 < names.count("often") / 60 < 0.93
    with_one = PatchSource([scan("never"), scan("always")], [0.0, 2.0], sampler())
    assert {with_one.draw(np.random.default_rng(seed))[0] for seed in range(5)} == {"always"}


def test_a_source_leaves_the_generator_of_its_sampler_alone_where_another_decides() -> None:
    source = PatchSource([scan()], [1.0], sampler(5))
    before = source.sampler.generator.bit_generator.state
    first = source.draw(np.random.default_rng(1))[1]
    again = source.draw(np.random.default_rng(1))[1]
    torch.testing.assert_close(first.image, again.image)
    assert source.sampler.generator.bit_generator.state == before


def test_streams_of_seed_step_number_and_attempt_are_all_apart() -> None:
    keys = [(s, t, n, *more) for s in (0, 1) for t in (0, 1) for n in (0, 1) for more in ((), (0,), (1,))]
    draws = {stream_of(*key).integers(2**63) for key in keys}
    # A trailing zero is no other stream to numpy, so the two forms of it are one.
    assert len(draws) in (len(keys), len(keys) - 8)
    assert stream_of(3, 5, 7).integers(2**63) == stream_of(3, 5, 7).integers(2**63)


def test_what_is_drawn_ahead_is_what_would_be_drawn_when_asked() -> None:
    source = PatchSource([scan("a"), scan("b")], [1.0, 1.0], sampler())
    direct, ahead = PatchStream(source, 9), PatchStream(source, 9, threads=2)
    try:
        for step in range(3):
            direct.seek(step, 0)
            ahead.seek(step, 0, coming=[(step + 1, 0)])
            for _ in range(2):
                one, other = direct(), ahead()
                torch.testing.assert_close(one.image, other.image)
                torch.testing.assert_close(one.labels, other.labels)
                assert direct.drawn == ahead.drawn
    finally:
        ahead.close()


def test_asked_again_a_stream_gives_another_patch_of_the_same_step() -> None:
    stream = PatchStream(PatchSource([scan()], [1.0], sampler()), 2)
    stream.seek(4, 1)
    first, second = stream(), stream()
    assert not torch.equal(first.image, second.image)
    stream.seek(4, 1)
    torch.testing.assert_close(stream().image, first.image)


def test_the_time_waited_is_that_of_the_clock() -> None:
    ticks = iter(range(100))
    stream = PatchStream(PatchSource([scan()], [1.0], sampler()), 2, clock=lambda: float(next(ticks)))
    for step in range(3):
        stream.seek(step, 0)
        stream()
    assert stream.waited == 3.0


@given(st.integers(1, 6), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_processes_share_the_patches_of_a_step_without_gap_or_repetition(world: int, count: int) -> None:
    shares = [Ranks(rank, world).patches(count) for rank in range(world)]
    assert sorted(n for share in shares for n in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_exchanges_nothing() -> None:
    assert ranks_here("cpu") == ALONE
    assert (ALONE.add_up(2.5), ALONE.broadcast(1.5)) == (2.5, 1.5)
    ALONE.barrier()
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    ALONE.add_up_gradients([parameter, torch.nn.Parameter(torch.ones(1))])
    assert parameter.grad.tolist() == [3.0, 3.0]
