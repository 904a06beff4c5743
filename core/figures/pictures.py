"""Small pictures are laid out as large as they can be in the room there is; the window and the exports do it alike."""

from __future__ import annotations

from dataclasses import dataclass

from .figure import Pictures

GAP = 0.5  # between pictures, in sizes of text
LARGEST = 9.0  # a picture is not higher, in sizes of text
LEAST = 2.6  # a picture with a caption is not lower where some can be left out, in sizes of text
OUT_OF_ORDER = 1.6  # lowest height of a picture with a caption, in sizes of text


@dataclass(frozen=True)
class Arrangement:
    """Where pictures stand; lengths in the unit that was asked for, from the left and from the top.

    size      (width, height) of one picture
    places    (left, top) of each; those that have no room are left out
    captions  lines below each
    room      width that a caption may take
    """

    size: tuple[float, float]
    places: tuple[tuple[float, float], ...]
    captions: int
    room: float


def arranged(mark: Pictures, width: float, height: float, em: float, line: float, widest: float) -> Arrangement:
    """The pictures as large as they can be in width x height.

    em, line   size of the text, and height of a line of it
    widest     width of the longest line of all captions
    """
    count = len(mark.values)
    lines = max((len(caption) for caption in mark.captions), default=0)
    if count == 0 or width <= 0.0 or height <= 0.0:
        return Arrangement((0.0, 0.0), (), 0, 0.0)
    if lines:
        least = (LEAST if mark.fewer else OUT_OF_ORDER) * em
        while True:
            found = _grid(mark, count, width, height, em, lines * line + 0.2 * em, widest, lines)
            if found is not None and found.size[1] >= least * min(1.0, _ratio(mark)):
                return found
            if not mark.fewer or count == 1:
                break
            count -= 1
    found = _grid(mark, len(mark.values), width, height, em, 0.0, 0.0, 0)
    assert found is not None
    return found


def _ratio(mark: Pictures) -> float:
    """Height of a picture for its width."""
    return float(mark.values.shape[1] / mark.values.shape[2])


def _grid(
    mark: Pictures, count: int, width: float, height: float, em: float, below: float, least: float, lines: int
) -> Arrangement | None:
    """So many pictures with `below` for what stands below each, in columns at least `least` wide; None: no room."""
    ratio, gap, best = _ratio(mark), GAP * em, None
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        cell = (width - gap * (columns - 1)) / columns
        if cell < least and columns > 1:
            break
        high = min((height - gap * (rows - 1)) / rows - below, cell * ratio, LARGEST * em)
        if high > 0.0 and (best is None or high > best[0] * (1.0 + 1e-9)):
            best = high, columns
    if best is None:
        return None if lines else Arrangement((0.0, 0.0), (), 0, 0.0)
    high, columns = best
    wide = high / ratio
    across, down = max(wide, least) + gap, high + below + gap
    places = tuple(((i % columns) * across, (i // columns) * down) for i in range(count))
    return Arrangement((wide, high), places, lines, max(wide, least))
