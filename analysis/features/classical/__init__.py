"""Classical dictionaries that can be fitted to a tap, by name: one file each, its equation on top."""

from __future__ import annotations

from analysis.errors import NotFound
from analysis.features.classical import pca
from analysis.features.classical.classical import Classical

CLASSICAL: tuple[Classical, ...] = (pca.CLASSICAL,)


def classical(name: str) -> Classical:
    """Raises NotFound listing what there is."""
    for kind in CLASSICAL:
        if kind.name == name:
            return kind
    raise NotFound(f"no kind of dictionary {name!r}", "one of " + ", ".join(k.name for k in CLASSICAL))
