"""The exported branch computes our features, and with the vectors beside it our logits."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect.bundle.graph import export_onnx, export_torchscript
from prosect.bundle.writing import export_bundle
from prosect.cli.main import main
from prosect.errors import OutputError, ResourceError
from prosect.models import Learns, require_learns
from worlds.weights import write_vista3d

pytestmark = pytest.mark.filterwarnings("ignore")

WINDOW = (16, 16, 16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    said = {"model": "prosect-small", "vocabulary": "prosect", "classes": [1, 3]}
    return write_vista3d(tmp_path_factory.mktemp("weights") / "tiny.safetensors", said, interactive=False)


@pytest.fixture(scope="module")
def model(weights: Path) -> Learns:
    return require_learns(prosect.load(weights=weights, device="cpu"))


def windows() -> torch.Tensor:
    return torch.rand(1, 1, *WINDOW, generator=torch.Generator().manual_seed(0))


def agree(model: Learns, run: Callable[[torch.Tensor], torch.Tensor], vectors: Path, about: Path) -> None:
    """Hold features and logits of a graph to those of the network."""
    with torch.no_grad():
        expected = model.network(windows(), [1, 3])
    told = json.loads(about.read_text())
    assert [(row["index"], row["name"]) for row in told["classes"]] == [(1, "liver"), (3, "spleen")]
    logits = torch.einsum("qc,bcijk->bqijk", torch.from_numpy(np.load(vectors)), run(windows()))
    assert logits.shape == expected.shape
    assert float(expected.std()) > 1e-3
    assert torch.allclose(logits, expected, atol=1e-4)


def test_torchscript_computes_our_features(model: Learns, tmp_path: Path) -> None:
    path, vectors, about = export_torchscript(model, tmp_path / "branch.ts")
    agree(model, torch.jit.load(str(path)), vectors, about)


def test_onnx_computes_our_features_in_another_runtime(model: Learns, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime referees")
    pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
    path, vectors, about = export_onnx(model, tmp_path / "branch.onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    agree(model, lambda x: torch.from_numpy(session.run(["features"], {"windows": x.numpy()})[0]), vectors, about)


def test_names_are_kept_to_and_nothing_is_replaced(model: Learns, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as refused:
        export_torchscript(model, tmp_path / "branch.bin")
    assert refused.value.code == "OUTPUT_FORMAT_UNKNOWN"
    (tmp_path / "branch.json").write_text("somebody's")
    with pytest.raises(OutputError) as refused:
        export_torchscript(model, tmp_path / "branch.ts")
    assert refused.value.code == "OUTPUT_EXISTS"


class Full:
    """Stands for a graph whose disk gets full in the middle of it."""

    def save(self, path: str) -> None:
        Path(path).write_bytes(b"the first half")
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("ending", [".ts", ".onnx"])
def test_a_failure_in_the_middle_leaves_nothing(
    model: Learns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(torch.jit, "trace", lambda *_words, **_more: Full())
    monkeypatch.setattr(torch.onnx, "export", lambda *_words, **_more: Full())
    write = {".ts": export_torchscript, ".onnx": export_onnx}[ending]
    with pytest.raises(ResourceError) as refused:
        write(model, tmp_path / f"branch{ending}", WINDOW)
    assert refused.value.code == "DISK_FULL"
    assert list(tmp_path.iterdir()) == []


def test_the_graph_takes_its_place_after_what_stands_beside_it(
    model: Learns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that waits for the graph finds the vectors."""
    order: list[str] = []
    replace = os.replace

    def note(source: Path, target: Path) -> None:
        order.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr("prosect.bundle.graph.os.replace", note)
    monkeypatch.setattr(torch.jit, "trace", lambda *_words, **_more: Whole())
    export_torchscript(model, tmp_path / "branch.ts", WINDOW)
    assert order[-1] == "branch.ts"
    assert sorted(order) == sorted(path.name for path in tmp_path.iterdir())


class Whole:
    """Stands for a graph that is written at once."""

    def save(self, path: str) -> None:
        Path(path).write_bytes(b"graph")


def test_a_bundle_appears_whole_or_not_at_all(model: Learns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="No space"):
            export_bundle(model, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bundle").mkdir()
    files = export_bundle(model, tmp_path / "bundle")
    assert all(path.is_file() for path in files)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_the_command_writes_them(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "branch.ts"
    assert main(["export", "torchscript", "-w", str(weights), "-o", str(out), "--window", "16", "16", "16"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(out)
    assert json.loads(out.with_suffix(".json").read_text())["window"] == [16, 16, 16]
    assert main(["export", "bundle", "-w", str(weights), "-o", str(tmp_path / "bundle")]) == 0
    assert (tmp_path / "bundle" / "models" / "model.pt").is_file()
