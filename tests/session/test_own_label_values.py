"""Files of a session have the label values of the user's model, whatever the structures' indices are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.errors import SessionError
from prosect.io.stored import StoredLabels
from prosect.models.hybrid import HybridModel
from prosect.session import Session, read_record
from session.test_session import SHAPE, Model, scan

A = np.zeros(SHAPE, dtype=bool)
A[4:12, 5:12, 6:14] = True
B = np.zeros(SHAPE, dtype=bool)
B[20:30, 5:12, 6:14] = True


class Finetuned(Model):
    """A model whose liver has value 61 in files and whose spleen has value 62."""

    label_values = {1: 61, 3: 62}  # noqa: RUF012


@pytest.fixture
def session() -> Session:
    """Return a new session of a finetuned model, with a liver."""
    made = Session(scan(), Finetuned())
    made.start_from(A, name="liver")
    return made


def values_in_file(session: Session, path: Path) -> dict[int, str]:
    """Write the labels of a session; return what the file says, whose values must be those that occur."""
    stored = prosect.read_labels(prosect.write(session.labels, path, like=session.volume))
    assert set(np.unique(stored.array).tolist()) == {0, *stored.names}
    return stored.names


def test_labels_have_the_values_of_the_model_and_objects_of_ones_own_their_index(
    session: Session, tmp_path: Path
) -> None:
    session.start_from(B, name="my lesion")
    assert values_in_file(session, tmp_path / "a.nii.gz") == {61: "liver", 133: "my lesion"}
    assert set(np.unique(session.labels.array).tolist()) == {0, 1, 133}, "in memory they are indices"


def test_where_two_structures_would_share_a_value_all_have_their_index(session: Session, tmp_path: Path) -> None:
    taken = session.vocabulary[61].name
    session.start_from(B, name=taken)
    assert values_in_file(session, tmp_path / "a.nii.gz") == {1: "liver", 61: taken}


def test_a_model_without_values_of_its_own_says_nothing_of_them() -> None:
    plain = Session(scan(), Model())
    plain.start_from(A, name="liver")
    assert "label_values" not in plain.labels.provenance


def test_a_draft_of_another_model_brings_its_values_and_the_record_keeps_them(tmp_path: Path) -> None:
    other = Session(scan(), Finetuned())
    other.start_from(A, name="liver")
    session = Session(scan(), Model())
    session.start_from(other.labels)
    assert values_in_file(session, tmp_path / "a.nii.gz") == {61: "liver"}
    record = read_record(session.save(tmp_path / "s.json"))
    resumed = Session(scan(), Model()).replay(record)
    assert values_in_file(resumed, tmp_path / "b.nii.gz") == {61: "liver"}


def test_a_renamed_draft_is_no_longer_the_models_structure(tmp_path: Path) -> None:
    other = Session(scan(), Finetuned())
    other.start_from(A, name="liver")
    session = Session(scan(), Model())
    session.start_from(other.labels, name="my lesion")
    assert values_in_file(session, tmp_path / "a.nii.gz") == {133: "my lesion"}


def test_drafts_of_the_sessions_own_model_add_nothing_to_the_record(session: Session, tmp_path: Path) -> None:
    session.start_from(session.labels)
    session.save(tmp_path / "s.json")
    assert all("label_values" not in entry for entry in read_record(tmp_path / "s.json").entries)


@pytest.mark.parametrize("value", [0, -1, 65536, "seven", None])
def test_a_record_with_an_impossible_value_is_refused(session: Session, tmp_path: Path, value: object) -> None:
    record = read_record(session.save(tmp_path / "s.json"))
    first, *rest = record.entries
    bad = replace(record, entries=({**first, "label_values": {"liver": value}}, *rest))
    with pytest.raises(SessionError) as caught:
        Session(scan(), Finetuned()).replay(bad)
    assert caught.value.code == "SESSION_DAMAGED"


def test_values_without_names_are_those_of_the_model(tmp_path: Path) -> None:
    session = Session(scan(), Finetuned())
    session.start_from(StoredLabels(61 * A.astype(np.uint8) + 62 * B, session.volume.grid, {}))
    np.testing.assert_array_equal(session.mask("liver"), A)
    np.testing.assert_array_equal(session.mask("spleen"), B)
    session.start_from(StoredLabels(61 * B.astype(np.uint8) + 7 * A, session.volume.grid, {}), ["liver"])
    np.testing.assert_array_equal(session.mask("liver"), B)


def test_a_mask_of_one_structure_may_have_any_value() -> None:
    session = Session(scan(), Finetuned())
    session.start_from(StoredLabels(61 * A.astype(np.uint8), session.volume.grid, {}), ["spleen"])
    np.testing.assert_array_equal(session.mask("spleen"), A)


def test_of_two_models_the_one_that_drafts_gives_the_values() -> None:
    assert HybridModel(Model(), Finetuned()).label_values == {1: 61, 3: 62}
    assert HybridModel(Finetuned(), Model()).label_values == {}
