"""Shared fixtures."""

from __future__ import annotations

import locale
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Return the folder of real scans beside the repository, or skip where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real scans (../shared/data) is not there")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: the examples are tiny, and waiting for a second one costs more on a busy machine.

    Commands that tests start in processes of their own do so, too, where nobody says otherwise.
    """
    import torch

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def same_locale() -> Iterator[None]:
    """Put the locale back: SimpleITK's DICOM writer leaves `C` behind, in which Python reads text as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)
