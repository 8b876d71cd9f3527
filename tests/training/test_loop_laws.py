"""What a step does, by its formula, with a network of one weight; and the clock is the one that was handed in."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prosect.training.loop import TrainingLoop
from prosect.training.loop_settings import LoopSettings, Surroundings
from prosect.training.parallel import Ranks


def weight(value: float = 1.0) -> nn.Linear:
    """Return a network of one weight."""
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def line(
    folder: Path,
    objective: Callable[[nn.Linear, np.random.Generator], Tensor],
    around: Surroundings | None = None,
    **settings: Any,
) -> TrainingLoop:
    """Return a loop over one weight."""
    network, generator = weight(), np.random.default_rng(0)
    usual: dict[str, Any] = {"steps": 4, "warmup_steps": 0, "schedule": "constant", "weight_decay": 0.0}
    chosen = LoopSettings(**{**usual, **settings})
    return TrainingLoop(network, lambda: objective(network, generator), generator, chosen, folder, around=around)


def falling(network: nn.Linear, _: np.random.Generator) -> Tensor:
    """Return a loss that pulls the weight to zero."""
    return network.weight.square().sum()


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a log."""
    return [json.loads(text) for text in (folder / "log.jsonl").read_text().splitlines()]


def test_seconds_per_step_are_those_of_the_clock_that_was_handed_in(tmp_path: Path) -> None:
    ticks: Iterator[float] = itertools.count(0.0, 50.0)
    line(tmp_path, falling, Surroundings(clock=lambda: next(ticks)), steps=50).run()
    told = [row["seconds"] for row in rows(tmp_path) if "loss" in row]
    assert told == [2.0, 2.0], "25 steps in 50 seconds, twice"
    assert [row["busy"] for row in rows(tmp_path)] == [1.0, 1.0], "nothing was waited for"


def test_a_run_stops_once_the_time_is_over_and_goes_on_from_there(tmp_path: Path) -> None:
    times: Iterator[float] = itertools.count(100.0)
    run = line(tmp_path, falling, Surroundings(now=lambda: next(times)), steps=9)
    run.run(stop_at=103.0)
    assert (run.step, run.finished) == (3, False), "asked before each step: 100, 101, 102, and 103 is too late"
    again = line(tmp_path, falling, steps=9)
    assert again.resume()
    again.run()
    assert (again.step, again.finished) == (9, True)


def test_a_run_without_a_limit_never_asks_for_the_time(tmp_path: Path) -> None:
    def refuse() -> float:
        raise AssertionError("nobody needs the time")

    line(tmp_path, falling, Surroundings(now=refuse)).run()


def test_the_weights_that_are_kept_are_a_running_average_that_begins_fast(tmp_path: Path) -> None:
    run = line(tmp_path, falling, steps=1, learning_rate=0.1, ema=0.9)
    expected = float(run.average["weight"])
    for steps in range(1, 31):
        before = run.step
        run.settings = LoopSettings(steps=steps, warmup_steps=0, schedule="constant", weight_decay=0.0,
                                    learning_rate=0.1, ema=0.9)  # fmt: skip
        run.run(save_every=1000)
        # The share of what was before grows from 1/10 to `ema`, so that the first weights are soon forgotten.
        kept = min(0.9, (1 + before) / (10 + before))
        now = float(run.network.state_dict()["weight"])
        expected = kept * expected + (1 - kept) * now
        assert float(run.average["weight"]) == pytest.approx(expected, rel=1e-5)


def test_patches_of_a_step_add_up_to_their_mean(tmp_path: Path) -> None:
    slopes: list[float] = []

    def drawn(network: nn.Linear, generator: np.random.Generator) -> Tensor:
        slope = generator.normal()
        slopes.append(slope)
        return network.weight.sum() * slope

    run = line(tmp_path, drawn, steps=1, patches_per_step=4, max_gradient_norm=1e9)
    before = run.network.state_dict()["weight"].clone()
    run.run()
    assert len(set(slopes)) == 4, "each patch has a stream of its own"
    # The first step of AdamW goes against the sign of the gradient, by the learning rate.
    moved = float(run.network.state_dict()["weight"] - before)
    assert moved == pytest.approx(-run.settings.learning_rate * math.copysign(1, np.mean(slopes)), rel=1e-4)


def test_a_share_of_the_rate_slows_its_group_alone(tmp_path: Path) -> None:
    fast, slow, still = weight(), weight(), weight()
    network = nn.ModuleList([fast, slow, still])
    generator = np.random.default_rng(0)

    def objective() -> Tensor:
        return sum((part.weight.sum() for part in (fast, slow)), torch.zeros(()))

    groups = [(list(fast.parameters()), 1.0), (list(slow.parameters()), 0.25)]
    chosen = LoopSettings(steps=1, learning_rate=0.01, warmup_steps=0, weight_decay=0.0)
    TrainingLoop(network, objective, generator, chosen, tmp_path, groups).run()
    moved = [1 - float(part.weight.detach()) for part in (fast, slow, still)]
    assert moved == pytest.approx([0.01, 0.0025, 0.0], abs=1e-6)


def test_a_large_gradient_is_scaled_down_and_a_small_one_is_not(tmp_path: Path) -> None:
    norms: list[float] = []

    def steep(network: nn.Linear, _: np.random.Generator) -> Tensor:
        return 1000 * network.weight.sum()

    run = line(tmp_path / "steep", steep, steps=1, max_gradient_norm=2.0)
    run.run()
    norms.append(float(run.trained[0].grad.norm()))  # type: ignore[union-attr]
    gentle = line(tmp_path / "gentle", falling, steps=1, max_gradient_norm=20.0)
    gentle.run()
    norms.append(float(gentle.trained[0].grad.norm()))  # type: ignore[union-attr]
    assert norms == pytest.approx([2.0, 2.0], rel=1e-5), "1000 becomes 2, and 2 stays 2"


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_rate_rises_evenly_and_then_keeps_to_its_schedule(tmp_path: Path, schedule: str) -> None:
    run = line(tmp_path, falling, steps=14, warmup_steps=4, learning_rate=0.8, schedule=schedule)
    rates = []
    for step in range(15):
        run.step = step
        rates.append(run.rate())
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    if schedule == "constant":
        assert rates[4:] == [0.8] * 11
    else:
        expected = [0.4 * (1 + math.cos(math.pi * done / 10)) for done in range(11)]
        assert rates[4:] == pytest.approx(expected)


def test_every_watcher_is_told_every_row_by_the_first_process_only(tmp_path: Path) -> None:
    for rank, expected in ((0, [25, 50]), (1, [])):
        told: list[int] = []
        also: list[int] = []
        around = Surroundings(
            watchers=[lambda row, told=told: told.append(row["step"]), lambda row, also=also: also.append(row["step"])],
            ranks=Ranks(rank),
        )
        line(tmp_path / str(rank), falling, around, steps=50).run()
        assert told == also == expected
        assert (tmp_path / str(rank) / "state.pt").exists() == (rank == 0)
