"""A field is declared once; the constructor, `build`, the texts and the JSON Schema all follow from it."""

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import pytest

from layerscope.core.errors import InputError
from layerscope.core.fields import Described, Field, Kind, about, build, describe, json_schema, limits_text
from layerscope.core.registry import Registry

COLORS: Registry[str] = Registry("color")
COLORS.add("red")("#f00")
COLORS.add("green")("#0f0")


class Animal(Kind, frozen=True, kw_only=True):
    """What lives in a cage."""

    registry: ClassVar[Registry[Any]] = Registry("animal")


@Animal.registry.add("cat")
class Cat(Animal, frozen=True, kw_only=True, tag="cat"):
    """Purrs.

    A second paragraph for those who read the source.
    """

    lives: Annotated[int, about("lives", "How many are left.", minimum=1, maximum=9)]
    color: Annotated[str, about("color", choices=COLORS)] = "red"


@Animal.registry.add("crowd")
class Crowd(Animal, frozen=True, kw_only=True, tag="crowd"):
    """Animals that hold animals."""

    members: Annotated[tuple[Animal, ...], about("members")] = ()
    rows: Annotated[tuple[tuple[Animal, ...], ...], about("rows")] = ()


class Ghost(Kind, frozen=True, kw_only=True):
    """A family that has no kinds yet."""

    registry: ClassVar[Registry[Any]] = Registry("ghost")


class Food(Described, frozen=True, kw_only=True):
    grams: Annotated[float, about("grams", unit="g", above=0.0, below=1000.0)] = 50.0


class Cage(Described, frozen=True, kw_only=True):
    """Has one field of every sort."""

    count: Annotated[int, about("count", "How many.", minimum=-5, maximum=2_000_000)] = 1
    size: Annotated[float, about("size", "How large.", minimum=0.0, maximum=1.5, unit="m")] = 1.0
    free: Annotated[float, about("free")] = 0.0
    open: Annotated[bool, about("open")] = False
    name: Annotated[str, about("name", length=(0, 8))] = ""
    side: Annotated[Literal["left", "right"], about("side")] = "left"
    color: Annotated[str, about("color", choices=COLORS)] = "green"
    animal: Annotated[Animal, about("animal")] = Cat(lives=9)
    guest: Annotated[Animal | None, about("guest")] = None
    others: Annotated[tuple[Animal, ...], about("others", length=(0, 3))] = ()
    rows: Annotated[tuple[tuple[Animal, ...], ...], about("rows")] = ()
    food: Annotated[Food, about("food")] = Food()
    ghost: Annotated[Ghost | None, about("ghost")] = None
    limit: Annotated[int | None, about("limit", minimum=1)] = None


def line(value: Any, place: str = "", struct: type[Described] = Cage) -> str:
    with pytest.raises(InputError) as caught:
        build(struct, value, place)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- Descriptions ---


def test_describe_tells_the_sort_and_limits_of_every_field() -> None:
    found = {field.name: field for field in describe(Cage)}
    assert [(name, field.sort) for name, field in found.items()] == [
        ("count", "integer"),
        ("size", "number"),
        ("free", "number"),
        ("open", "boolean"),
        ("name", "text"),
        ("side", "choice"),
        ("color", "choice"),
        ("animal", "family"),
        ("guest", "family"),
        ("others", "families"),
        ("rows", "lists"),
        ("food", "struct"),
        ("ghost", "family"),
        ("limit", "integer"),
    ]
    size = found["size"]
    assert (size.label, size.help, size.unit, size.minimum, size.maximum) == ("size", "How large.", "m", 0.0, 1.5)
    assert (size.above, size.below, size.required, size.default, size.optional) == (None, None, False, 1.0, False)
    assert found["side"].choice_names() == ["left", "right"]
    assert found["color"].choice_names() == ["red", "green"]
    assert found["animal"].holds is found["guest"].holds is found["others"].holds is found["rows"].holds is Animal
    assert found["food"].holds is Food
    assert found["guest"].optional
    assert (found["name"].shortest, found["name"].longest) == (0, 8)
    assert [field.required for field in describe(Cat)] == [True, False]


