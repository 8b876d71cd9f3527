"""A real Orthanc on loopback, started and stopped by the tests that ask for it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

__all__ = ["Orthanc", "free_port", "running"]

PLUGINS = Path("/usr/share/orthanc/plugins")
START_S = 60


@dataclass(frozen=True)
class Orthanc:
    """A running server."""

    url: str
    port: int
    dicomweb: str


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


@contextmanager
def running(folder: Path, node_port: int) -> Iterator[Orthanc]:
    """Yield a server that knows our node PROSECT at a port; skip where Orthanc is not installed."""
    program = shutil.which("Orthanc")
    if program is None or not any(PLUGINS.glob("*OrthancDicomWeb*")):
        pytest.skip("Orthanc with DICOMweb (Debian packages orthanc, orthanc-dicomweb) is not installed")
    http, dicom = free_port(), free_port()
    config = {
        "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"), "HttpPort": http,
        "DicomPort": dicom, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [str(PLUGINS)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "UnknownSopClassAccepted": True,
        "DicomModalities": {"prosect": ["PROSECT", "127.0.0.1", node_port]},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, folder / "config.json"], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{http}"
        wait_for(url, process)
        yield Orthanc(url, dicom, f"{url}/dicom-web")
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str, process: subprocess.Popen) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/system", timeout=2).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.3)
    pytest.skip("Orthanc did not start")
