"""Two clients of one session act at the same time: by revisions and keys nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from prosect.server.wire import unpack_delta
from worlds.serving import TOKEN, Server

API = "/api/v1"
CLICKS = 12


class Tab:
    """A page as far as revisions go: it paints deltas, and loads all labels where it was behind."""

    def __init__(self, server: Server, session: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.http = httpx.Client(base_url=server.address, headers=headers, timeout=60)
        self.path = f"{API}/sessions/{session}"
        self.revisions: list[int] = []
        self.refused = 0
        self.load()

    def load(self) -> None:
        """Take the labels as they are."""
        header, labels = unpack_delta(self.http.get(f"{self.path}/labels").content)
        self.revision = header["revision"]
        assert labels is not None
        self.shown = labels.copy()

    def click(self, voxel: list[int], key: str) -> None:
        """Click, on whatever others did meanwhile; the answer is lost once and asked for again."""
        body = {"structure": "my lesion", "position": [float(each) for each in voxel], "space": "voxel"}
        while True:
            headers = {"X-Revision": str(self.revision), "Idempotency-Key": key}
            self.http.post(f"{self.path}/clicks", json=body, headers=headers)  # nobody reads this answer
            response = self.http.post(f"{self.path}/clicks", json=body, headers=headers)
            if response.status_code == 200:
                break
            assert response.json()["code"] == "REVISION_OLD"
            self.refused += 1
            self.load()
        header, labels = unpack_delta(response.content)
        assert header["revision"] == self.revision + 1  # nothing was missed in between
        self.revision = header["revision"]
        self.revisions.append(self.revision)
        if labels is not None:
            box = header["box"]
            where = tuple(slice(low, high) for low, high in zip(box["start"], box["stop"], strict=True))
            self.shown[where] = labels


@pytest.fixture
def tabs(server: Server) -> Iterator[list[Tab]]:
    """Two tabs of one session."""
    _, session = server.begin()
    opened = [Tab(server, session["session_id"]) for _ in range(2)]
    yield opened
    for each in opened:
        each.http.close()


def together(*work: Callable[[], Any]) -> list[Any]:
    """Do things at the same time and return what came of them."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [each.result(60) for each in [pool.submit(one) for one in work]]


def test_clicks_of_both_are_done_once_and_each_ends_with_the_same_mask(tabs: list[Tab], server: Server) -> None:
    voxels = np.random.default_rng(3).integers(4, 24, (2, CLICKS, 3)).tolist()

    def work(number: int) -> None:
        for position, voxel in enumerate(voxels[number]):
            tabs[number].click(voxel, f"tab {number} click {position}")

    together(lambda: work(0), lambda: work(1))
    # Every revision from 1 on was made by exactly one click of one tab.
    assert sorted(tabs[0].revisions + tabs[1].revisions) == list(range(1, 2 * CLICKS + 1))
    clicks = tabs[0].http.get(f"{tabs[0].path}/clicks").json()["clicks"]
    assert len(clicks) == 2 * CLICKS
    late = max(tabs, key=lambda tab: tab.revision)
    current = late.shown.tobytes()
    for tab in tabs:
        tab.load()
        assert tab.shown.tobytes() == current
    assert tabs[0].refused + tabs[1].refused > 0  # they did meet


def test_an_undo_takes_back_nothing_that_its_page_has_not_seen(tabs: list[Tab]) -> None:
    tabs[0].click([10, 10, 10], "first")
    tabs[1].load()
    tabs[0].click([20, 20, 20], "second")
    undone = tabs[1].http.post(f"{tabs[1].path}/undo", headers={"X-Revision": str(tabs[1].revision)})
    assert (undone.status_code, undone.json()["code"]) == (409, "REVISION_OLD")
    assert len(tabs[0].http.get(f"{tabs[0].path}/clicks").json()["clicks"]) == 2


def test_the_same_key_sent_twice_at_once_is_one_click(tabs: list[Tab]) -> None:
    body = {"structure": "my lesion", "position": [10.0, 10.0, 10.0], "space": "voxel"}
    headers = {"Idempotency-Key": "one", "X-Revision": "0"}

    def send(tab: Tab) -> Any:
        return tab.http.post(f"{tab.path}/clicks", json=body, headers=headers)

    first, second = together(lambda: send(tabs[0]), lambda: send(tabs[1]))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert len(tabs[0].http.get(f"{tabs[0].path}/clicks").json()["clicks"]) == 1
