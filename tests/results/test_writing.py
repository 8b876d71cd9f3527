"""Results appear whole or not at all, the report last, and twice the same."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect import results
from prosect.errors import FormatError, GeometryError, ProsectWarning, ResourceError
from prosect.geometry import Grid
from prosect.labelmap import LabelLayers
from prosect.phantom import asymmetric_letter
from prosect.results import Parameters, Run, request_for, writing

RUN = Run(Parameters(classes=("liver",)), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), ("w", "w"), {"torch": "1"}, 2)


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_each_structure_looked_for_has_a_mask_and_an_absent_one_is_empty(found, tmp_path: Path) -> None:
    labels, volume = found
    files = results.write(labels, volume, request_for(tmp_path / "out"))
    keys = {labels.name_of(index).replace(" ", "_"): index for index in labels.sought}
    assert names(tmp_path / "out") == {f"{key}.nii.gz" for key in keys} | {"report.json"}
    assert {p.name for p in files} == names(tmp_path / "out")
    assert files[-1].name == "report.json"
    for key, index in keys.items():
        mask = prosect.read_labels(tmp_path / "out" / f"{key}.nii.gz")
        np.testing.assert_array_equal(mask.array, labels.array == index)
        assert mask.grid.distance_to(labels.grid) < 1e-3
    assert not prosect.read_labels(tmp_path / "out" / "spleen.nii.gz").array.any()


def test_masks_of_layers_may_overlap(found, tmp_path: Path) -> None:
    labels, volume = found
    masks = np.stack([labels.array > 0, labels.array == 1])
    results.write(LabelLayers(masks, (1, 25), labels.grid, labels.vocabulary), volume, request_for(tmp_path / "out"))
    assert (prosect.read_labels(tmp_path / "out" / "liver.nii.gz").array == masks[0]).all()
    assert (prosect.read_labels(tmp_path / "out" / "hepatic_vessel.nii.gz").array == masks[1]).all()


def test_the_same_result_is_written_twice_with_the_same_bytes(found, tmp_path: Path) -> None:
    flags = {"multilabel": True, "per_class": True, "kinds": ("nifti", "seg.nrrd"), "statistics": True, "preview": True}
    for name in ("one", "two"):
        results.write(*found, request_for(tmp_path / name, **flags), RUN)
    one, two = hashes(tmp_path / "one"), hashes(tmp_path / "two")
    assert {name for name in one if one[name] != two.get(name)} <= {"report.json"}
    assert one.keys() == two.keys()


def test_what_an_earlier_run_left_beside_new_labels_is_said(found, tmp_path: Path) -> None:
    labels, volume = found
    output = tmp_path / "labels.nii.gz"
    results.write(labels, volume, results.request_for(output, statistics=True, preview=True))
    before = hashes(tmp_path)
    with pytest.warns(ProsectWarning, match=r"labels_statistics\.json, labels_statistics\.csv: of an earlier result"):
        results.write(labels, volume, results.request_for(output, preview=True))
    assert hashes(tmp_path).keys() == before.keys()


def test_the_report_says_what_the_result_came_from_and_no_place(found, tmp_path: Path) -> None:
    labels, volume = found
    results.write(labels, volume, request_for(tmp_path / "out", statistics=True), RUN)
    text = (tmp_path / "out" / "report.json").read_text()
    report = json.loads(text)
    assert str(tmp_path) not in text
    assert report["schema"] == "prosect-report/1"
    assert report["started"] == "2026-01-02T03:04:05+00:00"
    assert report["input"]["sha256"] == "ab" * 32
    assert report["input"]["affine_ras"] == volume.grid.affine.tolist()
    assert report["repairs"] == ["mended"]
    assert report["warnings"] == ["w"]
    assert report["model"]["threads"] == 2
    assert report["parameters"]["classes"] == ["liver"]
    assert report["seconds"]["segmenting/network"] == 1.0
    absent = [entry["name"] for entry in report["structures"] if not entry["present"]]
    assert absent == ["spleen"]
    listed = {entry["file"]: entry["sha256"] for entry in report["outputs"]}
    there = hashes(tmp_path / "out")
    assert listed == {name: there[name] for name in there if name != "report.json"}


def test_the_report_has_the_same_keys_in_the_same_order_every_time(found, tmp_path: Path) -> None:
    for name in ("one", "two"):
        results.write(*found, request_for(tmp_path / f"{name}.mha", report=True), RUN)
    one, two = (json.loads((tmp_path / f"{name}_report.json").read_text()) for name in ("one", "two"))
    assert list(one) == list(two)
    for report in (one, two):
        report.pop("seconds")
        report["output"].pop("name")
        report["outputs"][0].pop("file")
    assert json.dumps(one) == json.dumps(two)


def test_a_report_elsewhere_lists_names_only(found, tmp_path: Path) -> None:
    (tmp_path / "smith_john").mkdir()
    (tmp_path / "reports").mkdir()
    request = request_for(tmp_path / "smith_john" / "a.nii.gz", report=tmp_path / "reports" / "r.json")
    files = results.write(*found, request, RUN)
    assert files == (tmp_path / "smith_john" / "a.nii.gz", tmp_path / "reports" / "r.json")
    text = files[-1].read_text()
    assert "smith" not in text
    assert json.loads(text)["outputs"][0]["file"] == "a.nii.gz"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ResourceError("full", code="DISK_FULL")])
@pytest.mark.parametrize("there", [False, True])
def test_a_folder_never_ends_half_written(found, tmp_path: Path, monkeypatch, failure, there) -> None:
    if there:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "kidney.nii.gz").write_bytes(b"mine")
    before = hashes(tmp_path / "out") if there else {}
    honest, calls = writing.write_mask, []

    def third_fails(*words, **more) -> Path:
        calls.append(1)
        if len(calls) == 3:
            raise failure
        return honest(*words, **more)

    monkeypatch.setattr(writing, "write_mask", third_fails)
    with pytest.raises(type(failure)):
        results.write(*found, request_for(tmp_path / "out"))
    assert names(tmp_path) == ({"out"} if there else set())
    assert (hashes(tmp_path / "out") if there else {}) == before


def test_replacing_a_folder_takes_away_what_the_old_report_lists_and_nothing_else(found, tmp_path: Path) -> None:
    labels, volume = found
    results.write(labels, volume, request_for(tmp_path / "out", statistics=True))
    (tmp_path / "out" / "notes.txt").write_text("mine")
    results.write(labels, volume, request_for(tmp_path / "out", multilabel=True))
    assert names(tmp_path / "out") == {"labels.nii.gz", "report.json", "notes.txt"}


def test_while_a_folder_is_replaced_it_has_no_report(found, tmp_path: Path, monkeypatch) -> None:
    """Killed between two moves, the folder is seen to be incomplete."""
    results.write(*found, request_for(tmp_path / "out"))
    seen, honest = [], os.replace

    def watched(source, target) -> None:
        if Path(target).parent == tmp_path / "out":
            seen.append((Path(target).name, (tmp_path / "out" / "report.json").exists()))
        honest(source, target)

    monkeypatch.setattr(os, "replace", watched)
    results.write(*found, request_for(tmp_path / "out"))
    assert seen[-1] == ("report.json", False)
    assert not any(there for _, there in seen)


def test_a_foreign_report_removes_nothing(found, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "keep.txt").write_text("mine")
    evil = {"outputs": [{"file": "../keep.txt"}, {"file": ".."}, {"file": str(tmp_path / "keep.txt")}]}
    (tmp_path / "out" / "report.json").write_text(json.dumps(evil))
    results.write(*found, request_for(tmp_path / "out"))
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_makes_is_not(found, tmp_path: Path) -> None:
    dead, alive = tmp_path / ".out.tmp-999999999-0000", tmp_path / f".out.tmp-{os.getppid()}-0000"
    dead.mkdir()
    alive.mkdir()
    results.write(*found, request_for(tmp_path / "out"))
    assert names(tmp_path) == {"out", alive.name}


class TestRefusals:
    """Said before the work."""

    def code(self, request, source=None, overwrite=False, grid=None) -> str:
        with pytest.raises((FormatError, ResourceError)) as caught:
            results.refuse(request, source, overwrite, grid)
        return caught.value.code

    def test_a_folder_that_is_not_empty(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        request = request_for(tmp_path / "out")
        results.refuse(request)
        (tmp_path / "out" / "a").touch()
        assert self.code(request) == "OUTPUT_EXISTS"
        results.refuse(request, overwrite=True)

    def test_a_file_where_a_folder_is_to_be(self, tmp_path: Path) -> None:
        (tmp_path / "out").touch()
        assert self.code(request_for(tmp_path / "out"), overwrite=True) == "OUTPUT_UNWRITABLE"

    def test_a_folder_in_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert self.code(request_for(tmp_path / "no" / "out")) == "OUTPUT_UNWRITABLE"

    def test_the_folder_of_the_input_and_the_input_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.nii.gz").touch()
        request = request_for(tmp_path)
        assert self.code(request, tmp_path / "a.nii.gz", overwrite=True) == "OUTPUT_IS_INPUT"
        assert self.code(request, tmp_path, overwrite=True) == "OUTPUT_IS_INPUT"

    @pytest.mark.parametrize("flag", ["statistics", "report"])
    def test_the_input_as_statistics_or_report(self, tmp_path: Path, flag: str) -> None:
        (tmp_path / "scan.json").touch()
        request = request_for(tmp_path / "a.nii", **{flag: tmp_path / "scan.json"})
        assert self.code(request, tmp_path / "scan.json", overwrite=True) == "OUTPUT_IS_INPUT"

    @pytest.mark.parametrize("flags", [{"statistics": "s.nii.gz"}, {"report": "r.txt"}, {"report": "folder"}])
    def test_endings_that_promise_something_else(self, tmp_path: Path, flags) -> None:
        places = {key: tmp_path / name for key, name in flags.items()}
        assert self.code(request_for(tmp_path / "a.nii", **places)) == "OUTPUT_FORMAT_UNKNOWN"

    def test_two_results_of_one_name(self, tmp_path: Path) -> None:
        request = request_for(tmp_path / "a.nii", statistics=tmp_path / "x.json", report=tmp_path / "X.json")
        assert self.code(request) == "OUTPUT_CLASH"
        inside = request_for(tmp_path / "out", statistics=tmp_path / "out" / "report.json")
        assert self.code(inside) == "OUTPUT_CLASH"

    @pytest.mark.parametrize("name", ["a_statistics.json", "a_statistics.csv", "a_report.json", "a_preview.png"])
    def test_any_file_that_exists(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        request = request_for(tmp_path / "a.nii", statistics=True, report=True, preview=True)
        assert self.code(request) == "OUTPUT_EXISTS"
        results.refuse(request, overwrite=True)

    @pytest.mark.parametrize("flag", ["statistics", "report"])
    def test_a_place_that_cannot_be_written(self, tmp_path: Path, flag: str) -> None:
        place = tmp_path / "no" / "x.json"
        assert self.code(request_for(tmp_path / "a.nii", **{flag: place})) == "OUTPUT_UNWRITABLE"

    @pytest.mark.parametrize("output", ["a.nii.gz", "out"])
    def test_a_disk_that_is_too_small_for_this_scan(self, tmp_path: Path, monkeypatch, output: str) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 << 20))
        request = request_for(tmp_path / output)
        results.refuse(request)
        assert self.code(request, grid=Grid((512, 512, 300), np.eye(4))) == "DISK_FULL"
        assert names(tmp_path) == set()

    def test_metaimage_for_layers_or_a_sheared_grid(self, tmp_path: Path) -> None:
        assert self.code(request_for(tmp_path / "a.mha", overlap=True)) == "OUTPUT_UNSUPPORTED"
        affine = np.eye(4)
        affine[1, 2] = 0.3
        assert self.code(request_for(tmp_path / "a.mha"), grid=Grid((4, 4, 4), affine)) == "OUTPUT_UNSUPPORTED"
        results.refuse(request_for(tmp_path / "out", kinds=("mha",), overlap=True))  # one mask each: nothing overlaps


CHILD = """
import os, signal, sys
from pathlib import Path
from prosect import results, vocabulary
from prosect.io import atomic
from prosect.labelmap import LabelMap
from prosect.phantom import asymmetric_letter
volume, labels = asymmetric_letter(spacing_mm=4.0)
left = int(sys.argv[2])
honest = os.replace
def counted(source, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    honest(source, target)
os.replace = counted
results.write(labels, volume, results.request_for(sys.argv[1], statistics=True))
"""


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_killed_at_any_step_no_report_vouches_for_half_a_folder(
    found, tmp_path: Path, there: bool, share: float
) -> None:
    """Each file is renamed once when it is made, and once more where it is moved into a folder that is there."""
    out = tmp_path / "out"
    files = len(asymmetric_letter(spacing_mm=4.0)[1].present) + 3
    steps = round(share * (files * (2 if there else 1) - 1))
    if there:
        results.write(*found, request_for(out))
    done = subprocess.run([sys.executable, "-c", CHILD, out, str(steps)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert out.exists() == there
    if (out / "report.json").exists():
        report = json.loads((out / "report.json").read_text())
        there_now = hashes(out)
        assert all(there_now[entry["file"]] == entry["sha256"] for entry in report["outputs"])
    results.write(*found, request_for(out))
    assert names(tmp_path) == {"out"}


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_an_empty_folder_that_is_there_stays_the_same_folder(found, tmp_path: Path) -> None:
    labels, volume = found
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    before = out.stat()
    results.write(labels, volume, request_for(out))
    after = out.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert "report.json" in names(out)


def test_labels_are_never_written_over_their_scan(found, tmp_path: Path) -> None:
    labels, volume = found
    path = prosect.write(volume, tmp_path / "scan.nii.gz")
    scan, before = prosect.read(path), path.read_bytes()
    (tmp_path / "link.nii.gz").symlink_to(path)
    for place in (path, tmp_path / "link.nii.gz"):
        with pytest.raises(FormatError, match="scan itself") as caught:
            prosect.write(labels, place, like=scan)
        assert caught.value.code == "OUTPUT_IS_INPUT"
    assert path.read_bytes() == before
    prosect.write(labels, tmp_path / "labels.nii.gz", like=scan)
    prosect.write(labels, tmp_path / "labels.nii.gz", like=scan)


def test_labels_are_not_written_like_a_scan_of_another_shape(found, tmp_path: Path) -> None:
    labels, _ = found
    other = prosect.Volume(np.zeros((2, 3, 4), np.float32), Grid((2, 3, 4), np.eye(4)))
    with pytest.raises(GeometryError, match="shape"):
        prosect.write(labels, tmp_path / "labels.nii.gz", like=other)


def test_what_is_neither_labels_nor_scan_is_refused(tmp_path: Path) -> None:
    for thing in (None, np.zeros((2, 2, 2)), "labels"):
        with pytest.raises(FormatError) as caught:
            prosect.write(thing, tmp_path / "a.nii.gz")
        assert caught.value.code == "USAGE"


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nii", "labels.nrrd", "labels.mha"])
def test_a_segmentation_is_not_read_as_a_scan(found, tmp_path: Path, name: str) -> None:
    path = prosect.write(found[0], tmp_path / name)
    with pytest.raises(FormatError, match="segmentation") as caught:
        prosect.read(path)
    assert caught.value.code == "INPUT_IS_LABELS"
    assert prosect.read_labels(path).array.any()
