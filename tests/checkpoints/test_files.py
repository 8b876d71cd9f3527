"""Weights are read without running them, and damage is noticed."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from prosect.checkpoints.files import read_weights, write_weights
from prosect.errors import CheckpointError

TENSORS = {"a.weight": torch.arange(600.0).view(20, 30), "b.bias": torch.randn(7), "n": torch.tensor(3)}


class Evil:
    """Unpickles to a call."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def evil_payloads(canary: Path) -> list[object]:
    """Return objects that would create `canary` when unpickled, wrapped in ways that loaders look past."""
    command = f"touch {canary}"
    calls = [
        Evil(os.system, command),
        Evil(os.popen, command),
        Evil(exec, f"open({str(canary)!r}, 'w').close()"),
        Evil(eval, f"open({str(canary)!r}, 'w').close()"),
        Evil(open, str(canary), "w"),
    ]
    wraps = [
        lambda e: e,
        lambda e: {"state_dict": e},
        lambda e: {"model": {"a.weight": torch.zeros(2), "b": e}},
        lambda e: [torch.zeros(1), (e,)],
    ]
    return [wrap(call) for call in calls for wrap in wraps]


def test_malicious_files_are_refused_and_inert(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    payloads = evil_payloads(canary)
    assert len(payloads) * 2 >= 30
    for payload in payloads:
        for zipped in (True, False):
            if zipped:
                torch.save(payload, path)
            else:
                path.write_bytes(pickle.dumps(payload, protocol=2))
            with pytest.raises(CheckpointError) as caught:
                read_weights(path)
            assert caught.value.code in ("MODEL_UNSAFE", "MODEL_CORRUPT")
            assert not canary.exists()


@pytest.mark.parametrize("wrapper", [(), ("model",), ("state_dict",), ("model", "state_dict")])
def test_wrapped_tables_are_unwrapped_and_reported(tmp_path: Path, wrapper: tuple[str, ...]) -> None:
    content: object = dict(TENSORS)
    for key in reversed(wrapper):
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "model.pt")
    found = read_weights(tmp_path / "model.pt")
    assert found.wrapper == wrapper
    assert all(torch.equal(found.tensors[k], v) for k, v in TENSORS.items())


def flipped(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit inverted."""
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path, suffix: str) -> None:
    good, bad = tmp_path / f"good{suffix}", tmp_path / f"bad{suffix}"
    if suffix == ".pt":
        torch.save(TENSORS, good)
    else:
        write_weights(good, TENSORS, {"model": "vista3d"})
    data = good.read_bytes()
    refused = 0
    metadata = read_weights(good).metadata
    for bit in np.random.default_rng(0).integers(0, 8 * len(data), 150):
        bad.write_bytes(flipped(data, int(bit)))
        try:
            found = read_weights(bad)
        except CheckpointError:
            refused += 1
        else:
            if found.tensors.keys() == TENSORS.keys():  # otherwise the strict fit refuses it
                assert found.metadata == metadata
                assert all(torch.equal(found.tensors[k], v) for k, v in TENSORS.items())
    assert refused >= (145 if suffix == ".safetensors" else 90)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"<html>404</html>", b"PK\x03\x04 not a zip", b"\x80\x02", b"{}" * 40]
)
def test_files_that_are_no_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(TENSORS, path)
    else:
        write_weights(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError):
        read_weights(path)


def test_the_options_that_a_training_keeps_beside_its_weights_are_left_out(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=8e-4, device=torch.device("cuda:0"), gpu_ids=[0, 1], nested=argparse.Namespace(x=1))
    for zipped in (True, False):
        torch.save({"model_state_dict": TENSORS, "args": args}, tmp_path / "w", _use_new_zipfile_serialization=zipped)
        found = read_weights(tmp_path / "w")
        assert found.tensors.keys() == TENSORS.keys()
        assert found.wrapper == ("model_state_dict",)


def test_options_that_hide_a_call_are_refused_and_inert(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for payload in evil_payloads(canary):
        torch.save({"model_state_dict": TENSORS, "args": argparse.Namespace(inner=payload)}, tmp_path / "w")
        with pytest.raises(CheckpointError):
            read_weights(tmp_path / "w")
    assert not canary.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "nowhere.pt")
    assert caught.value.code == "MODEL_MISSING"


def test_weights_that_are_not_finite_are_neither_read_nor_written(tmp_path: Path) -> None:
    bad = {**TENSORS, "b.bias": torch.tensor([1.0, float("nan")])}
    torch.save(bad, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"b\.bias"):
        read_weights(tmp_path / "model.pt")
    with pytest.raises(CheckpointError):
        write_weights(tmp_path / "model.safetensors", {"a": torch.tensor([1e9])}, {}, torch.float16)
    assert not (tmp_path / "model.safetensors").exists()


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_weights(tmp_path / name, TENSORS, {"classes": [1, 2]}, torch.float16)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_weights(tmp_path / "a").metadata["classes"] == [1, 2]


def test_our_file_is_read_whatever_byte_its_header_length_begins_with(tmp_path: Path) -> None:
    path, seen = tmp_path / "ours.safetensors", set()
    for length in range(0, 264, 8):
        write_weights(path, TENSORS, {"format": 1, "note": "x" * length})
        seen.add(path.read_bytes()[0])
        assert read_weights(path).format == "safetensors"
    assert 0x80 in seen  # as a pickle begins


def test_what_a_file_says_may_have_numbers_for_keys_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(path, {"a": torch.ones(2)}, {"largest_ml": {11: 1.0, 3: 2.0, 205: 3.0}})
    assert read_weights(path).metadata["largest_ml"] == {"11": 1.0, "3": 2.0, "205": 3.0}
