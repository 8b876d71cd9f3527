"""What the README shows is run, from top to bottom in one empty folder."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import prosect
from prosect.checkpoints import catalog
from prosect.cli.arguments import build_parser
from prosect.cli.main import main
from prosect.models.protocols import require_coarser
from prosect.networks.vista3d import Architecture, vista3d

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(console|python)\n(.*?)```", README, re.S)
# How much is done is less here than there; nothing else is changed.
LESS = {"--count 2": "--count 1", "--steps 100": "--steps 1 --patch 32 32 32", "--spacing 4 4 4": "--spacing 6 6 6"}
COARSER = 2  # times that the shipped models' grids are made coarser, by half each time
# Commands that do not end by themselves, or ask the network.
SERVE, PULL = "prosect serve", "prosect weights pull"


def commands(block: str) -> Iterator[str]:
    """Yield the commands of a block, without comments."""
    for line in block.splitlines():
        for piece in re.split(r"&&|;", line.split(" #")[0]):
            if piece.strip():
                yield piece.strip()


TYPED = [command for kind, block in BLOCKS if kind == "console" for command in commands(block)]


@pytest.mark.parametrize("command", [command for command in TYPED if command.startswith("prosect ")])
def test_every_command_shown_can_be_typed(command: str) -> None:
    build_parser(lambda: "0").parse_args(shlex.split(command)[1:])


def test_the_second_sentence_says_what_the_shipped_models_segment() -> None:
    second = README.split("\n\n")[1].replace("\n", " ").split(". ")[1]
    for word in ("ships", "brainstem", "parotids", "mandible", "lung", "head and neck", "abdomen"):
        assert word in second


def test_pictures_shown_are_there_and_small() -> None:
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", README)
    assert len(pictures) >= 2
    for place in pictures:
        assert (ROOT / place).stat().st_size < 500_000


def coarse_models(load: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loader that loads each model once, the shipped ones with coarser grids."""

    @functools.cache
    def loaded(name: str | None = None, weights: Path | None = None, **options: Any) -> Any:
        model = load(name, weights=weights, **options)
        shipped = weights is None and (name is None or name.startswith("prosect-"))
        for _ in range(COARSER if shipped else 0):
            model = require_coarser(model).coarser()
        return model

    return loaded


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to stand in, with quick models and a small stand-in for the official weights."""
    small = replace(catalog.CATALOG["vista3d"], window=(32, 32, 32), spacing_mm=(12.0, 12.0, 12.0))
    monkeypatch.setitem(catalog.CATALOG, "vista3d", small)
    monkeypatch.setitem(prosect.__dict__, "load", coarse_models(prosect.load))
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "weights"))
    torch.manual_seed(0)
    official = tmp_path / "official.pt"
    torch.save(vista3d(Architecture(width=8, blocks=(1, 1))).state_dict(), official)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(command: str) -> None:
    """Run one command as it is typed; those that need the network or never end are parsed only."""
    for more, less in LESS.items():
        command = command.replace(more, less)
    words = shlex.split(command)
    if command.startswith(PULL):
        words = ["prosect", "weights", "import", "../official.pt", words[-1]]
    if command.startswith(SERVE):
        for word in words[2:]:
            assert Path(word).exists(), f"{command}: {word} is not there"
    elif words[0] == "cp":
        shutil.copy(words[1], words[2])
    elif words[0] == "prosect":
        assert main(words[1:]) == 0, command
    else:
        assert words[0] in ("pip", "python"), f"{command} is not run by this test"


@pytest.mark.filterwarnings("ignore::prosect.ProsectWarning")
def test_the_readme_runs_from_top_to_bottom_in_an_empty_folder(bare: Path) -> None:
    names: dict[str, object] = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), names)
            continue
        for command in commands(block):
            run(command)
    outputs = re.findall(r" -o (\S+)", README)
    for place in {*outputs, "case.prosect.json", "labels_preview.png"}:
        if place not in ("OUT", "labels.seg.dcm`"):
            assert (bare / place.strip("`")).exists(), place
