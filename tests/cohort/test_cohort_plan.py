"""What is left to do: a scan is done only where its files are as they were left, and nothing foreign is replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from prosect.cohort.ledger import History
from prosect.cohort.manifest import Scan
from prosect.cohort.plan import fingerprint, identity, plan, refuse_changed_settings, refuse_foreign, refuse_inputs
from prosect.errors import FormatError, OutputError


def planned(name: str) -> Sequence[str]:
    """Return the one file of a case."""
    return (f"{name}.nii.gz",)


@pytest.fixture
def scans(tmp_path: Path) -> tuple[Scan, ...]:
    """Return four scans of one file each."""
    found = []
    for name in ("a", "b", "c", "d"):
        path = tmp_path / "in" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 10)
        found.append(Scan(name, path, name, files=(path,)))
    return tuple(found)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def done(scan: Scan, out: Path) -> Mapping[str, Any]:
    """Write the result of a scan and return what the ledger keeps of it."""
    file = out / planned(scan.name)[0]
    file.write_bytes(b"labels of " + scan.name.encode())
    return {"files": {file.name: fingerprint(file)}, "input": identity(scan)}


def names(scans: Sequence[Scan]) -> list[str]:
    return [scan.name for scan in scans]


def test_in_an_empty_folder_everything_is_to_do_in_its_order(scans: tuple[Scan, ...], out: Path) -> None:
    found = plan(scans, out, History(), planned)
    assert names(found.todo) == ["a", "b", "c", "d"]
    assert (found.alone, found.finished, found.changed, found.again) == ((), (), (), ())


def test_each_scan_stands_as_its_files_do(scans: tuple[Scan, ...], out: Path) -> None:
    a, b, c, d = scans
    known = History(done={scan.name: done(scan, out) for scan in scans}, begun=frozenset("abcd"))
    assert names(plan(scans, out, known, planned).finished) == ["a", "b", "c", "d"]
    (out / "b.nii.gz").write_bytes(b"edited by a person")
    c.path.write_bytes(b"another scan of this name")
    (out / "d.nii.gz").unlink()
    found = plan(scans, out, known, planned)
    assert (names(found.finished), names(found.changed), names(found.again)) == (["a"], ["b"], ["c"])
    assert names(found.todo) == ["c", "d"], "what a person has edited is theirs"
    anew = plan(scans, out, known, planned, overwrite=True)
    assert names(anew.todo) == ["b", "c", "d"]
    assert anew.changed == ()
    assert (a, b, d) == (scans[0], scans[1], scans[3])


def test_scans_that_a_run_died_of_come_last_and_alone(scans: tuple[Scan, ...], out: Path) -> None:
    a = scans[0]
    known = History(done={"a": done(a, out)}, begun=frozenset("ac"), suspects=frozenset("ac"))
    found = plan(scans, out, known, planned)
    assert names(found.alone) == ["c"], "what is finished needs no second try"
    assert names(found.todo) == ["b", "d"]


def test_files_that_no_run_has_written_are_not_replaced(scans: tuple[Scan, ...], out: Path) -> None:
    for name in ("b", "d"):
        (out / f"{name}.nii.gz").write_bytes(b"made by hand")
    with pytest.raises(OutputError, match="in the way") as caught:
        plan(scans, out, History(), planned)
    assert caught.value.code == "OUTPUT_EXISTS"
    assert "b.nii.gz, d.nii.gz" in str(caught.value)
    begun = History(begun=frozenset("bd"))
    assert names(plan(scans, out, begun, planned).todo) == ["a", "b", "c", "d"], "torn files of a killed run are ours"
    assert names(plan(scans, out, History(), planned, overwrite=True).todo) == ["a", "b", "c", "d"]


def test_a_link_to_nowhere_is_in_the_way_too(scans: tuple[Scan, ...], out: Path) -> None:
    (out / "a.nii.gz").symlink_to(out / "gone")
    with pytest.raises(OutputError):
        plan(scans, out, History(), planned)


def test_many_foreign_files_are_counted_and_the_first_are_named() -> None:
    with pytest.raises(OutputError, match=r"0\.nii, 1\.nii, 2\.nii, 3\.nii, 4\.nii and 3 more: in the way"):
        refuse_foreign([f"{n}.nii" for n in range(8)])
    refuse_foreign([])


def test_the_input_is_known_by_size_and_time_of_its_files(scans: tuple[Scan, ...]) -> None:
    scan = scans[0]
    before = identity(scan)
    assert identity(scan) == before
    scan.path.write_bytes(b"longer than it was before")
    assert identity(scan) != before
    scan.path.unlink()
    assert identity(scan)["stamp"] == "", "a scan that is gone is another input, and no error yet"


def test_a_fingerprint_is_the_size_and_hash_of_all_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 40)
    whole = fingerprint(tmp_path / "a")
    assert whole["bytes"] == 10240
    monkeypatch.setattr("prosect.cohort.plan.CHUNK", 7)
    assert fingerprint(tmp_path / "a") == whole
    (tmp_path / "a").write_bytes(bytes(range(256)) * 39 + bytes(256))
    assert fingerprint(tmp_path / "a")["sha256"] != whole["sha256"]


def test_results_of_two_questions_do_not_share_a_folder() -> None:
    known = History(settings={"model": "a", "overlap": False}, begun=frozenset("a"))
    refuse_changed_settings(known, {"model": "a", "overlap": False})
    with pytest.raises(FormatError, match="overlap was False and is True") as caught:
        refuse_changed_settings(known, {"model": "a", "overlap": True})
    assert caught.value.code == "COHORT_CHANGED"
    assert "model" not in str(caught.value), "only what differs is said"
    with pytest.raises(FormatError, match="volume was None and is 2"):
        refuse_changed_settings(known, {"model": "a", "overlap": False, "volume": 2})
    refuse_changed_settings(known, {"model": "b"}, overwrite=True)
    refuse_changed_settings(History(settings={"model": "a"}), {"model": "b"})


@pytest.mark.parametrize("kind", ["same", "hard link", "symbolic link"])
def test_a_result_never_replaces_a_scan(scans: tuple[Scan, ...], out: Path, kind: str) -> None:
    refuse_inputs(scans, out, planned)
    place = scans[1].path.parent
    if kind == "hard link":
        (out / "b.nii.gz").hardlink_to(scans[1].path)
        place = out
    elif kind == "symbolic link":
        (out / "b.nii.gz").symlink_to(scans[1].path)
        place = out
    with pytest.raises(OutputError, match="would destroy it") as caught:
        refuse_inputs(scans, place, planned)
    assert caught.value.code == "OUTPUT_IS_INPUT"


def test_a_scan_of_another_folder_never_takes_the_place_of_its_namesake(
    scans: tuple[Scan, ...], out: Path, tmp_path: Path
) -> None:
    known = History(done={scan.name: done(scan, out) for scan in scans}, begun=frozenset("abcd"))
    (tmp_path / "other").mkdir()
    others = []
    for scan in scans[:2]:
        path = tmp_path / "other" / scan.path.name
        path.write_bytes(b"another patient")
        others.append(Scan(scan.name, path, scan.origin, files=(path,)))
    with pytest.raises(OutputError, match="results of other scans that are called a, b, too") as caught:
        plan(others, out, known, planned)
    assert caught.value.code == "OUTPUT_EXISTS"
    assert str(tmp_path) not in str(caught.value)
    assert names(plan(others, out, known, planned, overwrite=True).todo) == ["a", "b"]


def test_scans_that_were_moved_as_they_are_stay_done(scans: tuple[Scan, ...], out: Path, tmp_path: Path) -> None:
    known = History(done={scan.name: done(scan, out) for scan in scans}, begun=frozenset("abcd"))
    (tmp_path / "in").rename(tmp_path / "moved")
    moved = []
    for scan in scans:
        path = tmp_path / "moved" / scan.path.name
        moved.append(Scan(scan.name, path, scan.origin, files=(path,)))
    assert names(plan(moved, out, known, planned).finished) == ["a", "b", "c", "d"]


def test_ledgers_of_before_that_say_no_place_are_gone_on_with(scans: tuple[Scan, ...], out: Path) -> None:
    event = dict(done(scans[0], out))
    event["input"] = {word: value for word, value in event["input"].items() if word != "place"}
    known = History(done={"a": event}, begun=frozenset("a"))
    assert names(plan(scans[:1], out, known, planned).finished) == ["a"]
    scans[0].path.write_bytes(b"replaced")
    assert names(plan(scans[:1], out, known, planned).again) == ["a"]
