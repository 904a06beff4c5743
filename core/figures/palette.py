"""Colors have jobs: a figure asks for "lane-0" or "healthy", and the theme says what that looks like on its paper.

Lanes use the colors of Okabe and Ito (2008), which people with any color vision can tell apart. The two themes choose
differently among them, because each color must stand out from the panel (contrast 3:1 or more, WCAG 2.2, 1.4.11). No
lane is told by its color alone: each has a dash and a marker of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..text import N_
from .figure import Dash, Marker


@dataclass(frozen=True)
class Theme:
    """Colors by role, as "#rrggbb".

    text, muted, axis, grid   writing, secondary writing, the axes' lines, the lines behind the data
    background, panel         behind the cards; the card or the paper that a figure is drawn on
    accent                    what a person acts on: the present step, buttons
    healthy                   a pale span behind data
    warning, alarm, good      states
    theory                    theory that belongs to no lane
    fifth                     stands beside the lanes' four where things are told that are no lanes
    class-0 ... class-9       classes of the data
    """

    name: str
    label: str
    colors: Mapping[str, str]

    def color(self, role: str) -> str:
        """The color of a role; a color "#rrggbb" is returned as it is."""
        return role if role.startswith("#") else self.colors[role]

    def tint(self, role: str, share: float) -> str:
        """So much of a role's color mixed into the panel's: what a transparent color would look like, but opaque.

        share   from 0 (the panel) to 1 (the color)
        """
        return _mixed(self.color(role), self.colors["panel"], share)


# Below zero, zero and above it, from the least to the greatest number: blue and orange are told apart by everybody, and
# the middle is the paper.
DIVERGING: dict[str, tuple[str, ...]] = {
    "light": ("#00395c", "#0072b2", "#ffffff", "#d55e00", "#7a3300"),
    "dark": ("#b9e2fb", "#2f8fcc", "#1d2126", "#d98200", "#ffdf9e"),
}


@lru_cache(maxsize=4)
def diverging(theme: str) -> tuple[tuple[int, int, int], ...]:
    """256 colors (red, green, blue) of the map "diverging" in a theme."""
    return blended(DIVERGING[theme])


CLASSES = 10  # colors; of more classes some share one, and differ in their marker
LEVELS = 24  # of certainty, told apart in a map of classes
PALEST, STRONGEST = 0.08, 0.62  # of a class's color in the map of it
MARKERS: tuple[Marker, ...] = ("circle", "square", "triangle", "diamond")
# Where it is dark in the one theme it is light in the other: paper for nothing, ink for much.
SEQUENTIAL: dict[str, tuple[str, ...]] = {
    "light": ("#ffffff", "#bcd9ec", "#5a9fd0", "#0072b2", "#003a63"),
    "dark": ("#1d2126", "#1f4257", "#2d7ba8", "#56b4e9", "#d3ecfb"),
}


def class_look(index: int) -> tuple[str, Marker]:
    """The color's role and the marker of a class; no two of the first twenty are the same in both."""
    return f"class-{index % CLASSES}", MARKERS[index % len(MARKERS)]


def class_cell(index: int, certainty: float) -> float:
    """The number of a class with a certainty, 0 to 1, on the color map "classes-N", whose limits are `class_limits`."""
    return index * LEVELS + round(min(max(certainty, 0.0), 1.0) * (LEVELS - 1))


def class_limits(classes: int) -> tuple[float, float]:
    return 0.0, float(classes * LEVELS - 1)


@lru_cache(maxsize=32)
def color_map(name: str, theme: str) -> tuple[tuple[int, int, int], ...] | None:
    """The colors (red, green, blue) of a map that belongs to a theme, from the least to the greatest number; None where
    it is one of those that all programs know.

    diverging   pale at zero; sequential: from the paper to the strongest blue; ink: from the paper to the writing
    classes-N   N classes, each from pale (unsure) to strong (certain), see `class_cell`
    """
    colors = THEMES[theme]
    if name == "diverging":
        return diverging(theme)
    if name == "sequential":
        return blended(SEQUENTIAL[theme])
    if name == "ink":
        return blended((colors.color("panel"), colors.color("text")))
    if name.startswith("classes-"):
        shares = [PALEST + (STRONGEST - PALEST) * level / (LEVELS - 1) for level in range(LEVELS)]
        mixed = [colors.tint(f"class-{k % CLASSES}", share) for k in range(int(name[8:])) for share in shares]
        return tuple(map(_parts, mixed))
    return None


