"""A registry knows all kinds of one family (layers, optimizers, data sets ...), in the order of their registration.

A new kind is a new file in the family's folder with one decorator line.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from .errors import InputError, nearest, shown
from .text import _

Kind = TypeVar("Kind")


class Registry(Generic[Kind]):
    """Kinds of one family by name, in the order in which a person should meet them.

    family   the family in a sentence: "layer", "optimizer"
    """

    def __init__(self, family: str, package: str = ""):
        self.family = family
        self._package = package
        self._kinds: dict[str, Kind] = {}

    def add(self, name: str) -> Callable[[Kind], Kind]:
        """Register the decorated kind under `name`."""

        def register(kind: Kind) -> Kind:
            if name in self._kinds:
                raise ValueError(f"two kinds of {self.family} are called {name!r}")
            self._kinds[name] = kind
            return kind

        return register

    def _load(self) -> None:
        # Importing the family's package registers its files; on first use, because the files import the registry.
        package, self._package = self._package, ""  # empty while it loads: the files ask the registry themselves
        if package:
            try:
                importlib.import_module(package)
            except BaseException:
                self._package = package  # else a second try would find half of the kinds and no word why
                raise

    def names(self) -> list[str]:
        self._load()
        return list(self._kinds)

    def __iter__(self) -> Iterator[Kind]:
        self._load()
        return iter(list(self._kinds.values()))

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def items(self) -> Iterable[tuple[str, Kind]]:
        self._load()
        return list(self._kinds.items())

    def __getitem__(self, name: str) -> Kind:
        return self.get(name)

    def get(self, name: object, place: str = "") -> Kind:
        """The kind called `name`; an InputError that lists the known ones when there is none."""
        self._load()
        if isinstance(name, str) and name in self._kinds:
            return self._kinds[name]
        known = list(self._kinds)
        if not known:
            raise InputError(
                _("{name} is not a known kind of {family}; this version knows none, leave it out").format(
                    name=shown(name), family=_(self.family)
                ),
                place,
            )
        meant = nearest(name, known) if isinstance(name, str) else ""
        hint = _(' (did you mean "{meant}"?)').format(meant=meant) if meant else ""
        raise InputError(
            _("{name} is not a known kind of {family}{hint}; known: {known}").format(
                name=shown(name), family=_(self.family), hint=hint, known=", ".join(known)
            ),
            place,
        )


def discover(package: str, path: Iterable[str], first: Iterable[str] = ()) -> None:
    """Import every module of a package, so that each file registers what it holds. Called from its `__init__.py`.

    first   modules whose kinds a person should meet before the others
    """
    for name in first:
        importlib.import_module(f"{package}.{name}")
    for module in sorted(pkgutil.iter_modules(path), key=lambda m: m.name):
        importlib.import_module(f"{package}.{module.name}")
