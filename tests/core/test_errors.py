"""Every complaint is one line that a person can read and act on."""

import pickle
import time
from typing import Any

import pytest

from layerscope.core.errors import LONGEST_QUOTE, InputError, cut, join, nearest, shown, unknown_key


def test_a_complaint_names_file_place_and_way_out() -> None:
    error = InputError("must be a whole number, not -3", "network.0.units", "lecture.json")
    assert str(error) == "lecture.json, network.0.units: must be a whole number, not -3"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("is wrong",), "is wrong"),
        (("is wrong", "seed"), "seed: is wrong"),
        (("is wrong", "", "a.json"), "a.json: is wrong"),
    ],
)
def test_missing_parts_leave_no_trace(arguments: tuple[str, ...], line: str) -> None:
    assert str(InputError(*arguments)) == line


@pytest.mark.parametrize(
    "nasty", ["two\nlines", "a\r\nb", "bell\a", "red\x1b[31m", "\u202eright to left", "half \ud800", "\x85\u2028"]
)
def test_nothing_in_a_file_can_break_the_line_or_the_terminal(nasty: str) -> None:
    line = str(InputError(f"wrong {nasty}", nasty, nasty))
    assert "\n" not in line
    assert line.isprintable()
    line.encode()


def test_other_alphabets_stay_as_they_are() -> None:
    assert str(InputError("größer als 0 × 2 – „ok“", "", "Übung 3.json")) == "Übung 3.json: größer als 0 × 2 – „ok“"


def test_within_names_the_file_once() -> None:
    error = InputError("is wrong", "seed")
    assert str(error.within("a.json")) == "a.json, seed: is wrong"
    assert str(error.within("a.json").within("b.json")) == "a.json, seed: is wrong"


def test_inside_puts_a_place_into_a_larger_one() -> None:
    error = InputError("is wrong", "noise", "a.csv")
    assert str(error.inside("data")) == "a.csv, data.noise: is wrong"
    assert InputError("is wrong").inside("data").place == "data"
    assert error.inside("").place == "noise"


def test_complaints_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(InputError("is wrong", "seed", "a.json")))
    assert (error.problem, error.place, error.file) == ("is wrong", "seed", "a.json")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (0.1, "0.1"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, "true"),
        (None, "null"),
        ("a", '"a"'),
        ("a\n", '"a\\n"'),
        ({"a": [1]}, '{"a":[1]}'),
        ((1, 2), "(1, 2)"),
        ([object], "list"),
        ("\ud800", "str"),
    ],
)
def test_values_are_shown_as_a_file_has_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_long_values_are_cut() -> None:
    assert shown(10**5000) == "int"  # Python itself refuses to write that many digits
    assert len(shown("x" * 10**6)) == LONGEST_QUOTE
    assert len(shown(list(range(10**5)))) == LONGEST_QUOTE
    assert cut("short") == "short"
    assert len(join("network", "x" * 10**6)) < 2 * LONGEST_QUOTE


def test_nearest_finds_what_was_meant() -> None:
    known = ["units", "bias", "init"]
    assert nearest("unit", known) == "units"
    assert nearest("UNITS", known) == "units"
    assert nearest("banana", known) == ""


def test_nearest_gives_up_on_what_no_one_can_have_meant() -> None:
    started = time.perf_counter()
    assert nearest("units" * 10**6, ["units"]) == ""
    assert time.perf_counter() - started < 0.5


def test_an_unknown_key_says_what_is_known_or_meant() -> None:
    assert str(unknown_key("untis", ["units", "bias"], "network.0.untis")) == (
        'network.0.untis: unknown key "untis"; did you mean "units"?'
    )
    assert str(unknown_key("banana", ["units", "bias"], "network.0.banana")) == (
        'network.0.banana: unknown key "banana"; leave it out, this version knows: units, bias'
    )
