"""No path leads out of a root, whatever it is made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prosect.errors import FormatError
from prosect.server.paths import Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    scans = tmp_path / "scans"
    (scans / "deep").mkdir(parents=True)
    (scans / "deep" / "ct.nii").write_bytes(b"ct")
    (scans / ".hidden").write_bytes(b"no")
    (tmp_path / "secret").write_bytes(b"secret")
    (scans / "link").symlink_to(tmp_path / "secret")
    (scans / "linked-folder").symlink_to(tmp_path)
    os.mkfifo(scans / "pipe")
    return Roots({"scans": scans})


def test_files_below_a_root_are_found(roots: Roots) -> None:
    assert roots.path("scans", "deep/ct.nii").read_bytes() == b"ct"
    assert roots.path("scans", "./deep//ct.nii").read_bytes() == b"ct"
    assert roots.path("scans", "").is_dir()


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "deep/../../secret",
        "..",
        "/etc/passwd",
        "//etc/passwd",
        "..%2fsecret",
        "%252e%252e/secret",
        "deep\\..\\..\\secret",
        "C:/secret",
        "ct.nii\0",
        "a\nb",
        "link",
        "linked-folder/secret",
        "linked-folder",
        "pipe",
        "x" * 5000,
        "/proc/self/environ",
    ],
)
def test_what_leads_out_or_is_no_file_is_refused(roots: Roots, path: str) -> None:
    with pytest.raises(FormatError) as refused:
        roots.path("scans", path)
    assert refused.value.code in ("PATH_INVALID", "PATH_FORBIDDEN", "INPUT_NOT_FOUND")


def test_a_folder_exchanged_for_a_link_after_it_was_listed_is_refused(roots: Roots, tmp_path: Path) -> None:
    roots.path("scans", "deep/ct.nii")
    (tmp_path / "scans" / "deep").rename(tmp_path / "moved")
    (tmp_path / "scans" / "deep").symlink_to(tmp_path / "moved")
    with pytest.raises(FormatError) as refused:
        roots.path("scans", "deep/ct.nii")
    assert refused.value.code == "PATH_FORBIDDEN"


def test_a_listing_shows_neither_links_nor_pipes_nor_hidden_files(roots: Roots) -> None:
    assert [(each.name, each.folder) for each in roots.entries("scans", "")] == [("deep", True)]
    assert [(each.name, each.size) for each in roots.entries("scans", "deep")] == [("ct.nii", 2)]


def test_an_unknown_root_is_named(roots: Roots) -> None:
    with pytest.raises(FormatError, match="offered are: scans") as refused:
        roots.entries("home", "")
    assert refused.value.code == "ROOT_UNKNOWN"
