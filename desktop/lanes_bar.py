"""The lanes bar names every lane by what sets it apart, and adds one beside it with a click."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from layerscope.core.diagnostics.doctor import Examination
from layerscope.core.diagnostics.rules.base import Rule
from layerscope.core.experiment import Experiment
from layerscope.core.figures.palette import cue, lane_index
from layerscope.core.lineage import Origin
from layerscope.core.text import N_, _, ngettext

from . import theme
from .actions import Actions
from .cures import cures
from .labels import ShortLabel
from .session import MOST_LANES, Session
from .signs import SIZE, State, paint_sign

WIDEST_CHIP = 460  # pixels
WIDEST_FINDINGS = 300
FORKED = N_(
    "Up to step {step:,} it shows its parent's training; a change of its settings starts over there.\n"
    "A saved file holds the experiment alone, without these weights.\n"
    "When the program is started again, the lane first trains as its parent did."
)


class Chip(QAbstractButton):
    """One lane: its letter, what is different about it, and a cross that removes it."""

    removed = Signal()

    def __init__(self, name: str, words: str, selected: bool, removable: bool, parent: QWidget | None = None):
        super().__init__(parent)
        self.name, self.words, self.selected = name, words, selected
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setText(f"{name} {words}")
        self.setToolTip(_("Lane {name}: {difference}. Click to see its cards.").format(name=name, difference=words))
        self.cross = QToolButton(self)
        self.cross.setProperty("kind", "bare")
        self.cross.setIconSize(QSize(12, 12))
        self.cross.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.cross.setToolTip(_("Remove lane {name}").format(name=name))
        self.cross.setAccessibleName(_("Remove lane {name}").format(name=name))
        self.cross.setVisible(removable)
        self.cross.clicked.connect(self.removed)
        self.draw()

    def draw(self) -> None:
        """Take the colors of the present theme."""
        self.cross.setIcon(theme.icon("close", self._color(), size=12))
        self.update()

    def _color(self) -> str:
        look = theme.current()
        return look.color(cue(lane_index(self.name)).color)

    def _cross_width(self) -> int:
        return 0 if self.cross.isHidden() else 22

    def sizeHint(self) -> QSize:
        font = self.font()
        font.setBold(True)
        from PySide6.QtGui import QFontMetrics

        width = QFontMetrics(font).horizontalAdvance(self.text()) + 28 + self._cross_width()
        return QSize(min(width, WIDEST_CHIP), self.fontMetrics().height() + 12)

    def minimumSizeHint(self) -> QSize:
        return QSize(min(150, self.sizeHint().width()), self.sizeHint().height())

    def resizeEvent(self, event: object) -> None:
        self.cross.setGeometry(self.width() - 25, (self.height() - 20) // 2, 20, 20)

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme.current()
        color = self._color()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        background = look.tint(color, 0.24 if self.underMouse() else 0.15)
        painter.setBrush(QColor(background))
        painter.setPen(QPen(QColor(color), 1.6) if self.selected else Qt.PenStyle.NoPen)
        edge = self.rect().adjusted(1, 1, -1, -1)
        painter.drawRoundedRect(edge, edge.height() / 2, edge.height() / 2)
        if self.hasFocus():
            painter.setPen(QPen(QColor(look.color("accent")), 1.4, Qt.PenStyle.DotLine))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(edge.adjusted(2, 2, -2, -2), edge.height() / 2, edge.height() / 2)
        font = self.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(readable(color, background, look)))
        room = self.rect().adjusted(14, 0, -12 - self._cross_width(), 0)
        text = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.end()

    def enterEvent(self, event: object) -> None:
        self.update()

    def leaveEvent(self, event: object) -> None:
        self.update()


class FindingsChip(QAbstractButton):
    """What the doctor found in a lane: a sign, how many findings, and the first cause where there is room."""

    def __init__(self, name: str, short: bool, parent: QWidget | None = None):
        super().__init__(parent)
        self.name, self.short = name, short
        self.state: State = "good"
        self._said: Examination | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.hide()

    def show_examination(self, said: Examination | None) -> None:
        """Show what was found; what is the same is left alone."""
        if said is self._said and said is not None:
            return
        self._said = said
        if said is None:
            self.hide()
            return
        findings, first = said.diagnosis.findings, said.diagnosis.first
        label = _(Rule.registry[first.rule].label) if first is not None else ""
        count = len(findings)
        text = ngettext("{count} finding", "{count} findings", count).format(count=count)
        if first is None:
            text = "" if self.short else _("no finding")
        elif self.short:
            text = str(count)
        else:
            text = f"{text}: {label}" if count > 1 else label
        worst: State = "good"
        if findings:
            worst = "alarm" if any(finding.severity == "alarm" for finding in findings) else "warning"
        lines = [finding.headline for finding in findings] or [_("The doctor has found nothing.")]
        tip = "\n".join((_("Lane {name}:").format(name=self.name), *lines, _("Click to see the doctor.")))
        if (text, worst) != (self.text(), self.state):
            self.state = worst
            self.setText(text)
            self.updateGeometry()
            self.update()
        if tip != self.toolTip():
            self.setToolTip(tip)
            self.setAccessibleName(tip.replace("\n", " "))
        if self.isHidden():
            self.show()

    def sizeHint(self) -> QSize:
        words = self.fontMetrics().horizontalAdvance(self.text()) + 6 if self.text() else 0
        return QSize(min(SIZE + words + 18, WIDEST_FINDINGS), self.fontMetrics().height() + 12)

    def minimumSizeHint(self) -> QSize:
        return QSize(min(SIZE + 18, self.sizeHint().width()), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        background = look.tint(self.state, 0.2 if self.underMouse() else 0.1)
        painter.setBrush(QColor(background))
        focus = QPen(QColor(look.color("accent")), 1.4, Qt.PenStyle.DotLine)
        painter.setPen(focus if self.hasFocus() else Qt.PenStyle.NoPen)
        edge = self.rect().adjusted(1, 1, -1, -1)
        painter.drawRoundedRect(edge, edge.height() / 2, edge.height() / 2)
        paint_sign(painter, QRectF(9, (self.height() - SIZE) / 2, SIZE, SIZE), self.state)
        painter.setPen(QColor(readable(look.color(self.state), background, look)))
        room = self.rect().adjusted(9 + SIZE + 6, 0, -8, 0)
        text = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.end()

    def enterEvent(self, event: object) -> None:
        self.update()

    def leaveEvent(self, event: object) -> None:
        self.update()


def readable(color: str, background: str, look: theme.Theme) -> str:
    """The color, moved toward the text's until it can be read on the background (contrast 4.5)."""
    from layerscope.core.figures.palette import contrast

    share = 1.0
    found = color
    while contrast(found, background) < 4.5 and share > 0:
        share -= 0.1
        text, own = look.color("text"), color
        parts = [round(share * int(own[i : i + 2], 16) + (1 - share) * int(text[i : i + 2], 16)) for i in (1, 3, 5)]
        found = "#" + "".join(f"{part:02x}" for part in parts)
    return found


