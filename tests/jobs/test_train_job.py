"""A training as data: what decides its weights is known before it runs, and what it lacks is refused by name."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from prosect.errors import ProsectWarning, RecipeError
from prosect.jobs import TrainJob
from prosect.jobs.train import silence_others
from prosect.training.parallel import Ranks

RECIPE = """
name = "boxes"
stages = ["1_interactive", "3_automatic"]
[[data]]
list = "list.json"
"""


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    """Return the training of a recipe whose list nobody has read yet."""
    (tmp_path / "boxes.toml").write_text(RECIPE)
    return TrainJob(tmp_path / "boxes.toml", tmp_path / "run")


def test_folders_threads_and_devices_do_not_decide_the_weights(job: TrainJob) -> None:
    elsewhere = replace(job, work=Path("other"), device="cuda:3", threads=2, loaders=4, tensorboard=True)
    assert elsewhere.identity() == job.identity()
    assert job.identity()["stages"] == ["1_interactive", "3_automatic"]


def test_the_recipes_words_the_stages_and_the_steps_decide_them(job: TrainJob) -> None:
    before = job.identity()
    assert replace(job, steps=3).identity() != before
    assert replace(job, stages=("3_automatic",)).identity()["stages"] == ["3_automatic"]
    job.recipe.write_text(RECIPE.replace("boxes", "cubes"))
    assert job.identity() != before


def test_a_stage_that_the_recipe_lacks_is_refused_before_a_folder_is_made(job: TrainJob) -> None:
    wrong = replace(job, stages=("3_automatic", "5_other"))
    for begin in (wrong.identity, wrong.plan, wrong.run):
        with pytest.raises(RecipeError, match=r"no stage '5_other'; it has: 1_interactive, 3_automatic") as caught:
            begin()
        assert caught.value.code == "RECIPE_INVALID"
    assert not job.work.exists()


def test_steps_at_most_shorten_every_longer_stage(job: TrainJob) -> None:
    whole = [stage.steps for stage in job.read_recipe().stages]
    assert min(whole) > 7
    assert [stage.steps for stage in replace(job, steps=7).read_recipe().stages] == [7, 7]


def test_the_first_of_several_processes_warns_for_all(recwarn: pytest.WarningsRecorder) -> None:
    for rank in (0, 1):
        with silence_others(Ranks(rank, 2)):
            warnings.warn(f"from process {rank}", ProsectWarning, stacklevel=1)
            warnings.warn("of somebody else", UserWarning, stacklevel=1)
    told = [str(warning.message) for warning in recwarn]
    assert told == ["from process 0", "of somebody else", "of somebody else"]
