"""Crops that follow a target, with a network of a few lines."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar, NoReturn

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prosect import vocabulary
from prosect.boxes import Box
from prosect.case import Case, Intensity, Preparation
from prosect.errors import PromptError, ProsectWarning
from prosect.geometry import Grid
from prosect.inference.crops import CropResponder, CropRules
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.intensities import mean_and_spread
from prosect.inference.question import Question
from prosect.prompts import LabelledClick
from prosect.session import Session, read_record
from prosect.volume import Volume
from worlds.orders import ORDERS, stored

SIZE = 16
BRIGHT = 500.0


class Bright:
    """Says yes to what is bright, but within four voxels of a negative click no, until a positive one says otherwise.

    Its answer has a voxel for every two of the crop. It notes what it was asked.
    """

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.asked: list[tuple[list[list[float]], list[int], Tensor]] = []

    def embed(self, image: Tensor) -> Tensor:
        """Return where it is bright."""
        self.images.append(image)
        return 2 * (image > 0.5).float() - 1

    def blank(self, features: Tensor) -> Tensor:
        """Return zeros."""
        return F.avg_pool3d(torch.zeros_like(features), 2)

    def refine(self, features: Tensor, points: Tensor, labels: Tensor, previous: Tensor) -> Tensor:
        """Return the previous answer, or where it is bright, changed around the clicks."""
        self.asked.append((points[0].tolist(), labels[0].tolist(), previous))
        low = torch.where(previous == 0, F.avg_pool3d(features, 2), previous)
        places = torch.stack(torch.meshgrid(*(torch.arange(n) * 2 + 0.5 for n in low.shape[2:]), indexing="ij"), -1)
        for point, label in zip(points[0], labels[0], strict=True):
            said = F.avg_pool3d(features, 2) if label else torch.tensor(-1.0)
            low = torch.where((places - point).norm(dim=-1) < 4.0, said, low)
        return low

    def upsample(self, low: Tensor) -> Tensor:
        """Return every voxel twice along each axis."""
        return F.interpolate(low, scale_factor=2.0, mode="nearest")


def volume(shape: tuple[int, int, int], bright: tuple[slice, ...], affine: np.ndarray | None = None) -> Volume:
    """Return a scan that is bright in a box."""
    array = np.full(shape, 1.0, dtype=np.float32)
    array[bright] = BRIGHT
    return Volume(array, Grid(shape, np.eye(4) if affine is None else affine))


def responder(
    scan: Volume, network: Bright | None = None, size: int = SIZE, spacing: float = 1.0, **rules: object
) -> CropResponder:
    """Return a responder."""
    keep = Intensity("clip", -np.inf, np.inf)
    case = Case.prepare(scan, Preparation((spacing,) * 3, keep, crop_above=None))
    return CropResponder(case, network or Bright(), size, CropRules(**{"most_crops": 64, **rules}), FeatureBudget())  # type: ignore[arg-type]


def whole(scan: Volume) -> Box:
    """Return the box of the whole scan."""
    return Box((0, 0, 0), scan.grid.shape)


def masks(
    answers: CropResponder, scan: Volume, *clicks: tuple[tuple[float, ...], int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the network was asked and says yes after clicks at voxels, each placed as a session does."""
    labelled: list[LabelledClick] = []
    for voxel, label in clicks:
        position = tuple(scan.grid.to_world(voxel).tolist())
        patch = answers.place(position, [each.patch for each in labelled])
        labelled.append(LabelledClick(position, label, patch))
    return answers.propose(Question(tuple(labelled), True), whole(scan))