class LanesBar(QFrame):
    """See the module's sentence. `offers` are lanes that a lesson proposes, one click each.

    doctor_wanted   somebody wants to see what was found in the lane of this number
    """

    doctor_wanted = Signal(int)

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None):
        super().__init__(parent)
        self._session, self._actions = session, actions
        self._offers: tuple[Experiment, ...] = ()
        self.setProperty("surface", "card")
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(10, 6, 14, 6)
        self._row.setSpacing(8)
        self._shared = ShortLabel()
        self._shared.setProperty("muted", True)
        self._shared.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._chips: list[QWidget] = []
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._menu.aboutToShow.connect(self._fill_menu)
        self._add = QPushButton()
        self._add.setProperty("kind", "quiet")
        self._add.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._add.setMenu(self._menu)
        self._row.addWidget(self._shared, 1)  # all that is left: the chips keep their own widths
        session.lanes_changed.connect(self.rebuild)
        session.selection_changed.connect(self.rebuild)
        session.scene_changed.connect(self._show_shared)
        session.scene_changed.connect(self._show_findings)
        self.rebuild()

    @property
    def chips(self) -> list[Chip]:
        """The chips of the lanes, A first."""
        return [chip for chip in self._chips if isinstance(chip, Chip)]

    @property
    def findings(self) -> list[FindingsChip]:
        """What was found in each lane, A first."""
        return [chip for chip in self._chips if isinstance(chip, FindingsChip)]

    def offer(self, experiments: tuple[Experiment, ...]) -> None:
        """Propose these experiments as further lanes."""
        self._offers = experiments
        self.rebuild()

    def rebuild(self) -> None:
        """Show the lanes as they are now."""
        session = self._session
        for chip in self._chips:
            self._row.removeWidget(chip)
            chip.hide()
            chip.deleteLater()
        self._row.removeWidget(self._add)
        self._chips = []
        several = len(session.lanes) > 1
        for index, lane in enumerate(session.lanes):
            chip = Chip(lane.name, session.difference(index), several and index == session.selected_lane, several)
            if lane.origin is not None:
                chip.setToolTip(chip.toolTip() + "\n" + _(FORKED).format(step=lane.origin.step))
            chip.clicked.connect(lambda _checked=False, i=index: session.select(lane=i))
            chip.removed.connect(lambda i=index: session.remove_lane(i))
            self._chips.append(chip)
            found = FindingsChip(lane.name, several)
            found.clicked.connect(lambda _checked=False, i=index: self.doctor_wanted.emit(i))
            self._chips.append(found)
        full = len(session.lanes) >= MOST_LANES
        present = [lane.experiment for lane in session.lanes]
        # an offer is taken once there is a lane in its place, whatever became of that lane since
        for experiment in self._offers[len(session.lanes) - 1 :]:
            if not full and experiment not in present:
                self._chips.append(self._offer_button(experiment))
        for place, chip in enumerate(self._chips):
            self._row.insertWidget(place, chip)
        self._add.setText(_("+ lane"))
        self._add.setEnabled(not full)
        tip = _("Put another experiment beside these: same draws, same minibatches, one thing different")
        self._add.setToolTip(tip if not full else _("Four lanes are as many as can be told apart"))
        self._row.insertWidget(len(self._chips), self._add)
        self._show_shared()
        self._show_findings()

    def _offer_button(self, experiment: Experiment) -> QPushButton:
        from layerscope.core.lanes import difference

        words = difference(self._session.lanes[0].experiment, experiment) or experiment.name
        button = QPushButton("+ " + words)
        button.setProperty("kind", "quiet")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setToolTip(
            _("Add this lane beside the others, from the same draws: {difference}").format(difference=words)
        )
        button.clicked.connect(lambda: self._session.add_lane(experiment))
        return button

    def redraw(self) -> None:
        """Take the colors of the present theme."""
        for chip in self.chips:
            chip.draw()
        for found in self.findings:
            found.update()

    def _fill_menu(self) -> None:
        menu = self._menu
        menu.clear()
        menu.addAction(self._actions["copy_lane"])
        menu.addAction(self._actions["fork"])
        menu.addSection(_("Lane {name} with").format(name=self._session.lane.name))
        for label, experiment in cures(self._session.lane.experiment):
            menu.addAction(label, self._adding(experiment, self._session.lane.origin))

    def _adding(self, experiment: Experiment, origin: Origin | None) -> Callable[[], None]:
        return lambda: self._session.add_lane(experiment, origin)

    def _show_findings(self) -> None:
        scene = self._session.scene
        known = {lane.name: lane.examination for lane in scene.lanes} if scene is not None else {}
        for chip in self.findings:
            chip.show_examination(known.get(chip.name))

    def _show_shared(self) -> None:
        session = self._session
        step = _("step {step:,}").format(step=session.position)
        if len(session.lanes) == 1:
            text = step
        else:
            parts = []
            first = session.lanes[0].experiment
            others = [lane.experiment for lane in session.lanes[1:]]
            if all(other.seed == first.seed for other in others):
                parts.append(_("same draws"))
                same_data = all(other.data == first.data for other in others)
                if same_data and all(other.training.batch_size == first.training.batch_size for other in others):
                    parts.append(_("same minibatches"))
            text = " · ".join([*parts, step])
        if self._shared.text() != text:
            self._shared.setText(text)
