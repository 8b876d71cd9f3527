"""A click on a draft changes it near the click, and the network is shown what it was taught to expect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prosect import vocabulary
from prosect.boxes import Box, SparseMask
from prosect.case import Case, Preparation
from prosect.geometry import Grid
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.patch_images import PaddedImage
from prosect.inference.windows import plan_windows
from prosect.models.set_clicks import SetResponder
from prosect.prompts import click_at
from prosect.session import Session
from prosect.session.correcting import KNOWN_MM, STRANGE_MM, anchor_of, near_clicks, selecting_voxel
from prosect.session.edits import PlacedClick
from prosect.session.journal import read_record
from prosect.volume import Volume

SHAPE = (60, 60, 60)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]))
WHOLE = Box((0, 0, 0), SHAPE)
LIVER = 1


class OnlyNear:
    """Says yes within ten voxels of a positive click, but not within three of a negative one."""

    sequential = False

    def __init__(self) -> None:
        self.shown: list[int] = []

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return the image itself."""
        return image

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return distances from the clicks as logits."""
        self.shown = labels[0].tolist()
        voxels = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in features.shape[2:]), indexing="ij"), -1)
        distance = (voxels.reshape(-1, 1, 3) - points[0]).norm(dim=-1)
        yes = 10.1 - distance.where(labels[0] % 2 == 1, torch.tensor(99.0)).amin(1)
        no = distance.where(labels[0] % 2 == 0, torch.tensor(99.0)).amin(1)
        return torch.minimum(yes, no - 3).reshape(1, 1, *features.shape[2:])


class Hollow(OnlyNear):
    """Says yes in a shell around the first click, and never at that click itself."""

    outer = 7

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return 9 from four voxels of the first click to `outer`, else -9: more than a box that was drawn says."""
        voxels = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in features.shape[2:]), indexing="ij"), -1)
        distance = (voxels - points[0, 0]).norm(dim=-1)
        return (18.0 * ((distance > 4) & (distance < self.outer)) - 9)[None, None]


class Model:
    """Takes clicks only; `known` are the structures that it was taught, all where None."""

    def __init__(self, known: frozenset[int] | None = None) -> None:
        self.network, self.known = OnlyNear(), known
        self.vocabulary = vocabulary.load("vista3d-ct")
        self.identity = {"name": "near", "weights_sha256": "0" * 64, "profile": "prosect"}

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Any:
        """Return one patch of 64 voxels of 2 mm, larger than the scan."""
        case = Case.prepare(volume, Preparation(spacing_mm=(2.0, 2.0, 2.0)))
        plan = plan_windows(case.grid.shape, (64, 64, 64), 0.25)
        answering = ClickResponder(
            case, self.network, plan, PaddedImage(case, plan, "replicate"), kept or FeatureBudget()
        )
        return answering if self.known is None else SetResponder(answering, self.known)


def drafted(model: Model) -> Session:
    """A session on a drafted liver, a block of 40 x 40 x 40 voxels."""
    session = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), model)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:50, 10:50, 10:50] = True
    session.start_from(mask, name="liver")
    return session


@pytest.mark.parametrize(
    ("known", "radius_mm"), [(None, KNOWN_MM), (frozenset({LIVER}), KNOWN_MM), (frozenset(), STRANGE_MM)]
)
def test_a_negative_click_takes_from_a_draft_what_lies_near_it_and_leaves_the_rest(
    known: frozenset[int] | None, radius_mm: float
) -> None:
    model = Model(known)
    session = drafted(model)
    before = session.mask("liver")
    place = (12, 30, 30)
    session.click(place, False, structure="liver", space="voxel")
    after = session.mask("liver")
    assert not after[place]
    lost = np.argwhere(before & ~after)
    away_mm = np.linalg.norm((lost - place) * GRID.spacing_mm, axis=1)
    assert away_mm.max() <= radius_mm
    assert not (after & ~before).any()
    assert sorted(label % 2 for label in model.network.shown) == [0, 1], "the click, and a place deep in the liver"


