"""A session changes only what clicks touch, and gives every bit back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prosect import vocabulary
from prosect.case import Case, Preparation
from prosect.errors import FormatError, GeometryError, PromptError, VocabularyError
from prosect.geometry import Grid
from prosect.inference.clicks import ClickResponder
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.patch_images import PaddedImage
from prosect.inference.windows import plan_windows
from prosect.labelmap import LabelLayers, LabelMap
from prosect.progress import Watch
from prosect.session import Session, read_record
from prosect.volume import Volume

SHAPE = (40, 36, 30)
LIVER, SPLEEN = 1, 3


class Ball:
    """Says yes within five voxels of the nearest positive click, no within four of a negative one; notes labels."""

    sequential = False

    def __init__(self) -> None:
        self.labels: list[int] = []
        self.zero_shot: list[bool] = []
        self.encoded = 0

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return the image itself."""
        self.encoded += 1
        return image

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return distances from the clicks as logits."""
        self.labels, self.zero_shot = labels[0].tolist(), zero_shot.tolist()
        voxels = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in features.shape[2:]), indexing="ij"), -1)
        distance = (voxels.reshape(-1, 1, 3) - points[0]).norm(dim=-1)
        yes = 5.1 - distance.where(labels[0] % 2 == 1, torch.tensor(99.0)).amin(1)
        no = distance.where(labels[0] % 2 == 0, torch.tensor(99.0)).amin(1)
        return torch.minimum(yes, no - 4).reshape(1, 1, *features.shape[2:])


class Model:
    """Drafts two overlapping blocks and answers clicks by balls."""

    def __init__(self) -> None:
        self.network = Ball()
        self.vocabulary = vocabulary.load("vista3d-ct")
        self.identity = {"name": "balls", "weights_sha256": "0" * 64, "profile": "prosect"}

    def draft(self, volume: Volume, indices: Any, overlap: bool, watch: Watch | None = None) -> LabelMap | LabelLayers:
        """Return the blocks, or the flat map of them."""
        masks = np.zeros((len(indices), *SHAPE), dtype=bool)
        for mask, index in zip(masks, indices, strict=True):
            mask[4 * index : 4 * index + 12, 5:12, 6:14] = True
        layers = LabelLayers(masks, tuple(indices), volume.grid, self.vocabulary)
        return layers if overlap else layers.flatten()

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> ClickResponder:
        """Return patches of 16 voxels of 2 mm."""
        case = Case.prepare(volume, Preparation(spacing_mm=(2.0, 2.0, 2.0)))
        plan = plan_windows(case.grid.shape, (16, 16, 16), 0.25)
        return ClickResponder(case, self.network, plan, PaddedImage(case, plan, "replicate"), kept or FeatureBudget())


def scan() -> Volume:
    """Return a scan stored left to right and feet first, with its own spacing."""
    affine = np.array([[-1.5, 0, 0, 30], [0, 1.6, 0, -9], [0, 0, -2.5, 40], [0, 0, 0, 1.0]])
    return Volume(np.random.default_rng(0).normal(0, 300, SHAPE).astype(np.float32), Grid(SHAPE, affine))


@pytest.fixture
def model() -> Model:
    """Return a model."""
    return Model()


@pytest.fixture
def session(model: Model) -> Session:
    """Return a new session."""
    return Session(scan(), model)


def state(session: Session) -> dict[str, bytes]:
    """Return every mask's bits."""
    return {name: session.mask(name).tobytes() for name in session.structures}


def test_a_click_on_a_new_name_makes_an_object(session: Session, model: Model) -> None:
    change = session.click((30, 25, 20), structure="my lesion", space="voxel")
    mask = session.mask("my lesion")
    assert mask[30, 25, 20]
    assert change.added == mask.sum() > 100
    assert change.removed == 0
    assert change.box is not None
    assert mask[change.box.slices].sum() == mask.sum()
    assert "zero-shot" in change.notes[0]
    assert model.network.zero_shot == [True]
    assert model.network.labels == [1]
    assert session.vocabulary["my lesion"].index == 133
    assert set(session.labels.present) == {133}
    assert session.labels.name_of(133) == "my lesion"


