"""What can be typed of `doctor`."""

from __future__ import annotations

import argparse

from prosect.cli.arguments.command import Command

__all__ = ["COMMAND"]


def add(_parser: argparse.ArgumentParser) -> None:
    """Add no flag: `doctor` looks at everything."""


COMMAND = Command("check this installation", add)
