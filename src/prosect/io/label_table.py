"""Structure names inside NIfTI: the Caret/Connectome-Workbench XML label table that TotalSegmentator writes too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from prosect.io.stored import Label

__all__ = ["caret_xml", "parse_caret_xml"]

# The format wants a date. A fixed one keeps files byte-identical; this is the one TotalSegmentator writes.
DATE = "2013-07-14T05:45:09"
LAYER_KEY = "prosect_label_value"
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def caret_xml(labels: Sequence[Label], layered: bool) -> bytes:
    """Return the label table: one table for a label map, one per volume where each structure has its own mask.

    A mask's table names voxel value 1; the structure's label value is beside it as metadata.
    """
    if layered:
        tables = []
        for n, label in enumerate(labels):
            tables.append(table(n, [Label(1, label.name, label.rgb)], label.value))
    else:
        tables = [table(0, labels, None)]
    body = "".join(tables)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date>{cdata(DATE)}</Date>{body}</CaretExtension>\n'
    ).encode()


def table(volume: int, labels: Sequence[Label], value: int | None) -> str:
    """Return the XML of one volume's names; like TotalSegmentator's it says nothing of the background."""
    meta = ""
    if value is not None:
        meta = f"  <MetaData>  <MD><Name>{cdata(LAYER_KEY)}</Name><Value>{cdata(str(value))}</Value></MD>  </MetaData>"
    rows = []
    for label in labels:
        if label.value:
            rows.append(row(label))
    return (
        f'   <VolumeInformation Index="{volume}">   <LabelTable>\n' + "".join(rows) + "\n  </LabelTable>" + meta +
        f"  <StudyMetaDataLinkSet>  </StudyMetaDataLinkSet>  <VolumeType>{cdata('Label')}</VolumeType>"
        "   </VolumeInformation>"
    )  # fmt: skip


def row(label: Label) -> str:
    """Return the XML of one name."""
    red, green, blue = (value / 255 for value in label.rgb)
    return (
        f'<Label Key="{label.value}" Red="{red}" Green="{green}" Blue="{blue}" Alpha="1">{cdata(label.name)}</Label>\n'
    )


def cdata(text: str) -> str:
    """Return text as an XML character section, without the characters that XML cannot hold."""
    clean = NOT_IN_XML.sub("?", text)
    return "<![CDATA[" + clean.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def parse_caret_xml(content: bytes) -> tuple[dict[int, str], tuple[int, ...]]:
    """Return names by label value, and the label value of each volume of a layered file (else nothing).

    Names are an extra: a table that cannot be parsed, or that brings a document type of its own (entity bombs need
    one), yields none.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        return {}, ()
    try:
        root = ElementTree.fromstring(content.rstrip(b"\x00 \r\n\t"))
        volumes = sorted(root.iter("VolumeInformation"), key=lambda volume: int(volume.get("Index", "0")))
        tables = [names_in(volume) for volume in volumes]
        layers = [layer_value(volume) for volume in volumes]
    except (ElementTree.ParseError, ValueError):
        return {}, ()
    values = tuple(value for value in layers if value is not None)
    if values and len(values) == len(tables):
        # Each volume is a mask of ours, in which 1 is the structure.
        return {value: names.get(1, "") for value, names in zip(values, tables, strict=True)}, values
    merged: dict[int, str] = {}
    for names in tables:
        merged.update(names)
    merged.pop(0, None)  # the background
    return merged, ()


def names_in(volume: ElementTree.Element) -> dict[int, str]:
    """Return the names in the table of one volume by their keys.

    Raises:
        ValueError: A key is no number.
    """
    found: dict[int, str] = {}
    for entry in volume.iter("Label"):
        found[int(entry.get("Key", ""))] = entry.text or ""
    return found


def layer_value(volume: ElementTree.Element) -> int | None:
    """Return the label value that a mask stands for, or None where the volume is a label map."""
    for entry in volume.iter("MD"):
        if entry.findtext("Name") == LAYER_KEY:
            return int(entry.findtext("Value") or "")
    return None
