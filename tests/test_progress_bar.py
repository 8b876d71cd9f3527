"""A bar with a total, where somebody looks."""

from __future__ import annotations

import io

from prosect.progress_bar import bar


class Terminal(io.StringIO):
    """Text that says somebody looks."""

    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    """Text as a notebook's kernel takes it."""


Notebook.__module__ = "ipykernel.iostream"


def test_nobody_looks_at_a_file() -> None:
    assert bar("segmenting", io.StringIO()) is None


def test_terminals_and_notebooks_see_steps_total_and_time_left() -> None:
    for stream in (Terminal(), Notebook()):
        times = iter([0.0, 30.0, 120.0])
        step = bar("segmenting", stream, lambda times=times: next(times))
        assert step is not None
        step(1, 4)
        assert "segmenting [######" in stream.getvalue()
        assert "1/4, 1:30 left" in stream.getvalue()
        step(4, 4)
        assert "4/4, 0:00 left" in stream.getvalue()
        assert stream.getvalue().count("\n") == 1, "one line, ended by the last step"
