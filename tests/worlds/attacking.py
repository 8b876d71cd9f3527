"""What attackers send, and a server to send it to; shared by the tests of our own paths and of other viewers'."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

import prosect
from prosect.geometry import Grid
from prosect.server import deadlines
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from prosect.volume import Volume
from worlds.serving import TOKEN, BallModel, Server

__all__ = [
    "API", "BODIES", "DIALECT_TOKEN", "OK_REFUSALS", "PATHS", "SECRET", "place", "raw", "request", "scans_of",
    "status_of", "target", "unharmed",
]  # fmt: skip

API = "/api/v1"
SECRET = b"the-secret-outside-the-roots"
DIALECT_TOKEN = "dialects-only-0123456789"
OK_REFUSALS = range(400, 500)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans, a secret beside them, and whatever a client could be led out by."""
    folder = tmp_path_factory.mktemp("attacks")
    scans = folder / "scans"
    scans.mkdir()
    (folder / "secret.nii").write_bytes(SECRET)
    (scans / "out.nii").symlink_to(folder / "secret.nii")
    os.mkfifo(scans / "pipe.nii")
    array = np.zeros((20, 18, 16), dtype=np.float32)
    prosect.write(Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 2.0, 1.0])), "CT"), scans / "ct.nii.gz")
    (scans / "detached.nhdr").write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/passwd\n"
    )
    return folder


@pytest.fixture(scope="module")
def target(place: Path) -> Iterator[Server]:
    """A server that is attacked by all tests of this file in turn."""
    settings = Settings(
        work=place / "work", roots={"scans": place / "scans"}, token=TOKEN, dialect_token=DIALECT_TOKEN, port=0,
        output_root=place / "results", max_upload_bytes=32 << 20,
    )  # fmt: skip
    model: Any = BallModel()
    patience = deadlines.HEADERS_S, deadlines.SILENCE_S
    deadlines.HEADERS_S, deadlines.SILENCE_S = 2.0, 2.0
    with running(settings, Shelf(lambda _name, _weights: model, [Source("balls", "balls")])) as (actual, service):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{actual.port}", headers=headers, timeout=30) as client:
            yield Server(service, actual, client)
    deadlines.HEADERS_S, deadlines.SILENCE_S = patience


@pytest.fixture(autouse=True)
def unharmed(target: Server, place: Path) -> Iterator[None]:
    """After every attack: others are answered at once, memory is as before, and nothing was written outside."""
    before = {path: path.stat().st_mtime_ns for path in place.iterdir() if path.name not in ("work", "results")}
    memory = psutil.Process().memory_info().rss
    yield
    assert target.http.get("/healthz").json() == {"ok": True}
    after = {path: path.stat().st_mtime_ns for path in place.iterdir() if path.name not in ("work", "results")}
    assert before.keys() == after.keys()
    assert psutil.Process().memory_info().rss - memory < 200 << 20


def raw(server: Server, request: bytes, leave: bool = False) -> bytes:
    """What comes back for bytes as they are; empty where the server closes without a word."""
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=10) as connection:
        connection.sendall(request)
        if leave:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except OSError:
            pass
    return b"".join(parts)


def request(server: Server, line: str = f"GET {API}/files HTTP/1.1", *, host: str | None = None, **more: str) -> bytes:
    """A request that is right but for what is asked to be wrong."""
    name = f"127.0.0.1:{server.settings.port}" if host is None else host
    headers = {"Authorization": f"Bearer {TOKEN}", "Connection": "close"}
    headers |= {key.replace("_", "-"): value for key, value in more.items()}
    lines = [line, *([f"Host: {name}"] if name else []), *(f"{key}: {value}" for key, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 where the connection was closed instead."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


PATHS = {
    "21 up": "../secret.nii", "22 up, encoded": "..%2fsecret.nii", "23 up, twice": "%252e%252e/secret.nii",
    "24 absolute": "/etc/passwd", "25 zero byte": "ct.nii\0.gz", "26 backslash": "..\\secret.nii", "27 link": "out.nii",
    "29 pipe": "pipe.nii", "30 device": "/dev/zero", "31 process": "/proc/self/environ",
    "32 overlong": "..\udcc0\udcafsecret.nii", "33 long": "x" * 5000, "57 detached header": "detached.nhdr",
}  # fmt: skip


def nnia(shape: tuple[int, ...], dtype: bytes = b"uint8", chunks: int = 1, body: bytes = b"") -> bytes:
    """A packed array that says of itself what is not true."""
    dimensions = b"".join(struct.pack("<q", each) for each in shape)
    return b"NNIA\x01\x01" + bytes([len(shape), len(dtype)]) + dtype + dimensions + struct.pack("<I", chunks) + body


def bomb_nifti() -> bytes:
    """A file of 40 kB that unpacks to 40 MB of zeros, and says that it is a scan."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 4096, 4096, 4096, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 16, 32)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header) + bytes(40 << 20))


def zipped(**members: bytes) -> bytes:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "../"), content)
    return made.getvalue()


BODIES: dict[str, Callable[[], bytes]] = {
    "43 gzip bomb": bomb_nifti,
    "44 zip bomb": lambda: zipped(**{f"{number}.dcm": bytes(2 << 20) for number in range(40)}),
    "45 zip that climbs": lambda: zipped(__x=b"out", __etc__passwd=b"out"),
    "46 huge shape": lambda: nnia((1 << 13, 1 << 13, 1 << 14)),
    "47 negative shape": lambda: nnia((-1, 1 << 62, 1 << 62)),
    "48 many chunks": lambda: nnia((4, 4, 4), chunks=2**32 - 1),
    "49 frame that lies": lambda: nnia((4, 4, 4), body=struct.pack("<QQ", 64, 16) + b"\x05\x01\x07\x01" + b"\xff" * 12),
    "50 objects": lambda: nnia((4, 4, 4), b"object"),
    "51 more told than sent": lambda: zlib.compress(json.dumps({"dimensions": [1 << 20] * 3}).encode()),
}


def scans_of(server: Server) -> list[Any]:
    """What the server remembers of scans."""
    return list(server.service.library._index.scans.values())
