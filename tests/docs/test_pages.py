"""What the pages of the documentation show is run: commands are parsed, and Python is executed block after block."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import prosect
from prosect import phantom
from prosect.cli.arguments import build_parser
from prosect.geometry import Grid
from prosect.networks.sam_med3d import sam_med3d
from prosect.volume import Volume
from worlds.weights import TINY_SAM

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LANGUAGES = {"console", "python", "json", "toml", "text"}
# Page and reason; README.md has a test of its own.
NOT_RUN = {
    "README.md": "run by tests/docs/test_readme.py",
    "docs/howto/annotate.md": "needs a server; tests/server/test_client.py does what it shows",
}


def name(path: Path) -> str:
    """Return the place of a page in the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """Return the blocks of a language on a page."""
    return [content for found, content in FENCE.findall(path.read_text(encoding="utf-8")) if found == language]


def commands(path: Path) -> list[str]:
    """Return the calls of `prosect` that a page shows."""
    lines = [line for block in blocks(path, "console") for line in block.replace("\\\n", " ").splitlines()]
    pieces = [piece.split("#")[0].strip() for line in lines for piece in re.split(r"&&|;", line)]
    return [piece for piece in pieces if piece.startswith("prosect ")]


RUN = [path for path in PAGES if blocks(path, "python") and name(path) not in NOT_RUN]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_block_names_its_language(path: Path) -> None:
    fences = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0, "a block is not closed"
    languages = {line.removeprefix("```") for line in fences[::2]}
    assert languages <= LANGUAGES, f"write one of {sorted(LANGUAGES)} after the three marks, so that it is checked"


@pytest.mark.parametrize("path", [path for path in PAGES if commands(path)], ids=name)
def test_every_command_can_be_typed(path: Path) -> None:
    for command in commands(path):
        # argparse ends the program where it does not understand; the test then fails with its words.
        build_parser(lambda: "0").parse_args(shlex.split(command)[1:])


def test_what_is_not_run_is_there() -> None:
    assert set(NOT_RUN) <= {name(path) for path in PAGES if blocks(path, "python")}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the names that pages take for given, in a folder with the files that they name."""
    monkeypatch.chdir(tmp_path)
    made, _ = phantom.head_neck(np.random.default_rng(0), (5.0, 5.0, 5.0))
    # Moved to where the pages click, as if a scanner had said so.
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = np.array([30.0, -35.0, 305.0]) - 2.5 * np.array(made.grid.shape)
    volume = Volume(made.array, Grid(made.grid.shape, affine), "CT")
    for file in ("ct.nii.gz", "mr.nii.gz"):
        prosect.write(volume, tmp_path / file)
    torch.manual_seed(0)
    torch.save({"model_state_dict": sam_med3d(TINY_SAM).state_dict()}, tmp_path / "sam_med3d_turbo.pth")
    return {"prosect": prosect, "np": np, "volume": volume, "model": prosect.load(device="cpu")}


@pytest.mark.filterwarnings("ignore::prosect.ProsectWarning")
@pytest.mark.parametrize("path", RUN, ids=name)
def test_the_python_of_a_page_runs(path: Path, world: dict[str, Any]) -> None:
    for block in blocks(path, "python"):
        exec(compile(block, name(path), "exec"), world)
