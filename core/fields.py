"""A field is one setting of one kind, declared once: type, limits, unit, label and help.

The check in the constructor, the JSON Schema, the error text with the path, the form in the window and `--set` on the
command line all follow from that one declaration:

    units: Annotated[int, about(N_("units"), N_("Numbers that the layer puts out."), minimum=1, maximum=4096)]

A family of kinds (all layers, all optimizers) is a base class with a `registry`; a field annotated with that base class
holds any registered kind, written in JSON as {"kind": name, ...}.
"""

from __future__ import annotations

import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from .errors import InputError, join, shown, unknown_key
from .registry import Registry
from .text import _, ngettext

Struct = TypeVar("Struct", bound="Described")


def about(
    label: str,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    unit: str = "",
    choices: Registry[Any] | None = None,
    shown_when: tuple[str, tuple[str, ...]] | None = None,
    scale: Literal["linear", "log"] = "linear",
    live: bool = False,
    restarts: bool = True,
    length: tuple[int, int] | None = None,
    files: tuple[str, ...] = (),
) -> msgspec.Meta:
    """Declare a field. Texts are marked with `N_` by the caller.

    minimum, maximum  closed limits; above, below  open ones
    unit              what the number counts or measures, for forms and axes
    choices           the registry whose names the text may be
    shown_when        (other field, its values): a form shows this field only then
    scale             how a slider should move
    live              may change while training without starting over
    restarts          False for what decides no computation, such as when training ends
    length            least and greatest number of items or characters
    files             the text is the path of a file, usually of such a name ("*.csv"): a form helps to choose one
    """
    extra = {
        "unit": unit,
        "choices": choices,
        "shown_when": shown_when,
        "scale": scale,
        "live": live,
        "files": files,
        "restarts": restarts,
    }
    # msgspec's types allow only some combinations of limits
    limits: dict[str, Any] = {
        "ge": minimum,
        "le": maximum,
        "gt": above,
        "lt": below,
        "min_length": length[0] if length else None,
        "max_length": length[1] if length else None,
    }
    return msgspec.Meta(title=label, description=help or None, extra=extra, **limits)


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that a person can set: immutable, and checked whenever one is made.

    The constructor takes what a file may hold: 1 where a number like 1.0 is meant, a list where a tuple is. It keeps
    one form of them, so that equal settings are written in the same way.
    """

    def __post_init__(self) -> None:
        for field in describe(type(self)):
            given = getattr(self, field.name)
            kept = _check(given, field, field.name)
            if kept is not given:
                msgspec.structs.force_setattr(self, field.name, kept)


class Kind(Described, frozen=True, kw_only=True, tag_field="kind"):
    """Base of a family whose members are told apart by their kind."""

    registry: ClassVar[Registry[Any]]
    label: ClassVar[str] = ""

    # what it computes in one line, in the usual symbols, and where that is from; shown beside its settings
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    @classmethod
    def kind_name(cls) -> str:
        return str(cls.__struct_config__.tag)


class Field(msgspec.Struct, frozen=True):
    """What is known of one field; made by `describe` from its declaration.

    sort     "integer", "number", "boolean", "text", "choice", "family" (one kind), "families" (a list of kinds),
             "lists" (a list of lists of kinds) or "struct"
    holds    the family's base class or the struct, where there is one
    shortest, longest   least and greatest number of characters of a text or items of a list
    """

    name: str
    sort: str
    type: Any
    label: str
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    shortest: int | None = None
    longest: int | None = None
    options: tuple[str, ...] = ()
    choices: Any = None
    holds: Any = None
    optional: bool = False
    required: bool = False
    default: Any = None
    shown_when: Any = None
    scale: str = "linear"
    live: bool = False
    restarts: bool = True
    files: tuple[str, ...] = ()

    def choice_names(self) -> list[str]:
        names: list[str] = self.choices.names() if self.choices is not None else list(self.options)
        return names


def _members(annotation: Any) -> tuple[Any, list[msgspec.Meta], bool]:
    """The bare type, the declarations around it, and whether None is allowed."""
    metas: list[msgspec.Meta] = []
    optional = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *rest = get_args(annotation)
            metas += [m for m in rest if isinstance(m, msgspec.Meta)]
        elif origin in (Union, types.UnionType):
            rest = [a for a in get_args(annotation) if a is not type(None)]
            optional = True
            annotation = rest[0]
        else:
            return annotation, metas, optional


def _is_struct(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, Described)


def describe(struct: type[Any]) -> tuple[Field, ...]:
    """The fields of a struct, in the order of their declaration."""
    if struct not in _described:
        _described[struct] = _describe(struct)
    return _described[struct]


_described: dict[type[Any], tuple[Field, ...]] = {}


def _describe(struct: type[Any]) -> tuple[Field, ...]:
    hints = typing.get_type_hints(struct, include_extras=True)
    found = []
    for info in msgspec.structs.fields(struct):
        annotation = hints[info.name]
        bare, metas, optional = _members(annotation)
        meta = metas[0] if metas else msgspec.Meta()
        extra = meta.extra or {}
        holds: Any = None
        options: tuple[str, ...] = ()
        origin = get_origin(bare)
        if origin is Literal:
            sort, options = "choice", get_args(bare)
        elif extra.get("choices") is not None:
            sort = "choice"
        elif bare is bool:
            sort = "boolean"
        elif bare is int:
            sort = "integer"
        elif bare is float:
            sort = "number"
        elif bare is str:
            sort = "text"
        elif origin is tuple and get_origin(get_args(bare)[0]) is tuple:
            sort, holds = "lists", get_args(get_args(bare)[0])[0]
        elif origin is tuple:
            sort, holds = "families", get_args(bare)[0]
        elif _is_struct(bare) and issubclass(bare, Kind):
            sort, holds = "family", bare
        elif _is_struct(bare):
            sort, holds = "struct", bare
        else:
            raise TypeError(f"{struct.__name__}.{info.name}: no form for {annotation!r}")
        default = info.default
        if default is msgspec.NODEFAULT and info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        required = default is msgspec.NODEFAULT
        found.append(
            Field(
                name=info.name,
                sort=sort,
                type=annotation,
                label=meta.title or info.name.replace("_", " "),
                help=meta.description or "",
                unit=extra.get("unit", ""),
                minimum=meta.ge,
                maximum=meta.le,
                above=meta.gt,
                below=meta.lt,
                shortest=meta.min_length,
                longest=meta.max_length,
                options=options,
                choices=extra.get("choices"),
                holds=holds,
                optional=optional,
                required=required,
                default=None if required else default,
                shown_when=extra.get("shown_when"),
                scale=extra.get("scale", "linear"),
                live=extra.get("live", False),
                restarts=extra.get("restarts", True),
                files=extra.get("files", ()),
            )
        )
    return tuple(found)


def limits_text(field: Field) -> str:
    """What a value must be, in words: "a whole number from 1 to 4096"."""
    if field.sort == "choice":
        return _("one of {names}").format(names=", ".join(field.choice_names()))
    what = {
        "integer": _("a whole number"),
        "number": _("a number"),
        "boolean": _("true or false"),
        "text": _("a text"),
        "family": _("an object with a kind"),
        "families": _("a list"),
        "lists": _("a list of lists"),
        "struct": _("an object"),
    }[field.sort]
    low = field.minimum if field.minimum is not None else field.above
    high = field.maximum if field.maximum is not None else field.below
    if field.minimum is not None and field.maximum is not None:
        return _("{what} from {low} to {high}").format(what=what, low=_number(low), high=_number(high))
    parts = []
    if field.minimum is not None:
        parts.append(_("at least {low}").format(low=_number(low)))
    if field.above is not None:
        parts.append(_("greater than {low}").format(low=_number(low)))
    if field.maximum is not None:
        parts.append(_("at most {high}").format(high=_number(high)))
    if field.below is not None:
        parts.append(_("less than {high}").format(high=_number(high)))
    if field.shortest:
        parts.append(_("of at least {length}").format(length=_length(field.shortest, field)))
    if field.longest is not None:
        parts.append(_("of at most {length}").format(length=_length(field.longest, field)))
    return what + (" " + _(" and ").join(parts) if parts else "")


def _length(count: int, field: Field) -> str:
    if field.sort == "text":
        return ngettext("{count} character", "{count} characters", count).format(count=count)
    return ngettext("{count} item", "{count} items", count).format(count=count)


def _number(limit: float | None) -> str:
    """A limit in full: 2147483647 and not 2.14748e+09."""
    if limit is None:
        return ""
    return str(int(limit)) if abs(limit) < 1e15 and limit == int(limit) else f"{limit:g}"


def _must_be(field: Field, value: Any, place: str) -> InputError:
    return InputError(
        _("must be {limits}, not {value}").format(limits=limits_text(field), value=shown(value)), place or field.name
    )


def _check(value: Any, field: Field, place: str) -> Any:
    """The value in the one form that is kept (1.0 for 1, a tuple for a list), or an InputError."""
    if value is None and field.optional:
        return None
    if field.sort in ("family", "struct"):
        if not isinstance(value, field.holds):
            raise _must_be(field, value, place)
        return value
    if field.sort == "families":
        return _check_items(_counted(value, field, place), field, place)
    if field.sort == "lists":
        parts = _counted(value, field, place)
        return tuple(_check_items(part, field, join(place, str(i))) for i, part in enumerate(parts))
    if field.choices is not None:
        if not isinstance(value, str) or value not in field.choices:
            field.choices.get(value, place)
        return value
    if field.sort in ("integer", "number"):
        return _check_number(value, field, place)
    if field.sort == "boolean":
        fits = isinstance(value, bool)
    elif field.sort == "choice":
        fits = any(value is option or (isinstance(value, str) and value == option) for option in field.options)
    else:
        fits = isinstance(value, str) and _is_whole(value) and _has_length(value, field)
    if not fits:
        raise _must_be(field, value, place)
    return value


def _has_length(value: Sequence[Any], field: Field) -> bool:
    return (field.shortest or 0) <= len(value) and (field.longest is None or len(value) <= field.longest)


def _is_whole(text: str) -> bool:
    # Python's texts can hold half a character (a lone surrogate); files and windows cannot.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_items(value: Any, field: Field, place: str) -> tuple[Any, ...]:
    for i, item in enumerate(_inner(value, place)):
        if not isinstance(item, field.holds):
            raise InputError(_("must be an object with a kind, not {value}").format(value=shown(item)), f"{place}.{i}")
    return value if isinstance(value, tuple) else tuple(value)


def _check_number(value: Any, field: Field, place: str) -> Any:
    """The number as int or float, from any kind of number that Python or NumPy has."""
    try:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise _must_be(field, value, place)
        plain: Any = math.floor(value)
        if field.sort == "number":
            plain = float(value) + 0.0  # turns -0.0 into 0.0: they are equal, so they should look equal
        elif plain != value:
            raise _must_be(field, value, place)
    except OverflowError:  # a whole number too large for a float
        raise _must_be(field, value, place) from None
    if (
        (field.minimum is not None and plain < field.minimum)
        or (field.maximum is not None and plain > field.maximum)
        or (field.above is not None and plain <= field.above)
        or (field.below is not None and plain >= field.below)
    ):
        raise _must_be(field, value, place)
    return plain


def build(struct: type[Struct], value: Any, place: str = "") -> Struct:
    """A struct from plain JSON values, or an InputError that names the path of what is wrong.

    struct  a `Described` class; the base class of a family chooses the kind by the value's "kind"
    value   what a JSON parser returned
    """
    if isinstance(value, Described):
        value = msgspec.to_builtins(value)
    if not isinstance(value, Mapping):
        raise InputError(_("must be an object in braces, not {value}").format(value=shown(value)), place)
    chosen: type[Described] = struct
    given = dict(value)
    if issubclass(struct, Kind):
        tag = given.pop("kind", None)
        if struct.__dict__.get("registry") is not None or "kind" in value:
            if tag is None:
                raise InputError(
                    _('"kind" is missing; known: {known}').format(known=", ".join(struct.registry.names())), place
                )
            chosen = struct.registry.get(tag, join(place, "kind"))
    fields = {field.name: field for field in describe(chosen)}
    for key in given:
        if key not in fields:
            known = (["kind"] if issubclass(chosen, Kind) else []) + list(fields)
            raise unknown_key(str(key), known, join(place, str(key)))
    arguments = {}
    for name, field in fields.items():
        if name in given:
            arguments[name] = _build_field(given[name], field, join(place, name))
        elif field.required:
            raise InputError(
                _('"{name}" is missing: {limits}').format(name=name, limits=limits_text(field)), place or name
            )
    try:
        return typing.cast("Struct", chosen(**arguments))
    except InputError as error:
        raise error.inside(place) from None


def _build_field(value: Any, field: Field, place: str) -> Any:
    if value is None and field.optional:
        return None
    if field.sort in ("family", "struct"):
        return build(field.holds, value, place)
    if field.sort == "families":
        return tuple(build(field.holds, v, f"{place}.{i}") for i, v in enumerate(_counted(value, field, place)))
    if field.sort == "lists":
        return tuple(
            tuple(build(field.holds, v, f"{place}.{i}.{j}") for j, v in enumerate(_inner(part, f"{place}.{i}")))
            for i, part in enumerate(_counted(value, field, place))
        )
    return _check(value, field, place)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _inner(value: Any, place: str) -> Sequence[Any]:
    """The items of one of the lists in a list of lists."""
    if not _is_list(value):
        raise InputError(_("must be a list, not {value}").format(value=shown(value)), place)
    items: Sequence[Any] = value
    return items


def _counted(value: Any, field: Field, place: str) -> Sequence[Any]:
    """The items of the field's own list, as many as it may have."""
    if not _is_list(value):
        raise _must_be(field, value, place)
    items: Sequence[Any] = value
    if not _has_length(items, field):
        raise InputError(
            _("must be {limits}, not of {count}").format(limits=limits_text(field), count=len(items)), place
        )
    return items


