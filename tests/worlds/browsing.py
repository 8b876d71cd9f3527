"""The page in a real browser without a screen, with what tests and pictures ask of it."""

from __future__ import annotations

import shutil
import time
from typing import Any

from worlds.serving import Server

__all__ = ["FLAGS", "Page", "chromium"]

FLAGS = (
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic",
)  # fmt: skip
PATIENCE_S = 120


def chromium() -> str | None:
    """Where the system's browser is, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """The page in one tab, with what tests ask of it."""

    def __init__(self, tab: Any, at: Server, patience_s: float = PATIENCE_S) -> None:
        self.tab, self.server, self.patience_s = tab, at, patience_s
        self.complaints: list[str] = []
        tab.set_default_timeout(1000 * patience_s)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.tab.evaluate(f"() => {script}")

    def wait(self, script: str) -> None:
        """Wait until an expression is true. (The page's own policy forbids what playwright would do.)"""
        until = time.monotonic() + self.patience_s
        while not self.ask(script):
            assert time.monotonic() < until, f"still not true: {script}; {self.complaints}"
            time.sleep(0.1)

    def open(self, session: str) -> None:
        """Go to the page of a session and wait until its scan is shown."""
        self.tab.goto(f"{self.server.address}/?session={session}#t={self.server.settings.token}")
        self.wait("window.prosect && window.prosect.scene.loaded && !document.getElementById('search').disabled")

    def idle(self) -> None:
        """Wait until no action runs."""
        self.wait("window.prosect.state.busy === null && window.prosect.state.jobs.size === 0")

    def name(self, structure: str) -> None:
        """Select a structure or begin a new object."""
        self.tab.fill("#search", structure)
        self.tab.press("#search", "Enter")

    def places(self, mm: list[float]) -> list[list[float]]:
        """Where a place in mm is on the screen, in each of the three planes through it."""
        self.ask(f"window.prosect.scene.goTo({mm})")
        found: list[list[float]] = self.ask(f"window.prosect.scene.project({mm})")
        edge = self.tab.locator("#canvas").bounding_box()
        return [[edge["x"] + x, edge["y"] + y] for x, y in found]

    def bitmap(self) -> bytes:
        """What is painted, one byte per voxel, first axis fastest."""
        return bytes(self.ask("Array.from(window.prosect.scene.bitmap)"))
