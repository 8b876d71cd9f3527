"""Seconds from a click to its painted box, and from opening a scan to its picture, as a page on this machine waits.

`python benches/serve.py` serves a scan of 512 x 512 x 400 voxels on loopback and prints both, with what the processor
can do. The model is a stand-in that answers at once with a ball in a box of 128 voxels: what is timed is the server and
the wire. A network's own time comes on top (`benches/clicks.py`). Painting is the browser's: 6 to 12 ms for such a box.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

import prosect
from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from prosect.server.wire import unpack_delta
from prosect.volume import Volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from worlds.serving import TOKEN, WORDS, BallModel

BOX = 128
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


class InstantResponder:
    """Answers every click with a ball in a box around it. State: the seconds that its answers took."""

    def __init__(self, volume: Volume) -> None:
        self.grid, self.seconds = volume.grid, 0.0
        offsets = np.indices((BOX, BOX, BOX)) - BOX // 2
        self.ball = (offsets**2).sum(axis=0) < (BOX // 2 - 4) ** 2

    def place(self, _position: Sequence[float], _existing: Any) -> tuple[int, int, int]:
        return (0, 0, 0)

    def box(self, _patch: Any) -> Box:
        return Box((0, 0, 0), self.grid.shape)

    def extent(self, question: Any, _watch: Any = None) -> Box:
        centre = np.rint(self.grid.to_voxel([question.clicks[-1].position_ras])[0]).astype(int)
        i, j, k = (int(each) - BOX // 2 for each in centre)
        return Box((i, j, k), (i + BOX, j + BOX, k + BOX))

    def propose(self, _question: Any, box: Box, watch: Any = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        began = time.perf_counter()
        answer = np.ones(box.shape, dtype=np.bool_), self.ball[: box.shape[0], : box.shape[1], : box.shape[2]]
        self.seconds += time.perf_counter() - began
        return answer


class InstantModel(BallModel):
    """The model of balls with the responder that costs nothing."""

    def responder(self, volume: Volume, _kept: Any = None) -> Any:
        return InstantResponder(volume)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 400))
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--format", default="nii", choices=("nii", "nii.gz"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = {**processor(), **measure(Path(name), tuple(args.shape), args.clicks, args.format)}
    print(
        json.dumps(figures, indent=1) if args.json else "\n".join(f"{key}: {value}" for key, value in figures.items())
    )
    return 0


def processor() -> dict[str, Any]:
    """Return what the processor is and can do, since figures mean little without it."""
    place = Path("/proc/cpuinfo")
    text = place.read_text() if place.exists() else ""
    lines = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(("model name", "flags"))]
    flags = set(" ".join(lines).split())
    return {
        "processor": lines[0] if lines else platform.processor(),
        "features": [each for each in FEATURES if each in flags],
    }


def measure(work: Path, shape: tuple[int, int, int], clicks: int, kind: str) -> dict[str, Any]:
    """Return the seconds of opening and of clicks."""
    scans = work / "scans"
    scans.mkdir()
    noise = np.random.default_rng(0).integers(-1000, 1000, (64, 64, 64)).astype(np.float32)
    array = np.tile(noise, [-(-count // 64) for count in shape])[: shape[0], : shape[1], : shape[2]]
    prosect.write(Volume(array, Grid(shape, np.diag([0.8, 0.8, 1.0, 1.0])), "CT"), scans / f"ct.{kind}")
    model: Any = InstantModel()
    settings = Settings(work=work / "work", roots={"scans": scans}, token=TOKEN, port=0, memory_bytes=32 << 30)
    with running(settings, Shelf(lambda _name, _weights: model, [Source("balls", "balls")])) as (actual, _):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{actual.port}", headers=headers, timeout=300) as http:
            opening, scan, session = opened(http, f"ct.{kind}")
            grid = Grid(tuple(scan["shape"]), np.asarray(scan["affine_ras"]))
            return {"shape": list(shape), **opening, **clicked(http, session, grid, clicks)}


def opened(http: httpx.Client, name: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Open a scan as the page does, and return the seconds of each step, the scan and a session."""
    seconds: dict[str, Any] = {}

    def timed(step: str, ask: Callable[[], httpx.Response]) -> httpx.Response:
        began = time.perf_counter()
        reply = ask().raise_for_status()
        seconds[step] = round(time.perf_counter() - began, 3)
        return reply

    scan = timed("open_s", lambda: http.post("/api/v1/scans", json={"root": "scans", "path": name})).json()
    body = {"scan_id": scan["scan_id"]}
    began = time.perf_counter()
    with ThreadPoolExecutor() as pool:  # the page asks for both at once
        picture = pool.submit(timed, "picture_s", lambda: http.get(f"/api/v1/scans/{scan['scan_id']}/view.nii"))
        session = timed("begin_s", lambda: http.post("/api/v1/sessions", json=body)).json()["session_id"]
        picture.result()
    both = time.perf_counter() - began
    timed("labels_s", lambda: http.get(f"/api/v1/sessions/{session}/labels", params={"tight": True}))
    seconds["until_picture_s"] = round(seconds["open_s"] + both + seconds["labels_s"], 3)
    return seconds, scan, str(session)


def clicked(http: httpx.Client, session: str, grid: Grid, count: int) -> dict[str, Any]:
    """Click at random places, and return the milliseconds until the box of labels is there."""
    rng = np.random.default_rng(1)
    half = BOX // 2
    names = [each.name for each in WORDS if each.status == "supported"]
    times, sizes = [], []
    for number, voxel in enumerate(rng.integers(half, np.asarray(grid.shape) - half, (count, 3))):
        # Another structure each time: the responder knows the box of one click only.
        body = {"structure": names[number], "position": grid.to_world([voxel])[0].tolist(), "space": "ras"}
        began = time.perf_counter()
        reply = http.post(f"/api/v1/sessions/{session}/clicks", json=body).raise_for_status()
        _, labels = unpack_delta(reply.content)
        times.append(1000 * (time.perf_counter() - began))
        assert labels is not None
        sizes.append(len(reply.content))
    return {
        "click_ms_median": round(statistics.median(times), 1),
        "click_ms_best": round(min(times), 1),
        "click_ms_worst": round(max(times), 1),
        "delta_bytes_median": int(statistics.median(sizes)),
    }


if __name__ == "__main__":
    sys.exit(main())
