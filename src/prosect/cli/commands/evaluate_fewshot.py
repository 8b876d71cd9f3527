"""`prosect evaluate fewshot`: how many labelled scans a new structure needs."""

from __future__ import annotations

import argparse
import time
from typing import Any

from prosect.cli.choices import list_of, model_of
from prosect.cli.commands.finetune import settings_of, silent
from prosect.cli.console import open_console, plain_table
from prosect.data.check import check_datalist, refuse_unfit
from prosect.evaluation.protocols import Rules
from prosect.evaluation.report import interval
from prosect.io.atomic import make_folder
from prosect.jobs.warning_log import keep_warnings
from prosect.jobs.work_folder import lock_work_folder
from prosect.models import require_learns
from prosect.training.finetuning.fewshot import Outcome, arms, few_shots, pools
from prosect.training.finetuning.finetune import settings_as_data
from prosect.training.finetuning.plan import words_of
from prosect.training.finetuning.report import write_few_shots

__all__ = ["run"]

PARTLY = 4
SAID = (
    "steps",
    "head_steps",
    "learning_rate",
    "encoder_share",
    "patches_per_step",
    "spacing_mm",
    "patch",
    "intensity",
    "seed",
)


def run(args: argparse.Namespace) -> int:
    """Train and test by number of scans; return 0, or 4 where test scans were refused or the time was over."""
    say = silent if args.quiet else open_console().print
    model = require_learns(model_of(args).load_one())
    given = list_of(args, args.list)
    train, test = pools(given.read(words_of(model)), args.limit)
    chosen = arms(args.shots, args.from_scratch, len(train))
    refuse_unfit(check_datalist(test, given.tolerance_mm))
    settings = settings_of(args, seed=args.seed)
    make_folder(args.output)
    rules = Rules(tolerance_mm=args.nsd_mm, overlap=args.overlap)
    stop_at = None if args.minutes is None else time.time() + 60 * args.minutes
    with keep_warnings(show=False), lock_work_folder(args.output):
        found = few_shots(model, train, test, chosen, settings, args.output, rules, say, stop_at)
    about = {
        "protocol": "fewshot", **dict(model.identity), "list": args.list.name, "shots": list(args.shots),
        "test_scans": len(test), **{key: v for key, v in settings_as_data(settings).items() if key in SAID},
    }  # fmt: skip
    files = write_few_shots(found, about, args.output)
    if not args.quiet:
        summarise(found)
        say(str(files[3]))
        if len(found) < len(chosen):
            say(f"the time was over after {len(found)} of {len(chosen)} trainings; the same command goes on")
    return PARTLY if len(found) < len(chosen) or any(each.refused for each in found) else 0


def summarise(found: list[Outcome]) -> None:
    """Print the mean of every training."""
    table: Any = plain_table()
    table.add_column("training")
    for head in ("Dice [95 %]", "NSD [95 %]"):
        table.add_column(head, justify="right")
    for each in found:
        table.add_row(each.arm.title, interval(each.section.means["dice"]), interval(each.section.means["nsd"]))
    open_console().print(table)
