"""Patches and their answers, with networks of a few lines."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prosect.boxes import Box
from prosect.case import Case, Preparation
from prosect.errors import CancelledError, PromptError
from prosect.geometry import Grid
from prosect.inference.appearance import Appearance
from prosect.inference.clicks import MILESTONE, ClickResponder
from prosect.inference.feature_budget import FeatureBudget, Remembered, Shelf
from prosect.inference.lasting import Lasting
from prosect.inference.patch_images import PaddedImage
from prosect.inference.patch_places import place_patch
from prosect.inference.question import Question
from prosect.inference.windows import plan_windows
from prosect.progress import cancel_when
from prosect.prompts import LabelledClick
from prosect.volume import Volume
from worlds.orders import ORDERS, stored

ROI = (16, 16, 16)
Start = tuple[int, int, int]


class Near:
    """Says yes within five voxels of a positive click, no near a negative one; counts the patches it encodes."""

    sequential = False

    def __init__(self) -> None:
        self.encoded = 0
        self.asked = 0

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return the image itself."""
        self.encoded += 1
        assert image.shape[2:] == ROI
        return image

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return 5.25 less the distance to the nearest positive click, negative near negative clicks."""
        self.asked += 1
        voxels = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in features.shape[2:]), indexing="ij"), -1)
        distance = (voxels.reshape(-1, 1, 3) - points[0]).norm(dim=-1)
        yes = 5.25 - distance.where(labels[0] % 2 == 1, torch.tensor(99.0)).amin(1)
        no = distance.where(labels[0] % 2 == 0, torch.tensor(99.0)).amin(1)
        return torch.minimum(yes, no - 2).reshape(1, 1, *features.shape[2:])


def responder(
    volume: Volume,
    network: Near | None = None,
    spacing: float = 2.0,
    kept: FeatureBudget | None = None,
    lasting: Lasting | None = None,
) -> ClickResponder:
    """Return a responder for a volume, with memory of its own."""
    case = Case.prepare(volume, Preparation(spacing_mm=(spacing,) * 3))
    plan = plan_windows(case.grid.shape, ROI, 0.25)
    image = PaddedImage(case, plan, "replicate")
    return ClickResponder(case, network or Near(), plan, image, kept or FeatureBudget(), lasting=lasting)


def ask(*clicks: tuple[Sequence[float], Start], label: int = 1) -> Question:
    """Return a question of positive clicks, each a position in mm and its patch."""
    labelled = []
    for position, patch in clicks:
        r, a, s = (float(x) for x in position)
        labelled.append(LabelledClick((r, a, s), label, patch))
    return Question(tuple(labelled), False)


def scan(shape: tuple[int, int, int] = (40, 36, 18), affine: np.ndarray | None = None) -> Volume:
    """Return a scan of noise."""
    grid = Grid(shape, np.diag([1.4, 1.5, 3.0, 1.0]) if affine is None else affine)
    return Volume(np.random.default_rng(0).normal(0, 300, shape).astype(np.float32), grid)


def whole(volume: Volume) -> Box:
    """Return the box of the whole scan."""
    return Box((0, 0, 0), volume.grid.shape)


def distances(volume: Volume, position: np.ndarray) -> np.ndarray:
    """Return how far each voxel is from a position, in mm."""
    voxels = np.indices(volume.grid.shape).reshape(3, -1).T
    return np.linalg.norm(volume.grid.to_world(voxels) - position, axis=1).reshape(volume.grid.shape)


@settings(deadline=None)
@given(st.tuples(*[st.floats(-0.5, 39.5)] * 3), st.tuples(*[st.integers(16, 40)] * 3))
def test_a_patch_lies_in_the_scan_and_centres_its_click(point: tuple[float, ...], shape: tuple[int, int, int]) -> None:
    point = tuple(min(x, n - 0.5) for x, n in zip(point, shape, strict=True))
    start = place_patch(point, shape, ROI)
    for x, s, n in zip(point, start, shape, strict=True):
        assert 0 <= s <= n - 16
        assert s - 0.5 <= x <= s + 15.5
        assert s in (0, n - 16) or abs(x - s - 7.5) <= 1.5


def test_near_clicks_share_a_patch_and_far_ones_do_not() -> None:
    shape = (64, 64, 64)
    first = place_patch((30, 30, 30), shape, ROI)
    assert place_patch((33, 27, 30), shape, ROI, [first]) == first
    assert place_patch((37, 30, 30), shape, ROI, [first]) != first, "too near the face to see what lies beyond"
    corner = place_patch((1, 1, 1), shape, ROI)
    assert corner == (0, 0, 0)
    assert place_patch((0, 9, 0), shape, ROI, [corner, first]) == corner, "beyond the border there is nothing to see"
    assert place_patch((32, 30, 30), shape, ROI, [first, (24, 22, 22)]) == (24, 22, 22), "the most central serves"


@pytest.mark.parametrize("index", list(itertools.product(("first", "inner", "last"), repeat=3)))
def test_a_click_anywhere_is_answered_around_itself(index: tuple[str, str, str]) -> None:
    volume = scan()
    ends = {"first": lambda n: -0.5, "inner": lambda n: n / 2 + 0.3, "last": lambda n: n - 0.501}
    voxel = [ends[end](n) for end, n in zip(index, volume.grid.shape, strict=True)]
    position = volume.grid.to_world(voxel)
    answers = responder(volume)
    patch = answers.place(position, [])
    assert answers.sees(patch, position)
    asked, yes = answers.propose(ask((position, patch)), whole(volume))
    box = answers.box(patch)
    assert asked[box.slices].all()
    assert asked.sum() == box.size, "nothing outside the patch is answered"
    far = distances(volume, position)
    assert yes[asked & (far < 8.0)].all()
    assert not yes[far > 11.0].any()


def test_storage_orders_give_one_answer() -> None:
    volume = scan((24, 20, 11))
    position = tuple(volume.grid.to_world([5.2, 17.0, 3.3]))
    answers = responder(volume)
    expected = answers.propose(ask((position, answers.place(position, []))), whole(volume))
    for order in ORDERS:
        turned = stored(volume, order)
        other = responder(turned)
        found = other.propose(ask((position, other.place(position, []))), whole(turned))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, order.apply(b))


def test_a_sheared_scan_is_answered_in_its_own_voxels() -> None:
    affine = np.array([[1.5, 0.3, 0, -10], [0, 1.5, 0.4, 5], [0.2, 0, 2.0, 7], [0, 0, 0, 1.0]])
    volume = scan((30, 28, 24), affine)
    position = volume.grid.to_world([11.0, 20.0, 9.0])
    answers = responder(volume)
    patch = answers.place(position, [])
    asked, yes = answers.propose(ask((position, patch)), whole(volume))
    far = distances(volume, position)
    assert yes[asked & (far < 9.0)].all()
    assert not yes[far > 11.5].any()
    inside = np.zeros(volume.grid.shape, dtype=bool)
    inside[answers.box(patch).slices] = True
    assert not (asked & ~inside).any()
    assert 10**3 < asked.sum() < inside.sum()


def test_a_scan_smaller_than_the_patch_is_padded() -> None:
    volume = scan((3, 9, 1))
    position = volume.grid.to_world([2, 0, 0])
    answers = responder(volume)
    asked, yes = answers.propose(ask((position, answers.place(position, []))), whole(volume))
    assert asked.all()
    assert yes[2, 0, 0]


def test_a_part_of_the_answer_is_that_part_of_the_whole() -> None:
    volume = scan()
    answers = responder(volume)
    positions = [volume.grid.to_world(v) for v in ((9, 9, 4), (30, 22, 11))]
    clicks = [(position, answers.place(position, [])) for position in positions]
    expected = answers.propose(ask(*clicks), whole(volume))
    box = Box((5, 3, 2), (29, 20, 15))
    for a, b in zip(answers.propose(ask(*clicks[::-1]), box), expected, strict=True):
        np.testing.assert_array_equal(a, b[box.slices])


def test_a_patch_is_encoded_once_and_an_answer_made_once() -> None:
    volume, network = scan(), Near()
    answers = responder(volume, network)
    near = [tuple(volume.grid.to_world(v)) for v in ((20, 18, 9), (22, 17, 9), (20, 20, 8))]
    patch = answers.place(near[0], [])
    assert all(answers.place(p, [patch]) == patch for p in near)
    for count in (1, 2, 3, 3):
        answers.propose(ask(*((p, patch) for p in near[:count])), whole(volume))
    assert network.encoded == 1
    assert network.asked == 3


def test_what_is_remembered_stays_within_its_budget_and_forgets_the_oldest() -> None:
    made: list[int] = []

    def make(n: int) -> Tensor:
        made.append(n)
        return torch.zeros(100)

    kept: Remembered[Tensor] = Remembered(Shelf(1000))
    for n in (0, 1, 0, 2, 0):
        kept.get(n, lambda n=n: make(n))  # type: ignore[misc]
    assert kept.nbytes == 800
    assert len(kept) == 2
    assert made == [0, 1, 2]
    kept.get(1, lambda: make(1))
    assert made == [0, 1, 2, 1]
    tiny: Remembered[Tensor] = Remembered(Shelf(1))
    assert tiny.get("a", lambda: make(9)).numel() == 100, "the newest stays, whatever its size"


def test_all_responders_share_one_budget_and_leave_it_when_they_are_gone() -> None:
    budget = FeatureBudget(feature_bytes=3 * 4 * 16**3)
    volume = scan()
    many = [responder(volume, kept=budget) for _ in range(5)]
    for answers in many:
        position = volume.grid.to_world((20, 18, 9))
        answers.propose(ask((position, answers.place(position, []))), whole(volume))
    assert budget.features.nbytes == 3 * 4 * 16**3
    assert [len(answers.features) for answers in many] == [0, 0, 1, 1, 1], "the oldest went first"
    del many, answers
    gc.collect()
    assert budget.nbytes == 0


class Building(Near):
    """Builds on its answer before: adds a step of a tenth for each click."""

    sequential = True

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return the nearness to the last click, and what is left of the answers before."""
        now = super().point_logits(features, points[:, -1:], labels[:, -1:], zero_shot)
        return now if previous is None else now + previous / 10


