"""Which features are active in which rows, for maps of features by what they fire together with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations
from analysis.arrays import finite_rows
from analysis.compute.dictionaries.common_rows import active_rows
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError
from analysis.spec import Cost, Progress, param

FEWEST, DENSE, UPPER = 16, 0.9, 0.9


@dataclass(frozen=True)
class ActivityParams:
    features: int = param(160, "Most features, the most active ones.", low=3, high=2048)
    least: int = param(10, "Rows in which a feature must be active.", low=2, high=100_000)
    rank: int = param(10, "Dimensions of the factors.", low=2, high=128)
    draws: int = param(3, "Times the rows of every feature are drawn anew for the null.", low=2, high=50)
    maximum_rows: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=1_000_000)


@dataclass(frozen=True)
class ActiveRows:
    """`on` (n, m) sparse, 1 where active, of the features numbered `shown`; notes."""

    on: object
    shown: np.ndarray
    notes: tuple[str, ...]


def active_features(tap: Activations, params: ActivityParams, rng, progress: Progress) -> ActiveRows:
    """Of the rows and features asked for. Raises NotEnoughData below sixteen finite rows, InputError for fewer than
    three features that are active often enough and not always."""
    from scipy.sparse import csr_array

    seen = Pass()
    on = active_rows([tap], params.maximum_rows, rng, seen, progress, (0.0, 0.3))
    notes = list(seen.notes)
    if on.nnz > DENSE * on.shape[0] * on.shape[1]:
        at = np.sort(rng.permutation(tap.shape[0])[: params.maximum_rows])
        x = np.asarray(tap.take(at), np.float32)
        x = x[finite_rows(x)]
        high = np.quantile(x, UPPER, axis=0) if len(x) else 0.0
        on = csr_array((x > high).astype(np.float32))
        notes.append(f"{tap.name} has hardly any zero: active is the highest tenth of a feature's rows.")
    refuse_few(tap.name, on.shape[0], FEWEST)
    fires = np.bincount(on.indices, minlength=on.shape[1])
    good = np.flatnonzero((fires >= params.least) & (fires < on.shape[0]))
    if len(good) < 3:
        raise InputError(
            f"{len(good)} feature(s) of {tap.name} are active in {params.least} rows and not in all",
            "three or more", "Ask for fewer rows, or record more samples",
        )  # fmt: skip
    shown = np.sort(good[np.argsort(-fires[good], kind="stable")[: params.features]])
    if len(shown) < tap.shape[1]:
        notes.append(f"{len(shown):,} of {tap.shape[1]:,} features: the most active of those in enough rows.")
    if not tap.layout.is_pooled:
        notes.append("Tokens of a sample are counted as independent.")
    return ActiveRows(on[:, shown].tocsr(), shown, tuple(notes))


def map_cost(shapes, params: ActivityParams) -> Cost:
    """Of a map or heat map of them."""
    (n, k), mach = shapes[0], machine()
    some, m = min(n, params.maximum_rows), min(k, params.features)
    _, active = likely_size(k)
    fits = (1 + params.draws) * 150 * (8.0 * m * m * params.rank + 40.0 * m * m)
    held = some * active * 12.0 + min(n, 4096) * active * 30.0 + 8.0 * m * m * 14.0 + 8.0 * some * min(k, 64)
    return Cost(mach.seconds(flops64=fits, moved=60.0 * some * active) + 0.05, held)


def planted_groups(rng) -> ArrayActivations:
    """Features 0 to 3 fire together, 4 to 7 too, and never across; 8 and 9 by themselves."""
    which = rng.integers(0, 2, 600)
    on = (rng.random((600, 10)) < 0.6).astype(float)
    on[:, :4] *= (which == 0)[:, None]
    on[:, 4:8] *= (which == 1)[:, None]
    return ArrayActivations(on, "planted", {})
