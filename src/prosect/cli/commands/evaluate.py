"""`prosect evaluate`: how good a model is on a list of labelled scans."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import prosect
from prosect.cli.console import open_console, plain_table
from prosect.cli.data_lists import datalist_of, tolerance_of
from prosect.cli.warnings_kept import keep_warnings
from prosect.data.datalist import DataList, Entry
from prosect.errors import RecipeError, VocabularyError
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.protocols import Rules, finds_itself
from prosect.evaluation.report import Evaluation, interval
from prosect.evaluation.running import Examination, evaluation_of, examine, write
from prosect.evaluation.sam_med3d import shows_crops
from prosect.io.atomic import make_folder
from prosect.models.protocols import Model

__all__ = ["run"]

PARTLY = 4
LEDGER = "ledger.jsonl"
ROWS_SHOWN = 30


def run(args: argparse.Namespace) -> int:
    """Judge a model and write the results; return 0, or 4 where some scans could not be judged."""
    if args.protocol == "fewshot":
        # Loaded on first use: it trains.
        return int(importlib.import_module("prosect.cli.commands.evaluate_fewshot").run(args))
    datalist = chosen(datalist_of(args, args.list), args)
    model = prosect.load(args.model, weights=args.weights, device=args.device, profile=profile_of(args))
    examination = examination_of(args, model)
    refuse_strangers(datalist, model, examination)
    make_folder(args.output)
    settings = settings_of(args, model, datalist, examination)
    ledger = Ledger.open(args.output / LEDGER, settings, args.overwrite)
    console = open_console()
    say = None if args.quiet else lambda name, word: console.print(f"{name}: {word}")
    with keep_warnings(show=False) as warned:
        examine(datalist, model, examination, ledger, say, grid_tolerance_mm=tolerance_of(args))
    found = evaluation_of(ledger, examination)
    files = write(found, args.output)
    if not args.quiet:
        for text, count in Counter(warned).items():  # a model may say the same of every click
            print(f"prosect: warning: {text}{f' ({count} times)' if count > 1 else ''}", file=sys.stderr)
        summarise(console, found)
        console.print(str(files[3]))
    return PARTLY if found.refused else 0


def chosen(datalist: DataList, args: argparse.Namespace) -> DataList:
    """Return the scans to judge.

    Raises:
        RecipeError: None is left, or one has no manual labels (`LABEL_MISSING`).
    """
    split = args.split
    if split is None and any(entry.split == "testing" for entry in datalist):
        split = "testing"
    part = datalist.part(None if split == "all" else split, args.fold)
    part = DataList(part.entries[: args.limit], part.mappings, part.vocabulary, part.pseudo_classes, part.notes)
    bare = [entry.name for entry in part if entry.label is None]
    if bare and args.protocol != "speed":
        raise RecipeError(
            f"{len(bare)} scans have no manual labels to be judged by, such as {bare[0]}.", code="LABEL_MISSING"
        )
    return part


def refuse_strangers(datalist: DataList, model: Model, examination: Examination) -> None:
    """Refuse a model that knows none of the structures by itself, before anything is read.

    Raises:
        VocabularyError: `STRUCTURE_UNSUPPORTED`.
    """
    clicked = examination.protocol in ("point", "clicks") and shows_crops(model)
    if examination.protocol == "speed" or not examination.needs_classes or clicked:
        return
    names = {datalist.vocabulary[index].name for entry in datalist for index in datalist.known(entry)}
    if not any(finds_itself(model.vocabulary, name) for name in names):
        raise VocabularyError(
            f"The model finds none of the {len(names)} structures of the list by itself; `prosect evaluate clicks` "
            "judges it by clicks.",
            code="STRUCTURE_UNSUPPORTED",
        )


def examination_of(args: argparse.Namespace, model: Model) -> Examination:
    """Return what the flags ask to be examined; each model's published rules are its own."""
    favourable = args.as_published and args.protocol == "clicks" and not shows_crops(model)
    rules = Rules(
        tolerance_mm=args.nsd_mm,
        overlap=args.overlap,
        clicker="paper" if favourable else args.rules,
        count=args.clicks,
        zero_shot=args.zero_shot,
        only_labelled_slices=favourable,
    )
    wanted = None if args.roi_subset is None else tuple(args.roi_subset)
    return Examination(args.protocol, rules, args.as_published, wanted, args.repeats, args.seed)


def profile_of(args: argparse.Namespace) -> str:
    """Return the profile: as published, that of the official evaluation."""
    return "research" if args.as_published and args.protocol == "auto" else str(args.profile)


def settings_of(
    args: argparse.Namespace, model: Model, datalist: DataList, examination: Examination
) -> Mapping[str, Any]:
    """Return what decides the figures, as plain data; paths, threads and devices do not."""
    rules, protocol = examination.rules, args.protocol
    clicking = protocol in ("point", "auto+point", "clicks")
    return {
        "protocol": protocol + (" as published" if args.as_published else ""),
        **dict(model.identity),
        "list": args.list.name,
        "list_sha256": digest(datalist.entries),
        "scans": len(datalist),
        "structures": examination.wanted,
        "surface_tolerance_mm": rules.tolerance_mm,
        "one_layer_per_structure": rules.overlap or None,
        "clicks": rules.count if protocol == "clicks" else None,
        "clicks_placed_by": rules.clicker if clicking else None,
        "zero_shot": rules.zero_shot or None,
        "seed": examination.seed,
        "repeats": examination.repeats if protocol == "speed" else None,
    }


def digest(entries: tuple[Entry, ...]) -> str:
    """Return a hash of which scans are judged, whatever folder they lie in."""
    lines = (f"{e.name}\t{e.image.name}\t{e.label and e.label.name}\t{e.dataset}\t{e.labelled}" for e in entries)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def summarise(console: Any, found: Evaluation) -> None:
    """Print means by structure, or by number of clicks."""
    for section in found.sections:
        table = plain_table()
        table.add_column(section.title)
        for head in ("Dice [95 %]", "NSD [95 %]", "scans"):
            table.add_column(head, justify="right")
        for s in section.structures[:ROWS_SHOWN]:
            table.add_row(s.structure, interval(s.dice), interval(s.nsd), str(s.present + s.absent))
        table.add_row("mean of structures", interval(section.means["dice"]), interval(section.means["nsd"]), "")
        console.print(table)
    if found.curve is not None:
        values = ", ".join(f"{n}: {m.value:.3f}" for n, m in zip(found.curve.clicks, found.curve.dice, strict=True))
        console.print(f"mean Dice by clicks  {values}")
    if found.unknown:
        console.print(f"not known to the model: {', '.join(found.unknown)}")
    if found.refused:
        console.print(f"{len(found.refused)} scans could not be judged")
