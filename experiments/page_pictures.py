"""Pictures of the page for the documentation, made with the shipped models on a real scan.

`python experiments/page_pictures.py --scan CRLM-CT-1004.nii.gz --work DIR [--out docs/pictures]`. The
scan is of Colorectal-Liver-Metastases (TCIA, CC BY 4.0), on which the places below lie. DIR keeps the session, so that
the models run once and later pictures only show what it holds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import sync_playwright

import prosect
from prosect.models import LoadedModel
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from worlds.browsing import FLAGS, Page, chromium
from worlds.serving import TOKEN, Server

SIZE = {"width": 1280, "height": 720}
TABLET = {"width": 820, "height": 1180}
MODEL = "prosect-small+prosect-torso"
Places = dict[str, tuple[int, int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--patience", type=float, default=600.0, help="seconds that a step may take (default: 600)")
    args = parser.parse_args()
    settings = Settings(
        work=args.work, roots={args.scan.name: args.scan}, token=TOKEN, port=0, output_root=args.work / "results",
        memory_bytes=8 << 30,
    )  # fmt: skip
    with ExitStack() as stack:
        started = Started(settings, stack)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        for theme, size, pictures in THEMES:
            context = browser.new_context(viewport=size, color_scheme=theme, has_touch=size is TABLET)
            page = Page(context.new_page(), started.server, args.patience)
            page.open(started.session)
            for name, arrange in pictures.items():
                arrange(page, started)
                page.tab.wait_for_timeout(900)
                page.tab.screenshot(path=args.out / f"page_{name}.png")
                print(f"{name}: {page.complaints}", flush=True)
            context.close()
        browser.close()


class Started:
    """A server with the shipped models, and its session. State: the server, which one picture stops."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings, self._stack = settings, stack
        self.server = self.start()
        self.session = self.begin()

    def start(self) -> Server:
        """Start a server on the work folder."""
        inner = self._stack.enter_context(ExitStack())
        actual, service = inner.enter_context(running(self._settings, Shelf(load, [Source(MODEL, MODEL)])))
        self._settings = replace(self._settings, port=actual.port)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = httpx.Client(base_url=f"http://127.0.0.1:{actual.port}", headers=headers, timeout=3600)
        self._inner = inner
        return Server(service, actual, http)

    def stop(self) -> None:
        """Stop the server, as a page sees it that is open."""
        self._inner.close()

    def begin(self) -> str:
        """Return the session of the work folder; one is begun and drafted where there is none yet."""
        http = self.server.http
        known = http.get("/api/v1/sessions").json()["sessions"]
        if known:
            session = str(known[0]["session_id"])
            self.take_back_clicks(session)
            return session
        root = next(iter(self._settings.roots))
        scan = http.post("/api/v1/scans", json={"root": root}).raise_for_status().json()
        session = str(http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()["session_id"])
        job = http.post(f"/api/v1/sessions/{session}/draft", json={}).raise_for_status().json()
        while http.get(f"/api/v1/jobs/{job['job_id']}").json()["state"] in ("queued", "running"):
            time.sleep(2)
        return session

    def take_back_clicks(self, session: str) -> None:
        """Undo what earlier pictures clicked, so that each run begins at the draft."""
        path = f"/api/v1/sessions/{session}"
        while any(row["clicks"] for row in self.server.http.get(path).json()["structures"]):
            self.server.http.post(f"{path}/undo").raise_for_status()


def load(name: str | None, weights: Path | None) -> LoadedModel:
    """Return a model."""
    return prosect.load(name, weights=weights, device="cpu")


def go(page: Page, name: str) -> None:
    """Move the crosshair to a place of the scan."""
    voxel = (*PLACES[name], 1)
    mm = np.asarray(page.ask("window.prosect.state.scan.view.affine_ras")) @ voxel
    page.ask(f"window.prosect.scene.goTo({mm[:3].tolist()})")


def select(page: Page, name: str) -> None:
    """Choose a structure of the list."""
    page.ask(f"window.prosect.structures.select({name!r})")


def press(page: Page, *keys: str) -> None:
    """Press keys over the picture and wait until what they ask for is done."""
    page.tab.focus("#canvas")
    for key in keys:
        page.tab.keyboard.press(key)
    page.tab.wait_for_timeout(300)
    page.idle()


def begin(page: Page, started: Started) -> None:
    """Show what the page offers before anything is open."""
    page.ask("sessionStorage.removeItem('prosect-session')")
    page.tab.goto(f"{started.server.address}/#t={TOKEN}")
    page.wait("document.querySelectorAll('#begin button').length === 2")


def draft(page: Page, _started: Started) -> None:
    """Show what the models found."""
    go(page, "middle")


def click(page: Page, _started: Started) -> None:
    """Show what a click has added, in white: the air in the stomach."""
    select(page, "stomach")
    go(page, "air")
    press(page, "p", "Enter")
    press(page, "c")


def new_object(page: Page, _started: Started) -> None:
    """Show an object of one's own after one click."""
    page.ask("document.getElementById('toasts').replaceChildren()")
    page.name("vertebral body")
    go(page, "vertebra")
    press(page, "p", "Enter")


def refused(page: Page, _started: Started) -> None:
    """Show a click that a locked structure refuses."""
    page.ask("document.getElementById('toasts').replaceChildren()")
    select(page, "spleen")
    press(page, "l")
    go(page, "spleen")
    press(page, "Enter")


def save(page: Page, _started: Started) -> None:
    """Show where results go."""
    press(page, "l")
    page.tab.click("#save")


def lost(page: Page, started: Started) -> None:
    """Show that the server is gone."""
    page.tab.click("#save-dialog [data-close]")
    page.tab.mouse.move(0, 0)  # over the list it would show another row's buttons
    started.stop()
    page.wait("!document.getElementById('banner').hidden")


# Voxels of the display copy, which runs to the right, the front and the head.
PLACES: Places = {
    "middle": (256, 256, 20),
    "air": (176, 331, 20),
    "vertebra": (274, 224, 20),
    "spleen": (126, 281, 15),
}
BEGIN: dict[str, Callable[[Page, Started], None]] = {"begin": begin}
DARK: dict[str, Callable[[Page, Started], None]] = {"draft_dark": draft}
HELD: dict[str, Callable[[Page, Started], None]] = {"tablet": draft}
LIGHT: dict[str, Callable[[Page, Started], None]] = {
    "draft": draft,
    "click": click,
    "object": new_object,
    "refused": refused,
    "save": save,
    "lost": lost,
}
THEMES = (("light", SIZE, BEGIN), ("dark", SIZE, DARK), ("dark", TABLET, HELD), ("light", SIZE, LIGHT))


if __name__ == "__main__":
    main()
