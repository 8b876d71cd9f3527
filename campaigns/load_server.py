"""Many people at once on one server, by several viewers: every click is answered, in its own session, alike for all.

python campaigns/load_server.py --sessions 50
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np

import prosect
from prosect.volume import Volume

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from load_health import Memory, ask_health
from load_people import GRID, KINDS, Person
from worlds.serving_process import served

MIB = 1 << 20


def main() -> int:
    """Print lines of figures; the status is 1 where a click was lost or fell into another session."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50, help="people (default: 50)")
    parser.add_argument("--actions", type=int, default=20, help="clicks of each (default: 20)")
    parser.add_argument("--wait", type=float, default=0.05, help="seconds that the model takes (default: 0.05)")
    parser.add_argument("--settle", type=float, default=60, help="seconds until memory must stay (default: 60)")
    parser.add_argument("--only", choices=sorted({kind.dialect for kind in KINDS}), help="all by one viewer")
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if args.only in (None, kind.dialect)]
    with tempfile.TemporaryDirectory() as name:
        found = campaign(Path(name), args.sessions, args.actions, args.wait, kinds, args.settle)
    print(
        f"load_server: {args.sessions} sessions, {found['actions']:.0f} actions in {found['seconds']:.0f} s, "
        f"{found['refused']:.0f} refused, {found['lost']:.0f} lost, {found['crossed']:.0f} sessions with a wrong mask, "
        f"{found['waits']:.0f} waits for room; slowest session {found['slowest']:.2f} x median of its viewer; "
        f"/healthz p50 {found['health_p50_ms']:.0f} ms, p95 {found['health_ms']:.0f} ms; memory "
        f"{found['memory_mib']:.0f} MiB after {args.settle:.0f} s, at most {100 * found['growth']:+.1f} % from then on"
    )
    for dialect in sorted({kind.dialect for kind in kinds}):
        print(f"  {dialect}: click p50 {found[dialect + '_p50_s']:.2f} s, p95 {found[dialect + '_p95_s']:.2f} s")
    return int(bool(found["lost"] or found["crossed"]))


def campaign(
    work: Path,
    sessions: int,
    actions: int,
    wait_s: float,
    kinds: Sequence[type[Person]] = KINDS,
    settle_s: float = 60.0,
) -> dict[str, float]:
    """Return what was seen while some people worked at once."""
    scans = work / "scans"
    scans.mkdir()
    prosect.write(Volume(np.zeros(GRID.shape, dtype=np.float32), GRID, "CT"), scans / "ct.nii")
    # A process of its own, as in life: people who share its interpreter would keep it waiting themselves.
    with served(work / "work", scans, sessions=2 * sessions, wait_s=wait_s) as (http, process):
        address = http.base_url
        memory = Memory(process.pid)
        people = [kinds[number % len(kinds)](str(address), number, actions) for number in range(sessions)]
        began = time.perf_counter()
        for each in (memory, *people):
            each.start()
        health = watch(address, people)
        memory.enough()
        seconds = time.perf_counter() - began
        crossed = sum(not each.has_its_own_mask() for each in people)
        for each in people:
            each.http.close()
    done, refused = sum(len(each.done) for each in people), sum(each.refused for each in people)
    return {
        "actions": done,
        "refused": refused,
        "lost": sessions * actions - done - refused,
        "crossed": crossed,
        "waits": sum(each.waits for each in people),
        "seconds": seconds,
        "memory_mib": memory.at(settle_s) / MIB,
        "growth": memory.growth(settle_s),
        "health_p50_ms": 1000 * float(np.percentile(health, 50)),
        "health_ms": 1000 * float(np.percentile(health, 95)),
        **by_viewer(people),
    }


def by_viewer(people: Sequence[Person]) -> dict[str, float]:
    """Return how long clicks took by each viewer, and how fair that was within one."""
    found = {"slowest": 0.0}
    for dialect in {each.dialect for each in people}:
        group = [each for each in people if each.dialect == dialect]
        times = [each.seconds for each in group]
        clicks = np.concatenate([each.each_s for each in group])
        found["slowest"] = max(found["slowest"], max(times) / statistics.median(times))
        found[f"{dialect}_p50_s"] = float(np.percentile(clicks, 50))
        found[f"{dialect}_p95_s"] = float(np.percentile(clicks, 95))
    return found


def watch(address: httpx.URL, people: Sequence[Person]) -> list[float]:
    """Ask how the server is until everybody is ready, and return how long each answer took in s."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    watcher = context.Process(target=ask_health, args=(address.host, address.port, there))
    watcher.start()
    for each in people:
        each.join()
    here.send("enough")
    times: list[float] = here.recv()
    watcher.join()
    return times


if __name__ == "__main__":
    sys.exit(main())
