"""What a notebook shows of a scan, a result, a session or a model: facts, structures with their volumes, a picture."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np

from prosect import preview
from prosect.display import ShownLabels, millilitres
from prosect.io.atomic import write_atomically
from prosect.labelmap import LabelLayers, LabelMap
from prosect.volume import Volume

__all__ = ["card", "picture", "save"]

MOST_ROWS = 12
Scene = tuple[Volume | None, LabelMap | LabelLayers | None]


def card(facts: Iterable[str], rows: Iterable[tuple[str, str]], scene: Scene | None, title: str) -> str:
    """Return the HTML of a card; it needs no script and loads nothing from elsewhere.

    Args:
        facts: What stands in its head.
        rows: A word and what is said of it.
        scene: Scan and labels that are drawn; None draws nothing.
        title: What it is.
    """
    lines = list(rows)
    if scene is None:
        labels = None
    else:
        labels = scene[1]
    if labels is not None:
        lines += structure_rows(labels)
    head = escape(" · ".join(facts))
    body = []
    for word, said in lines:
        body.append(f"<tr><th>{escape(word)}</th><td>{escape(said)}</td></tr>")
    table = ""
    if body:
        table = f"<table>{''.join(body)}</table>"
    return f"<div><b>{escape(title)}</b> {head}{image(scene)}{table}</div>"


def structure_rows(labels: LabelMap | LabelLayers) -> list[tuple[str, str]]:
    """Return the largest structures with their volumes, and how many more there are."""
    volumes = labels.volumes()
    rows = []
    for name, ml in list(volumes.items())[:MOST_ROWS]:
        rows.append((name, millilitres(ml)))
    if len(volumes) > MOST_ROWS:
        rows.append((f"and {len(volumes) - MOST_ROWS} smaller", ""))
    return rows


def image(scene: Scene | None) -> str:
    """Return a thumbnail as an image that is part of the page; nothing where there is none."""
    if scene is None or scene == (None, None):
        return ""
    try:
        png = small_picture(*scene)
    except Exception:
        # A notebook shows a card after every cell: whatever a picture lacks, facts and volumes must still be seen.
        return ""
    return f'<br><img alt="three planes" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def small_picture(volume: Volume | None, labels: LabelMap | LabelLayers | None) -> bytes:
    """Return the PNG of three planes of a scan, of labels, or of both."""
    if volume is None:
        assert labels is not None
        volume = black(labels)
    return preview.thumbnail(volume, labels)


def picture(labels: ShownLabels, volume: Volume | None, each: bool) -> bytes:
    """Return the PNG of a result; see `ShownLabels.preview`.

    Raises:
        GeometryError: Scan and labels differ in shape.
    """
    assert isinstance(labels, LabelMap | LabelLayers)
    return preview.picture(volume or black(labels), labels, each=each)


def black(labels: LabelMap | LabelLayers) -> Volume:
    """Return a scan (i j k) without anything in it, on the labels' grid."""
    return Volume(np.zeros(labels.grid.shape, np.float32), labels.grid)


def save(path: Path, png: bytes) -> None:
    """Write a picture, whole or not at all.

    Raises:
        FormatError: The place cannot be written.
    """
    write_atomically(path, [png])
