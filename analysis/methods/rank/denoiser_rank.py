"""How many directions can a denoiser move a sample in? The rank of its derivative against the level of noise.

    rank(γ) = mean over samples of #{i : σ_i > ε σ_1},    σ the singular values of J = ∂D / ∂x at x = x_0 + γ noise

A denoiser that has found a low-dimensional piece keeps, at moderate noise, as many directions as the piece has: the
rank falls to d_k and stays there. At high noise it only knows the pieces' average, which is wider; at low noise, one
piece has all the weight. γ is given over the root mean square of the data.

Which denoiser: the *best possible* one of a mixture of subspaces fitted to the tap's samples (in closed form,
`compute.linear.mixture_denoiser`, K components of d dimensions each as 'Is it a union of flat pieces?' fits them); or,
`stored`, that of Jacobians which the taps hold, one tap for each level of noise, least first, a row for each output.

Null: the best denoiser of one Gaussian with the same covariance, whose rank says nothing of pieces; of stored
Jacobians, Gaussian matrices of their shape. Intervals: over samples, Student's t.

When it lies: the fitted denoiser is that of a model, right only if samples do lie on such pieces; K is given and not
found; a trained network smooths what the best denoiser would separate; the count hangs on ε; directions beyond the
principal axes used are not seen; few samples for each dimension fit pieces that are not there.

Cost: fits of O(n q K d), and one eigenproblem O(q³) for each sample and level, q axes; memory O(n d + q² samples).

References: P. Wang et al. (2024), "Diffusion models learn low-dimensional distributions via subspace clustering".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.linear.local_spectra import gaussian_jacobians, stored_jacobians
from analysis.compute.linear.mixture_denoiser import Mixture
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.denoiser_ranks import (
    FEWEST,
    LEVELS,
    SAMPLES,
    SEARCH,
    STARTS,
    DenoiserRanks,
    best_denoiser_ranks,
)
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS, SHOWN = 5, 4
RANK = "rank of the denoiser"


@dataclass(frozen=True)
class DenoiserRankParams:
    components: int = param(3, "Number of subspaces K of the fitted mixture.", low=1, high=20)
    dimension: int | None = param(
        None, "Dimensions of each; automatic is at the steepest fall.", low=1, high=50
    )
    epsilon: float = param(0.1, "Singular values count above this share of the largest.", low=1e-6, high=0.99)
    axes: int = param(30, "Principal axes used.", label="principal axes", low=3, high=200)
    stored: bool = param(
        False,
        "The taps hold Jacobians, one tap for each level of noise, least first.",
        label="taps are Jacobians",
    )
    maximum_rows: int = param(2000, "Most points; a seeded random subset above.", low=FEWEST, high=50_000)


def denoiser_rank(
    *taps, params: DenoiserRankParams = DenoiserRankParams(), rng=None, progress=no_progress
) -> Curve:
    """Rank of a denoiser's derivative over the level of noise.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        Data, each with a denoiser of its own; or with `stored` Jacobians, a tap for each level.

    Returns
    -------
    Curve
        x: noise over the root mean square of the data (stored: number of the tap); the mean rank with band and null.
        Estimates: the rank at the least noise, at its lowest, at the most; weight of the likeliest piece.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        All Jacobians 0; fewer than 40 points, or than 2 K (d + 1); over 8 GiB.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if params.stored:
        return _of_stored(taps, params, rng, progress)
    names, found = tap_names([t.name for t in taps]), []
    for i, tap in enumerate(taps):
        found.append(best_denoiser_ranks(tap, params, rng, progress, (i / len(taps), (i + 1) / len(taps))))
    progress(1.0, "done")
    lines = [_band(name, one.ranks, one.q) for name, one in zip(names, found, strict=True)]
    estimates = [
        e for name, one in list(zip(names, found, strict=True))[:SHOWN] for e in _estimates(name, one, params)
    ]
    notes = dict.fromkeys(
        f"{name}: {note}" for name, one in zip(names, found, strict=True) for note in one.notes
    )
    return Curve(
        title="Directions of the best denoiser of " + (names[0] if len(taps) == 1 else f"{len(taps)} taps"),
        reading=_reading(names, found, params), caveats=(*notes, *_caveats(names, found, params)),
        estimates=tuple(estimates), x=LEVELS, log_x=True, x_name="noise, over the root mean square of the data",
        y_name=f"singular values above {params.epsilon:g} of the largest",
        **{key: {k: v for line in lines for k, v in line[key].items()} for key in ("series", "low", "high")},
        null={name: one.null for name, one in zip(names, found, strict=True)},
    )  # fmt: skip


