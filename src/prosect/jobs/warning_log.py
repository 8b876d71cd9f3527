"""Warnings that are shown and kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from prosect.errors import ProsectWarning

__all__ = ["keep_warnings"]


@contextmanager
def keep_warnings(show: bool) -> Iterator[list[str]]:
    """Yield a list that gathers our own warnings; they are passed on where `show`, and only kept otherwise."""
    kept: list[str] = []
    pass_on = warnings.showwarning

    def keep(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        kept.append(" ".join(str(message).split()))
        if show:
            pass_on(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ProsectWarning)
        warnings.showwarning = keep
        yield kept
