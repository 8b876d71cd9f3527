"""What a session needs of a model, and what a model needs of a scan to be known again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import CheckpointError
from prosect.inference.feature_budget import FeatureBudget
from prosect.inference.question import Question
from prosect.inference.scales import Rescaled
from prosect.labelmap import LabelLayers, LabelMap
from prosect.progress import Watch
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = [
    "ClickModel",
    "Drafts",
    "HasStrangers",
    "NumbersLabels",
    "Rescales",
    "Responder",
    "knows",
    "label_values_by",
    "refuse_automatic",
    "require_drafts",
    "rescaled_of",
    "responder_at",
    "scan_hash",
]

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]

PLANES = 16  # hashed at a time: one cache line of voxels where the last axis runs fastest


class Responder(Protocol):
    """What answers clicks on one scan; see `inference.clicks.ClickResponder` and `inference.crops.CropResponder`.

    Sessions of one scan may share it: it holds the scan made ready and what is remembered of it, and no mask.
    """

    def place(self, position_ras: Sequence[float], existing: Sequence[Voxel]) -> Voxel:
        """Return the patch for a click, one of those that exist where it serves."""

    def box(self, patch: Voxel) -> Box:
        """Return the box of the scan that a patch covers."""

    def extent(self, question: Question, watch: Watch | None = None) -> Box:
        """Return the box of the scan that the answer covers."""

    def propose(self, question: Question, box: Box, watch: Watch | None = None) -> tuple[Mask, Mask]:
        """Return where in a box the network was asked, and where it says yes, both (i j k)."""


@runtime_checkable
class Rescales(Responder, Protocol):
    """A responder that may answer at other working spacings, too."""

    @property
    def rescaled(self) -> Rescaled[Any] | None:
        """The responders of the same scan at these, or None."""


@runtime_checkable
class HasStrangers(Responder, Protocol):
    """A responder that was not taught all structures of the session's vocabulary."""

    def knows(self, structure: int) -> bool:
        """Return whether it was taught a structure."""


def knows(responder: Responder, structure: int) -> bool:
    """Return whether a responder was taught a structure of the vocabulary, or makes no difference between them."""
    return not isinstance(responder, HasStrangers) or responder.knows(structure)


def rescaled_of(responder: Responder) -> Rescaled[Responder] | None:
    """Return the responders of a scan at other working spacings, or None where there are none."""
    if isinstance(responder, Rescales):
        return responder.rescaled
    return None


def responder_at(responder: Responder, scale: float) -> Responder:
    """Return the responder whose working spacing is a multiple of the model's; itself where there is no other."""
    rescaled = rescaled_of(responder)
    if scale == 1 or rescaled is None:
        return responder
    return rescaled.at(scale)


class ClickModel(Protocol):
    """What a session needs of a model."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures it knows."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides its answers: name, hash of the weights, profile."""

    def responder(self, volume: Volume, kept: FeatureBudget | None = None) -> Responder:
        """Return what answers clicks on a scan, remembering what a budget allows."""


@runtime_checkable
class Drafts(Protocol):
    """A model that can begin a structure by itself, for clicks to correct."""

    def draft(
        self, volume: Volume, indices: Sequence[int], overlap: bool, watch: Watch | None = None
    ) -> LabelMap | LabelLayers:
        """Return the automatic segmentation of some classes; with `overlap`, one layer each."""


@runtime_checkable
class NumbersLabels(Protocol):
    """A model whose structures have values of their own in files: those of the labels that it was finetuned on."""

    @property
    def label_values(self) -> Mapping[int, int]:
        """Label value in files by structure, where it is not the structure's index."""


def label_values_by(model: ClickModel) -> dict[str, int]:
    """Return the label values in files by name that a model brings; none where values are indices."""
    if not isinstance(model, NumbersLabels):
        return {}
    return {model.vocabulary[index].name: value for index, value in model.label_values.items()}


def require_drafts(model: ClickModel) -> Drafts:
    """Return a model that drafts structures.

    Raises:
        CheckpointError: It answers clicks only (`MODEL_NO_AUTOMATIC`).
    """
    if isinstance(model, Drafts):
        return model
    refuse_automatic(model.identity["model"])


def refuse_automatic(name: str) -> NoReturn:
    """Refuse to segment with a model that answers clicks only.

    Raises:
        CheckpointError: Always (`MODEL_NO_AUTOMATIC`).
    """
    raise CheckpointError(
        f"'{name}' segments nothing by itself: it has no classes; click on the structure, by `prosect click` or "
        "`model.session`.",
        code="MODEL_NO_AUTOMATIC",
    )


def scan_hash(volume: Volume) -> str:
    """Return the SHA-256 of a scan's intensities and geometry, whatever the order of its memory."""
    digest = hashlib.sha256(repr(volume.grid.shape).encode() + volume.grid.affine.tobytes())
    for k in range(0, volume.grid.shape[2], PLANES):
        digest.update(volume.array[..., k : k + PLANES].tobytes(order="F"))
    return digest.hexdigest()
