"""What one word of the command line becomes: a path, a device, a number."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

from prosect.errors import UsageError
from prosect.stated_facts import known_modality, known_orientation

__all__ = [
    "at_least_one",
    "count",
    "device",
    "modality",
    "not_negative",
    "number",
    "orientation",
    "path",
    "positive",
]

DEVICE = re.compile(r"(auto|cpu|mps|(?:gpu|cuda)(?::\d{1,3})?)")


def path(text: str) -> Path:
    """Return a path; an empty word, as an unset shell variable gives, is refused: it would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("a file or folder is needed; the word is empty")
    return Path(text)


def device(text: str) -> str:
    """Return the device as torch names it: `gpu` is `cuda`."""
    if not DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no device; use cpu, gpu, gpu:0, cuda, cuda:0, mps or auto")
    return text.replace("gpu", "cuda")


def count(text: str) -> int:
    """Return a whole number from 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def at_least_one(text: str) -> int:
    """Return a whole number from 1."""
    number = count(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least 1")
    return number


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def not_negative(text: str) -> float:
    """Return a number from 0."""
    if text.strip() in ("0", "0.0"):
        return 0.0
    return positive(text)


def number(text: str) -> float:
    """Return a finite number of either sign."""
    try:
        found = float(text)
    except ValueError:
        found = math.inf
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return found


def modality(text: str) -> str:
    """Return a kind of scan as DICOM writes it."""
    try:
        return known_modality(text) or text
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def orientation(text: str) -> str:
    """Return where three voxel axes point, in capitals."""
    try:
        return known_orientation(text) or text
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
