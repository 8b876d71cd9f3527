"""Small JSON files in which the server keeps what it must know after a restart, each replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prosect.errors import FormatError
from prosect.io.atomic import write_atomically

__all__ = ["Kind"]

Content = TypeVar("Content")


@dataclass(frozen=True)
class Kind:
    """A kind of kept file.

    Attributes:
        format: Its word for itself.
        version: Of its layout.
        title: What messages call it.
    """

    format: str
    version: int
    title: str

    def read(self, path: Path, parse: Callable[[Mapping[str, Any]], Content]) -> Content | None:
        """Return what `parse` makes of a file, None where there is no file yet.

        Raises:
            FormatError: The file is damaged, or of another kind (`INDEX_DAMAGED`).
        """
        if not path.exists():
            return None
        try:
            document = json.loads(path.read_bytes())
            if (document["format"], document["version"]) != (self.format, self.version):
                raise ValueError("another format or version")
            return parse(document)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path.name}: {self.title} is damaged ({error}). Move it away to begin a new one; journals and labels "
                "stay as they are.",
                code="INDEX_DAMAGED",
            ) from error

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write a file, whole or not at all."""
        document = {"format": self.format, "version": self.version, **content}
        write_atomically(path, [json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"])
