"""Whatever runs on a device uses no float64, which Apple's have not, and no operation known to be missing there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import prosect

SOURCE = Path(prosect.__file__).parent
# These run on the processor whatever the device is.
ON_PROCESSORS = {
    "networks/buffers.py",
    "networks/moments.py",
    "networks/winograd.py",
    "networks/workers.py",
    "networks/direct.py",
    "networks/vista3d/cpu.py",
    "networks/vista3d/cpu_head.py",
    "networks/vista3d/cpu_layers.py",
    "networks/vista3d/openvino_branches.py",
}
FOLDERS = ("networks", "inference", "models", "session")
# Missing on Apple's devices in torch 2.13, or of float64 by nature.
MISSING = {"double", "float64", "complex128", "mkldnn_convolution", "grid_sampler_3d", "_embedding_bag"}
FILES = sorted(path for folder in FOLDERS for path in (SOURCE / folder).rglob("*.py"))


def used(path: Path) -> set[str]:
    """Return the attributes of torch and of its tensors that a file names, and lines that say why one is right."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute) or node.attr not in MISSING:
            continue
        # numpy's own never leave the processor.
        of_numpy = isinstance(node.value, ast.Name) and node.value.id == "np"
        if not of_numpy and "on the processor" not in lines[node.lineno - 2]:
            found.add(f"{node.attr} in line {node.lineno}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_float64_reaches_a_device(path: Path) -> None:
    if str(path.relative_to(SOURCE)) not in ON_PROCESSORS:
        assert not used(path)


def test_what_is_forbidden_is_found(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("x = torch.zeros(3, dtype=torch.float64)\ny = x.double()\nz = np.float64(1)\n")
    assert used(file) == {"float64 in line 1", "double in line 2"}


def test_files_that_are_let_off_exist() -> None:
    assert all((SOURCE / name).is_file() for name in ON_PROCESSORS)
