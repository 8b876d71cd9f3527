"""Another model's labels are taken over where they mean the same, and doubted where manual labels disagree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.data.labelled import LabelledScan
from prosect.errors import FormatError, RecipeError
from prosect.geometry import Grid
from prosect.io.stored import Label
from prosect.labelmap import LabelMap
from prosect.training.pseudo import PseudoLabels, agreement, from_model, from_totalsegmentator, judge
from prosect.training.pseudo_ledger import LabelledCase, PseudoLedger
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
SHAPE = (8, 7, 6)
GRID = Grid(SHAPE, np.diag([3.0, 3.0, 3.0, 1.0]))
V2, V1 = "totalsegmentator-v2", "totalsegmentator-v1"


def block(value: int, stop: int = 4) -> np.ndarray:
    """Return a block of one value."""
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[1:stop] = value
    return array


def save(path: Path, array: np.ndarray) -> None:
    """Write labels without names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, GRID.affine), path)


def test_values_mean_what_the_scheme_says(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", block(1))
    second, first = (from_totalsegmentator(tmp_path, "a", GRID, WORDS, scheme) for scheme in (V2, V1))
    assert second.labels.present == (WORDS["spleen"].index,)
    assert first.labels.present == (WORDS["left adrenal gland"].index,)
    assert len(second.known) > 100, "all that it looks for, found or not"


def test_names_in_the_file_are_believed_before_its_values(tmp_path: Path) -> None:
    from prosect.io.label_table import caret_xml

    image = nibabel.Nifti1Image(block(1), GRID.affine)
    table = caret_xml([Label(1, "liver", (1, 2, 3))], layered=False)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, table))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert from_totalsegmentator(tmp_path, "a", GRID, WORDS, V2).labels.present == (WORDS["liver"].index,)


def test_a_folder_of_masks_tells_what_was_looked_for(tmp_path: Path) -> None:
    save(tmp_path / "a" / "segmentations" / "liver.nii.gz", block(1))
    save(tmp_path / "a" / "segmentations" / "kidney_left.nii.gz", block(0))
    save(tmp_path / "a" / "segmentations" / "something_else.nii.gz", block(1))
    found = from_totalsegmentator(tmp_path, "a", GRID, WORDS, V2)
    assert found.labels.present == (1,)
    assert found.known == (1, 14)
    assert "something_else" in found.notes[0]


def test_labels_that_mean_more_than_ours_are_left_out(tmp_path: Path) -> None:
    from prosect.vocabulary.crosswalk import crosswalk

    broader = next(e for e in crosswalk(V1).entries if e.relation == "broader")
    save(tmp_path / "a.nii.gz", block(broader.value))
    found = from_totalsegmentator(tmp_path, "a", GRID, WORDS, V1)
    assert found.labels.present == ()
    assert broader.name in found.notes[0]


@pytest.mark.parametrize(
    ("array", "code"),
    [(block(200), "LABELS_UNMAPPED"), (block(1)[:5], "LABEL_SHAPE"), (None, "PSEUDO_MISSING")],
)
def test_what_is_no_result_of_this_scan_is_refused(tmp_path: Path, array: np.ndarray | None, code: str) -> None:
    if array is not None:
        save(tmp_path / "a.nii.gz", array)
    with pytest.raises(RecipeError) as refused:
        from_totalsegmentator(tmp_path, "a", GRID, WORDS, V2)
    assert refused.value.code == code


def test_manual_labels_judge_pseudo_labels() -> None:
    volume = Volume(np.zeros(SHAPE, np.float32), GRID)
    manual = LabelledScan("a", volume, LabelMap(block(1, 4), GRID, WORDS), (1, 3))
    good = PseudoLabels(LabelMap(block(1, 5), GRID, WORDS), (1, 6))
    assert agreement(good, manual) == {1: pytest.approx(6 / 7)}
    assert judge(good, manual).reliability == 1
    assert judge(good, manual, least_dice=0.9).reliability == 0
    bad = replace(good, labels=LabelMap(np.roll(block(1), 4, axis=0), GRID, WORDS))
    assert judge(bad, manual).reliability == 0
    assert judge(bad).reliability == 1, "nothing speaks against it"
    nothing = replace(good, labels=LabelMap(block(0), GRID, WORDS))
    assert judge(nothing).reliability == 0


def test_a_models_own_words_come_along() -> None:
    class Model:
        """Finds a liver, and doubts it."""

        vocabulary = WORDS

        def segment(self, volume: Volume, classes: object = None) -> LabelMap:
            return LabelMap(block(1), volume.grid, WORDS, {"classes": [1, 3], "notes": ["too large"]})

    found = from_model(Volume(np.zeros(SHAPE, np.float32), GRID), Model())
    assert (found.known, found.notes) == ((1, 3), ("too large",))


def test_real_results_of_both_versions_are_read(real_scans: Path) -> None:
    folder = real_scans / "totalsegmentator_refs"
    grid = prosect.read(folder / "example_ct.nii.gz").grid
    for case, scheme, least in (("example_seg_v1_104classes", V1, 50), ("example_seg_fast_force_split", V2, 50)):
        found = from_totalsegmentator(folder, case, grid, WORDS, scheme)
        assert len(found.labels.present) >= least
        liver = found.labels.mask("liver").sum() * grid.voxel_volume_ml
        assert 600 < liver < 3000


def test_what_an_earlier_version_noted_of_labelled_scans_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    facts = {"reliability": 0.75, "known": [1, 3], "notes": []}
    old = [{"model": "a"}, {"case": "one", "rows": [], "facts": facts}, {"case": "two", "refused": "X", "message": "m"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    ledger = PseudoLedger.open(path, {"model": "a"})
    assert ledger.labelled == {"one": LabelledCase(0.75, (1, 3))}
    ledger.refuse("two", FormatError("bad"))
    again = PseudoLedger.open(path, {"model": "a"})
    assert again.labelled == ledger.labelled
    assert not again.refused
