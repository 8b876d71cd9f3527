"""Without a name all shipped models answer as one, through every door: files, reports, folders, clicks, the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import prosect
from prosect.checkpoints import catalog
from prosect.cli.main import main
from prosect.errors import CheckpointError
from prosect.jobs import ModelChoice
from prosect.models.model_set import ModelSet
from prosect.models.vista3d import Vista3DModel
from prosect.results.report import load
from prosect.server.shelf import Shelf, Source
from worlds.weights import write_vista3d

NAMES = "prosect-small+second"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def two_shipped(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ship two tiny models: one of liver and spleen, one of liver and pancreas, which knows the liver better."""
    folder = tmp_path_factory.mktemp("shipped")
    small = catalog.CATALOG["prosect-small"]
    entries = {"vista3d": catalog.CATALOG["vista3d"]}
    for name, classes, dice in (("prosect-small", [1, 3], {"liver": 0.5}), ("second", [1, 4], {"liver": 0.9})):
        said = {"model": name, "vocabulary": "prosect", "classes": classes, "licence": f"licence of {name}"}
        path = write_vista3d(folder / f"{name}.safetensors", said)
        entries[name] = replace(small, name=name, shipped=str(path), dice=dice)
    monkeypatch.setattr(catalog, "CATALOG", entries)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command line and return status, what was printed, and what was complained about."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_without_a_name_all_answer_and_a_name_chooses_one() -> None:
    everyone = prosect.load(device="cpu")
    assert isinstance(everyone, ModelSet)
    assert everyone.spec.name == NAMES
    assert everyone.offers == {1: (1, 0), 3: (0,), 4: (1,)}
    assert isinstance(prosect.load("second", device="cpu"), Vista3DModel)
    assert prosect.load(NAMES, device="cpu").identity == everyone.identity


def test_models_of_two_vocabularies_are_refused_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(catalog.CATALOG["vista3d"], shipped=str(write_vista3d(tmp_path / "v.safetensors")), url="")
    monkeypatch.setitem(catalog.CATALOG, "vista3d", entry)
    with pytest.raises(CheckpointError, match="one by one"):
        prosect.load("prosect-small+vista3d", device="cpu")


def test_trainings_begin_with_one_network() -> None:
    assert ModelChoice(device="cpu").load_one().spec.name == "prosect-small"
    assert ModelChoice("second", device="cpu").load_one().spec.name == "second"


def test_the_report_names_who_found_what_and_the_result_can_be_verified(
    run: Run, scan_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    assert run("segment", scan_path, "-o", out, "-rp", "-d", "cpu")[0] == 0
    report = load(next(tmp_path.glob("*report.json")))
    assert report["model"]["name"] == NAMES
    found = {each["name"]: each["structures"] for each in report["model"]["members"]}
    assert "spleen" in found["prosect-small"]
    assert "pancreas" in found["second"]
    # Of the liver it names the one that found it, and the better one where neither did.
    assert sum("liver" in structures for structures in found.values()) == 1
    assert report["prompts"]["classes"] == ["liver", "spleen", "pancreas"]
    status, said, _ = run("verify", tmp_path / "out.nii.gz")
    assert status == 0, said


def test_a_result_of_one_model_is_verified_by_that_model_after_another_one_ships(
    run: Run, scan_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = catalog.CATALOG
    monkeypatch.setattr(catalog, "CATALOG", {name: each for name, each in both.items() if name != "second"})
    assert run("segment", scan_path, "-o", tmp_path / "out.nii.gz", "-rp", "-d", "cpu")[0] == 0
    monkeypatch.setattr(catalog, "CATALOG", both)
    report = load(next(tmp_path.glob("*report.json")))
    assert report["parameters"]["model"] is None
    assert report["model"]["name"] == "prosect-small"
    assert "members" not in report["model"]
    status, said, err = run("verify", tmp_path / "out.nii.gz")
    assert status == 0, said + err


def test_layers_of_several_models_are_written_and_verified(run: Run, scan_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("segment", scan_path, "-o", out, "--overlap", "-rp", "-d", "cpu")[0] == 0
    status, said, err = run("verify", out, "--input", scan_path)
    assert status == 0, said + err


def test_all_run_on_coarser_grids(run: Run, scan_path: Path, tmp_path: Path) -> None:
    coarse = ModelChoice(device="cpu", fast=True).load()
    assert isinstance(coarse, ModelSet)
    assert [member.spec.spacing_mm[0] for member in coarse.members] == [4.5, 4.5]
    assert run("segment", scan_path, "-o", tmp_path / "out.nii.gz", "--fast", "-rp", "-d", "cpu")[0] == 0
    assert run("verify", tmp_path / "out.nii.gz")[0] == 0


def test_the_need_for_memory_is_told(run: Run, scan_path: Path, tmp_path: Path) -> None:
    status, said, _ = run("segment", scan_path, "-o", tmp_path / "out.nii.gz", "--dry-run", "-d", "cpu")
    assert status == 0
    assert "peak" in said


def test_a_folder_of_scans_is_segmented_by_all(run: Run, scan_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    status, said, err = run("segment", scan_path.parent, "-o", out, "-rp", "-d", "cpu")
    assert status == 0, said + err
    report = load(next(out.rglob("*report.json")))
    assert report["model"]["name"] == NAMES


def test_labels_lists_what_any_of_them_finds(run: Run) -> None:
    _, said, _ = run("labels", "--json")
    able = {each["name"] for each in json.loads(said) if each["status"] == "supported"}
    assert able == {"liver", "spleen", "pancreas"}
    _, said, _ = run("labels", "second", "--json")
    assert {each["name"] for each in json.loads(said) if each["status"] == "supported"} == {"liver", "pancreas"}


def test_clicks_correct_a_draft_and_the_session_is_resumed(run: Run, scan_path: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    words = ["click", scan_path, "-o", tmp_path / "out.nii.gz", "--structure", "pancreas", "--journal", journal]
    status, said, err = run(*words, "--at", "12,12,12", "-d", "cpu")
    assert status == 0, said + err
    session = prosect.resume(journal, prosect.read(scan_path), device="cpu")
    assert session.vocabulary["pancreas"].supported
    assert f'"{NAMES}"' in journal.read_text().splitlines()[0]


def test_the_server_drafts_with_all_and_names_every_licence(scan_path: Path) -> None:
    shelf = Shelf(lambda name, weights: prosect.load(name, weights, device="cpu"), [Source(NAMES, None)])
    assert shelf.drafters() == [NAMES]
    drafted = shelf.draft(NAMES, prosect.read(scan_path), ["pancreas", "spleen"], lambda *_: None)
    assert drafted.sought == (3, 4)
    assert "licence of prosect-small" in shelf.licence
    assert "licence of second" in shelf.licence
    assert shelf.clicker()
