"""The family of one feature as an indented list: those above it, itself, and those that hang on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Table
from dashboard.browse.unit import Unit

MOST = 60  # lines of a family
NEAR = 12  # children of one feature in the short form


@dataclass(frozen=True)
class Kin:
    """One line: how deep, which feature of which tap, how often it is active, and how much of it lies in its parent."""

    depth: int
    tap: str
    number: int
    name: str
    rate: float
    inside: float
    by_chance: float
    own: bool
    more: int = 0  # children that are not listed


def dictionaries_of(unit: Unit) -> list[str]:
    """This tap and those that sets of other sizes made of the same activations, small ones first."""
    store, name = unit.store, unit.reference.partition(":")[0]
    of = store.entry(unit.tap)["of"]
    own = unit.activations.shape[1]
    taps = [t for t in store.taps if t not in store.recorded and store.entry(t)["of"] == of]
    taps = [t for t in taps if t == unit.tap or store.activations(t).shape[1] != own]  # not its other seeds
    return [f"{name}:{t}" for t in sorted(taps, key=lambda t: (store.activations(t).shape[1], t))]


def family(found: Table, unit: Unit, *, whole: bool) -> list[Kin]:
    """Its line of parents, itself and its children; or all of its family, at most 60 lines."""
    c = found.columns
    (at,) = np.flatnonzero((c["tap"] == unit.activations.name) & (c["number"] == unit.number))
    place = {str(name): i for i, name in enumerate(c["feature"])}
    under: dict[int, list[int]] = {}
    for i, parent in enumerate(c["parent"]):
        if parent:
            under.setdefault(place[str(parent)], []).append(i)
    line = [int(at)]
    while c["parent"][line[0]]:
        line.insert(0, place[str(c["parent"][line[0]])])
    if whole:
        return _below(c, line[0], 0, under, int(at))[:MOST]
    kept = [_kin(c, i, depth, i == at) for depth, i in enumerate(line)]
    children = sorted(under.get(int(at), []), key=lambda i: -c["rate"][i])
    below = [_kin(c, i, len(line), False, len(under.get(i, []))) for i in children[:NEAR]]
    return [*kept, *below]


def _below(c: dict, i: int, depth: int, under: dict[int, list[int]], own: int) -> list[Kin]:
    """A feature and all that hangs on it, denser ones first."""
    out, waiting = [], [(i, depth)]
    while waiting and len(out) < MOST:
        j, deep = waiting.pop()
        out.append(_kin(c, j, deep, j == own))
        waiting += [(k, deep + 1) for k in sorted(under.get(j, []), key=lambda k: c["rate"][k])]
    return out


def _kin(c: dict, i: int, depth: int, own: bool, more: int = 0) -> Kin:
    return Kin(depth, str(c["tap"][i]), int(c["number"][i]), str(c["feature"][i]), float(c["rate"][i]),
               float(c["inside"][i]), float(c["by chance"][i]), own, more)  # fmt: skip
