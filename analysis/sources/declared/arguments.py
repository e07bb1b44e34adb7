"""What a layer's argument may be: each rule gives the value as torch takes it, or raises ValueError in words."""

from __future__ import annotations

from collections.abc import Callable

MOST = 1 << 20  # of a size: more is a slip of the pen

Rule = Callable[[object], object]


def whole(low: int = 1, high: int = MOST) -> Rule:
    def read(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high:,}")
        return value

    return read


def each(axes: int, low: int = 1, high: int = MOST, words: tuple[str, ...] = ()) -> Rule:
    """One whole number, or one for each axis; or one of `words`."""
    one = whole(low, high)

    def read(value):
        if isinstance(value, str) and value in words:
            return value
        try:
            if isinstance(value, list) and len(value) == axes:
                return tuple(one(v) for v in value)
            return one(value)
        except ValueError as error:
            several = f", or a list of {axes} of them" if axes > 1 else ""
            named = f", or {' or '.join(words)}" if words else ""
            raise ValueError(f"{error}{several}{named}") from None

    return read


def several(most: int) -> Rule:
    """One whole number, or a list of at most so many."""
    one = whole()

    def read(value):
        if isinstance(value, list) and 1 <= len(value) <= most:
            return [one(v) for v in value]
        return one(value)

    return read


def number(low: float = -1e6, high: float = 1e6) -> Rule:
    def read(value):
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not low <= value <= high:  # not so of NaN
            raise ValueError(f"a number from {low:g} to {high:g}")
        return value

    return read


def flag(value):
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def last_axis(value):
    """0 would be the items themselves."""
    if value not in (1, -1) or isinstance(value, bool):
        raise ValueError("1 or -1")
    return value


def one_of(*words: str) -> Rule:
    def read(value):
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return value

    return read
