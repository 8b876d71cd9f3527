"""The GPU script resumes, ends in time and says what it did not reach; no GPU is needed to know that."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

import gpu


class Clock:
    """A clock that each step moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_reached_is_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    clock, ran = Clock(), []

    def step(name: str) -> gpu.Step:
        def work() -> dict[str, object]:
            ran.append(name)
            clock.now += 40
            return {"seconds": 40}

        return work

    todo = {name: step(name) for name in ("a", "b", "c")}
    log = tmp_path / "log.jsonl"
    first = gpu.run(todo, log, 60, clock)
    assert ran == ["a", "b"]
    assert first[2] == "c: not reached; run it again"
    second = gpu.run(todo, log, 60, clock)
    assert ran == ["a", "b", "c"]
    assert all("40" in line for line in second)


def test_a_step_that_fails_says_why_and_stops_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, object]:
        raise ValueError("no such kernel")

    lines = gpu.run({"bad": fail, "good": lambda: {"seconds": 1}}, tmp_path / "log", 60)
    assert "no such kernel" in lines[0]
    assert json.loads(lines[1].split(": ", 1)[1])["seconds"] == 1


def test_right_comes_before_fast_and_every_size_of_the_paper_is_there() -> None:
    names = list(gpu.steps(argparse.Namespace(device="cuda", weights=None)))
    assert names[0].startswith("right")
    assert [name for name in names if name[0].isdigit()] == [" x ".join(map(str, shape)) for shape in gpu.SIZES]
    assert gpu.MINUTES <= 6


def test_the_scan_has_no_air(monkeypatch: pytest.MonkeyPatch) -> None:
    assert float(gpu.scan_of((20, 16, 12)).array.min()) > 0
