"""Semi-NMF: codes that only add, of directions with either sign.

    X ≈ C D,   C >= 0,   D free;   codes of a row: argmin over c >= 0 of |x - centre - c D|²     (rows of D of length 1)

Ding, Li & Jordan 2010. A relaxed k-means: with one code of 1 in a row D would be its means; here a row is some of
several. D is least squares given C, and C exact non-negative least squares given D, so that the error never rises; the
first C is k-means, one-hot plus a fifth. Against NMF activations may have either sign, against PCA a feature cannot be
subtracted, and against the convex dictionary a direction need not be a mixture of rows. **Never unique**: nothing
bounds D, so that any directions whose cone holds the one found fit as well; k-means at the start and stopping early
choose narrow ones. About the mean, a feature and its opposite are two. O(n d k) for each of at most 200 rounds and
start; the rows are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.clusters.kmeans import kmeans
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.features.nonnegative import nonnegative_codes
from analysis.spec import param

MEAN, ORIGIN = "mean", "origin"
ROUNDS, SETTLED = 200, 1e-6  # share of the squares
FIRST = 0.2  # added to one-hot codes: what is 0 in all rows could not be told apart


@dataclass(frozen=True)
class SemiNMFParams:
    components: int = param(16, "How many features", low=1, high=1024)
    centre: str = param(MEAN, "What activations are taken about", choices=(MEAN, ORIGIN))
    starts: int = param(2, "Seeded starts, the best of which counts", low=1, high=20)
    maximum_rows: int = param(
        10_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 20
    )


def make(rows: FitRows, params: SemiNMFParams, rng, progress) -> Fitted:
    """Raises InputError for rows that do not vary."""
    _, x, said = rows.loaded(params.maximum_rows, progress, (0.0, 0.1))
    refuse_more_than(params.components, len(x), "rows", rows.name)
    centre = x.mean(axis=0) if params.centre == MEAN else np.zeros(rows.units)
    x -= centre
    if not x.any():
        raise InputError(f"the rows of {rows.name} do not vary", "rows that differ")
    found = []
    for start in range(params.starts):

        def tick(share: float, start: int = start) -> None:
            progress(0.1 + 0.8 * (start + share) / params.starts, f"start {start + 1} of {params.starts}")

        found.append(semi_factorised(x, params.components, rng, tick))
    _, atoms, settled = min(found, key=lambda f: f[0])
    if not settled:
        said += (f"Not settled after {ROUNDS} rounds: another run may look somewhat different.",)
    codes = nonnegative_codes(x, atoms)
    energy = (codes**2).sum(axis=0)
    order = np.argsort(-energy, kind="stable")
    order = order[energy[order] > 0]
    if len(order) < params.components:
        said += (f"{params.components - len(order)} feature(s) were never active and were left out.",)
    said += ("Directions further apart from each other would fit as well: compare another seed.",)
    total = float((x**2).sum())
    return Fitted(
        atoms[order], centre, rules.NONNEGATIVE, caveats=said,
        components={"share of the codes": energy[order] / energy.sum(), "active": (codes[:, order] > 0).mean(axis=0)},
        facts={"error_of_starts": [f[0] / total for f in found]},
    )  # fmt: skip


def semi_factorised(
    x: np.ndarray, k: int, rng: np.random.Generator, tick=lambda share: None
) -> tuple[float, np.ndarray, bool]:
    """Squares left over, atoms (k, d) of length 1, and whether it settled, from one start for `x` (n, d)."""
    codes = np.eye(k)[kmeans(x, k, rng, 1).codes] + FIRST * rng.random((len(x), k))
    total, before, error = float((x**2).sum()), np.inf, np.inf
    atoms = np.zeros((k, x.shape[1]))
    for number in range(ROUNDS):
        tick(number / ROUNDS)
        atoms = np.linalg.lstsq(codes, x, rcond=None)[0]
        lengths = np.sqrt((atoms**2).sum(axis=1))
        atoms = atoms / np.where(lengths > 0, lengths, 1)[:, None]
        codes = nonnegative_codes(x, atoms)
        error = float(((x - codes @ atoms) ** 2).sum())
        if before - error < SETTLED * total:
            return error, atoms, True
        before = error
    return error, atoms, False


CLASSICAL = Classical(
    "semi_nmf", "Semi-NMF", "Codes that only add, of directions with either sign", SemiNMFParams, (), make,
)  # fmt: skip
