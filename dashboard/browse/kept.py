"""A few recent values, shared by all sessions: for what is cheap to keep and slow to make again (text columns)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class OneByOne:
    """For what many ask for at once and one should make: the others wait, and find it. Whoever asks again while making
    does not wait for itself."""

    def __init__(self) -> None:
        self._lock, self._busy = threading.Lock(), {}

    @contextmanager
    def turn(self, key: Hashable) -> Iterator[None]:
        """Alone with `key` among all threads."""
        with self._lock:
            own, waiting = self._busy.get(key, (threading.RLock(), 0))
            self._busy[key] = (own, waiting + 1)
        try:
            with own:
                yield
        finally:
            with self._lock:
                own, waiting = self._busy[key]
                if waiting == 1:
                    del self._busy[key]
                else:
                    self._busy[key] = (own, waiting - 1)


class Kept:
    """The last `limit` values by key. Keys are content digests, so nothing here can be out of date. Of several threads
    that miss the same value one makes it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, object] = OrderedDict()
        self._making = OneByOne()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under `key`, made now if it is not here."""
        try:
            return self._found(key)
        except KeyError:
            pass
        with self._making.turn(key):
            try:  # another thread has made it meanwhile
                return self._found(key)
            except KeyError:
                value = self._values[key] = make()
                while len(self._values) > self._limit:
                    self._values.popitem(last=False)
                return value

    def _found(self, key: Hashable) -> object:
        value = self._values[key]
        self._values.move_to_end(key)  # KeyError also when another thread has just dropped it
        return value

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values
