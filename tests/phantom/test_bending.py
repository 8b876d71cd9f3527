"""How a body lies and is bent: turns are turns, waves stay small, and boxes are found again before they were moved."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prosect.phantom.bending import Bend, random_bend, rotation

Points = NDArray[np.float64]


def points(count: int = 400, seed: int = 0) -> Points:
    """Return points (n 3) all over a body."""
    return np.random.default_rng(seed).uniform((-200, -120, -300), (200, 120, 300), (count, 3))


def straightened(bend: Bend, at: Points, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Points:
    """Return body coordinates of world points (n 3)."""
    x, y, z = (np.ascontiguousarray(column, dtype=np.float32)[:, None, None] for column in at.T)
    return np.stack([axis.ravel() for axis in bend.straighten(x, y, z, scale)], axis=1).astype(np.float64)


@pytest.mark.parametrize("angles", [(0.3, 0, 0), (0, -1.2, 0), (0, 0, 2.5), (0.4, -0.8, 1.1)])
def test_a_rotation_keeps_lengths_angles_and_the_side_of_the_heart(angles: tuple[float, float, float]) -> None:
    turn = rotation(*angles)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_a_quarter_turn_takes_each_axis_to_the_next() -> None:
    right, front, up = np.eye(3)
    quarter = np.pi / 2
    np.testing.assert_allclose(rotation(quarter, 0, 0) @ front, up, atol=1e-12)
    np.testing.assert_allclose(rotation(0, quarter, 0) @ up, right, atol=1e-12)
    np.testing.assert_allclose(rotation(0, 0, quarter) @ right, front, atol=1e-12)


def test_turns_follow_one_another_about_right_front_and_up() -> None:
    a, b, c = 0.2, -0.5, 0.9
    one_by_one = rotation(0, 0, c) @ rotation(0, b, 0) @ rotation(a, 0, 0)
    np.testing.assert_allclose(rotation(a, b, c), one_by_one, atol=1e-12)


def test_no_strength_is_a_straight_body_in_the_middle() -> None:
    bend = random_bend(np.random.default_rng(3), strength=0.0)
    at = points()
    np.testing.assert_allclose(bend.place(at), at, atol=1e-9)
    np.testing.assert_allclose(straightened(bend, at), at, atol=1e-3)
    assert bend.largest_mm == 0


def test_one_seed_is_one_posture() -> None:
    first, second, other = (random_bend(np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.waves, second.waves)
    np.testing.assert_array_equal(first.turn, second.turn)
    assert not np.array_equal(first.waves, other.waves)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_pushed_farther_or_more_steeply_than_it_is_said(seed: int) -> None:
    bend = random_bend(np.random.default_rng(seed))
    at = points(2000, seed)
    pushed = bend.push(at)
    assert np.linalg.norm(pushed, axis=1).max() <= bend.largest_mm + 1e-6
    near = at + np.random.default_rng(seed).normal(0, 2, at.shape)
    stretched = np.linalg.norm(bend.push(near) - pushed, axis=1)
    assert bool((stretched <= bend.steepest * np.linalg.norm(near - at, axis=1) + 1e-9).all())


@pytest.mark.parametrize("seed", range(4))
def test_without_waves_placing_undoes_straightening(seed: int) -> None:
    drawn = random_bend(np.random.default_rng(seed))
    still = Bend(drawn.turn, drawn.shift_mm, np.zeros((0, 7), dtype=np.float32))
    scale = (1.1, 0.9, 1.05)
    at = points(seed=seed)
    body = straightened(still, at, scale)
    np.testing.assert_allclose(still.place(body * scale), at, atol=1e-2)


def test_straightening_adds_the_push_at_the_unmoved_place() -> None:
    """The slow twin straightens without waves and pushes each point by itself."""
    drawn = random_bend(np.random.default_rng(8))
    still = Bend(drawn.turn, drawn.shift_mm, np.zeros((0, 7), dtype=np.float32))
    at = points(100)
    body = straightened(still, at)
    np.testing.assert_allclose(straightened(drawn, at), body + drawn.push(body), atol=2e-3)


@pytest.mark.parametrize("half_mm", [2.0, 40.0, 250.0])
def test_what_the_waves_move_into_a_box_was_within_the_reach_of_its_middle(half_mm: float) -> None:
    bend = random_bend(np.random.default_rng(2))
    middles = points(60, 4)
    half = np.full((60, 3), half_mm)
    before, reach = bend.before(middles, half)
    generator = np.random.default_rng(9)
    for middle, start, slack in zip(middles, before, reach, strict=True):
        at = start + generator.uniform(-3 * half_mm - 10, 3 * half_mm + 10, (400, 3))
        moved = at + bend.push(at)
        into = (np.abs(moved - middle) <= half_mm).all(axis=1)
        assert bool((np.abs(at[into] - start) <= half_mm + slack + 1e-6).all())
