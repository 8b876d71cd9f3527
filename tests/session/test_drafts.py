"""A session goes on from a mask of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect.errors import GeometryError, PromptError, ProsectWarning
from prosect.geometry import Grid
from prosect.io.stored import StoredLabels
from prosect.labelmap import LabelLayers, LabelMap
from prosect.session import Session
from session.test_session import SHAPE, Model, scan

A = np.zeros(SHAPE, dtype=bool)
A[4:12, 5:12, 6:14] = True
B = np.zeros(SHAPE, dtype=bool)
B[20:30, 5:12, 6:14] = True


@pytest.fixture
def session() -> Session:
    """Return a new session."""
    return Session(scan(), Model())


def label_map(session: Session) -> LabelMap:
    """Return liver and spleen as a label map."""
    return LabelMap(A + 3 * B.astype(np.uint8), session.volume.grid, session.vocabulary)


def same(session: Session, **masks: np.ndarray) -> None:
    """Check that these are all masks of a session."""
    assert set(session.structures) == {name.replace("_", " ") for name in masks}
    for name, mask in masks.items():
        np.testing.assert_array_equal(session.mask(name.replace("_", " ")), mask)


def test_a_label_map_and_layers_are_drafts(session: Session) -> None:
    session.start_from(label_map(session))
    same(session, liver=A, spleen=B)
    layers = LabelLayers(np.stack([B, A]), (1, 3), session.volume.grid, session.vocabulary)
    session.start_from(layers, ["liver"])
    same(session, liver=B, spleen=B)


def test_a_bool_array_is_the_draft_of_the_structure_named(session: Session) -> None:
    session.start_from(A, name="my lesion")
    session.start_from(B, name="liver")
    same(session, my_lesion=A, liver=B)
    assert session.vocabulary["my lesion"].index == 133


@pytest.mark.parametrize("ending", [".nii.gz", ".seg.nrrd", ".mha"])
@pytest.mark.parametrize("as_path", [True, False])
def test_a_label_file_is_a_draft_by_its_names(session: Session, tmp_path: Path, ending: str, as_path: bool) -> None:
    path = tmp_path / f"labels{ending}"
    prosect.write(label_map(session), path)
    session.start_from(path if as_path else prosect.read_labels(path))
    same(session, liver=A, spleen=B)


def test_names_in_a_file_count_more_than_its_numbers(session: Session) -> None:
    stored = StoredLabels(A.astype(np.uint8) + 3 * B, session.volume.grid, {1: "Spleen", 3: "my own"})
    session.start_from(stored)
    same(session, spleen=A, my_own=B)


def test_a_segment_for_the_background_is_no_draft(session: Session) -> None:
    stored = StoredLabels(A + 2 * B.astype(np.uint8), session.volume.grid, {1: "Background", 2: "spleen"})
    session.start_from(stored)
    same(session, spleen=B)


def test_labels_of_one_name_are_one_structure(session: Session) -> None:
    flat = StoredLabels(A + 2 * B.astype(np.uint8), session.volume.grid, {1: "Liver", 2: "liver"})
    layered = StoredLabels(np.stack([A, B]), session.volume.grid, {1: "liver", 2: "liver"}, layers=(1, 2))
    for stored in (flat, layered):
        session.start_from(stored)
        same(session, liver=A | B)
        session.start_from(stored, ["liver"])
        same(session, liver=A | B)


def test_a_segment_without_a_name_is_refused_by_its_number(session: Session) -> None:
    stored = StoredLabels(np.stack([A, B]), session.volume.grid, {1: "liver", 2: ""}, layers=(1, 2))
    with pytest.raises(PromptError, match="segment 2 of the file has no name"):
        session.start_from(stored)


@pytest.mark.parametrize("share", [0.16, 0.3, 0.5])
def test_labels_off_the_voxels_are_told_and_refused_from_a_quarter_on(session: Session, share: float) -> None:
    affine = session.volume.grid.affine.copy()
    off_mm = share * min(session.volume.grid.spacing_mm)
    affine[0, 3] += off_mm
    moved = LabelMap(A.astype(np.uint8), Grid(SHAPE, affine), session.vocabulary)
    if share < 0.25:
        with pytest.warns(ProsectWarning, match=f"{off_mm:.2f} mm from the scan's voxels"):
            session.start_from(moved)
        same(session, liver=A)
    else:
        with pytest.raises(GeometryError) as refused:
            session.start_from(moved)
        assert refused.value.code == "DRAFT_GRID"


def test_a_single_label_takes_the_name_that_is_given(session: Session) -> None:
    session.start_from(StoredLabels(7 * A.astype(np.uint8), session.volume.grid, {}), name="lesion")
    session.start_from(StoredLabels(7 * B.astype(np.uint8), session.volume.grid, {}), ["liver"])
    same(session, lesion=A, liver=B)


def test_one_of_several_labels_is_chosen_and_renamed(session: Session) -> None:
    session.start_from(label_map(session), ["spleen"], name="my lesion")
    same(session, my_lesion=B)


@pytest.mark.parametrize(
    ("labels", "options", "error", "code"),
    [
        (A.astype(np.uint8), {"name": "liver"}, PromptError, "DRAFT_INVALID"),
        (A.astype(float), {"name": "liver"}, PromptError, "DRAFT_INVALID"),
        ([[1, 2], [3, 4]], {"name": "liver"}, PromptError, "DRAFT_INVALID"),
        (None, {}, PromptError, "DRAFT_INVALID"),
        (A[:-1], {"name": "liver"}, GeometryError, "DRAFT_GRID"),
        (A, {}, PromptError, "STRUCTURE_MISSING"),
        (StoredLabels(A.astype(np.uint8), Grid(SHAPE, np.eye(4)), {}), {}, GeometryError, "DRAFT_GRID"),
        (StoredLabels(A.astype(np.uint8), scan().grid, {1: "liver"}), {"structures": ["spleen"]}, PromptError,
         "DRAFT_MISSING"),
        (StoredLabels(A.astype(np.uint8) + 3 * B, scan().grid, {}), {"name": "lesion"}, PromptError, "DRAFT_MISSING"),
        (StoredLabels(60000 * A.astype(np.uint16), scan().grid, {}), {}, PromptError, "STRUCTURE_UNKNOWN"),
        ("no such file.nii.gz", {}, prosect.errors.FormatError, "INPUT_NOT_FOUND"),
    ],
)  # fmt: skip
def test_what_is_no_draft_is_refused_by_type(
    session: Session, labels: Any, options: dict[str, Any], error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as caught:
        session.start_from(labels, **options)
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert session.structures == ()
    assert not session.can_undo