def json_schema(struct: type[Described]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a struct and of every kind that its fields may hold."""
    definitions: dict[str, Any] = {}

    def reference(holds: Any) -> dict[str, Any]:
        if issubclass(holds, Kind):
            name = holds.__name__
            if name not in definitions:
                definitions[name] = {}  # stops the recursion of layers that hold layers
                kinds = [structure(kind, tag) for tag, kind in holds.registry.items()]
                definitions[name] = {"anyOf": kinds} if kinds else {"not": {}}
            return {"$ref": f"#/$defs/{name}"}
        return structure(holds)

    def structure(kind: type[Described], tag: str = "") -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required = []
        if tag:
            properties["kind"] = {"const": tag}
            required.append("kind")
        for field in describe(kind):
            properties[field.name] = entry(field)
            if field.required:
                required.append(field.name)
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if kind.__doc__:
            schema["description"] = " ".join(kind.__doc__.strip().split("\n\n")[0].split())
        if required:
            schema["required"] = required
        return schema

    def entry(field: Field) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        if field.sort in ("family", "struct"):
            schema = reference(field.holds)
        elif field.sort == "families":
            schema = {"type": "array", "items": reference(field.holds)}
        elif field.sort == "lists":
            schema = {"type": "array", "items": {"type": "array", "items": reference(field.holds)}}
        elif field.sort == "text":
            schema = {"type": "string"}
        elif field.sort == "choice":
            schema = {"enum": field.choice_names()}
        else:
            schema = {"type": field.sort}
        counted = ("minLength", "maxLength") if field.sort == "text" else ("minItems", "maxItems")
        for key, limit in (
            ("minimum", field.minimum),
            ("maximum", field.maximum),
            ("exclusiveMinimum", field.above),
            ("exclusiveMaximum", field.below),
            (counted[0], field.shortest),
            (counted[1], field.longest),
        ):
            if limit is not None:
                schema[key] = limit
        if field.optional:
            schema = {"anyOf": [schema, {"type": "null"}]}
        schema = {"title": _(field.label), **schema}
        if field.help:
            schema["description"] = _(field.help)
        if field.unit:
            schema["unit"] = _(field.unit)
        if not field.required:
            schema["default"] = msgspec.to_builtins(field.default)
        return schema

    root = structure(struct)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}
