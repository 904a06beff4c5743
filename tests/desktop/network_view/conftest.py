"""A network view on a session whose worker rests: edits and undo are real, what was measured is put in by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from layerscope.core.diagnostics.probes import LAYER_COLUMNS
from layerscope.core.engine.layout import RUN_COLUMNS
from layerscope.core.experiment import Experiment
from layerscope.core.figures.figure import Lane, Scene
from layerscope.core.record import Record
from layerscope.desktop.network_view import NetworkView
from layerscope.desktop.session import Session, named


class Stage:
    """A view and its session, with the shortcuts that tests like."""

    def __init__(self, view: NetworkView, session: Session):
        self.view, self.session = view, session

    @property
    def experiment(self) -> Experiment:
        return self.session.lane.experiment

    @property
    def titles(self) -> list[str]:
        return [card.content.title for card in self.view.cards]

    @property
    def edits(self) -> int:
        return self.session.undo_stack.count()

    def measure(self, step: int = 0, **quantities: list[float]) -> None:
        """Show a scene in which the layers of every lane have these numbers; those not given are healthy."""
        lanes = []
        for index, lane in enumerate(self.session.lanes):
            plan = self.session.plan(index)
            paths = tuple(card.path for card in plan.cards)
            record = Record(paths, tuple(card.layer.kind_name() for card in plan.cards))
            line = np.zeros((1, len(RUN_COLUMNS) + len(paths) * len(LAYER_COLUMNS)))
            usual = {"activation_std": [1.0] * len(paths), "gradient_norm": [1.0] * len(paths)}
            for name, values in {**usual, **quantities}.items():
                column = LAYER_COLUMNS.index(name.replace("_", ".", 1))
                line[0, len(RUN_COLUMNS) + column :: len(LAYER_COLUMNS)] = values
            record.append(np.repeat(line, step + 1, axis=0))
            lanes.append(Lane(lane.name, "", record.view(), plan))
        self.session.scene = Scene(tuple(lanes), step)
        self.session.position = step
        self.session.scene_changed.emit()


@pytest.fixture
def stage(qtbot: QtBot) -> Iterator[Callable[..., Stage]]:
    """Makes a stage for experiments, one a lane."""
    made: list[Session] = []

    def make(*experiments: Experiment, width: int = 276, height: int = 900) -> Stage:
        session = Session(named(list(experiments)) if experiments else None)
        made.append(session)
        view = NetworkView(session)
        qtbot.addWidget(view)
        view.resize(width, height)
        view.show()
        return Stage(view, session)

    yield make
    for session in made:
        session.deleteLater()
