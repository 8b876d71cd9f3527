"""A step that takes too long ends the worker, and says which case it was."""

from __future__ import annotations

import threading

from prosect.cohort.watchdog import LEAST_LIMIT_S, OVERDUE_STATUS, Watchdog, stacks_of_threads


class Scene:
    """A watchdog with a clock that is set by hand."""

    def __init__(self, limit_s: float | None) -> None:
        self.now_s = 0.0
        self.told: list[tuple[str, float]] = []
        self.left: list[int] = []
        self.dog = Watchdog(limit_s, lambda case, s: self.told.append((case, s)), lambda: self.now_s, self.left.append)


def test_only_a_step_beyond_the_limit_is_told_and_ends_the_process() -> None:
    scene = Scene(60.0)
    with scene.dog.step("slow"):
        scene.now_s = 50.0
        with scene.dog.step("quick"):
            scene.dog.look()
            assert scene.told == []
            scene.now_s = 61.0
            scene.dog.look()
    assert scene.told == [("slow", 61.0)]
    assert scene.left == [OVERDUE_STATUS]


def test_a_step_that_has_ended_is_forgotten_even_by_an_error() -> None:
    scene = Scene(60.0)
    try:
        with scene.dog.step("failing"):
            raise ValueError
    except ValueError:
        pass
    scene.now_s = 1000.0
    scene.dog.look()
    assert scene.left == []


def test_without_a_limit_slow_cases_raise_it_for_those_that_follow() -> None:
    scene = Scene(None)
    assert scene.dog.limit_s == LEAST_LIMIT_S
    with scene.dog.step("large"):
        scene.now_s = LEAST_LIMIT_S / 2
    assert scene.dog.limit_s == 5 * LEAST_LIMIT_S


def test_it_looks_by_itself_until_the_block_ends() -> None:
    left = threading.Event()
    dog = Watchdog(0.0, lambda case, s: None, leave=lambda status: left.set())
    with dog.step("case"), dog.watching(0.001):
        assert left.wait(5)


def test_stacks_name_each_thread_and_its_line() -> None:
    begun, end = threading.Event(), threading.Event()

    def hang_here() -> None:
        begun.set()
        end.wait()

    thread = threading.Thread(target=hang_here, name="the-one-that-hangs")
    thread.start()
    begun.wait()
    said = stacks_of_threads()
    end.set()
    thread.join()
    assert "the-one-that-hangs" in said
    assert "hang_here" in said
