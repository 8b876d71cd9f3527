"""Kill `prosect serve` with -9 while people click: every action that it acknowledged is there when it is back.

python campaigns/kill_server.py --kills 20
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import prosect
from prosect.geometry import Grid
from prosect.server.wire import unpack_delta
from prosect.volume import Volume

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from worlds.serving import RADIUS_MM, ball
from worlds.serving_process import served

SHAPE = (40, 36, 28)
AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])


def main() -> int:
    """Print one line of figures; the status is 1 where an acknowledged action was lost or a journal was damaged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="default: 20")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts = campaign(Path(name), args.kills, np.random.default_rng(args.seed))
    print(
        f"kill_server: {counts['kills']} kills, {counts['acknowledged']} actions acknowledged, {counts['lost']} lost, "
        f"{counts['unasked']} done without a reply, {counts['wrong']} sessions that differ from their clicks"
    )
    return int(bool(counts["lost"] or counts["wrong"]))


def campaign(work: Path, kills: int, rng: np.random.Generator) -> Counter[str]:
    """Return what was seen over some kills of one server, whose session goes on from each to the next."""
    scans = work / "scans"
    scans.mkdir()
    volume = Volume(rng.integers(-1000, 500, SHAPE).astype(np.float32), Grid(SHAPE, AFFINE), "CT")
    prosect.write(volume, scans / "ct.nii.gz")
    counts: Counter[str] = Counter()
    session: str | None = None
    acknowledged: list[tuple[float, ...]] = []
    for _ in range(kills):
        with served(work / "work", scans) as (http, process):
            session = session or begin(http)
            counts.update(compare(http, session, acknowledged, volume.grid))
            killer = threading.Thread(target=kill_later, args=(process, float(rng.uniform(0.2, 2.5))))
            killer.start()
            acknowledged += click_until_lost(http, session, volume.grid, rng)
            killer.join()
            counts["kills"] += 1
    with served(work / "work", scans) as (http, _):
        assert session is not None
        counts.update(compare(http, session, acknowledged, volume.grid))
    counts["acknowledged"] = len(acknowledged)
    return counts


def begin(http: httpx.Client) -> str:
    """Begin a session on the scan and return its identity."""
    scan = http.post("/api/v1/scans", json={"root": "scans", "path": "ct.nii.gz"}).json()
    return str(http.post("/api/v1/sessions", json={"scan_id": scan["scan_id"]}).json()["session_id"])


def kill_later(process: Any, seconds: float) -> None:
    """Kill a process after a while."""
    time.sleep(seconds)
    process.kill()


def click_until_lost(http: httpx.Client, session: str, grid: Grid, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """Click at random places until the server is gone; return those that it acknowledged."""
    done = []
    while True:
        voxel = rng.integers(0, grid.shape)
        place = tuple(grid.to_world([voxel])[0].tolist())
        body = {"structure": "lesion", "position": place, "space": "ras"}
        try:
            reply = http.post(f"/api/v1/sessions/{session}/clicks", json=body)
        except httpx.TransportError:
            return done
        assert reply.status_code == 200, reply.text
        done.append(place)


def compare(http: httpx.Client, session: str, acknowledged: list[tuple[float, ...]], grid: Grid) -> Counter[str]:
    """Return what of the acknowledged clicks is missing, and whether the mask is what the clicks make."""
    clicks = http.get(f"/api/v1/sessions/{session}/clicks").json()["clicks"]
    there = {tuple(np.round(each["position_ras"], 6)) for each in clicks}
    lost = [place for place in acknowledged if tuple(np.round(place, 6)) not in there]
    expected = np.zeros(grid.shape, dtype=bool)
    for each in clicks:
        expected |= ball(grid, each["position_ras"], RADIUS_MM)
    _, labels = unpack_delta(http.get(f"/api/v1/sessions/{session}/labels").content)
    found = np.zeros(grid.shape, dtype=bool) if labels is None else labels > 0
    wrong = not np.array_equal(found, expected)
    # A click whose reply was on its way when the server died is in the journal, and nobody knows.
    unasked = len(there) - len({tuple(np.round(place, 6)) for place in acknowledged}) + len(lost)
    acknowledged.extend(tuple(each["position_ras"]) for each in clicks if not is_known(each, acknowledged))
    return Counter({"lost": len(lost), "wrong": int(wrong), "unasked": max(unasked, 0)})


def is_known(click: dict[str, Any], acknowledged: list[tuple[float, ...]]) -> bool:
    """Return whether a click of the session is one that was acknowledged."""
    return any(np.allclose(click["position_ras"], place, atol=1e-6) for place in acknowledged)


if __name__ == "__main__":
    sys.exit(main())
