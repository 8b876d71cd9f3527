"""What weights offer is known without loading them, and is what the loaded model offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import prosect
from prosect.checkpoints.offers import offer
from prosect.errors import CheckpointError
from prosect.vocabulary import Vocabulary
from worlds.weights import write_vista3d


def supported(words: Vocabulary) -> list[str]:
    return [structure.name for structure in words if structure.supported]


@pytest.mark.parametrize("name", [None, "prosect-small"])
def test_the_shipped_models_offer_unloaded_what_they_offer_loaded(name: str | None) -> None:
    words = offer(name)
    loaded = prosect.load(name, device="cpu").vocabulary
    assert supported(words) == supported(loaded)
    assert words.everything() == loaded.everything()


def test_official_models_offer_their_vocabulary_and_sam_med3d_nothing() -> None:
    assert len(supported(offer("vista3d"))) > 100
    assert supported(offer("sam-med3d")) == []


def test_a_weights_file_without_words_of_its_own_is_taken_for_official(tmp_path: Path) -> None:
    weights = write_vista3d(tmp_path / "w.safetensors")
    assert supported(offer(None, weights)) == supported(prosect.load(weights=weights, device="cpu").vocabulary)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(CheckpointError) as refused:
        offer("vista4d")
    assert refused.value.code == "MODEL_UNKNOWN"


@pytest.mark.parametrize("words", [["labels"], ["labels", "vista3d", "--json"], ["segment", "-lc"]])
def test_listing_structures_loads_no_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom prosect.cli.main import main\n"
        f"status = main({words!r})\nprint('LOADED', 'torch' in sys.modules)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "LOADED False"), done.stderr
