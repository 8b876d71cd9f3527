"""The public interface as text: `python tests/contracts/public_api.py` records it anew."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import prosect

__all__ = ["RECORD", "describe"]

RECORD = Path(__file__).with_name("public_api.txt")


def signature(value: Any) -> str:
    """Return parameters and result as they are written in the source."""
    try:
        return str(inspect.signature(value))
    except ValueError:  # an exception has the signature of its C code
        return "(...)"


def members(kind: type) -> list[str]:
    """Return a line for each public method and property of a class that prosect itself defines."""
    lines = []
    for name in sorted(dir(kind)):
        value = inspect.getattr_static(kind, name)
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if name.startswith("_") or not getattr(kind, "__module__", "").startswith("prosect"):
            continue
        if isinstance(plain, property):
            lines.append(f"    {name}")
        elif inspect.isfunction(plain):
            lines.append(f"    {name}{signature(plain)}")
    return lines


def describe() -> str:
    """Return all public names with their signatures, classes with their methods."""
    lines = []
    for name in sorted(prosect.__all__):
        value = getattr(prosect, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            lines.append(name)
            continue
        lines.append(f"{name}{signature(value)}")
        if inspect.isclass(value):
            lines += members(value)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RECORD.write_text(describe(), encoding="utf-8")
