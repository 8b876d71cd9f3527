"""What a session says of its structures: names, masks, labels and clicks. Nothing here changes any of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.display import Shown, sizes, spacings
from prosect.labelmap import LabelMap
from prosect.prompts import Click
from prosect.session.board import Board
from prosect.session.changes import Change, StructureState
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["Reading"]

Mask = NDArray[np.bool_]


class Reading(Shown):
    """The part of a session that is read; see `Session`.

    Args:
        volume: The scan.
        board: What there is of its structures.
        header: What the session was begun with; see `Record`.
    """

    def __init__(self, volume: Volume, board: Board, header: Mapping[str, Any]) -> None:
        self.volume, self.header = volume, header
        self._board = board

    def _facts(self) -> tuple[str, ...]:
        count, grid = len(self.structures), self.volume.grid
        drawn = f"{count} {'structure' if count == 1 else 'structures'}"
        done = f"{self.revision} {'action' if self.revision == 1 else 'actions'}"
        return sizes(grid.shape), spacings(grid.spacing_mm), drawn, done, str(self.header["model"]["model"])

    def _scene(self) -> tuple[Volume, LabelMap]:
        return self.volume, self.labels

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures that the model knows by name, and those that were made by clicks."""
        return self._board.vocabulary

    @property
    def revision(self) -> int:
        """How many actions there were, undo and redo included."""
        return self._board.revision

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures that have a voxel, in the order in which they came."""
        return tuple(name for name, sheet in self._board.sheets.items() if sheet.shown.count)

    @property
    def states(self) -> tuple[StructureState, ...]:
        """What there is of each structure that was ever drafted or clicked, in the order in which they came."""
        return tuple(StructureState.of(sheet) for sheet in self._board.sheets.values())

    @property
    def can_undo(self) -> bool:
        """Whether `undo` has an action to take back."""
        return self._board.undoing.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether `redo` has an action to do again."""
        return self._board.undoing.can_redo

    @property
    def undo_nbytes(self) -> int:
        """Bytes that undo and redo hold."""
        return self._board.undoing.nbytes

    @property
    def labels(self) -> LabelMap:
        """One label per voxel on the scan's grid (i j k); where structures overlap, see `labels_in`."""
        return self._board.labels(self.header["model"])

    def mask(self, structure: str | int) -> Mask:
        """Return where a structure is (i j k); all False where it has no voxel."""
        return self.read(structure, Box((0, 0, 0), self.volume.grid.shape))

    def read(self, structure: str | int, box: Box) -> Mask:
        """Return where a structure is in a box (i j k); all False where it has no voxel.

        Args:
            structure: Name or index.
            box: In voxels of the scan as stored.

        Raises:
            GeometryError: The box does not lie inside the scan (`BOX_OUTSIDE`).
        """
        return self._board.read(structure, box)

    def read_labels(
        self, box: Box, before: Change | None = None, values: Mapping[str, int] | None = None
    ) -> NDArray[np.uint16]:
        """Return one label per voxel of a box (i j k), as `labels` has them; nothing is built outside the box.

        Args:
            box: In voxels of the scan as stored.
            before: The newest change; given, the labels are those from before it.
            values: The label of each structure by name; one without is left out. By default each has its index.

        Raises:
            GeometryError: The box does not lie inside the scan (`BOX_OUTSIDE`).
            PromptError: Something has been done since that change (`CHANGE_OLD`).
        """
        return self._board.read_labels(box, before, values)

    def clicks(self, structure: str | int) -> tuple[Click, ...]:
        """Return the clicks of a structure in the order in which they were made, those that wait included."""
        sheet = self._board.sheets.get(self._board.target(structure).name)
        if sheet is None:
            return ()
        name = sheet.target.name
        return tuple(Click(c.position_ras, c.positive, name, c.extent_mm, c.bounds) for c in sheet.clicks)
