"""Slices of the campaigns against the server."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ask_server
import kill_server
import load_server


def test_a_killed_server_has_every_action_that_it_acknowledged(tmp_path: Path) -> None:
    counts = kill_server.campaign(tmp_path, 1, np.random.default_rng(3))
    assert (counts["lost"], counts["wrong"], counts["kills"]) == (0, 0, 1)


def test_generated_requests_are_answered_and_never_by_a_bug(tmp_path: Path) -> None:
    counts = ask_server.campaign(tmp_path, 150, 1)
    assert counts["requests"] >= 100
    assert (counts["bugs"], counts["undocumented"]) == (0, 0)


def test_many_sessions_at_once_are_neither_lost_nor_mixed_up(tmp_path: Path) -> None:
    figures = load_server.campaign(tmp_path, sessions=5, actions=2, wait_s=0.01, settle_s=0.0)
    assert figures["memory_mib"] > 20  # of a process that holds Python and numpy
    assert 0 <= figures["growth"] < 5
    assert (figures["lost"], figures["crossed"]) == (0, 0)
    assert figures["actions"] == 10