@pytest.mark.parametrize("lasting", [None, Lasting(clicks=3)])
def test_a_click_costs_as_much_as_the_first_however_many_came_before(lasting: Lasting | None) -> None:
    volume, network = scan(), Building()
    answer_bytes = 4 * 16**3
    answers = responder(volume, network, kept=FeatureBudget(answer_bytes=2 * 10 * answer_bytes), lasting=lasting)
    rng = np.random.default_rng(0)
    patch = answers.place(volume.grid.to_world((20, 18, 9)), [])
    clicks = [(volume.grid.to_world(rng.uniform((16, 14, 6), (24, 22, 12))), patch) for _ in range(80)]
    costs = []
    for count in range(1, len(clicks) + 1):
        before = network.asked
        answers.propose(ask(*clicks[:count]), whole(volume))
        costs.append(network.asked - before)
    assert set(costs) == {1}, "ten answers are kept, and the eightieth click needs one of them"
    before = network.asked
    answers.propose(ask(*clicks[:45]), whole(volume))
    assert network.asked - before <= MILESTONE, "after many undos few passes lead back"


def test_places_are_worked_out_once_for_all_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, way = scan(), Case.to_network
    answers = responder(volume)
    clicks = []
    for voxel in itertools.product((4, 20, 36), (4, 18, 32), (4, 14)):
        position = volume.grid.to_world(voxel)
        clicks.append((position, answers.place(position, [])))
    sizes: list[int] = []

    def counted(case: Case, points: np.ndarray) -> np.ndarray:
        sizes.append(len(points))
        return way(case, points)

    monkeypatch.setattr(Case, "to_network", counted)
    answers.propose(ask(*clicks), Box((0, 0, 0), (1, 1, 1)))
    patches = len({patch for _, patch in clicks})
    assert patches > 8
    assert sum(sizes) < 2 * len(clicks), "eighteen places for all patches, not for each; and those of the one asked"


