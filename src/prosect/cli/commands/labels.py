"""`prosect labels`: the structures of a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from prosect import vocabulary
from prosect.checkpoints.file_metadata import read_metadata
from prosect.checkpoints.offers import offer
from prosect.cli.console import open_console, plain_table
from prosect.vocabulary import Structure, Vocabulary

__all__ = ["run", "vocabulary_of"]

NONE = "-"


def run(args: argparse.Namespace) -> int:
    """Print the structures and return 0."""
    words = vocabulary_of(args.model, args.weights)
    if args.json:
        print(json.dumps([row(words, structure) for structure in words], indent=2, ensure_ascii=False))
        return 0
    values = {} if args.weights is None else label_values_in(args.weights)
    table = plain_table()
    table.add_column("value" if values else "index", justify="right")
    for name in ("name", "status", "everything", "groups"):
        table.add_column(name, overflow="fold")
    askable = []
    for s in words:
        if s.status in ("supported", "group"):
            askable.append(s)
    for structure in words if args.all else askable:
        facts = row(words, structure)
        lists, groups = (", ".join(facts[key]) or NONE for key in ("everything", "groups"))
        number = values.get(structure.index, structure.index)
        table.add_row(str(number), structure.name, structure.status, lists, groups)
    console = open_console()
    console.print(table)
    able = sum(structure.supported for structure in words)
    console.print(f"{able} structures can be segmented, {len(words)} are known by name (--all shows them)")
    return 0


def label_values_in(weights: Path) -> dict[int, int]:
    """Return the label values that results of finetuned weights have, by index; none where those are the indices."""
    return {int(index): int(value) for index, value in read_metadata(weights).get("label_values", {}).items()}


def vocabulary_of(name: str | None, weights: Path | None = None) -> Vocabulary:
    """Return the vocabulary of that name, or of the model or weights; None are all shipped models together.

    Raises:
        CheckpointError: There is no such model, or the shipped weights are missing.
    """
    if name in vocabulary.NAMES:
        return vocabulary.load(name)
    return offer(name, weights)


def row(words: Vocabulary, structure: Structure) -> dict[str, Any]:
    """Return the facts about one structure; `groups` names what it is part of."""
    return {
        "index": structure.index,
        "name": structure.name,
        "status": structure.status,
        "everything": sorted(structure.everything),
        "groups": [other.name for other in words if other.status == "group" and structure.index in other.parts],
        "parts": [words[part].name for part in structure.parts],
        "modalities": sorted(structure.modalities),
        "aliases": list(structure.aliases),
        "snomed": structure.snomed.value if structure.snomed else None,
        "color": list(structure.color),
        "reason": structure.reason,
    }
