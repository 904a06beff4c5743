"""The doctor's thresholds: every rule with its numbers, what it looks for switched on or off, and the way back."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from layerscope.core.diagnostics.rules.base import Rule, all_rules
from layerscope.core.errors import InputError
from layerscope.core.fields import describe
from layerscope.core.text import _

from ..forms import Form
from ..roles import RoleLabel
from ..session import Session
from ..thresholds import with_rule, with_threshold

SIZE = 460, 560  # pixels


class RuleGroup(QWidget):
    """One rule: its name, its thresholds, and back to the usual ones."""

    def __init__(self, session: Session, rule: Rule, parent: QWidget | None = None):
        super().__init__(parent)
        self.session, self.rule = session, rule
        self.form = Form(rule)
        self.form.changed.connect(self._change)
        title = RoleLabel(_(rule.label), "text", 1.0, bold=True)
        title.setToolTip(rule.source)
        self.reset = QToolButton()
        self.reset.setProperty("kind", "bare")
        self.reset.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.reset.setText(_("Usual"))
        self.reset.setToolTip(_("Back to the usual thresholds of this rule"))
        self.reset.setAccessibleName(_("{rule}: usual thresholds").format(rule=_(rule.label)))
        self.reset.clicked.connect(lambda _checked=False: self._set(type(self.rule)()))
        top = QHBoxLayout()
        top.addWidget(title, 1)
        top.addWidget(self.reset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 10)
        column.setSpacing(4)
        column.addLayout(top)
        column.addWidget(self.form)
        self.words = " ".join(
            (_(rule.label), rule.kind_name(), *(_(field.label) for field in describe(type(rule))))
        ).casefold()
        self.show_rule(rule)

    def show_rule(self, rule: Rule) -> None:
        self.rule = rule
        self.form.show_value(rule)
        usual = rule == type(rule)()
        if self.reset.isEnabled() == usual:
            self.reset.setEnabled(not usual)

    def _change(self, path: str, value: object, _gesture: str) -> None:
        try:
            rule = with_threshold(self.rule, path, value)
        except InputError as error:
            self.form.show_value(self.rule)
            self.form.explain(path, error.problem)
            return
        self.form.explain(path, "")
        self._set(rule)

    def _set(self, rule: Rule) -> None:
        self.session.set_rules(with_rule(self.session.rules, rule))


class ThresholdsDialog(QDialog):
    """See the module's sentence. It stays open beside the window: charts show at once what changes.

    only   name of the one rule that is shown at first; "" for all
    """

    def __init__(self, session: Session, parent: QWidget | None = None, only: str = ""):
        super().__init__(parent)
        self.session = session
        self.setWindowTitle(_("Thresholds of the doctor"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.search = QLineEdit()
        self.search.setClearButtonEnabled(True)
        self.search.setPlaceholderText(_("Search"))
        self.search.setAccessibleName(_("Search"))
        self.search.textChanged.connect(self._filter)
        inside = QWidget()
        rules = QVBoxLayout(inside)
        rules.setContentsMargins(2, 4, 10, 4)
        self.groups = [RuleGroup(session, rule) for rule in session.rules]
        for group in self.groups:
            rules.addWidget(group)
        rules.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        buttons = QDialogButtonBox()
        self.reset = buttons.addButton(_("All as usual"), QDialogButtonBox.ButtonRole.ResetRole)
        self.reset.clicked.connect(partial(session.set_rules, all_rules()))
        buttons.addButton(_("Close"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.search)
        column.addWidget(scroll, 1)
        column.addWidget(buttons)
        self.resize(*SIZE)
        session.state_changed.connect(self._show_rules)
        self._show_rules()
        if only:
            self.show_rule(only)

    def show_rule(self, name: str) -> None:
        """Only this rule; an empty search shows all again."""
        self.search.setText(_(Rule.registry[name].label) if name else "")

    def _filter(self, text: str) -> None:
        wanted = text.casefold().split()
        for group in self.groups:
            group.setVisible(all(word in group.words for word in wanted))

    def _show_rules(self) -> None:
        for group, rule in zip(self.groups, self.session.rules, strict=True):
            if group.rule is not rule:
                group.show_rule(rule)
        usual = self.session.rules == all_rules()
        if self.reset.isEnabled() == usual:
            self.reset.setEnabled(not usual)


def show_thresholds(session: Session, parent: QWidget, only: str = "") -> ThresholdsDialog:
    """Open the dialog, or bring the one that is open to the front."""
    known = parent.findChild(ThresholdsDialog)
    dialog = known if isinstance(known, ThresholdsDialog) else ThresholdsDialog(session, parent)
    dialog.show_rule(only)
    dialog.show()
    if dialog is known:
        dialog.activateWindow()
    return dialog
