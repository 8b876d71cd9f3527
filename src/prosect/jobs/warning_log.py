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
    """Yield a list that gathers our own warnings; they are passed on where `show`, and only kept otherwise.

    The same words are passed on once: several models may doubt a scan for one reason.
    """
    kept: list[str] = []
    pass_on = warnings.showwarning

    def keep(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        text = " ".join(str(message).split())
        is_new = text not in kept
        kept.append(text)
        if show and is_new:
            pass_on(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ProsectWarning)
        warnings.showwarning = keep
        yield kept
