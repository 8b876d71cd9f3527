"""People who work at once, each by a viewer of their own: one click after another, and a mask in the end."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import tempfile
import threading
import time
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

import prosect
from prosect.geometry import Grid
from prosect.server.packed import pack_array, unpack_array
from prosect.server.reversed_axes import affine_of
from prosect.server.wire import unpack_delta

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from worlds.serving import RADIUS_MM, TOKEN, ball

__all__ = ["GRID", "KINDS", "Person"]

SHAPE = (32, 32, 24)
SPACING_MM = 2.0
GRID = Grid(SHAPE, np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0]))
ROOM_S = 0.1  # until a full queue is asked again
Mask = NDArray[np.bool_]


class Person(threading.Thread):
    """One person, who clicks one click after another. State: what was answered so far.

    Args:
        address: The server's.
        number: Which of all; it seeds the places of the clicks.
        actions: How many clicks.
    """

    dialect = ""
    grid = GRID

    def __init__(self, address: str, number: int, actions: int) -> None:
        super().__init__()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.http = httpx.Client(base_url=address, headers=headers, timeout=120)
        self.number = number
        self.voxels = np.random.default_rng(number).integers(0, SHAPE, (actions, 3))
        self.done: list[NDArray[np.int64]] = []  # voxels (i j k) of clicks that were acknowledged
        self.refused, self.seconds, self.waits = 0, 0.0, 0
        self.each_s: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Send or open a scan."""
        raise NotImplementedError

    def click(self, voxel: NDArray[np.int64]) -> httpx.Response:
        """Send a click (i j k) and return the answer."""
        raise NotImplementedError

    def take(self, response: httpx.Response) -> None:
        """Take a good answer."""

    def mask(self) -> Mask:
        """Return the mask (i j k) as this person's viewer has it."""
        raise NotImplementedError

    def run(self) -> None:
        """Click; a queue that is full is waited for, as the page does."""
        began = time.perf_counter()
        for voxel in self.voxels:
            asked = time.perf_counter()
            response = self.click(voxel)
            while response.status_code == 429:
                self.waits += 1
                time.sleep(ROOM_S)
                response = self.click(voxel)
            self.each_s.append(time.perf_counter() - asked)
            if response.status_code == 200:
                self.done.append(voxel)
                self.take(response)
            else:
                self.refused += 1
                sys.stderr.write(f"{self.dialect} {response.status_code} {response.text:.200}\n")
        self.seconds = time.perf_counter() - began

    def has_its_own_mask(self) -> bool:
        """Whether the viewer holds what the acknowledged clicks make, and nothing else."""
        expected = np.zeros(SHAPE, dtype=bool)
        for voxel in self.done:
            expected |= ball(self.grid, self.grid.to_world(voxel.astype(float)), RADIUS_MM)
        return np.array_equal(self.mask(), expected)


class OnThePage(Person):
    """Somebody on our own page."""

    dialect = "native"

    def begin(self) -> None:
        """Open the scan."""
        scan = self.http.post("/api/v1/scans", json={"root": "scans", "path": "ct.nii"}).json()["scan_id"]
        self.session = str(self.http.post("/api/v1/sessions", json={"scan_id": scan}).json()["session_id"])

    def click(self, voxel: NDArray[np.int64]) -> httpx.Response:
        """Click."""
        place = self.grid.to_world(voxel.astype(float)).tolist()
        body = {"structure": "lesion", "position": place, "space": "ras"}
        return self.http.post(f"/api/v1/sessions/{self.session}/clicks", json=body)

    def mask(self) -> Mask:
        """Ask for the labels; the scan is stored as it is shown."""
        _, labels = unpack_delta(self.http.get(f"/api/v1/sessions/{self.session}/labels").content)
        return np.zeros(SHAPE, dtype=bool) if labels is None else labels > 0


