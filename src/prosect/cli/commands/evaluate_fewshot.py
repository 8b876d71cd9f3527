"""`prosect evaluate fewshot`: how many labelled scans a new structure needs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from prosect.cli.choices import list_of, model_of
from prosect.cli.commands.finetune import silent
from prosect.cli.console import open_console, plain_table
from prosect.cli.learning import settings_of
from prosect.evaluation.report import interval
from prosect.jobs.few_shots import FewShotJob
from prosect.training.finetuning.fewshot import Outcome
from prosect.training.finetuning.seeds import ways

__all__ = ["run"]

PARTLY = 4
REPORT = 3  # which of the files is for people


def run(args: argparse.Namespace) -> int:
    """Train and test by number of scans; return 0, or 4 where test scans were refused or the time was over."""
    say = silent if args.quiet else open_console().print
    stop_at = None if args.minutes is None else time.time() + 60 * args.minutes
    done = job_of(args).run(say=say, stop_at=stop_at)
    if not args.quiet:
        summarise(done.outcomes)
        say(str(done.files[REPORT]))
        if not done.is_complete:
            count = len(done.outcomes)
            say(f"the time was over after {count} of {done.planned} trainings; the same command goes on")
    return 0 if done.is_complete and not done.has_refused else PARTLY


def job_of(args: argparse.Namespace) -> FewShotJob:
    """Return what the flags ask for.

    Raises:
        RecipeError: A number cannot be (`RECIPE_INVALID`).
    """
    return FewShotJob(
        scans=list_of(args, args.list),
        output=args.output,
        shots=tuple(args.shots),
        from_scratch=args.from_scratch,
        seeds=args.seeds,
        limit=args.limit,
        settings=settings_of(args, seed=args.seed),
        nsd_mm=args.nsd_mm,
        overlap=args.overlap,
        model=model_of(args),
    )


def summarise(found: Sequence[Outcome]) -> None:
    """Print the mean of every training."""
    table: Any = plain_table()
    table.add_column("training")
    for head in ("Dice [95 %]", "NSD [95 %]"):
        table.add_column(head, justify="right")
    for way in ways(found):
        table.add_row(way.title, interval(way.mean("dice")), interval(way.mean("nsd")))
    open_console().print(table)
