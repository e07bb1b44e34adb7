"""Non-negative matrix factorisation: features that only add.

    X ≈ C D,   C >= 0,  D >= 0;   codes of a row: argmin over c >= 0 of |x - c D|²      (rows of D of length 1)

Fitted by hierarchical alternating least squares (Cichocki & Phan 2009) from several seeded starts, the best of which
counts; the codes of any row are then exact. It needs values of 0 and above, as after a ReLU. Values below can be kept
by splitting the signs: the positive and the negative part of every unit are units of their own for the fit; a feature's
direction is its positive part less its negative one, and codes are solved for that direction and the row as it is.
The factorisation is in general not the only one (see "Uniqueness of non-negative features"), other starts may find
others, and a feature can stand for a constant that all rows have.
Time O(n d k) for each of at most 400 sweeps and start; the rows are held in memory.

Reference: D. Lee & H. S. Seung (1999), "Learning the parts of objects by non-negative matrix factorization".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.features.nonnegative import nonnegative_codes
from analysis.spec import param

REFUSE, SPLIT = "refuse", "split signs"
SWEEPS, SETTLED = 400, 1e-6  # at most; share of the error that a sweep must save to go on
MIXED = 5  # rows whose mean an atom starts from


@dataclass(frozen=True)
class NMFParams:
    components: int = param(32, "How many features", low=1, high=4096)
    negative: str = param(REFUSE, "What to do with values below 0", choices=(REFUSE, SPLIT))
    starts: int = param(2, "Seeded starts, the best of which counts", low=1, high=20)
    maximum_rows: int = param(
        20_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 21
    )


def make(rows: FitRows, params: NMFParams, rng, progress) -> Fitted:
    """Raises InputError for values below 0 that are not split, and for rows that are 0."""
    _, x, said = rows.loaded(params.maximum_rows, progress, (0.0, 0.1))
    refuse_more_than(params.components, len(x), "rows", rows.name)
    split = (x < 0).any()
    if split:
        _refuse_negative(rows.name, x, params)
        x = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)
        said += ("Values below 0 were split off: features have units of either sign.",)
    if not x.any():
        raise InputError(f"every value of {rows.name} is 0", "rows that differ")
    found = []
    for start in range(params.starts):

        def tick(share: float, start: int = start) -> None:
            progress(0.1 + 0.8 * (start + share) / params.starts, f"start {start + 1} of {params.starts}")

        found.append(factorised(x, params.components, rng, tick=tick))
    _, atoms, settled = min(found, key=lambda f: f[0])
    if not settled:
        said += (f"Not settled after {SWEEPS} sweeps: another run may look somewhat different.",)
    if split:
        d = rows.units
        atoms, x = atoms[:, :d] - atoms[:, d:], x[:, :d] - x[:, d:]
    return _sorted(x, atoms, [f[0] for f in found], said)


def _sorted(x: np.ndarray, atoms: np.ndarray, errors: list[float], said: tuple[str, ...]) -> Fitted:
    """Features by falling sum of squared codes, those that are 0 left out."""
    lengths = np.sqrt((atoms**2).sum(axis=1))
    atoms = atoms[lengths > 0] / lengths[lengths > 0, None]
    codes = nonnegative_codes(x, atoms)
    energy = (codes**2).sum(axis=0)
    order = np.argsort(-energy, kind="stable")
    order = order[energy[order] > 0]
    if len(order) < len(lengths):
        said += (f"{len(lengths) - len(order)} feature(s) were never active and were left out.",)
    total = float((x**2).sum())
    return Fitted(
        atoms[order], np.zeros(x.shape[1]), rules.NONNEGATIVE, caveats=said,
        components={"share of the codes": energy[order] / energy.sum(), "active": (codes[:, order] > 0).mean(axis=0)},
        facts={"error_of_starts": [error / total for error in errors]},
    )  # fmt: skip


def _refuse_negative(name: str, x: np.ndarray, params: NMFParams) -> None:
    if params.negative == REFUSE:
        raise InputError(
            f"{(x < 0).mean():.0%} of the values of {name} are below 0, the least is {x.min():.4g}",
            "values of 0 and above, as after a ReLU",
            "Set 'negative' to 'split signs', or fit a convex dictionary, whose codes alone are not negative",
        )


def factorised(
    x: np.ndarray,
    k: int,
    rng: np.random.Generator,
    sweeps: int = SWEEPS,
    settles: float = SETTLED,
    tick: Callable[[float], None] = lambda share: None,
) -> tuple[float, np.ndarray, bool]:
    """Sum of squares left over, atoms (k, d) of length 1 and whether it settled, from one start for `x` (n, d) >= 0."""
    picked = x[rng.integers(len(x), size=(k, MIXED))].mean(axis=1)
    atoms = _unit(picked + 1e-3 * x.mean() * rng.random(picked.shape))
    codes = nonnegative_codes(x, atoms)
    total, before, settled = float((x**2).sum()), np.inf, False
    for number in range(sweeps):
        tick(number / sweeps)
        _sweep(codes, x @ atoms.T, atoms @ atoms.T)
        _sweep(atoms.T, x.T @ codes, codes.T @ codes)
        lengths = np.sqrt((atoms**2).sum(axis=1))
        on = lengths > 0
        atoms[on] /= lengths[on, None]
        codes[:, on] *= lengths[on]
        error = (
            total
            - float((2 * (x @ atoms.T) * codes).sum())
            + float(((codes.T @ codes) * (atoms @ atoms.T)).sum())
        )
        if before - error < settles * max(error, SETTLED * total):
            settled = True
            break
        before = error
    return max(error, 0.0), atoms, settled


def _sweep(codes: np.ndarray, products: np.ndarray, gram: np.ndarray) -> None:
    """One exact step for each column of `codes` (n, k) in turn, in place."""
    for j in range(len(gram)):
        if gram[j, j] > 0:
            codes[:, j] = np.maximum(codes[:, j] + (products[:, j] - codes @ gram[:, j]) / gram[j, j], 0)


def _unit(atoms: np.ndarray) -> np.ndarray:
    return atoms / np.maximum(np.sqrt((atoms**2).sum(axis=1, keepdims=True)), np.finfo(float).tiny)


CLASSICAL = Classical(
    "nmf", "NMF", "Features that only add, for activations of 0 and above", NMFParams,
    ("D. Lee & H. S. Seung (1999), Learning the parts of objects by non-negative matrix factorization",
     "A. Cichocki & A.-H. Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor "
     "factorizations"), make,
)  # fmt: skip
