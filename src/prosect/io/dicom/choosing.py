"""Which of the series and volumes among DICOM slices is read: the only one, or the one asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from prosect.errors import FormatError
from prosect.io.dicom.header import Slice, uid
from prosect.io.dicom.open_pixels import are_equal
from prosect.io.dicom.spacing import is_even
from prosect.io.dicom.volumes import complete_one, places, split
from prosect.io.paths import file_name

__all__ = ["Choice", "chosen_series"]

Volumes = dict[str, list[Slice]]
# Cosine of the angle up to which two stacks of slices run the same way.
PARALLEL = 0.99


@dataclass(frozen=True, eq=False)
class Choice:
    """The slices to read.

    Attributes:
        slices: Those of one volume.
        repairs: What was left out of the series without being asked for, in sentences.
        notes: Which of several volumes it is, in sentences.
    """

    slices: list[Slice]
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def chosen_series(
    path: Path, slices: Sequence[Slice], wanted: str | None, volume: int | None, own: Sequence[Slice]
) -> Choice:
    """Return the slices of the one volume there is, or of the one asked for.

    Args:
        path: What was given, for messages.
        slices: All slices found.
        wanted: UID of a series or its end, `#` and a number after it or alone.
        volume: Which volume of the series that `wanted` leaves, from 0.
        own: The slices of the one file that was given; its volume is the one asked for.

    Raises:
        FormatError: Several and none asked for (`DICOM_SEVERAL_SERIES`), or none or several match.
    """
    named = label_groups(group_slices(slices))
    matching = []
    for label in named:
        if matches(label, wanted, named):
            matching.append(label)
    if volume is not None:
        matching = labels_of_volume(matching, volume)
    elif wanted is None and len(own) == 1 and len(named) > 1:
        matching = []
        for label, group in named.items():
            if holds(group, own[0]):
                matching.append(label)
    if len(matching) == 1:
        choice = choice_of(named, matching[0])
        return replace(choice, repairs=(*choice.repairs, *warn_of_slices_between(named, matching[0])))
    leading = leading_volume({label: named[label] for label in matching})
    if leading is not None:
        return leading
    listed = "; ".join(series_line(label, group) for label, group in named.items())
    asked = ""
    if wanted is not None:
        asked = f", and {wanted!r} matches {len(matching)} of them"
    if volume is not None:
        asked = f", and volume {volume} was asked for, counted from 0"
    raise FormatError(
        f"{file_name(path)}: {len(named)} {kind_of(named)} are here{asked}: {listed}. {remedy_of(named)}",
        code="DICOM_SEVERAL_SERIES",
    )


def matches(label: str, wanted: str | None, named: Volumes) -> bool:
    """Return whether a label is what `wanted` says; the full name of one series is the end of no other."""
    if wanted is None or wanted == label:
        return True
    if wanted in named:
        return False
    if wanted == "#1" and len(named) == 1:
        return True
    # `1.2.3` is the end of `9.1.2.3` too, but names the series that is called so.
    if any(uid(other) == wanted for other in named):
        return uid(label) == wanted
    return label.endswith(wanted) or uid(label).endswith(wanted)


def labels_of_volume(labels: Sequence[str], volume: int) -> list[str]:
    """Return the label of one volume, by its number from 0, where the labels are of one series; else all of them."""
    if len({uid(label) for label in labels}) > 1:
        return list(labels)
    if 0 <= volume < len(labels):
        return [labels[volume]]
    return []


def holds(group: Sequence[Slice], item: Slice) -> bool:
    """Return whether a slice is among others, read anew."""
    own = (item.member.name, item.identity["SOPInstanceUID"])
    return any((other.member.name, other.identity["SOPInstanceUID"]) == own for other in group)


def choice_of(named: Volumes, label: str) -> Choice:
    """Return one of several volumes, with a note on which."""
    group = named[label]
    of_series = []
    for other in named:
        if uid(other) == uid(label):
            of_series.append(other)
    if len(of_series) == 1:
        return Choice(group)
    part = ""
    if group[0].part:
        part = f" ({group[0].part})"
    number = of_series.index(label) + 1
    return Choice(group, notes=(f"The series holds {len(of_series)} volumes; number {number}{part} was read.",))


def warn_of_slices_between(named: Volumes, label: str) -> tuple[str, ...]:
    """Return a warning where slices of the same series lie between those of a volume, apart by a detail of geometry.

    A series that was split by jitter of orientation or pixel spacing would otherwise be read by half without a word.
    """
    first = named[label][0]
    depths = sorted(item.depth_mm for item in named[label])
    if len(depths) < 2:
        return ()
    count = 0
    for other, group in named.items():
        # What has a name of its own, such as another phase, is a volume of its own too.
        is_split = uid(other) == uid(label) and other != label and group[0].part == first.part
        if not is_split or abs(float(first.normal @ group[0].normal)) < PARALLEL:
            continue
        lie = []
        for item in group:
            lie.append(float(item.position @ first.normal))
        count += sum(depths[0] < depth < depths[-1] for depth in lie)
    if not count:
        return ()
    return (
        f"{count} slices of the series lie between those that were read and were left out: their orientation, pixel "
        "spacing or size differs.",
    )


def leading_volume(named: Volumes) -> Choice | None:
    """Return the volume of a series that has all places where others are mere leftovers, which it says; else None."""
    if not named or len({uid(label) for label in named}) > 1 or len({group[0].rows for group in named.values()}) > 1:
        return None
    label = complete_one(named)
    if label is None:
        return None
    rest = sum(len(group) for other, group in named.items() if other != label)
    others = "; ".join(group[0].part for other, group in named.items() if other != label)
    repair = (
        f"{rest} slices lie where others of the series do ({others}) and were left out; the complete volume "
        f"({named[label][0].part}) was read."
    )
    return Choice(named[label], (repair,))


def kind_of(named: Volumes) -> str:
    """Return whether several series or several volumes of one are listed."""
    if len({uid(label) for label in named}) == len(named):
        return "series"
    return "volumes of series"


def remedy_of(named: Volumes) -> str:
    """Return how to choose."""
    if kind_of(named) == "series":
        return "Choose one by `series`, its UID or the end of it."
    return 'Choose one by `series`, its UID or the end of it, such as "#1", or by `volume`, from 0.'


def group_slices(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return the volumes among slices."""
    groups: list[list[Slice]] = []
    for item in slices:
        group = next((g for g in groups if g[0].belongs_with(item)), None)
        if group is None:
            groups.append([item])
        else:
            group.append(item)
    volumes: list[list[Slice]] = []
    for group in groups:
        for part in frames_of_reference(straighten(group)):
            volumes += split(part, are_equal)
    return volumes


