"""What a weights file says of itself, read without its weights and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prosect.checkpoints.contents import weights_file
from prosect.errors import CheckpointError

__all__ = ["KEY", "read_metadata"]

# Where our metadata stands in the header.
KEY = "prosect"
LONGEST_HEADER = 100 << 20  # the format's own limit


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what one of our own files says about itself, without reading its weights; empty for any other file.

    Nothing is checked: what matters is asked of `read_weights`.
    """
    try:
        with weights_file(Path(path)).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, LONGEST_HEADER)))
        return dict(json.loads(header["__metadata__"][KEY]))
    except (CheckpointError, OSError, ValueError, KeyError, TypeError):
        return {}
