"""What is said when an input is wrong: one line that names the file, the place in it and the way out."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import msgspec

from .text import _

LONGEST_QUOTE = 60  # characters of a wrong value that are repeated to the person who wrote it
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode categories of what would garble a terminal


class InputError(Exception):
    """Something that a person gave us is wrong, and that person can put it right.

    problem   what is wrong and what to do about it, one sentence
    place     path inside the file, such as "network.3.units"; empty when it is the whole file
    file      the file's name as the person gave it; empty when there is none
    """

    def __init__(self, problem: str, place: str = "", file: str = ""):
        super().__init__(problem, place, file)
        self.problem, self.place, self.file = problem, place, file

    def within(self, file: str) -> InputError:
        """The same complaint about a named file."""
        return InputError(self.problem, self.place, self.file or file)

    def inside(self, place: str) -> InputError:
        """The same complaint about a part of something larger: "units" inside "network.3" is "network.3.units"."""
        return InputError(self.problem, join(place, self.place), self.file)

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.place) if part)
        line = " ".join((f"{where}: {self.problem}" if where else self.problem).split())
        return "".join(c if unicodedata.category(c) not in INVISIBLE else f"\\u{ord(c):04x}" for c in line)


def join(place: str, key: str) -> str:
    """The place of `key` inside `place`; either may be empty."""
    key = cut(key)
    return f"{place}.{key}" if place and key else place or key


def cut(text: str) -> str:
    """A text as short as a message can bear."""
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "..."


def shown(value: Any) -> str:
    """A wrong value as its writer knows it, in JSON where it can be, and cut short."""
    try:
        if isinstance(value, float) and not math.isfinite(value):
            return str(float(value))
        if value is None or isinstance(value, str | int | float | bool | list | dict):
            return cut(msgspec.json.encode(value).decode())
        return cut(repr(value))
    except (TypeError, ValueError, OverflowError, RecursionError):  # no JSON, lone surrogates, numbers of 5,000 digits
        return type(value).__name__


def nearest(word: str, known: list[str]) -> str:
    """The known word that `word` most likely was meant to be, or an empty string."""
    import difflib

    if len(word) > LONGEST_QUOTE:  # no known word is that long, and the comparison would take minutes
        return ""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return found[0] if found else ""


def unknown_key(key: str, known: list[str], place: str) -> InputError:
    """What is said of a key that does not exist at `place` (which ends with the key)."""
    meant = nearest(key, known)
    if meant:
        return InputError(_('unknown key "{key}"; did you mean "{meant}"?').format(key=cut(key), meant=meant), place)
    names = ", ".join(known)
    return InputError(
        _('unknown key "{key}"; leave it out, this version knows: {known}').format(key=cut(key), known=names), place
    )