@pytest.mark.parametrize(
    ("structure", "label", "zero_shot"),
    [("liver", 1, False), ("trachea", 3, False), ("rectum", 1, True), (24, 3, False)],
)
def test_token_and_label_follow_from_the_structure(
    session: Session, model: Model, structure: str | int, label: int, zero_shot: bool
) -> None:
    session.click((30, 25, 20), structure=structure, space="voxel")
    assert (model.network.labels, model.network.zero_shot) == ([label], [zero_shot])
    session.click((30, 25, 21), positive=False, structure=structure, space="voxel")
    assert sorted(model.network.labels) == sorted([label, label - 1])


def test_far_voxels_and_other_structures_stay_bit_for_bit(session: Session) -> None:
    session.segment(["liver", "spleen"])
    before = {name: session.mask(name) for name in ("liver", "spleen")}
    change = session.click((20, 12, 10), structure="liver", space="voxel")
    after = session.mask("liver")
    assert change.added == (after & ~before["liver"]).sum() > 0
    assert change.removed == 0
    np.testing.assert_array_equal(session.mask("spleen"), before["spleen"])
    outside = np.ones(SHAPE, dtype=bool)
    outside[change.box.slices] = False  # type: ignore[union-attr]
    np.testing.assert_array_equal(after[outside], before["liver"][outside])


def test_a_negative_click_removes_and_in_nothing_does_nothing(session: Session) -> None:
    session.segment(["liver"])
    draft = session.mask("liver")
    change = session.click((36, 30, 25), positive=False, structure="liver", space="voxel")
    assert (change.added, change.removed, change.box) == (0, 0, None)
    np.testing.assert_array_equal(session.mask("liver"), draft)
    change = session.click((10, 8, 10), positive=False, structure="liver", space="voxel")
    assert change.removed > 0
    assert not session.mask("liver")[10, 8, 10]


def test_the_same_click_again_changes_nothing(session: Session) -> None:
    session.click((30, 25, 20), structure="a", space="voxel")
    before = state(session)
    change = session.click((30.2, 25, 19.9), structure="a", space="voxel")
    assert (change.added, change.removed, change.box) == (0, 0, None)
    assert "before" in change.notes[0]
    assert state(session) == before


def test_in_one_voxel_the_last_click_counts(session: Session) -> None:
    session.click((30, 25, 20), structure="a", space="voxel")
    expected = state(session)
    session.click((31, 25, 20), structure="a", space="voxel")
    change = session.click((31, 25, 20), positive=False, structure="a", space="voxel")
    assert any("last click counts" in note for note in change.notes)
    assert not session.mask("a")[31, 25, 20]
    session.undo()
    session.undo()
    assert state(session) == expected


def test_clicks_that_share_a_patch_give_one_mask_in_any_order(model: Model) -> None:
    clicks = [((20, 18, 15), True), ((23, 18, 15), True), ((21, 20, 15), False), ((20, 16, 14), True)]
    masks = []
    for order in itertools.permutations(clicks[1:]):
        session = Session(scan(), model)
        session.segment(["liver"])
        for point, positive in (clicks[0], *order):
            session.click(point, positive, "liver", space="voxel")
        masks.append(session.mask("liver").tobytes())
    assert len(set(masks)) == 1
    assert model.network.encoded == len(masks), "one patch per session"


