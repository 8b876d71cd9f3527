"""`prosect segment FOLDER -o FOLDER`: every scan, one report, and nothing twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import prosect
from prosect.cohort.ledger import DONE, SAVING, open_ledger, replay
from prosect.cohort.manifest import LEDGER, find_scans
from prosect.cohort.running import REPORT
from worlds.refusals import refused_command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scans(tmp_path: Path, make_scan: Callable[..., Path]) -> Path:
    for number, place in enumerate(("a.nii.gz", "b.nrrd", "p1/ct.mha")):
        make_scan(tmp_path / "in" / place, number)
    return tmp_path / "in"


def labels(out: Path) -> dict[str, bytes]:
    """Return every result but the ledger and the report, which tell of times."""
    found = (path for path in out.rglob("*") if path.is_file() and path.name not in (LEDGER, REPORT))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def test_every_scan_of_a_folder_is_labelled_and_reported(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said, told = run(scans, "-o", out, "-s")
    assert status == 0
    names = [line.split()[1] for line in told.splitlines()]
    assert names == ["a:", "b:", "p1_ct:"]
    assert "3 scans done, 0 refused" in said
    for name, place in (("a", "a.nii.gz"), ("b", "b.nrrd"), ("p1_ct", "p1/ct.mha")):
        assert prosect.read_labels(out / f"{name}.nii.gz").grid == prosect.read(scans / place).grid
    report = json.loads((out / REPORT).read_text())
    assert report["counts"] == {"done": 3, "refused": 0, "left": 0}
    assert [row["input"] for row in report["cases"]] == ["a.nii.gz", "b.nrrd", "p1/ct.mha"]
    with open(out / "statistics.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["case"], row["index"]) for row in rows] == [(c, i) for c in ("a", "b", "p1_ct") for i in ("1", "3")]


def test_a_second_folder_adds_to_the_results_of_the_first(
    run: Run, scans: Path, tmp_path: Path, make_scan: Callable[..., Path]
) -> None:
    out, second = tmp_path / "out", tmp_path / "second"
    assert run(scans, "-o", out, "-s")[0] == 0
    before = labels(out)
    make_scan(second / "c.nii.gz", 7)
    assert run(second, "-o", out, "-s")[0] == 0
    with open(out / "statistics.csv", newline="") as handle:
        cases = list(dict.fromkeys(row["case"] for row in csv.DictReader(handle)))
    assert cases == ["c", "a", "b", "p1_ct"], "the rows of the first folder are kept"
    assert json.loads((out / REPORT).read_text())["other_cases"] == ["a", "b", "p1_ct"]
    make_scan(second / "a.nii.gz", 8)
    assert "called a, too" in refused_command(run, out, "OUTPUT_EXISTS", second, "-o", out, "-s")
    after = labels(out)
    assert {name: after[name] for name in before if name != "statistics.csv"} == {
        name: content for name, content in before.items() if name != "statistics.csv"
    }


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_one_scan_never_lies_among_the_results_of_many(run: Run, scans: Path, tmp_path: Path, flags: tuple) -> None:
    out = tmp_path / "out"
    assert run(scans, "-o", out, "-s")[0] == 0
    before = labels(out)
    status, _, told = run(scans / "a.nii.gz", "-o", out, "-s", *flags)
    assert (status, "OUTPUT_EXISTS" in told) == (3, True)
    assert labels(out) == before
    # A file of its own name, or a folder inside, is nobody else's.
    assert run(scans / "a.nii.gz", "-o", out / "mine.nii.gz", "-s")[0] == 0
    assert run(scans / "a.nii.gz", "-o", out / "more", "-s")[0] == 0
    assert {name: labels(out)[name] for name in before} == before


def test_the_same_command_again_does_nothing_and_says_so(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(scans, "-o", out)
    before = labels(out)
    status, said, told = run(scans, "-o", out)
    assert (status, told) == (0, "")
    assert "3 scans done (3 of them before)" in said
    assert labels(out) == before


def test_a_bad_scan_among_good_ones_is_named_with_its_code_and_exit_4(run: Run, scans: Path, tmp_path: Path) -> None:
    (scans / "cut.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes()[:-20])
    (scans / "page.nii.gz").write_text("<html>")
    (scans / "notes.txt").write_text("words")
    out = tmp_path / "out"
    status, said, told = run(scans, "-o", out)
    assert status == 4
    assert "3 scans done, 2 refused" in said
    assert "passed over: 1 x a text file" in said
    for words in ("cut [INPUT_TRUNCATED]", "page [INPUT_NOT_AN_IMAGE]"):
        assert words in said
    assert "Traceback" not in told
    assert sorted(labels(out)) == ["a.nii.gz", "b.nii.gz", "p1_ct.nii.gz"]


def test_quiet_is_silent_but_for_the_exit_status(run: Run, scans: Path, tmp_path: Path) -> None:
    (scans / "page.nii.gz").write_text("<html>")
    assert run(scans, "-o", tmp_path / "out", "-q") == (4, "", "")


@pytest.mark.parametrize(
    ("flags", "files"),
    [
        (["-ot", "seg.nrrd"], ["a.seg.nrrd"]),
        (["--per-class"], ["a/liver.nii.gz", "a/report.json", "a/spleen.nii.gz"]),
        (["-ot", "nifti", "nrrd"], ["a/labels.nii.gz", "a/labels.nrrd", "a/report.json"]),
        (["-p", "-rp"], ["a.nii.gz", "a_preview.png", "a_report.json"]),
    ],
)
def test_results_take_the_form_that_was_asked_for(
    run: Run, tmp_path: Path, make_scan: Callable[..., Path], flags: list[str], files: list[str]
) -> None:
    make_scan(tmp_path / "in" / "a.nii.gz")
    out = tmp_path / "out"
    assert run(tmp_path / "in", "-o", out, *flags)[0] == 0
    assert sorted(labels(out)) == files
    assert "1 of them before" in run(tmp_path / "in", "-o", out, *flags)[1]


def test_results_inside_the_folder_of_scans_are_not_taken_for_scans(run: Run, scans: Path) -> None:
    run(scans, "-o", scans / "labels")
    assert "3 scans done (3 of them before)" in run(scans, "-o", scans / "labels")[1]


class TestRefusals:
    """Each is said in one line before a scan is read, with its own code, and nothing is written."""

    def refused(self, run: Run, code: str, *words: object) -> str:
        source = Path(str(words[0]))
        folder = source if source.is_dir() else source.parent
        return refused_command(run, folder, code, *words, status=2 if code == "USAGE" else 3)

    def test_the_folder_of_the_scans_as_that_of_the_results(self, run: Run, scans: Path) -> None:
        self.refused(run, "OUTPUT_IS_INPUT", scans, "-o", scans)

    def test_names_that_clash(self, run: Run, scans: Path, tmp_path: Path, make_scan: Callable[..., Path]) -> None:
        make_scan(scans / "A.nrrd")
        told = self.refused(run, "OUTPUT_NAME_CLASH", scans, "-o", tmp_path / "out")
        assert "A.nrrd" in told
        assert not (tmp_path / "out").exists()

    def test_a_folder_without_scans(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "notes.txt").write_text("words")
        told = self.refused(run, "INPUT_NO_SCANS", tmp_path / "in", "-o", tmp_path / "out")
        assert "1 a text file" in told

    def test_a_folder_in_use(self, run: Run, scans: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        with open_ledger(tmp_path / "out" / LEDGER, lambda: "now"):
            self.refused(run, "OUTPUT_LOCKED", scans, "-o", tmp_path / "out")

    def test_other_parameters_than_before(self, run: Run, scans: Path, tmp_path: Path) -> None:
        run(scans, "-o", tmp_path / "out")
        before = labels(tmp_path / "out")
        told = self.refused(run, "COHORT_CHANGED", scans, "-o", tmp_path / "out", "-rs", "liver")
        assert "structures was all and is [1]" in told
        assert labels(tmp_path / "out") == before
        assert run(scans, "-o", tmp_path / "out", "-rs", "liver", "--overwrite")[0] == 0

    def test_a_result_of_someone_else(self, run: Run, scans: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "b.nii.gz").write_bytes(b"precious")
        self.refused(run, "OUTPUT_EXISTS", scans, "-o", tmp_path / "out")
        assert (tmp_path / "out" / "b.nii.gz").read_bytes() == b"precious"

    def test_an_unknown_structure(self, run: Run, scans: Path, tmp_path: Path) -> None:
        self.refused(run, "STRUCTURE_UNKNOWN", scans, "-o", tmp_path / "out", "-rs", "livr")

    def test_one_label_file_for_many_scans(self, run: Run, scans: Path, tmp_path: Path) -> None:
        told = self.refused(run, "USAGE", scans, "-o", tmp_path / "labels.nii.gz")
        assert "3 scans" in told

    def test_one_file_for_the_statistics_of_many(self, run: Run, scans: Path, tmp_path: Path) -> None:
        self.refused(run, "USAGE", scans, "-o", tmp_path / "out", "-s", tmp_path / "s.json")


def test_a_dry_run_lists_scans_and_names_and_writes_nothing(run: Run, scans: Path, tmp_path: Path) -> None:
    status, said, _ = run(scans, "-o", tmp_path / "out", "--dry-run")
    assert status == 0
    assert "p1/ct.mha -> p1_ct.nii.gz" in said
    assert "3 scans" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_signal_at_any_moment_leaves_whole_files_and_the_same_command_finishes(
    run: Run, tmp_path: Path, weights: Path, make_scan: Callable[..., Path], number: int, status: int
) -> None:
    for seed in range(30):
        make_scan(tmp_path / "in" / f"c{seed:02d}.nii.gz", seed)
    assert run(tmp_path / "in", "-o", tmp_path / "whole", "-s")[0] == 0
    whole, out = labels(tmp_path / "whole"), tmp_path / "out"
    words = ["segment", tmp_path / "in", "-o", out, "-s", "-w", weights, "-d", "cpu"]
    # On a busy machine the whole run may end between two looks at the ledger; a slow disk leaves time to interrupt it.
    # A test run started in the background has interrupts ignored, and its children inherit that.
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "write = os.fsync\n"
        "os.fsync = lambda handle: (time.sleep(0.05), write(handle))\n"
        "from prosect.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stderr=subprocess.PIPE, text=True)
    with process:
        while process.poll() is None and DONE not in {event["event"] for event in events(out)}:
            time.sleep(0.002)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == status
    assert "Traceback" not in told
    assert ("the same command goes on from here" in told) == (number != signal.SIGKILL)
    left = {name: content for name, content in labels(out).items() if ".tmp-" not in name}
    assert all(whole[name] == content for name, content in left.items())
    assert len(left) < len(whole), "the example must be interrupted to mean anything"
    done_before = {event["case"] for event in events(out) if event["event"] == DONE}
    assert run(tmp_path / "in", "-o", out, "-s")[0] == 0
    assert labels(out) == whole
    begun = [event["case"] for event in events(out) if event["event"] == SAVING]
    assert all(begun.count(case) == 1 for case in done_before)


def events(out: Path) -> list[dict[str, object]]:
    return replay((out / LEDGER).read_bytes()) if (out / LEDGER).exists() else []


@pytest.mark.skipif(os.name == "nt", reason="limits file sizes the POSIX way")
@pytest.mark.parametrize("limit", [700, 1500, 2000])
def test_a_disk_that_fills_up_ends_the_run_with_5_and_the_same_command_finishes(
    run: Run, scans: Path, tmp_path: Path, weights: Path, limit: int
) -> None:
    """The limit meets the result or the ledger; either way no line and no file is half there."""
    assert run(scans, "-o", tmp_path / "whole")[0] == 0
    whole, out = labels(tmp_path / "whole"), tmp_path / "out"
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from prosect.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    words = ["segment", scans, "-o", out, "-w", weights, "-d", "cpu"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 5, done
    assert "[DISK_FULL]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in out.iterdir() if ".tmp-" in path.name]
    assert all(whole[name] == content for name, content in labels(out).items())
    assert run(scans, "-o", out)[0] == 0
    assert labels(out) == whole


def test_each_series_of_a_study_is_a_case_and_one_series_alone_is_one_scan(
    run: Run, tmp_path: Path, dicom: Callable[..., None]
) -> None:
    dicom(tmp_path / "study", "1.2.11111111", 4)
    assert run(tmp_path / "study", "-o", tmp_path / "one", "-ml")[0] == 0
    assert sorted(labels(tmp_path / "one")) == ["labels.nii.gz", "report.json"]
    dicom(tmp_path / "study", "1.2.22222222", 5)
    assert run(tmp_path / "study", "-o", tmp_path / "both")[0] == 0
    found = sorted(labels(tmp_path / "both"))
    assert found == ["study_11111111.nii.gz", "study_22222222.nii.gz"]
    assert [prosect.read_labels(tmp_path / "both" / name).grid.shape[2] for name in found] == [4, 5]


def test_results_of_other_runs_inside_the_folder_are_not_scans(
    run: Run, scans: Path, make_scan: Callable[..., Path]
) -> None:
    assert run(scans, "-o", scans / "first")[0] == 0
    assert run(make_scan(scans.parent / "one.nii.gz"), "-o", f"{scans}/masks/")[0] == 0
    found = find_scans(scans)
    assert len(found.scans) == 3
    assert found.passed["results of prosect"] >= 2