def _band(name: str, ranks: np.ndarray, most: int) -> dict:
    ends = [mean_interval(row, 0.0, float(most)) for row in ranks]
    mean = ranks.mean(axis=1)
    sides = {
        side: {name: np.array([e.get(side, m) for e, m in zip(ends, mean, strict=True)])}
        for side in ("low", "high")
    }
    return {"series": {name: mean}, **sides}


def _of_stored(taps, params, rng, progress) -> Curve:
    layers = [
        stored_jacobians(t, 1000, rng, progress, (i / len(taps), (i + 1) / len(taps)))
        for i, t in enumerate(taps)
    ]
    if not all(layer.values.any() for layer in layers):
        raise InputError("all Jacobians of a tap are 0", "a denoiser that depends on its input")
    least = min(len(layer.values) for layer in layers)
    ranks = np.array([layer.counts([params.epsilon])[:least, 0] for layer in layers]).astype(np.float64)
    null = np.array([gaussian_jacobians(one, DRAWS, rng).counts([params.epsilon]).mean() for one in layers])
    most = max(layer.values.shape[1] for layer in layers)
    found = tuple(_rank(f"rank at level {i + 1}", ranks[i], null[i], f"Gaussian matrices of this shape, {DRAWS} draws",
                        one.outputs) for i, one in enumerate(layers[:12]))  # fmt: skip
    low = int(ranks.mean(axis=1).argmin())
    progress(1.0, "done")
    return Curve(
        title=f"Directions of a denoiser at {len(taps)} level(s) of noise", estimates=found,
        reading=f"The denoiser answers to the fewest directions, {ranks[low].mean():.1f}, at level {low + 1} of "
        f"{len(taps)}; Gaussian matrices of its shape would have {null[low]:.1f}.",
        caveats=tuple(dict.fromkeys([*(n for one in layers for n in one.notes), "The count hangs on ε."])),
        x=np.arange(1.0, len(taps) + 1), x_name="level of noise (number of the tap)",
        y_name=f"singular values above {params.epsilon:g} of the largest", null={RANK: null},
        **_band(RANK, ranks, most),
    )  # fmt: skip


def _rank(name: str, ranks: np.ndarray, null: float, how: str, d: int) -> Estimate:
    return Estimate(
        name, float(ranks.mean()), **mean_interval(ranks, 0.0, float(d)), null=float(null), null_method=how,
        n=len(ranks), d=d, estimator="mean count of singular values", unit="directions",
    )  # fmt: skip


def _estimates(name: str, found: DenoiserRanks, params) -> list[Estimate]:
    how = "the best denoiser of one Gaussian with the same covariance"
    low = int(found.ranks.mean(axis=1).argmin())
    rows = [("the least noise", 0), (f"noise {LEVELS[low]:.2g}, its lowest", low), ("the most noise", -1)]
    sure = found.clear[low]
    return [
        *(_rank(f"rank at {said}, {name}", found.ranks[i], found.null[i], how, found.q) for said, i in rows),
        Estimate(f"weight of the likeliest piece at noise {LEVELS[low]:.2g}, {name}", float(sure.mean()),
                 **mean_interval(sure, 0.0, 1.0), null=1 / params.components, n=len(sure), d=found.q,
                 null_method="all pieces equally likely", estimator="posterior weight"),
    ]  # fmt: skip


