"""The Python client has the verbs of a session, and needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import prosect
from prosect.client import Client
from prosect.errors import ProsectError
from prosect.geometry import Grid
from worlds.serving import RADIUS_MM, TOKEN, Server, ball


def test_the_client_does_what_its_page_shows(server: Server, tmp_path: Path) -> None:
    with Client(f"{server.address}/#t={TOKEN}") as client:
        scan = client.open("scans", "ct.nii.gz")
        grid = Grid(tuple(scan.facts["shape"]), np.asarray(scan.facts["affine_ras"]))
        place = grid.to_world([[20.0, 18.0, 14.0]])[0]
        session = scan.session()
        change = session.click(place, structure="my lesion")
        assert (change.structure, change.added) == ("my lesion", int(ball(grid, place, RADIUS_MM).sum()))
        stored = prosect.read_labels(session.export(tmp_path / "lesion.nii.gz"))
        np.testing.assert_array_equal(stored.array > 0, ball(grid, place, RADIUS_MM))
        assert session.undo().removed == change.added
        assert session.redo().added == change.added
        session.lock("my lesion")
        with pytest.raises(ProsectError) as refused:
            session.click(place, positive=False, structure="my lesion")
        assert refused.value.code == "STRUCTURE_LOCKED"
        assert session.segment()["structures"][-1]["name"] == "liver"


def test_an_upload_is_a_scan_like_any_other(server: Server, scans: Path) -> None:
    with Client(server.address, TOKEN) as client:
        opened, sent = client.open("scans", "ct.nii.gz"), client.upload(scans / "ct.nii.gz")
        assert sent.facts["sha256"] == opened.facts["sha256"]
        assert sent.facts["scan_id"] != opened.facts["scan_id"]


def test_a_server_that_is_gone_is_said_to_be(server: Server) -> None:
    with pytest.raises(ProsectError) as lost:
        Client("http://127.0.0.1:1", TOKEN).capabilities()
    assert lost.value.code == "SERVER_LOST"


def test_the_client_loads_no_torch() -> None:
    code = "import sys, prosect.client; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
