"""Names and colours of label values as other programs read them: ITK-SNAP, 3D Slicer, nnU-Net.

Label files of this package carry their names inside; these tables are for programs that do not look there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from prosect.io.stored import Label
from prosect.label_values import own_values
from prosect.labelmap import Labels

__all__ = ["as_itksnap", "as_nnunet", "as_slicer", "file_values"]

RULE = "#" * 48
ITKSNAP_HEADER = f"""{RULE}
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
{RULE}
"""


def file_values(labels: Labels, renumber: bool) -> dict[int, int]:
    """Return the label value in files of each structure that was looked for, where it is not its index.

    Args:
        labels: The result.
        renumber: Whether values count from 1, in the order of the indices. Else results of a finetuned model have the
            values of the labels that it learnt from.
    """
    if renumber:
        found: dict[int, int] = {}
        for place, index in enumerate(labels.sought, start=1):
            found[index] = place
        return found
    return own_values(labels.provenance)


def as_itksnap(labels: Sequence[Label]) -> bytes:
    """Return ITK-SNAP's label descriptions, which are loaded by Segmentation > Import Label Descriptions."""
    lines = [itksnap_line(0, (0, 0, 0), "Clear Label")]
    for label in labels:
        lines.append(itksnap_line(label.value, label.rgb, label.name))
    return (ITKSNAP_HEADER + "".join(lines)).encode()


def itksnap_line(value: int, rgb: tuple[int, int, int], name: str) -> str:
    """Return one label; the background is clear, and is neither shown nor meshed."""
    red, green, blue = rgb
    shown = int(value > 0)
    # A quotation mark would end the name.
    quoted = name.replace('"', "'")
    return f'{value:5d} {red:5d} {green:4d} {blue:4d} {shown:8d} {shown:2d} {shown:2d}    "{quoted}"\n'


def as_slicer(labels: Sequence[Label]) -> bytes:
    """Return 3D Slicer's colour table; blanks part its columns, so names have underscores."""
    lines = ["# Color table file", "# Value Name Red Green Blue Opacity", "0 background 0 0 0 0"]
    for label in labels:
        red, green, blue = label.rgb
        lines.append(f"{label.value} {'_'.join(label.name.split())} {red} {green} {blue} 255")
    return ("\n".join(lines) + "\n").encode()


def as_nnunet(labels: Sequence[Label], channel: str, ending: str) -> bytes:
    """Return the `dataset.json` of nnU-Net (version 2), for one channel and one labelled scan.

    nnU-Net trains on values without gaps only: 1 to N.

    Args:
        labels: The structures.
        channel: What kind of scan it is.
        ending: Of the label file.
    """
    values = {"background": 0} | {label.name: label.value for label in labels}
    content = {"channel_names": {"0": channel}, "labels": values, "numTraining": 1, "file_ending": ending}
    return (json.dumps(content, indent=2) + "\n").encode()
