"""A session that trains nothing: it shows the scene that a test gives it, and remembers what was asked of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QObject, Signal

from layerscope.core.figures.figure import (
    Axis,
    Band,
    Boxes,
    Figure,
    Heatmap,
    Line,
    Note,
    Plot,
    Rule,
    Span,
)


class StillSession(QObject):
    scene_changed = Signal()
    state_changed = Signal()
    selection_changed = Signal()
    lanes_changed = Signal()

    def __init__(self):
        super().__init__()
        self.scene = None
        self.studying = None
        self.wanted = {}
        self.demanded = []
        self.end = 0
        self.scrubbed = []
        self.blocked = ""
        self.lane = SimpleNamespace(name="A")
        self.lanes = ()
        self.trials = ()

    def show_scene(self, scene):
        self.scene = scene
        self.lanes = tuple(SimpleNamespace(name=lane.name, experiment=lane.setup, origin=None) for lane in scene.lanes)
        self.end = max((int(lane.view.steps[-1]) for lane in scene.lanes if len(lane.view)), default=0)
        self.scene_changed.emit()

    def scrub(self, step):
        self.scrubbed.append(step)

    def want(self, who, studies):
        self.wanted[who] = studies

    def demand(self, studies):
        self.demanded.append(studies)


@pytest.fixture
def still(qtbot):
    return StillSession()


def every_mark(moved: float = 0.0) -> Figure:
    """A figure with everything that a figure can have; `moved` shifts the data."""
    x = np.arange(1.0, 9.0)
    ones = np.ones(8)
    first = Plot(
        Axis("layer", ticks=tuple((float(i), str(i)) for i in range(1, 9))),
        Axis("activation", "symlog", linear_below=0.5),
        (
            Span(-1.0, 1.0, "healthy", "healthy"),
            Band(x, -ones + moved, ones + moved, "lane-0", "band"),
            Boxes(
                x, -2 * ones, 3 * ones + moved, (-ones, ones), (-0.5 * ones, 0.5 * ones), 0 * ones, "lane-1", "boxes"
            ),
            Boxes(x, -2 * ones, 3 * ones, None, None, 0 * ones, "lane-2", "plain", shift=0.3, marker="diamond"),
            Line(x, x + moved, "lane-0", "line", "dashed", "circle"),
            Line(x, 2 * x, "lane-3", "right", "dotted", "triangle", axis="right"),
            Rule(2.0, "muted", "level"),
            Rule(4.0, "accent", "", across="x", dash="solid"),
            Note(2.0, 1.0, "beside", anchor="right"),
            Note(3.0, 1.0, "free", "lane-0", free=True),
        ),
        title="first",
        right=Axis("learning rate", "log"),
    )
    second = Plot(
        Axis("step"),
        Axis("layer", limits=(0.5, 3.5), ticks=((1.0, "1"), (2.0, "2"), (3.0, "out"))),
        (
            Heatmap(10.0 ** np.arange(-12.0, 3.0).reshape(3, 5), np.arange(6.0), np.arange(4.0) + 0.5, "norm", "log"),
            Rule(2.5, "#ffffff", "", across="x", dash="solid"),
        ),
        title="second",
    )
    return Figure(
        "every-mark",
        "Every mark",
        "all of them",
        (first, second),
        table={"layer": x, "value": x + moved},
        stamp={"figure": "every-mark", "experiment": "Test", "seed": "7", "hash": "0123", "step": "4"},
        heights=(2.0, 1.0),
    )


@pytest.fixture
def figure():
    return every_mark()


@pytest.fixture
def moving_figure():
    return every_mark
