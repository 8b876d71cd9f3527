"""Weights that cannot work are refused when they are loaded, by type, and memory that ends is called that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import prosect
from prosect.checkpoints import exhaustion
from prosect.checkpoints.files import write_weights
from prosect.errors import CheckpointError, ResourceError
from prosect.networks.sam_med3d import SamMed3D
from worlds.weights import TINY_SAM, tiny_vista3d

Change = Callable[[Tensor], Tensor]


def saved(path: Path, change: Change) -> Path:
    """Write the weights of a small VISTA3D with each tensor changed."""
    torch.save({key: change(value) for key, value in tiny_vista3d().state_dict().items()}, path)
    return path


def sparse(value: Tensor) -> Tensor:
    """Return matrices as sparse tensors."""
    return value.to_sparse() if value.ndim == 2 else value


def compressed(value: Tensor) -> Tensor:
    """Return matrices as tensors in compressed rows."""
    return value.to_sparse_csr() if value.ndim == 2 else value


NOT_FLOATS: dict[str, Change] = {
    "int8": lambda value: (value * 100).to(torch.int8),
    "uint8": lambda value: value.to(torch.uint8),
    "int64": lambda value: value.to(torch.int64),
    "bool": lambda value: value > 0,
    "complex64": lambda value: value.to(torch.complex64),
    "float8_e4m3fn": lambda value: value.to(torch.float8_e4m3fn),
    "qint8": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
}
NOT_PLAIN: dict[str, Change] = {"sparse_coo": sparse, "sparse_csr": compressed, "no numbers": lambda v: v.to("meta")}


@pytest.mark.parametrize("kind", NOT_FLOATS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_numbers_that_are_no_weights_are_refused_by_their_type(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path / "model.pt", NOT_FLOATS[kind])
    with pytest.raises(CheckpointError, match=kind) as caught:
        prosect.load("vista3d", weights=path)
    assert caught.value.code == "MODEL_NUMBER_TYPE"


@pytest.mark.parametrize("kind", NOT_PLAIN)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_packed_or_empty_tensors_are_refused_by_their_type(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path / "model.pt", NOT_PLAIN[kind])
    with pytest.raises(CheckpointError, match=kind) as caught:
        prosect.load("vista3d", weights=path)
    assert caught.value.code == "MODEL_NUMBER_TYPE"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_still_read(tmp_path: Path, dtype: torch.dtype) -> None:
    path = saved(tmp_path / "model.pt", lambda value: value.to(dtype))
    assert prosect.load("vista3d", weights=path, device="cpu").spec.name == "vista3d"


def test_doubles_beyond_single_precision_are_not_finite(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", lambda value: value.double() + 1e300)
    with pytest.raises(CheckpointError) as caught:
        prosect.load("vista3d", weights=path)
    assert caught.value.code == "MODEL_NONFINITE"


@pytest.mark.parametrize("channels", [2, 4])
def test_a_vista3d_of_several_channels_is_refused_when_it_is_loaded(tmp_path: Path, channels: int) -> None:
    torch.save(tiny_vista3d(in_channels=channels).state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=f"take {channels} channels") as caught:
        prosect.load("vista3d", weights=tmp_path / "model.pt")
    assert caught.value.code == "MODEL_WRONG_NETWORK"


def test_a_sam_med3d_of_several_channels_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    tensors = dict(SamMed3D(TINY_SAM).state_dict())
    key = "image_encoder.patch_embed.proj.weight"
    tensors[key] = tensors[key].repeat(1, 2, 1, 1, 1)
    torch.save(tensors, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="take 2 channels") as caught:
        prosect.load("sam-med3d", weights=tmp_path / "model.pt")
    assert caught.value.code == "MODEL_WRONG_NETWORK"


STARVED = """
import sys, resource
import prosect, torch
from prosect.checkpoints import files
from prosect.errors import ResourceError
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    files.read_weights(sys.argv[1])
except ResourceError as error:
    print(error.code)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set in a way of Linux")
@pytest.mark.parametrize("spare_mib", [20, 120])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_memory_that_ends_while_reading_is_not_called_damage(tmp_path: Path, suffix: str, spare_mib: int) -> None:
    tensors = {"a": torch.ones(20 << 20)}  # 80 MiB
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(tensors, path)
    else:
        write_weights(path, tensors, {})
    words = [sys.executable, "-c", STARVED, str(path), str(spare_mib)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout.strip() == "MEMORY_EXHAUSTED"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "MEMORY_EXHAUSTED"),
        (OSError(12, "Cannot allocate memory"), "MEMORY_EXHAUSTED"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "MEMORY_EXHAUSTED"),
        (torch.OutOfMemoryError("CUDA out of memory"), "GPU_MEMORY"),
    ],
)
def test_every_way_of_running_out_has_one_type(error: Exception, code: str) -> None:
    with pytest.raises(ResourceError) as caught, exhaustion.refuse_exhaustion_of_loading():
        raise error
    assert caught.value.code == code


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="else"), exhaustion.refuse_exhaustion_of_loading():
        raise RuntimeError("something else")
