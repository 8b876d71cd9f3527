"""Ask a server whatever its own OpenAPI allows, and much that it forbids: no answer may be a bug of ours.

python campaigns/ask_server.py --cases 10000
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

import prosect
from prosect.geometry import Grid
from prosect.server.running import running
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf, Source
from prosect.volume import Volume

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from worlds.serving import TOKEN, BallModel

SHAPE = (12, 12, 10)
# What the server may lack for a moment, with a code that says what; anything else from 500 on is a bug.
ALLOWED = (503, 507)
MOST_ROUNDS = 20
ENDLESS = "/events"  # a stream that goes on for as long as anybody listens


def main() -> int:
    """Print one line of figures; the status is 1 where an answer was a bug."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="requests (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts = campaign(Path(name), args.cases, args.seed)
    said = ", ".join(f"{number} x {status}" for status, number in sorted(counts.items()) if status.isdigit())
    print(
        f"ask_server: {counts['requests']} requests ({said}), {counts['bugs']} bugs, {counts['undocumented']} answers "
        f"that the OpenAPI does not know; {counts['not sendable']} cases that no client can send"
    )
    return int(bool(counts["bugs"] or counts["undocumented"]))


def campaign(work: Path, cases: int, number: int) -> Counter[str]:
    """Return how many answers had which status over some generated requests."""
    scans = work / "scans"
    scans.mkdir()
    volume = Volume(np.zeros(SHAPE, dtype=np.float32), Grid(SHAPE, np.eye(4)), "CT")
    prosect.write(volume, scans / "ct.nii")
    model: Any = BallModel()
    chosen = Settings(
        work=work / "work", roots={"scans": scans}, token=TOKEN, port=0, output_root=work / "results",
        max_upload_bytes=1 << 20,
    )  # fmt: skip
    shelf = Shelf(lambda _name, _weights: model, [Source("balls", "balls")])
    counts: Counter[str] = Counter()
    with running(chosen, shelf) as (actual, _):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{actual.port}", headers=headers, timeout=60) as http:
            known = identities(http)
            schema = schemathesis.openapi.from_dict(http.get("/api/v1/openapi.json").json())
            schema.config.update(base_url=str(http.base_url))
            operations = [each.ok() for each in schema.get_all_operations()]
            asked = [each for each in operations if not each.path.endswith(ENDLESS)]
            # Some cases no client can put on the wire, and of some operations there are few, so that rounds are needed.
            for turn in itertools.count():
                share = (cases - counts["requests"]) // len(asked) + 1
                for position, operation in enumerate(asked):
                    ask(http, operation, known, share, number + turn * len(asked) + position, counts)
                if counts["requests"] >= cases or turn == MOST_ROUNDS:
                    break
    return counts


def identities(http: httpx.Client) -> dict[str, str]:
    """Begin a session and return what its scan and itself are called, for requests that get past the first check."""
    scan = http.post("/api/v1/scans", json={"root": "scans", "path": "ct.nii"}).json()["scan_id"]
    session = http.post("/api/v1/sessions", json={"scan_id": scan}).json()["session_id"]
    return {"scan_id": scan, "session_id": session}


def ask(
    http: httpx.Client, operation: Any, known: dict[str, str], count: int, number: int, counts: Counter[str]
) -> None:
    """Send generated requests of one operation, half of them malformed, and count the answers."""
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    bad = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(good, bad), st.integers(0, 3))
    def send(case: Any, chance: int) -> None:
        # Mostly a session that exists: otherwise nearly all answers would be 404. Ending it would end that.
        if chance and operation.method.upper() != "DELETE":
            case.path_parameters = {**(case.path_parameters or {}), **within(known, case.path_parameters)}
        sent = case.as_transport_kwargs(base_url=str(http.base_url), headers=dict(http.headers))
        sent.pop("cookies", None)
        if isinstance(sent.get("data"), bytes | str):
            sent["content"] = sent.pop("data")
        try:
            response = answer_to(http, {key: value for key, value in sent.items() if value is not None})
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError, ValueError, TypeError):
            counts["not sendable"] += 1  # no client can put this on the wire
            return
        counts["requests"] += 1
        counts[str(response.status_code)] += 1
        if not is_documented(operation, response):
            counts["undocumented"] += 1
            kind = response.headers.get("content-type", "")
            sys.stderr.write(f"{operation.method} {operation.path}: {response.status_code} {kind} is not documented\n")
        if response.status_code >= 500 and response.status_code not in ALLOWED:
            counts["bugs"] += 1
            sys.stderr.write(f"{operation.method} {operation.path}: {response.status_code} {sent}\n")

    send()


def answer_to(http: httpx.Client, sent: dict[str, Any]) -> httpx.Response:
    """Return the answer to a request, sent again where the server had just closed a connection that was long unused."""
    try:
        return http.request(**sent)
    except httpx.RemoteProtocolError:
        return http.request(**sent)


def is_documented(operation: Any, response: httpx.Response) -> bool:
    """Return whether the OpenAPI knows the status of an answer, and whether a refusal is one of ours."""
    known = operation.definition.raw["responses"]
    status = str(response.status_code)
    if status not in known and f"{status[0]}XX" not in known:
        return False
    return response.status_code < 400 or response.headers["content-type"].startswith("application/problem+json")


def within(known: dict[str, str], parameters: Any) -> dict[str, str]:
    """Return the identities that an operation's path has a place for."""
    return {key: value for key, value in known.items() if key in (parameters or {})}


if __name__ == "__main__":
    sys.exit(main())
