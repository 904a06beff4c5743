"""What is said when an input is wrong: one line that names the file, the place in it and the way out."""

from __future__ import annotations

from .text import _


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

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.place) if part)
        line = f"{where}: {self.problem}" if where else self.problem
        return " ".join(line.split())


def nearest(word: str, known: list[str]) -> str:
    """The known word that `word` most likely was meant to be, or an empty string."""
    import difflib

    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return found[0] if found else ""


def unknown_key(key: str, known: list[str], place: str) -> InputError:
    meant = nearest(key, known)
    if meant:
        return InputError(_('unknown key "{key}"; did you mean "{meant}"?').format(key=key, meant=meant), place)
    return InputError(_('unknown key "{key}"; known keys: {known}').format(key=key, known=", ".join(known)), place)
