"""How a server fares under load: how long it takes to say that it lives, and what memory it takes.

The first is asked from a process of its own that imports next to nothing.
"""

from __future__ import annotations

import http.client
import threading
import time
from multiprocessing.connection import Connection

import psutil

__all__ = ["Memory", "ask_health"]

PAUSE_S = 0.05
SAMPLE_S = 1.0


class Memory(threading.Thread):
    """Watches what a process takes. State: what it took so far.

    Args:
        process: Its number.
    """

    def __init__(self, process: int) -> None:
        super().__init__()
        self._process, self._ended = psutil.Process(process), threading.Event()
        self._began = time.perf_counter()
        self.samples: list[tuple[float, int]] = []  # seconds since the start, and bytes

    def run(self) -> None:
        """Look every second until it is enough."""
        while True:
            taken = self._process.memory_info().rss
            self.samples.append((time.perf_counter() - self._began, taken))
            if self._ended.wait(SAMPLE_S):
                return

    def enough(self) -> None:
        """End."""
        self._ended.set()
        self.join()

    def at(self, seconds: float) -> int:
        """Return the bytes at a time, or at the end where that was earlier."""
        later = [taken for when, taken in self.samples if when >= seconds]
        return later[0] if later else self.samples[-1][1]

    def growth(self, seconds: float) -> float:
        """Return by how much more it took at most from a time on, as a share."""
        most = max((taken for when, taken in self.samples if when >= seconds), default=self.samples[-1][1])
        return most / self.at(seconds) - 1


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
