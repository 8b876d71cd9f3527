"""How much memory a run needs, what is tried when it runs out, and what is said then."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect.errors import ResourceError
from prosect.inference import memory
from prosect.inference.accumulate import PLANES
from prosect.inference.memory import (
    GIB,
    LIBRARIES,
    MemoryPlan,
    attempts,
    available_bytes,
    plan_memory,
    refuse_exhaustion,
    refuse_exhaustion_of_click,
)
from prosect.inference.windows import plan_windows

CPU, GPU = torch.device("cpu"), torch.device("cuda")
shapes = st.tuples(*[st.integers(1, 200)] * 3)


def plan_of(
    native: tuple[int, int, int] = (100, 90, 80), prepared: tuple[int, int, int] = (70, 60, 64), layers: int = 1
) -> MemoryPlan:
    """Return the plan of a run of windows of 32 voxels with eight channels."""
    windows = plan_windows(prepared, (32, 32, 32), 0.25)
    return plan_memory(native, windows, 8, 4.0, layers, 2, preparing=5 * math.prod(native))


def test_parts_are_the_arrays_that_are_alive() -> None:
    found = plan_of().parts
    assert found["scan"] == 100 * 90 * 80 * 4
    assert found["labels"] == 100 * 90 * 80 * 2
    assert found["prepared"] == 70 * 60 * 64 * 4
    assert found["window"] == 32**3 * 8 * 4 * 4
    # The ring along the longest axis: its depth times channels and weight, and the few planes handed out.
    assert found["slab"] == (32 * 9 + (PLANES + 1) * 16) * 60 * 64 * 4
    assert found["libraries"] == LIBRARIES


def test_a_scan_that_is_padded_is_held_twice() -> None:
    padded = plan_of(prepared=(70, 60, 20))
    assert padded.parts["prepared"] == 2 * 70 * 60 * 32 * 4


@given(shapes, shapes, st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_the_peak_is_the_larger_of_both_phases(
    native: tuple[int, int, int], prepared: tuple[int, int, int], layers: int
) -> None:
    plan = plan_of(native, prepared, layers)
    p = plan.parts
    preparing = p["scan"] + max(p["preparing"], p["prepared"])
    sweeping = sum(p[name] for name in ("scan", "prepared", "slab", "window", "labels"))
    assert plan.peak == max(preparing, sweeping) + p["libraries"]
    assert all(size >= 0 for size in p.values())


@pytest.mark.parametrize("layers", [1, 3, 117])
def test_every_layer_costs_a_label_array(layers: int) -> None:
    assert plan_of(layers=layers).parts["labels"] == layers * plan_of().parts["labels"]


def test_weights_that_an_engine_has_for_itself_are_alive_while_windows_are_swept() -> None:
    windows = plan_windows((96, 96, 96), (32, 32, 32), 0.25)
    without = plan_memory((96,) * 3, windows, 8, 4.0, 1, 1, 0)
    with_them = plan_memory((96,) * 3, windows, 8, 4.0, 1, 1, 0, 10**9)
    assert "engine" not in without.parts, "other engines read the weights of the model"
    assert with_them.peak == without.peak + 10**9
    assert "engine" in str(with_them)


def test_more_channels_and_larger_windows_never_cost_less() -> None:
    windows = plan_windows((96, 96, 96), (32, 32, 32), 0.25)
    peaks = [plan_memory((96,) * 3, windows, channels, 4.0, 1, 1, 0).peak for channels in (4, 8, 48)]
    assert peaks == sorted(peaks)
    wider = plan_windows((96, 96, 96), (64, 64, 64), 0.25)
    assert plan_memory((96,) * 3, wider, 8, 4.0, 1, 1, 0).peak > plan_memory((96,) * 3, windows, 8, 4.0, 1, 1, 0).peak


def test_a_plan_says_shapes_windows_and_each_part() -> None:
    plan = plan_of()
    text = str(plan)
    assert text.splitlines()[0] == f"scan 100 x 90 x 80, network grid 70 x 60 x 64, {plan.windows} windows"
    for name, size in plan.parts.items():
        assert f"{name:<12}{size / GIB:8.3f} GiB" in text
    assert text.endswith(f"{plan.peak / GIB:8.3f} GiB above the loaded model")


def test_a_run_that_fits_by_a_byte_goes_and_one_that_lacks_it_is_refused_with_both_numbers() -> None:
    plan = plan_of()
    plan.require(plan.peak)
    with pytest.raises(ResourceError) as refused:
        plan.require(plan.peak - 1)
    assert refused.value.code == "MEMORY_INSUFFICIENT"
    assert f"needs {plan.peak / GIB:.2f} GiB" in str(refused.value)
    assert "Crop the scan" in str(refused.value)


@pytest.mark.parametrize(
    ("first", "device", "expected"),
    [
        (1, CPU, [(1, CPU)]),
        (4, CPU, [(4, CPU), (2, CPU), (1, CPU)]),
        (5, CPU, [(5, CPU), (2, CPU), (1, CPU)]),
        (1, GPU, [(1, GPU), (1, CPU)]),
        (4, GPU, [(4, GPU), (2, GPU), (1, GPU), (1, CPU)]),
    ],
)
def test_less_is_tried_in_halves_and_blending_moves_off_a_gpu_last(
    first: int, device: torch.device, expected: list[tuple[int, torch.device]]
) -> None:
    assert attempts(first, device) == expected


EXHAUSTED = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize("guard", [refuse_exhaustion, refuse_exhaustion_of_click])
@pytest.mark.parametrize("error", [MemoryError("numpy"), EXHAUSTED])
def test_memory_that_runs_out_is_one_typed_error_whoever_noticed(guard, error: Exception) -> None:
    with pytest.raises(ResourceError) as refused, guard():
        raise error
    assert refused.value.code == "MEMORY_EXHAUSTED"
    assert refused.value.__cause__ is error
    assert "--dry-run" in str(refused.value)


@pytest.mark.parametrize("guard", [refuse_exhaustion, refuse_exhaustion_of_click])
def test_another_failure_keeps_its_own_name(guard) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), guard():
        raise RuntimeError("shapes differ")
    with pytest.raises(ValueError, match="no"), guard():
        raise ValueError("no")


def test_a_gpu_that_is_full_is_told_over_a_click_and_left_to_a_sweep() -> None:
    full = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(ResourceError) as refused, refuse_exhaustion_of_click():
        raise full
    assert refused.value.code == "GPU_MEMORY"
    assert "nothing has changed" in str(refused.value)
    with pytest.raises(torch.OutOfMemoryError), refuse_exhaustion():
        raise full


def test_a_block_that_ends_well_gives_its_value() -> None:
    with refuse_exhaustion_of_click():
        value = 3
    assert value == 3


class Machine:
    """A machine with so much memory, and a process with so large a limit."""

    RLIMIT_AS, RLIM_INFINITY = 9, 2**63 - 1

    def __init__(self, available: int, limit: int | None, used: int = 0) -> None:
        self.available, self.limit, self.vms = available, limit, used

    def virtual_memory(self) -> Machine:
        return self

    def Process(self) -> Machine:  # noqa: N802
        return self

    def rlimit(self, _which: int) -> tuple[int, int]:
        limit = self.RLIM_INFINITY if self.limit is None else self.limit
        return limit, limit

    def memory_info(self) -> Machine:
        return self


class File:
    """A file of a container's limits."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def exists(self) -> bool:
        return self.text is not None

    def read_text(self) -> str:
        assert self.text is not None
        return self.text