def test_undo_and_redo_restore_every_bit(session: Session) -> None:
    states = [state(session)]
    actions = [
        lambda: session.segment(["liver", "spleen"]),
        lambda: session.click((20, 12, 10), structure="liver", space="voxel"),
        lambda: session.click((9, 8, 10), False, "liver", space="voxel"),
        lambda: session.click((30, 25, 20), structure="mine", space="voxel"),
        lambda: session.clear("liver"),
        lambda: session.click((12, 12, 10), structure="liver", space="voxel"),
    ]
    for act in actions:
        act()
        states.append(state(session))
    assert len({tuple(sorted(s.items())) for s in states}) == len(states), "every action must do something"
    for expected in reversed(states[:-1]):
        session.undo()
        assert state(session) == expected
    with pytest.raises(PromptError, match="nothing to undo"):
        session.undo()
    for expected in states[1:]:
        session.redo()
        assert state(session) == expected
    with pytest.raises(PromptError, match="nothing to redo"):
        session.redo()


def test_a_change_says_how_long_the_whole_action_took(model: Model) -> None:
    ticks = iter(range(100))
    session = Session(scan(), model, clock=lambda: float(next(ticks)))
    assert session.segment(["liver"]).seconds == 1
    assert session.click((20, 12, 10), structure="liver", space="voxel").seconds == 1


def test_undo_reports_the_opposite_of_what_was_done(session: Session) -> None:
    done = session.click((30, 25, 20), structure="a", space="voxel")
    undone = session.undo()
    assert (undone.added, undone.removed, undone.box) == (done.removed, done.added, done.box)


def test_a_new_draft_keeps_the_clicks(session: Session) -> None:
    session.segment(["liver"])
    session.click((20, 12, 10), structure="liver", space="voxel")
    expected = state(session)
    session.segment(["liver"])
    assert state(session) == expected


def overlapping(rule: str) -> Session:
    """Return a session in which the spleen is drafted first and a click on the liver reaches into it."""
    session = Session(scan(), Model(), overlap=rule)
    session.segment(["spleen"])
    session.click((13, 9, 10), structure="liver", space="voxel")
    return session


def test_structures_may_overlap() -> None:
    session = overlapping("allow")
    assert (session.mask("liver") & session.mask("spleen")).any()


def test_the_structure_edited_last_takes_voxels_and_undo_gives_them_back() -> None:
    session = overlapping("take")
    assert not (session.mask("liver") & session.mask("spleen")).any()
    assert session.mask("liver")[13, 9, 10]
    lost = session.mask("spleen").sum()
    session.undo()
    assert session.mask("spleen").sum() == 12 * 7 * 8 > lost
    change = session.redo()
    assert change.added > 0
    session.click((30, 25, 20), structure="spleen", space="voxel")
    assert not (session.mask("liver") & session.mask("spleen")).any()
    assert session.mask("liver")[13, 9, 10], "a click elsewhere takes nothing back"


def test_the_structure_that_was_first_keeps_its_voxels() -> None:
    session = overlapping("keep")
    assert session.mask("spleen").sum() == 12 * 7 * 8
    assert session.mask("liver").any()
    assert not (session.mask("liver") & session.mask("spleen")).any()


