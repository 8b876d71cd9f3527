"""Weights find their network, or are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from prosect.checkpoints import catalog, keeping
from prosect.checkpoints.files import RawWeights, write_weights
from prosect.checkpoints.fit import architecture_of, fit
from prosect.errors import CheckpointError
from prosect.networks.vista3d import Architecture, vista3d

SMALL = Architecture(width=16, blocks=(1, 2, 1), classes=40)


def state(architecture: Architecture = SMALL) -> dict[str, Tensor]:
    """Return random weights."""
    torch.manual_seed(0)
    return dict(vista3d(architecture).state_dict())


def raw(tensors: dict[str, Tensor]) -> RawWeights:
    """Return tensors as if read from a file."""
    return RawWeights(tensors, "0" * 64, "torch")


@pytest.mark.parametrize(
    "architecture",
    [
        SMALL,
        Architecture(8, (1, 1), 512, 1),
        Architecture(16, (1, 1), 347, 1, True, False),
        Architecture(16, (2, 1), 5, 2),
        Architecture(16, (1, 1), 5, click_head="maps"),
        Architecture(16, (1, 1), 512, automatic=False, click_head="maps"),
    ],
)
def test_the_architecture_is_read_from_the_shapes(architecture: Architecture) -> None:
    assert architecture_of(state(architecture)) == architecture


def test_half_precision_is_widened_and_reported() -> None:
    tensors = {k: v.half() for k, v in state().items()}
    network, report = fit(raw(tensors))
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert report.converted == len(tensors)
    assert "widened" in str(report)


def test_loaded_weights_compute_what_the_saved_network_computed() -> None:
    torch.manual_seed(1)
    network = vista3d(SMALL).eval()
    image = torch.rand(1, 1, 8, 8, 8)
    found, _ = fit(raw(dict(network.state_dict())))
    with torch.inference_mode():
        assert torch.equal(found(image, [1, 2]), network(image, [1, 2]))


def damaged(kind: str) -> dict[str, Tensor]:
    """Return weights with one thing wrong."""
    tensors = state()
    if kind == "missing":
        del tensors["class_head.mlp.0.bias"]
    elif kind == "left over":
        tensors["class_head.extra.weight"] = torch.zeros(2)
    else:
        tensors["class_head.mlp.0.bias"] = torch.zeros(3)
    return tensors


@pytest.mark.parametrize("kind", ["missing", "left over", "of the wrong shape"])
def test_incomplete_weights_are_refused_naming_the_part(kind: str) -> None:
    with pytest.raises(CheckpointError, match=rf"1 tensors are {kind}.*class_head"):
        fit(raw(damaged(kind)))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("image_encoder.patch_embed.proj.weight", "SAM"),
        ("encoder.stages.0.0.convs.0.conv.weight", "nnU-Net"),
        ("layer.weight", "unknown network"),
    ],
)
def test_the_weights_of_another_network_are_called_by_its_name(key: str, name: str) -> None:
    with pytest.raises(CheckpointError, match=name) as caught:
        fit(raw({key: torch.zeros(3)}))
    assert caught.value.code == "MODEL_WRONG_NETWORK"
    assert caught.value.exit_status == 6


def test_imported_weights_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "store"))
    with pytest.raises(CheckpointError) as caught:
        catalog.locate("vista3d")
    assert caught.value.code == "MODEL_NOT_INSTALLED"
    torch.save({"model": state()}, tmp_path / "official.pt")
    path, report = keeping.import_weights(tmp_path / "official.pt", "vista3d")
    assert catalog.locate("vista3d") == path
    assert keeping.verify("vista3d").architecture == report.architecture == SMALL


def test_pulling_fetches_only_through_the_given_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path))
    asked: list[str] = []

    def fetch(url: str, target: Path) -> None:
        asked.append(url)
        write_weights(target, state(), {})

    path, sha256, _ = keeping.pull("vista3d", fetch)
    assert asked == [catalog.entry("vista3d").url]
    assert path.exists()
    assert len(sha256) == 64


def test_a_failed_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path))

    def fetch(url: str, target: Path) -> None:
        target.write_bytes(b"half a fi")
        raise ConnectionError("gone")

    with pytest.raises(CheckpointError) as caught:
        keeping.pull("vista3d", fetch)
    assert caught.value.code == "MODEL_DOWNLOAD_FAILED"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["http://example.org/model.pt", "file:///etc/passwd"])
def test_only_https_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(CheckpointError):
        keeping.fetch_https(url, tmp_path / "x")
