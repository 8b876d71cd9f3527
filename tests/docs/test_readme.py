"""What the README shows is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect import phantom
from prosect.cli.arguments import build_parser

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


def test_the_python_shown_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    volume, _ = phantom.head_neck(np.random.default_rng(0), spacing_mm=(4.0, 4.0, 4.0))
    prosect.write(volume, "ct.nii.gz")
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "organs.nii.gz").exists()
