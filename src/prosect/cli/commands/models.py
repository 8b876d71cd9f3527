"""`prosect models`: which models there are, what each finds, and how well."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from prosect.checkpoints.about import ModelCard, card_of, segmenters
from prosect.checkpoints.catalog import segmenter
from prosect.cli.console import open_console, plain_table

__all__ = ["run"]

NONE = "-"
ABSENT = "no: prosect weights import"


def run(args: argparse.Namespace) -> int:
    """Print all models, or one with its structures, and return 0."""
    if args.model is None:
        entries = segmenters()
    else:
        entries = (segmenter(args.model),)
    cards = [card_of(entry) for entry in entries]
    if args.json:
        print(json.dumps([plain(card) for card in cards], indent=2, ensure_ascii=False))
    elif args.model is None:
        show_all(cards)
    else:
        show_one(cards[0])
    return 0


def show_all(cards: list[ModelCard]) -> None:
    """Print a row for each model."""
    console, table = open_console(), plain_table()
    table.add_column("model")
    for head in ("structures", "mean Dice", "spacing mm", "clicks", "here"):
        table.add_column(head, justify="right")
    for card in cards:
        clicks = "no"
        if card.takes_clicks:
            clicks = "yes"
        table.add_row(
            card.name, str(len(card.structures)), figure(card.mean_dice), spacing(card), clicks, presence(card)
        )
    console.print(table)
    for card in cards:
        console.print(f"{card.name}: {card.summary}")
    console.print("Dice: mean over structures, on the validation scans of the model cards; - where not measured here.")


def show_one(card: ModelCard) -> None:
    """Print what a model is, and its structures."""
    console, table = open_console(), plain_table()
    console.print(f"{card.name}: {card.summary}")
    console.print(f"licence: {card.licence}")
    console.print(f"working spacing: {spacing(card)} mm; weights here: {presence(card)}")
    table.add_column("index", justify="right")
    table.add_column("structure")
    table.add_column("Dice", justify="right")
    table.add_column("in scans of the")
    for each in card.structures:
        table.add_row(str(each.index), each.name, figure(each.dice), " or ".join(each.regions) or NONE)
    console.print(table)


def figure(value: float | None) -> str:
    """Return a Dice in words."""
    if value is None:
        return NONE
    return f"{value:.3f}"


def spacing(card: ModelCard) -> str:
    """Return the working spacing in words: one number where all sides are the same."""
    sides = dict.fromkeys(f"{side:g}" for side in card.spacing_mm)
    return " x ".join(sides if len(sides) == 1 else [f"{side:g}" for side in card.spacing_mm])


def presence(card: ModelCard) -> str:
    """Return whether the weights are here, or how to bring them."""
    if card.weights is not None:
        return "yes"
    return ABSENT


def plain(card: ModelCard) -> dict[str, Any]:
    """Return a model as plain data, without where its file lies on this machine."""
    facts = asdict(card)
    facts["weights"] = card.weights is not None
    return {**facts, "mean_dice": card.mean_dice}
