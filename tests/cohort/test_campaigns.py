"""A slice of the kill campaigns; the full figures take minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGNS = Path(__file__).resolve().parents[2] / "campaigns"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks and sends POSIX signals")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kill_command.py", "--count", "6"], "6 kills"),
        (["kill_cohort.py", "--cases", "6", "--kills", "4"], "0 lost, 0 finished cases repeated"),
    ],
)
def test_no_kill_leaves_a_partial_file_or_loses_a_finished_case(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, CAMPAIGNS / words[0], *words[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert said in done.stdout
    assert ": 0 partial" in done.stdout
