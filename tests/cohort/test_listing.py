"""Scans named by a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prosect.cohort.listing import read_scans_of_list
from prosect.errors import FormatError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_text_file_has_a_path_per_line_from_its_own_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "list.txt", "# scans\n\na.nii.gz\nsub/ct.nrrd\n/abs/b.mha\n")
    found = read_scans_of_list(path).scans
    assert [(s.name, s.path) for s in found] == [
        ("a", tmp_path / "a.nii.gz"), ("ct", tmp_path / "sub" / "ct.nrrd"), ("b", Path("/abs/b.mha")),
    ]  # fmt: skip


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_names_cases_and_series(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path / "list.csv", f"{mark}Case,age,Image,series\nfirst,40,x/ct.nii.gz,\nsecond,50,study,1.2.3\n")
    found = read_scans_of_list(path).scans
    assert [(s.name, s.origin, s.series) for s in found] == [
        ("first", "x/ct.nii.gz", None), ("second", "study", "1.2.3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "a,b\n1,2\n", "no column named path"),
        ("l.csv", "path,case\n,x\n", "line 2 has no path"),
        ("l.txt", "# nothing\n", "names no scan"),
        ("l.csv", "path,case\na.nii,../x\n", "file name"),
        ("l.tsv", "path\tcase\na.nii\t.hidden\n", "file name"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said) as refused:
        read_scans_of_list(write(tmp_path / name, text))
    assert refused.value.code == "LIST_INVALID"


def test_a_list_of_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not a list"):
        read_scans_of_list(tmp_path / "l.txt")


def test_listed_scans_are_segmented_and_missing_ones_named(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, make_scan: Callable[..., Path]
) -> None:
    make_scan(tmp_path / "p1" / "ct.nii.gz")
    make_scan(tmp_path / "p2" / "ct.nii.gz")
    path = write(tmp_path / "l.csv", "path,case\np1/ct.nii.gz,one\np2/ct.nii.gz,two\np3/ct.nii.gz,three\n")
    status, said, _ = run(path, "-o", tmp_path / "out")
    assert status == 4
    assert "three [INPUT_NOT_FOUND]" in said
    assert {p.name for p in (tmp_path / "out").glob("*.nii.gz")} == {"one.nii.gz", "two.nii.gz"}
    assert "2 of them before" in run(path, "-o", tmp_path / "out")[1]


def test_two_scans_of_one_name_in_a_list_are_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, make_scan: Callable[..., Path]
) -> None:
    for patient in ("p1", "p2"):
        make_scan(tmp_path / patient / "ct.nii.gz")
    path = write(tmp_path / "l.txt", "p1/ct.nii.gz\np2/ct.nii.gz\n")
    status, _, told = run(path, "-o", tmp_path / "out")
    assert status == 3
    assert "p1/ct.nii.gz and p2/ct.nii.gz" in told
