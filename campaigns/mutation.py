"""Damage valid scans in structured ways and read them: a right answer or a refusal, never anything else.

python campaigns/mutation.py --count 100000

Each case ends in one of these ways:
right          the true voxels in their true place
refused        a ProsectError in one line
said           other voxels or another place, with a warning
another file   other voxels or another place without a warning, and libraries without checks read the same from it: the
               damage made a valid file that says something else, which its format gives no means to notice
WRONG          the same, but no other library agrees, or the format has a checksum over what was damaged
UNTYPED        another exception
CRASH          the process died
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mutators import MUTATORS
from prosect.errors import ProsectError, ProsectWarning
from prosect.io import read
from samples import Array, Sample, samples, witness

BAD = ("WRONG", "UNTYPED", "CRASH")
FAMILIES = ("nifti", "nrrd", "metaimage", "dicom")
CHUNK = 500
MEMORY_BYTES = 8 << 30


@dataclass(frozen=True)
class Case:
    """How one damaged scan was read."""

    index: int
    sample: str
    mutator: str
    outcome: str
    detail: str = ""


def main() -> int:
    """Print one line of figures; the status is 1 where anything was wrong, untyped or a crash."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="damaged scans (default: 100000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", choices=FAMILIES, help="one format only")
    parser.add_argument("--only", type=int, help="repeat the case of this number alone, in this process")
    parser.add_argument("--json", action="store_true", help="print figures by format, and the bad cases, as JSON")
    args = parser.parse_args()
    if args.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(one(args.seed, args.only, Path(folder), args.family))
        return 0
    cases = campaign(args.seed, args.count, args.family)
    bad = [case for case in cases if case.outcome in BAD]
    counts = Counter(case.outcome for case in cases)
    print(as_json(cases, bad) if args.json else summary(counts))
    for case in bad[:20]:
        print(f"  {case}", file=sys.stderr)
    return int(bool(bad))


def summary(counts: Counter[str]) -> str:
    """Return the one line."""
    return (
        f"mutation: {counts.total()} damaged scans: {counts['refused']} refused, {counts['right']} read right, "
        f"{counts['said']} read with a warning, {counts['another file']} became another valid file; "
        f"{counts['WRONG']} silently wrong, {counts['UNTYPED']} untyped errors, {counts['CRASH']} crashes"
    )


def as_json(cases: list[Case], bad: list[Case]) -> str:
    """Return all figures by format."""
    family = {sample.name: sample.family for sample in samples()}
    table = {name: Counter(c.outcome for c in cases if family[c.sample] == name) for name in FAMILIES}
    return json.dumps({"count": len(cases), "by_format": table, "bad": [vars(case) for case in bad]}, indent=1)


def campaign(seed: int, count: int, family: str | None = None) -> list[Case]:
    """Return how each of `count` damaged scans was read, in child processes so that a crash is one case."""
    samples()
    found: list[Case] = []
    while len(found) < count:
        start = len(found)
        found += chunk(seed, range(start, min(count, start + CHUNK)), family)
    return found


def chunk(seed: int, indices: range, family: str | None) -> list[Case]:
    """Return the cases of one child process, the last a crash if the child died."""
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        try:
            work(seed, indices, family, into)
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as lines:
        found = [Case(*json.loads(line)) for line in lines if line.endswith("]\n")]
    _, state = os.waitpid(process, 0)
    if len(found) < len(indices):
        sample, mutator = chosen(np.random.default_rng([seed, indices[len(found)]]), family)
        status = os.waitstatus_to_exitcode(state)
        found.append(Case(indices[len(found)], sample.name, mutator.__name__, "CRASH", f"status {status}"))
    return found


def work(seed: int, indices: range, family: str | None, into: int) -> None:
    """Write the cases as JSON lines to a pipe."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the witnesses' C++ libraries write to it
    with tempfile.TemporaryDirectory() as folder:
        for index in indices:
            case = one(seed, index, Path(folder) / "scan", family)
            os.write(into, (json.dumps(list(vars(case).values())) + "\n").encode())


def chosen(rng: np.random.Generator, family: str | None) -> tuple[Sample, Any]:
    """Return a sample and a mutator, each family as often as any other."""
    kind = family or FAMILIES[rng.integers(len(FAMILIES))]
    among = [sample for sample in samples() if sample.family == kind]
    return among[rng.integers(len(among))], MUTATORS[kind][rng.integers(len(MUTATORS[kind]))]


def one(seed: int, index: int, folder: Path, family: str | None = None) -> Case:
    """Damage one scan, read it, and say how that went."""
    rng = np.random.default_rng([seed, index])
    sample, mutator = chosen(rng, family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of the damage we do
        path = sample.save(folder, mutator(rng, sample))
    checked = sample.pack is not None and mutator.__name__ in ("any_bytes", "header_bytes")
    try:
        outcome, detail = judged(path, sample, checked)
    except Exception as error:
        outcome, detail = "UNTYPED", "".join(traceback.format_exception(error)[-3:])
    return Case(index, sample.name, mutator.__name__, outcome, detail)


def judged(path: Path, sample: Sample, checked: bool) -> tuple[str, str]:
    """Return how a file was read; `checked` where a checksum covers the damage. Untyped errors pass."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            volume = read(path)
        except ProsectError as error:
            return ("refused", error.code) if "\n" not in str(error) else ("UNTYPED", f"two lines: {error}")
        said = [str(w.message) for w in caught if issubclass(w.category, ProsectWarning)]
        if alike(volume.array, volume.grid.affine, sample.array, sample.affine):
            return "right", ""
        if said:
            return "said", said[0]
        seen = None if checked else witness(path, sample.family)
    if seen is not None and alike(volume.array, volume.grid.affine, *seen):
        return "another file", ""
    return "WRONG", f"{volume.grid} {volume.source.notes} witness {'none' if seen is None else seen[1].tolist()}"


def alike(array: Array, affine: Array, true_array: Array, true_affine: Array) -> bool:
    """Return whether voxels are equal (as float32) and lie in the same place within a micrometre or 1e-6."""
    with np.errstate(all="ignore"):
        return bool(
            array.shape == true_array.shape
            and np.array_equal(array, true_array.astype(np.float32))
            and np.allclose(affine, true_affine, rtol=1e-6, atol=1e-6)
        )


if __name__ == "__main__":
    sys.exit(main())
