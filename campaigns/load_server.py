"""Many people at once on one server: every click is answered, in its own session, and everybody waits alike.

python campaigns/load_server.py --sessions 50
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import prosect
from prosect.geometry import Grid
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from prosect.server.wire import unpack_delta
from prosect.volume import Volume

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from worlds.serving import RADIUS_MM, TOKEN, BallModel, ball

SHAPE = (32, 32, 24)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))


def main() -> int:
    """Print one line of figures; the status is 1 where a click was lost or fell into another session."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50, help="people (default: 50)")
    parser.add_argument("--actions", type=int, default=20, help="clicks of each (default: 20)")
    parser.add_argument("--wait", type=float, default=0.05, help="seconds that the model takes (default: 0.05)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = campaign(Path(name), args.sessions, args.actions, args.wait)
    print(
        f"load_server: {args.sessions} sessions, {found['actions']:.0f} actions in {found['seconds']:.0f} s, "
        f"{found['refused']:.0f} refused, {found['lost']:.0f} lost, {found['crossed']:.0f} sessions with a wrong mask; "
        f"slowest session {found['slowest']:.2f} x median; /healthz p95 {found['health_ms']:.0f} ms"
    )
    return int(bool(found["lost"] or found["crossed"]))


class Person(threading.Thread):
    """One person, who clicks one click after another in a session of their own."""

    def __init__(self, address: str, scan: str, number: int, actions: int) -> None:
        super().__init__()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.http = httpx.Client(base_url=address, headers=headers, timeout=120)
        self.session = str(self.http.post("/api/v1/sessions", json={"scan_id": scan}).json()["session_id"])
        voxels = np.random.default_rng(number).integers(0, SHAPE, (actions, 3))
        self.places = GRID.to_world(voxels)
        self.done: list[Any] = []  # places of clicks that were acknowledged
        self.refused, self.seconds = 0, 0.0

    def run(self) -> None:
        """Click; a queue that is full is waited for, as the page does."""
        began = time.perf_counter()
        for place in self.places:
            body = {"structure": "lesion", "position": place.tolist(), "space": "ras"}
            while True:
                reply = self.http.post(f"/api/v1/sessions/{self.session}/clicks", json=body)
                if reply.status_code != 429:
                    break
                time.sleep(0.1)
            if reply.status_code == 200:
                self.done.append(place)
            else:
                self.refused += 1
                sys.stderr.write(f"{reply.status_code} {reply.text:.200}\n")
        self.seconds = time.perf_counter() - began

    def has_its_own_mask(self) -> bool:
        """Whether the session holds what the acknowledged clicks make, and nothing else."""
        expected = np.zeros(SHAPE, dtype=bool)
        for place in self.done:
            expected |= ball(GRID, place, RADIUS_MM)
        _, labels = unpack_delta(self.http.get(f"/api/v1/sessions/{self.session}/labels").content)
        found = np.zeros(SHAPE, dtype=bool) if labels is None else labels > 0
        return np.array_equal(found, expected)


def campaign(work: Path, sessions: int, actions: int, wait_s: float) -> dict[str, float]:
    """Return what was seen while some people worked at once."""
    scans = work / "scans"
    scans.mkdir()
    prosect.write(Volume(np.zeros(SHAPE, dtype=np.float32), GRID, "CT"), scans / "ct.nii")
    model: Any = BallModel(wait_s=wait_s)
    settings = Settings(work=work / "work", roots={"scans": scans}, token=TOKEN, port=0, max_sessions=sessions)
    with running(settings, Shelf(lambda _name, _weights: model, [Source("balls", "balls")])) as (actual, _):
        address = f"http://127.0.0.1:{actual.port}"
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as http:
            scan = http.post("/api/v1/scans", json={"root": "scans", "path": "ct.nii"}).json()["scan_id"]
        people = [Person(address, scan, number, actions) for number in range(sessions)]
        began = time.perf_counter()
        for each in people:
            each.start()
        health = watch_health(address, people)
        seconds = time.perf_counter() - began
        crossed = sum(not each.has_its_own_mask() for each in people)
        for each in people:
            each.http.close()
    done, refused = sum(len(each.done) for each in people), sum(each.refused for each in people)
    times = [each.seconds for each in people]
    return {
        "actions": done,
        "refused": refused,
        "lost": sessions * actions - done - refused,
        "crossed": crossed,
        "seconds": seconds,
        "slowest": max(times) / statistics.median(times),
        "health_ms": 1000 * float(np.percentile(health, 95)),
    }


def watch_health(address: str, people: list[Person]) -> list[float]:
    """Ask how the server is until everybody is ready, and return how long each answer took."""
    times = []
    with httpx.Client(base_url=address, timeout=60) as http:
        while any(each.is_alive() for each in people):
            began = time.perf_counter()
            http.get("/healthz")
            times.append(time.perf_counter() - began)
            time.sleep(0.05)
    for each in people:
        each.join()
    return times


if __name__ == "__main__":
    sys.exit(main())