def rod(length: int, around: int = 12) -> Volume:
    """Return a scan with a bright rod along its third axis, four voxels short of each end."""
    middle = slice(around // 2 - 2, around // 2 + 2)
    return volume((around, around, length + 8), (middle, middle, slice(4, 4 + length)))


@pytest.mark.parametrize("point", [(20.0, 20, 20), (0.3, 39.4, 20.5), (-0.5, 0, 7)])
def test_a_crop_has_its_click_in_the_middle_even_beyond_the_border(point: tuple[float, ...]) -> None:
    scan = volume((40, 40, 40), (slice(0, 0),))
    start = responder(scan).place(tuple(scan.grid.to_world(point)), [])
    assert all(abs(s + SIZE // 2 - x) <= 0.5 for s, x in zip(start, point, strict=True))


def test_near_clicks_share_a_crop() -> None:
    scan = volume((40, 40, 40), (slice(0, 0),))
    answers = responder(scan)
    first = answers.place((20, 20, 20), [])
    assert answers.place((23, 17, 20), [first]) == first
    assert answers.place((25, 20, 20), [first]) != first
    with pytest.raises(PromptError, match="outside"):
        answers.place((40, 0, 0), [])


@pytest.mark.parametrize("at", [5, 60, 118, 200, 251])
def test_a_cylinder_of_250_voxels_is_covered_from_one_click(at: int) -> None:
    grid = np.indices((44, 44, 258))
    inside = ((grid[0] - 22) ** 2 + (grid[1] - 22) ** 2 <= 15**2) & (abs(grid[2] - 128.5) < 125)
    assert inside[22, 22].sum() == 250
    scan = Volume(np.where(inside, BRIGHT, 1.0), Grid(inside.shape, np.diag([1.5, 1.5, 1.5, 1])))
    network = Bright()
    answers = responder(scan, network, size=128, spacing=1.5)
    _, yes = masks(answers, scan, ((22, 22, at), 1))
    assert yes[inside].mean() > 0.93, "but for voxels on the surface: an answer has one for every eight"
    assert yes[22, 22, 5:253].all(), "from end to end"
    assert not yes[~inside & (abs(grid[2] - 128.5) > 127)].any()
    assert len(network.images) <= 4


class Clicker:
    """A model that answers by `Bright`, for a session."""

    vocabulary = vocabulary.load("vista3d-ct").restrict((), "click on it")
    identity: ClassVar = {"model": "bright", "weights_sha256": "0" * 64, "profile": "prosect"}

    def draft(self, volume: Volume, indices: object, overlap: bool, watch: object = None) -> NoReturn:
        """Refuse."""
        raise AssertionError

    def responder(self, scan: Volume) -> CropResponder:
        """Return crops of 16 voxels."""
        return responder(scan)


def test_one_click_in_a_session_covers_a_long_target_and_undo_takes_it_back(tmp_path: Path) -> None:
    scan = rod(250)
    scan.array[0:2, 0:2, 100:110] = BRIGHT  # another object, which the network takes for the target
    truth = scan.array == BRIGHT
    truth[0:2, 0:2] = False
    session = Session(scan, Clicker(), journal=tmp_path / "journal")
    session.click((6, 6, 104), structure="rod", space="voxel")
    np.testing.assert_array_equal(session.mask("rod"), truth)
    session.click((6, 6, 180), False, "rod", space="voxel")
    assert not session.mask("rod")[6, 6, 180:].any()
    assert session.mask("rod")[6, 6, 4:170].all()
    session.undo()
    np.testing.assert_array_equal(session.mask("rod"), truth)
    session.undo()
    assert not session.mask("rod").any()
    again = Session(scan, Clicker()).replay(read_record(tmp_path / "journal"), recompute=True)
    again.redo()
    np.testing.assert_array_equal(again.mask("rod"), truth)


@pytest.mark.parametrize("length", [8, 30, 90])
def test_a_rod_is_followed_to_its_ends_and_no_further(length: int) -> None:
    scan = rod(length)
    network = Bright()
    answers = responder(scan, network)
    asked, yes = masks(answers, scan, ((6, 6, length // 4 * 2 + 4), 1))
    np.testing.assert_array_equal(yes, scan.array == BRIGHT)
    assert len(network.images) <= max(1, length // 8 + 1), "half a crop further each time"
    assert asked.any(axis=(0, 1)).sum() < length + 2 * SIZE
    assert answers.extent(Question((), True)).size == 0, "nothing was asked"


def test_a_corner_is_turned() -> None:
    scan = volume((60, 12, 60), (slice(4, 8), slice(4, 8), slice(4, 56)))
    scan.array[4:56, 4:8, 52:56] = BRIGHT
    _, yes = masks(responder(scan), scan, ((6, 6, 10), 1))
    np.testing.assert_array_equal(yes, scan.array == BRIGHT)


def test_without_extension_the_answer_ends_with_the_crop() -> None:
    scan = rod(60)
    asked, yes = masks(responder(scan, extend=False), scan, ((6, 6, 30), 1))
    assert yes.any(axis=(0, 1)).sum() == SIZE
    assert asked.any(axis=(0, 1)).sum() == SIZE


def test_only_the_part_that_was_clicked_is_followed() -> None:
    scan = rod(60)
    scan.array[0:2, 0:2, 20:64] = BRIGHT  # another rod, beside
    scan.array[4:8, 4:8, 26:] = 1.0
    network = Bright()
    masks(responder(scan, network), scan, ((6, 6, 14), 1))
    assert len(network.images) == 3, "the other rod touches a face, but was not clicked"


def test_a_target_without_end_is_left_with_a_warning() -> None:
    scan = rod(200)
    with pytest.warns(ProsectWarning, match="followed through 5 crops"):
        masks(responder(scan, most_crops=5), scan, ((6, 6, 20), 1))


class Shortsighted(Bright):
    """Sees nothing but in its first crop."""

    def embed(self, image: Tensor) -> Tensor:
        """Return where it is bright, or darkness."""
        features = super().embed(image)
        return features if len(self.images) == 1 else -features.abs()


def test_a_crop_that_does_not_see_the_target_has_no_say() -> None:
    scan = rod(60)
    asked, yes = masks(responder(scan, Shortsighted()), scan, ((6, 6, 30), 1))
    np.testing.assert_array_equal(yes, (scan.array == BRIGHT) & asked)
    assert asked.any(axis=(0, 1)).sum() == SIZE


def test_one_click_at_a_time_beside_the_last_answer() -> None:
    scan = rod(8)
    network = Bright()
    answers = responder(scan, network)
    clicks = [((6, 6, 8), 1), ((5, 6, 8), 0), ((6, 7, 9), 1)]
    masks(answers, scan, *clicks)
    assert [labels for _, labels, _ in network.asked] == [[1], [0], [1]]
    assert not network.asked[0][2].any(), "the first click meets zeros"
    assert network.asked[1][2].any()
    assert len(network.images) == 1, "one crop, encoded once"
    masks(answers, scan, *clicks, ((6, 6, 7), 1))
    assert len(network.asked) == 4, "what was answered is not asked again"


def test_all_clicks_together_where_asked_for() -> None:
    scan = rod(8)
    network = Bright()
    masks(responder(scan, network, prompts="all"), scan, ((6, 6, 8), 1), ((5, 6, 8), 0))
    assert [labels for _, labels, _ in network.asked] == [[1], [1, 0]]
    assert network.asked[1][2].any()


def test_a_negative_click_drops_what_was_followed_beyond_it() -> None:
    scan = rod(60)
    answers = responder(scan)
    _, before = masks(answers, scan, ((6, 6, 12), 1))
    cut = ((6, 6, 18), 0)
    _, after = masks(answers, scan, ((6, 6, 12), 1), cut)
    assert before[6, 6, 40]
    assert after[6, 6, 12]
    assert not after[6, 6, 18]
    assert not after[6, 6, 40:].any(), "cut off from the click, so not followed"


def test_a_crop_placed_later_knows_what_its_neighbours_answered() -> None:
    scan = rod(40)
    network = Bright()
    answers = responder(scan, network, extend=False)
    masks(answers, scan, ((6, 6, 14), 1), ((6, 6, 20), 0))
    start = answers.place((6, 6, 20), [])
    previous = network.asked[-1][2][0, 0]
    assert previous.shape == (8, 8, 8)
    shared = 22 - start[2]  # the first crop ends there
    assert (previous[..., : shared // 2] != 0).all()
    assert (previous[..., shared // 2 :] == 0).all(), "beyond it nothing is known"


def test_beyond_the_scan_lie_zeros_and_statistics_are_the_crops_own() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(30, 200, (20, 20, 20)).astype(np.float32)
    scan = Volume(array, Grid(array.shape, np.eye(4)))
    network = Bright()
    masks(responder(scan, network, extend=False), scan, ((2, 10, 17), 1))
    padded = np.pad(array, SIZE)
    i, j, k = (slice(SIZE + v - 8, SIZE + v + 8) for v in (2, 10, 17))
    crop = padded[i, j, k]
    expected = (crop - crop[crop > 0].mean()) / crop[crop > 0].std(ddof=1)
    np.testing.assert_allclose(network.images[0][0, 0].numpy(), expected, atol=1e-4)
    masks(responder(scan, network, extend=False, normalise="scan"), scan, ((2, 10, 17), 1))
    expected = (crop - array[array > 0].mean()) / array[array > 0].std(ddof=1)
    np.testing.assert_allclose(network.images[1][0, 0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("values", [[-1000.0] * 9, [0.0], [5.0] * 3, [-5.0, -3, 7], [-2.0, -1]])
def test_air_and_even_images_are_normalised_without_failing(values: list[float]) -> None:
    image = torch.tensor(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, spread = mean_and_spread(image)
    out = (image - mean) / spread
    assert bool(out.isfinite().all())
    assert (len(set(values)) > 1) == bool(out.any())


def test_storage_orders_give_one_answer() -> None:
    scan = rod(30)
    expected = masks(responder(scan), scan, ((6, 6, 12), 1), ((6, 5, 20), 0))
    for order in ORDERS:
        turned = stored(scan, order)
        clicks = [(turned.grid.to_voxel(scan.grid.to_world(v)), n) for v, n in (((6, 6, 12), 1), ((6, 5, 20), 0))]
        found = masks(responder(turned), turned, *clicks)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, order.apply(b))


def test_other_spacings_and_oblique_scans_are_followed() -> None:
    turn = np.array([[0.9, -0.3, 0.1, 5], [0.3, 0.9, 0.05, -7], [-0.1, 0.0, 2.0, 3], [0, 0, 0, 1]])
    scan = volume((18, 18, 40), (slice(6, 13), slice(6, 13), slice(3, 37)), turn)
    answers = responder(scan, spacing=1.25)
    _, yes = masks(answers, scan, ((9, 9, 12), 1))
    truth = scan.array == BRIGHT
    assert 2 * (yes & truth).sum() / (yes.sum() + truth.sum()) > 0.85
    assert yes[9, 9, 3:37].all()
