"""What can be refused is refused before torch is loaded, and a dry run refuses what the run would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from prosect.cli import main as main_module
from prosect.errors import FormatError
from prosect.jobs.work_folder import lock_work_folder, refuse_locked
from worlds.refusals import names
from worlds.weights import write_vista3d

PROBE = """
import sys
from prosect.cli.main import main
status = main(sys.argv[1:])
print("LOADED", "torch" in sys.modules)
sys.exit(status)
"""


def outcome(*words: object) -> tuple[int, str, str]:
    """Return status, the last line printed, and what was complained of."""
    command = [sys.executable, "-c", PROBE, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1], done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-o", "OUT/o.nii.gz", "-rs", "livr"], "STRUCTURE_UNKNOWN"),
        (["-o", "OUT/o.nii.gz", "-rs", "hepatic vessel", "-m", "prosect-small"], "STRUCTURE_UNSUPPORTED"),
        (["-o", "OUT/missing/o.nii.gz"], "OUTPUT_UNWRITABLE"),
        (["-o", "OUT/o.xyz"], "OUTPUT_FORMAT_UNKNOWN"),
        (["-o", "OUT/scan.nii.gz"], "OUTPUT_IS_INPUT"),
        (["-o", "OUT/o.nii.gz", "-m", "vista4d", "-rs", "liver"], "MODEL_UNKNOWN"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_run_and_its_dry_run_are_refused_alike_without_torch(scan_path, tmp_path, words, code, dry) -> None:
    placed = [str(word).replace("OUT", str(tmp_path)) for word in words]
    status, loaded, err = outcome("segment", scan_path, *placed, *dry)
    assert code in err
    assert status in (3, 6)
    assert loaded == "LOADED False"
    assert names(tmp_path) == {"scan.nii.gz"}


FINETUNE = ("finetune", "--images", "OUT", "--labels", "OUT", "--classes", "1=a", "-o", "OUT/a.safetensors")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["click", "SCAN", "-o", "OUT/o.nii.gz", "--at", "1,2,3", "-m", "vista4d"], "MODEL_UNKNOWN"),
        (["segment", "SCAN", "-o", "OUT/o.nii.gz", "-w", "OUT/none.pt"], "MODEL_"),
        (["segment", "SCAN", "-o", "OUT/o.nii.gz", "-m", "vista3d-ctmr"], "MODEL_NOT_INSTALLED"),
        (["serve", "OUT/none"], "INPUT_NOT_FOUND"),
        (["serve", "SCAN", "-m", "vista4d"], "MODEL_UNKNOWN"),
        (["view", "OUT/none"], "INPUT_NOT_FOUND"),
        (["evaluate", "auto", "OUT/none.json", "-o", "OUT/e"], "INPUT_NOT_FOUND"),
        (["evaluate", "auto", "OUT", "-o", "OUT/e", "-rs", "livr"], "STRUCTURE_UNKNOWN"),
        (["evaluate", "auto", "OUT", "-o", "OUT/e", "-m", "vista4d"], "MODEL_UNKNOWN"),
        (["finetune", "--images", "OUT", "--labels", "OUT", "--classes", "1=a", "-o", "OUT/a.pt"], "OUTPUT_FORMAT"),
        (["finetune", "--images", "OUT", "--labels", "OUT", "--classes", "7", "-o", "OUT/a.safetensors"], "MAPPING_"),
        (["finetune", "--images", "OUT/no", "--labels", "OUT", "--classes", "1=a", "-o", "OUT/a.safetensors"],
         "INPUT_NOT_FOUND"),
        (["finetune", "--images", "OUT", "--labels", "OUT", "--classes", "1=a", "-o", "OUT/no/a.safetensors"],
         "OUTPUT_UNWRITABLE"),
        ([*FINETUNE, "--rate", "5"], "RECIPE_INVALID"),
        ([*FINETUNE, "--rate", "nan"], "RECIPE_INVALID"),
        ([*FINETUNE, "--validation", "1"], "RECIPE_INVALID"),
        ([*FINETUNE, "--validation", "-0.1"], "RECIPE_INVALID"),
        ([*FINETUNE, "--from", "lesion"], "MAPPING_INVALID"),
        ([*FINETUNE, "--continue"], "RESUME_MISSING"),
        (["evaluate", "fewshot", "OUT", "-o", "OUT/e", "--rate", "0"], "RECIPE_INVALID"),
        (["train", "OUT/none.toml", "--work", "OUT/run"], "INPUT_NOT_FOUND"),
        (["train", "SCAN", "--work", "OUT/run"], "RECIPE_INVALID"),
        (["train", "SCAN", "--work", "OUT/run", "--dry-run"], "RECIPE_INVALID"),
        (["supervoxels", "OUT/none.nii.gz", "-o", "OUT/s.nii.gz"], "INPUT_NOT_FOUND"),
        (["supervoxels", "SCAN", "-o", "OUT/s.xyz"], "OUTPUT_FORMAT_UNKNOWN"),
        (["supervoxels", "SCAN", "-o", "SCAN", "--dry-run"], "OUTPUT_IS_INPUT"),
        (["supervoxels", "SCAN", "-o", "OUT/no/s.nii.gz", "--dry-run"], "OUTPUT_UNWRITABLE"),
        (["supervoxels", "SCAN", "-o", "OUT/s.nii.gz", "-w", "OUT/none.pt"], "MODEL_MISSING"),
        (["pseudo-label", "OUT/none", "-o", "OUT/p"], "INPUT_NOT_FOUND"),
        (["pseudo-label", "OUT", "-o", "OUT/p", "-m", "vista4d"], "MODEL_UNKNOWN"),
        (["export", "bundle", "vista4d", "-o", "OUT/b"], "MODEL_UNKNOWN"),
        (["export", "onnx", "-w", "OUT/none.pt", "-o", "OUT/b.onnx"], "MODEL_MISSING"),
    ],
)  # fmt: skip
def test_every_command_refuses_by_its_words_alone_and_loads_no_torch(
    run, monkeypatch, scan_path, tmp_path, words, code
):
    def load(name: str, *_: object) -> None:
        assert "commands" not in name, f"{name} was loaded before the words were looked at"
        return real(name)

    real = main_module.importlib.import_module
    monkeypatch.setattr(main_module.importlib, "import_module", load)
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "weights"))
    places = {"SCAN": str(scan_path), "OUT": str(tmp_path)}
    typed = [re.sub("SCAN|OUT", lambda found: places[found[0]], word) for word in words]
    status, _, err = run(*typed)
    assert code in err
    assert status in (2, 3, 6)
    assert names(tmp_path) == {"scan.nii.gz"}


@pytest.mark.parametrize(
    "words",
    [
        [*FINETUNE, "--spacing", "0"], [*FINETUNE, "--spacing", "nan"], [*FINETUNE, "--minutes", "-1"],
        [*FINETUNE, "--patience", "-1"], [*FINETUNE, "--steps", "0"], [*FINETUNE, "--patch", "64", "64", "0"],
        [*FINETUNE, "--rate", "fast"], [*FINETUNE, "--validate-every", "0"], [*FINETUNE, "--tolerance-mm", "-1"],
        ["train", "SCAN", "--work", "OUT/run", "--steps", "0"],
        ["train", "SCAN", "--work", "OUT/run", "--minutes", "0"],
        ["train", "SCAN", "--work", "OUT/run", "--loaders", "-1"],
        ["train", "SCAN", "--work", "OUT/run", "--threads", "none"],
        ["supervoxels", "SCAN", "-o", "OUT/s.nii.gz", "--segments", "0"],
        ["supervoxels", "SCAN", "-o", "OUT/s.nii.gz", "--encoder", "sam"],
        ["evaluate", "auto", "OUT", "-o", "OUT/e", "--fold", "-1"],
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_by_the_parser(run, scan_path, tmp_path, words) -> None:
    status, _, err = run(*(word.replace("SCAN", str(scan_path)).replace("OUT", str(tmp_path)) for word in words))
    assert status == 2
    assert words[-2] in err or "--patch" in err
    assert names(tmp_path) == {"scan.nii.gz"}


RECIPE = '[[data]]\nlist = "list.json"\n[shape]\nwindow = [64, 64, 64]\n'


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("listed", "more", "said"), [("", [], "list.json: there is no such file"), ("{}", ["--stage", "9"], "no stage '9'")]
)
def test_a_training_and_its_dry_run_refuse_lists_and_stages_that_are_not_there(
    run, tmp_path, dry, listed, more, said
) -> None:
    (tmp_path / "r.toml").write_text(RECIPE)
    if listed:
        (tmp_path / "list.json").write_text(listed)
    status, _, err = run("train", tmp_path / "r.toml", "--work", tmp_path / "run", *more, *dry)
    assert (status, said in err) == (3, True)
    assert "run" not in names(tmp_path)


def test_a_dry_training_is_refused_where_another_one_runs_and_makes_no_folder(tmp_path: Path) -> None:
    work = tmp_path / "run"
    refuse_locked(work)
    assert not work.exists()
    with lock_work_folder(work), pytest.raises(FormatError) as caught:
        refuse_locked(work)
    assert caught.value.code == "OUTPUT_LOCKED"
    refuse_locked(work)


def test_looking_at_words_loads_no_torch() -> None:
    code = "import sys, prosect.cli.early; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_finetuning_and_its_dry_run_are_refused_alike(run, scan_path, tmp_path, dry) -> None:
    place = tmp_path / "my.safetensors"
    place.write_text("")
    words = ("finetune", "--images", tmp_path, "--labels", tmp_path, "--classes", "1=a", "-o", place)
    status, _, err = run(*words, *dry)
    assert (status, "[OUTPUT_EXISTS]" in err) == (3, True)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_folder_run_refuses_a_misspelt_structure_before_the_model(run, model, scan_path, tmp_path, dry) -> None:
    status, _, err = run("segment", scan_path.parent, "-o", tmp_path / "results", "-rs", "livr", *dry)
    assert (status, "STRUCTURE_UNKNOWN" in err) == (3, True)
    assert model.calls == []


def test_labels_name_what_a_weights_file_offers(run, tmp_path) -> None:
    weights = write_vista3d(tmp_path / "w.safetensors")
    status, out, _ = run("labels", "-w", weights)
    assert (status, "liver" in out) == (0, True)


def test_a_weights_file_is_checked_by_its_path(run, tmp_path) -> None:
    weights = write_vista3d(tmp_path / "w.safetensors")
    status, out, _ = run("weights", "verify", weights)
    assert (status, "w.safetensors: whole" in out) == (0, True)
    damaged = bytearray(weights.read_bytes())
    damaged[-5] ^= 0xFF
    place = Path(tmp_path / "damaged.safetensors")
    place.write_bytes(bytes(damaged))
    status, _, err = run("weights", "verify", place)
    assert (status, "MODEL_" in err) == (6, True)
