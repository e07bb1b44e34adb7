"""Is it the dictionary or the way it is used? One dictionary, three encoders, at every number of atoms.

Rows are written with k atoms by orthogonal matching pursuit (OMP), by a soft threshold and by locality-constrained
coding (LLC); drawn is what is left, Σ |x - x'|² / Σ |x - mean|², against k. Beside each line stands what the same
encoder leaves with random directions, as many as the dictionary has: an encoder that is good with any dictionary says
nothing of this one. The point at which the set's own encoder works is among the numbers.

When it lies: OMP may take atoms with a negative sign, which a rectified code cannot; the codes of a soft threshold are
too small and get one factor for all rows by least squares; LLC sums to 1 on rows of length 1, so it suits atoms that
lie among the data. An encoder that leaves more may still tell classes better: this says what is rebuilt. Rows of a
sample are dependent, so intervals are over samples.

Cost: O(k_most × rows × atoms × units) for OMP, once for the dictionary and once for every random one.

References: A. Coates & A. Ng (2011), "The importance of encoding versus training with sparse coding and vector
quantization"; J. Wang et al. (2010), "Locality-constrained linear coding"; Y. Pati et al. (1993); "Online unsupervised
feature learning for visual tracking".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, load_matrix
from analysis.compute.dictionaries.coherence import random_directions, unit_rows
from analysis.compute.dictionaries.encoders import (
    codes_on,
    matching_pursuit,
    rebuilt_by_llc,
    soft_threshold,
)
from analysis.compute.machine import machine
from analysis.errors import InputError
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, RESAMPLES = 8, 200
OMP, SOFT, LLC = "matching pursuit (OMP)", "soft threshold", "locality-constrained (LLC)"


@dataclass(frozen=True)
class EncoderComparisonParams:
    most: int = param(
        32, "Most atoms a row is written with; 1, 2, 4, … up to it.", low=1, high=256, label="most atoms"
    )
    draws: int = param(2, "Random dictionaries.", low=1, high=20)
    maximum_rows: int = param(500, "Most rows; a seeded random subset above.", low=50, high=20_000)


def encoder_comparison(
    activations, params: EncoderComparisonParams = EncoderComparisonParams(), rng=None, progress=no_progress
) -> Curve:
    """What three encoders leave of a tap with the same dictionary.

    Parameters
    ----------
    activations : Activations
        A tap that a feature set encoded; of any other tap its units are the dictionary.

    Returns
    -------
    Curve
        Share left against the number of atoms, a line for each encoder, each with its random dictionary.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight rows; rows that do not vary; a set of prototypes or a transcoder, which rebuild nothing.
    """
    return comparison_of(
        tap_dictionary(as_activations(activations)), params, rng or np.random.default_rng(0), progress
    )


def comparison_of(made: TapDictionary, params: EncoderComparisonParams, rng, progress=no_progress) -> Curve:
    """As `encoder_comparison`, of activations and features."""
    data = load_matrix(made.source, maximum_rows=params.maximum_rows, minimum_rows=FEWEST, rng=rng)
    z = made.features.to_explain(data.values)
    total = ((z - z.mean(axis=0)) ** 2).sum(axis=1)
    if not total.sum() > 1e-18 * (z**2).sum():
        raise InputError(f"the {len(z)} rows of {made.source.name} are all the same", "rows that vary")
    directions = made.features.directions
    atoms = unit_rows(directions[(directions != 0).any(axis=1)]).astype(np.float64)
    most = min(params.most, len(atoms), z.shape[1])
    ks = np.unique([*(2**i for i in range(9) if 2**i < most), most])
    progress(0.1, "the dictionary itself")
    left, null = _left(z, atoms, ks), []
    for draw in range(params.draws):
        progress(0.2 + 0.7 * draw / params.draws, "random dictionaries")
        by_chance = _left(z, random_directions(len(atoms), z.shape[1], rng).astype(np.float64), ks)
        null.append({name: v.sum(axis=0) / total.sum() for name, v in by_chance.items()})
    progress(0.9, "intervals")
    owner = made.source.layout.sample_of(data.rows)
    ends = {name: _ends(v, total, owner, rng) for name, v in left.items()}
    series = {name: v.sum(axis=0) / total.sum() for name, v in left.items()}
    chance = {name: np.mean([n[name] for n in null], axis=0) for name in series}
    own = _own(made, z, data.values, total, len(np.unique(owner)))
    progress(1.0, "done")
    notes = [data.note[:1].upper() + data.note[1:] + "."] if data.note else []
    return Curve(
        title=f"What three encoders leave of {made.source.name}", x=ks.astype(np.float64), x_name="atoms of a row",
        y_name="share left", series=series, low={n: e[0] for n, e in ends.items()},
        high={n: e[1] for n, e in ends.items()}, null=chance, log_x=True, reading=_reading(series, chance, ks),
        caveats=(*notes, *made.notes, "Above 1 a line leaves more than the mean row alone would."),
        estimates=(*_estimates(series, ends, chance, ks, len(np.unique(owner)), z.shape[1], params.draws), *own),
    )  # fmt: skip


def _left(z: np.ndarray, atoms: np.ndarray, ks: np.ndarray) -> dict[str, np.ndarray]:
    """(n, ks) energy that each encoder leaves of each row."""
    out = {OMP: matching_pursuit(z, atoms, int(ks[-1]))[1][:, ks]}
    soft = []
    for k in ks:
        y = soft_threshold(z, atoms, int(k)) @ atoms
        factor = (z * y).sum() / max(float((y**2).sum()), 1e-300)
        soft.append(((z - factor * y) ** 2).sum(axis=1))
    out[SOFT] = np.stack(soft, axis=1)
    out[LLC] = np.stack([((z - rebuilt_by_llc(z, atoms, int(k))) ** 2).sum(axis=1) for k in ks], axis=1)
    return out


def _ends(left: np.ndarray, total: np.ndarray, owner: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of Σ left / Σ total over samples, bootstrap."""
    of = np.unique(owner, return_inverse=True)[1].reshape(-1)
    if of.max() == 0:
        of = np.arange(len(owner))
    sums = np.stack([np.bincount(of, v) for v in (*left.T, total)], axis=1)
    picked = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES) @ sums
    low, high = np.percentile(picked[:, :-1] / np.maximum(picked[:, -1:], 1e-300), [2.5, 97.5], axis=0)
    value = left.sum(axis=0) / total.sum()
    return np.minimum(low, value), np.maximum(high, value)


