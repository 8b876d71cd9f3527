"""What a kill leaves is swept: by its name, for files and folders alike, and never what a living process is making."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prosect.io.temporary import make_temporary_file, make_temporary_folder, sweep, sweep_beside

DEAD, LIVING = 2**22 + 5, os.getppid()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["state.pt", "a b.nii.gz", "x\ny", "long" * 60, "ü" * 127])
def test_what_is_made_is_found_again_when_its_process_is_gone(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    descriptor, file = make_temporary_file(target)
    os.close(descriptor)
    folder = make_temporary_folder(target)
    assert file.parent == folder.parent == tmp_path
    assert file != folder
    sweep_beside(target)
    assert names(tmp_path) == {file.name, folder.name}, "this process lives"
    own = f".tmp-{os.getpid()}-"
    for made in (file, folder):
        # The number of the process is as long, so that a name that was cut stays cut.
        dead = str(10 ** len(str(os.getpid())) - 1)
        made.rename(tmp_path / made.name.replace(own, f".tmp-{dead}-"))
    sweep_beside(target)
    assert not names(tmp_path)


def test_a_sweep_beside_a_file_leaves_those_of_others(tmp_path: Path) -> None:
    kept = {f".b.tmp-{DEAD}-0000", f".a.tmp-{LIVING}-0000", f".ab.tmp-{DEAD}-0000", f"a.tmp-{DEAD}-0000"}
    for name in (*kept, f".a.tmp-{DEAD}-0000", f".a.tmp-{DEAD}-0017"):
        (tmp_path / name).touch()
    sweep_beside(tmp_path / "a")
    assert names(tmp_path) == kept


def test_a_sweep_of_folders_takes_files_and_folders_of_all_earlier_versions(tmp_path: Path) -> None:
    for name in (f".state.pt.tmp-{DEAD}", f".best.pt.tmp-{DEAD}-0000", f".own.tmp-{os.getpid()}-0000"):
        (tmp_path / name).touch()
    (tmp_path / f".scan.tmp-{DEAD}").mkdir()
    (tmp_path / f".scan.tmp-{DEAD}" / "labels").touch()
    kept = {".notes.tmp", f".c.tmp-{LIVING}-0000", "state.pt"}
    for name in kept:
        (tmp_path / name).touch()
    assert sweep([tmp_path, tmp_path / "missing"]) == 4
    assert names(tmp_path) == kept


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scan").touch()
    (tmp_path / f".x.tmp-{DEAD}-0000").symlink_to(tmp_path / "mine")
    assert sweep([tmp_path]) == 1
    assert (tmp_path / "mine" / "scan").exists()
