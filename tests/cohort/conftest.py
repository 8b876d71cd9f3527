"""A tiny random model on disk, and scans that it labels in no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import prosect
from prosect.cli.main import main
from worlds.dicom import dicom_slice, save_slice
from worlds.scans import noise
from worlds.weights import write_vista3d

if TYPE_CHECKING:
    from prosect.cohort.bucket import Bucket


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a random model of two structures."""
    said = {"model": "prosect-small", "vocabulary": "prosect", "classes": [1, 3]}
    return write_vista3d(tmp_path_factory.mktemp("weights") / "tiny.safetensors", said, interactive=False)


@pytest.fixture
def make_scan() -> Callable[..., Path]:
    """Write a small scan of noise."""

    def make(path: Path, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return prosect.write(noise((12, 10, 8), np.diag([3.0, 3.0, 4.0, 1.0]), seed=seed, modality="CT"), path)

    return make


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], weights: Path) -> Callable[..., tuple[int, str, str]]:
    """Segment with the tiny model and return status, what was printed, and what was complained about."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main(["segment", *(str(word) for word in words), "-w", str(weights), "-d", "cpu"])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def write_series(folder: Path, uid: str, count: int = 3, **tags: object) -> None:
    """Write a series of empty slices of 2 mm."""
    for k in range(count):
        empty = np.zeros((4, 5), np.int16)
        data = dicom_slice(empty, (0, 0, 2 * k), SeriesInstanceUID=uid, SliceThickness=2, PixelSpacing=[1, 1], **tags)
        save_slice(folder, f"{uid}_{k}", data)


@pytest.fixture
def dicom() -> Callable[..., None]:
    """Write a series of empty slices."""
    return write_series


@pytest.fixture(scope="session")
def whole_bucket() -> Iterator[Bucket]:
    """Yield an empty bucket of a store that moto plays in this process; making what speaks to it takes a second."""
    pytest.importorskip("boto3", reason="needs the extra `s3`")
    moto = pytest.importorskip("moto", reason="moto plays the store")
    from prosect.cohort.bucket import connect

    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        place = connect("s3://bucket")
        place.client.create_bucket(Bucket="bucket")
        yield place


@pytest.fixture
def bucket(whole_bucket: Bucket, request: pytest.FixtureRequest) -> Bucket:
    """Return a place of this test in it."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    return replace(whole_bucket, prefix=plain)


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Ask that every thread of ours has ended when a test has."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("prosect-"):
            thread.join(10)
            assert not thread.is_alive()
