"""A thing as a key by which one it is, where looking at all of it would cost more than what is remembered under it."""

from __future__ import annotations

from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Same(Generic[Thing]):
    """Equal only to a key of the very same object, which it keeps alive. For caches over plans with all their cards."""

    def __init__(self, thing: Thing):
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing
