"""How each shipped model is made can be read and run: its README, its recipes and its script of data."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from prosect.cli.arguments import build_parser
from prosect.training.recipe_file import read_recipe

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDERS = sorted(path for path in MODELS.iterdir() if path.is_dir())
RECIPES = sorted(MODELS.glob("*/*.toml"))


def name(path: Path) -> str:
    """Return the place of a file among the models."""
    return path.relative_to(MODELS).as_posix()


def commands(folder: Path) -> list[str]:
    """Return the lines that a README tells to type."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.S) for line in block.splitlines()]
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_every_command_of_a_readme_can_be_typed(folder: Path) -> None:
    assert commands(folder), "a README says how its model is made"
    place = MODELS.parent
    for line in commands(folder):
        words = shlex.split(line)
        if words[0] == "cd":
            place = place / words[1]
        elif words[0] == "python":
            assert (place / words[1]).is_file(), line
        else:
            arguments = words[words.index("prosect.cli.main") + 1 :] if words[0] == "torchrun" else words[1:]
            parsed = build_parser(lambda: "0").parse_args(arguments)
            assert (place / parsed.recipe).is_file(), line


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_recipes_can_be_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.parent.name
    assert recipe.stages


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_the_script_of_data_can_be_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["data.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(folder / "data.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "--data" in capsys.readouterr().out
