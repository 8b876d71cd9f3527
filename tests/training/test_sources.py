"""The lists of a recipe: what is judged is never learnt, and what nobody explains is told of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prosect.errors import FormatError, ProsectWarning, RecipeError, VocabularyError
from prosect.training.recipe import Data, Recipe, Shape, Stage
from prosect.training.sources import judged_by, read_sources, refuse_unjudged


def write_list(path: Path, training: Sequence[str], validation: Sequence[str] = (), **about: Any) -> Path:
    """Write a list of scans by name; the files themselves are not looked at."""
    sections: dict[str, Any] = {"dataset": path.stem, "label_mapping": [[1, "liver"]]}
    for section, names in (("training", training), ("validation", validation)):
        sections[section] = [{"image": f"{name}.nii.gz", "label": f"{name}_seg.nii.gz"} for name in names]
    path.write_text(json.dumps({**sections, **about}))
    return path


def recipe(*lists: Path | Data, **stage: Any) -> Recipe:
    """Return a recipe of one stage over some lists."""
    data = tuple(each if isinstance(each, Data) else Data(each) for each in lists)
    return Recipe("r", data, Shape(), (Stage("only", **stage),))


def test_each_list_has_its_training_and_validation_scans(tmp_path: Path) -> None:
    one = write_list(tmp_path / "one.json", ["a", "b"], ["c"])
    two = write_list(tmp_path / "two.json", ["d"])
    first, second = read_sources(recipe(one, two))
    assert first.validation is not None
    assert [[entry.name for entry in part] for part in (first.training, first.validation)] == [["a", "b"], ["c"]]
    assert ([entry.name for entry in second.training], second.validation) == (["d"], None)


def test_a_fold_is_kept_apart_for_validation(tmp_path: Path) -> None:
    rows = [{"image": f"{name}.nii.gz", "label": f"{name}_seg.nii.gz", "fold": n % 2} for n, name in enumerate("abcd")]
    path = write_list(tmp_path / "one.json", [])
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": rows}))
    (source,) = read_sources(recipe(Data(path, fold=1)))
    assert source.validation is not None
    assert [entry.name for entry in source.training] == ["a", "c"]
    assert [entry.name for entry in source.validation] == ["b", "d"]


def test_a_new_structure_of_one_list_is_known_to_all(tmp_path: Path) -> None:
    one = write_list(tmp_path / "one.json", ["a"])
    two = write_list(tmp_path / "two.json", ["b"], label_mapping=[[1, "+odd organ"]])
    first, second = read_sources(recipe(one, two))
    assert "odd organ" in first.training.vocabulary
    assert first.training.vocabulary is second.training.vocabulary


def test_what_the_recipe_says_of_labels_goes_before_the_list(tmp_path: Path) -> None:
    path = write_list(tmp_path / "one.json", ["a"])
    (source,) = read_sources(recipe(Data(path, map=("1=spleen",))))
    (entry,) = source.training
    assert source.training.known(entry) == (source.training.vocabulary["spleen"].index,)


def test_lists_that_are_not_there_or_name_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        read_sources(recipe(tmp_path / "none.json"))
    with pytest.raises(RecipeError):
        read_sources(recipe(write_list(tmp_path / "empty.json", [])))
    with pytest.raises(VocabularyError):
        read_sources(recipe(write_list(tmp_path / "odd.json", ["a"], label_mapping=[[1, "livre"]])))


def test_a_list_in_another_vocabulary_is_refused(tmp_path: Path) -> None:
    one = write_list(tmp_path / "one.json", ["a"])
    two = write_list(tmp_path / "two.json", ["b"], vocabulary="vista3d-ct")
    with pytest.raises(RecipeError, match=r"two\.json: this list names structures of vista3d-ct") as caught:
        read_sources(recipe(one, two))
    assert caught.value.code == "MAPPING_INVALID"


def test_pseudo_labels_are_told_of_where_nothing_says_what_they_were_made_for(tmp_path: Path) -> None:
    path = write_list(tmp_path / "one.json", ["a"])
    plain = json.loads(path.read_text())
    plain["training"][0] |= {"pseudo_label": "p.nii.gz", "pseudo_label_reliability": 1}
    path.write_text(json.dumps(plain))
    with pytest.warns(ProsectWarning, match="nothing says what the pseudo-labels were made for"):
        read_sources(recipe(path, pseudo=True))
    read_sources(recipe(path, pseudo=False))  # a warning would be an error here
    path.write_text(json.dumps({**plain, "pseudo_classes": ["liver"]}))
    read_sources(recipe(path, pseudo=True))


def test_a_scan_that_one_list_teaches_and_another_judges_by_is_refused(tmp_path: Path) -> None:
    one = write_list(tmp_path / "one.json", ["a", "b"], ["c"])
    two = write_list(tmp_path / "two.json", ["c"])
    made = recipe(one, two)
    with pytest.raises(RecipeError, match="1 validation scans, such as c, are among the training scans") as caught:
        refuse_unjudged(made, read_sources(made))
    assert caught.value.code == "DATALIST_UNFIT"


def test_the_same_file_under_another_path_is_the_same_scan(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    one = write_list(tmp_path / "one.json", ["a"], ["c"])
    two = write_list(tmp_path / "sub" / "two.json", ["../c"])
    made = recipe(one, two)
    with pytest.raises(RecipeError, match="judged on what it was taught"):
        refuse_unjudged(made, read_sources(made))


@pytest.mark.parametrize(
    ("every", "steps", "refused"), [(0, 10, False), (5, 10, True), (10, 10, True), (11, 10, False)]
)
def test_a_stage_that_will_validate_needs_scans_to_validate_on(
    tmp_path: Path, every: int, steps: int, refused: bool
) -> None:
    made = recipe(write_list(tmp_path / "one.json", ["a"]), validate_every=every, steps=steps)
    sources = read_sources(made)
    if refused:
        with pytest.raises(RecipeError, match="Stage only validates, but no list has labelled validation scans"):
            refuse_unjudged(made, sources)
    else:
        refuse_unjudged(made, sources)


def test_a_stage_is_judged_by_the_lists_that_it_uses(tmp_path: Path) -> None:
    one = Data(write_list(tmp_path / "one.json", ["a"], ["b"]), stages=("first",))
    two = Data(write_list(tmp_path / "two.json", ["c"], ["d"]))
    made = replace(recipe(one, two), stages=(Stage("first"), Stage("second")))
    sources = read_sources(made)
    found = []
    for stage in made.stages:
        found.append([entry.name for part in judged_by(sources, stage) for entry in part])
    assert found == [["b", "d"], ["d"]]
