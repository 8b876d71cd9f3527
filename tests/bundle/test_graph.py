"""The exported branch computes our features, and with the vectors beside it our logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect.bundle.graph import export_onnx, export_torchscript
from prosect.cli.main import main
from prosect.errors import OutputError
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


def test_the_command_writes_them(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "branch.ts"
    assert main(["export", "torchscript", "-w", str(weights), "-o", str(out), "--window", "16", "16", "16"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(out)
    assert json.loads(out.with_suffix(".json").read_text())["window"] == [16, 16, 16]
    assert main(["export", "bundle", "-w", str(weights), "-o", str(tmp_path / "bundle")]) == 0
    assert (tmp_path / "bundle" / "models" / "model.pt").is_file()
