"""A number box takes a number as people write it (0.1, 1e-4, 0,1) and keeps what was typed until it can be used.

A usual spin box silently changes or swallows what lies outside its limits. In a lesson that is confusing: here the text
stays, and one sentence beside the box says what would be right.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QValidator, QWheelEvent
from PySide6.QtWidgets import QAbstractSpinBox, QWidget

from layerscope.core.errors import InputError
from layerscope.core.fields import Field, limits_text
from layerscope.core.text import _

GROUPS = re.compile(r"[1-9]\d{0,2}([.,' \u00a0\u202f]\d{3})+")  # 10,000 and 10.000 and 10 000
PAUSE = 1.0  # seconds without a step after which the next step is a new undo step
STEPS = (1.0, 2.0, 5.0)
_gestures = itertools.count(1)  # one number for all boxes: two editors of one setting must not share a key


def number_text(value: float | int) -> str:
    """A number as short as it can be written without changing it."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def parse_number(text: str, whole: bool) -> float | int:
    """The number that a text means; ValueError when it means none.

    whole   a whole number is meant: dots and commas between groups of three digits are read over
    """
    plain = text.strip().replace("\u2212", "-").replace("\u00a0", " ")
    if whole:
        if GROUPS.fullmatch(plain.lstrip("+-")):
            plain = re.sub(r"[.,' \u202f]", "", plain)
        number = float(plain.replace(",", "."))
        if not math.isfinite(number) or number != math.floor(number):
            raise ValueError(text)
        return int(number)
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    number = float(plain.replace(" ", "").replace("_", ""))
    if not math.isfinite(number):
        raise ValueError(text)
    return number


