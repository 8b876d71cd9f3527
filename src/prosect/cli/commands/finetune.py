"""`prosect finetune`: a few labelled scans in, a model of new structures out."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from prosect.cli.console import open_console
from prosect.cli.learning import settings_of
from prosect.jobs import FinetuneJob, ModelChoice
from prosect.models import Learns
from prosect.training.finetuning.finetune import Finetuned
from prosect.training.finetuning.plan import FinetunePlan
from prosect.training.finetuning.settings import FinetuneSettings

__all__ = ["run", "silent"]


def run(args: argparse.Namespace) -> int:
    """Check everything, finetune, and write the weights; return 0."""
    job = job_of(args)
    say = silent if args.quiet else open_console().print
    if args.dry_run:
        plan, model = job.plan(show_warnings=not args.quiet)
        tell(say, plan, job.settings, model)
        return 0
    done = job.run(
        on_plan=lambda plan, model: tell(say, plan, job.settings, model),
        say=say,
        stop_at=None if args.minutes is None else time.time() + 60 * args.minutes,
        show_warnings=not args.quiet,
    )
    conclude(say, done, args.output)
    return 0


def job_of(args: argparse.Namespace) -> FinetuneJob:
    """Return what the flags ask for.

    Raises:
        RecipeError: A number cannot be (`RECIPE_INVALID`).
    """
    return FinetuneJob(
        images=args.images,
        labels=args.labels,
        classes=tuple(args.classes),
        output=args.output,
        settings=settings_of(args),
        name=args.name,
        work=args.work,
        model=ModelChoice(args.model, args.weights, device=args.device),
        overwrite=args.overwrite,
        resume=args.resume,
        keep_work=args.keep_work,
    )


def silent(_text: str) -> None:
    """Say nothing."""


def tell(say: Any, plan: FinetunePlan, settings: FinetuneSettings, model: Learns) -> None:
    """Say what will be trained."""
    spec, words = plan.spec, plan.numbering.vocabulary
    new = set()
    for s in plan.added:
        new.add(s.index)
    for index in plan.numbering.classes:
        name = words[index].name
        near = ", ".join(f"'{other}'" for other in model.vocabulary.nearest(name))
        say(f"learns: {name}{f' (new; known names like it: {near})' if index in new else ''}")
    kept = []
    for s in spec.vocabulary:
        if s.supported and s.index not in plan.numbering.classes:
            kept.append(s.name)
    say(f"keeps: {', '.join(kept) if kept else 'no other class; --keep-classes keeps what the model knows'}")
    where = "the same that train"
    if plan.held_out:
        where = "held out"
    say(f"scans: {len(plan.training)} train, {len(plan.validation)} choose ({where})")
    patch = "x".join(map(str, spec.window))
    scale = f"{spec.intensity.kind} {spec.intensity.low:g} to {spec.intensity.high:g}"
    say(f"seen at {spec.spacing_mm[0]:g} mm in patches of {patch}, intensities by {scale}")
    say(f"from {model.spec.name}, at most {settings.steps} steps on {model.device.type}")
    for note in plan.notes:
        say(f"note: {note}")


def conclude(say: Any, result: Finetuned, output: Path) -> None:
    """Say what came of it."""
    report = result.report
    validation = report["validation"]
    if validation["best_dice"] is not None:
        on = "training"
        if validation["held_out"]:
            on = "held-out"
        say(f"mean Dice on {validation['scans']} {on} scans: {validation['best_dice']:.3f}")
    look = validation.get("first_look")
    if look is not None:
        say(f"mean Dice at step {look['step']}, half of the time: {look['dice']:.3f}")
    clicks = report.get("one_click_dice")
    if clicks is not None:
        said = ", ".join(f"{key.replace('_', ' ')} {told(value)}" for key, value in clicks.items())
        say(f"one click on the new structures, Dice: {said}")
    for name, value in report.get("kept_classes", {}).items():
        say(f"{name}: Dice {told(value)} with its result before")
    say(f"{output}: weights of step {report['chosen_step']}")
    values = result.model.spec.label_values
    if values:
        names = result.model.vocabulary
        said = ", ".join(f"{value} {names[index].name}" for index, value in values.items())
        say(f"label values of its results, as in your labels: {said}")
    if not result.complete:
        say(f"the time was over at step {report['steps']}; the same command with --continue goes on")


def told(value: float | None) -> str:
    """Return a Dice in words."""
    if value is None:
        return "none"
    return f"{value:.3f}"
