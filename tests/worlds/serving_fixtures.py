"""A server that runs, with a small scan and the model of balls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import prosect
from prosect.geometry import Grid
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from prosect.volume import Volume
from worlds.serving import TOKEN, BallModel, Server


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with a small scan in an odd storage order."""
    folder = tmp_path / "scans"
    folder.mkdir()
    affine = np.array([[0, -1.5, 0, 30], [0, 0, 2.0, -20], [-1.0, 0, 0, 40], [0, 0, 0, 1]], dtype=float)
    array = np.random.default_rng(5).integers(-1000, 500, (40, 36, 28)).astype(np.float32)
    prosect.write(Volume(array, Grid(array.shape, affine), "CT"), folder / "ct.nii.gz")
    return folder


@pytest.fixture
def settings(tmp_path: Path, scans: Path) -> Settings:
    """What the test server may do."""
    return Settings(
        work=tmp_path / "work",
        roots={"scans": scans},
        token=TOKEN,
        dialect_token="dialects-only-0123456789",
        port=0,
        output_root=tmp_path / "results",
    )


@pytest.fixture
def shelf() -> Shelf:
    """The model of balls."""
    model: Any = BallModel()
    return Shelf(lambda _name, _weights: model, [Source("balls", "balls")])


@pytest.fixture
def run_server() -> Iterator[Callable[[Settings, Shelf], Server]]:
    """A function that starts a server; those that were started are stopped at the end."""
    contexts: list[Any] = []
    clients: list[httpx.Client] = []

    def begin(settings: Settings, shelf: Shelf) -> Server:
        context = running(settings, shelf)
        actual, service = context.__enter__()
        contexts.append(context)
        http = httpx.Client(
            base_url=f"http://127.0.0.1:{actual.port}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        )
        clients.append(http)
        return Server(service, actual, http)

    yield begin
    for client in clients:
        client.close()
    for context in reversed(contexts):
        context.__exit__(None, None, None)


@pytest.fixture
def start(run_server: Callable[[Settings, Shelf], Server], settings: Settings) -> Callable[[Shelf], Server]:
    """A function that starts a server with models of one's own."""
    return lambda shelf: run_server(settings, shelf)


@pytest.fixture
def start_with(run_server: Callable[[Settings, Shelf], Server], shelf: Shelf) -> Callable[[Settings], Server]:
    """A function that starts a server with settings of one's own."""
    return lambda settings: run_server(settings, shelf)


@pytest.fixture
def server(start: Callable[[Shelf], Server], shelf: Shelf) -> Server:
    """A server with the model of balls."""
    return start(shelf)