@pytest.mark.parametrize("rule", ["allow", "take", "keep"])
def test_a_locked_structure_is_never_overwritten(rule: str) -> None:
    session = Session(scan(), Model(), overlap=rule)
    session.segment(["spleen"])
    session.lock("spleen")
    expected = session.mask("spleen")
    session.click((13, 9, 10), structure="hepatic tumor", space="voxel")
    np.testing.assert_array_equal(session.mask("spleen"), expected)
    np.testing.assert_array_equal(session.labels.array == SPLEEN, expected)
    for act in (
        lambda: session.click((13, 9, 10), structure="spleen", space="voxel"),
        lambda: session.segment(["spleen"]),
        lambda: session.clear("spleen"),
    ):
        with pytest.raises(PromptError, match="locked"):
            act()
    session.undo()
    with pytest.raises(PromptError, match="locked"):
        session.undo()
    np.testing.assert_array_equal(session.mask("spleen"), expected)
    session.lock("spleen", False)
    session.undo()
    assert not session.mask("spleen").any()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (((float("nan"), 1, 1), True, "liver"), "POINT_NOT_FINITE"),
        (((1e9, 1, 1), True, "liver"), "POINT_OUTSIDE"),
        (((5, 5, 5), False, "liver"), "CLICKS_ONLY_NEGATIVE"),
        (((5, 5, 5), True, None), "STRUCTURE_MISSING"),
        (((5, 5, 5), True, 999), "STRUCTURE_UNKNOWN"),
        (((5, 5, 5), True, 0), "STRUCTURE_UNKNOWN"),
        (((5, 5, 5), True, "-7"), "STRUCTURE_UNKNOWN"),
        (((5, 5, 5), True, "kidney"), "STRUCTURE_GROUP"),
        (((5, 5, 5), True, " "), "STRUCTURE_NAME"),
        (((5, 5, 5), True, "Background"), "STRUCTURE_NAME"),
        (((5, 5, 5), True, "x" * 65), "STRUCTURE_NAME"),
        (((5, 5, 5), "yes", "liver"), "CLICK_LABEL"),
    ],
)
def test_a_refused_click_changes_nothing(session: Session, arguments: Any, code: str) -> None:
    with pytest.raises((PromptError, VocabularyError)) as caught:
        session.click(*arguments, space="voxel")
    assert caught.value.code == code
    assert session.structures == ()
    with pytest.raises(PromptError, match="nothing to undo"):
        session.undo()


def test_labels_on_another_grid_are_refused(session: Session) -> None:
    other = LabelMap(np.zeros(SHAPE, dtype=np.uint8), Grid(SHAPE, np.eye(4)), session.vocabulary)
    with pytest.raises(GeometryError, match="another grid"):
        session.start_from(other)


def test_a_suggestion_is_where_network_and_mask_disagree(session: Session) -> None:
    assert session.suggest() is None
    session.segment(["liver"])
    session.click((8, 8, 10), structure="liver", space="voxel")
    found = session.suggest("liver")
    assert found is not None
    assert not found.positive
    voxel = tuple(session.volume.grid.to_voxel(found.position_ras).round().astype(int))
    assert session.mask("liver")[voxel]
    assert found.volume_ml > 0
    session.click(found.position_ras, found.positive, found.structure)
    assert not session.mask("liver")[voxel]


def walk(session: Session) -> Session:
    """Return the session after some of everything."""
    session.segment(["liver", "spleen"])
    session.click((20.25, 12, 10), structure="liver", space="voxel")
    session.click((30, 25, 20), structure="mine", space="voxel")
    session.undo()
    session.click((9, 8, 10), False, "liver", space="voxel")
    session.lock("spleen")
    session.click((33, 25, 20), structure="mine", space="voxel")
    session.undo()
    session.redo()
    return session


@pytest.mark.parametrize("recompute", [False, True])
def test_a_saved_session_resumes_to_the_same_bits(tmp_path: Path, model: Model, recompute: bool) -> None:
    session = walk(Session(scan(), model, overlap="take"))
    path = session.save(tmp_path / "case.prosect.json")
    assert json.loads(path.read_text())["format"] == "prosect-session"
    fresh = Session(scan(), Model(), overlap="take").replay(read_record(path), recompute=recompute)
    for each in (fresh, session):
        each.lock("spleen", False)
    for _ in range(3):
        assert state(fresh) == state(session)
        np.testing.assert_array_equal(fresh.labels.array, session.labels.array)
        for each in (fresh, session):
            each.undo()
    for each in (fresh, session):
        each.click((20, 14, 10), structure="liver", space="voxel")
    assert state(fresh) == state(session)