def straighten(group: list[Slice]) -> list[Slice]:
    """Return slices with the directions of the first, each with how far its own were from them.

    Depths count along the normal; normals that differ by rounding would shift them by tenths of a millimetre.
    """
    first = group[0]
    straight: list[Slice] = []
    for item in group:
        turned = float(np.abs(item.row_direction - first.row_direction).max())
        tipped = float(np.abs(item.column_direction - first.column_direction).max())
        if not max(turned, tipped):
            straight.append(item)
            continue
        straight.append(
            replace(
                item,
                row_direction=first.row_direction,
                column_direction=first.column_direction,
                turned=max(turned, tipped),
            )
        )
    return straight


def frames_of_reference(group: Sequence[Slice]) -> list[list[Slice]]:
    """Return slices by Frame of Reference, or together where the UIDs only came apart.

    Anonymisers give each slice another one, or some of them none. A series holds a single one (PS3.3 C.7.4.1), so
    slices that lie in one even row, or that all differ, belong together.
    """
    found: dict[str, list[Slice]] = {}
    for item in group:
        found.setdefault(item.identity["FrameOfReferenceUID"], []).append(item)
    ordered = sorted(group, key=lambda item: item.depth_mm)
    if len(found) == len(group) or is_even_row(ordered):
        return [list(group)]
    return list(found.values())


def is_even_row(ordered: Sequence[Slice]) -> bool:
    """Return whether slices along the normal have a place each, at even distances."""
    return len(set(places(ordered))) == len(ordered) and is_even(ordered)


def label_groups(groups: Sequence[list[Slice]]) -> dict[str, list[Slice]]:
    """Return groups by series UID, with #1, #2, ... after it where one series falls into several."""
    uids = [group[0].series_uid for group in groups]
    named: dict[str, list[Slice]] = {}
    for number, group in enumerate(groups):
        series = uids[number]
        part = uids[: number + 1].count(series)
        label = f"{series}#{part}" if uids.count(series) > 1 else series
        named[label] = group
    return named


def series_line(label: str, group: Sequence[Slice]) -> str:
    """Return one line on a series: UID, description, part, slices, size, spacing. Nothing of the patient."""
    first = group[0]
    depths = sorted(s.depth_mm for s in group)
    if len(depths) > 1:
        gap = float(np.median(np.diff(depths)))
    else:
        gap = first.thickness_mm
    title = "".join(c for c in first.identity["SeriesDescription"] if c.isprintable())[:64]
    part = ""
    if first.part and len(label) > len(first.series_uid):
        part = f" ({first.part})"
    return (
        f"{label} {title!r}{part} {first.modality} {len(group)} slices {first.columns}x{first.rows}, "
        f"{first.spacing[1]:.3g} x {first.spacing[0]:.3g} x {gap:.3g} mm"
    )
