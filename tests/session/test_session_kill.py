"""A process that is killed while somebody clicks loses nothing that was answered."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from prosect.session import Session, read_record
from session.test_session import SHAPE, Model, scan, state

TESTS = Path(__file__).resolve().parents[1]
CLICKING = """
import sys
sys.path.insert(0, sys.argv[1])
from session.test_session import Model, scan
from session.test_session_kill import clicks
from prosect.session import Session
session = Session(scan(), Model(), journal=sys.argv[2])
for number, (place, positive) in enumerate(clicks()):
    session.click(place, positive, "lesion", space="voxel")
    print(number, flush=True)
"""


def clicks() -> list[tuple[list[float], bool]]:
    """Return many clicks, the first positive."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, np.array(SHAPE) - 1, (400, 3)).tolist()
    return [(place, n == 0 or bool(rng.random() < 0.7)) for n, place in enumerate(places)]


@pytest.mark.parametrize("answered", [1, 4, 9])
def test_a_killed_process_resumes_to_the_same_mask(tmp_path: Path, answered: int) -> None:
    journal = tmp_path / "journal"
    words = [sys.executable, "-c", CLICKING, str(TESTS), str(journal)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(answered):
            process.stdout.readline()
        time.sleep(0.013 * answered)  # somewhere within a later click
        process.kill()
    record = read_record(journal)
    done = len(record.entries)
    assert done >= answered
    resumed = Session(scan(), Model()).replay(record, journal=journal)
    expected = Session(scan(), Model())
    for place, positive in clicks()[:done]:
        expected.click(place, positive, "lesion", space="voxel")
    assert state(resumed) == state(expected)
    place, positive = clicks()[done]
    for each in (resumed, expected):
        each.click(place, positive, "lesion", space="voxel")
    assert state(resumed) == state(expected)