class ByNnInteractive(Person):
    """Somebody with nnInteractive's plug-in, whose axes are reversed and whose buffer is painted box by box."""

    dialect = "nninteractive"
    grid = Grid(SHAPE, affine_of((SPACING_MM, SPACING_MM, SPACING_MM), "LPS"))

    def begin(self) -> None:
        """Take a place and send the scan."""
        self.http.headers["X-Lease-Token"] = self.http.post("/claim").json()["lease_token"]
        scan = np.zeros((1, *SHAPE[::-1]), dtype=np.int16)
        scan[0, 0, 0, 0] = self.number  # so that no two have the same scan
        meta = {"image_properties": {"spacing": [SPACING_MM] * 3}}
        self.send("/set_image", content=pack_array(scan), headers={"X-Meta": json.dumps(meta)})
        self.send("/set_target_buffer", json={"shape": SHAPE[::-1], "dtype": "uint8"})
        self.buffer = np.zeros(SHAPE[::-1], dtype=np.uint8)

    def send(self, path: str, **options: Any) -> None:
        """Make a call that must succeed."""
        response = self.http.post(path, **options)
        assert response.status_code == 200, response.text

    def click(self, voxel: NDArray[np.int64]) -> httpx.Response:
        """Click."""
        body = {"coordinates": voxel[::-1].tolist(), "include_interaction": True, "run_prediction": True}
        return self.http.post("/add_point_interaction", json=body)

    def take(self, response: httpx.Response) -> None:
        """Paint the box."""
        box = json.loads(response.headers["X-Meta"])["bbox"]
        if box is not None:
            slices = tuple(slice(low, high) for low, high in box)
            self.buffer[slices] = unpack_array(response.content, self.buffer.nbytes)

    def mask(self) -> Mask:
        """Return the buffer."""
        return self.buffer.transpose() > 0


class ByItkSnap(Person):
    """Somebody with ITK-SNAP, who gets the whole mask each time."""

    dialect = "dls"

    def begin(self) -> None:
        """Begin a session and send the scan; ITK's first two axes run the other way."""
        self.identity = self.http.get("/v2/start_session/prosect").json()["session_id"]
        scan = np.full(SHAPE, self.number, dtype="<f4")
        said = {
            "dimensions": SHAPE, "spacing": [SPACING_MM] * 3, "origin": [0.0, 0.0, 0.0],
            "direction": [-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0],
        }  # fmt: skip
        files = {
            "file": ("image.gz", gzip.compress(scan.tobytes(order="F"), 1), "application/gzip"),
            "metadata": (None, json.dumps(said), "application/json"),
        }
        response = self.http.post(f"/upload_raw/{self.identity}", files=files)
        assert response.status_code == 200, response.text
        self.found = np.zeros(SHAPE, dtype=bool)

    def click(self, voxel: NDArray[np.int64]) -> httpx.Response:
        """Click."""
        place = "&".join(f"point={index}" for index in voxel)
        return self.http.get(f"/v2/process_point_interaction/{self.identity}?{place}&foreground=true")

    def take(self, response: httpx.Response) -> None:
        """Unpack the mask."""
        packed = gzip.decompress(base64.b64decode(response.json()["result"]))
        self.found = np.frombuffer(packed, dtype=np.int8).reshape(SHAPE, order="F") > 0

    def mask(self) -> Mask:
        """Return the last mask."""
        return self.found


class ByMonaiLabel(Person):
    """Somebody with MONAI Label's plug-in, who sends all clicks each time and gets a label file."""

    dialect = "monailabel"

    def begin(self) -> None:
        """Nothing is sent: the scan is in the datastore."""
        self.file = b""

    def click(self, voxel: NDArray[np.int64]) -> httpx.Response:
        """Send all clicks so far, and one more."""
        said = {
            "label": "lesion", "foreground": [each.tolist() for each in (*self.done, voxel)], "background": [],
            "client_id": f"person {self.number}", "result_extension": ".nii",
        }  # fmt: skip
        return self.http.post("/infer/prosect-click?image=ct", files={"params": (None, json.dumps(said))})

    def take(self, response: httpx.Response) -> None:
        """Keep the label file of a multipart answer."""
        head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
        for part in BytesParser().parsebytes(head + response.content).walk():
            if part.get_filename():
                self.file = bytes(part.get_payload(decode=True))

    def mask(self) -> Mask:
        """Read the last label file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "label.nii"
            path.write_bytes(self.file)
            return np.asarray(prosect.read_labels(path).array) > 0


# As many of each as the specification of the load has: two of five by nnInteractive, one each by the others.
KINDS: tuple[type[Person], ...] = (ByNnInteractive, ByItkSnap, ByNnInteractive, ByMonaiLabel, OnThePage)
