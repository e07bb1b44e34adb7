"""Which taps can be compared with a given one: those whose stores have samples in common with its own, by id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dashboard.browse.kept import Kept

FEWEST = 4  # common samples without which no method starts
_counts = Kept(4096)


def common_samples(workspace, one: str, other: str) -> int:
    """How many sample ids two stores (by name) have in common."""
    stores = [workspace.store(name) for name in (one, other)]
    key = tuple(sorted(str(s.manifest["checksum"]) for s in stores))
    return _counts.get(key, lambda: _counted(*stores))


def comparable_stores(workspace, name: str, known: Sequence[str]) -> list[str]:
    """The stores of the taps `known` that have samples in common with this one, itself included, in order."""
    stores = dict.fromkeys(r.partition(":")[0] for r in known)
    return [s for s in stores if s == name or common_samples(workspace, name, s) >= FEWEST]


def comparable(workspace, reference: str, known: Sequence[str]) -> list[str]:
    """The taps among `known` ("store:tap") of such stores."""
    stores = set(comparable_stores(workspace, reference.partition(":")[0], known))
    return [r for r in known if r.partition(":")[0] in stores]


def _counted(a, b) -> int:
    ids = [np.unique(np.asarray(s.samples["id"]).astype(str)) for s in (a, b)]
    return len(np.intersect1d(*ids, assume_unique=True))
