"""One thread for all model work: clicks first, fair between sessions, cancelled between two windows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from prosect.errors import CancelledError, ResourceError
from prosect.progress import Watch
from prosect.server.device import Device, Job, result_in_time

WAIT_S = 20


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device(capacity=6)
    yield made
    made.stop()


class Gate:
    """Work that waits at its first window until it is let on."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, watch: Watch) -> str:
        watch(0, 2)
        self.reached.set()
        assert self.open.wait(WAIT_S)
        watch(1, 2)
        return "through"


def note(order: list[str], name: str) -> Callable[[Watch], None]:
    """Work that says when it was done."""
    return lambda _watch: order.append(name)


def test_work_returns_its_result_and_its_error_is_raised_where_it_is_awaited(device: Device) -> None:
    assert device.submit("a", lambda _watch: 42).result(WAIT_S) == 42

    def fail(_watch: Watch) -> None:
        raise ZeroDivisionError("here")

    job = device.submit("a", fail)
    with pytest.raises(ZeroDivisionError, match="here"):
        job.result(WAIT_S)
    assert job.state == "failed"


def test_a_click_is_answered_while_a_draft_pauses_between_two_windows(device: Device) -> None:
    gate, order = Gate(), list[str]()
    draft = device.submit("a", lambda watch: (gate(watch), order.append("draft")), kind="draft", urgent=False)
    assert gate.reached.wait(WAIT_S)
    click = device.submit("b", note(order, "click"))
    gate.open.set()
    click.result(WAIT_S)
    draft.result(WAIT_S)
    assert order == ["click", "draft"]


def test_clicks_go_before_drafts_that_wait(device: Device) -> None:
    gate, order = Gate(), list[str]()
    blocker = device.submit("x", gate)
    assert gate.reached.wait(WAIT_S)
    jobs = [
        device.submit("a", note(order, "draft"), kind="draft", urgent=False),
        device.submit("b", note(order, "click")),
    ]
    gate.open.set()
    for job in (blocker, *jobs):
        job.result(WAIT_S)
    assert order == ["click", "draft"]


def test_sessions_take_turns(device: Device) -> None:
    gate, order = Gate(), list[str]()
    device.submit("x", gate)
    assert gate.reached.wait(WAIT_S)
    jobs = [device.submit(owner, note(order, owner + str(n))) for owner in "ab" for n in range(3)]
    gate.open.set()
    for job in jobs:
        job.result(WAIT_S)
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_running_draft_stops_before_its_next_window(device: Device) -> None:
    gate = Gate()
    draft = device.submit("a", gate, kind="draft", urgent=False)
    assert gate.reached.wait(WAIT_S)
    draft.cancel()
    gate.open.set()
    with pytest.raises(CancelledError):
        draft.result(WAIT_S)
    assert draft.state == "cancelled"
    assert device.submit("a", lambda _watch: "still at work").result(WAIT_S) == "still at work"


def test_what_waits_and_is_cancelled_never_begins(device: Device) -> None:
    gate, order = Gate(), list[str]()
    device.submit("x", gate)
    assert gate.reached.wait(WAIT_S)
    job = device.submit("a", note(order, "begun"))
    job.cancel()
    gate.open.set()
    with pytest.raises(CancelledError):
        job.result(WAIT_S)
    assert order == []


def test_a_full_queue_refuses_and_keeps_what_it_has(device: Device) -> None:
    gate = Gate()
    device.submit("x", gate)
    assert gate.reached.wait(WAIT_S)
    jobs = [device.submit("a", lambda _watch: 1) for _ in range(6)]
    with pytest.raises(ResourceError) as refused:
        device.submit("b", lambda _watch: 1)
    assert refused.value.code == "QUEUE_FULL"
    gate.open.set()
    assert [job.result(WAIT_S) for job in jobs] == [1] * 6


def test_listeners_hear_each_step_and_the_end(device: Device) -> None:
    heard: list[tuple[str, int, int]] = []

    def listen(job: Job[object]) -> None:
        heard.append((job.state, job.done, job.total))

    def work(watch: Watch) -> None:
        watch(1, 2)
        watch(2, 2)

    device.submit("a", work, listen=listen).result(WAIT_S)
    assert heard == [("running", 0, 0), ("running", 1, 2), ("running", 2, 2), ("done", 2, 2)]


def test_a_stopped_device_refuses_work_and_ends_what_runs() -> None:
    device, gate = Device(), Gate()
    job = device.submit("a", gate, kind="draft", urgent=False)
    assert gate.reached.wait(WAIT_S)
    gate.open.set()
    device.stop()
    assert job.ended
    with pytest.raises(ResourceError) as refused:
        device.submit("a", lambda _watch: 1)
    assert refused.value.code == "SERVER_STOPPING"


def test_work_that_takes_too_long_is_stopped_and_says_so(device: Device) -> None:
    gate = Gate()

    def work(watch: Watch) -> None:
        gate(watch)
        watch(1, 2)  # between two passes, where it is asked whether to go on

    job = device.submit("a", work)
    assert gate.reached.wait(WAIT_S)
    threading.Timer(0.2, gate.open.set).start()
    with pytest.raises(ResourceError, match="nothing has changed") as refused:
        result_in_time(job, 0.05)
    assert refused.value.code == "MODEL_SLOW"
    assert result_in_time(device.submit("a", lambda _watch: 3), WAIT_S) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is what is tried
def test_a_device_whose_thread_has_died_refuses_instead_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_job: Job[int]) -> None:
        raise ZeroDivisionError

    device = Device()
    # As a bug of ours would: whatever a job itself raises is caught.
    monkeypatch.setattr(device, "_run", die)
    device.submit("somebody", lambda _watch: 1)
    device._thread.join(WAIT_S)
    assert not device.is_alive
    with pytest.raises(ResourceError, match="model's thread has ended"):
        device.submit("somebody", lambda _watch: 1)
