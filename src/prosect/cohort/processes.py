"""Whether the process that holds something has ended, where that can be known: on the machine on which it ran."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

__all__ = ["has_ended", "own_process"]

PROC = Path("/proc")
# A new one with every start of a Linux kernel. A machine that is copied while it runs has it too, but another name.
BOOT = PROC / "sys/kernel/random/boot_id"
# Containers of one machine count their processes apart.
NAMESPACE = PROC / "self/ns/pid"
# Fields behind the name of a process in its `stat`: its state, and its start in ticks since the machine's.
STATE, START = 0, 19
ZOMBIE = "Z"


def own_process() -> str:
    """Return what tells this process from every other of any machine; empty where the system cannot tell."""
    place, stat = own_place(), stat_of(os.getpid())
    if not place or not stat:
        return ""
    return f"{place}/{os.getpid()}/{stat[START]}"


def own_place() -> str:
    """Return what all processes share that can see each other here; empty where the system cannot tell."""
    try:
        return f"{platform.node()}/{BOOT.read_text().strip()}/{os.readlink(NAMESPACE)}"
    except OSError:
        return ""


def stat_of(number: int) -> list[str]:
    """Return what the system says of a process, from its state on; empty where it says nothing."""
    try:
        # The name before it may hold blanks and brackets.
        return (PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def has_ended(process: str) -> bool:
    """Return whether a process is known to have ended.

    Args:
        process: What `own_process` said there. Of another machine, another container, or empty: nothing is known.
    """
    place, _, numbers = process.rpartition("/")[0].rpartition("/")
    if not place or place != own_place() or not numbers.isdigit():
        return False
    number, start = int(numbers), process.rpartition("/")[2]
    # Asked of the system itself, because `/proc` may hide the processes of other users.
    if not psutil.pid_exists(number):
        return True
    stat = stat_of(number)
    if not stat:
        return False
    # A zombie runs nothing any more. A number may have been given to a process that came later.
    return stat[STATE] == ZOMBIE or stat[START] != start
