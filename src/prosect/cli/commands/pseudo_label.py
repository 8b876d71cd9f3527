"""`prosect pseudo-label`: labels from another model for the scans of a list, and a list that names them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import prosect
from prosect import vocabulary
from prosect.cli.choices import list_of
from prosect.cli.console import open_console
from prosect.cohort.manifest import find_scans
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_manual
from prosect.data.list_files import FOLDERS
from prosect.errors import CancelledError, CheckpointError, ProsectError, RecipeError
from prosect.io.atomic import make_folder
from prosect.training.pseudo import PseudoLabels, from_model, from_totalsegmentator, judged
from prosect.training.pseudo_ledger import PseudoLedger
from prosect.volume import Volume

__all__ = ["run"]

PARTLY = 4
LEDGER, LIST_NAME = "ledger.jsonl", "list.json"

Make = Callable[[Entry, Volume], PseudoLabels]


def run(args: argparse.Namespace) -> int:
    """Label every scan that is not labelled yet, and write the list; return 0, or 4 where some scans were refused."""
    datalist = scans_of(args)
    make_folder(args.output)
    make, words, source = maker(args)
    datalist = datalist if datalist.mappings else replace(datalist, vocabulary=words)
    settings = {**source, "structures": args.roi_subset, "least_dice": args.least_dice}
    ledger = PseudoLedger.open(args.output / LEDGER, settings, args.overwrite)
    say = silent if args.quiet else open_console().print
    for entry in datalist:
        target = args.output / f"{entry.name}.nii.gz"
        if entry.name in ledger.labelled and target.exists():
            continue
        try:
            found = labelled(entry, datalist, make, args)
            prosect.write(found.labels, target)
        except (CancelledError, CheckpointError):
            # These concern every scan: none would end otherwise.
            raise
        except ProsectError as error:
            ledger.refuse(entry.name, error)
            say(f"{entry.name}: refused [{error.code}] {error}")
            continue
        ledger.add(entry.name, found)
        say(f"{entry.name}: {len(found.labels.present)} structures{'' if found.reliability else '; not to be used'}")
        for note in found.notes:
            say(f"  note: {note}")
    say(str(write_datalist(finished(datalist, ledger, args.output), args.output / LIST_NAME)))
    return PARTLY if ledger.refused else 0


def silent(_text: str) -> None:
    """Say nothing."""


def finished(datalist: DataList, ledger: PseudoLedger, folder: Path) -> DataList:
    """Return the list with the pseudo-labels that there are now."""
    entries: list[Entry] = []
    for entry in datalist:
        case = ledger.labelled.get(entry.name)
        if case is not None:
            entry = replace(entry, pseudo_label=folder / f"{entry.name}.nii.gz", reliability=case.reliability)
        entries.append(entry)
    known: set[int] = set()
    for case in ledger.labelled.values():
        known |= set(case.known)
    return replace(datalist, entries=tuple(entries), pseudo_classes=tuple(sorted(known)))


def scans_of(args: argparse.Namespace) -> DataList:
    """Return the scans of a list, or of a folder that holds scans in any way.

    Raises:
        RecipeError: There are none (`DATALIST_INVALID`).
    """
    if not args.input.is_dir() or any((args.input / name).is_dir() for name in FOLDERS["image"]):
        return list_of(args, args.input).read()
    found = find_scans(args.input, skip=[args.output])
    if not found.scans:
        raise RecipeError(f"{args.input.name}: no scan is in the folder.", code="DATALIST_INVALID")
    name = args.dataset or args.input.resolve().name
    entries = tuple(Entry(scan.name, scan.path, dataset=name) for scan in found.scans)
    return DataList(entries, {}, vocabulary.load("prosect"))


def maker(args: argparse.Namespace) -> tuple[Make, vocabulary.Vocabulary, Mapping[str, Any]]:
    """Return what labels a scan, the vocabulary of its labels, and where they come from."""
    if args.from_totalsegmentator is not None:
        words, folder = vocabulary.load("prosect"), args.from_totalsegmentator
        source = {"totalsegmentator": folder.name, "scheme": args.scheme}
        return lambda e, v: from_totalsegmentator(folder, e.name, v.grid, words, args.scheme), words, source
    loaded = prosect.load(args.model, weights=args.weights, device=args.device, profile=args.profile)
    model = prosect.require_finds(loaded)
    return lambda _, volume: from_model(volume, model, args.roi_subset), model.vocabulary, model.identity


def labelled(entry: Entry, datalist: DataList, make: Make, args: argparse.Namespace) -> PseudoLabels:
    """Return the pseudo-labels of an entry, compared with its manual labels where it has some."""
    volume = prosect.read(entry.image)
    found = make(entry, volume)
    if entry.label is None:
        return judged(found)
    labels = read_manual(entry, datalist, volume.grid, list_of(args, args.input).tolerance_mm)
    manual = LabelledScan(entry.name, volume, labels, datalist.known(entry), entry.dataset)
    return judged(found, manual, args.least_dice)
