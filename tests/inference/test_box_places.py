"""Where in a box that a person drew the network is asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from prosect.boxes import Box
from prosect.case import Case, Preparation
from prosect.geometry import AxisOrder, Grid
from prosect.inference.appearance import Appearance
from prosect.inference.box_places import ENOUGH, MARGIN, best_place, box_fit, places_in
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.patch_images import PaddedImage
from prosect.inference.question import Question
from prosect.inference.windows import plan_windows
from prosect.places import Point
from prosect.prompts import LabelledClick, click_in
from prosect.volume import Volume
from worlds.orders import ORDERS, stored

GRID = Grid((40, 40, 40), np.diag([2.0, 1.0, 1.0, 1.0]))
DRAWN = Box((10, 10, 10), (21, 21, 31))
MIDDLE = (30.0, 15.0, 20.0)
ROI = (24, 24, 24)
DARK, BRIGHT = -200.0, 200.0


def taken_where(fits: Mapping[int, float], otherwise: float) -> tuple[int, list[Point]]:
    """Return which place is taken where answers fit as given, and the places that were tried."""
    places = places_in(DRAWN, GRID)
    tried: list[Point] = []

    def fit_at(place: Point) -> float:
        tried.append(place)
        return fits.get(places.index(place), otherwise)

    return best_place(places, fit_at), tried


def test_the_middle_is_taken_without_a_second_pass_where_its_answer_fits() -> None:
    taken, tried = taken_where({0: ENOUGH}, 1.0)
    assert taken == 0
    assert tried == [MIDDLE]


def test_six_places_nearer_to_the_sides_are_tried_where_it_does_not() -> None:
    _, tried = taken_where({}, 0.1)
    assert tried == places_in(DRAWN, GRID)
    offsets = np.asarray(tried[1:]) - MIDDLE
    assert len(offsets) == 6
    assert (np.count_nonzero(offsets, axis=1) == 1).all(), "each lies towards one side"
    assert np.abs(offsets).max(axis=0) == pytest.approx([0.45 * 11, 0.45 * 5.5, 0.45 * 10.5])


@pytest.mark.parametrize(("better", "expected"), [(MARGIN + 0.01, 4), (MARGIN - 0.01, 0)])
def test_another_place_is_taken_where_it_fits_clearly_better(better: float, expected: int) -> None:
    taken, _ = taken_where({4: 0.2 + better}, 0.2)
    assert taken == expected


def test_what_fills_the_box_fits_and_what_leaves_it_or_ends_within_fits_less() -> None:
    low, high = (4.0, 4.0, 4.0), (13.0, 13.0, 13.0)
    empty = np.zeros((20, 20, 20), dtype=bool)
    full, half, wide, beside = (empty.copy() for _ in range(4))
    full[4:14, 4:14, 4:14] = True
    half[4:9, 4:14, 4:14] = True
    wide[2:16, 4:14, 4:14] = True
    beside[15:, 15:, 15:] = True
    assert box_fit(full, low, high) == pytest.approx(1)
    assert box_fit(half, low, high) == pytest.approx((5 / 9) ** (1 / 3))
    assert box_fit(wide, low, high) == pytest.approx(10 / 14)
    assert box_fit(beside, low, high) == box_fit(empty, low, high) == 0


def test_a_hollow_structure_fits_as_well_as_a_full_one() -> None:
    shell = np.zeros((20, 20, 20), dtype=bool)
    shell[4:14, 4:14, 4:14] = True
    shell[6:12, 6:12, 6:12] = False
    assert box_fit(shell, (4.0, 4.0, 4.0), (13.0, 13.0, 13.0)) == pytest.approx(1)


class Same:
    """Says yes where a patch is as bright as at its first click, up to a distance; remembers where it was asked."""

    sequential = True

    def __init__(self) -> None:
        self.asked: list[list[float]] = []

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return the image itself."""
        return image

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return 4 where the image is like the place of the first click, in the dark within two voxels of it only."""
        self.asked.append(points[0, 0].tolist())
        i, j, k = points[0, 0].round().long().tolist()
        here = features[0, 0, i, j, k]
        alike = (features[0, 0] - here).abs() < 0.1
        if here < 0.5:
            voxels = torch.stack(torch.meshgrid(*(torch.arange(n) for n in alike.shape), indexing="ij"), -1)
            alike &= (voxels - torch.tensor([i, j, k])).abs().amax(-1) <= 2
        return (8.0 * alike - 4.0)[None, None]


def canal(order: AxisOrder = ORDERS[0]) -> tuple[Volume, Box, np.ndarray]:
    """Return a bright block with a wide dark canal through it, the box around it, and where it is."""
    bone = np.zeros((30, 30, 30), dtype=bool)
    bone[9:20, 9:20, 9:20] = True
    bone[13:16, 13:16, :] = False
    array = np.where(bone, BRIGHT, DARK).astype(np.float32)
    volume = stored(Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 2.0, 1.0]))), order)
    is_bone = np.asarray(volume.array) > 0
    return volume, Box.of(is_bone), is_bone


def answer_in(volume: Volume, drawn: Box, network: Same, appearance: Appearance | None) -> np.ndarray:
    """Return what is found in a box of a scan."""
    case = Case.prepare(volume, Preparation(spacing_mm=(2.0,) * 3))
    plan = plan_windows(case.grid.shape, ROI, 0.25)
    image = PaddedImage(case, plan, "replicate")
    responder = ClickResponder(case, network, plan, image, FeatureBudget(), appearance=appearance)
    opposite = [each - 1 for each in drawn.stop]
    click = click_in(drawn.start, opposite, volume.grid, space="voxel")
    patch = responder.place(click.position_ras, [])
    question = Question((LabelledClick(click.position_ras, 1, patch),), True, bounds=drawn)
    _, found = responder.propose(question, drawn)
    return found


@pytest.mark.parametrize("order", ORDERS)
def test_a_bone_around_a_canal_is_found_by_a_box_however_the_scan_is_stored(order: AxisOrder) -> None:
    volume, drawn, bone = canal(order)
    network = Same()
    found = answer_in(volume, drawn, network, Appearance())
    assert found[bone[drawn.slices]].mean() > 0.95
    assert len({tuple(each) for each in network.asked}) > 1, "the middle and others were tried"


def test_a_model_of_which_no_intensities_count_is_asked_in_the_middle_as_it_was_taught() -> None:
    volume, drawn, bone = canal()
    network = Same()
    found = answer_in(volume, drawn, network, None)
    assert len({tuple(each) for each in network.asked}) == 1
    assert found[bone[drawn.slices]].mean() < 0.9, "so the test above can fail"
