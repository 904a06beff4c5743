"""A figure is a value: what is to be drawn, in numbers and words, without a single pixel.

The window draws it with pyqtgraph, an export draws the same value with Matplotlib; so what is exported is what was
shown, and the same figure can be made again where there is no screen. Colors are named by their role ("lane-0",
"healthy"); a theme says what they look like (`palette.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.summary import Inputs
from ..diagnostics.doctor import Examination
from ..diagnostics.rules.base import Rule as Rule_
from ..experiment import Experiment, Training
from ..fields import Described
from ..network import Plan
from ..record import RecordView
from ..registry import Registry
from ..studies.base import Answer, Study
from ..text import N_
from ..theory.mean_field import LayerPrediction

Array = NDArray[np.float64]
Scale = Literal["linear", "log", "symlog"]
Dash = Literal["solid", "dashed", "dotted", "dash-dot"]
Marker = Literal["", "circle", "square", "triangle", "diamond"]
# What is read where the mouse is, line by line, in place of the numbers that are drawn: of the point (the box) with
# this index. No lines: nothing is to be read there. Asked when somebody points, because a figure is drawn thirty times
# a second.
Says = Callable[[int], Sequence[str]]


@dataclass(frozen=True)
class Axis:
    """One axis. `label` says what is measured and its unit.

    limits   what is shown, in data units; None: fitted to the data
    linear_below   on a symlog axis: numbers smaller than this are drawn linearly
    ticks    (position, text) in place of the usual ones: names of layers
    whole    only whole numbers are written: steps
    """

    label: str
    scale: Scale = "linear"
    limits: tuple[float, float] | None = None
    linear_below: float = 1.0
    ticks: tuple[tuple[float, str], ...] | None = None
    whole: bool = False


@dataclass(frozen=True)
class Line:
    """Points joined by a line; a NaN is a gap.

    says   see `Says`
    rim   a color around the markers, so that they stand out from a heatmap
    """

    x: Array
    y: Array
    color: str
    label: str = ""
    dash: Dash = "solid"
    marker: Marker = ""
    width: float = 2.0
    faint: bool = False
    axis: Literal["left", "right"] = "left"
    says: Says | None = None
    rim: str = ""


@dataclass(frozen=True)
class Band:
    """The area between two curves."""

    x: Array
    low: Array
    high: Array
    color: str
    label: str = ""


@dataclass(frozen=True)
class Boxes:
    """A box plot whose numbers are known already: whiskers from least to most, an outer and an inner box, a mark.

    All arrays are (n,); `width` and `shift` are in units of x. NaN entries draw nothing.

    marker   what marks the middle; a line across the box when empty
    says     see `Says`
    """

    x: Array
    least: Array
    most: Array
    outer: tuple[Array, Array] | None
    inner: tuple[Array, Array] | None
    middle: Array
    color: str
    label: str = ""
    width: float = 0.3
    shift: float = 0.0
    marker: Marker = ""
    says: Says | None = None


@dataclass(frozen=True)
class Span:
    """A shaded range across the whole plot, such as the healthy range, on the axis `across`."""

    low: float
    high: float
    color: str
    label: str = ""
    across: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Rule:
    """A straight line across the whole plot at one position: an epoch, the present step, the loss at chance."""

    at: float
    color: str
    label: str = ""
    across: Literal["x", "y"] = "y"
    dash: Dash = "dashed"


@dataclass(frozen=True)
class Note:
    """A short text beside a point of the plot.

    free   may be moved to where there is room, so that it covers no data (`placement.py`)
    """

    x: float
    y: float
    text: str
    color: str = "text"
    anchor: Literal["left", "right", "center"] = "left"
    free: bool = False


@dataclass(frozen=True)
class Heatmap:
    """Colored cells: `values` (rows, columns) between the given edges; NaN cells stay empty.

    limits   of the color scale, in data units
    says     what is read of the cell in a row and column, line by line, in place of its number
    chooses  the options that a click on the cell in a row and column sets; none where nothing is to be chosen
    scaled   whether its color scale stands beside the figure; all heatmaps with one share it
    texts    (rows)(columns) what is written into the cells, where there is room for all of it
    """

    values: Array
    x_edges: Array
    y_edges: Array
    label: str
    scale: Scale = "linear"
    limits: tuple[float, float] | None = None
    colormap: str = "viridis"
    says: Callable[[int, int], Sequence[str]] | None = None
    chooses: Callable[[int, int], Mapping[str, Any]] | None = None
    scaled: bool = True
    texts: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Points:
    """Markers at points that nothing joins; a NaN is left out.

    fill   of the color, of the paper with the color around it, or none but a ring
    size   times that of the markers on lines
    says   see `Says`
    """

    x: Array
    y: Array
    color: str
    label: str = ""
    marker: Marker = "circle"
    fill: Literal["color", "paper", "none"] = "color"
    size: float = 1.0
    says: Says | None = None


@dataclass(frozen=True)
class Pictures:
    """Small pictures of one size, as many in a row as there is room for; the plot has no axes.

    values     (n, rows, columns), or (n, rows, columns, 3): red, green and blue from 0 to 1. The first row is on top
    captions   (n) lines below each picture; the second and those that follow stand back
    limits     of the color scale, for all of them
    fewer      where room is scarce: the last ones are left out; otherwise the captions are
    says       what is read of the cell of picture, row and column
    """

    values: Array
    captions: tuple[tuple[str, ...], ...]
    limits: tuple[float, float] = (0.0, 1.0)
    colormap: str = "ink"
    fewer: bool = False
    says: Callable[[int, int, int], Sequence[str]] | None = None


@dataclass(frozen=True)
class Outline:
    """Rectangles around what is looked at: `corners` (n, 4) left, bottom, right, top."""

    corners: Array
    color: str = "text"


Mark = Line | Band | Boxes | Span | Rule | Note | Heatmap | Points | Pictures | Outline


@dataclass(frozen=True)
class Plot:
    """One pair of axes with what stands in it. `right` is a second vertical axis.

    foot     written below the axes, in a few lines
    square   a unit is as long across as it is high
    before   the sign between this plot and the one at its left
    """

    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    title: str = ""
    right: Axis | None = None
    foot: str = ""
    square: bool = False
    before: str = ""

    @property
    def pictures(self) -> Pictures | None:
        """The small pictures that stand here in place of axes."""
        return next((mark for mark in self.marks if isinstance(mark, Pictures)), None)


@dataclass(frozen=True)
class Words:
    """Writing below the plots; `pieces` are kept whole where there is room, and a new line begins with one.

    remark   left out where room is scarce
    bold     a heading
    """

    pieces: tuple[str, ...]
    color: str = "text"
    bold: bool = False
    remark: str = ""


class Table(Mapping[str, NDArray[Any]]):
    """The numbers behind a figure: column name -> values, all of one length.

    Made when somebody asks for them, because a figure is drawn thirty times a second and saved once.
    """

    def __init__(self, make: Callable[[], dict[str, NDArray[Any]]]):
        self._make = make
        self._columns: dict[str, NDArray[Any]] | None = None

    def _made(self) -> dict[str, NDArray[Any]]:
        if self._columns is None:
            self._columns = self._make()
        return self._columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())


@dataclass(frozen=True)
class Figure:
    """Plots below one another or side by side, with what a reader needs to know.

    name      the kind's name, "gradients"
    empty     why nothing is drawn, when nothing is
    table     the numbers behind the figure: column name -> values, for CSV
    heights   how the plots share the height; equally when empty
    beside    the plots stand side by side
    words     what is written below the plots
    stamp     name, seed, step and hash of the experiments, for the file's metadata
    """

    name: str
    title: str
    subtitle: str
    plots: tuple[Plot, ...]
    empty: str = ""
    table: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    stamp: Mapping[str, str] = field(default_factory=dict)
    heights: tuple[float, ...] = ()
    beside: bool = False
    words: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Lane:
    """What a figure knows of one lane.

    name         "A", "B", ...
    label        what is different about it, "as built" or "init: He"
    view         its record
    plan         its layers, with shapes and problems
    predictions  what theory expects of its layers at initialization
    experiment   (name, seed, hash)
    chance       the loss of guessing
    training     how it is trained, where that is known
    setup        the whole experiment, where that is known
    inputs       what the samples look like that the network is fed, where the data can be had
    answers      what was found by the studies that figures asked for, see `FigureKind.needs`
    examination  what the doctor said when he looked last; None: whoever wants to know looks himself
    """

    name: str
    label: str
    view: RecordView
    plan: Plan
    predictions: tuple[LayerPrediction, ...] = ()
    experiment: tuple[str, int, str] = ("", 0, "")
    chance: float = float("nan")
    training: Training | None = None
    setup: Experiment | None = None
    inputs: Inputs | None = None
    answers: Mapping[Study, Answer] = field(default_factory=dict)
    examination: Examination | None = None

    def study(self, study: Study) -> Answer | None:
        """What a study found in this lane; None where it has not been answered (yet)."""
        return self.answers.get(study)


@dataclass(frozen=True)
class Scene:
    """What is to be drawn: the lanes, at one step of their common time.

    rules     the doctor's, with the thresholds that a person has set; None: as they are at first
    selected  path of the layer that a person has chosen; "" where none is
    """

    lanes: tuple[Lane, ...]
    step: int
    rules: tuple[Rule_, ...] | None = None
    selected: str = ""


@dataclass(frozen=True)
class Explanation:
    """What a chart says, in four short texts; `yours` is written from the present numbers."""

    what: str
    why: str
    good: str
    yours: str


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure: its file registers one of these.

    build     draws a scene with the given options as a figure
    explain   says what is seen
    options   settings of the figure, a frozen `Described` whose defaults are sensible
    needs     the studies whose answers it draws, with these options; whoever makes the scene sees to them
    """

    name: str
    title: str
    build: Callable[[Scene, Any], Figure]
    explain: Callable[[Scene, Any], Explanation]
    options: type[Described]
    needs: Callable[[Any], tuple[Study, ...]] = lambda _options: ()


FIGURES: Registry[FigureKind] = Registry(N_("figure"), "layerscope.core.figures")
