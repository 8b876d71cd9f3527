"""A structure as a row of text: the columns of our tables and of the vocabulary in a checkpoint header.

Lists are joined by `;`, runs of indices are written `33-56`, a code is `10200004|Liver` (SNOMED CT).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields

from prosect.errors import VocabularyError
from prosect.vocabulary.structure import MAX_INDEX, Code, Structure

__all__ = ["COLUMNS", "row_of", "structure_of"]

COLUMNS = tuple(field.name for field in fields(Structure))
RUN = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def row_of(structure: Structure) -> dict[str, str]:
    """Return the columns of a structure that are not empty."""
    row = {
        "index": str(structure.index),
        "name": structure.name,
        "status": structure.status,
        "overlapping": "yes" if structure.overlapping else "",
        "ambiguous": "yes" if structure.ambiguous else "",
        "parts": write_indices(structure.parts),
        "contains": write_indices(structure.contains),
        "everything": ";".join(sorted(structure.everything)),
        "modalities": ";".join(sorted(structure.modalities)),
        "aliases": ";".join(structure.aliases),
        "category": write_code(structure.category),
        "snomed": write_code(structure.snomed),
        "region": write_code(structure.region),
        "laterality": structure.laterality or "",
        "color": ",".join(map(str, structure.color)),
        "reason": structure.reason,
    }
    found: dict[str, str] = {}
    for column, text in row.items():
        if text:
            found[column] = text
    return found


def structure_of(row: Mapping[str, str]) -> Structure:
    """Return the structure that a row describes; a missing column counts as empty.

    Raises:
        VocabularyError: A column is unknown or its text cannot be read (`VOCABULARY_INVALID`).
    """
    unknown = set(row) - set(COLUMNS)
    if unknown or not all(isinstance(text, str) for text in row.values()):
        raise invalid(f"Unknown or non-text columns {sorted(unknown) or sorted(row)}; known are {', '.join(COLUMNS)}.")
    try:
        return Structure(
            index=int(row["index"]),
            name=row["name"],
            status=row.get("status") or "supported",  # type: ignore[arg-type]
            overlapping=flag(row.get("overlapping", "")),
            ambiguous=flag(row.get("ambiguous", "")),
            parts=read_indices(row.get("parts", "")),
            contains=read_indices(row.get("contains", "")),
            everything=frozenset(items(row.get("everything", ""))),
            modalities=frozenset(items(row.get("modalities", ""))),
            aliases=items(row.get("aliases", "")),
            category=read_code(row.get("category", "")),
            snomed=read_code(row.get("snomed", "")),
            region=read_code(row.get("region", "")),
            laterality=row.get("laterality") or None,  # type: ignore[arg-type]
            color=tuple(int(channel) for channel in row["color"].split(",")),  # type: ignore[arg-type]
            reason=row.get("reason", ""),
        )
    except (KeyError, ValueError) as error:
        raise invalid(f"The vocabulary row {dict(row)!r:.200} cannot be read: {error}.") from error


def items(text: str) -> tuple[str, ...]:
    """Return the parts of a `;` list."""
    found = []
    for part in text.split(";"):
        if part.strip():
            found.append(part.strip())
    return tuple(found)


def flag(text: str) -> bool:
    """Return whether a column says yes."""
    if text not in ("", "yes"):
        raise ValueError(f"'{text}' is neither 'yes' nor empty")
    return text == "yes"


def write_indices(indices: Iterable[int]) -> str:
    """Return indices as text; runs of three or more ascending ones are shortened."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ";".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def read_indices(text: str) -> tuple[int, ...]:
    """Return the indices that `write_indices` wrote."""
    found: list[int] = []
    for part in items(text):
        match = RUN.fullmatch(part)
        if match is None:
            raise ValueError(f"'{part}' is not an index or a run of indices")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last <= MAX_INDEX:
            raise ValueError(f"the run '{part}' does not ascend within 1 to {MAX_INDEX}")
        found += range(first, last + 1)
    return tuple(found)


def write_code(code: Code | None) -> str:
    """Return a code as text; the scheme is written where it is not SNOMED CT."""
    if code is None:
        return ""
    return f"{code.value}|{code.meaning}" + ("" if code.scheme == "SCT" else f"|{code.scheme}")


def read_code(text: str) -> Code | None:
    """Return the code that `write_code` wrote."""
    if not text:
        return None
    value, meaning, *scheme = text.split("|")
    return Code(value, meaning, *scheme[:1])


def invalid(message: str) -> VocabularyError:
    """Return the error of a vocabulary that cannot be used."""
    return VocabularyError(message, code="VOCABULARY_INVALID")