def _reading(names, found: list[DenoiserRanks], params) -> str:
    said = []
    for name, one in list(zip(names, found, strict=True))[:3]:
        ranks = one.ranks.mean(axis=1)
        low = int(ranks.argmin())
        said.append(
            f"{name} (pieces of {one.d} dimension(s)): {ranks[0]:.1f} with next to no noise ({one.null[0]:.0f}), at "
            f"the least {ranks[low]:.1f} at noise {LEVELS[low]:.2g} ({one.null[low]:.0f})."
        )
    return (
        f"Directions that the best denoiser keeps, with {params.components} flat piece(s) fitted (in brackets: one "
        f"Gaussian of the same covariance). {' '.join(said)}"
    )


def _caveats(names, found: list[DenoiserRanks], params) -> list[str]:
    notes = [
        f"This is the best denoiser of {params.components} subspaces fitted to samples, not a network's: Jacobians of "
        "a network can be given as taps ('stored').",
        "The count hangs on ε: compare whole curves.",
    ]
    for name, one in zip(names, found, strict=True):
        if one.n < 5 * params.components * one.d:
            notes.append(
                f"{name}: {one.n} points for {params.components} pieces of {one.d} dimensions are too few."
            )
    return notes


def _cost(shapes, params: DenoiserRankParams) -> Cost:
    m, seconds, held = machine(), 0.05, 0.0
    for rows, d in shapes:
        n, q, k = min(rows, params.maximum_rows), min(params.axes, d), params.components
        fits = STARTS + SEARCH * (0 if params.dimension else 8)
        seconds += fits * 15 * (m.seconds(flops64=4.0 * n * q * (q + 4 * k) + 20.0 * k * q**3) + k * 1e-4)
        seconds += m.seconds(flops64=8.0 * n * d * min(n, d) + len(LEVELS) * SAMPLES * 20.0 * q**3)
        held = max(held, 8.0 * n * (4.0 * d + 3.0 * q) + 8.0 * 5 * SAMPLES * q * q)
    return Cost(seconds, held)


def _check() -> tuple[CheckLine, ...]:
    """Of two planes in eight coordinates: the derivative is that of the posterior mean, its rank 2 where one piece is
    clear; found from samples too. Stored Jacobians of rank 3."""
    rng = np.random.default_rng(2)
    bases = [np.linalg.qr(rng.standard_normal((8, 2)))[0] for _ in range(2)]
    mixture = Mixture(np.array([0.5, 0.5]), bases, [np.ones(2)] * 2)
    x = np.vstack([rng.standard_normal((100, 2)) @ b.T for b in bases])
    at, step = x[:1] + 0.3 * rng.standard_normal(8), 1e-5
    moved = [
        (mixture.denoised(at + step * e, 0.3) - mixture.denoised(at - step * e, 0.3))[0] / (2 * step)
        for e in np.eye(8)
    ]
    off = np.abs(mixture.jacobians(at, 0.3)[0] - np.array(moved).T).max()
    found = denoiser_rank(x, params=DenoiserRankParams(components=2))
    matrices = rng.standard_normal((10, 6, 3)) @ rng.standard_normal((10, 3, 7))
    stored = denoiser_rank(
        ArrayActivations(matrices.reshape(60, 7), layout=Layout(np.arange(11) * 6)),
        params=DenoiserRankParams(stored=True, epsilon=1e-6),
    )
    return (
        CheckLine("the derivative by differences", 0.0, float(off), 1e-8),
        CheckLine("rank where one piece is clear", 2.0, float(found.estimates[0].value), 0.1),
        CheckLine("one Gaussian would keep", 4.0, float(found.estimates[0].null), 0.0),
        CheckLine("stored Jacobians of rank 3", 3.0, float(stored.estimates[0].value), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="denoiser_rank", family="rank", title="Rank of a denoiser over noise", version=3, function=denoiser_rank,
        summary="How many directions a denoiser keeps at each level of noise, beside one Gaussian's.",
        params=DenoiserRankParams, result=Curve, check=_check, cost=_cost, more_inputs=True, minimum_rows=FEWEST,
        matches="rows", invariance="rotating, shifting or scaling all activations together",
        papers=("Diffusion Models Learn Low-Dimensional Distributions via Subspace Clustering",),
    ),
)  # fmt: skip
