"""A browser without a screen, on a server with the model of balls. Skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from worlds.browsing import FLAGS, Page, chromium

# The fixtures of the server's own tests.
from worlds.serving_fixtures import run_server, scans, server, settings, shelf, start, start_with

__all__ = [
    "Page",
    "browser",
    "run_server",
    "scans",
    "server",
    "settings",
    "shelf",
    "start",
    "start_with",
    "tab",
    "tab_at",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="browser tests need playwright: pip install playwright"
    )
    program = chromium()
    if program is None:
        pytest.skip("browser tests need Chromium; install it with the system's packages")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def tab_at(browser: Any) -> Iterator[Callable[[Any], Page]]:
    """A function that opens a tab for a server."""
    contexts: list[Any] = []

    def begin(at: Any) -> Page:
        context = browser.new_context(viewport={"width": 900, "height": 600})
        contexts.append(context)
        return Page(context.new_page(), at)

    yield begin
    for context in contexts:
        context.close()


@pytest.fixture
def tab(tab_at: Callable[[Any], Page], request: pytest.FixtureRequest) -> Callable[[], Page]:
    """A function that opens a tab for the server with the model of balls."""
    return lambda: tab_at(request.getfixturevalue("server"))