def _own(made, z, values, total, n: int) -> tuple[Estimate, ...]:
    """What the set's own codes leave."""
    if made.of_units:
        return ()
    codes = made.features.encode(values)
    left = ((z - codes.astype(np.float64) @ made.features.directions) ** 2).sum() / total.sum()
    return (Estimate(f"left by its own encoder, {float((codes != 0).sum(axis=1).mean()):.3g} atoms a row", float(left),
                     n=n, d=z.shape[1], estimator=made.features.rule),)  # fmt: skip


def _estimates(series, ends, chance, ks, n: int, d: int, draws: int) -> tuple[Estimate, ...]:
    at = int(np.searchsorted(ks, min(8, ks[-1])))
    at = min(at, len(ks) - 1)
    return tuple(
        Estimate(f"left by {name}, {ks[at]} atom{'s' if ks[at] > 1 else ''}", float(v[at]), float(ends[name][0][at]),
                 float(ends[name][1][at]), interval="bootstrap over samples", null=float(chance[name][at]),
                 null_method=f"as many random directions, {draws} drawn", n=n, d=d)
        for name, v in series.items()
    )  # fmt: skip


def _reading(series, chance, ks) -> str:
    at = min(int(np.searchsorted(ks, min(8, ks[-1]))), len(ks) - 1)
    best = min(series, key=lambda name: series[name][at])
    gain = chance[best][at] - series[best][at]
    said = ", ".join(f"{name} {v[at]:.1%}" for name, v in series.items())
    return (
        f"With {ks[at]} atoms a row: {said} left. The best, {best}, leaves {abs(gain):.1%} "
        f"{'less' if gain > 0 else 'more'} with this dictionary than with random directions."
    )


def _cost(shapes, params: EncoderComparisonParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    n, d = min(rows, params.maximum_rows), k if k <= 1024 else k / 8
    t = min(params.most, k, d)
    each = 2.0 * n * k * d * (t + 8) + 8.0 * n * t * t * d
    held = 8.0 * (n * t * d * 2.2 + 3 * n * k + 4 * n * d + 3 * k * d)
    moved = (1 + params.draws) * 16.0 * n * t * t * d + 8.0 * rows * d
    return Cost(m.seconds(flops64=(1 + params.draws) * each, moved=moved) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """Orthonormal atoms: OMP is the k largest products exactly. Rows of two atoms: nothing is left with two."""
    rng = np.random.default_rng(0)
    z, basis = rng.standard_normal((40, 12)), np.linalg.qr(rng.standard_normal((12, 12)))[0].T
    taken, energy = matching_pursuit(z, basis, 4)
    products = z @ basis.T
    top = np.sort(np.argsort(-np.abs(products), axis=1)[:, :4], axis=1)
    kept = np.where(np.isin(np.arange(12), top[0]), products[0], 0.0)
    gap = np.abs(codes_on(z[:1], basis, taken[:1])[0] - kept).max()
    found = encoder_comparison(ArrayActivations(z, "units"), EncoderComparisonParams(most=12, draws=1))
    atoms = unit_rows(rng.standard_normal((16, 40))).astype(np.float64)
    two = atoms[rng.integers(8, size=60)] + 2 * atoms[8 + rng.integers(8, size=60)]
    return (
        CheckLine("orthonormal: OMP takes the largest products", 0.0,
                  float((np.sort(taken, axis=1) != top).sum()), 0.0),
        CheckLine("orthonormal: and has them as codes", 0.0, float(gap), 1e-12),
        CheckLine("orthonormal: energy left", float((z**2).sum() - (np.sort(products**2, axis=1)[:, -4:]).sum()),
                  float(energy[:, 4].sum()), 1e-9),
        CheckLine("all atoms: nothing left", 0.0, float(found.series[OMP][-1]), 1e-12),
        CheckLine("rows of two atoms: nothing left with two", 0.0,
                  float(matching_pursuit(two, atoms, 2)[1][:, 2].max()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="encoder_comparison", family="dictionaries", title="Three encoders of one dictionary", version=1,
        function=encoder_comparison,
        summary="What matching pursuit, a soft threshold and locality-constrained coding leave, against random atoms.",
        params=EncoderComparisonParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering atoms, their lengths and (OMP, soft threshold) signs; one scale for all rows",
        papers=("Online Unsupervised Feature Learning for Visual Tracking",),
    ),
)  # fmt: skip
