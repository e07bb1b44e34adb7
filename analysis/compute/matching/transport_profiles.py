"""Profiles of the units of two layers, of the same inputs or samples: what transport compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.unit_fusion import living
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.rows.tap_names import tap_names
from analysis.spec import Progress, no_progress

FEWEST = 4  # samples


@dataclass(frozen=True)
class Profiles:
    """`values` (units, f) of the units that are not 0, the last `fixed` columns being biases; their `names`; `name` of
    the layer; `notes` on units left out."""

    values: np.ndarray
    names: tuple[str, ...]
    name: str
    fixed: int = 0
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(values: np.ndarray, names, name: str, fixed: int = 0) -> Profiles:
        """Raises NotEnoughData where fewer than two units are not 0."""
        kept = living(values, name)
        out = len(values) - len(kept)
        notes = (f"{name}: {out} unit(s) that are 0 or constant left out.",) if out else ()
        return Profiles(values[kept], tuple(names[i] for i in kept), name, fixed, notes)


def weight_tables(
    taps, rng: np.random.Generator, progress: Progress = no_progress
) -> tuple[Profiles, Profiles, tuple[str, ...]]:
    """Two tables of weights (inputs, units) with the same inputs, those that are not finite left out of both."""
    data = matched_taps(taps, rng, maximum_rows=2**40, minimum=2, progress=progress, span=(0.0, 0.3))
    return _both(taps, [x.T for x in data.values], [n.replace("row(s)", "input(s)") for n in data.notes])


def activation_profiles(
    taps, rng: np.random.Generator, maximum: int, progress: Progress = no_progress, minimum: int = FEWEST
) -> tuple[Profiles, Profiles, tuple[str, ...]]:
    """Centred activations of two taps on the samples that both have, tokens pooled by their mean."""
    data = common_samples(taps, rng, maximum=maximum, minimum=minimum, progress=progress)
    centred = []
    for x in data.values:
        size, x = np.abs(x).max(axis=0), x - x.mean(axis=0)
        x[:, np.abs(x).max(axis=0) <= 1e-12 * size] = 0.0  # what rounding leaves of a constant
        centred.append(x.T)
    return _both(taps, centred, data.notes)


def _both(taps, values, notes) -> tuple[Profiles, Profiles, tuple[str, ...]]:
    names = tap_names([t.name for t in taps])
    a, b = (Profiles.of(v, t.unit_names, n) for v, t, n in zip(values, taps, names, strict=True))
    return a, b, (*notes, *a.notes, *b.notes)
