"""`prosect labels`: the structures of a vocabulary."""

from __future__ import annotations

import argparse
import json

from prosect import vocabulary
from prosect.cli.screen import open_console, plain_table
from prosect.vocabulary import Structure, Vocabulary

__all__ = ["run"]

NONE = "-"


def run(args: argparse.Namespace) -> int:
    """Print every structure of a vocabulary and return 0."""
    words = vocabulary.load(args.model)
    if args.json:
        print(json.dumps([row(words, structure) for structure in words], indent=2, ensure_ascii=False))
        return 0
    table = plain_table()
    table.add_column("index", justify="right")
    for name in ("name", "status", "everything", "groups"):
        table.add_column(name, overflow="fold")
    for structure in words:
        facts = row(words, structure)
        lists, groups = (", ".join(facts[key]) or NONE for key in ("everything", "groups"))
        table.add_row(str(structure.index), structure.name, structure.status, lists, groups)
    console = open_console()
    console.print(table)
    able = sum(structure.supported for structure in words)
    console.print(f"{words.name}: {len(words)} structures, {able} can be segmented")
    return 0


def row(words: Vocabulary, structure: Structure) -> dict[str, list[str]]:
    """Return the facts about one structure; `groups` names what it is part of."""
    groups = [other.name for other in words if other.status == "group" and structure.index in other.parts]
    facts: dict[str, object] = {
        "index": structure.index,
        "name": structure.name,
        "status": structure.status,
        "everything": sorted(structure.everything),
        "groups": groups,
        "parts": [words[part].name for part in structure.parts],
        "modalities": sorted(structure.modalities),
        "aliases": list(structure.aliases),
        "snomed": structure.snomed.value if structure.snomed else None,
        "color": list(structure.color),
        "reason": structure.reason,
    }
    return facts  # type: ignore[return-value]
