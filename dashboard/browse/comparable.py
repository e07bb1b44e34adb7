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


def as_wide(workspace, reference: str, known: Sequence[str]) -> list[str]:
    """Those of the taps `known` that have as many units as this one."""
    return [r for r in known if _units(workspace, r) == _units(workspace, reference)]


def with_enough(workspace, known: Sequence[str], fewest: int, same_units: bool) -> str | None:
    """The last recorded layer of the first store that has as many of them (of one width), or None."""
    layers: dict[tuple, list[str]] = {}
    for reference in known:
        store, _, tap = reference.partition(":")
        if tap in workspace.store(store).recorded and not tap.startswith("outputs."):
            layers.setdefault((store, _units(workspace, reference) if same_units else 0), []).append(
                reference
            )
    return next((group[-1] for group in layers.values() if len(group) >= fewest), None)


def _units(workspace, reference: str) -> int:
    return workspace.activations(reference).shape[1]


def _counted(a, b) -> int:
    ids = [np.unique(np.asarray(s.samples["id"]).astype(str)) for s in (a, b)]
    return len(np.intersect1d(*ids, assume_unique=True))
