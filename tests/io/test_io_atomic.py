"""A result appears whole or not at all, and what cannot be written is refused before the work."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prosect.errors import FormatError, ProsectError, ResourceError
from prosect.geometry import Grid
from prosect.io import atomic, check_writable, write
from worlds.files import SHAPE, label_map, oblique

GRID = Grid(SHAPE, oblique())


class Stop(BaseException):
    """Stands for an interrupt."""


@pytest.mark.parametrize("error", [RuntimeError("x"), Stop(), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file_and_no_temporary(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        assert [p.name for p in tmp_path.iterdir() if p != path] == [f".a.nii.tmp-{os.getpid()}-0000"]
        raise error

    with pytest.raises(type(error)):
        atomic.write_atomically(path, chunks())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "DISK_FULL"), (errno.EIO, "OUTPUT_UNWRITABLE")])
def test_a_full_disk_is_a_lack_of_resources_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, code: str
) -> None:
    path = write(label_map(GRID), tmp_path / "a.nii.gz")
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, step, fail)
    labels = replace(label_map(GRID), array=np.ones(SHAPE, np.uint8))
    with pytest.raises(ProsectError) as caught:
        write(labels, path)
    assert caught.value.code == code
    assert isinstance(caught.value, ResourceError) == (code == "DISK_FULL")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_killed_writers_never_leave_a_partial_file_under_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import sys; from pathlib import Path; from prosect.io import atomic\n"
        "def chunks():\n    for n in range(10**6):\n        print('x', flush=True); yield bytes(4096)\n"
        "atomic.write_atomically(Path(sys.argv[1]), chunks())"
    )
    for count in (1, 5, 50):
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(count):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert path.read_bytes() == b"old"
        leftovers = [p for p in tmp_path.iterdir() if p != path]
        assert len(leftovers) == 1  # what the last one left; those before it were swept
        assert leftovers[0].name.startswith(".a.bin.tmp-")
    others = [tmp_path / f".{name}.tmp-{os.getpid()}-0007" for name in ("a.bin", "b.bin")]
    others.append(tmp_path / ".b.bin.tmp-999999999-0000")
    for other in others:
        other.write_bytes(b"of a process that lives, or of another file")
    atomic.write_atomically(path, [b"new"])
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_an_older_file_is_kept_once_the_new_one_is_whole(tmp_path: Path) -> None:
    path, previous = tmp_path / "state", tmp_path / "state.previous"

    def write(content: bytes, fail: bool = False) -> None:
        with atomic.atomic_file(path, previous=previous) as handle:
            handle.write(content)
            if fail:
                raise KeyboardInterrupt

    write(b"1")
    assert not previous.exists()
    write(b"2")
    write(b"3")
    assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    with pytest.raises(KeyboardInterrupt):
        write(b"4", fail=True)
    assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    assert len(list(tmp_path.iterdir())) == 2


def test_the_gzip_stream_depends_on_nothing_but_the_bytes() -> None:
    data = [bytes([n % 251]) * 1000 for n in range(300)]
    stream = b"".join(atomic.gzip_chunks(data))
    assert gzip.decompress(stream) == b"".join(data)
    assert stream[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    assert stream == b"".join(atomic.gzip_chunks(data))
    assert gzip.decompress(b"".join(atomic.gzip_chunks([]))) == b""


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", ".nii", ".nii.gz", "a.nhdr", "a.mhd", "a.dcm", "nii"])
def test_an_unknown_ending_is_refused_before_anything_is_done(tmp_path: Path, name: str) -> None:
    for call in (lambda: write(None, tmp_path / name), lambda: check_writable(tmp_path / name, 1)):  # type: ignore[arg-type]
        with pytest.raises(FormatError) as caught:
            call()
        assert caught.value.code == "OUTPUT_FORMAT_UNKNOWN"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["A.NII.GZ", "b.Nii", "c.NRRD", "ü 画.mha", "-x.nii", "a" * 251 + ".nii"])
def test_known_endings_are_written_whatever_the_name(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name, 1000)
    assert list(tmp_path.iterdir()) == []
    assert write(label_map(GRID), str(tmp_path / name)) == tmp_path / name
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.nii").mkdir()
    for place in (tmp_path / "none" / "a.nii", tmp_path / "file" / "a.nii", tmp_path / "folder.nii"):
        for call in (lambda place=place: check_writable(place, 1), lambda place=place: write(label_map(GRID), place)):
            with pytest.raises(FormatError) as caught:
                call()
            assert caught.value.code == "OUTPUT_UNWRITABLE"
            assert caught.value.exit_status == 3

    def denied(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(FormatError, match="Permission denied") as caught:
        check_writable(tmp_path / "a.nii", 1)
    assert caught.value.code == "OUTPUT_UNWRITABLE"


def test_too_little_space_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 2_000_000))
    check_writable(tmp_path / "a.nii", 1_000_000)
    with pytest.raises(ResourceError) as caught:
        check_writable(tmp_path / "a.nii", 1_000_001)
    assert caught.value.code == "DISK_FULL"
    assert caught.value.exit_status == 5


def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.nii", tmp_path / "b.nii"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write(label_map(GRID), link)
    assert link.is_symlink()
    assert target.stat().st_size > 352


def test_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(FormatError) as caught:
        write(label_map(GRID), tmp_path / "pipe.nii")
    assert caught.value.code == "OUTPUT_UNWRITABLE"


def test_large_arrays_go_out_in_pieces(tmp_path: Path) -> None:
    grid = Grid((256, 256, 300), np.diag([1.0, 1, 1, 1]))
    labels = label_map(grid)
    path = write(labels, tmp_path / "a.nii")
    raw = np.fromfile(path, np.uint8)[-labels.array.size :]
    assert np.array_equal(raw.reshape(grid.shape, order="F"), labels.array)
