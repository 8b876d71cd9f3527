"""`prosect evaluate`: how good a model is on a list of labelled scans."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from prosect.cli.choices import classes_of, list_of, model_of, tolerance_of
from prosect.cli.console import open_console, plain_table
from prosect.errors import UsageError
from prosect.evaluation.report import Evaluation, interval
from prosect.jobs import EvaluateCompareJob, EvaluateJob, EvaluateMasksJob
from prosect.lazy import lazy_module

if TYPE_CHECKING:
    from prosect.cli.commands import evaluate_fewshot
else:
    evaluate_fewshot = lazy_module("prosect.cli.commands.evaluate_fewshot")

__all__ = ["run"]

PARTLY = 4
ROWS_SHOWN = 30


def run(args: argparse.Namespace) -> int:
    """Judge a model and write the results; return 0, or 4 where some scans could not be judged."""
    if args.protocol == "fewshot":
        return evaluate_fewshot.run(args)
    if args.protocol == "masks":
        return judge_masks(args)
    if args.protocol == "compare":
        return compare_models(args)
    if args.results:
        raise UsageError(
            f"{args.protocol} takes one DATALIST; RESULTS ({args.results[0]}) belong to masks and compare."
        )
    if args.baseline is not None and args.protocol != "clicks":
        raise UsageError(f"--baseline {args.baseline} answers clicks; use it with `prosect evaluate clicks`.")
    done = job_of(args).run(on_case=None if args.quiet else say_case)
    if not args.quiet:
        for text, count in done.warnings.items():
            often = ""
            if count > 1:
                often = f" ({count} times)"
            print(f"prosect: warning: {text}{often}", file=sys.stderr)
        summarise(done.evaluation)
        open_console().print(str(done.files[3]))
    if done.evaluation.refused:
        return PARTLY
    return 0


def judge_masks(args: argparse.Namespace) -> int:
    """Judge label files by others and write the results; return 0, or 4 where some could not be judged."""
    if len(args.results) != 1:
        raise UsageError("masks takes two places: prosect evaluate masks TRUTHS RESULTS -o DIR.")
    found, files = EvaluateMasksJob(
        truths=args.list,
        results=args.results[0],
        output=args.output,
        pairs=tuple(args.map),
        nsd_mm=args.nsd_mm,
        tolerance_mm=tolerance_of(args),
        seed=args.seed,
        split=args.split,
        overwrite=args.overwrite,
    ).run()
    for refused in found.refused:
        print(f"prosect: {refused.case}: [{refused.code}] {refused.message}", file=sys.stderr)
    if not args.quiet:
        summarise(found)
        open_console().print(str(files[3]))
    if found.refused:
        return PARTLY
    return 0


def compare_models(args: argparse.Namespace) -> int:
    """Lay finished evaluations side by side; return 0."""
    found, files = EvaluateCompareJob(
        folders=(args.list, *args.results), output=args.output, seed=args.seed, overwrite=args.overwrite
    ).run()
    if not args.quiet:
        console = open_console()
        table = plain_table()
        table.add_column(f"{found.objects} objects")
        for head in ("1 click", "3 clicks", "5 clicks", "seconds"):
            table.add_column(head, justify="right")
        for name in found.names:
            own = found.figures[name]
            table.add_row(name, *(interval(own[key]) for key in ("dice_1", "dice_3", "dice_5", "seconds")))
        console.print(table)
        console.print(str(files[1]))
    return 0


def job_of(args: argparse.Namespace) -> EvaluateJob:
    """Return what the flags ask for."""
    return EvaluateJob(
        protocol=args.protocol,
        scans=list_of(args, args.list),
        output=args.output,
        split=args.split,
        fold=args.fold,
        limit=args.limit,
        classes=classes_of(args),
        as_published=args.as_published,
        overlap=args.overlap,
        clicks=args.clicks,
        rules=args.rules,
        zero_shot=args.zero_shot,
        nsd_mm=args.nsd_mm,
        repeats=args.repeats,
        seed=args.seed,
        model=model_of(args),
        overwrite=args.overwrite,
        box=args.box,
        baseline=args.baseline,
    )


def say_case(name: str, words: str) -> None:
    """Print how a scan went."""
    open_console().print(f"{name}: {words}")


def summarise(found: Evaluation) -> None:
    """Print means by structure, or by number of clicks."""
    console = open_console()
    for section in found.sections:
        table = plain_table()
        table.add_column(section.title)
        for head in ("Dice [95 %]", "NSD [95 %]", "scans"):
            table.add_column(head, justify="right")
        for row in section.structures[:ROWS_SHOWN]:
            table.add_row(row.structure, interval(row.dice), interval(row.nsd), str(row.present + row.absent))
        table.add_row("mean of structures", interval(section.means["dice"]), interval(section.means["nsd"]), "")
        console.print(table)
    if found.curve is not None:
        pairs = zip(found.curve.clicks, found.curve.dice, strict=True)
        values = ", ".join(f"{number}: {mean.value:.3f}" for number, mean in pairs)
        console.print(f"mean Dice by clicks  {values}")
    if found.unknown:
        console.print(f"not known to the model: {', '.join(found.unknown)}")
    if found.refused:
        console.print(f"{len(found.refused)} scans could not be judged")
