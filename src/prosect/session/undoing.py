"""What can be undone and done again, within a budget of bytes."""

from __future__ import annotations

from collections import deque

from prosect.session.edits import Action

__all__ = ["UNDO_BYTES", "Undoing", "larger_limit"]

UNDO_BYTES = 256 * 2**20


class Undoing:
    """Actions that can be undone and done again; the oldest are dropped where they hold too much.

    The newest action can always be undone, whatever its size.

    Args:
        limit_bytes: What all actions together may hold; None sets no limit.

    Attributes:
        dropped: How many actions can no longer be undone.
        nbytes: Bytes held.
    """

    def __init__(self, limit_bytes: int | None = UNDO_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.dropped = 0
        self.nbytes = 0
        self._done: deque[Action] = deque()
        self._undone: list[Action] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an action to do again."""
        return bool(self._undone)

    @property
    def newest(self) -> Action:
        """The action that would be undone."""
        return self._done[-1]

    @property
    def newest_undone(self) -> Action:
        """The action that would be done again."""
        return self._undone[-1]

    def add(self, action: Action) -> int:
        """Take an action that was done, forget what was undone, and return how many old actions were dropped."""
        # Something new was done, so what was undone before can no longer be done again.
        self.nbytes += action.nbytes - sum(each.nbytes for each in self._undone)
        self._undone.clear()
        self._done.append(action)
        return self.trim()

    def trim(self) -> int:
        """Drop the oldest actions until the rest holds no more than the limit, and return how many that were."""
        before = self.dropped
        while self.limit_bytes is not None and self.nbytes > self.limit_bytes and len(self._done) > 1:
            self.nbytes -= self._done.popleft().nbytes
            self.dropped += 1
        return self.dropped - before

    def step_back(self) -> None:
        """Note that the newest action was undone."""
        self._undone.append(self._done.pop())

    def step_on(self) -> None:
        """Note that the action undone last was done again."""
        self._done.append(self._undone.pop())


def larger_limit(first: int | None, second: int | None) -> int | None:
    """Return the larger of two limits of bytes, of which None is none at all."""
    if first is None or second is None:
        return None
    return max(first, second)