def test_a_patch_that_comes_late_costs_few_passes_and_is_shown_every_click() -> None:
    volume, network = scan(), Building()
    answers = responder(volume, network)
    rng = np.random.default_rng(0)
    old = answers.place(volume.grid.to_world((20, 18, 9)), [])
    clicks = [(volume.grid.to_world(rng.uniform((20, 14, 6), (24, 22, 12))), old) for _ in range(40)]
    answers.propose(ask(*clicks), whole(volume))
    far = volume.grid.to_world((28, 18, 9))
    late = answers.place(far, [old])
    assert late != old
    assert all(answers.sees(late, position) for position, _ in clicks)
    before = network.asked
    _, yes = answers.propose(ask(*clicks, (far, late)), whole(volume))
    assert network.asked - before <= MILESTONE + 2, "nine for the new patch, one for the old"
    assert yes[28, 18, 9]


def test_what_is_forgotten_is_answered_the_same_again() -> None:
    volume = scan()
    position = volume.grid.to_world((20, 18, 9))
    found = []
    for budget in (FeatureBudget(), FeatureBudget(1, 1)):
        answers = responder(volume, Building(), kept=budget)
        patch = answers.place(position, [])
        clicks = [(volume.grid.to_world((16 + n % 9, 14 + n % 7, 6 + n % 5)), patch) for n in range(20)]
        for count in (12, 20, 3, 20):
            found.append(answers.propose(ask(*clicks[:count]), whole(volume))[1].tobytes())
    assert found[:4] == found[4:]


def test_each_patch_is_told_and_what_the_watch_raises_comes_out() -> None:
    volume = scan()
    answers = responder(volume)
    positions = [volume.grid.to_world(v) for v in ((9, 9, 4), (30, 22, 11))]
    question = ask(*((position, answers.place(position, [])) for position in positions))
    steps: list[tuple[int, int]] = []
    answers.propose(question, whole(volume), lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]
    with pytest.raises(CancelledError):
        answers.propose(question, whole(volume), cancel_when(lambda: True))


