"""What can be refused is refused before torch is loaded, and a dry run refuses what the run would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from prosect.cli import main as main_module
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
        (["train", "OUT/none.toml", "--work", "OUT/run"], "INPUT_NOT_FOUND"),
        (["supervoxels", "OUT/none.nii.gz", "-o", "OUT/s.nii.gz"], "INPUT_NOT_FOUND"),
        (["pseudo-label", "OUT/none", "-o", "OUT/p"], "INPUT_NOT_FOUND"),
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