def test_describe_refuses_a_declaration_that_has_no_form() -> None:
    class Odd(Described, frozen=True, kw_only=True):
        odd: Annotated[dict[str, int], about("odd")]

    with pytest.raises(TypeError, match=r"Odd\.odd: no form for"):
        describe(Odd)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "a whole number from -5 to 2000000"),
        ("size", "a number from 0 to 1.5"),
        ("free", "a number"),
        ("open", "true or false"),
        ("name", "a text of at most 8 characters"),
        ("side", "one of left, right"),
        ("color", "one of red, green"),
        ("animal", "an object with a kind"),
        ("others", "a list of at most 3 items"),
        ("rows", "a list of lists"),
        ("food", "an object"),
        ("limit", "a whole number at least 1"),
    ],
)
def test_limits_in_words(name: str, text: str) -> None:
    assert limits_text({field.name: field for field in describe(Cage)}[name]) == text


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"above": 0.0, "below": 1000.0}, "a number greater than 0 and less than 1000"),
        ({"minimum": 0.0, "below": 1.0}, "a number at least 0 and less than 1"),
        ({"above": 0.0, "maximum": 0.25}, "a number greater than 0 and at most 0.25"),
        ({"maximum": 2**31 - 1}, "a number at most 2147483647"),
        ({"minimum": 1e-12}, "a number at least 1e-12"),
        ({"maximum": 1e300}, "a number at most 1e+300"),
        ({"sort": "text", "shortest": 1}, "a text of at least 1 character"),
        ({"sort": "lists", "shortest": 2, "longest": 4}, "a list of lists of at least 2 items and of at most 4 items"),
    ],
)
def test_open_and_closed_limits_in_words(limits: dict[str, Any], text: str) -> None:
    assert (
        limits_text(Field(**{"name": "x", "sort": "number", "type": float, "label": "x", "help": "", **limits})) == text
    )


# --- Values ---

# (field, refused value, what the message says beside the place)
REFUSED: list[tuple[str, Any, str]] = [
    ("count", -6, "must be a whole number from -5 to 2000000, not -6"),
    ("count", 2_000_001, "not 2000001"),
    ("count", 1.5, "must be a whole number from -5 to 2000000, not 1.5"),
    ("count", "1", 'not "1"'),
    ("count", True, "not true"),
    ("count", None, "not null"),
    ("count", [1], "not [1]"),
    ("count", {}, "not {}"),
    ("count", float("nan"), "not nan"),
    ("count", float("inf"), "not inf"),
    ("count", 10**400, "must be a whole number"),
    ("count", 10**5000, "must be a whole number"),
    ("size", -1e-300, "must be a number from 0 to 1.5, not -1e-300"),
    ("size", 1.5000001, "not 1.5000001"),
    ("size", float("nan"), "must be a number from 0 to 1.5, not nan"),
    ("size", "big", 'not "big"'),
    ("size", False, "not false"),
    ("free", float("nan"), "must be a number, not nan"),
    ("free", float("inf"), "must be a number, not inf"),
    ("free", -float("inf"), "must be a number, not -inf"),
    ("free", 10**400, "must be a number"),
    ("free", 1j, "must be a number, not 1j"),
    ("open", 1, "must be true or false, not 1"),
    ("open", "yes", 'not "yes"'),
    ("open", None, "not null"),
    ("name", 3, "must be a text of at most 8 characters, not 3"),
    ("name", "123456789", 'must be a text of at most 8 characters, not "123456789"'),
    ("name", None, "not null"),
    ("name", "\ud800", "must be a text"),
    ("side", "up", 'must be one of left, right, not "up"'),
    ("side", 3, "must be one of left, right, not 3"),
    ("side", ["left"], "must be one of left, right"),
    ("color", "gren", '"gren" is not a known kind of color (did you mean "green"?); known: red, green'),
    ("color", 3, "3 is not a known kind of color; known: red, green"),
    ("color", ["red"], "is not a known kind of color"),
    ("animal", None, "must be an object"),
    ("animal", 3, "must be an object"),
    ("animal", "cat", "must be an object"),
    ("animal", [], "must be an object"),
    ("guest", 3, "must be an object"),
    ("food", None, "must be an object"),
    ("food", [], "must be an object"),
    ("others", 3, "must be a list of at most 3 items, not 3"),
    ("others", None, "must be a list of at most 3 items, not null"),
    ("others", "cat", 'must be a list of at most 3 items, not "cat"'),
    ("others", {}, "must be a list of at most 3 items, not {}"),
    ("others", [{}] * 4, "must be a list of at most 3 items, not of 4"),
    ("rows", 3, "must be a list of lists, not 3"),
    ("limit", 0, "must be a whole number at least 1, not 0"),
    ("limit", "many", "must be a whole number at least 1"),
]


