"""Open model files that would run code if they were unpickled: all are refused, and none of them runs.

python campaigns/malicious_weights.py
"""

from __future__ import annotations

import argparse
import builtins
import io
import json
import multiprocessing
import os
import pickle
import runpy
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.collect_env

from prosect.checkpoints.files import read_weights
from prosect.errors import CheckpointError

SECONDS = 120


class Call:
    """Unpickles to a call."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def main() -> int:
    """Print one line of figures; the status is 1 where a file was opened or ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="files at most (default: all)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = campaign(Path(folder), args.count)
    found = f"{counts['files']} files: {counts['refused']} refused, {counts['opened']} opened, {counts['ran']} ran"
    print(json.dumps(counts) if args.json else f"malicious_weights: {found}; {counts['armed']} run when unpickled")
    return int(counts["refused"] != counts["files"] or counts["ran"] > 0 or counts["armed"] == 0)


def campaign(folder: Path, count: int) -> Counter[str]:
    """Return what became of the files; `armed` counts those that plain unpickling makes run."""
    canary, path = folder / "canary", folder / "model.pt"
    counts: Counter[str] = Counter(files=0, refused=0, opened=0, ran=0, armed=0)
    for content in list(files(canary))[:count]:
        path.write_bytes(content)
        counts["files"] += 1
        try:
            read_weights(path)
            counts["opened"] += 1
        except CheckpointError:
            counts["refused"] += 1
        counts["ran"] += canary.exists()
        canary.unlink(missing_ok=True)
        counts["armed"] += runs_when_unpickled(path, canary)
    return counts


def runs_when_unpickled(path: Path, canary: Path) -> bool:
    """Return whether the code in a file runs under `torch.load(weights_only=False)`, tried in another process.

    The process is a fork, in which torch is loaded already: starting one anew takes seconds for each file.
    """
    trial = multiprocessing.get_context("fork").Process(target=unpickle, args=(path,))
    trial.start()
    trial.join(SECONDS)  # a machine too busy for it only leaves a file uncounted
    if trial.is_alive():
        trial.kill()
        trial.join()
    ran = canary.exists()
    canary.unlink(missing_ok=True)
    return ran


def unpickle(path: Path) -> None:
    """Open a file as nobody should, without a word."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), suppress(Exception):
        if path.read_bytes()[:1] == b"\x80":
            pickle.loads(path.read_bytes())
        else:
            torch.load(path, weights_only=False)


def files(canary: Path) -> Iterator[bytes]:
    """Yield files that would create `canary`."""
    for call in calls(canary):
        for wrapped in (call, {"model": {"a.weight": torch.zeros(2), "b": call}}, [torch.zeros(1), (call,)]):
            yield pickle.dumps(wrapped, protocol=2)
            yield zipped(wrapped)
        yield with_broken_flags(zipped(call))


def calls(canary: Path) -> list[Call]:
    """Return calls by ways that checkers of pickles have overlooked."""
    opened = f"open({str(canary)!r}, 'w').close()"
    script = canary.parent / "script.py"
    script.write_text(opened)
    return [
        Call(os.system, f"touch {canary}"),
        Call(subprocess.check_output, ["touch", str(canary)]),
        Call(exec, opened),
        Call(eval, opened),
        Call(open, str(canary), "w"),
        Call(runpy.run_path, str(script)),
        Call(torch.utils.collect_env.run, f"touch {canary}"),
        Call(getattr(np, "__builtins__", vars(builtins))["eval"], opened),
    ]


def zipped(content: object) -> bytes:
    """Return a torch archive."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def with_broken_flags(archive: bytes) -> bytes:
    """Return an archive whose directory says that members are encrypted, which stops scanners but not torch."""
    out = bytearray(archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        assert found.namelist()
    place = out.find(b"PK\x01\x02")
    while place >= 0:
        out[place + 8] |= 1
        place = out.find(b"PK\x01\x02", place + 4)
    return bytes(out)


if __name__ == "__main__":
    sys.exit(main())
