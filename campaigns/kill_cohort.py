"""Kill `prosect segment FOLDER` at random moments and start it again until it is done: nothing lost, nothing twice.

python campaigns/kill_cohort.py --cases 50 --kills 50
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from killing import contents, finish, kill_when, leftovers, noise_scan, prepare, tiny_weights
from prosect.cohort.ledger import DONE, SAVING, START, replay
from prosect.cohort.manifest import LEDGER
from prosect.cohort.running import REPORT

# Both tell of times and of runs.
OWN = (LEDGER, REPORT)


def main() -> int:
    """Print one line of figures; the status is 1 where anything was partial, lost, repeated or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50, help="scans in the folder (default: 50)")
    parser.add_argument("--kills", type=int, default=50, help="kills at most (default: 50)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    prepare()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "in").mkdir()
        for number in range(args.cases):
            noise_scan(work / "in" / f"case_{number:03d}.nii.gz", rng, 24)
        command = ["segment", work / "in", "-w", tiny_weights(work), "-d", "cpu", "-q", "-s"]
        counts = campaign(command, work, rng, args.kills)
    print(
        f"kill_cohort: {args.cases} cases, {counts['kills']} kills: {counts['partial']} partial files, "
        f"{counts['lost']} lost, {counts['repeated']} finished cases repeated, {counts['again']} of those in flight "
        f"begun again, {counts['different']} files different from an uninterrupted run, "
        f"{counts['leftovers']} temporary files left at the end"
    )
    bad = ("partial", "lost", "repeated", "different", "leftovers", "failed")
    return int(any(counts[word] for word in bad))


def campaign(command: list[object], work: Path, rng: np.random.Generator, kills: int) -> Counter[str]:
    """Return what was seen until the folder was done."""
    status, seconds = finish([*command, "-o", work / "whole"])
    assert status == 0, status
    whole, out, counts = contents(work / "whole", OWN), work / "out", Counter[str]()
    # On average a run lives long enough for the kills to be spread over all cases.
    life = seconds / max(kills, 1)
    for _ in range(kills):
        lines, more = len(events(out)), int(rng.integers(0, 4))
        begun = int(rng.random() < 0.8) * more  # the others die while the model is being loaded

        def ready(wanted: int = lines + begun) -> bool:
            return len(events(out)) >= wanted

        if not kill_when([*command, "-o", out], ready, float(rng.uniform(0, life))):
            break
        counts["kills"] += 1
        found = contents(out, OWN) if out.exists() else {}
        counts["partial"] += sum(whole.get(name) != hashed for name, hashed in found.items())
    counts["failed"] = finish([*command, "-o", out])[0]
    final = contents(out, OWN)
    counts["lost"] = len(set(whole) - set(final))
    counts["different"] = sum(whole.get(name) != hashed for name, hashed in final.items())
    counts["leftovers"] = leftovers(out)
    return counts + judged(events(out))


def judged(ledger: list[dict[str, object]]) -> Counter[str]:
    """Return how many cases were begun again after they were done, and how many after they were only begun."""
    done: set[object] = set()
    begun: set[object] = set()
    counts: Counter[str] = Counter()
    for event in ledger:
        if event["event"] == SAVING:
            counts["repeated"] += event["case"] in done
            counts["again"] += event["case"] in begun - done
            begun.add(event["case"])
        elif event["event"] == DONE:
            done.add(event["case"])
    counts["runs"] = sum(event["event"] == START for event in ledger)
    return counts


def events(out: Path) -> list[dict[str, object]]:
    """Return what the ledger holds."""
    path = out / LEDGER
    return replay(path.read_bytes()) if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
