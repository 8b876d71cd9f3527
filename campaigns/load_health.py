"""How long a server takes to say that it lives, asked from a process of its own that imports next to nothing."""

from __future__ import annotations

import http.client
import time
from multiprocessing.connection import Connection

__all__ = ["ask_health"]

PAUSE_S = 0.05


def ask_health(host: str, port: int, parent: Connection) -> None:
    """Ask again and again until the parent says that it is enough, and tell it how long each answer took, in s."""
    times = []
    server = http.client.HTTPConnection(host, port, timeout=60)
    while not parent.poll() or not times:
        began = time.perf_counter()
        server.request("GET", "/healthz")
        server.getresponse().read()
        times.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    server.close()
    parent.send(times)
