"""What the coordinates of a tap are called: units where it was recorded, features where a set encoded it."""

from __future__ import annotations


def word_of(store, tap: str) -> str:
    """ "unit" or "feature"."""
    return "unit" if tap in store.recorded else "feature"
