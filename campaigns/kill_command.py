"""Kill `prosect segment` of one scan at random moments: a result is whole or not there, and an old one is never lost.

python campaigns/kill_command.py --count 100 --shipped
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from killing import contents, finish, is_leftover, kill_when, leftovers, noise_scan, prepare, tiny_weights

KINDS = ("new file", "over an old file", "new folder")
# Times are not part of the result.
REPORT = ("report.json",)


def main() -> int:
    """Print one line of figures; the status is 1 where a file was partial or lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="kills (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shipped", action="store_true", help="the shipped model on a phantom, not a tiny random one")
    args = parser.parse_args()
    prepare()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        source = ["--phantom", "head-neck"] if args.shipped else tiny_source(work, rng)
        command = ["segment", *source, "-d", "cpu", "-q"]
        counts = campaign(command, work, rng, args.count)
    print(
        f"kill_command: {counts['killed']} kills ({counts['while writing']} while a file was being written): "
        f"{counts['partial']} partial results, {counts['lost']} old results lost, "
        f"{counts['finished']} whole results already in place, {counts['leftovers']} temporary files left behind, "
        f"{counts['stale']} of them after the next run"
    )
    return int(bool(counts["partial"] or counts["lost"] or counts["stale"]))


def tiny_source(work: Path, rng: np.random.Generator) -> list[object]:
    """Write a scan and a model, and return the words that name them."""
    return [noise_scan(work / "scan.nii.gz", rng, 128, 0.6), "-w", tiny_weights(work)]


def campaign(command: list[object], work: Path, rng: np.random.Generator, count: int) -> Counter[str]:
    """Return what was seen over `count` kills."""
    whole = work / "whole"
    whole.mkdir()
    status, seconds = finish([*command, "-o", whole / "labels.nii.gz"])
    assert status == 0, status
    assert finish([*command, "-o", f"{whole}/folder/"])[0] == 0
    expected = contents(whole, REPORT)
    counts: Counter[str] = Counter()
    trial = 0
    while counts["killed"] < count:
        counts.update(one(command, work / f"t{trial}", KINDS[trial % len(KINDS)], expected, seconds, rng))
        trial += 1
    return counts


def one(
    command: list[object], place: Path, kind: str, expected: dict[str, str], seconds: float, rng: np.random.Generator
) -> Counter[str]:
    """Kill one run and return what it left."""
    place.mkdir()
    old, target = place / "labels.nii.gz", "folder/" if kind == "new folder" else "labels.nii.gz"
    if kind == "over an old file":
        old.write_bytes(b"an older result")
    before = contents(place)
    aimed = bool(rng.random() < 0.5)  # half of the kills wait for the writing, which is short

    def ready() -> bool:
        return not aimed or any(is_leftover(Path(path.name)) for path in place.iterdir())

    delay = float(rng.uniform(0, 0.01 if aimed else seconds))
    killed = kill_when([*command, "-o", f"{place}/{target}", "--overwrite"], ready, delay)
    found, left = contents(place, REPORT), leftovers(place)
    if left:
        assert finish([*command, "-o", f"{place}/{target}", "--overwrite"])[0] == 0
    new = {name: hashed for name, hashed in found.items() if before.get(name) != hashed}
    wanted = {name: hashed for name, hashed in expected.items() if name.startswith(target)}
    return Counter(
        {
            "killed": int(killed),
            "while writing": int(killed and left > 0),
            "partial": int(bool(new) and new != wanted),
            "lost": int(any(name not in found for name in before)),
            "finished": int(bool(new) and killed),
            "leftovers": left,
            "stale": leftovers(place),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
