"""`prosect train RECIPE.toml`: the stages of a recipe, from a folder of scans to a weights file."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from rich.console import Console

from prosect.cli.choices import tolerance_of
from prosect.cli.console import open_console
from prosect.data.check import check_datalist, refuse_unfit
from prosect.errors import ProsectWarning, RecipeError, ResourceError
from prosect.jobs.work_folder import lock_work_folder
from prosect.models import device_named
from prosect.training.course import Course, prepare_course
from prosect.training.extra import load_extra
from prosect.training.parallel import GIVEN_UP_SECONDS, Ranks, joined
from prosect.training.recipe import Recipe, shortened
from prosect.training.recipe_file import read_recipe
from prosect.training.stages import carry_out

__all__ = ["run"]

TIMEOUT = timedelta(seconds=GIVEN_UP_SECONDS)
TensorBoard = "prosect.training.tensorboard"


def run(args: argparse.Namespace) -> int:
    """Carry out a recipe; return 0 when its weights are there or the time is over, with the state saved."""
    console = open_console()
    recipe = read_recipe(args.recipe)
    if args.steps is not None:
        recipe = shortened(recipe, args.steps)
    refuse_stages(recipe, args.stage)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = own_device(device_named(args.device))
    with group(device) as ranks, lock_work_folder(None if args.dry_run or ranks.rank else args.work):
        quiet = args.quiet or ranks.rank > 0
        if ranks.rank:  # the first process warns for all
            warnings.simplefilter("ignore", ProsectWarning)
        course = prepare_course(
            recipe,
            args.work,
            device=str(device),
            threads=args.loaders,
            ranks=ranks,
            watchers=watchers(args, console),
            tolerance_mm=tolerance_of(args),
        )
        if not args.unchecked:
            check(course, None if quiet else console)
        if not quiet:
            tell_plan(console, course)
        if args.dry_run:
            return 0
        stop_at = None if args.minutes is None else time.time() + 60 * args.minutes
        path = carry_out(course, stop_at, args.stage)
        if not quiet:
            console.print(str(path) if path is not None else "the time is over; the same command goes on from here")
    return 0


def launched() -> bool:
    """Return whether `torchrun` has started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def own_device(device: torch.device) -> torch.device:
    """Return the GPU of this process where several train together and none is named: one each, as torchrun counts."""
    if device.type != "cuda" or device.index is not None or not launched():
        return device
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


class group:  # noqa: N801
    """The processes that `torchrun` has started, joined for the time of a `with` block; or this one alone."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.many = launched()

    def __enter__(self) -> Ranks:
        if self.many:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            try:
                torch.distributed.init_process_group(backend, timeout=TIMEOUT)
            except (RuntimeError, ValueError) as error:
                raise ResourceError(f"The processes do not find each other: {error}", code="RANKS_APART") from error
        return joined(str(self.device))

    def __exit__(self, *_: object) -> None:
        if self.many:
            torch.distributed.destroy_process_group()


def refuse_stages(recipe: Recipe, wanted: list[str] | None) -> None:
    """Refuse stages that the recipe does not have.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    names = [stage.name for stage in recipe.stages]
    for name in wanted or ():
        if name not in names:
            raise RecipeError(f"The recipe has no stage '{name}'; it has: {', '.join(names)}.")


def watchers(args: argparse.Namespace, console: Console) -> tuple[Callable[[str, dict[str, Any]], None], ...]:
    """Return what is told of every row of the logs."""
    found: list[Callable[[str, dict[str, Any]], None]] = []
    if not args.quiet:
        found.append(lambda stage, row: console.print(told(stage, row)))
    if args.tensorboard:
        open_watcher = load_extra(TensorBoard).tensorboard_watcher
        opened: dict[str, Callable[[dict[str, Any]], None]] = {}

        def watch(stage: str, row: dict[str, Any]) -> None:
            if stage not in opened:
                opened[stage] = open_watcher(Path(args.work) / "tensorboard" / stage)
            opened[stage](row)

        found.append(watch)
    return tuple(found)


def told(stage: str, row: dict[str, Any]) -> str:
    """Return a row of the log in words."""
    if row.get("event") == "validated":
        return f"{stage} step {row['step']}: validation {row['score']:.4f} (best {row['best']:.4f})"
    if row.get("event") == "resumed":
        return f"{stage} goes on at step {row['step']}"
    if "event" in row:
        rest = {key: value for key, value in row.items() if key not in ("step", "event", "rate", "skipped")}
        return f"{stage} step {row['step']}: {row['event']} {rest}"
    return f"{stage} step {row['step']}: loss {row['loss']:.4f}, {row['seconds']:.2f} s per step"


def check(course: Course, console: Console | None) -> None:
    """Look at every file of every list before the first step; of many processes each looks at some.

    Raises:
        RecipeError: A scan cannot be used; the message counts them and names the first.
    """
    for source in course.sources:
        for part in (source.training, source.validation):
            if part is not None:
                if console is not None:
                    console.print(f"checking {len(part)} scans of {source.data.list.name}")
                refuse_unfit(check_datalist(course.ranks.share(part), course.tolerance_mm))


def tell_plan(console: Console, course: Course) -> None:
    """Print what will be trained on what."""
    words = course.numbering.vocabulary
    for source in course.sources:
        held = len(source.validation) if source.validation is not None else 0
        console.print(f"{source.data.list.name}: {len(source.training)} training scans, {held} for validation")
    classes, others = course.numbering.classes, course.numbering.others
    console.print(f"{len(classes)} classes: " + ", ".join(words[i].name for i in classes[:12]))
    if others:
        console.print("clicked only: " + ", ".join(words[i].name for i in others[:12]))
    for stage in course.recipe.stages:
        console.print(f"stage {stage.name}: {stage.branch}, {stage.steps} steps, trains {', '.join(stage.train)}")
