"""A registry finds kinds by name, loads their folder on first use, and says what it knows when it does not know."""

import sys
import textwrap
from pathlib import Path

import pytest

from layerscope.core.errors import InputError
from layerscope.core.registry import Registry


def fruits() -> Registry[str]:
    registry: Registry[str] = Registry("fruit")
    for name in ("cherry", "apple", "banana"):
        registry.add(name)(name.upper())
    return registry


def test_kinds_keep_the_order_of_registration() -> None:
    registry = fruits()
    assert registry.names() == ["cherry", "apple", "banana"]
    assert list(registry) == ["CHERRY", "APPLE", "BANANA"]
    assert list(registry.items()) == [("cherry", "CHERRY"), ("apple", "APPLE"), ("banana", "BANANA")]
    assert len(registry) == 3
    assert "apple" in registry
    assert "pear" not in registry
    assert [] not in registry
    assert registry["apple"] == registry.get("apple") == "APPLE"


def test_registering_returns_what_it_was_given() -> None:
    @fruits().add("plum")
    class Plum:
        pass

    assert Plum.__name__ == "Plum"


def test_two_kinds_cannot_have_one_name() -> None:
    registry = fruits()
    with pytest.raises(ValueError, match="two kinds of fruit are called 'apple'"):
        registry.add("apple")("other")
    assert registry["apple"] == "APPLE"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("aple", '"aple" is not a known kind of fruit (did you mean "apple"?); known: cherry, apple, banana'),
        ("tractor", '"tractor" is not a known kind of fruit; known: cherry, apple, banana'),
        (3, "3 is not a known kind of fruit; known: cherry, apple, banana"),
        (None, "null is not a known kind of fruit; known: cherry, apple, banana"),
        (["apple"], '["apple"] is not a known kind of fruit; known: cherry, apple, banana'),
    ],
)
def test_an_unknown_kind_lists_the_known_ones_and_the_nearest(name: object, line: str) -> None:
    with pytest.raises(InputError) as caught:
        fruits().get(name, "basket.0.kind")
    assert str(caught.value) == f"basket.0.kind: {line}"


def test_a_family_without_kinds_says_to_leave_it_out() -> None:
    with pytest.raises(InputError, match=r'^"ema" is not a known kind of averaging; .* leave it out$'):
        Registry("averaging").get("ema")


def test_a_hostile_name_stays_one_short_line() -> None:
    with pytest.raises(InputError) as caught:
        fruits().get("x\n" * 10**6)
    assert len(str(caught.value)) < 200


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an importable package whose files register kinds in `shelf.SHELF`."""
    package = tmp_path / "shelf"
    package.mkdir()
    (package / "base.py").write_text(
        "from layerscope.core.registry import Registry\nSHELF = Registry('book', 'shelf')\n", encoding="utf-8"
    )
    (package / "__init__.py").write_text(
        "from layerscope.core.registry import discover\ndiscover(__name__, __path__)\n", encoding="utf-8"
    )
    for name in ("novel", "atlas"):
        code = f"""
            from shelf.base import SHELF
            assert "poem" not in SHELF  # asking while the folder loads must not load it again

            @SHELF.add("{name}")
            class Book:
                pass
        """
        (package / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "shelf"]:
        del sys.modules[name]


def test_a_new_file_in_the_folder_is_a_new_kind(folder: Path) -> None:
    from shelf.base import SHELF

    assert SHELF.names() == ["atlas", "novel"]


def test_a_broken_file_is_heard_of_every_time(folder: Path) -> None:
    # A program that goes on in spite of it must not believe that half of the kinds are all there are.
    (folder / "__init__.py").write_text("raise RuntimeError('torn page')\n", encoding="utf-8")
    shelf: Registry[str] = Registry("book", "shelf")
    for _ in range(3):
        with pytest.raises(RuntimeError, match="torn page"):
            shelf.names()
