"""A state is read back whole or not at all, and a second save leaves the first one behind it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from prosect.training.states import read_state, write_state

STATE = {"step": 7, "network": {"weight": torch.arange(600, dtype=torch.float32)}, "identity": "made"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a state on the disk."""
    write_state(tmp_path / "state.pt", STATE)
    return tmp_path / "state.pt"


def test_a_state_is_read_as_it_was_written(place: Path) -> None:
    found = read_state(place)
    assert found is not None
    assert (found["step"], found["identity"]) == (7, "made")
    assert torch.equal(found["network"]["weight"], STATE["network"]["weight"])  # type: ignore[index]


def test_a_second_save_keeps_the_first_beside_it_and_leaves_nothing_else(place: Path) -> None:
    before = place.with_name("before.pt")
    write_state(place, {**STATE, "step": 8}, before)
    now, then = read_state(place), read_state(before)
    assert now is not None
    assert then is not None
    assert (now["step"], then["step"]) == (8, 7)
    assert sorted(path.name for path in place.parent.iterdir()) == ["before.pt", "state.pt"]


def test_there_is_no_state_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_state(tmp_path / "state.pt") is None
    assert read_state(tmp_path) is None, "a folder is no state"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_torn_state_is_none(place: Path, share: float) -> None:
    content = place.read_bytes()
    place.write_bytes(content[: int(share * len(content))])
    assert read_state(place) is None


def test_any_flipped_bit_of_a_weight_is_seen(place: Path) -> None:
    content = bytearray(place.read_bytes())
    weights = STATE["network"]["weight"].numpy().tobytes()  # type: ignore[index]
    start = bytes(content).index(weights)
    for offset in (0, 1201, len(weights) - 1):
        torn = bytearray(content)
        torn[start + offset] ^= 1
        place.write_bytes(torn)
        assert read_state(place) is None, offset
    place.write_bytes(content)
    assert read_state(place) is not None


def test_a_file_that_could_run_code_is_not_opened(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "harm"),))

    with zipfile.ZipFile(tmp_path / "state.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Harm()))
        archive.writestr("archive/version", "3\n")
    assert read_state(tmp_path / "state.pt") is None
    assert not (tmp_path / "harm").exists()


def test_a_state_that_cannot_be_written_leaves_the_one_before(place: Path) -> None:
    before = place.read_bytes()
    with pytest.raises(Exception, match=r"pickle|serial|local"):
        write_state(place, {"step": lambda: 0})
    assert place.read_bytes() == before
    assert [path.name for path in place.parent.iterdir()] == ["state.pt"]
