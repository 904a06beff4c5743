"""Undo remembers the lanes before and after an edit; as experiments are immutable, that is all there is to remember."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtGui import QUndoCommand

if TYPE_CHECKING:
    from .session import LaneState

Lanes = tuple["LaneState", ...]


class LanesEdit(QUndoCommand):
    """The one kind of edit.

    show    puts lanes into place
    merge   edits in a row with the same non-empty key are one step: a slider that is dragged
    """

    MERGES = 1

    def __init__(self, before: Lanes, after: Lanes, show: Callable[[Lanes], None], text: str, merge: str = ""):
        super().__init__(text)
        self.before, self.after, self.merge = before, after, merge
        self._show = show

    def id(self) -> int:
        """Qt asks `mergeWith` of neighbors with the same number only; -1 stands for never."""
        return self.MERGES if self.merge else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Take over what a later edit of the same slider did."""
        if not isinstance(other, LanesEdit) or other.merge != self.merge:
            return False
        self.after = other.after
        # dragged there and back again: nothing is left to undo
        self.setObsolete(self.after == self.before)
        return True

    def redo(self) -> None:
        self._show(self.after)

    def undo(self) -> None:
        self._show(self.before)