def _parts(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def blended(colors: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """256 colors that lead from one color to the next."""
    ends, found = [_parts(color) for color in colors], []
    for index in range(256):
        at = index / 255.0 * (len(ends) - 1)
        low = min(int(at), len(ends) - 2)
        red, green, blue = (round(a + (at - low) * (b - a)) for a, b in zip(ends[low], ends[low + 1], strict=True))
        found.append((red, green, blue))
    return tuple(found)


def ink_on(color: tuple[int, int, int]) -> str:
    """The color of writing that is read best on a color: dark or light."""
    back = "#{:02x}{:02x}{:02x}".format(*color)
    return max(("#1b2430", "#ffffff"), key=lambda ink: contrast(ink, back))


# How strongly the shades of one color stand out; both painters use the same.
FAINT = 0.38  # lines that stand back: a ghost, single minibatches
BAND = 0.22  # areas between curves
OUTER_BOX = 0.42  # 5 to 95 %
INNER_BOX = 0.85  # 25 to 75 %


@lru_cache(maxsize=1024)
def _mixed(front: str, back: str, share: float) -> str:
    return "#" + "".join(
        f"{round(share * int(front[i : i + 2], 16) + (1.0 - share) * int(back[i : i + 2], 16)):02x}" for i in (1, 3, 5)
    )


THEMES: dict[str, Theme] = {
    "light": Theme(
        "light",
        N_("light"),
        {
            "lane-0": "#0072b2",  # blue
            "lane-1": "#d55e00",  # vermillion
            "lane-2": "#009e73",  # bluish green
            "lane-3": "#cc79a7",  # reddish purple
            "fifth": "#8a7a00",  # yellow, darkened
            "class-0": "#0072b2",
            "class-1": "#d55e00",
            "class-2": "#00855f",
            "class-3": "#c0629a",
            "class-4": "#6b6000",
            "class-5": "#332288",
            "class-6": "#7a2e10",
            "class-7": "#2a91c4",
            "class-8": "#882255",
            "class-9": "#6a7380",
            "text": "#1b2430",
            "muted": "#66717f",
            "axis": "#a9b1bb",
            "grid": "#e9edf1",
            "background": "#f4f6f9",
            "panel": "#ffffff",
            "border": "#e1e6ec",
            "accent": "#1f6feb",
            "healthy": "#e9f5ef",
            "good": "#00845f",
            "warning": "#b34700",
            "alarm": "#c62828",
            "theory": "#3d4855",
        },
    ),
    "dark": Theme(
        "dark",
        N_("dark"),
        {
            "lane-0": "#56b4e9",  # sky blue
            "lane-1": "#e69f00",  # orange
            "lane-2": "#009e73",  # bluish green
            "lane-3": "#cc79a7",  # reddish purple
            "fifth": "#f0e442",  # yellow
            "class-0": "#56b4e9",
            "class-1": "#e69f00",
            "class-2": "#00b383",
            "class-3": "#cc79a7",
            "class-4": "#f0e442",
            "class-5": "#8f7dff",
            "class-6": "#c8906a",
            "class-7": "#7fd6d0",
            "class-8": "#ff8f9c",
            "class-9": "#a3adb8",
            "text": "#e8ebef",
            "muted": "#9aa4b0",
            "axis": "#5d6773",
            "grid": "#2b3138",
            "background": "#15181c",
            "panel": "#1d2126",
            "border": "#31373f",
            "accent": "#5a9bff",
            "healthy": "#1e3129",
            "good": "#2fc795",
            "warning": "#ffa657",
            "alarm": "#ff7b72",
            "theory": "#c3cad3",
        },
    ),
}


@dataclass(frozen=True)
class Cue:
    """What tells a lane from the others where colors do not."""

    color: str
    dash: Dash
    marker: Marker


CUES: tuple[Cue, ...] = (
    Cue("lane-0", "solid", "circle"),
    Cue("lane-1", "dashed", "square"),
    Cue("lane-2", "dotted", "triangle"),
    Cue("lane-3", "dash-dot", "diamond"),
)

# Lengths of dash and gap in widths of the line; Qt's setDashPattern and Matplotlib's lines.scale_dashes agree on that.
DASHES: dict[Dash, tuple[float, ...]] = {
    "solid": (),
    "dashed": (4.0, 1.8),
    "dotted": (1.2, 1.4),
    "dash-dot": (5.0, 1.6, 1.2, 1.6),
}


def cue(index: int) -> Cue:
    """The cue of a lane by its place, 0 for A."""
    return CUES[index % len(CUES)]


def lane_index(name: str) -> int:
    """The place of a lane by its name: "A" is 0. A lane keeps its color when the one before it is removed."""
    return (ord(name[0].upper()) - ord("A")) % len(CUES) if name[:1].isascii() and name[:1].isalpha() else 0


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colors "#rrggbb", from 1 to 21 (WCAG 2.2)."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
