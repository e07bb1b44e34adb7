"""Names of taps as a figure writes them: as short as they can be while telling the taps apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count


def tap_names(names: Sequence[str]) -> tuple[str, ...]:
    """Tap names, without the store where all share it, or the tap where three or more share it; numbered where they
    repeat."""
    names = list(names)
    stores, taps = ({name.partition(":")[k] for name in names} for k in (0, 2))
    if all(":" in name for name in names):
        if len(stores) == 1:
            names = [name.partition(":")[2] for name in names]
        elif len(taps) == 1 and len(names) > 2:
            names = [name.partition(":")[0] for name in names]
    out: list[str] = []
    for name in names:
        numbered = (f"{name} ({k})" for k in count(1))
        free = (other for other in numbered if other not in names and other not in out)
        out.append(name if names.count(name) == 1 else next(free))
    return tuple(out)


def checkpoint_names(names: Sequence[str]) -> tuple[str, ...]:
    """The same of the checkpoints of a series: the store alone, also of two, where the tap is the same in each."""
    parts = [name.partition(":") for name in names]
    stores = {store for store, _, _ in parts}
    if (
        len(stores) == len(parts)
        and all(sep for _, sep, _ in parts)
        and len({tap for _, _, tap in parts}) == 1
    ):
        return tuple(store for store, _, _ in parts)
    return tap_names(names)
