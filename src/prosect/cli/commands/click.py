"""`prosect click`: a scan and clicks in, the corrected structures out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from prosect.cli.console import open_console
from prosect.clicks_file import read_clicks
from prosect.errors import FormatError, PromptError
from prosect.io import check_writable
from prosect.labelmap import LabelLayers
from prosect.prompts import Click, Prompt, click_at, extend_vocabulary, for_structure, parse_at, target_of
from prosect.session import Change, Session
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Answer the clicks in order, write the labels, and return 0; what can be refused is refused first."""
    if args.output.exists() and not args.overwrite:
        raise FormatError(f"{args.output} exists; give --overwrite to replace it.", code="OUTPUT_EXISTS")
    check_writable(args.output)
    volume = prosect.read(args.input, series=args.series, volume=args.volume)
    clicks = clicks_of(args, volume)
    Prompt(clicks=tuple(clicks), drafted=True, grid=volume.grid)
    loaded = prosect.load(args.model, weights=args.weights, device=args.device, profile=args.profile)
    model = prosect.require_clicks(loaded)
    say = open_console().print if not args.quiet else silent
    resumed = args.journal is not None and args.journal.exists()
    if resumed:
        session = prosect.resume(args.journal, volume, model=model)
        say(f"going on with {args.journal}: {', '.join(session.structures) or 'no structure yet'}")
    else:
        session = model.session(volume, journal=args.journal)
        for change in drafts(session, clicks, args.draft):
            say(described(change, "drafted"))
    for click in clicks:
        change = session.click(click.position_ras, click.positive, click.structure)
        say(described(change, "+" if click.positive else "-"))
        for note in change.notes:
            say(f"  note: {note}")
    prosect.write(session.labels, args.output, like=volume)
    say(str(args.output))
    return 0


def silent(_text: str) -> None:
    """Say nothing."""


def described(change: Change, what: str) -> str:
    """Return a change as a line."""
    return f"{change.structure} {what}: {change.added} voxels added, {change.removed} removed, {change.seconds:.1f} s"


def clicks_of(args: argparse.Namespace, volume: Volume) -> list[Click]:
    """Return the clicks of the flags: those of the file first, each with its structure.

    Raises:
        PromptError: A click is refused; see `click_at` and `read_clicks`.
    """
    clicks = [] if args.clicks is None else read_clicks(args.clicks, volume.grid)
    for text in args.at:
        position, positive = parse_at(text)
        clicks.append(click_at(position, volume.grid, positive=positive, space=args.space))
    return for_structure(clicks, args.structure)


def drafts(session: Session, clicks: Sequence[Click], draft: str) -> list[Change]:
    """Draft the structures that are clicked on, and return what that changed."""
    names = list(dict.fromkeys(click.structure for click in clicks if click.structure is not None))
    if draft == "none":
        return []
    if draft == "auto":
        known = [name for name in names if not target_of(name, session.vocabulary).zero_shot]
        return [session.segment(known)] if known else []
    return [session.start_from(stored_drafts(Path(draft), names, session.vocabulary))]


def stored_drafts(path: Path, names: Sequence[str | int], vocabulary: Vocabulary) -> LabelLayers:
    """Return the masks in a label file for the structures named.

    Labels are found by the names in the file. A single label without a name is the mask of the one structure; several
    are found by the vocabulary's indices.

    Raises:
        PromptError: The file does not hold a structure (`DRAFT_MISSING`).
    """
    stored = prosect.read_labels(path)
    layered = stored.array.ndim == 4
    values = list(stored.layers) if layered else [int(v) for v in np.unique(stored.array) if v]
    masks, indices, words = [], [], vocabulary
    for name in names:
        target = target_of(name, words)
        words = extend_vocabulary(words, target)
        value = value_of(target.name, target.index, values, stored.names, alone=len(names) == 1)
        if value is None:
            raise PromptError(f"{path.name} holds no '{target.name}'; its labels are {values}.", code="DRAFT_MISSING")
        masks.append(stored.array[values.index(value)] if layered else stored.array == value)
        indices.append(target.index)
    return LabelLayers(np.stack(masks).astype(np.bool_), tuple(indices), stored.grid, words)


def value_of(name: str, index: int, values: Sequence[int], names: Any, alone: bool) -> int | None:
    """Return the label value of a structure in a file, or None."""
    named = [value for value in values if names.get(value) == name]
    if named:
        return named[0]
    unnamed = [value for value in values if value not in names]
    if alone and len(values) == len(unnamed) == 1:
        return values[0]
    return index if index in unnamed else None
