"""Folders as nnU-Net keeps them: `dataset.json` beside `imagesTr` and `labelsTr`, image names that end in a channel.

Version 2 names its labels `{"background": 0, "liver": 1}`, and regions by several values, `{"whole tumor": [1, 2, 3]}`;
version 1 and the Medical Segmentation Decathlon the other way round, `{"0": "background", "1": "liver"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["DATASET_FILE", "is_nnunet", "label_pairs", "refuse_channels"]

DATASET_FILE = "dataset.json"
BACKGROUND = "background"
IGNORE = "ignore"
# Keys that only version 2 has.
VERSION_2 = ("channel_names", "file_ending")


def is_nnunet(plain: Any) -> bool:
    """Return whether the content of a JSON file is nnU-Net's description of a data set, version 2."""
    return isinstance(plain, dict) and isinstance(plain.get("labels"), dict) and any(key in plain for key in VERSION_2)


def refuse_channels(plain: Mapping[str, Any]) -> None:
    """Refuse a data set of several images per case.

    Raises:
        ValueError: It has several channels.
    """
    channels = plain.get("channel_names") or plain.get("modality") or {}
    if len(channels) > 1:
        names = ", ".join(str(name) for name in (channels.values() if isinstance(channels, dict) else channels))
        raise ValueError(
            f"each case has {len(channels)} images ({names:.60}), and one is needed; make a data set of one channel"
        )


def label_pairs(labels: Mapping[Any, Any]) -> list[list[Any]]:
    """Return pairs of a label value, or the list of values of a region, and its name; without the background.

    Raises:
        ValueError: A value is none, or voxels are marked to be ignored, which is not known here.
    """
    pairs: list[list[Any]] = []
    for key, content in labels.items():
        # Version 1 has the value first.
        if str(key).isdigit() and isinstance(content, str):
            name, values = (str(content), key)
        else:
            name, values = (str(key), content)
        numbers = values_of_label(name, values)
        if name.strip().lower() == IGNORE:
            raise ValueError(
                f"the label {numbers[0]} marks voxels to be ignored, and every voxel must have a meaning; take it out "
                "of the labels"
            )
        if name.strip().lower() != BACKGROUND and numbers != [0]:
            pairs.append([numbers[0] if len(numbers) == 1 else numbers, name])
    return pairs


def values_of_label(name: str, values: Any) -> list[int]:
    """Return the label values of one name, of which there are several in a region.

    Raises:
        ValueError: They are no whole numbers.
    """
    if isinstance(values, Sequence) and not isinstance(values, str):
        several = values
    else:
        several = [values]
    try:
        numbers = [int(value) for value in several]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or min(numbers) < 0:
        raise ValueError(f"the label {name!r:.40} has the values {values!r:.40}; whole numbers from 0 are needed")
    return numbers