def test_like_the_official_code_the_network_is_shown_the_click_alone() -> None:
    model = Model()
    session = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), model, compat="official")
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:50, 10:50, 10:50] = True
    session.start_from(mask, name="liver")
    session.click((12, 30, 30), False, structure="liver", space="voxel")
    assert [label % 2 for label in model.network.shown] == [0]
    assert not session.mask("liver").any(), "so all of the liver that hangs together with the click is gone"


def test_undo_and_the_journal_keep_the_place_that_was_shown(tmp_path: Any) -> None:
    model = Model()
    session = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), model, journal=tmp_path / "j.jsonl")
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:50, 10:50, 10:50] = True
    session.start_from(mask, name="liver")
    session.click((12, 30, 30), False, structure="liver", space="voxel")
    session.click((45, 45, 45), False, structure="liver", space="voxel")
    wanted = session.mask("liver")
    session.undo()
    session.redo()
    assert np.array_equal(session.mask("liver"), wanted)
    record = read_record(tmp_path / "j.jsonl")
    again = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), Model()).replay(record, recompute=True)
    assert np.array_equal(again.mask("liver"), wanted)
    again.undo()
    again.click((45, 45, 45), False, structure="liver", space="voxel")
    assert np.array_equal(again.mask("liver"), wanted)


def placed(voxel: tuple[int, int, int], positive: bool = False) -> PlacedClick:
    """A click that counts."""
    return replace(PlacedClick.of(click_at(voxel, GRID, positive=positive, space="voxel"), GRID), turn=1)


def mask_of(*boxes: Box) -> SparseMask:
    """A mask of some blocks."""
    bits = np.zeros(SHAPE, dtype=bool)
    for box in boxes:
        bits[box.slices] = True
    found = SparseMask(SHAPE)
    found.toggle(WHOLE, bits)
    return found


def test_the_deepest_place_is_shown_far_from_what_is_wrong() -> None:
    block = Box((10, 10, 10), (31, 31, 21))
    anchor = anchor_of([placed((20, 20, 15))], mask_of(block), WHOLE, GRID)
    assert anchor is not None
    voxel = GRID.to_voxel([anchor])[0]
    assert np.linalg.norm((voxel - (20, 20, 15)) * GRID.spacing_mm) > 4
    assert ((voxel > (11, 11, 10)) & (voxel < (30, 30, 20))).all()


def test_another_part_is_shown_where_the_click_takes_one_away() -> None:
    wrong, right = Box((2, 2, 2), (8, 8, 6)), Box((30, 30, 30), (50, 50, 40))
    anchor = anchor_of([placed((4, 4, 4))], mask_of(wrong, right), WHOLE, GRID)
    assert anchor is not None
    voxel = GRID.to_voxel([anchor])[0]
    assert ((voxel >= right.start) & (voxel < right.stop)).all()


def test_nothing_is_shown_beside_a_positive_click_or_where_there_is_no_mask() -> None:
    block = mask_of(Box((10, 10, 10), (31, 31, 21)))
    assert anchor_of([placed((28, 28, 18), True), placed((20, 20, 15))], block, WHOLE, GRID) is None
    far = Box((0, 0, 0), (25, 60, 60))
    assert anchor_of([placed((28, 28, 18), True), placed((20, 20, 15))], block, far, GRID) is not None
    assert anchor_of([placed((20, 20, 15))], mask_of(), WHOLE, GRID) is None


def test_a_thin_structure_has_a_deep_place_too() -> None:
    thread = mask_of(Box((10, 11, 11), (50, 12, 12)))
    anchor = anchor_of([placed((12, 11, 11))], thread, WHOLE, GRID)
    assert anchor is not None
    assert thread[tuple(GRID.to_voxel([anchor])[0].round().astype(int).tolist())]


