"""Microscope: one operation of a training step under the lens; what goes in, what comes out, and how, in numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..diagnostics.pictures import Picture, Range
from ..fields import Described, about
from ..studies.base import Study
from ..studies.microscope import (
    InputNumber,
    Microscope,
    OperationNumber,
    ParameterName,
    SampleNumber,
    Sight,
    UnitNumber,
    View,
)
from ..text import N_, _, ngettext
from ..walk import operation_text
from ..worked import Equation, text_of
from .figure import (
    FIGURES,
    Axis,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Mark,
    Outline,
    Plot,
    Scene,
    Table,
    Words,
)
from .reading import columns, lane_prefix, nothing, percent_text, stamp
from .scales import number_text

NAME, TITLE = "microscope", N_("Microscope")
MOST_TICKS = 6
SAME, OTHER = "\u2713", "\u2717"


class MicroscopeOptions(Described, frozen=True, kw_only=True):
    """What the microscope is pointed at, and of which lane."""

    operation: OperationNumber = -1
    sample: SampleNumber = 1
    unit: UnitNumber = 1
    input: InputNumber = 1
    parameter: ParameterName = ""
    view: View = "minibatch"
    lane: Annotated[Literal["first", "A", "B", "C", "D"], about(N_("lane"), N_("Whose step is looked at."))] = "first"


def study_of(options: MicroscopeOptions) -> Microscope:
    """The question whose answer is drawn."""
    settings = msgspec.structs.asdict(options)
    return Microscope(**{name: value for name, value in settings.items() if name != "lane"})


def needs(options: MicroscopeOptions) -> tuple[Study, ...]:
    return (study_of(options),)


def shown_lane(scene: Scene, options: MicroscopeOptions) -> Lane | None:
    """The lane that is looked at."""
    return next((lane for lane in scene.lanes if lane.name == options.lane), scene.lanes[0] if scene.lanes else None)


def sight_of(lane: Lane | None, options: MicroscopeOptions) -> Sight | None:
    """What the microscope shows of a lane; None where nobody has looked yet."""
    known = lane is not None and (len(lane.view) > 0 or lane.view.line is not None)
    answer = lane.study(study_of(options)) if lane is not None and known else None
    found: Sight | None = answer.value if answer is not None else None
    return found


def moved(sight: Sight, option: str, steps: int) -> int:
    """The number of the unit, the input or the sample that comes so many later; behind the last comes the first."""
    now, count = {
        "unit": (sight.unit, sight.units),
        "input": (sight.entry, sight.entries),
        "sample": (sight.sample, sight.samples),
    }[option]
    return (now - 1 + steps) % count + 1


def build(scene: Scene, options: MicroscopeOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    lane = shown_lane(scene, options)
    sight = sight_of(lane, options)
    if lane is None or sight is None:
        known = lane is not None and (len(lane.view) > 0 or lane.view.line is not None)
        why = _("Nobody has looked at this step yet.") if known else ""
        return nothing(NAME, title, scene, why)
    plots = tuple(_plot(picture, _sign(sight.pictures, index)) for index, picture in enumerate(sight.pictures))
    return Figure(
        NAME,
        title,
        lane_prefix(lane, scene) + headline(lane, sight),
        plots,
        table=Table(lambda: _table(sight)),
        stamp={**stamp(NAME, scene), "operation": str(sight.number)},
        beside=True,
        words=tuple(_words(sight)),
    )


def headline(lane: Lane, sight: Sight) -> str:
    """ "step 41, operation 7 of 63: gradients of the weights of layer 2 Dense"."""
    return _("step {step}, operation {number} of {total}: {what}").format(
        step=number_text(sight.step, 9),
        number=sight.number,
        total=sight.total,
        what=operation_text(lane.plan, sight.operation),
    )


# --- pictures


def _sign(pictures: Sequence[Picture], index: int) -> str:
    """What stands before a picture: how it comes together with the one before, or that it comes out."""
    if pictures[index].sign or index == 0:
        return pictures[index].sign
    return "→" if pictures[index].result and not pictures[index - 1].result else ""


def _plot(picture: Picture, before: str) -> Plot:
    values = picture.values[::-1]  # the first row is drawn on top
    rows, across = values.shape
    largest = max(abs(picture.range.least), abs(picture.range.most))
    limit = largest if math.isfinite(largest) and largest > 0.0 else 1.0
    marks: list[Mark] = [
        Heatmap(
            values,
            np.arange(across + 1.0),
            np.arange(rows + 1.0),
            picture.symbol,
            limits=(-limit, limit),
            colormap="diverging",
            says=_says(picture),
            chooses=_chooses(picture),
            scaled=False,
        )
    ]
    if picture.marked:
        corners = [(left, rows - bottom, right, rows - top) for top, left, bottom, right in picture.marked]
        marks.append(Outline(np.array(corners, dtype=np.float64)))
    return Plot(
        x=Axis(
            _("→ {what}").format(what=picture.columns),
            limits=(0.0, float(across)),
            ticks=_ticks(picture.column_names, picture.block[1], False),
        ),
        y=Axis(
            _("↓ {what}").format(what=picture.rows),
            limits=(0.0, float(rows)),
            ticks=_ticks(picture.row_names, picture.block[0], True),
        ),
        marks=tuple(marks),
        title=f"{picture.symbol} {shape_text(picture.shape)}",
        foot=_foot(picture),
        square=len(picture.row_names) == 0,  # an image
        before=before,
    )


def _ticks(names: NDArray[np.int64], block: int, down: bool) -> tuple[tuple[float, str], ...]:
    """Round numbers of some rows or columns, in the middle of each; rows are counted from the top."""
    if len(names) == 0:
        return ()
    first, count = int(names[0]), len(names) * block
    every = next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if count <= step * MOST_TICKS), count)
    numbers = [first] if count == 1 else [n for n in range(first, first + count) if n % every == 0]
    at = [(number - first + 0.5) / block for number in numbers]
    return tuple(sorted((len(names) - place if down else place, str(n)) for place, n in zip(at, numbers, strict=True)))


def _says(picture: Picture) -> Callable[[int, int], Sequence[str]]:
    def lines(row: int, column: int) -> Sequence[str]:
        row = len(picture.values) - 1 - row
        value = float(picture.values[row, column])
        labels = {"sample": _("sample"), "unit": _("unit"), "input": _("input")}
        chosen = [(labels.get(name, name), int(numbers[row, column])) for name, numbers in picture.chooses.items()]
        if math.isnan(value) and all(number == 0 for _name, number in chosen):
            return ()
        said = [f"{picture.symbol}: {text_of(value)}", *(f"{name} {number}" for name, number in chosen if number)]
        if picture.block != (1, 1):
            said.append(
                _("the largest of {rows} × {columns} numbers").format(rows=picture.block[0], columns=picture.block[1])
            )
        return said

    return lines


def _chooses(picture: Picture) -> Callable[[int, int], Mapping[str, int]]:
    def options(row: int, column: int) -> Mapping[str, int]:
        row = len(picture.values) - 1 - row
        cells = {name: int(numbers[row, column]) for name, numbers in picture.chooses.items()}
        return {name: number for name, number in cells.items() if number > 0}

    return options


def shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _foot(picture: Picture) -> str:
    """What the numbers of the tensor are like."""
    about_it = picture.range
    if about_it.count == about_it.strange:
        return _("no finite number")
    said = [
        _("{least} to {most}").format(least=number_text(about_it.least, 3), most=number_text(about_it.most, 3)),
        _("{mean} ± {std}").format(mean=number_text(about_it.mean, 2), std=number_text(about_it.std, 2)),
    ]
    if about_it.strange:
        said.insert(0, _strange(about_it))
    elif about_it.zeros:
        said.append(_("{share} zeros").format(share=percent_text(about_it.zeros)))
    return ", ".join(part.replace(" ", "\u00a0") for part in said)


def _strange(about_it: Range) -> str:
    if not about_it.strange:
        return ""
    return ngettext("{count} number is not finite", "{count} numbers are not finite", about_it.strange).format(
        count=about_it.strange
    )


# --- equations


def _bound(text: str) -> str:
    """The text with spaces at which no line is broken inside of products, quotients and brackets."""
    text = re.sub(r" ([·/]) ", "\u00a0\\1\u00a0", text)
    return re.sub(r"(?<=,) (?=[^\[\]]*\])", "\u00a0", text)


def equation_pieces(found: Equation, precision: str) -> tuple[str, ...]:
    """ "y[3] = Σᵢ x[i] W[i, 3]", "= 0.21 · 0.4 + …", "= 0.197"."""
    again = re.search(rf"(?<![\w̄]){re.escape(found.name)}(?![\w̄\[])", found.symbols) is not None
    pieces = [f"{found.name}\u00a0{'←' if again else '='} {_bound(found.symbols)}"]
    result = text_of(found.result)
    if found.numbers not in (result, found.symbols):
        pieces.append(f"=\u00a0{_bound(found.numbers)}")
    last = f"=\u00a0{result}"
    if found.found is not None:
        if found.agrees(precision):
            last += f"\u00a0{SAME}"
        else:
            last += f"\u00a0{OTHER} " + _("the engine has {value}").format(value=text_of(found.found))
    pieces.append(last)
    return tuple(pieces)


def _words(sight: Sight) -> list[Words]:
    said = [Words(tuple(_looked_at(sight)), bold=True)]
    if sight.skipped:
        said.append(
            Words((_("This step changes no weights: with the loss scaled, a gradient overflowed."),), color="alarm")
        )
    said += [
        Words(equation_pieces(found, sight.precision), remark=f"({found.words})" if found.words else "")
        for found in sight.equations
    ]
    remarks = list(_remarks(sight))
    if remarks:
        said.append(Words((), color="muted", remark=" ".join(remarks)))
    return said


def _looked_at(sight: Sight) -> list[str]:
    if sight.tensor:
        parts = [_("parameter {name}").format(name=sight.tensor)]
    else:
        parts = [
            _("sample {number} of {count} (row {row} of the data)").format(
                number=sight.sample, count=sight.samples, row=sight.row + 1
            )
        ]
    if sight.units > 1:
        parts.append(_("unit {number} of {count}").format(number=sight.unit, count=sight.units))
    if sight.entries > 1:
        parts.append(_("input {number} of {count}").format(number=sight.entry, count=sight.entries))
    return [part if index == 0 else f"· {part}" for index, part in enumerate(parts)]


def _remarks(sight: Sight) -> list[str]:
    found = []
    if any(one.found is not None and one.agrees(sight.precision) for one in sight.equations):
        found.append(_("{sign} the engine came to the same number").format(sign=SAME))
    if sight.operation.phase == "backward" and sight.operation.path != "loss":
        found.append(_("δ is ∂L/∂y, the gradient that arrives"))
    if sight.scale != 1.0 and sight.operation.phase == "backward":
        found.append(
            _("all gradients are {scale} times as large, as the loss is scaled").format(scale=text_of(sight.scale))
        )
    return [part if index == 0 else f"· {part}" for index, part in enumerate(found)]


# --- words


def explain(scene: Scene, options: MicroscopeOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "One operation of one training step: what goes in stands left, what acts on it in the middle, what comes "
            "out right. Blue is below zero, orange above, paler is nearer to zero. Every picture has its own scale; "
            "below it stand the least and the greatest number, and mean ± standard deviation. The formula has the "
            "numbers of this step in it, for the sample and the unit that are outlined."
        ),
        why=_(
            "A network is nothing but such operations. Walk through a step with the keys for one operation, choose a "
            "unit by pointing at a cell, and compute one number yourself."
        ),
        good=_(
            "A tick says that the engine came to the same number. Look for tensors that are all zero, have one color "
            "only, or are a thousand times larger than the one before."
        ),
        yours=_yours(scene, options),
    )


def _yours(scene: Scene, options: MicroscopeOptions) -> str:
    lane = shown_lane(scene, options)
    sight = sight_of(lane, options)
    if lane is None or sight is None:
        return _("Nothing has been looked at yet.")
    said = [lane_prefix(lane, scene) + headline(lane, sight) + "."]
    for picture in sight.pictures:
        about_it = picture.range
        if about_it.strange:
            said.append(f"{picture.symbol}: {_strange(about_it)}.")
        elif about_it.least == about_it.most:
            said.append(
                _("{symbol} is {value} everywhere.").format(symbol=picture.symbol, value=number_text(about_it.least, 3))
            )
        elif about_it.zeros > 0.5:
            said.append(
                _("{share} of {symbol} is zero.").format(share=percent_text(about_it.zeros), symbol=picture.symbol)
            )
    given = [p for p in sight.pictures if not p.result]
    results = [p for p in sight.pictures if p.result]
    if given and results and given[0].range.std > 0.0 and math.isfinite(results[-1].range.std):
        said.append(
            _("From {given} to {result} the spread of the numbers changes by a factor of {factor}.").format(
                given=given[0].symbol,
                result=results[-1].symbol,
                factor=number_text(results[-1].range.std / given[0].range.std, 2),
            )
        )
    checked = [one for one in sight.equations if one.found is not None]
    if checked:
        last = checked[-1]
        said.append(
            _("The formulas come to {name} = {result}; the engine has {found}.").format(
                name=last.name,
                result=text_of(last.result),
                found=text_of(last.found if last.found is not None else 0.0),
            )
        )
    return " ".join(said)


def _table(sight: Sight) -> dict[str, NDArray[np.generic]]:
    """The cells of all pictures."""
    rows: list[dict[str, Any]] = []
    for picture in sight.pictures:
        down, across = np.indices(picture.values.shape)
        rows.append(
            {
                "tensor": picture.symbol,
                "shape": shape_text(picture.shape),
                "row": down.ravel() + 1,
                "column": across.ravel() + 1,
                "value": picture.values.ravel(),
            }
        )
    return columns(rows)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, MicroscopeOptions, needs))
