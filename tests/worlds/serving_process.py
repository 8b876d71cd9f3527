"""A server with the model of balls as a process of its own, for tests that kill it.

python -m worlds.serving_process WORK SCANS [PORT [SESSIONS [WAIT]]]     (prints its port, then serves until it ends)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from prosect.server.running import free_port, opened_socket, serve
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from worlds.serving import TOKEN, BallModel

TESTS = Path(__file__).parents[1]


def main(work: Path, scans: Path, port: int = 0, sessions: int = 8, wait_s: float = 0.0) -> None:
    """Serve as many sessions at once, with a model that waits before it answers."""
    model: Any = BallModel(wait_s=wait_s)
    settings = Settings(work=work, roots={"scans": scans}, token=TOKEN, port=port, max_sessions=sessions)
    listening = opened_socket(settings.host, settings.port)
    settings = free_port(settings, listening)
    print(settings.port, flush=True)
    serve(settings, Shelf(lambda _name, _weights: model, [Source("balls", "balls")]), listening, browser=False)


@contextmanager
def served(
    work: Path, scans: Path, port: int = 0, sessions: int = 8, wait_s: float = 0.0
) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """Start a server and yield a connection to it and its process; it is killed at the end, if it lives still."""
    command = [sys.executable, "-m", "worlds.serving_process", str(work), str(scans)]
    command += [str(port), str(sessions), str(wait_s)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the server did not start"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = httpx.Client(base_url=f"http://127.0.0.1:{int(line)}", headers=headers, timeout=60)
    try:
        yield client, process
    finally:
        client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5]), *map(float, sys.argv[5:6]))
