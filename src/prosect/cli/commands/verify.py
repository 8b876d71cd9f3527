"""`prosect verify`: whether a result is what its report says, by its hashes and by making it once more."""

from __future__ import annotations

import argparse

from prosect.cli.console import open_console
from prosect.cli.progress import counting
from prosect.jobs import Checked, VerifyJob

__all__ = ["run"]

DIFFERENT = 3


def run(args: argparse.Namespace) -> int:
    """Check one result; return 0 where it is what its report says, 3 where anything differs."""
    job = VerifyJob(args.out, args.outputs, args.hashes_only, args.input, args.weights, args.device)

    def say(line: str) -> None:
        """Print a line unless only the verdict is wanted."""
        if not args.quiet:
            open_console().print(line)

    with counting("segmenting", args.quiet) as watch:
        found = job.run(tell=lambda step: say(sentence(step)), watch=watch)
    for line in (*found.problems, *found.notes):
        say(line)
    if found.problems:
        print(f"not verified: {found.problems[0]}")
        return DIFFERENT
    equal = "and made again byte for byte"
    if args.hashes_only:
        equal = "by their hashes"
    print(f"verified: {found.files} files, {equal}")
    return 0


def sentence(step: Checked) -> str:
    """Return what a step of the verification has shown."""
    if step.what == "outputs":
        return f"outputs: {step.equal} of {step.total} as recorded"
    if step.what == "made again":
        return f"made again: {step.equal} of {step.total} equal byte for byte"
    return f"{step.what}: as recorded"
