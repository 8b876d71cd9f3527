"""Answers shrink on their way to another machine, and are the same there."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from prosect.server import travelling
from prosect.server.travelling import packed, travels
from worlds.serving import Server

API = "/api/v1"


@pytest.mark.parametrize(
    ("client", "encodings", "packs"),
    [
        (("127.0.0.1", 1), b"gzip", False),
        (("::1", 1), b"gzip", False),
        (("10.0.0.7", 1), b"gzip, br", True),
        (("10.0.0.7", 1), b"identity", False),
        (None, b"gzip", True),
    ],
)
def test_only_what_travels_to_a_client_that_unpacks_is_packed(
    client: tuple[str, int] | None, encodings: bytes, packs: bool
) -> None:
    assert travels({"type": "http", "client": client, "headers": [(b"accept-encoding", encodings)]}) is packs


def test_packed_chunks_are_one_gzip_file() -> None:
    chunks = [bytes([number]) * 1000 for number in range(5)]
    assert gzip.decompress(b"".join(packed(chunks))) == b"".join(chunks)


def test_a_picture_and_a_delta_are_the_same_far_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, session = server.begin()
    body = {"structure": "a", "kind": "paint", "path": [[0, 10, 20]], "radius_mm": 9}
    server.http.post(f"{API}/sessions/{session['session_id']}/strokes", json=body).raise_for_status()
    for path in (f"{API}/scans/{scan['scan_id']}/view.nii", f"{API}/sessions/{session['session_id']}/labels"):
        near = server.http.get(path)
        with monkeypatch.context() as patch:
            patch.setattr(travelling, "NEAR", ())
            far = server.http.get(path)
        assert "content-encoding" not in near.headers
        assert far.headers["content-encoding"] == "gzip"
        assert far.content == near.content
        assert far.num_bytes_downloaded < near.num_bytes_downloaded


def test_what_is_small_travels_as_it_is(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travelling, "NEAR", ())
    _, session = server.begin()
    answer = server.http.get(f"{API}/sessions/{session['session_id']}/labels?box=0,0,0,2,2,2")
    assert "content-encoding" not in answer.headers
    assert np.frombuffer(answer.content[:4], dtype="S4")[0] == b"PDL1"
