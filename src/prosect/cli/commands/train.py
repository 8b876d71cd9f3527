"""`prosect train RECIPE.toml`: the stages of a recipe, from a folder of scans to a weights file."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from prosect.cli.choices import tolerance_of
from prosect.cli.console import open_console
from prosect.jobs.train import TrainJob
from prosect.training.course import Course

__all__ = ["run"]

CLASSES_SHOWN = 12


def run(args: argparse.Namespace) -> int:
    """Carry out a recipe; return 0 when its weights are there or the time is over, with the state saved."""
    job = job_of(args)
    words = Words(None if args.quiet else open_console())
    if args.dry_run:
        words.say_plan(job.plan(on_check=words.say_check))
        return 0
    path = job.run(
        on_check=words.say_check,
        on_plan=words.say_plan,
        watch=words.say_row,
        stop_at=None if args.minutes is None else time.time() + 60 * args.minutes,
    )
    words.say(str(path) if path is not None else "the time is over; the same command goes on from here")
    return 0


def job_of(args: argparse.Namespace) -> TrainJob:
    """Return what the flags ask for."""
    return TrainJob(
        recipe=args.recipe,
        work=args.work,
        stages=None if args.stage is None else tuple(args.stage),
        steps=args.steps,
        tolerance_mm=tolerance_of(args),
        device=args.device,
        threads=args.threads,
        loaders=args.loaders,
        checked=not args.unchecked,
        tensorboard=args.tensorboard,
    )


class Words:
    """What a training says on the screen; nothing where there is none."""

    def __init__(self, console: Console | None) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """Print a line."""
        if self.console is not None:
            self.console.print(text)

    def say_check(self, count: int, name: str) -> None:
        """Print that the scans of a list are read."""
        self.say(f"checking {count} scans of {name}")

    def say_row(self, stage: str, row: Mapping[str, Any]) -> None:
        """Print a row of the log."""
        self.say(words_of_row(stage, row))

    def say_plan(self, course: Course) -> None:
        """Print what will be trained on what."""
        for source in course.sources:
            if source.validation is None:
                held_out = 0
            else:
                held_out = len(source.validation)
            name = source.data.list.name
            self.say(f"{name}: {len(source.training)} training scans, {held_out} for validation")
        classes, others = course.numbering.classes, course.numbering.others
        self.say(f"{len(classes)} classes: {first_names(course, classes)}")
        if others:
            self.say(f"clicked only: {first_names(course, others)}")
        for stage in course.recipe.stages:
            self.say(f"stage {stage.name}: {stage.branch}, {stage.steps} steps, trains {', '.join(stage.train)}")


def first_names(course: Course, indices: tuple[int, ...]) -> str:
    """Return the names of the first structures of many."""
    vocabulary = course.numbering.vocabulary
    return ", ".join(vocabulary[index].name for index in indices[:CLASSES_SHOWN])


def words_of_row(stage: str, row: Mapping[str, Any]) -> str:
    """Return a row of the log in words."""
    event = row.get("event")
    if event == "validated":
        return f"{stage} step {row['step']}: validation {row['score']:.4f} (best {row['best']:.4f})"
    if event == "resumed":
        return f"{stage} goes on at step {row['step']}"
    if event == "trained on":
        return f"{stage} was finished after {row['before']} steps; trained on to {row['now']}"
    if event is not None:
        rest = {}
        for key, value in row.items():
            if key not in ("step", "event", "rate", "skipped"):
                rest[key] = value
        return f"{stage} step {row['step']}: {event} {rest}"
    return f"{stage} step {row['step']}: loss {row['loss']:.4f}, {row['seconds']:.2f} s per step"
