"""Scans of a list become training scans that agree with their files, and are kept without ever being stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prosect import vocabulary
from prosect.case import Intensity, Preparation
from prosect.data.datalist import DataList, Entry
from prosect.data.mapping import mapping_of
from prosect.errors import RecipeError
from prosect.training import scan_store
from prosect.training.scan_store import prepared_scan, prepared_scans
from prosect.training.scans import numbering_of, renumber, training_scan

WORDS = vocabulary.load("prosect")
LUNG, LOBE, SPLEEN = WORDS["lung"].index, WORDS["left lung upper lobe"].index, WORDS["spleen"].index
PREPARATION = Preparation((2.0, 2.0, 2.0), Intensity("window", -100, 100))
FLIPPED = np.diag([-2.0, 2.0, 2.0, 1.0])


def save(path: Path, array: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, FLIPPED), path)
    return path


@pytest.fixture
def datalist(tmp_path: Path) -> DataList:
    """Return a list of one scan with a lung and one of its lobes, manual labels and pseudo-labels."""
    labels = np.zeros((12, 10, 14), dtype=np.uint8)
    labels[1:8, 2:9, 2:9] = 1
    labels[3:5, 3:6, 3:6] = 2
    pseudo = np.zeros(labels.shape, dtype=np.uint16)
    pseudo[9:12, 2:6, 9:13] = SPLEEN
    pseudo[5:10, 5:9, 5:9] = LUNG
    regions = (np.arange(labels.size).reshape(labels.shape) % 7).astype(np.int16) * 11
    entry = Entry(
        "one",
        save(tmp_path / "image.nii.gz", labels.astype(np.float32) * 50),
        save(tmp_path / "label.nii.gz", labels),
        save(tmp_path / "pseudo.nii.gz", pseudo),
        supervoxels=save(tmp_path / "regions.nii.gz", regions),
        dataset="made",
    )
    mapping = mapping_of([(1, "lung"), (2, "left lung upper lobe")], WORDS)
    return DataList((entry,), {"made": mapping}, WORDS, pseudo_classes=(LUNG, SPLEEN))


def test_labels_lie_where_intensities_say_and_the_pseudo_labels_fill_in(datalist: DataList) -> None:
    numbering = numbering_of(datalist, ["left lung upper lobe", "spleen", "lung"])
    scan = training_scan(datalist.entries[0], datalist, numbering, PREPARATION)
    lung = numbering.bits[LUNG]
    organ = ((scan.nested >> lung) & 1).astype(bool)
    assert organ.sum() == 343, "the lobe is part of the lung, and the pseudo-labelled lung is not believed"
    assert (scan.labels == 1).sum() == 18
    assert np.all(scan.intensities[organ & (scan.labels != 1)] == np.float16(0.75))
    assert np.all(scan.intensities[scan.labels == 1] == 1)
    spleen = np.argwhere(scan.labels == 2)
    assert len(spleen) == 48
    assert spleen[:, 0].max() == 2, "stored mirrored, turned to RAS"
    assert scan.known.tolist() == [True, True, True]
    assert set(scan.present) == {1, 2, -1 - lung}
    assert scan.supervoxels is not None
    assert np.unique(scan.supervoxels).tolist() == list(range(7))


def test_what_only_clicks_can_ask_for_is_numbered_after_the_classes(datalist: DataList) -> None:
    numbering = numbering_of(datalist, ["spleen"])
    assert (numbering.classes, numbering.others) == ((SPLEEN,), tuple(sorted((LUNG, LOBE))))
    scan = training_scan(datalist.entries[0], datalist, numbering, PREPARATION)
    assert (scan.labels == 1).sum() == 48
    assert (scan.labels == numbering.order.index(LOBE) + 1).sum() == 18


def test_a_class_that_nothing_teaches_is_refused(datalist: DataList) -> None:
    with pytest.raises(RecipeError, match="aorta") as refused:
        numbering_of(datalist, ["aorta"])
    assert refused.value.code == "CLASS_UNTAUGHT"


def test_unreliable_pseudo_labels_teach_nothing(datalist: DataList) -> None:
    doubted = replace(datalist, entries=(replace(datalist.entries[0], reliability=0.0),))
    numbering = numbering_of(doubted)
    scan = training_scan(doubted.entries[0], doubted, numbering, PREPARATION)
    assert not scan.known[numbering.order.index(SPLEEN)]
    assert (scan.labels == numbering.order.index(SPLEEN) + 1).sum() == 0


def test_a_kept_scan_is_the_prepared_one_and_is_not_prepared_twice(
    datalist: DataList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbering = numbering_of(datalist)
    direct = training_scan(datalist.entries[0], datalist, numbering, PREPARATION)
    prepared_scans(datalist, numbering, PREPARATION, tmp_path / "kept")
    monkeypatch.setattr(scan_store, "training_scan", lambda *_: pytest.fail("prepared twice"))
    (kept,) = prepared_scans(datalist, numbering, PREPARATION, tmp_path / "kept")
    for name in ("intensities", "labels", "nested", "supervoxels", "known"):
        assert np.array_equal(getattr(kept, name), getattr(direct, name)), name
        assert getattr(kept, name).dtype == getattr(direct, name).dtype
    assert (kept.spacing_mm, kept.present) == (direct.spacing_mm, direct.present)
    assert all(np.array_equal(kept.places[value], flat) for value, flat in direct.places.items())


def damage(place: Path) -> None:
    data = bytearray((place / "labels").read_bytes())
    data[100] ^= 1
    (place / "labels").write_bytes(data)


def cut(place: Path) -> None:
    (place / "intensities").write_bytes((place / "intensities").read_bytes()[:-50])


def without(place: Path) -> None:
    (place / "about.json").unlink()


@pytest.mark.parametrize("harm", [damage, cut, without])
def test_a_damaged_kept_scan_is_made_again(datalist: DataList, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    numbering, folder = numbering_of(datalist), tmp_path / "kept"
    good = prepared_scan(datalist.entries[0], datalist, numbering, PREPARATION, folder)
    labels, intensities = np.array(good.labels), np.array(good.intensities)
    harm(next(folder.iterdir()))
    again = prepared_scan(datalist.entries[0], datalist, numbering, PREPARATION, folder)
    assert np.array_equal(again.labels, labels)
    assert np.array_equal(again.intensities, intensities)


def test_changed_labels_settings_and_numbering_make_another_file(datalist: DataList, tmp_path: Path) -> None:
    folder, entry = tmp_path / "kept", datalist.entries[0]
    numbering = numbering_of(datalist)
    prepared_scan(entry, datalist, numbering, PREPARATION, folder)
    prepared_scan(entry, datalist, numbering, replace(PREPARATION, spacing_mm=(4.0, 4.0, 4.0)), folder)
    prepared_scan(entry, datalist, numbering_of(datalist, [LOBE]), PREPARATION, folder)
    assert entry.label is not None
    save(entry.label, np.zeros((12, 10, 14), dtype=np.uint8))
    emptied = prepared_scan(entry, datalist, numbering, PREPARATION, folder).labels
    assert np.unique(emptied).tolist() == [0, numbering.order.index(SPLEEN) + 1]
    assert len(list(folder.iterdir())) == 4


def test_more_supervoxels_than_can_be_told_apart_are_refused() -> None:
    assert renumber(np.array([[[7, 9, 7]]])).tolist() == [[[1, 2, 1]]]
    with pytest.raises(RecipeError, match="65537 supervoxels"):
        renumber(np.arange(65537, dtype=np.int32).reshape(1, 1, -1))
