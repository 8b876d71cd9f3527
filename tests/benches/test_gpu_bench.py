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
    names = list(gpu.steps(argparse.Namespace(device="cuda", weights=None, tiny=False)))
    assert names[0].startswith("right")
    assert [name for name in names if name[0].isdigit()] == [" x ".join(map(str, shape)) for shape in gpu.SIZES]
    assert gpu.MINUTES <= 6


def tiny(folder: Path) -> argparse.Namespace:
    """Return what is typed to try the script on a processor."""
    return argparse.Namespace(device="cpu", weights=None, tiny=True, log=folder / "log.jsonl")


def test_every_step_runs_to_its_end_on_a_processor(tmp_path: Path) -> None:
    """What was never run on a GPU can at least not be broken: MONAI's step has a test of its own."""
    todo = {name: step for name, step in gpu.steps(tiny(tmp_path)).items() if not name.startswith("monai")}
    gpu.run(todo, tmp_path / "log.jsonl", 600)
    done = {}
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        done[entry["step"]] = entry
    assert list(done) == list(todo)
    assert not [entry for entry in done.values() if "failed" in entry]
    assert done["right float32"]["right"]
    assert done["clicks"]["later"] > 0
    assert done["sam-med3d"]["error"] < 0.1
    assert {"prepare", "network", "restore"} <= set(done["24 x 20 x 22"]["stages"])


def test_the_step_of_monai_runs_to_its_end_on_a_processor(tmp_path: Path) -> None:
    pytest.importorskip("monai", reason="the extra `official` is not installed")
    assert gpu.official(tiny(tmp_path))["seconds"] > 0


def test_a_compiled_engine_is_asked_for_on_a_gpu_alone(tmp_path: Path) -> None:
    args = tiny(tmp_path)
    assert not [name for name in gpu.steps(args) if "compiled" in name]
    args.device = "cuda"
    assert [name for name in gpu.steps(args) if "compiled" in name] == ["right compiled", "compiled 24 x 20 x 22"]


def test_the_scan_has_no_air(monkeypatch: pytest.MonkeyPatch) -> None:
    assert float(gpu.scan_of((20, 16, 12)).array.min()) > 0
