"""What every refusal owes its reader: one line, a code, no word of the patient, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prosect.errors import FormatError, ProsectError
from prosect.io import read

__all__ = ["names", "refused_command", "refused_file"]

Run = Callable[..., tuple[int, str, str]]


def names(folder: Path) -> set[str]:
    """Return the names of what lies in a folder."""
    return {path.name for path in folder.iterdir()}


def refused_file(
    path: Path,
    code: str,
    kind: type[ProsectError] = FormatError,
    reader: Callable[..., Any] = read,
    **options: object,
) -> str:
    """Read a file, expect a refusal with a code, and return its message: one line without folders and the patient."""
    with pytest.raises(kind) as caught:
        reader(path, **options)
    message = str(caught.value)
    assert caught.value.code == code, message
    assert "\n" not in message
    assert "secret" not in message.lower(), "the patient of the test files is called so"
    assert str(path.parent) not in message
    if path.is_file():
        assert path.name in message
    return message


def refused_command(run: Run, folder: Path, code: str, *words: object, status: int = 3) -> str:
    """Run a command, expect a refusal of one line that leaves a folder as it was, and return the line."""
    before = names(folder)
    found, out, err = run(*words)
    assert (found, out) == (status, ""), err
    assert f"[{code}]" in err, err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert names(folder) == before, "a refusal writes nothing"
    return err
