"""`prosect models` says what each model finds and how well, at once and without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import prosect
from prosect.checkpoints import catalog
from prosect.checkpoints.about import ModelCard, StructureCard, card_of, segmenters
from prosect.errors import CheckpointError


def test_the_table_has_a_row_for_every_model_that_segments(run) -> None:
    status, out, err = run("models")
    assert (status, err) == (0, "")
    for entry in segmenters():
        assert f"\n{entry.name}: {entry.summary}" in out
    assert "sam-vit-h" not in out  # an encoder for supervoxels


def test_official_models_that_are_not_here_say_how_to_bring_them(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path))
    _, out, _ = run("models")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "prosect weights import" in rows["vista3d"]
    _, listed, _ = run("labels", "vista3d", "--json")
    able = [row for row in json.loads(listed) if row["status"] == "supported"]
    assert rows["vista3d"].split()[1] == str(len(able))
    assert rows["prosect-small"].split()[-2:] == ["yes", "yes"]


@pytest.mark.parametrize("name", [entry.name for entry in segmenters() if entry.shipped])
def test_figures_of_a_model_are_those_of_the_catalogue_and_its_structures_those_of_its_weights(run, name) -> None:
    entry = catalog.segmenter(name)
    card = card_of(entry)
    _, out, _ = run("labels", name, "--json")
    offered = {row["name"] for row in json.loads(out) if row["status"] == "supported"}
    assert {each.name for each in card.structures} == offered
    for each in card.structures:
        assert each.dice == entry.dice.get(each.name)
    _, out, _ = run("models", name, "--json")
    (plain,) = json.loads(out)
    assert plain["mean_dice"] == pytest.approx(card.mean_dice)
    assert plain["weights"] is True
    assert plain["spacing_mm"] == list(prosect.load(name, device="cpu").spec.spacing_mm)


def test_one_model_lists_its_structures_with_where_they_lie(run) -> None:
    _, out, _ = run("models", "prosect-torso")
    row = next(line for line in out.splitlines() if " spleen " in line)
    assert f"{catalog.segmenter('prosect-torso').dice['spleen']:.3f}" in row
    assert "abdomen" in row


def test_the_mean_leaves_out_what_was_not_measured() -> None:
    made = [StructureCard(n, str(n), dice, ()) for n, dice in enumerate((0.5, None, 0.7))]
    card = ModelCard("m", "", "", (1.5, 1.5, 1.5), tuple(made), True, None)
    assert card.mean_dice == pytest.approx(0.6)
    assert ModelCard("m", "", "", (1.5,), (), True, None).mean_dice is None


def test_an_unknown_model_and_an_encoder_are_refused_by_name(run) -> None:
    status, _, err = run("models", "nnunet")
    assert status == CheckpointError.exit_status
    assert "nnunet" in err
    status, _, err = run("models", "sam-vit-b")
    assert status == CheckpointError.exit_status
    assert "image encoder" in err


def test_it_answers_without_loading_torch() -> None:
    code = "import sys; from prosect.cli.main import main; main(['models']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
