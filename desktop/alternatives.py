"""What else a setting could be: the values that a lane beside this one is offered with, one click each.

Nothing is said about any kind by name; what is offered follows from the declared field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from PySide6.QtWidgets import QMenu, QWidget

from layerscope.core.fields import Field
from layerscope.core.text import _

from .explain import kind_label, kind_tip
from .fresh import changed_kind, fresh
from .number_box import number_text, stepped


def alternatives(field: Field, value: Any) -> list[tuple[str, Any]]:
    """(label, plain value) of what the setting could be instead, the nearest first."""
    if field.sort == "boolean":
        return [(_("no") if value else _("yes"), not value)]
    if field.sort == "choice":
        entry = (lambda name: field.choices[name]) if field.choices is not None else (lambda _name: None)
        return [(kind_label(entry(name), name), name) for name in field.choice_names() if name != value]
    if field.sort in ("integer", "number"):
        return [(number_text(number), number) for number in _numbers(field, value)]
    if field.sort == "struct" and field.optional:
        return [(_("off"), None)] if value is not None else [(_("on"), msgspec.to_builtins(fresh(field.holds)))]
    if field.sort == "family":
        found = [(_("off"), None)] if field.optional and value is not None else []
        for name, kind in field.holds.registry.items():
            if value is None or value.kind_name() != name:
                found.append((kind_label(kind, name), msgspec.to_builtins(changed_kind(kind, value))))
        return found
    return []


def _numbers(field: Field, value: float) -> list[float]:
    """One sensible step down and up, a tenth and ten times, and the usual value."""
    wanted = [stepped(value, -1, field), stepped(value, 1, field)]
    if value and field.scale == "log":
        wanted += [value / 10, value * 10]
    if not field.required and field.default is not None:
        wanted.append(field.default)
    found: list[float] = []
    for number in wanted:
        kept = round(number) if field.sort == "integer" else float(f"{number:.12g}")
        if kept != value and kept not in found and _allowed(field, kept):
            found.append(kept)
    return found


def _allowed(field: Field, number: float) -> bool:
    low, high = field.minimum, field.maximum
    return (
        (low is None or number >= low)
        and (high is None or number <= high)
        and (field.above is None or number > field.above)
        and (field.below is None or number < field.below)
    )


def fill_lane_menu(menu: QMenu, field: Field, value: Any, tried: Callable[[Any], None]) -> None:
    """Put what a setting could be into a menu; `tried` gets the plain value that was chosen."""
    menu.setToolTipsVisible(True)
    for label, other in alternatives(field, value):
        action = menu.addAction(label)
        kind = None
        if field.sort == "family" and other is not None:
            kind = field.holds.registry[other["kind"]]
        elif field.sort == "choice" and field.choices is not None:
            kind = field.choices[other]
        action.setToolTip(kind_tip(kind) if kind is not None else label)
        action.triggered.connect(lambda _checked=False, other=other: tried(other))


def lane_menu(parent: QWidget, field: Field, value: Any, tried: Callable[[Any], None]) -> QMenu | None:
    """The context menu of a setting, or None where there is nothing else that it could be."""
    if not alternatives(field, value):
        return None
    menu = QMenu(parent)
    menu.setTitle(_("Try in a new lane"))
    heading = menu.addAction(_("Try in a new lane: {setting}").format(setting=_(field.label)))
    heading.setEnabled(False)
    fill_lane_menu(menu, field, value, tried)
    return menu
