"""What words of the command line become."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["path"]


def path(text: str) -> Path:
    """Return a path; an empty word, as an unset shell variable gives, is refused: it would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("a file or folder is needed; the word is empty")
    return Path(text)
