"""A mapping of text to text that can be part of a frozen value. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class FrozenMapping(Mapping[str, str]):
    """Text to text, sorted by key; can be compared, hashed and copied, not changed."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | None = None) -> None:
        self._items = dict(sorted((items or {}).items()))

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


NOTHING = FrozenMapping()