def test_a_place_shown_with_a_click_that_its_patch_does_not_see_is_left_out() -> None:
    """On a sheared grid the box around a patch, in which such a place is looked for, is larger than the patch."""
    affine = np.array([[2.0, 0, 0, 0], [0, 2.0, 1.2, 0], [0, 0, 2.0, 0], [0, 0, 0, 1.0]])
    volume = scan((40, 50, 40), affine)
    answers = responder(volume, Building())
    click = LabelledClick(tuple(volume.grid.to_world((20, 25, 20)).tolist()), 0, (0, 0, 0))
    click = click._replace(patch=answers.place(click.position_ras, []))
    corners = itertools.product(*zip(answers.box(click.patch).start, answers.box(click.patch).stop, strict=True))
    places = [volume.grid.to_world(np.minimum(corner, (39, 49, 39))).tolist() for corner in corners]
    unseen = [tuple(place) for place in places if not answers.sees(click.patch, place)]
    assert unseen
    alone = answers.propose(Question((click,), False), whole(volume))
    for place in unseen:
        found = answers.propose(Question((click._replace(position_ras=place, label=1), click), False), whole(volume))
        for a, b in zip(found, alone, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_click_outside_the_scan_is_refused() -> None:
    with pytest.raises(PromptError, match="outside the scan"):
        responder(scan()).place((1e4, 0, 0), [])


class Fickle(Near):
    """Says yes everywhere to one click, and a weaker no everywhere to more."""

    sequential = True

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return one value for the whole patch."""
        self.asked += 1
        return torch.full((1, 1, *features.shape[2:]), 3.0 if points.shape[1] == 1 else -1.0)


def test_of_a_structure_with_a_name_the_answer_before_lasts_far_from_the_last_click() -> None:
    volume, network = scan((16, 16, 16), np.eye(4)), Fickle()
    answering = responder(volume, network, spacing=1.0, lasting=Lasting(share=0.5, reach=2.0))
    first, second = LabelledClick((12, 12, 12), 1, (0, 0, 0)), LabelledClick((2, 2, 2), 0, (0, 0, 0))
    masks = {}
    for clicks, zero_shot in itertools.product([(first,), (first, second)], [False, True]):
        masks[len(clicks), zero_shot] = answering.propose(Question(clicks, zero_shot), whole(volume))[1]
    assert masks[1, False].all()
    assert not masks[2, True].any(), "an object of its own takes the newest answer as it is"
    assert masks[2, False][12, 12, 12]
    assert not masks[2, False][2, 2, 2]
    assert network.asked == 4, "the answer before was remembered"


def test_what_lasts_goes_back_over_a_few_clicks_and_not_before_the_first_positive_one() -> None:
    volume = scan((16, 16, 16), np.eye(4))
    places: list[tuple[float, float, float]] = [(12, 12, 12), (2, 2, 2), (2, 12, 2), (12, 2, 2)]
    positive_first = tuple(LabelledClick(place, int(n == 0), (0, 0, 0)) for n, place in enumerate(places))
    negative_first = tuple(LabelledClick(place, int(n == 2), (0, 0, 0)) for n, place in enumerate(places))
    far = (6, 6, 14)
    found = {}
    for clicks in (1, 2, 3):
        answering = responder(volume, Fickle(), spacing=1.0, lasting=Lasting(share=0.8, reach=1.0, clicks=clicks))
        for clicked in (positive_first, negative_first):
            _, yes = answering.propose(Question(clicked, False), whole(volume))
            found[clicks, clicked[0].label] = bool(yes[far])
    assert [found[clicks, 1] for clicks in (1, 2, 3)] == [False, False, True], "3 * 0.8 ** 3 outweighs the rest"
    assert not any(found[clicks, 0] for clicks in (1, 2, 3)), "no answer was made before a positive click"


def test_intensities_count_beside_the_network_where_the_model_says_so() -> None:
    grid = scan((40, 40, 40), np.eye(4)).grid
    middle = np.array([20.0, 20.0, 20.0])
    lesion = distances(Volume(np.zeros(grid.shape, dtype=np.float32), grid), middle) <= 7
    volume = Volume(np.where(lesion, 200, -200).astype(np.float32), grid)
    case = Case.prepare(volume, Preparation(spacing_mm=(1.0,) * 3))
    plan = plan_windows(case.grid.shape, ROI, 0.25)
    image = PaddedImage(case, plan, "replicate")
    answering = ClickResponder(case, Near(), plan, image, FeatureBudget(), appearance=Appearance())
    question = ask((middle, answering.place(middle, [])))
    _, found = answering.propose(question, whole(volume))
    _, plain = responder(volume, spacing=1.0).propose(question, whole(volume))
    assert (found ^ lesion).sum() < 0.3 * (plain ^ lesion).sum()
    _, again = answering.propose(question, whole(volume))
    assert np.array_equal(found, again)
