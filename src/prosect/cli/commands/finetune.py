"""`prosect finetune`: a few labelled scans in, a model of new structures out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import prosect
from prosect.cli.choices import tolerance_of
from prosect.cli.console import open_console
from prosect.cli.work_folder import lock_work_folder
from prosect.data.check import check_datalist, refuse_unfit
from prosect.data.mapping import parse_pair
from prosect.data.pairs import pair_files
from prosect.errors import CheckpointError, FormatError, RecipeError
from prosect.io.atomic import probe
from prosect.jobs.warning_log import keep_warnings
from prosect.models.vista3d import Vista3DModel
from prosect.training.finetuning.finetune import Finetuned, finetune, save_finetuned
from prosect.training.finetuning.plan import FinetunePlan, plan_finetuning, words_of
from prosect.training.finetuning.settings import FinetuneSettings

__all__ = ["learnable", "run", "settings_of"]

SUFFIX = ".safetensors"
NEED_BYTES = 64 << 20
OWN = ("validation", "validate_every", "patience", "keep_classes", "freeze_encoder", "clicks")


def run(args: argparse.Namespace) -> int:
    """Check everything, finetune, and write the weights; return 0."""
    refuse_output(args)
    say = silent if args.quiet else open_console().print
    model = learnable(prosect.load(args.model, weights=args.weights, device=args.device))
    pairs = [parse_pair(text) for text in args.classes]
    datalist = pair_files(args.images, args.labels, pairs, words_of(model))
    refuse_unfit(check_datalist(datalist, tolerance_of(args)))
    settings = settings_of(args)
    with keep_warnings(show=not args.quiet):
        plan = plan_finetuning(model, datalist, settings, args.name or args.output.stem)
        tell(say, plan, settings, model)
        if args.dry_run:
            return 0
        stop_at = None if args.minutes is None else time.time() + 60 * args.minutes
        work = args.work or args.output.with_suffix(".work")
        with lock_work_folder(work):
            result = finetune(model, plan, settings, work, stop_at, say)
    save_finetuned(result, args.output)
    conclude(say, result, args.output)
    return 0


def silent(_text: str) -> None:
    """Say nothing."""


def refuse_output(args: argparse.Namespace) -> None:
    """Refuse an output that cannot be written, before anything is read.

    Raises:
        FormatError: It has another ending (`OUTPUT_FORMAT_UNKNOWN`), exists (`OUTPUT_EXISTS`), or cannot be written.
    """
    if args.output.suffix.lower() != SUFFIX:
        raise FormatError(f"{args.output}: weights are written as {SUFFIX}.", code="OUTPUT_FORMAT_UNKNOWN")
    if args.output.exists() and not args.overwrite:
        raise FormatError(f"{args.output} exists; give --overwrite to replace it.", code="OUTPUT_EXISTS")
    if not args.dry_run:
        probe(args.output, NEED_BYTES)


def learnable(model: Any) -> Vista3DModel:
    """Return the model if it can learn classes.

    Raises:
        CheckpointError: It has none (`MODEL_WRONG_NETWORK`).
    """
    if not isinstance(model, Vista3DModel):
        raise CheckpointError(
            "Only VISTA3D models learn classes; this one answers clicks only.", code="MODEL_WRONG_NETWORK"
        )
    return model


def settings_of(args: argparse.Namespace, **fixed: Any) -> FinetuneSettings:
    """Return the settings that the flags ask for; `fixed` are others.

    Raises:
        RecipeError: A number cannot be (`RECIPE_INVALID`).
    """
    if not 0 < args.rate < 1:
        raise RecipeError(f"A learning rate of {args.rate} cannot be; 0.002 is usual.", code="RECIPE_INVALID")
    validation = getattr(args, "validation", 0.0)
    if not 0 <= validation < 1:
        raise RecipeError(f"A share of {validation} for validation cannot be.", code="RECIPE_INVALID")
    own = {key: getattr(args, key) for key in OWN} if args.command == "finetune" else {}
    if "sources" in args:
        own["sources"] = tuple(source_of(text) for text in args.sources)
    patch = None if args.patch is None else tuple(args.patch)
    common: Mapping[str, Any] = {
        "steps": args.steps, "learning_rate": args.rate, "spacing_mm": args.spacing, "patch": patch,
        "intensity": args.intensity, "tolerance_mm": tolerance_of(args),
    }  # fmt: skip
    return FinetuneSettings(**{**common, **own, **fixed})


def source_of(text: str) -> tuple[str, str]:
    """Return new and known structure of `new=known`.

    Raises:
        RecipeError: It is no such pair (`MAPPING_INVALID`).
    """
    new, found, known = text.partition("=")
    if not found or not new.strip() or not known.strip():
        raise RecipeError(f"{text!r:.60}: write NEW=KNOWN, such as lesion=liver.", code="MAPPING_INVALID")
    return new.strip(), known.strip()


def tell(say: Any, plan: FinetunePlan, settings: FinetuneSettings, model: Vista3DModel) -> None:
    """Say what will be trained."""
    spec, words = plan.spec, plan.numbering.vocabulary
    new = {s.index for s in plan.added}
    for index in plan.numbering.classes:
        name = words[index].name
        near = ", ".join(f"'{other}'" for other in model.vocabulary.nearest(name))
        say(f"learns: {name}{f' (new; known names like it: {near})' if index in new else ''}")
    kept = [s.name for s in spec.vocabulary if s.supported and s.index not in plan.numbering.classes]
    say(f"keeps: {', '.join(kept) if kept else 'no other class; --keep-classes keeps what the model knows'}")
    where = "held out" if plan.held_out else "the same that train"
    say(f"scans: {len(plan.training)} train, {len(plan.validation)} choose ({where})")
    patch = "x".join(map(str, spec.patch))
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
        on = "held-out" if validation["held_out"] else "training"
        say(f"mean Dice on {validation['scans']} {on} scans: {validation['best_dice']:.3f}")
    clicks = report.get("one_click_dice")
    if clicks is not None:
        said = ", ".join(f"{key.replace('_', ' ')} {told(value)}" for key, value in clicks.items())
        say(f"one click on the new structures, Dice: {said}")
    for name, value in report.get("kept_classes", {}).items():
        say(f"{name}: Dice {told(value)} with its result before")
    say(f"{output}: weights of step {report['chosen_step']}")
    if not result.complete:
        say(f"the time was over at step {report['steps']}; the same command with --overwrite goes on")


def told(value: float | None) -> str:
    """Return a Dice in words."""
    return "none" if value is None else f"{value:.3f}"
