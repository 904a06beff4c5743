"""Panels take turns: one is drawn, then the window answers whoever is waiting, then the next one is drawn.

Four figures drawn in one go would hold up the window for as long as all of them take; drawn one by one, they hold it up
for as long as one takes, and are on the screen just as often.
"""

from __future__ import annotations

import math
import time
from typing import Protocol
from weakref import WeakKeyDictionary

import shiboken6
from PySide6.QtCore import QObject, Qt, QTimer

PAUSE = 0.003  # seconds between two turns at the least
BREATH = 0.35  # of the time that a turn has cost, for everything else that the window does
DEAR = 0.010  # seconds; a drawing that costs so much rests for as long again, a dearer one for much longer


class Drawing(Protocol):
    """A widget that draws when it is its turn."""

    def take_turn(self) -> float:
        """Draw what is newest; the seconds that it costs."""
        ...


class Turns(QObject):
    """A round of drawings that ask for their turn; each waits once at most."""

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self._waiting: list[Drawing] = []
        self._rested: WeakKeyDictionary[Drawing, float] = WeakKeyDictionary()  # when each may draw again
        self._timer = QTimer(self, singleShot=True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._take)

    def ask(self, drawing: Drawing) -> None:
        """Let `drawing` draw when it is its turn."""
        if drawing not in self._waiting:
            self._waiting.append(drawing)
        if not self._timer.isActive():
            self._wait(0.0)

    def _wait(self, least: float) -> None:
        """Set the timer to the first moment at which a drawing that waits has rested."""
        if self._waiting:
            first = min(self._rested.get(drawing, 0.0) for drawing in self._waiting)
            self._timer.start(math.ceil(1000.0 * max(least, first - time.monotonic(), 0.0)))

    def _take(self) -> None:
        # the window may have been closed since they asked
        self._waiting = [drawing for drawing in self._waiting if shiboken6.isValid(drawing)]
        start = time.monotonic()
        drawing = next((d for d in self._waiting if self._rested.get(d, 0.0) <= start), None)
        spent = 0.0
        if drawing is not None:
            self._waiting.remove(drawing)
            spent = drawing.take_turn()
            self._rested[drawing] = start + spent * (1.0 + spent / DEAR)
        self._wait(max(PAUSE, BREATH * spent))


_turns: Turns | None = None


def turns() -> Turns:
    """The one round of this program's window."""
    global _turns
    if _turns is None:
        _turns = Turns()
    return _turns
