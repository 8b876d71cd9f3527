"""What is no file of weights is called by its name, and folders that hold one are looked into."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import prosect
from prosect.checkpoints.file_metadata import read_metadata
from prosect.checkpoints.files import read_weights, write_weights
from prosect.errors import CheckpointError, ProsectWarning
from worlds.weights import tiny_vista3d


def saved() -> bytes:
    """Return the bytes of a small torch file."""
    stream = io.BytesIO()
    torch.save({"a": torch.ones(3)}, stream)
    return stream.getvalue()


def tarred(mode: str) -> bytes:
    """Return a tar archive with a model in a bundle's folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("vista3d/models/model.pt")
        member.size = len(saved())
        archive.addfile(member, io.BytesIO(saved()))
    return stream.getvalue()


def zipped() -> bytes:
    """Return a zipped bundle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("vista3d/configs/inference.json", "{}")
        archive.writestr("vista3d/models/model.pt", saved())
    return stream.getvalue()


def scripted() -> bytes:
    """Return a TorchScript archive as its writer lays it out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}.")
        archive.writestr("model/code/__torch__.py", "pass")
    return stream.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 871234567\n"
CONTENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "lfs": (lambda: POINTER, "Git LFS pointer.*git lfs pull"),
    "annex": (lambda: b"../.git/annex/objects/Xk/MD5E-s9--d.pt", "git-annex pointer"),
    "html": (lambda: b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML page.*browser"),
    "xml": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML document.*browser"),
    "json": (lambda: b'{"error": "Access to this model is restricted"}', "JSON document.*browser"),
    "index": (lambda: json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode(), "several parts"),
    "tar": (lambda: tarred("w"), r"tar archive with vista3d/models/model\.pt in it.*Unpack"),
    "tar.gz": (lambda: tarred("w:gz"), r"gzip archive with vista3d/models/model\.pt in it.*Unpack"),
    "tar.xz": (lambda: tarred("w:xz"), r"xz archive with vista3d/models/model\.pt in it.*Unpack"),
    "gz": (lambda: gzip.compress(saved()), "gzip archive.*Unpack"),
    "zip": (zipped, r"zip archive .*vista3d/models/model\.pt.*Unpack"),
    "torchscript": (scripted, "TorchScript"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
    "empty": (lambda: b"", "empty file"),
    "unknown": (lambda: b"\x00\x01\x02" * 30, "neither a safetensors nor a torch file"),
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_file_of_weights_is_called_by_its_name(tmp_path: Path, kind: str, suffix: str) -> None:
    content, words = CONTENTS[kind]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content())
    with pytest.raises(CheckpointError, match=words) as caught:
        read_weights(path)
    assert caught.value.code in ("MODEL_CORRUPT", "MODEL_UNSAFE")
    assert sorted(tmp_path.iterdir()) == [path]  # nothing is unpacked


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors", ".nii.gz", ""])
def test_the_content_decides_and_not_the_ending(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save({"a": torch.ones(3)}, path)
    assert read_weights(path).format == "torch"
    write_weights(path, {"a": torch.ones(3)}, {})
    assert read_weights(path).format == "safetensors"


@pytest.mark.parametrize(
    "place",
    [
        "models/model.pt", "model.safetensors", "pytorch_model.bin", "vista3d_pretrained_model/model.pt",
        "snapshots/0a1b/model.safetensors", "weights/my_best.pth",
    ],
)  # fmt: skip
def test_the_weights_in_a_folder_are_found(tmp_path: Path, place: str) -> None:
    path = tmp_path / "folder" / place
    path.parent.mkdir(parents=True)
    torch.save(tiny_vista3d().state_dict(), path)
    (tmp_path / "folder" / "README.md").write_text("hello")
    model = prosect.load("vista3d", weights=tmp_path / "folder", device="cpu")
    assert model.spec.weights_sha256 == read_weights(path).sha256


def test_what_a_file_in_a_folder_says_is_read_too(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors", {"a": torch.ones(1)}, {"model": "mine"})
    assert read_metadata(tmp_path)["model"] == "mine"


def tensors(value: float) -> dict[str, Tensor]:
    """Return one weight."""
    return {"a": torch.full((1,), value)}


def test_of_two_files_in_known_places_it_is_said_which_is_taken(tmp_path: Path) -> None:
    torch.save(tensors(2.0), tmp_path / "pytorch_model.bin")
    write_weights(tmp_path / "model.safetensors", tensors(1.0), {})
    with pytest.warns(ProsectWarning, match=r"model\.safetensors is taken, not pytorch_model\.bin"):
        assert float(read_weights(tmp_path).tensors["a"]) == 1.0


def test_a_folder_with_several_files_is_refused_naming_them(tmp_path: Path) -> None:
    for name in ("first.pt", "second.pth"):
        torch.save(tensors(1.0), tmp_path / name)
    with pytest.raises(CheckpointError, match=r"first\.pt, second\.pth") as caught:
        read_weights(tmp_path)
    assert caught.value.code == "MODEL_SEVERAL"


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(CheckpointError, match="no weights are in it") as caught:
        read_weights(tmp_path)
    assert caught.value.code == "MODEL_MISSING"
