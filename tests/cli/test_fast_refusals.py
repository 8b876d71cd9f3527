"""What can be refused is refused before torch is loaded, and a dry run refuses what the run would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
