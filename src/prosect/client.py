"""A server of prosect from Python: the verbs of `Session`, over HTTP. It loads neither torch nor any model.

```python
from prosect.client import Client

with Client("http://127.0.0.1:8000/#t=TOKEN") as client:
    session = client.open("scans", "ct.nii.gz").session()
    session.click((12.0, -40.0, 310.0), structure="liver")
    session.export("liver.nii.gz")
```
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from prosect.errors import FormatError, ProsectError, ResourceError
from prosect.server.wire import unpack_delta

__all__ = ["Client", "RemoteChange", "RemoteScan", "RemoteSession"]

POLL_S = 0.2
TIMEOUT_S = 120.0
ENDINGS = ("seg.nrrd", "nii.gz", "nrrd", "mha", "statistics.csv", "session.json", "masks.zip", "label_tables.zip")


@dataclass(frozen=True)
class RemoteChange:
    """What an action changed.

    Attributes:
        revision: Number of the session's state after it.
        structure: What it was for.
        added: Voxels gained.
        removed: Voxels lost.
        notes: What was assumed, for the user to read.
        labels: Slots of the box after the action (i j k along the display copy's axes), or None where nothing changed.
        box: Where that is, `{"start": [3], "stop": [3]}`, or None.
    """

    revision: int
    structure: str
    added: int
    removed: int
    notes: tuple[str, ...]
    labels: NDArray[np.uint8] | None
    box: dict[str, list[int]] | None


class Client:
    """A connection to a server.

    Args:
        address: As the server prints it, token included; or without, and the token apart.
        token: The token.
        http: A connection of one's own, for tests and proxies.
    """

    def __init__(self, address: str, token: str | None = None, *, http: httpx.Client | None = None) -> None:
        parts = urlsplit(address)
        given = token or unquote(parts.fragment.removeprefix("t="))
        self._http = http or httpx.Client(base_url=f"{parts.scheme}://{parts.netloc}", timeout=TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {given}"}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; sessions go on to exist on the server."""
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the response to a request.

        Raises:
            ProsectError: The server refused it; the code is the one that the command line gives.
            ResourceError: The server cannot be reached (`SERVER_LOST`).
        """
        headers = {**self._headers, **options.pop("headers", {})}
        try:
            response = self._http.request(method, f"/api/v1{path}", headers=headers, **options)
        except httpx.TransportError as error:
            raise ResourceError(f"The server cannot be reached ({error}).", code="SERVER_LOST") from error
        if response.is_error:
            raise refusal(response)
        return response

    def capabilities(self) -> dict[str, Any]:
        """Return what the server can do."""
        found: dict[str, Any] = self.request("GET", "/capabilities").json()
        return found

    def open(self, root: str, path: str = "", series: str | None = None) -> RemoteScan:
        """Open a scan below one of the server's roots."""
        body = {"root": root, "path": path, **({} if series is None else {"series": series})}
        return RemoteScan(self, self.request("POST", "/scans", json=body).json())

    def upload(self, path: str | Path) -> RemoteScan:
        """Send a scan to the server and open it there."""
        place = Path(path)
        with place.open("rb") as file:
            headers = {"X-Filename": quote(place.name), "Content-Length": str(place.stat().st_size)}
            return RemoteScan(self, self.request("POST", "/uploads", content=file, headers=headers).json())

    def session(self, identity: str) -> RemoteSession:
        """Go on with a session."""
        return RemoteSession(self, identity)


@dataclass(frozen=True)
class RemoteScan:
    """A scan on a server."""

    client: Client
    facts: dict[str, Any]

    def session(self, overlap: str = "allow") -> RemoteSession:
        """Begin a session on it."""
        body = {"scan_id": self.facts["scan_id"], "overlap": overlap}
        return RemoteSession(self.client, str(self.client.request("POST", "/sessions", json=body).json()["session_id"]))


@dataclass(frozen=True)
class RemoteSession:
    """A session on a server."""

    client: Client
    identity: str

    def state(self) -> dict[str, Any]:
        """Return its structures, its revision, and whether there is something to undo."""
        found: dict[str, Any] = self._request("GET", "").json()
        return found

    def segment(self, structures: Sequence[str] | None = None, model: str | None = None) -> dict[str, Any]:
        """Draft structures, everything by default; wait for the end and return the state.

        Raises:
            ProsectError: The draft failed.
        """
        body: dict[str, Any] = {"structures": "everything" if structures is None else list(structures)}
        if model is not None:
            body["model"] = model
        job = self._request("POST", "/draft", json=body).json()
        while job["state"] in ("queued", "running"):
            time.sleep(POLL_S)
            job = self.client.request("GET", f"/jobs/{job['job_id']}").json()
        if job["problem"] is not None:
            raise ProsectError(str(job["problem"]["detail"]), code=str(job["problem"]["code"]))
        return self.state()

    def click(
        self, position: Sequence[float], positive: bool = True, structure: str = "object", space: str = "ras"
    ) -> RemoteChange:
        """Correct a structure where a person clicked; see `Session.click`."""
        body = {"structure": structure, "position": list(position), "positive": positive, "space": space}
        return self._act("/clicks", body)

    def undo(self) -> RemoteChange:
        """Take the last action back."""
        return self._act("/undo", {})

    def redo(self) -> RemoteChange:
        """Do again what was undone last."""
        return self._act("/redo", {})

    def clear(self, structure: str) -> RemoteChange:
        """Empty a structure."""
        return self._act("/clear", {"structure": structure})

    def lock(self, structure: str, locked: bool = True) -> None:
        """Protect a structure, or release it."""
        self._request("PUT", f"/structures/{quote(structure, safe='')}", json={"locked": locked})

    def start_from(self, path: str | Path) -> RemoteChange:
        """Take the masks of a label file as drafts."""
        place = Path(path)
        headers = {"X-Filename": quote(place.name)}
        return change_of(self._request("POST", "/masks", content=place.read_bytes(), headers=headers).content)

    def labels(self) -> RemoteChange:
        """Return the slots of the whole display copy."""
        return change_of(self._request("GET", "/labels").content)

    def export(self, path: str | Path) -> Path:
        """Write the labels to a file of this machine; its ending says the format.

        Raises:
            FormatError: No format has this ending (`OUTPUT_FORMAT`).
        """
        place = Path(path)
        kind = next((ending for ending in ENDINGS if place.name.endswith(ending)), None)
        if kind is None:
            raise FormatError(f"{place.name}: use one of the endings {', '.join(ENDINGS)}.", code="OUTPUT_FORMAT")
        place.write_bytes(self._request("GET", "/export", params={"format": kind}).content)
        return place

    def end(self) -> None:
        """End the session; its journal is deleted."""
        self._request("DELETE", "")

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, f"/sessions/{self.identity}{path}", **options)

    def _act(self, path: str, body: dict[str, Any]) -> RemoteChange:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return change_of(self._request("POST", path, json=body, headers=headers).content)


def change_of(data: bytes) -> RemoteChange:
    """Return a delta as a change."""
    header, labels = unpack_delta(data)
    said = header.get("change", {})
    return RemoteChange(
        revision=int(header["revision"]),
        structure=str(said.get("structure", "")),
        added=int(said.get("added", 0)),
        removed=int(said.get("removed", 0)),
        notes=tuple(header["notes"]),
        labels=labels,
        box=header["box"],
    )


def refusal(response: httpx.Response) -> ProsectError:
    """Return the error that a response stands for."""
    try:
        problem = response.json()
        return ProsectError(str(problem["detail"]), code=str(problem["code"]))
    except (ValueError, KeyError, TypeError):
        return ProsectError(f"The server answered {response.status_code}.", code=f"HTTP_{response.status_code}")
