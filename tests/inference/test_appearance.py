"""What looks like the surroundings of a click is won near the answer, and what looks like the rest is lost."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.inference.appearance import Appearance, PatchClick, appearance_in_box, appearance_logits

SHAPE = (24, 24, 24)
WHOLE = (slice(0, 24), slice(0, 24), slice(0, 24))
MIDDLE = (12.0, 12.0, 12.0)
RULES = Appearance()


def ball(radius: float, at: tuple[float, ...] = MIDDLE) -> np.ndarray:
    """A ball in the patch (i j k)."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    return np.linalg.norm(grid - np.asarray(at), axis=-1) <= radius


def world(noise: float = 0.0) -> np.ndarray:
    """A bright ball of 7 voxels in a dark patch."""
    rng = np.random.default_rng(0)
    return (0.2 + 0.6 * ball(7) + noise * rng.standard_normal(SHAPE)).astype(np.float32)


def guess(radius: float) -> np.ndarray:
    """The logits of a network that takes the object for a ball of some radius."""
    return np.where(ball(radius), 1.0, -1.0).astype(np.float32)


def answer(image: np.ndarray, logits: np.ndarray, clicks: list[PatchClick] | None = None) -> np.ndarray:
    """Where network and intensities together say yes."""
    asked = clicks or [PatchClick(MIDDLE, True)]
    return logits + appearance_logits(image, logits, WHOLE, asked, RULES) > 0


@pytest.mark.parametrize("radius", [4, 10])
def test_an_outline_too_small_or_too_large_comes_to_the_edge_of_the_object(radius: float) -> None:
    truth = ball(7)
    before, after = guess(radius) > 0, answer(world(noise=0.02), guess(radius))
    assert (before ^ truth).sum() > 900
    assert (after ^ truth).sum() < 0.1 * (before ^ truth).sum()


def test_a_like_object_far_from_the_answer_is_not_won() -> None:
    image = world()
    twin = ball(2, (21, 21, 21))
    image[twin] = 0.8
    found = answer(image, guess(5))
    assert found[ball(6)].all()
    assert not found[twin].any()


def test_intensities_of_a_negative_click_speak_against() -> None:
    image = world()
    image[ball(7) & (np.arange(24) >= 12)] = 0.5  # half of what the network takes for the object
    clicks = [PatchClick((12.0, 12.0, 8.0), True)]
    both = answer(image, guess(7), clicks)
    without = answer(image, guess(7), [*clicks, PatchClick((12.0, 12.0, 16.0), False)])
    wrong = image == 0.5
    assert without[wrong].sum() <= both[wrong].sum()
    said = appearance_logits(image, guess(7), WHOLE, clicks, RULES)
    against = appearance_logits(image, guess(7), WHOLE, [*clicks, PatchClick((12.0, 12.0, 16.0), False)], RULES)
    assert against[wrong].mean() < said[wrong].mean()


def test_without_a_positive_click_nothing_is_added() -> None:
    assert not appearance_logits(world(), guess(5), WHOLE, [PatchClick(MIDDLE, False)], RULES).any()
    assert not appearance_logits(world(), guess(5), WHOLE, [], RULES).any()


def test_an_image_of_one_value_adds_nothing_that_decides() -> None:
    even = np.full(SHAPE, 0.4, dtype=np.float32)
    assert np.array_equal(answer(even, guess(5)), guess(5) > 0)


def test_what_lies_beyond_the_scan_is_no_background() -> None:
    image = world(noise=0.02)
    inside = (slice(0, 24), slice(0, 24), slice(6, 24))
    other = image.copy()
    other[:, :, :6] = 0.8  # padding that looks like the object
    clicks = [PatchClick(MIDDLE, True)]
    one = appearance_logits(image, guess(5), inside, clicks, RULES)
    two = appearance_logits(other, guess(5), inside, clicks, RULES)
    assert np.array_equal(one[inside], two[inside])


def test_a_greater_weight_says_the_same_louder() -> None:
    clicks = [PatchClick(MIDDLE, True)]
    once = appearance_logits(world(0.02), guess(5), WHOLE, clicks, Appearance(weight=1.0))
    twice = appearance_logits(world(0.02), guess(5), WHOLE, clicks, Appearance(weight=2.0))
    assert np.allclose(2 * once, twice, atol=1e-5)


def ellipsoid() -> np.ndarray:
    """What a box around the lower half of the ball says, and around as much beside it: logits of its ellipsoid."""
    i, j, k = np.indices(SHAPE)
    far = ((i - 12) / 7.5) ** 2 + ((j - 12) / 7.5) ** 2 + ((k - 8.5) / 4) ** 2
    return np.asarray(4 * (1.25 - far), dtype=np.float32)


def test_in_a_box_intensities_find_the_object_that_the_network_does_not() -> None:
    image = world(noise=0.02)
    truth = ball(7) & (np.arange(24) < 13)
    image[ball(7) & ~truth] = 0.2
    blind = np.full(SHAPE, -1.0, dtype=np.float32)
    click = [PatchClick((12.0, 12.0, 8.0), True)]
    box = ellipsoid()
    after = blind + appearance_logits(image, blind, WHOLE, click, RULES) + box > 0
    before = blind + appearance_in_box(image, blind + box, WHOLE, click, RULES) + box > 0
    assert (before ^ truth).sum() < 0.5 * ((blind + box > 0) ^ truth).sum()
    assert (before ^ truth).sum() < (after ^ truth).sum(), "the box says where to look before intensities do"


def test_voxels_far_from_a_box_count_as_no_part_of_it_without_a_warning() -> None:
    """Logits of a box fall without end, and warnings are errors here."""
    image, logits = world(), guess(5)
    far, farther = np.where(ball(9), logits, -80.0), np.where(ball(9), logits, -1000.0)
    clicks = [PatchClick(MIDDLE, True)]
    expected = appearance_in_box(image, far.astype(np.float32), WHOLE, clicks, RULES)
    found = appearance_in_box(image, farther.astype(np.float32), WHOLE, clicks, RULES)
    assert np.allclose(found, expected, atol=1e-5)
