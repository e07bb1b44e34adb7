"""Names of taps as a figure writes them: as short as they can be while telling the taps apart."""

from __future__ import annotations

from collections.abc import Sequence


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
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return tuple(out)