def test_a_positive_click_reaches_twice_as_far() -> None:
    near = near_clicks([placed((30, 30, 30))], WHOLE, GRID.spacing_mm, is_known=False)
    twice = near_clicks([placed((30, 30, 30), True)], WHOLE, GRID.spacing_mm, is_known=False)
    assert Box.of(near) == Box((22, 22, 26), (39, 39, 35))
    assert Box.of(twice) == Box((14, 14, 22), (47, 47, 39))
    assert not near_clicks([], WHOLE, GRID.spacing_mm, is_known=True).any()


DRAWN = Box((10, 10, 10), (31, 31, 31))
ASKED = Box((5, 5, 5), (40, 40, 40))


def in_the_middle(bounds: Box | None = DRAWN) -> PlacedClick:
    """Return a click in the middle of a box that a person drew."""
    placed = PlacedClick.of(click_at((20, 20, 20), GRID, space="voxel"), GRID)
    return replace(placed, bounds=bounds)


def found_at(*boxes: Box) -> np.ndarray:
    """Return what was found in `ASKED`."""
    found = np.zeros(ASKED.shape, dtype=bool)
    for each in boxes:
        found[each.within(ASKED)] = True
    return found


def test_the_middle_of_a_box_selects_itself_where_it_was_found() -> None:
    speck, body = Box((20, 20, 20), (21, 21, 21)), Box((11, 11, 11), (16, 30, 30))
    assert selecting_voxel(in_the_middle(), found_at(speck, body), ASKED) == (15, 15, 15)


def test_the_largest_part_in_a_box_stands_for_a_middle_that_was_not_found() -> None:
    small, large, outside = (
        Box((23, 20, 20), (24, 21, 21)),
        Box((11, 11, 11), (14, 30, 30)),
        Box((32, 5, 5), (40, 40, 40)),
    )
    i, j, k = selecting_voxel(in_the_middle(), found_at(small, large, outside), ASKED)
    assert found_at(large)[i, j, k]


def test_nothing_stands_for_a_click_without_a_box_nor_in_a_flat_one_nor_where_nothing_was_found() -> None:
    body = found_at(Box((11, 11, 11), (14, 30, 30)))
    flat = Box((10, 10, 20), (31, 31, 21))
    for bounds in (None, flat):
        assert selecting_voxel(in_the_middle(bounds), body, ASKED) == (15, 15, 15)
    assert selecting_voxel(in_the_middle(), found_at(), ASKED) == (15, 15, 15)
    assert selecting_voxel(in_the_middle(), found_at(Box((32, 32, 32), (36, 36, 36))), ASKED) == (15, 15, 15)


def test_a_negative_click_in_the_hollow_of_a_structure_that_began_with_a_box_does_not_empty_it() -> None:
    model = Model()
    model.network = Hollow()
    session = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), model)
    session.box((15, 15, 20), (45, 45, 40), structure="my shell", space="voxel")
    whole = session.mask("my shell")
    assert whole.any()
    assert not whole[30, 30, 30]
    session.click((33, 30, 30), False, structure="my shell", space="voxel")
    assert session.mask("my shell").sum() > 0.5 * whole.sum()


def test_a_box_around_a_drafted_structure_selects_what_was_found_where_the_draft_may_change() -> None:
    model = Model(frozenset())
    hollow = Hollow()
    hollow.outer = 20  # far beyond the voxels that a click may change here
    model.network = hollow
    session = Session(Volume(np.zeros(SHAPE, dtype=np.float32), GRID), model)
    draft = np.zeros(SHAPE, dtype=bool)
    draft[56:, 56:, 56:] = True
    session.start_from(draft, name="liver")
    change = session.box((10, 10, 12), (50, 50, 48), structure="liver", space="voxel")
    assert change.added > 100
    away_mm = np.linalg.norm((np.argwhere(session.mask("liver") & ~draft) - 30) * GRID.spacing_mm, axis=1)
    assert away_mm.max() <= 2 * STRANGE_MM
