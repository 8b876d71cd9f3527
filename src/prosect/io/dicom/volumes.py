"""Which volumes the slices of one series hold: phases, echoes, b values and acquisitions share their places.

Two different slices at one place belong to two volumes. What tells them apart is looked for in the headers: first one
attribute that parts the series into volumes of equal places, then two or three together, then the order of the slices
at each place. Where nothing does, the series is refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from prosect.io.dicom.frames import ORDERS
from prosect.io.dicom.header import Slice

__all__ = ["complete_one", "places", "split"]

SAME_PLACE_MM = 1e-3
# How many attributes together may tell volumes apart, such as the echo and the phase.
MAX_MARKS = 3
# One volume is read without asking where it lacks no place and what is left is at most this part of it.
LEFTOVER = 1 / 3

Key = Hashable
Same = Callable[[Slice, Slice], bool]


def places(group: Sequence[Slice]) -> list[int]:
    """Return for each slice the number of its place, counted along the normal from 0."""
    order = sorted(range(len(group)), key=lambda n: group[n].depth_mm)
    found = [0] * len(group)
    place = 0
    for before, n in pairwise(order):
        if np.abs(group[n].position - group[before].position).max() > SAME_PLACE_MM:
            place += 1
        found[n] = place
    return found


def split(group: Sequence[Slice], same: Same) -> list[list[Slice]]:
    """Return the volumes among slices that can lie in one grid, each with what tells it apart as its `part`.

    Args:
        group: Slices of one series, size, orientation and spacing.
        same: Whether two slices at one place hold the same pixels. It reads them, so it is asked no more than needed.

    Returns:
        The group as it is where no two different slices share a place, or where nothing tells them apart.
    """
    at = places(group)
    if len(set(at)) == len(group) or all_copies(group, at, same):
        return [list(group)]
    varying = []
    for mark in group[0].marks:
        if len({item.marks[mark] for item in group}) > 1:
            varying.append(mark)
    for count in range(1, MAX_MARKS + 1):
        for marks in combinations(varying, count):
            keys = []
            for item in group:
                keys.append(tuple(item.marks[mark] for mark in marks))
            if are_complete(keys, at):
                return part_slices(group, keys, marks)
    keys_in_order = ranks(group, at)
    if keys_in_order:
        return part_slices(group, keys_in_order, ("number",))
    return unequal(group, at, varying)


def all_copies(group: Sequence[Slice], at: Sequence[int], same: Same) -> bool:
    """Return whether all slices at one place hold the same pixels."""
    first: dict[int, Slice] = {}
    for place, item in zip(at, group, strict=True):
        if place in first and not same(first[place], item):
            return False
        first.setdefault(place, item)
    return True


def are_apart(keys: Sequence[Key], at: Sequence[int]) -> bool:
    """Return whether no two slices of one key share a place."""
    return len(set(zip(keys, at, strict=True))) == len(keys)


def are_complete(keys: Sequence[Key], at: Sequence[int]) -> bool:
    """Return whether each key has one slice at every place."""
    return are_apart(keys, at) and set(Counter(keys).values()) == {len(set(at))}


def ranks(group: Sequence[Slice], at: Sequence[int]) -> list[Key]:
    """Return which of the slices at its place each slice is, by time or number; empty where that cannot be said.

    It can where every place has as many slices.
    """
    if len(set(Counter(at).values())) != 1:
        return []
    for attribute in ORDERS:
        values = [item.order.get(attribute) for item in group]
        if None in values or not are_apart(values, at):
            continue
        by_place: dict[int, list[Any]] = defaultdict(list)
        for place, value in zip(at, values, strict=True):
            by_place[place].append(value)
        for found in by_place.values():
            found.sort()
        return [(by_place[place].index(value) + 1,) for place, value in zip(at, values, strict=True)]
    return []


def unequal(group: Sequence[Slice], at: Sequence[int], varying: Sequence[str]) -> list[list[Slice]]:
    """Return volumes that do not share all places, by the attribute that gives the fewest of them."""
    best: tuple[int, str] | None = None
    for mark in varying:
        keys = [item.marks[mark] for item in group]
        if are_apart(keys, at) and (best is None or len(set(keys)) < best[0]):
            best = (len(set(keys)), mark)
    if best is None:
        return [list(group)]
    return part_slices(group, [(item.marks[best[1]],) for item in group], (best[1],))


def part_slices(group: Sequence[Slice], keys: Sequence[Key], marks: Sequence[str]) -> list[list[Slice]]:
    """Return the slices of each key, in the order of the keys, with the words for it as their part."""
    found: dict[Any, list[Slice]] = defaultdict(list)
    for key, item in zip(keys, group, strict=True):
        found[key].append(item)
    volumes: list[list[Slice]] = []
    for key in sorted(found, key=sort_key):
        words = ", ".join(f"{mark} {value or 'none'}" for mark, value in zip(marks, key, strict=True))
        volumes.append([replace(item, part=f"{item.part}, {words}" if item.part else words) for item in found[key]])
    return volumes


def sort_key(key: tuple[Any, ...]) -> tuple[tuple[bool, float, str], ...]:
    """Return what sorts keys by number where they are numbers, else as text."""
    return tuple(ordered_value(value) for value in key)


def ordered_value(value: Any) -> tuple[bool, float, str]:
    """Return what sorts numbers before text."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, str(value)


def complete_one(volumes: Mapping[str, Sequence[Slice]]) -> str | None:
    """Return the label of the one volume that has all places, where all others are mere leftovers; else None."""
    label = max(volumes, key=lambda name: len(volumes[name]))
    rest = sum(len(group) for name, group in volumes.items() if name != label)
    everything = [item for group in volumes.values() for item in group]
    covers = len(set(places(everything))) == len(volumes[label])
    if covers and rest <= LEFTOVER * len(volumes[label]):
        return label
    return None
