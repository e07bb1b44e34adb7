"""A few recent values, shared by all sessions: for what is cheap to keep and slow to make again (text columns)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class Kept:
    """The last `limit` values by key. Keys are content digests, so nothing here can be out of date."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, object] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under `key`, made now if it is not here."""
        try:
            value = self._values[key]
            self._values.move_to_end(key)
        except KeyError:  # also when another thread has just dropped it
            value = self._values[key] = make()
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
        return value

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values
