"""Scans are labelled once, what one of them lacks stops no other, and the list says what may be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prosect
from prosect import vocabulary
from prosect.data.datalist import DataList, Entry, read_datalist
from prosect.errors import CheckpointError, FormatError, ProsectError, RecipeError
from prosect.geometry import Grid
from prosect.jobs import ListInput, ModelChoice, PseudoLabelJob
from prosect.labelmap import LabelMap
from prosect.training.pseudo import PseudoLabels
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
GRID = Grid((8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0]))
LIVER = WORDS["liver"].index


@dataclass
class Threshold:
    """Labels what is bright as liver, and counts whom it was asked for."""

    asked: list[str] = field(default_factory=list)
    error: ProsectError | None = None
    name: str = "threshold"

    @property
    def vocabulary(self) -> Vocabulary:
        return WORDS

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"model": self.name}

    def label(self, entry: Entry, volume: Volume) -> PseudoLabels:
        self.asked.append(entry.name)
        if self.error is not None:
            raise self.error
        labels = (volume.array > 50).astype(np.uint8) * LIVER
        return PseudoLabels(LabelMap(labels.astype(np.uint8), volume.grid, WORDS), (LIVER,))


@pytest.fixture
def scans(tmp_path: Path) -> DataList:
    """Return three scans: one shows a liver, one is blank, and one file is damaged."""
    entries = []
    for name, value in (("bright", 100.0), ("dark", 0.0)):
        array = np.zeros(GRID.shape, np.float32)
        array[2:5] = value
        entries.append(Entry(name, prosect.write(Volume(array, GRID), tmp_path / f"{name}.nii.gz"), dataset="d"))
    (tmp_path / "torn.nii.gz").write_bytes(b"\x1f\x8b nothing")
    entries.append(Entry("torn", tmp_path / "torn.nii.gz", dataset="d"))
    return DataList(tuple(entries), {}, WORDS)


@pytest.fixture
def job(tmp_path: Path) -> PseudoLabelJob:
    """Return a job that labels into a folder."""
    return PseudoLabelJob(ListInput(tmp_path / "list.json"), tmp_path / "out")


def test_a_damaged_scan_is_named_and_the_others_are_labelled(job: PseudoLabelJob, scans: DataList) -> None:
    told: dict[str, Any] = {}
    done = job.run(Threshold(), scans, on_scan=told.__setitem__)
    assert done.refused == 1
    assert isinstance(told["torn"], FormatError)
    assert (told["bright"].reliability, told["dark"].reliability) == (1, 0)
    kept = {entry.name: entry for entry in read_datalist(done.list_file)}
    assert (kept["bright"].reliability, kept["dark"].reliability, kept["torn"].pseudo_label) == (1, 0, None)
    labels = prosect.read_labels(job.output / "bright.nii.gz")
    assert np.array_equal(np.asarray(labels.array) == LIVER, prosect.read(scans.entries[0].image).array > 50)


def test_a_second_run_asks_only_for_what_is_missing(job: PseudoLabelJob, scans: DataList) -> None:
    first, second = Threshold(), Threshold()
    before = job.run(first, scans).list_file.read_bytes()
    (job.output / "dark.nii.gz").unlink()
    assert job.run(second, scans).list_file.read_bytes() == before
    assert first.asked == ["bright", "dark"]
    assert second.asked == ["dark"]


def test_labels_of_another_model_do_not_mix_with_those_there(job: PseudoLabelJob, scans: DataList) -> None:
    job.run(Threshold(), scans)
    with pytest.raises(ProsectError) as caught:
        job.run(Threshold(name="other"), scans)
    assert caught.value.code == "RUN_CHANGED"


def test_what_concerns_every_scan_ends_the_run(job: PseudoLabelJob, scans: DataList) -> None:
    broken = Threshold(error=CheckpointError("The weights are damaged.", code="WEIGHTS_DAMAGED"))
    with pytest.raises(CheckpointError):
        job.run(broken, scans)
    assert broken.asked == ["bright"]
    lost = Threshold(error=RecipeError("There is no result.", code="PSEUDO_MISSING"))
    assert job.run(lost, scans).refused == 3
    assert lost.asked == ["bright", "dark"]


def test_labels_come_from_the_model_or_the_folder_that_the_job_names(job: PseudoLabelJob, tmp_path: Path) -> None:
    missing = PseudoLabelJob(job.scans, job.output, ModelChoice(weights=tmp_path / "none.pt"))
    with pytest.raises(ProsectError):
        missing.labeller()
    folder = PseudoLabelJob(job.scans, job.output, totalsegmentator=tmp_path / "ts")
    assert folder.identity(folder.labeller())["totalsegmentator"] == "ts"
