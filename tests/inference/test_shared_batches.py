"""Windows of several scans share the calls of a network, and each sweep gets what it would get by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from prosect.inference.accumulate import sweep
from prosect.inference.shared_batches import SharedBatches
from prosect.inference.windows import plan_windows

LIMIT_S = 20.0


class Network:
    """Two features of a window, one of them of all its voxels; remembers how many windows each call had."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.before: Callable[[Tensor], None] = lambda windows: None

    def __call__(self, windows: Tensor) -> Tensor:
        self.calls.append(len(windows))
        self.before(windows)
        mean = windows.mean(dim=(2, 3, 4), keepdim=True)
        return torch.cat([windows * 2, windows + mean], dim=1)


def window(value: float, size: int = 2) -> Tensor:
    return torch.full((1, 1, size, size, size), value)


class Crew:
    """Threads that take part in shared batches, all of them before the first asks."""

    def __init__(self, network: Network, size: int) -> None:
        self.shared = SharedBatches(network, (2, 2, 2), size, lambda: None)
        self.errors: dict[int, BaseException] = {}
        self.found: dict[int, list[Tensor]] = {}

    def run(self, asked: Sequence[Sequence[Tensor]]) -> None:
        """Let thread n ask for the windows of `asked[n]`, one call after another."""
        gate = threading.Barrier(len(asked), timeout=LIMIT_S)

        def body(number: int) -> None:
            self.found[number] = []
            try:
                with self.shared.taking_part((2, 2, 2)):
                    gate.wait()
                    for windows in asked[number]:
                        self.found[number].append(self.shared(windows))
            except BaseException as error:
                self.errors[number] = error

        threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(len(asked))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "a sweep waits for ever"


def test_small_scans_fill_each_others_batches() -> None:
    network = Network()
    crew = Crew(network, 4)
    asked = [[window(10.0 * scan + step) for step in range(3)] for scan in range(4)]
    crew.run(asked)
    assert network.calls == [4, 4, 4], "twelve windows, one at a time, are twelve calls"
    assert crew.errors == {}
    for number, windows in enumerate(asked):
        for given, features in zip(windows, crew.found[number], strict=True):
            assert torch.equal(features, Network()(given))


def test_every_call_has_the_same_size_so_that_neighbours_decide_nothing() -> None:
    network = Network()
    crew = Crew(network, 4)
    crew.run([[window(1.0), window(2.0)], [window(3.0)]])
    assert set(network.calls) == {4}
    assert torch.equal(crew.found[0][1], Network()(window(2.0)))


def test_a_scan_of_many_windows_fills_its_batches_alone_and_the_rest_goes_with_others() -> None:
    network = Network()
    crew = Crew(network, 4)
    many = torch.cat([window(float(n)) for n in range(6)])
    crew.run([[many], [window(50.0)], [window(60.0)]])
    assert network.calls == [4, 4], "six and two: alone they would be four calls"
    assert torch.equal(crew.found[0][0], Network()(many))


def test_windows_of_another_shape_are_computed_as_without_sharing_and_nobody_waits_for_them() -> None:
    network = Network()
    shared = SharedBatches(network, (2, 2, 2), 4, lambda: None)
    odd = torch.cat([window(1.0, 3), window(2.0, 3)])
    with shared.taking_part((3, 3, 3)):
        assert torch.equal(shared(odd), Network()(odd))
        # Alone among those that share: whoever waited for the other would wait for ever.
        with shared.taking_part((2, 2, 2)):
            assert torch.equal(shared(window(5.0)), Network()(window(5.0)))
    assert network.calls == [2, 4]


def test_a_sweep_that_ends_keeps_nobody_waiting() -> None:
    network = Network()
    crew = Crew(network, 4)
    crew.run([[], [], [window(1.0), window(2.0)]])
    assert len(crew.found[2]) == 2


