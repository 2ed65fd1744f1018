"""What a list holds, with removing at a cost that does not grow with it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class InOrder(Generic[T]):
    """Different things in the order in which they came, where DeepHyper has a list of them.

    Tens of thousands of evaluations may be under way, and each is removed from such lists.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items: dict[T, None] = dict.fromkeys(items)

    def append(self, item: T) -> None:
        """Adds something that is not there yet."""
        self._items[item] = None

    def remove(self, item: T) -> None:
        """Removes something.

        Raises:
            KeyError: it is not there.
        """
        del self._items[item]

    def clear(self) -> None:
        """Removes everything."""
        self._items.clear()

    def latest(self, count: int) -> list[T]:
        """Returns what was added last."""
        return list(islice(reversed(self._items), count))

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __add__(self, others: Iterable[T]) -> list[T]:
        return [*self._items, *others]
