"""A result to write: the phantom letter, with one structure that was looked for and not found."""

from __future__ import annotations

import pytest

from prosect import vocabulary
from prosect.labelmap import LabelMap
from prosect.phantom import asymmetric_letter
from prosect.volume import Source, Volume


@pytest.fixture
def found() -> tuple[LabelMap, Volume]:
    """Return labels (spleen was looked for and is not there) and their scan."""
    volume, letter = asymmetric_letter(spacing_mm=4.0)
    array = letter.array.copy()
    array[array == 3] = 0
    said = {
        "model": "letter",
        "classes": sorted(letter.present),
        "weights_sha256": "0" * 64,
        "seconds": {"network": 1.0},
    }
    assert 3 in letter.present
    labels = LabelMap(array, letter.grid, vocabulary.load("prosect"), said)
    return labels, Volume(volume.array, volume.grid, "CT", Source("scan.nii.gz", "nifti", "ab" * 32, None, ("mended",)))