@pytest.mark.parametrize(
    ("available", "limit", "current", "ulimit", "used", "expected"),
    [
        (1000 * GIB, None, None, None, 0, 1000 * GIB),
        (1000 * GIB, "max\n", "5", None, 0, 1000 * GIB),
        (1000 * GIB, str(8 * GIB), str(3 * GIB), None, 0, 5 * GIB),
        (2 * GIB, str(8 * GIB), str(3 * GIB), None, 0, 2 * GIB),
        (1000 * GIB, None, None, 10 * GIB, 4 * GIB, 6 * GIB - memory.ADDRESSES),
        (1000 * GIB, None, None, 4 * GIB, 4 * GIB, 0),
        (1000 * GIB, str(8 * GIB), str(7 * GIB), 10 * GIB, 4 * GIB, 1 * GIB),
    ],
)
def test_free_memory_is_the_least_of_machine_container_and_limit(
    monkeypatch: pytest.MonkeyPatch,
    available: int,
    limit: str | None,
    current: str | None,
    ulimit: int | None,
    used: int,
    expected: int,
) -> None:
    monkeypatch.setattr(memory, "psutil", Machine(available, ulimit, used))
    files = {"memory.max": File(limit), "memory.current": File(current)}
    monkeypatch.setattr(memory, "Path", lambda name: files[name.rsplit("/", 1)[1]])
    assert available_bytes() == expected


def test_a_system_without_such_limits_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def virtual_memory(self) -> Machine:
            return Machine(7 * GIB, None)

    monkeypatch.setattr(memory, "psutil", Plain())
    monkeypatch.setattr(memory, "Path", lambda _name: File(None))
    assert available_bytes() == 7 * GIB