def test_a_killed_session_resumes_from_its_journal(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "journal"
    session = walk(Session(scan(), model, journal=path))
    whole = path.read_bytes()
    entries = read_record(path).entries
    for length in range(len(whole) - 1, whole.index(b"\n"), -97):
        path.write_bytes(whole[:length])
        record = read_record(path)
        assert record.is_journal
        # A line lacks nothing once its brace is there; the line feed only ends it.
        assert record.entries == entries[: whole[: length + 1].count(b"\n") - 1]
        Session(scan(), Model()).replay(record, journal=tmp_path / "again")
        assert read_record(tmp_path / "again").entries == record.entries
    path.write_bytes(whole)
    resumed = Session(scan(), Model()).replay(read_record(path), journal=path)
    assert path.read_bytes() == whole
    assert state(resumed) == state(session)
    resumed.click((20, 14, 10), structure="liver", space="voxel")
    assert len(read_record(path).entries) == len(entries) + 1


def test_a_journal_is_never_written_over(tmp_path: Path, model: Model) -> None:
    walk(Session(scan(), model, journal=tmp_path / "journal"))
    content = (tmp_path / "journal").read_bytes()
    with pytest.raises(FormatError, match=r"prosect\.resume"):
        Session(scan(), model, journal=tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == content


def test_what_cannot_be_journalled_does_not_happen(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = walk(Session(scan(), model, journal=tmp_path / "journal"))
    before, content = state(session), (tmp_path / "journal").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Exception, match="the disk is full"):
        session.click((20, 14, 10), structure="liver", space="voxel")
    assert state(session) == before
    assert (tmp_path / "journal").read_bytes() == content


@pytest.mark.parametrize("place", ["hash", "bits", "lines", "header", "kind"])
def test_damage_and_other_scans_are_refused(tmp_path: Path, model: Model, place: str) -> None:
    path = tmp_path / "journal"
    session = Session(scan(), model, journal=path)
    session.click((30, 25, 20), structure="mine", space="voxel")
    saved = json.loads(session.save(tmp_path / "saved").read_text())
    code = "SESSION_DAMAGED"
    if place == "hash":
        saved["scan_sha256"], code = "1" * 64, "SESSION_OTHER"
    elif place == "header":
        saved["format"], code = "other", "SESSION_FILE"
    elif place == "kind":
        del saved["entries"][0]["structures"]
    elif place == "bits":
        saved["entries"][0]["edits"][0]["stop"][0] += 1
    if place == "lines":
        damaged = path.read_bytes().replace(b"mine", b"nine")
        (tmp_path / "saved").write_bytes(damaged)
    else:
        (tmp_path / "saved").write_text(json.dumps(saved))
    with pytest.raises(FormatError) as caught:
        Session(scan(), Model()).replay(read_record(tmp_path / "saved"))
    assert caught.value.code == code


def test_a_replay_that_differs_is_refused(tmp_path: Path, model: Model) -> None:
    path = walk(Session(scan(), model)).save(tmp_path / "saved")
    other = Model()
    other.network.point_logits = lambda *a: Ball().point_logits(*a) - 1  # type: ignore[method-assign]
    with pytest.raises(FormatError) as caught:
        Session(scan(), other).replay(read_record(path), recompute=True)
    assert caught.value.code == "REPLAY_DIFFERS"


def test_the_hash_of_a_scan_does_not_see_its_storage_but_everything_else(model: Model) -> None:
    volume = scan()
    same = Volume(np.asfortranarray(volume.array), volume.grid)
    changed = volume.array.copy()
    changed[3, 4, 5] += 1
    hashes = [Session(v, model).header["scan_sha256"] for v in (volume, same, Volume(changed, volume.grid))]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_official_mode_is_asked_for_by_name_and_kept_in_the_record(model: Model, tmp_path: Path) -> None:
    with pytest.raises(PromptError) as caught:
        Session(scan(), model, compat="monai")  # type: ignore[arg-type]
    assert caught.value.code == "COMPAT_UNKNOWN"
    official = Session(scan(), model, compat="official")
    official.click((30, 25, 20), structure="my lesion", space="voxel")
    record = read_record(official.save(tmp_path / "s.json"))
    assert record.header["compat"] == "official"
    with pytest.raises(FormatError) as other:
        Session(scan(), model).replay(record)
    assert other.value.code == "SESSION_OTHER"
    again = Session(scan(), model, compat="official").replay(record, recompute=True)
    assert state(again) == state(official)
