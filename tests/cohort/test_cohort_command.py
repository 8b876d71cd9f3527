"""`prosect cohort`: what ledgers, claims and tables of a folder run tell, without its model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from prosect.cli.main import main
from prosect.cohort.claims import FolderClaims
from prosect.cohort.ledger import digest
from prosect.cohort.outliers import find_outliers
from prosect.cohort.places import FolderPlace
from prosect.cohort.status import done_of, look
from prosect.cohort.store import SHARED, FolderStore
from prosect.cohort.tables import Row, case_tables, read_rows
from prosect.cohort.union import Union
from prosect.io.line_log import open_log

SETTINGS = {"model": "fake"}
MINE = digest(SETTINGS)
HEAD = "case,index,name,present,touches_border,volume_ml,mean_intensity,plausible,confidence\n"


class Folder:
    """A folder of results, written as workers write it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        (out / SHARED).mkdir(parents=True)
        self.minute = 0

    def log(self, worker: str, *events: dict[str, Any]) -> None:
        with open_log(self.out / SHARED / f"{worker}.jsonl", needs_lock=False) as log:
            assert log is not None
            for event in events:
                self.minute += 1
                log.append({"time": f"2026-01-01T{self.minute // 60:02d}:{self.minute % 60:02d}:00+00:00", **event})

    def start(self, worker: str, total: int) -> None:
        self.log(worker, {"event": "start", "settings": SETTINGS, "total": total})

    def done(self, worker: str, case: str, rows: Sequence[str] = (), *more: str) -> None:
        files: dict[str, Any] = {}
        if rows:
            name = f"{case}_statistics.csv"
            (self.out / name).write_text(HEAD + "".join(f"{case},{row}\n" for row in rows))
            files[name] = {"bytes": 0}
        for name in more:
            files[name] = {"bytes": 0}
        event = {"case": case, "settings": MINE, "files": files, "seconds": {"reading": 1.0, "segmenting": 30.0}}
        self.log(worker, {"event": "reading", "case": case, "alone": False}, {"event": "done", **event, "input": {}})

    def refused(self, worker: str, case: str, code: str) -> None:
        event = {"case": case, "settings": MINE, "code": code, "message": "why <b>", "seconds": {}, "input": {}}
        self.log(worker, {"event": "reading", "case": case, "alone": False}, {"event": "refused", **event})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out")


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def call(action: str, *words: object) -> tuple[int, str, str]:
        status = main(["cohort", action, *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_status_adds_up_what_all_workers_did(folder: Folder, say: Say) -> None:
    folder.start("w1", 5)
    folder.start("w2", 5)
    for worker, case in (("w1", "a"), ("w2", "b"), ("w1", "c")):
        folder.done(worker, case)
    folder.refused("w2", "d", "INPUT_TRUNCATED")
    FolderClaims(folder.out / SHARED / "claims", "w1").take("e")
    status, said, _ = say("status", folder.out)
    assert status == 0
    lines = said.splitlines()
    assert lines[0] == "3 of 5 scans done, 1 refused, 1 at work, 1 left"
    assert "refused [INPUT_TRUNCATED]: 1" in lines
    assert any(line.startswith("at work: e (w1") for line in lines)
    assert any(line.startswith("worker w1: 2 done, 0 refused") for line in lines)
    found = look(FolderPlace(folder.out))
    assert found.per_hour == pytest.approx(30.0), "an outcome every two minutes"
    assert found.left_s == pytest.approx(120.0)
    assert found.busy_percent == pytest.approx(100 * 90 / (60 * (5 + 1)))


def test_status_is_a_page_too_and_names_are_not_trusted(folder: Folder, say: Say, tmp_path: Path) -> None:
    folder.start("w1", 2)
    folder.refused("w1", "<script>", "X")
    assert say("status", folder.out, "--html", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "why &lt;b&gt;" in page
    assert 'max="2" value="1"' in page
    assert "http-equiv" in page, "it asks for itself again"
    assert "prefers-color-scheme:dark" in page
    assert "<b>1</b><span>refused</span>" in page


def test_watching_ends_when_everything_has_an_outcome(folder: Folder, say: Say) -> None:
    folder.start("w1", 1)
    folder.done("w1", "a")
    status, said, _ = say("status", folder.out, "--watch")
    assert status == 0
    assert said.startswith("1 of 1 scans done")


def test_a_folder_without_a_ledger_is_refused(tmp_path: Path, say: Say) -> None:
    for action in ("status", "retry", "sweep", "tables", "outliers"):
        status, _, told = say(action, tmp_path)
        assert status == 3
        assert "COHORT_MISSING" in told


def rows_of(out: Path) -> list[Row]:
    place = FolderPlace(out)
    return list(read_rows(case_tables(place.read, done_of(place))))


def union_of(out: Path) -> Union:
    union = Union(MINE)
    for name, events in FolderStore(out, "look").new_events():
        union.add(name, events)
    return union


@pytest.mark.parametrize(
    ("words", "left"),
    [([], set()), (["--case", "a"], {"b"}), (["--code", "INPUT_TRUNCATED"], {"a"}), (["--code", "NONE"], {"a", "b"})],
)
def test_retry_pardons_what_it_is_told_to(folder: Folder, say: Say, words: list[str], left: set[str]) -> None:
    folder.start("w1", 2)
    folder.refused("w1", "a", "CASE_QUARANTINED")
    folder.refused("w1", "b", "INPUT_TRUNCATED")
    FolderStore(folder.out, "w1").stop("DISK_FULL")
    status, said, _ = say("retry", folder.out, *words)
    assert status == 0
    assert said.startswith(f"{2 - len(left)} scans")
    assert set(union_of(folder.out).refused_cases()) == left
    assert FolderStore(folder.out, "look").stop_reason() is None, "workers may begin again"


def test_a_case_that_is_not_refused_cannot_be_retried(folder: Folder, say: Say) -> None:
    folder.start("w1", 1)
    folder.done("w1", "a")
    status, _, told = say("retry", folder.out, "--case", "a")
    assert status == 2
    assert "not refused" in told


def test_sweeping_removes_what_the_dead_left_and_nothing_of_the_living(folder: Folder, say: Say) -> None:
    folder.start("w1", 1)
    living, dead = FolderStore(folder.out, "living"), FolderStore(folder.out, "dead")
    dead.claims.take("a")
    for store in (living, dead):
        (store.work / "half.nii.gz").write_text("half")
    for path in (folder.out / SHARED / "claims").iterdir():
        if "living" not in path.name:
            age(path)
    status, said, _ = say("sweep", folder.out)
    assert status == 0
    assert said.startswith("1 folders and 1 claims")
    assert living.work.is_dir()
    assert not dead.work.exists()
    assert say("sweep", folder.out)[1].startswith("0 folders and 0 claims")


def age(path: Path) -> None:
    """Make a file an hour older."""
    import os

    stood = path.stat().st_mtime - 3600
    os.utime(path, (stood, stood))


def test_absent_withheld_and_not_asked_are_told_apart(folder: Folder, say: Say) -> None:
    folder.start("w1", 3)
    folder.done("w1", "a", ["1,liver,true,false,1500.5,50,true,0.9", "3,spleen,false,false,0,,true,0.8"])
    folder.done("w1", "b", ["1,liver,false,false,0,,false,0.1"])
    folder.done("w1", "c")
    status, _, _ = say("tables", folder.out)
    assert status == 0
    with open(folder.out / "statistics_wide.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert rows == [
        {"case": "a", "liver": "1500.5", "spleen": "absent"},
        {"case": "b", "liver": "withheld", "spleen": ""},
        {"case": "c", "liver": "", "spleen": ""},
    ]


def test_the_parquet_table_has_types_states_and_the_same_bytes_again(folder: Folder, say: Say) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `cohort`")
    folder.start("w1", 2)
    folder.done("w1", "b", ["1,liver,true,true,1500.5,50,true,0.9"])
    folder.done("w1", "a", ["1,liver,false,false,0,,false,0.1"])
    assert say("tables", folder.out, "--parquet")[0] == 0
    first = (folder.out / "statistics.parquet").read_bytes()
    rows = parquet.read_table(folder.out / "statistics.parquet").to_pylist()
    assert [(row["case"], row["state"], row["volume_ml"], row["touches_border"]) for row in rows] == [
        ("a", "withheld", 0.0, False),
        ("b", "present", 1500.5, True),
    ]
    assert rows[0]["mean_intensity"] is None
    say("tables", folder.out, "--parquet")
    assert (folder.out / "statistics.parquet").read_bytes() == first


def livers(folder: Folder, volumes: Sequence[float], cut: Sequence[int] = ()) -> None:
    folder.start("w1", len(volumes))
    for number, volume in enumerate(volumes):
        edge = "true" if number in cut else "false"
        row = f"1,liver,{'true' if volume else 'false'},{edge},{volume},50,true,0.9"
        folder.done("w1", f"c{number:02d}", [row], f"c{number:02d}_preview.png")


USUAL = [1400 + 20.0 * n for n in range(20)]


def test_a_volume_far_from_the_rest_is_listed_with_its_picture(folder: Folder, say: Say) -> None:
    livers(folder, [*USUAL, 90.0, 1600.0, 20000.0])
    status, said, _ = say("outliers", folder.out, "--html")
    assert status == 0
    lines = said.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["c20", "c22"] or [
        line.split(":")[0] for line in lines[:2]
    ] == ["c22", "c20"]
    page = (folder.out / "outliers.html").read_text()
    assert 'src="c20_preview.png"' in page
    assert "prosect view" not in page, "these ledgers do not say where the scans are"
    assert "c21_preview.png" not in page


def test_what_the_edge_cuts_says_nothing_and_what_is_missing_is_told(folder: Folder) -> None:
    livers(folder, [*USUAL * 2, 90.0, 0.0], cut=[40])
    found = find_outliers(rows_of(folder.out), {})
    assert [(outlier.case, outlier.volume_ml) for outlier in found] == [("c41", 0.0)]


def test_few_cases_or_equal_ones_make_no_outliers(folder: Folder) -> None:
    livers(folder, [1500.0] * 5 + [90.0])
    assert find_outliers(rows_of(folder.out), {}) == ()


def test_equal_volumes_allow_for_what_readers_disagree_by(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "equal")
    livers(folder, [1500.0] * 12 + [1540.0, 2500.0])
    found = find_outliers(rows_of(folder.out), {})
    assert [outlier.case for outlier in found] == ["c13"]


def test_a_run_by_itself_is_looked_at_in_the_same_way(folder: Folder, say: Say) -> None:
    with open_log(folder.out / "cohort_ledger.jsonl") as log:
        assert log is not None
        log.append({"event": "start", "time": "2026-01-01T00:00:00+00:00", "settings": SETTINGS, "total": 3})
        done = {"case": "a", "settings": MINE, "files": {}, "seconds": {}, "input": {}}
        log.append({"event": "done", "time": "2026-01-01T00:01:00+00:00", **done})
    assert say("status", folder.out)[1].startswith("1 of 3 scans done, 0 refused, 0 at work, 2 left")
    json.dumps(sorted(done_of(FolderPlace(folder.out))))
