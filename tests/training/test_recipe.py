"""A recipe says what is trained; the published stages are in it as data, and no slip of the pen goes unnoticed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from prosect.errors import FormatError, ProsectWarning, RecipeError
from prosect.training.recipe import PUBLISHED, Recipe, shorten
from prosect.training.recipe_file import published_stages, read_recipe
from prosect.training.sources import read_sources

SMALL = """
[[data]]
list = "list.json"

[shape]
width = 8
blocks = [1, 1]
window = [16, 16, 16]

[defaults]
patch = [16, 16, 16]
steps = 3
"""


def recipe(folder: Path, text: str = SMALL) -> Recipe:
    (folder / "small.toml").write_text(text)
    return read_recipe(folder / "small.toml")


def test_the_published_stages_are_those_of_the_paper() -> None:
    stages = published_stages()
    assert tuple(stages) == PUBLISHED
    assert [s["branch"] for s in stages.values()] == ["interactive", "interactive", "automatic", "automatic"]
    assert "encoder" not in stages["3_automatic"]["train"] + stages["4_automatic_finetuning"]["train"]
    assert [s.get("supervoxels", False) for s in stages.values()] == [True, False, False, False]
    assert [s.get("oversample", False) for s in stages.values()] == [False, True, False, True]


def test_a_recipe_without_stages_has_the_published_ones_with_its_defaults(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    assert made.name == "small"
    assert [s.name for s in made.stages] == list(PUBLISHED)
    assert {s.steps for s in made.stages} == {3}
    assert made.stages[0].supervoxels
    assert made.stages[0].learning_rate == 2e-5
    assert made.data[0].list == tmp_path / "list.json"


def test_a_stage_says_only_what_differs(tmp_path: Path) -> None:
    text = 'stages = ["4_automatic_finetuning", "mine"]\n' + SMALL + "[stage.mine]\nsteps = 9\nlearning_rate = 1\n"
    published, mine = recipe(tmp_path, text).stages
    assert (published.steps, published.oversample) == (3, True)
    assert (mine.steps, mine.learning_rate, mine.oversample) == (9, 1.0, False)


def test_shortening_keeps_every_stage(tmp_path: Path) -> None:
    short = shorten(recipe(tmp_path), 2)
    assert [s.steps for s in short.stages] == [2] * 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SMALL + "[stage.1_interactiv]\nsteps = 1\n", "1_interactiv"),
        (SMALL.replace("width", "widht"), "nearest: width"),
        (SMALL.replace("steps = 3", "step = 3"), "nearest: steps"),
        (SMALL.replace("steps = 3", 'steps = "3"'), "must be of type int"),
        (SMALL.replace("steps = 3", "steps = true"), "must be of type int"),
        (SMALL.replace("steps = 3", "steps = 0"), "steps is 0; it must be 1 or more"),
        (SMALL.replace("[16, 16, 16]\n\n", "[16, 16]\n\n"), "a list of 3"),
        (SMALL.replace("[16, 16, 16]\n\n", "[16, 16, 15]\n\n"), "multiple of 2"),
        (SMALL.replace('list = "list.json"', ""), "list"),
        (SMALL + '[stage.1_interactive]\nbranch = "automatik"\n', "'automatic'"),
        (SMALL.replace('list = "list.json"', 'list = "l.json"\nstages = ["5"]'), "'5' is unknown"),
        (SMALL.replace("steps = 3", "rounds = 1"), "rounds"),
        (SMALL.replace("steps = 3", "ema = 1.5"), "ema"),
        (SMALL.replace("steps = 3", "validate_every = -1"), "negative"),
        (SMALL.replace("width = 8", 'intensity = "percentile"'), "percentiles lie in 0 to 100"),
        (SMALL.replace("width = 8", "click_patch = [16, 16, 15]"), "click_patch"),
        (SMALL.replace("width = 8", "spacing_mm = 0"), "spacing_mm"),
        (SMALL.replace('list = "list.json"', 'list = "list.json"\nweight = 0'), "weight"),
        ("stages = []\n" + SMALL, "no stage"),
        ('stages = ["scans"]\n' + SMALL, "cannot be a name"),
        ('name = "../mine"\n' + SMALL, "cannot be a name"),
        ("defaults = 3\n" + SMALL.split("[defaults]")[0], "must be tables"),
        ("data = []\n", "there is no"),
        ("[shape]\nwidth = 8\n", "data"),
        ("width = ", "no TOML"),
        ("seed = 1.5\n" + SMALL, "seed"),
    ],
)
def test_a_mistake_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told) as refused:
        recipe(tmp_path, text)
    assert refused.value.code == "RECIPE_INVALID"


def test_pseudo_labels_that_nobody_explains_are_told_of(tmp_path: Path) -> None:
    scan = {"image": "a.nii", "label": "b.nii", "pseudo_label": "c.nii", "fold": 0}
    written = {"label_mapping": [[1, "liver"]], "training": [scan]}
    (tmp_path / "list.json").write_text(json.dumps(written))
    with pytest.warns(ProsectWarning, match="pseudo_classes"):
        read_sources(recipe(tmp_path))
    (tmp_path / "list.json").write_text(json.dumps(written | {"pseudo_classes": ["liver", "spleen"]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (source,) = read_sources(recipe(tmp_path))
    assert source.training.pseudo_classes == (1, 3)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        read_recipe(tmp_path / "none.toml")


def test_a_network_without_a_click_branch_is_taught_no_clicks(tmp_path: Path) -> None:
    without = SMALL.replace("width = 8", 'width = 8\nclick_head = "none"')
    alone = '[stage.mine]\nbranch = "automatic"\ntrain = ["encoder", "automatic"]\n'
    assert recipe(tmp_path, 'stages = ["mine"]\n' + without + alone).shape.click_head == "none"
    for bad in (alone.replace('branch = "automatic"', 'branch = "both"'), alone.replace('"encoder"', '"interactive"')):
        with pytest.raises(RecipeError, match=r"stage mine: click_head is .none., so no click") as caught:
            recipe(tmp_path, 'stages = ["mine"]\n' + without + bad)
        assert caught.value.code == "RECIPE_INVALID"
