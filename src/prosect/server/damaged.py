"""Journals that a disk has damaged: set aside whole, and gone on with as far as they can be read."""

from __future__ import annotations

import logging
from pathlib import Path

from prosect.io.atomic import write_atomically
from prosect.io.line_log import decode_lines

__all__ = ["notes_on", "set_aside"]

LOG = logging.getLogger(__name__)
ENDING = ".damaged"


def set_aside(journal: Path) -> bool:
    """Rename a damaged journal and begin it again with its lines before the damage; False where no line is damaged.

    The file as it was stays beside it, so that nothing is lost that somebody could still read. Where its first line is
    damaged there is no journal afterwards.
    """
    content = journal.read_bytes()
    lines = decode_lines(content)
    if not lines.damaged and lines.entries:
        return False
    # Without a whole line at all the first one is what a crash cut short.
    first = lines.damaged[0] if lines.damaged else 1
    kept = free_name(journal)
    journal.rename(kept)
    whole = content.split(b"\n")[: first - 1]
    if whole:
        write_atomically(journal, [line + b"\n" for line in whole])
    LOG.warning("a journal is damaged at line %d; it is kept as %s", first, kept.name)
    return True


def free_name(journal: Path) -> Path:
    """Return a name for a damaged journal that nothing has yet."""
    name, number = journal.with_name(journal.name + ENDING), 2
    while name.exists():
        name, number = journal.with_name(f"{journal.name}{ENDING}.{number}"), number + 1
    return name


def notes_on(journal: Path) -> list[str]:
    """Return what should be said of a session whose journal was damaged once."""
    name = journal.with_name(journal.name + ENDING)
    if not name.exists():
        return []
    return [
        "The disk has damaged this session's journal. What was done before the damage is here, what came after it is "
        f"not. The whole file is kept in the folder of journals as {name.name}."
    ]
