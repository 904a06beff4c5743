"""A registry finds kinds by name, loads their folder on first use, and says what it knows when it does not know."""

import sys
import textwrap
from pathlib import Path

import pytest

from layerscope.core.averaging import Averaging
from layerscope.core.data.base import DataSet
from layerscope.core.errors import InputError
from layerscope.core.fields import Kind
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.initializers import Initializer
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss
from layerscope.core.registry import Registry
from layerscope.core.schedules.base import Schedule


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


# --- every kind of every family


def every_kind() -> list[tuple[str, type[Kind]]]:
    """(family/kind, class) of all that can be chosen in an experiment."""
    families = (Layer, Initializer, Loss, Optimizer, Clipping, Regularizer, Schedule, Averaging, DataSet)
    return [(f"{family.registry.family}/{name}", kind) for family in families for name, kind in family.registry.items()]


# Data sets are not formulas: where they are from is said in their help.
FORMULAS = [(name, kind) for name, kind in every_kind() if not issubclass(kind, DataSet)]


@pytest.mark.parametrize(("name", "kind"), every_kind(), ids=[name for name, _ in every_kind()])
def test_every_kind_has_a_name_and_explains_itself(name: str, kind: type[Kind]) -> None:
    assert kind.label, name
    text = kind.__doc__ or ""
    first = " ".join(text.split("\n\n")[0].split())
    # the first paragraph is shown to a student
    assert len(first) > 25, name
    assert first.endswith((".", ":", ")")), name
    family = next(base for base in kind.__mro__ if base.__dict__.get("registry") is not None)
    assert text != family.__doc__, name


@pytest.mark.parametrize(("name", "kind"), FORMULAS, ids=[name for name, _ in FORMULAS])
def test_every_kind_says_its_formula_and_where_it_is_from(name: str, kind: type[Kind]) -> None:
    assert kind.formula, name
    assert "\n" not in kind.formula
    assert len(kind.formula) < 120
    assert len(kind.source) > 3, name


def test_kinds_of_a_family_can_be_told_apart_by_their_labels() -> None:
    for family in (Layer, Initializer, Loss, Optimizer, Clipping, Regularizer, Schedule, Averaging, DataSet):
        labels = [kind.label for kind in family.registry]
        assert len(set(labels)) == len(labels), family.registry.family
