"""Weights are read however a training wrapped them, and what lies beside them is left out."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import prosect
from prosect.checkpoints import keeping
from prosect.checkpoints.files import read_weights
from prosect.checkpoints.fit import fit
from prosect.errors import CheckpointError, ProsectWarning
from worlds.weights import tiny_vista3d

State = dict[str, Tensor]


def state() -> State:
    """Return the weights of a small network."""
    return dict(tiny_vista3d().state_dict())


def prefixed(prefix: str) -> State:
    """Return weights whose keys all begin so."""
    return {prefix + key: value for key, value in state().items()}


def inserted(part: str) -> State:
    """Return weights of a network whose encoder alone was wrapped."""
    return {key.replace("image_encoder.", f"image_encoder.{part}."): value for key, value in state().items()}


def counted() -> State:
    """Return weights as thop leaves them: counters beside every tensor and at the top."""
    tensors = state()
    for key in list(tensors):
        below = key.rpartition(".")[0]
        tensors[f"{below}.total_ops"] = tensors[f"{below}.total_params"] = torch.zeros(1, dtype=torch.float64)
    return {**tensors, "total_ops": torch.zeros(1), "total_params": torch.zeros(1)}


def averaged() -> State:
    """Return what torch's own averaging of weights saves."""
    return dict(torch.optim.swa_utils.AveragedModel(tiny_vista3d()).state_dict())


def lightning() -> State:
    """Return what a training module saves that has a loss with weights of its own."""
    return {**prefixed("net."), "criterion.weight": torch.ones(3)}


KEYS: dict[str, Callable[[], State]] = {
    "module.": lambda: prefixed("module."),
    "_orig_mod.": lambda: prefixed("_orig_mod."),
    "module._orig_mod.": lambda: prefixed("module._orig_mod."),
    "_orig_mod.module.": lambda: prefixed("_orig_mod.module."),
    "net.": lambda: prefixed("net."),
    "net._orig_mod.": lambda: prefixed("net._orig_mod."),
    "a name of its own": lambda: prefixed("my_segmenter.backbone."),
    "a compiled encoder": lambda: inserted("_orig_mod"),
    "a parallel encoder": lambda: inserted("module"),
    "a sharded encoder": lambda: inserted("_fsdp_wrapped_module"),
    "counters": counted,
    "averaged by torch": averaged,
    "a loss beside": lightning,
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_are_read_however_they_were_wrapped(tmp_path: Path, kind: str) -> None:
    torch.save(KEYS[kind](), tmp_path / "model.pt")
    network, _ = fit(read_weights(tmp_path / "model.pt"))
    assert all(torch.equal(value, state()[key]) for key, value in network.state_dict().items())


def test_what_was_left_out_is_reported(tmp_path: Path) -> None:
    torch.save(lightning(), tmp_path / "model.pt")
    _, report = fit(read_weights(tmp_path / "model.pt"))
    assert report.prefix == "net."
    assert report.dropped == ("criterion.weight",)


@pytest.mark.parametrize("others", [("student.", "teacher."), ("", "copy.")])
def test_several_networks_in_one_file_are_refused_naming_them(tmp_path: Path, others: tuple[str, str]) -> None:
    torch.save({**prefixed(others[0]), **prefixed(others[1])}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=others[1]) as caught:
        prosect.load("vista3d", weights=tmp_path / "model.pt")
    assert caught.value.code == "MODEL_SEVERAL"


@pytest.mark.parametrize("name", ["network_weights", "params", "model", "state_dict", "net", "module", "my weights"])
def test_tables_are_found_under_any_name(tmp_path: Path, name: str) -> None:
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({name: state(), "epoch": 3, "optimizer": optimizer}, tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt").wrapper == (name,)


def test_a_configuration_named_like_weights_is_passed_over(tmp_path: Path) -> None:
    torch.save({"model": {"name": "vista3d", "width": 8}, "state_dict": state()}, tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt").wrapper == ("state_dict",)


BESIDE: dict[str, object] = {
    "a numpy double": np.float64(0.87),
    "a numpy single": np.float32(0.5),
    "a numpy integer": np.int64(3),
    "a numpy truth": np.bool_(True),
    "a numpy text": np.str_("best"),
    "a numpy array": np.arange(5.0),
    "a numpy array of objects": np.array([1, "a", None], dtype=object),
    "a numpy record": np.zeros(2, dtype=[("a", "f4"), ("b", "i8")]),
    "a numpy type": np.dtype("float32"),
    "a nest of them": {"best": [np.float64(1.0), (np.float32(2.0),)]},
    "a path": pathlib.PurePosixPath("runs/a"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", BESIDE)
def test_plain_things_beside_the_weights_are_left_out(tmp_path: Path, kind: str, zipped: bool) -> None:
    content = {"state_dict": state(), "best_metric": BESIDE[kind]}
    torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    found = read_weights(tmp_path / "model.pt").tensors
    assert all(torch.equal(found[key], value) for key, value in state().items())


def test_numbers_as_numpy_1_named_them_are_left_out(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({"state_dict": state(), "best": np.float64(1.0)}, stream, _use_new_zipfile_serialization=False)
    old = stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    (tmp_path / "model.pt").write_bytes(old)
    assert read_weights(tmp_path / "model.pt").tensors.keys() == state().keys()


def two_sets(path: Path) -> tuple[State, State]:
    """Write weights and an average of them; return both."""
    mean = {key: value * 0.5 for key, value in state().items()}
    torch.save({"state_dict": state(), "state_dict_ema": mean, "epoch": 3}, path)
    return state(), mean


def test_of_two_sets_it_is_said_which_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    plain, mean = two_sets(path)
    with pytest.warns(ProsectWarning, match="state_dict was taken, state_dict_ema was not"):
        found = read_weights(path)
    with pytest.warns(ProsectWarning, match="state_dict_ema was taken, state_dict was not"):
        chosen = read_weights(path, ema=True)
    key = next(iter(plain))
    assert torch.equal(found.tensors[key], plain[key])
    assert torch.equal(chosen.tensors[key], mean[key])
    assert found.sha256 != chosen.sha256


def test_the_average_is_imported_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "store"))
    _, mean = two_sets(tmp_path / "model.pt")
    with pytest.warns(ProsectWarning, match="two sets"):
        place, _ = keeping.import_weights(tmp_path / "model.pt", "vista3d", ema=True)
    kept = read_weights(place).tensors
    assert all(torch.equal(kept[key], value) for key, value in mean.items())


def test_an_average_alone_is_taken_without_asking(tmp_path: Path) -> None:
    torch.save({"state_dict_ema": state()}, tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt").sha256 == read_weights(tmp_path / "model.pt", ema=True).sha256


def test_an_average_that_is_not_there_is_not_made_up(tmp_path: Path) -> None:
    torch.save({"state_dict": state(), "ema": 0.999}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as caught:
        prosect.load("vista3d", weights=tmp_path / "model.pt", ema=True)
    assert caught.value.code == "MODEL_NO_AVERAGE"


def test_a_table_that_holds_itself_ends(tmp_path: Path) -> None:
    knot: dict[str, object] = {"epoch": 1}
    knot["model"] = knot
    torch.save(knot, tmp_path / "model.pt")
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "model.pt")
    assert caught.value.code == "MODEL_WRONG_NETWORK"
