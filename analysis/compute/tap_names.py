"""Names of taps as a figure writes them: as short as they can be while telling the taps apart."""

from __future__ import annotations

from collections.abc import Sequence


def tap_names(names: Sequence[str]) -> tuple[str, ...]:
    """Tap names, without the store where all share it; numbered where they repeat."""
    stores = {name.partition(":")[0] for name in names if ":" in name}
    names = list(names)
    if len(stores) == 1 and all(":" in name for name in names):
        names = [name.partition(":")[2] for name in names]
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return tuple(out)