class NumberBox(QAbstractSpinBox):
    """The editor of an integer or number field.

    edited   a new valid number, and a key that is the same for steps in a row ("" for a typed number)
    refused  why what stands there cannot be used; "" when it can again
    """

    edited = Signal(object, str)
    refused = Signal(str)

    def __init__(self, field: Field, parent: QWidget | None = None, compact: bool = False):
        super().__init__(parent)
        self.field = field
        self.whole = field.sort == "integer"
        self._value: Any = 0  # None where the field is optional and nothing is set
        self._problem = ""
        self._gesture = next(_gestures)
        self._last_step = 0.0
        self._compact = compact
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)
        if compact:
            self.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        # The row around it has a menu of its own.
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.lineEdit().setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        if field.optional:
            self.lineEdit().setPlaceholderText(_("auto"))
        self.editingFinished.connect(self._commit)
        self.lineEdit().textEdited.connect(self._typed)

    # --- what it holds

    @property
    def value(self) -> Any:
        return self._value

    @property
    def problem(self) -> str:
        return self._problem

    def set_value(self, value: float | int | None) -> None:
        """Show a number from elsewhere. An equal one changes nothing: the cursor and what is being typed stay."""
        if value == self._value and (self.lineEdit().text() or value is None):
            return
        self._value = value
        self._show()
        self._complain("")

    def _show(self) -> None:
        text = self._text()
        if self.lineEdit().text() != text:
            self.lineEdit().setText(text)
        if self._compact:
            self.updateGeometry()

    def _text(self) -> str:
        return number_text(self._value) if self._value is not None else ""

    def _complain(self, sentence: str) -> None:
        if sentence != self._problem:
            self._problem = sentence
            self.refused.emit(sentence)

    def _read(self) -> Any:
        """The number that stands there, None where none is needed, or an InputError."""
        text = self.lineEdit().text()
        if not text.strip() and self.field.optional:
            return None
        try:
            number = parse_number(text, self.whole)
        except ValueError:
            given = text.strip() or _("nothing")
            raise InputError(
                _("must be {limits}, not {value}").format(limits=limits_text(self.field), value=given)
            ) from None
        low, high = self.field.minimum, self.field.maximum
        above, below = self.field.above, self.field.below
        if (
            (low is not None and number < low)
            or (high is not None and number > high)
            or (above is not None and number <= above)
            or (below is not None and number >= below)
        ):
            raise InputError(
                _("must be {limits}, not {value}").format(limits=limits_text(self.field), value=text.strip())
            )
        return number

    # --- what a person does

    def _typed(self, text: str) -> None:
        if not self._problem:
            return
        try:
            self._read()
        except InputError as error:
            self._complain(error.problem)
        else:
            self._complain("")

    def _commit(self) -> None:
        if self.lineEdit().text() == self._text():
            self._complain("")
            return
        try:
            number = self._read()
        except InputError as error:
            self._complain(error.problem)
            return
        self._complain("")
        if number == self._value:
            self._show()
            return
        self._value = number
        self._gesture = next(_gestures)
        self._show()
        self.edited.emit(number, "")

    def stepBy(self, steps: int) -> None:
        try:
            here = self._read()
        except InputError:
            here = self._value
        if here is None:
            here = self.field.minimum if self.field.minimum is not None else 1
            steps = 0
        number = stepped(here, steps, self.field)
        now = time.monotonic()
        if now - self._last_step > PAUSE:
            self._gesture = next(_gestures)
        self._last_step = now
        if number != self._value or self._problem:
            self._value = number
            self._show()
            self._complain("")
            self.selectAll()
            self.edited.emit(number, str(self._gesture))

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        flags = QAbstractSpinBox.StepEnabledFlag.StepNone
        if self._value is None:
            return QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        if stepped(self._value, 1, self.field) != self._value:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepUpEnabled
        if stepped(self._value, -1, self.field) != self._value:
            flags |= QAbstractSpinBox.StepEnabledFlag.StepDownEnabled
        return flags

    # --- Qt

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, position

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.lineEdit().text() != self._text():
            self._show()
            self._complain("")
            event.accept()
            return
        super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._gesture = next(_gestures)
        super().focusOutEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the wheel scrolls the cards; a setting under the pointer must not change by accident

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        if self._compact:
            width = metrics.horizontalAdvance((self._text() or self.lineEdit().placeholderText()) + "0")
            return QSize(max(width, metrics.horizontalAdvance("00")) + 8, metrics.height() + 6)
        return QSize(metrics.horizontalAdvance("0" * 8) + 30, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        hint = self.sizeHint()
        return hint if self._compact else QSize(hint.width() * 2 // 3, hint.height())


def stepped(value: float | int, steps: int, field: Field) -> float | int:
    """The number `steps` sensible steps away, within the field's limits.

    On a log scale, powers of two double or halve where whole numbers are wanted; all others go 1, 2, 5, 10.
    """
    number = float(value)
    for _step in range(abs(steps)):
        number = _one_step(number, 1 if steps > 0 else -1, field)
    if field.sort == "integer":
        number = math.floor(number + 0.5)
    low, high = field.minimum, field.maximum
    if low is not None and number < low:
        number = low
    if high is not None and number > high:
        number = high
    if (field.below is not None and number >= field.below) or (field.above is not None and number <= field.above):
        return value
    return int(number) if field.sort == "integer" else float(f"{number:.12g}")


def _one_step(number: float, way: int, field: Field) -> float:
    whole = field.sort == "integer"
    if field.scale == "log":
        if number <= 0:
            return (1.0 if whole else 1e-4) if way > 0 else number
        if whole and number >= 4 and float(number).is_integer() and int(number) & (int(number) - 1) == 0:
            return number * 2 if way > 0 else number / 2
        return _one_two_five(number, way)
    if whole:
        return number + way
    high = field.maximum if field.maximum is not None else field.below
    low = field.minimum if field.minimum is not None else field.above
    if high is not None and low is not None and high - low <= 2.0:
        step = 0.05
    else:
        step = 10.0 ** (math.floor(math.log10(abs(number))) - 1) if number else 0.1
        step = max(step, 1e-6)
    return (math.floor(number / step + 0.5) + way) * step


def _one_two_five(number: float, way: int) -> float:
    decade = math.floor(math.log10(number) + 1e-9)
    ladder = [part * 10.0**power for power in (decade - 1, decade, decade + 1) for part in STEPS]
    if way > 0:
        return next(rung for rung in ladder if rung > number * (1 + 1e-9))
    return next(rung for rung in reversed(ladder) if rung < number * (1 - 1e-9))
