"""Clicks from files: our own JSON, and the markups of 3D Slicer.

Ours: `{"space": "ras", "clicks": [{"position": [x, y, z], "positive": true, "structure": "liver"}]}`, or the bare list.
Instead of `positive` a click may carry the `label` of the official software, -1 to 3.

Slicer (`.mrk.json`): every control point is a click; the file says whether it is in LPS or RAS. A point is negative
where its label or its list's name ends in `-`, or where its description says `negative`.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prosect.errors import PromptError
from prosect.geometry import Grid
from prosect.prompts import Click, click_at, positive_of
from prosect.vocabulary import Vocabulary

__all__ = ["read_clicks"]

MAX_BYTES = 1 << 24
DOCUMENT = ("space", "clicks")
ENTRY = ("position", "positive", "label", "structure", "space")
COORDINATE_SYSTEMS = {"RAS": "ras", "LPS": "lps", "0": "ras", "1": "lps"}


def read_clicks(path: str | os.PathLike[str], grid: Grid, vocabulary: Vocabulary | None = None) -> list[Click]:
    """Return the clicks in a file, in order.

    Args:
        path: Our JSON or a Slicer markups file; the content decides.
        grid: The scan's grid.
        vocabulary: Says which structures are ambiguous, for files with official labels.

    Raises:
        PromptError: The file cannot be read as clicks (`CLICKS_FILE`), or a click is refused; see `click_at`.
    """
    place = Path(path)
    content = load(place)
    if isinstance(content, Mapping) and "markups" in content:
        clicks = list(from_slicer(content["markups"], grid, place.name))
    else:
        clicks = list(from_ours(content, grid, vocabulary, place.name))
    if not clicks:
        raise invalid(f"{place.name}: the file holds no click.")
    return clicks


def load(path: Path) -> Any:
    """Return the JSON content of a file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise invalid(f"{path.name}: the file is larger than {MAX_BYTES >> 20} MiB, too large for clicks.")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise invalid(f"{path.name}: cannot be read ({error.strerror or type(error).__name__}).") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise invalid(f"{path.name}: this is not JSON ({str(error)[:80]}).") from error


def from_ours(content: Any, grid: Grid, vocabulary: Vocabulary | None, name: str) -> Iterator[Click]:
    """Yield the clicks of our own format."""
    if isinstance(content, Mapping):
        refuse_unknown_keys(content, DOCUMENT, name)
    else:
        content = {"clicks": content}
    entries = content.get("clicks")
    if not isinstance(entries, list):
        raise invalid(f"{name}: a list of clicks is needed, or an object with the list under 'clicks'.")
    for n, entry in enumerate(entries):
        where = f"{name}, click {n}"
        if not isinstance(entry, Mapping) or "position" not in entry:
            raise invalid(f"{where}: an object with a 'position' is needed.")
        refuse_unknown_keys(entry, ENTRY, where)
        structure = entry.get("structure")
        if isinstance(structure, bool) or not isinstance(structure, str | int | None):
            raise invalid(f"{where}: the structure {structure!r:.60} is neither a name nor an index.")
        positive = sign(entry, structure, vocabulary, where)
        space = entry.get("space", content.get("space", "ras"))
        if positive is not None:
            yield click_of(entry["position"], grid, positive, structure, space, where)


def sign(
    entry: Mapping[str, Any], structure: str | int | None, vocabulary: Vocabulary | None, where: str
) -> bool | None:
    """Return whether a click is positive, or None for the padding of the official software."""
    if "label" not in entry:
        positive = entry.get("positive", True)
        if not isinstance(positive, bool):
            raise PromptError(f"{where}: 'positive' is {positive!r:.60}; true or false is needed.", code="CLICK_LABEL")
        return positive
    if "positive" in entry:
        raise PromptError(f"{where}: give 'positive' or 'label', not both.", code="CLICK_LABEL")
    if vocabulary is None or structure is None:
        known_as = None
    else:
        known_as = vocabulary.get(structure)
    return positive_of(entry["label"], known_as is not None and known_as.ambiguous)


def from_slicer(markups: Any, grid: Grid, name: str) -> Iterator[Click]:
    """Yield the control points of every list of a Slicer file."""
    if not isinstance(markups, list) or not all(isinstance(each, Mapping) for each in markups):
        raise invalid(f"{name}: 'markups' is not a list of markups.")
    for markup in markups:
        system = COORDINATE_SYSTEMS.get(str(markup.get("coordinateSystem", "LPS")))
        if system is None:
            found = markup["coordinateSystem"]
            raise PromptError(f"{name}: there is no coordinate system {found!r:.60}.", code="SPACE_UNKNOWN")
        points = markup.get("controlPoints", [])
        if not isinstance(points, list) or not all(isinstance(point, Mapping) for point in points):
            raise invalid(f"{name}: 'controlPoints' is not a list of points.")
        for n, point in enumerate(points):
            where = f"{name}, point {point.get('label') or n}"
            status = point.get("positionStatus", "defined")
            if status != "defined":
                raise invalid(f"{where}: its position is {status!r:.60}; place it in Slicer or delete it.")
            words = (str(markup.get("name", "")), str(point.get("label", "")))
            described = str(point.get("description", "")).lower()
            negative = any(word.endswith("-") for word in words) or "negative" in described
            yield click_of(point.get("position"), grid, not negative, None, system, where)


def click_of(position: Any, grid: Grid, positive: bool, structure: str | int | None, space: str, where: str) -> Click:
    """Return a click; a refusal says which entry of the file it is."""
    try:
        return click_at(position, grid, positive=positive, structure=structure, space=space)
    except PromptError as error:
        raise PromptError(f"{where}: {error}", code=error.code) from None


def refuse_unknown_keys(entry: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Refuse an unknown key, naming the nearest valid one."""
    for key in entry:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1, 0.0)[0]
            raise invalid(f"{where}: the key {key!r:.60} is unknown; did you mean '{near}'?")


def invalid(message: str) -> PromptError:
    """Return the error of a file that holds no clicks."""
    return PromptError(message, code="CLICKS_FILE")
