"""Ids that are only row numbers match any two stores, also such as have nothing to do with each other: what to say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError

SAYING = ("label", "text")  # columns that are of the sample, whatever the network


def row_number_notes(taps: Sequence[Activations], positions: np.ndarray | None = None) -> list[str]:
    """What to beware of where taps of several stores were matched by row numbers; `positions` (taps, n) of the matched
    samples (None: all, in order). Columns that both of two stores have and that tell of the sample are compared.

    Raises InputError where such a column differs at half as many samples or more as it would for samples that have
    nothing to do with each other.
    """
    first_of = {}
    for k, tap in enumerate(taps):
        own = np.asarray(tap.samples["id"]).astype(str)
        if ":" in tap.name and np.array_equal(own, np.arange(len(own)).astype(str)):
            first_of.setdefault(tap.name.partition(":")[0], k)
    if len(first_of) < 2:
        return []
    first, *others = first_of.values()
    notes, agreed = [], False
    for other in others:
        for name in SAYING:
            if name not in taps[first].samples or name not in taps[other].samples:
                continue
            one, two = (_matched(taps, k, name, positions) for k in (first, other))
            differ, by_chance = int((one != two).sum()), _by_chance(one, two)
            agreed |= differ == 0 and by_chance > 0
            if differ:
                stores = " and ".join(taps[k].name.partition(":")[0] for k in (first, other))
                said = f"'{name}' differs for {differ:,} of {len(one):,} samples of {stores}"
                if differ >= by_chance / 2:
                    raise InputError(
                        f"{said}, which are matched by row number",
                        "the same samples in the same order, or ids by which to match them",
                        "Record or import both from the same data",
                    )
                notes.append(f"{said} that were matched by row number: are they the same samples?")
    if not notes and not agreed:
        notes.append(
            f"The ids of {', '.join(first_of)} are row numbers: samples are matched by their place, which is right "
            "only if all were recorded from the same data in the same order."
        )
    return notes


def _by_chance(one: np.ndarray, two: np.ndarray) -> float:
    """At how many samples two columns differ on average when one of them is put in another order."""
    kinds, codes = np.unique(np.concatenate([one, two]), return_inverse=True)
    a, b = (np.bincount(c, minlength=len(kinds)) for c in np.split(codes.ravel(), 2))
    return len(one) - float(a @ b) / len(one)


def _matched(taps, k: int, name: str, positions: np.ndarray | None) -> np.ndarray:
    column = np.asarray(taps[k].samples[name]).astype(str)
    return column if positions is None else column[positions[k]]
