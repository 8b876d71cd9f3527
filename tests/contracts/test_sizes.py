"""What lies in the repository stays small: pictures, models, and nothing else that is large."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
LARGEST = 300_000
VIEWER = "src/prosect/server/page/vendor/niivue.js"
MODELS = "src/prosect/weights/"
LARGEST_MODEL, ALL_MODELS = 25 * 10**6, 45 * 10**6


@pytest.fixture(scope="module")
def sizes() -> dict[str, int]:
    """Return the bytes of every file that git knows."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this is no working tree of git ({error})")
    names = listed.decode().split("\0")
    return {name: (HERE / name).stat().st_size for name in names if name and (HERE / name).is_file()}


def test_no_file_is_larger_than_300_kb_but_the_viewer_and_the_models(sizes: dict[str, int]) -> None:
    large = {name: size for name, size in sizes.items() if size > LARGEST and not name.startswith(MODELS)}
    large.pop(VIEWER, None)
    assert not large, f"{large}: make pictures smaller, and keep data outside"


def test_shipped_models_fit_in_the_wheel(sizes: dict[str, int]) -> None:
    models = {name: size for name, size in sizes.items() if name.startswith(MODELS)}
    assert models
    assert max(models.values()) <= LARGEST_MODEL
    assert sum(models.values()) <= ALL_MODELS


def test_no_scan_is_kept(sizes: dict[str, int]) -> None:
    scans = [name for name in sizes if name.endswith((".nii", ".nii.gz", ".nrrd", ".mha", ".dcm", ".mgz"))]
    assert not scans
