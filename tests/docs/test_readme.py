"""What the README shows is run."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import prosect
from prosect import phantom
from prosect.checkpoints import catalog
from prosect.cli.arguments import build_parser
from prosect.networks.vista3d import Architecture, vista3d

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for piece in block.splitlines()
    for line in re.split(r"&&|;", piece)
    if line.strip().startswith("prosect ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shown_can_be_typed(command: str) -> None:
    build_parser(lambda: "0").parse_args(shlex.split(command)[1:])


# A synthetic neck shows no abdomen, so what the model of the abdomen finds there is withheld.
@pytest.mark.filterwarnings("ignore:Withheld")
def test_the_python_shown_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    volume, _ = phantom.head_neck(np.random.default_rng(0), spacing_mm=(4.0, 4.0, 4.0))
    prosect.write(volume, "ct.nii.gz")
    small = replace(catalog.CATALOG["vista3d"], window=(32, 32, 32), spacing_mm=(4.0, 4.0, 4.0))
    monkeypatch.setitem(catalog.CATALOG, "vista3d", small)
    torch.manual_seed(0)
    torch.save(vista3d(Architecture(width=8, blocks=(1, 1))).state_dict(), "model.pt")
    shown: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(block, "README.md", "exec"), shown)
    assert (tmp_path / "organs.nii.gz").exists()
    assert (tmp_path / "case.prosect.json").exists()
