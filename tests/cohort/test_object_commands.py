"""`prosect cohort` looks after results in an object store as it does in a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from prosect.cli.main import main
from prosect.cohort.ledger import digest

pytest.importorskip("boto3", reason="needs the extra `s3`")

from prosect.cohort import object_ledgers, objects

if TYPE_CHECKING:
    from prosect.cohort.bucket import Bucket

pytestmark = pytest.mark.filterwarnings("ignore:datetime")
SETTINGS = {"model": "fake"}
HEAD = "case,index,name,present,touches_border,volume_ml,mean_intensity,plausible,confidence\n"
TIME = "2026-01-01T00:{:02d}:00+00:00"


@pytest.fixture
def cohort(bucket: Bucket) -> Bucket:
    """Return a place in which a worker has done twelve cases, one far from the rest, and refused one."""
    with object_ledgers.open_ledger(bucket, "w1") as append:
        append({"event": "start", "time": TIME.format(0), "settings": SETTINGS, "total": 14})
        for number in range(12):
            case, volume = f"c{number:02d}", 1400 + 20 * number
            if number == 5:
                volume = 90
            bucket.put(f"{case}_statistics.csv", f"{HEAD}{case},1,liver,true,false,{volume},50,true,0.9\n".encode())
            what = {"case": case, "settings": digest(SETTINGS), "input": {}, "seconds": {"segmenting": 1.0}}
            append({"event": "reading", "time": TIME.format(number), "case": case})
            append({"event": "done", "time": TIME.format(number), **what, "files": {f"{case}_statistics.csv": {}}})
        why = {"code": "INPUT_TRUNCATED", "message": "it ends early", "settings": digest(SETTINGS)}
        append({"event": "refused", "time": TIME.format(20), "case": "bad", "input": {}, "seconds": {}, **why})
    return bucket


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(cohort: Bucket, capsys: pytest.CaptureFixture[str]) -> Say:
    def call(action: str, *words: object) -> tuple[int, str, str]:
        status = main(["cohort", action, f"s3://bucket/{cohort.prefix}", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_status_adds_up_ledgers_and_claims(cohort: Bucket, say: Say) -> None:
    objects.ObjectClaims(cohort, "w1").take("c12")
    status, said, _ = say("status")
    assert status == 0
    assert said.startswith("12 of 14 scans done, 1 refused, 1 at work, 1 left")
    assert "at work: c12 (w1" in said
    cohort.put("cohort_ledger.d/STOP", b"DISK_FULL")
    cohort.put("cohort_ledger.d/w1.stacks", b"threads")
    said = say("status")[1]
    assert "asked to leave: DISK_FULL" in said
    assert "what hung: w1.stacks" in said


def test_retry_pardons_and_lets_workers_begin_again(cohort: Bucket, say: Say) -> None:
    cohort.put("cohort_ledger.d/STOP", b"DISK_FULL")
    assert say("retry", "--case", "bad")[1].startswith("1 scans will be tried again")
    assert objects.stop_reason(cohort) is None
    assert say("status")[1].startswith("12 of 14 scans done, 0 refused")
    assert say("retry", "--case", "c00")[0] == 2


def test_sweep_removes_stale_claims_and_no_others(cohort: Bucket, say: Say) -> None:
    objects.ObjectClaims(cohort, "w1").take("c12")
    assert say("sweep")[1].startswith("0 folders and 0 claims")
    assert len(objects.ObjectClaims(cohort, "look").held()) == 1
    assert objects.ObjectClaims(cohort, "look", -1.0).break_stale() == 1, "a lease below zero: any claim is stale"
    assert objects.ObjectClaims(cohort, "look").held() == ()


def test_tables_are_written_beside_the_results(cohort: Bucket, say: Say) -> None:
    status, said, _ = say("tables")
    assert status == 0
    assert said.strip() == f"s3://bucket/{cohort.prefix}/statistics_wide.csv"
    content = cohort.get("statistics_wide.csv")
    assert content is not None
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["liver"] for row in rows][4:6] == ["1480", "90"]


def test_outliers_are_told_and_shown_on_a_page(cohort: Bucket, say: Say) -> None:
    status, said, _ = say("outliers", "--html")
    assert status == 0
    assert said.startswith("c05: liver: 90.0 mL")
    page = cohort.get("outliers.html")
    assert page is not None
    assert b"c05" in page


def test_an_empty_place_is_refused(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("status", "retry", "sweep", "tables", "outliers"):
        assert main(["cohort", action, f"s3://bucket/{bucket.prefix}"]) == 3
        assert "COHORT_MISSING" in capsys.readouterr().err