def test_where_memory_does_not_suffice_batches_get_smaller_for_good() -> None:
    network = Network()

    def fit_two(windows: Tensor) -> None:
        if len(windows) > 2:
            raise torch.OutOfMemoryError("too many")

    network.before = fit_two
    crew = Crew(network, 8)
    crew.run([[window(float(scan)), window(scan + 9.0)] for scan in range(8)])
    assert crew.errors == {}
    assert network.calls[:2] == [8, 4]
    assert set(network.calls[2:]) == {2}
    assert crew.shared.size == 2
    assert torch.equal(crew.found[5][1], Network()(window(14.0)))


def test_memory_that_does_not_suffice_for_one_is_said_to_its_sweep() -> None:
    network = Network()

    def refuse(windows: Tensor) -> None:
        raise torch.OutOfMemoryError("none")

    network.before = refuse
    crew = Crew(network, 2)
    crew.run([[window(1.0)], [window(2.0)]])
    assert {type(error) for error in crew.errors.values()} == {torch.OutOfMemoryError}
    assert sorted(crew.errors) == [0, 1]


def test_an_error_is_that_of_the_window_that_causes_it() -> None:
    network = Network()

    def refuse(windows: Tensor) -> None:
        if bool((windows == 13.0).any()):
            raise RuntimeError("a bad window")

    network.before = refuse
    crew = Crew(network, 4)
    crew.run([[window(1.0)], [window(13.0)], [window(2.0)], [window(3.0)]])
    assert sorted(crew.errors) == [1]
    assert str(crew.errors[1]) == "a bad window"
    assert torch.equal(crew.found[3][0], Network()(window(3.0)))


def test_an_interrupt_of_who_computes_leaves_the_others_their_windows() -> None:
    network = Network()
    interrupted: list[int] = []

    def interrupt_once(windows: Tensor) -> None:
        if not interrupted:
            interrupted.append(threading.get_ident())
            raise KeyboardInterrupt

    network.before = interrupt_once
    crew = Crew(network, 3)
    crew.run([[window(1.0)], [window(2.0)], [window(3.0)]])
    assert [type(error) for error in crew.errors.values()] == [KeyboardInterrupt]
    alive = sorted({0, 1, 2} - set(crew.errors))
    for number in alive:
        assert torch.equal(crew.found[number][0], Network()(window(number + 1.0)))


def test_memory_is_given_back_only_between_batches() -> None:
    inside, order = threading.Event(), []
    network = Network()

    def wait(windows: Tensor) -> None:
        inside.set()
        threading.Event().wait(0.02)
        order.append("computed")

    network.before = wait
    shared = SharedBatches(network, (2, 2, 2), 1, lambda: order.append("released"))
    thread = threading.Thread(target=shared, args=(window(1.0),))
    thread.start()
    assert inside.wait(LIMIT_S)
    shared.release()
    thread.join(LIMIT_S)
    assert order == ["computed", "released"]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_sweeps_of_scans_of_all_sizes_equal_those_by_themselves(size: int) -> None:
    """Some fill a batch alone, some have a window or two, some show air that is not computed at all."""
    shapes = [(5, 4, 4), (4, 4, 4), (9, 7, 4), (11, 5, 6), (4, 13, 4)]
    images = [torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(n)) for n, shape in enumerate(shapes)]
    images[3][:, :, :6] = 0
    network = Network()
    shared = SharedBatches(network, (4, 4, 4), size, lambda: None)
    found: dict[int, list[Tensor]] = {}

    def blend(number: int, features: Callable[[Tensor], Tensor], batch: int) -> list[Tensor]:
        plan = plan_windows(shapes[number], (4, 4, 4), 0.25)
        return [slab.features.clone() for slab in sweep(images[number], plan, features, 2, batch=batch)]

    def body(number: int) -> None:
        with shared.taking_part((4, 4, 4)):
            found[number] = blend(number, shared, size)

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(len(shapes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    for number in range(len(shapes)):
        expected = blend(number, Network(), 1)
        assert len(found[number]) == len(expected)
        assert all(torch.equal(a, b) for a, b in zip(found[number], expected, strict=True))
