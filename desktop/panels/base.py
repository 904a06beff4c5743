"""A panel is a card with one figure: its name, its explanation, its menu, and the figure itself, kept up to date.

A panel asks its figure kind to build a figure whenever the session shows another moment: once a frame at most, never
while nobody sees it, and less often when building and painting take long, so that the window stays fluent.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import msgspec
import numpy as np
from PySide6.QtCore import QEvent, QMimeData, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup, QGuiApplication, QHideEvent, QImage, QMouseEvent, QShowEvent
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QMenu, QToolButton, QVBoxLayout, QWidget

from layerscope.core.errors import InputError
from layerscope.core.fields import Described, Field, build, describe
from layerscope.core.figures.export import render_png, table_csv
from layerscope.core.figures.figure import FIGURES, Figure, FigureKind, Heatmap, Scene
from layerscope.core.registry import Registry
from layerscope.core.studies.base import Study
from layerscope.core.text import _

from ..explain import kind_label
from ..forms import Form, capital
from ..roles import ElidedLabel, RoleLabel
from ..session import Session
from .explanation import ExplanationPopup
from .numbers import NumbersDialog
from .painter import FigureView
from .rendering import Work
from .turns import turns

log = logging.getLogger(__name__)

PANELS: Registry[type[Panel]] = Registry("panel", "layerscope.desktop.panels")

SAID_MILLISECONDS = 4000  # for which a short message replaces the subtitle


class Header(QWidget):
    """The line above a figure; a double click wants the panel large."""

    double_clicked = Signal()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        event.accept()
        self.double_clicked.emit()


class Panel(QFrame):
    """See the module's sentence.

    name         of the figure kind and of the panel
    time_plots   the horizontal axis is the timeline: pointing there shows that step; it stands in the lower row
    at_first     part of the layout that the program begins with; the others are in the menu of panels

    maximize_wanted, hide_wanted   asked of the grid
    other_wanted                   asked of the grid: another figure, by name, in this one's place
    export_wanted                  asked of whoever shows the export dialog; by default the panel shows it itself
    """

    name: ClassVar[str] = ""
    time_plots: ClassVar[bool] = False
    at_first: ClassVar[bool] = False

    maximize_wanted = Signal()
    hide_wanted = Signal()
    other_wanted = Signal(str)
    options_changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.kind: FigureKind = FIGURES[self.name]
        self.options: Described = self.kind.options()
        self.builds = 0
        self.maximized = False
        self._stale = True
        self._drawn: tuple[object, ...] | None = None
        self._failed = ""
        self._wish = object()  # what the session knows this panel by: it must not keep a panel that is gone
        self.destroyed.connect(partial(session.want, self._wish, ()))
        self.setProperty("surface", "card")
        self.setObjectName(f"panel-{self.name}")
        self.setProperty("panel", self.name)
        self._quiet = QTimer(self, singleShot=True, interval=SAID_MILLISECONDS)
        self._quiet.timeout.connect(self._show_subtitle)
        self._make()
        self.retranslate()
        session.scene_changed.connect(self._scene_changed)
        session.selection_changed.connect(self._scene_changed)
        session.state_changed.connect(self._show_asking)

    @property
    def title(self) -> str:
        return _(self.kind.title)

    def _make(self) -> None:
        self._title = RoleLabel("", "text", 1.12, bold=True)
        self._title.setWordWrap(False)
        self._subtitle = ElidedLabel("", "muted")
        self._subtitle.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._others = _bare_button("▾")
        self._others.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.others_menu = QMenu(self)
        self.others_menu.aboutToShow.connect(self.fill_others)
        self._others.setMenu(self.others_menu)
        self._explain = _bare_button("?")
        self._explain.clicked.connect(self.explain)
        self._more = _bare_button("⋯")
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self.fill_menu)
        self._more.setMenu(self.menu)
        header = Header()
        header.double_clicked.connect(self.maximize_wanted)
        row = QHBoxLayout(header)
        row.setContentsMargins(14, 7, 8, 0)
        row.setSpacing(4)
        row.addWidget(self._title)
        row.addWidget(self._others)
        row.addSpacing(4)
        row.addWidget(self._subtitle, 1)
        self._ask = QToolButton()
        self._ask.setProperty("kind", "quiet")
        self._ask.clicked.connect(self.demand)
        self._ask.setVisible(False)
        row.addWidget(self._ask)
        row.addWidget(self._explain)
        row.addWidget(self._more)
        self.view = FigureView(time_plots=self.time_plots)
        self.view.canvas.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.canvas.customContextMenuRequested.connect(self._context_menu)
        self.view.pointed.connect(self._point)
        self.view.clicked.connect(self.choose)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 6)
        column.setSpacing(2)
        column.addWidget(header)
        column.addWidget(self.view, 1)
        self.setFocusProxy(self.view)
        self._others.setVisible(False)
        self._popup: ExplanationPopup | None = None
        self.numbers: NumbersDialog | None = None

    def offer_others(self) -> None:
        """Somebody listens to `other_wanted`: the button appears."""
        self._others.setVisible(True)

    # --- the figure

    @property
    def scene(self) -> Scene:
        return self.session.scene if self.session.scene is not None else Scene((), 0)

    @property
    def figure(self) -> Figure:
        """The figure as it is on the screen, ranges included; what an export draws."""
        shown = self.view.shown()
        return shown if shown is not None else self._built()

    def sources(self) -> tuple[object, ...] | None:
        """What the figure is drawn from, where that changes less often than the scene: as long as all of it is the same
        nothing is drawn anew. None: the whole scene.
        """
        return None

    def _is_drawn(self) -> bool:
        now, drawn = self.sources(), self._drawn
        if now is None or drawn is None or len(now) != len(drawn):
            return False
        return all(a is b or (isinstance(a, str) and a == b) for a, b in zip(now, drawn, strict=True))

    def _scene_changed(self) -> None:
        if self._is_drawn():
            return
        self._stale = True
        if self.isVisible():
            turns().ask(self)

    def take_turn(self) -> float:
        """Draw the newest scene, if it is not drawn yet; the seconds that this takes the thread, painting included."""
        if not self._stale or not self.isVisible():
            return 0.0  # showEvent makes up for it
        spent = time.thread_time()
        self.refresh()
        # What this thread itself does counts: waiting for training or another program says nothing about the figure.
        return time.thread_time() - spent + self.view.canvas.seconds

    def refresh(self) -> None:
        """Build the figure of the present moment and show it."""
        self._stale = False
        self.builds += 1
        self._drawn = self.sources()
        self.view.draw(self._built())
        if not self._quiet.isActive():
            self._show_subtitle()
        if self._popup is not None and self._popup.isVisible():
            self._popup.show_explanation(self._explanation())

    def _built(self) -> Figure:
        try:
            figure = self.kind.build(self.scene, self.options)
            # nothing to show, because nothing can be trained: then the reason is what there is to say
            return replace(figure, empty=self.session.blocked) if figure.empty and self.session.blocked else figure
        except Exception as error:  # a figure that cannot be drawn must not stop the lecture
            if self._failed != repr(error):
                self._failed = repr(error)
                log.exception("figure %s", self.name)
            said = _("This figure cannot be drawn ({reason}); the training goes on.").format(reason=error)
            return Figure(self.name, self.title, "", (), empty=said)

    def _show_subtitle(self) -> None:
        subtitle = self.view.figure.subtitle if self.view.figure is not None else ""
        if self._subtitle.text() != subtitle:
            self._subtitle.set_role("muted")
            self._subtitle.setText(subtitle)
            self._subtitle.setToolTip(subtitle)

    def say(self, sentence: str, role: str = "muted") -> None:
        """Say something short in the header for a few seconds."""
        self._subtitle.set_role(role)
        self._subtitle.setText(sentence)
        self._subtitle.setToolTip(sentence)
        self._quiet.start()

    def _point(self, moment: float) -> None:
        step = min(max(0, math.floor(moment)), self.session.end)
        if self.session.scene is None or self.session.scene.step != step:
            self.session.scrub(step)

    def choose(self, plot: int, x: float, y: float) -> None:
        """A person clicks on a plot, at x and y in data units: a cell there may stand for options."""
        self.view.setFocus(Qt.FocusReason.MouseFocusReason)
        figure = self.view.figure
        for mark in figure.plots[plot].marks if figure is not None and plot < len(figure.plots) else ():
            if isinstance(mark, Heatmap) and mark.chooses is not None:
                row = int(np.searchsorted(mark.y_edges, y, side="right")) - 1
                column = int(np.searchsorted(mark.x_edges, x, side="right")) - 1
                if 0 <= row < mark.values.shape[0] and 0 <= column < mark.values.shape[1]:
                    self.set_some(mark.chooses(row, column))

    # --- studies

    def _needs(self) -> tuple[Study, ...]:
        """The studies whose answers the figure draws."""
        return tuple(self.kind.needs(self.options))

    def _want(self) -> None:
        """Ask for the answers that the figure draws, while somebody looks at it."""
        needs = self._needs()
        self.session.want(self._wish, needs if self.isVisible() else ())
        self._ask.setVisible(any(study.demanded for study in needs))
        self._show_asking()

    def demand(self) -> None:
        """Answer what takes its time, for the moment that is shown."""
        self.session.demand(tuple(study for study in self._needs() if study.demanded))

    def _show_asking(self) -> None:
        if self._ask.isHidden():
            return
        share = self.session.studying
        self._ask.setText(_("Compute now") if share is None else f"{100 * share:.0f} %")
        self._ask.setEnabled(share is None and not self.session.blocked)

    # --- options

    def set_option(self, path: str, value: Any, _gesture: str = "") -> None:
        """Set one option; what is not allowed is said and changes nothing."""
        self.set_some({path: value})

    def set_some(self, values: Mapping[str, Any]) -> None:
        """Set several options at once; what is not allowed is said and changes nothing."""
        if not values:
            return
        try:
            self.options = build(type(self.options), {**msgspec.to_builtins(self.options), **values})
        except InputError as error:
            self.say(str(error), "alarm")
            return
        self._want()
        self.refresh()
        self.options_changed.emit()

    def option_values(self) -> dict[str, Any]:
        """Options as plain values, to be remembered."""
        return dict(msgspec.to_builtins(self.options))

    def take_options(self, values: Mapping[str, Any]) -> None:
        """Options that were remembered; those that this version does not know stay as they are."""
        for field in describe(type(self.options)):
            if field.name in values:
                plain = {**msgspec.to_builtins(self.options), field.name: values[field.name]}
                try:
                    self.options = build(type(self.options), plain)
                except InputError:
                    continue
        self._want()
        self._scene_changed()

    # --- the menu

    def fill_menu(self) -> None:
        """Put the entries into the menu, as they are now."""
        self.menu.clear()
        plain = True
        for field in describe(type(self.options)):
            if field.shown_when is not None and getattr(self.options, field.shown_when[0]) not in field.shown_when[1]:
                continue
            plain = self._offer(field) and plain
        if not plain:
            self._entry(_("All options…"), self.show_options)
        self.menu.addSeparator()
        self._entry(_("Reset view"), self.view.reset_view, _("Show everything again (double click, or 0)"))
        self.menu.actions()[-1].setEnabled(self.view.is_zoomed)
        if self.receivers("2maximize_wanted()") > 0:
            self._entry(_("Back to the other panels") if self.maximized else _("Maximize"), self.maximize_wanted.emit)
        if self.receivers("2hide_wanted()") > 0:
            self._entry(_("Hide this panel"), self.hide_wanted.emit)
        self.menu.addSeparator()
        self._entry(_("Copy"), self.copy, _("Copy the figure as a picture, and its numbers as text"))
        self._entry(_("Export this panel…"), self.export, _("Save the figure for slides or paper"))
        self._entry(_("Show numbers…"), self.show_numbers, _("Show the numbers behind the figure as a table"))

    def fill_others(self) -> None:
        """Every figure that can take this one's place; those that are on the screen somewhere else change places."""
        self.others_menu.clear()
        for kind in panels():
            action = self.others_menu.addAction(_(FIGURES[kind.name].title))
            action.setCheckable(True)
            action.setChecked(kind.name == self.name)
            action.triggered.connect(lambda _checked=False, name=kind.name: self.other_wanted.emit(name))

    def _entry(self, text: str, does: Any, tip: str = "") -> QAction:
        action = self.menu.addAction(text)
        action.setToolTip(tip)
        action.triggered.connect(lambda _checked=False: does())
        return action

    def _offer(self, field: Field) -> bool:
        """An entry for an option; whether a menu can hold it."""
        label, now = capital(_(field.label)), getattr(self.options, field.name)
        if field.sort == "boolean":
            action = self.menu.addAction(label)
            action.setCheckable(True)
            action.setChecked(bool(now))
            action.setToolTip(_(field.help))
            action.triggered.connect(lambda on, name=field.name: self.set_option(name, on))
            return True
        if field.sort == "choice":
            kinds = {name: field.choices[name] if field.choices is not None else None for name in self.offered(field)}
            entries = [(name, capital(kind_label(kind, name))) for name, kind in kinds.items()]
        else:
            entries = self.suggested(field)
        if not entries:
            return False
        menu = self.menu.addMenu(label)
        menu.setToolTip(_(field.help))
        menu.menuAction().setToolTip(_(field.help))
        group = QActionGroup(menu)
        for name, text in entries:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(name == now)
            group.addAction(action)
            action.triggered.connect(lambda _checked=False, name=name: self.set_option(field.name, name))
        return True

    def offered(self, field: Field) -> list[str]:
        """The names of a choice that make sense now."""
        return field.choice_names()

    def suggested(self, field: Field) -> list[tuple[str, str]]:
        """(value, what the menu calls it) for an option that may be any text."""
        return []

    def _context_menu(self, at: QPoint) -> None:
        self.menu.popup(self.view.canvas.mapToGlobal(at))

    # --- what the entries do

    def show_options(self) -> None:
        """All options in a small dialog."""
        dialog = QDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(self.title)
        form = Form(self.options, dialog)

        def change(path: str, value: object, gesture: str) -> None:
            self.set_option(path, value, gesture)
            form.show_value(self.options)

        form.changed.connect(change)
        column = QVBoxLayout(dialog)
        column.addWidget(form)
        dialog.show()

    def _explanation(self) -> Any:
        return self.kind.explain(self.scene, self.options)

    def explain(self) -> None:
        """Say what the figure shows, why it matters, what is good and what the present numbers say."""
        if self._popup is None:
            self._popup = ExplanationPopup(self)
        try:
            explanation = self._explanation()
        except Exception as error:  # as in `_built`
            log.exception("explanation of %s", self.name)
            self.say(str(error), "alarm")
            return
        self._popup.open_below(self._explain, self.title, explanation)

    def copy(self) -> None:
        """The figure as it is shown to the clipboard: a picture of slide size, and the numbers as text."""
        figure, theme = self.figure, self.view.theme.name
        self.say(_("copying …"))
        work = Work(lambda: (render_png(figure, "slide", theme), table_csv(figure)), self)
        work.done.connect(self._copied)
        work.failed.connect(self._work_failed)

    def _copied(self, made: tuple[bytes, bytes]) -> None:
        picture, numbers = made
        content = QMimeData()
        content.setImageData(QImage.fromData(picture))
        content.setText(numbers.decode())
        QGuiApplication.clipboard().setMimeData(content)
        self.say(_("copied as picture and numbers"))

    def _work_failed(self, error: BaseException) -> None:
        log.error("figure %s", self.name, exc_info=error)
        self.say(str(error), "alarm")

    def export(self) -> None:
        """The export dialog with this panel chosen."""
        from ..dialogs.export import ExportDialog

        shown = [panel for panel in self.window().findChildren(Panel) if panel.isVisible()]
        dialog = ExportDialog(self.session, shown or [self], self.window(), chosen=self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def show_numbers(self) -> None:
        """The numbers behind the figure as a table."""
        self.numbers = NumbersDialog(self.figure, self.window())
        self.numbers.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.numbers.destroyed.connect(self._forget_numbers)
        self.numbers.show()

    def _forget_numbers(self) -> None:
        self.numbers = None

    # --- words and looks

    def retranslate(self) -> None:
        """Put the words into place, in the present language."""
        self._title.setText(self.title)
        self.setAccessibleName(self.title)
        for button, name in (
            (self._ask, _("Compute this for the moment that is shown; it takes a while")),
            (self._others, _("Show another figure here")),
            (self._explain, _("What is this?")),
            (self._more, _("Options, copy, export")),
        ):
            button.setToolTip(name)
            button.setAccessibleName(f"{self.title}: {name}")
        if self.view.figure is not None:
            self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.LanguageChange and hasattr(self, "view"):
            self.retranslate()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._want()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._want()
        if self._stale:
            self.refresh()


def panels() -> list[type[Panel]]:
    """All panels, in the order of the figures that they show."""
    order = FIGURES.names()
    return sorted(PANELS, key=lambda kind: order.index(kind.name))


def _bare_button(text: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setProperty("kind", "bare")
    button.setAutoRaise(True)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
