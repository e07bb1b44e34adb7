"""Ids that are only row numbers match any two stores, also such as have nothing to do with each other: what to say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations

SAYING = ("label", "text", "file")  # columns that are of the sample, whatever the network


def row_number_notes(taps: Sequence[Activations], positions: np.ndarray | None = None) -> list[str]:
    """What to beware of where taps of several stores were matched by row numbers; `positions` (taps, n) of the matched
    samples (None: all, in order). Columns that both of two stores have and that tell of the sample are compared."""
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
            if name in taps[first].samples and name in taps[other].samples:
                one, two = (_matched(taps, k, name, positions) for k in (first, other))
                differ = int((one != two).sum())
                agreed |= differ == 0
                if differ:
                    stores = " and ".join(taps[k].name.partition(":")[0] for k in (first, other))
                    notes.append(
                        f"'{name}' differs for {differ:,} of {len(one):,} samples of {stores} that were matched by row "
                        "number: they are not the same samples."
                    )
    if not notes and not agreed:
        notes.append(
            f"The ids of {', '.join(first_of)} are row numbers: samples are matched by their place, which is right "
            "only if all were recorded from the same data in the same order."
        )
    return notes


def _matched(taps, k: int, name: str, positions: np.ndarray | None) -> np.ndarray:
    column = np.asarray(taps[k].samples[name]).astype(str)
    return column if positions is None else column[positions[k]]