@pytest.mark.parametrize(("name", "value", "says"), REFUSED, ids=[f"{row[0]}{i}" for i, row in enumerate(REFUSED)])
def test_a_wrong_value_is_refused_in_a_file_and_by_the_constructor(name: str, value: Any, says: str) -> None:
    from_file = line({name: value}, "zoo.cage")
    assert from_file.startswith(f"zoo.cage.{name}: ")
    assert says in from_file
    with pytest.raises(InputError) as caught:
        Cage(**{name: value})
    assert str(caught.value) == from_file.removeprefix("zoo.cage.") or says.startswith("must be an object")
    assert caught.value.place == name


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("count", -5, -5),
        ("count", 2_000_000, 2_000_000),
        ("count", 3.0, 3),
        ("count", np.int64(3), 3),
        ("count", np.float64(3.0), 3),
        ("size", 0, 0.0),
        ("size", 1, 1.0),
        ("size", 1.5, 1.5),
        ("size", np.float32(0.5), 0.5),
        ("size", np.int8(1), 1.0),
        ("size", Fraction(1, 4), 0.25),
        ("size", 5e-324, 5e-324),
        ("free", -1e308, -1e308),
        ("open", True, True),
        ("name", "12345678", "12345678"),
        ("name", "ÄÖÜß日本語😀", "ÄÖÜß日本語😀"),
        ("side", "right", "right"),
        ("color", "red", "red"),
        ("limit", None, None),
        ("limit", 7, 7),
        ("others", [], ()),
        ("rows", [[]], ((),)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_good_values_are_kept_in_one_form(name: str, value: Any, kept: Any) -> None:
    for cage in (Cage(**{name: value}), build(Cage, {name: value})):
        found = getattr(cage, name)
        assert found == kept
        assert type(found) is type(kept)


def test_equal_structs_are_written_alike() -> None:
    pairs = [({"size": 1}, {"size": 1.0}), ({"free": -0.0}, {"free": 0.0}), ({"count": 2.0}, {"count": np.int32(2)})]
    for one, other in pairs:
        assert Cage(**one) == Cage(**other)
        assert hash(Cage(**one)) == hash(Cage(**other))
        assert msgspec.json.encode(Cage(**one)) == msgspec.json.encode(Cage(**other))


def test_the_constructor_takes_lists_and_names_the_wrong_item() -> None:
    cage = Cage(others=[Cat(lives=1)], rows=[[Cat(lives=2)], []])
    assert cage.others == (Cat(lives=1),)
    assert cage.rows == ((Cat(lives=2),), ())
    assert hash(cage) == hash(Cage(others=(Cat(lives=1),), rows=((Cat(lives=2),), ())))
    with pytest.raises(InputError, match=r"^others\.1: must be an object with a kind, not 3$"):
        Cage(others=[Cat(lives=1), 3])
    with pytest.raises(InputError, match=r"^rows\.0\.1: must be an object with a kind, not <object"):
        Cage(rows=[[Cat(lives=1), object()]])
    with pytest.raises(InputError, match=r"^others\.0: must be an object with a kind, not Food"):
        Cage(others=[Food()])


def test_what_is_made_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Cage().count = 3  # type: ignore[misc]


# --- Building ---


def test_build_makes_nested_kinds() -> None:
    cage = build(
        Cage,
        {
            "animal": {"kind": "crowd", "members": [{"kind": "cat", "lives": 3}], "rows": [[], [{"kind": "crowd"}]]},
            "guest": {"kind": "cat", "lives": 1, "color": "green"},
            "food": {"grams": 5},
        },
    )
    assert cage == Cage(
        animal=Crowd(members=(Cat(lives=3),), rows=((), (Crowd(),))),
        guest=Cat(lives=1, color="green"),
        food=Food(grams=5.0),
    )
    assert build(Cage, msgspec.to_builtins(cage)) == cage
    assert build(Cage, cage) == cage
    assert build(Animal, {"kind": "cat", "lives": 2}) == build(Cat, {"lives": 2}) == Cat(lives=2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"cuont": 1}, 'cuont: unknown key "cuont"; did you mean "count"?'),
        (
            {"food": {"kind": "hay"}},
            'food.kind: unknown key "kind"; leave it out, this version knows: grams',
        ),
        ({"food": {"grams": 0}}, "food.grams: must be a number greater than 0 and less than 1000, not 0"),
        ({"food": {"grams": 1000}}, "food.grams: must be a number greater than 0 and less than 1000, not 1000"),
        ({"animal": {}}, 'animal: "kind" is missing; known: cat, crowd'),
        ({"animal": {"kind": None}}, 'animal: "kind" is missing; known: cat, crowd'),
        ({"animal": {"lives": 3}}, 'animal: "kind" is missing; known: cat, crowd'),
        ({"animal": {"kind": "cat"}}, 'animal: "lives" is missing: a whole number from 1 to 9'),
        (
            {"animal": {"kind": "act", "lives": 3}},
            'animal.kind: "act" is not a known kind of animal (did you mean "cat"?); known: cat, crowd',
        ),
        (
            {"animal": {"kind": 3}},
            "animal.kind: 3 is not a known kind of animal; known: cat, crowd",
        ),
        (
            {"animal": {"kind": {"kind": "cat"}}},
            'animal.kind: {"kind":"cat"} is not a known kind of animal; known: cat, crowd',
        ),
        (
            {"animal": {"kind": "cat", "lives": 3, "wings": 2}},
            'animal.wings: unknown key "wings"; leave it out, this version knows: kind, lives, color',
        ),
        (
            {"ghost": {"kind": "poltergeist"}},
            'ghost.kind: "poltergeist" is not a known kind of ghost; this version knows none, leave it out',
        ),
        (
            {"others": [{"kind": "cat", "lives": 3}, {"kind": "cat", "lives": 0}]},
            "others.1.lives: must be a whole number from 1 to 9, not 0",
        ),
        (
            {"rows": [[], [{"kind": "crowd", "members": [{"kind": "cat", "lives": 10}]}]]},
            "rows.1.0.members.0.lives: must be a whole number from 1 to 9, not 10",
        ),
        ({"rows": [[], 3]}, "rows.1: must be a list, not 3"),
        ({"rows": [{"kind": "cat", "lives": 1}]}, 'rows.0: must be a list, not {"kind":"cat","lives":1}'),
        ({"others": [None]}, "others.0: must be an object in braces, not null"),
        ([], "must be an object in braces, not []"),
        ("cage", 'must be an object in braces, not "cage"'),
        (None, "must be an object in braces, not null"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_complaint_names_the_path_and_the_way_out(value: Any, text: str) -> None:
    assert line(value) == text


def test_a_hostile_key_stays_one_short_line() -> None:
    assert len(line({"x\n" * 10**6: 1})) < 400
    assert len(line({"food": {"grams": "y" * 10**6}})) < 200
    assert "3" in line({3: 1})


def test_a_rule_of_the_kind_itself_gets_its_place() -> None:
    class Pair(Described, frozen=True, kw_only=True):
        low: Annotated[int, about("low")] = 0
        high: Annotated[int, about("high")] = 1

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.low > self.high:
                raise InputError("must not be above high; lower it", "low")

    assert line({"low": 3}, "range", Pair) == "range.low: must not be above high; lower it"


# --- JSON Schema ---


def test_the_schema_of_every_sort_of_field() -> None:
    schema = json_schema(Cage)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["description"] == "Has one field of every sort."
    assert schema["additionalProperties"] is False
    assert "required" not in schema
    properties = schema["properties"]
    assert properties["count"] == {
        "title": "count",
        "type": "integer",
        "minimum": -5,
        "maximum": 2_000_000,
        "description": "How many.",
        "default": 1,
    }
    assert properties["size"]["unit"] == "m"
    assert properties["name"] == {"title": "name", "type": "string", "minLength": 0, "maxLength": 8, "default": ""}
    assert properties["side"]["enum"] == ["left", "right"]
    assert properties["color"]["enum"] == ["red", "green"]
    assert properties["animal"]["$ref"] == "#/$defs/Animal"
    assert properties["animal"]["default"] == {"kind": "cat", "lives": 9, "color": "red"}
    assert properties["guest"]["anyOf"] == [{"$ref": "#/$defs/Animal"}, {"type": "null"}]
    assert properties["others"]["items"] == {"$ref": "#/$defs/Animal"}
    assert (properties["others"]["minItems"], properties["others"]["maxItems"]) == (0, 3)
    assert properties["rows"]["items"] == {"type": "array", "items": {"$ref": "#/$defs/Animal"}}
    food = properties["food"]["properties"]["grams"]
    assert (food["exclusiveMinimum"], food["exclusiveMaximum"]) == (0.0, 1000.0)
    # An empty "anyOf" is not allowed; "not anything" is.
    assert schema["$defs"]["Ghost"] == {"not": {}}
    cat, crowd = schema["$defs"]["Animal"]["anyOf"]
    assert cat["properties"]["kind"] == {"const": "cat"}
    assert cat["required"] == ["kind", "lives"]
    assert cat["description"] == "Purrs."
    assert crowd["properties"]["members"]["items"] == {"$ref": "#/$defs/Animal"}
    msgspec.json.encode(schema)
