"""How linear a sequence of representations is, and how many directions it keeps alive: the health of a Koopman space.

    z_{t+1} = K z_t + b,    relative error(h) = Σ |x_{t+h} - prediction|² / Σ |x_{t+h} - mean|²

(`compute.linear.koopman`). The tokens of a sample are time (of a tap without tokens, its rows). K is fitted on one half
of the sequences and followed on the other, h steps ahead, beside persistence: the prediction that nothing changes.
Eigenvalues of K inside the unit circle decay, on it persist; the condition number of its eigenvectors says how far they
can be trusted. The other side of health is diversity, by the covariance's eigenvalues λ: (Σλ)²/Σλ² <= exp S(λ) <=
entropy rank of √λ <= d, with S the von Neumann entropy of C / tr C.

Null: the rows of each sequence in random order (error, eigenvalues), independent Gaussian units (diversity). Intervals:
bootstrap and jackknife over sequences, tenths of the sequence where there is but one.

When it lies: many axes and few steps give a map that only remembers; slow sequences are predicted by persistence as
well, so only what is below its curve is dynamics; a text's tokens are no orbit of one system; a large condition number
(1 for a normal K) means transient growth that eigenvalues do not show; principal axes leave weak modes out.

Cost: O(m d²) for each of two halves, ten groups and three draws; memory O(m d).

References: X. Cheng et al. (2025), "Information shapes Koopman representation"; P. J. Schmid (2010), "Dynamic mode
decomposition of numerical and experimental data".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.linear.koopman import (
    KoopmanParams,
    Sequences,
    prediction_sums,
    sequences_of,
    step_map,
)
from analysis.compute.linear.spectra import ranks
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import gaussian_eigenvalues
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LINEAR, STILL = "linear map", "persistence"
DRAWS = 3


@dataclass(frozen=True)
class KoopmanHealthParams(KoopmanParams):
    horizon: int = param(10, "How many steps ahead, at most.", low=1, high=50)


def koopman_health(
    activations, params: KoopmanHealthParams = KoopmanHealthParams(), rng=None, progress=no_progress
) -> Curve:
    """Prediction error over the horizon, with the eigenvalues and the diversity of the space.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Rows of a sample are consecutive times; of a tap without tokens all rows are.

    Returns
    -------
    Curve
        Relative error of the linear map and of persistence. Estimates: both at one step, spectral radius, condition
        number, and the three ranks.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than twenty steps; equal rows; over 4 GiB.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = sequences_of(activations, params.maximum_rows, rng, progress)
    horizons = min(params.horizon, min(data.only(data.fold == f).longest() for f in (0, 1)))
    sums, null = prediction_sums(data, params.share, horizons), []
    for i in range(DRAWS):
        progress(0.3 + 0.1 * i, "shuffling time")
        mixed = data.shuffled(rng)
        found = prediction_sums(mixed, params.share, horizons)
        null.append((found[0].sum(axis=1) / found[2].sum(axis=1), _radius(mixed, params)))
    series, low, high = {}, {}, {}
    for i, name in enumerate((LINEAR, STILL)):
        series[name] = sums[i].sum(axis=1) / sums[2].sum(axis=1)
        ends = [ratio_interval(a, b, rng, draws=500) for a, b in zip(sums[i], sums[2], strict=True)]
        low[name], high[name] = (np.array([e[side] for e in ends]) for side in (0, 1))
    chance = np.mean([errors for errors, _ in null], axis=0)
    estimates = _estimates(data, series, low, high, null, params, rng, progress)
    progress(1.0, "done")
    return Curve(
        title=f"Koopman health of {activations.name}", reading=_reading(estimates, series),
        caveats=(*data.notes, *_caveats(data, horizons, params)), estimates=estimates, x=np.arange(1, horizons + 1),
        x_name="steps ahead", y_name="share of the variance left unexplained", series=series, low=low,
        high=high, null={LINEAR: chance},
    )  # fmt: skip


def _radius(data: Sequences, params) -> float:
    return float(np.abs(step_map(data, params.share).eigenvalues()).max())


def _health(data: Sequences, params) -> np.ndarray:
    """ln of spectral radius, condition number, and the three ranks."""
    model = step_map(data, params.share)
    values = np.linalg.eigvalsh(np.cov(data.x.T).reshape(data.x.shape[1], -1))
    radius = float(np.abs(model.eigenvalues()).max())
    return np.log(np.maximum([radius, model.condition(), *ranks(values).values()], 1e-300))


def _estimates(data, series, low, high, null, params, rng, progress) -> tuple[Estimate, ...]:
    m, d = data.x.shape
    made, out = {"n": data.groups, "d": d}, []
    mixed = {"null_method": f"rows of each sequence in random order, {DRAWS} draws"}
    for name in (LINEAR, STILL):
        more = {**mixed, "null": float(np.mean([e[0] for e, _ in null]))} if name == LINEAR else {}
        out.append(Estimate(
            f"error of the {name}, one step" if name == LINEAR else "error of persistence, one step",
            float(series[name][0]), float(low[name][0]), float(high[name][0]), interval="bootstrap over sequences",
            estimator="other half of the sequences", **made, **more,
        ))  # fmt: skip
    progress(0.7, "leaving sequences out")
    value, without = _health(data, params), []
    for left in sample_groups(data.groups, rng):
        without.append(_health(data.only(~np.isin(data.group, left)), params))
    half = np.minimum(jackknife_half(np.array(without)), 300.0)
    drawn = gaussian_eigenvalues(data.x.var(axis=0, ddof=1), m, rng, 5)
    chance = np.mean([list(ranks(row).values()) for row in drawn], axis=0)
    ranked = {"null_method": "independent Gaussian units of the same variances and independent rows, 5 draws"}
    names = ("spectral radius of K", "condition number of K's eigenvectors", *ranks(np.ones(2)))
    nulls = [{**mixed, "null": float(np.mean([r for _, r in null]))}, {"null": 1.0, "null_method": "a normal K"},
             *({**ranked, "null": float(c)} for c in chance)]  # fmt: skip
    ends = ((0.0, np.inf), (1.0, np.inf), *[(1.0, float(d))] * 3)
    for name, v, h, more, (least, most) in zip(names, value, half, nulls, ends, strict=True):
        low_end, high_end = max(float(np.exp(v - h)), least), min(float(np.exp(v + h)), most)
        out.append(Estimate(
            name, float(np.exp(v)), low_end, high_end, estimator="plug-in",
            interval="jackknife over groups of sequences, of the logarithm", **made, **more,
        ))  # fmt: skip
    return tuple(out)


def _reading(estimates, series) -> str:
    linear, still, radius, condition, _, entropy, _ = estimates
    better = int((series[LINEAR] < series[STILL]).sum())
    return (
        f"One step ahead the linear map leaves {linear.value:.1%} of the variance ({linear.null:.1%} for shuffled "
        f"time), persistence {still.value:.1%}; the map is the better one at {better} of {len(series[LINEAR])} "
        f"horizons. Its largest eigenvalue has magnitude {radius.value:.3f}, its eigenvectors the condition number "
        f"{condition.value:.3g}. The space keeps exp S = {entropy.value:.1f} of {entropy.d} directions alive "
        f"({entropy.null:.1f} for unrelated units)."
    )


def _caveats(data: Sequences, horizons: int, params) -> list[str]:
    axes = len(step_map(data, params.share).basis)
    notes = [f"The map lives on {axes} of {data.x.shape[1]} principal axes."]
    if horizons < params.horizon:
        notes.append(f"Sequences allow {horizons} of the {params.horizon} steps asked for.")
    notes.append("What persistence predicts as well is slowness and not dynamics.")
    return notes


def _cost(shapes, params: KoopmanHealthParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    side, fits = min(n, d), 2 * (1 + DRAWS) + 12 + DRAWS
    flops = fits * (8.0 * n * d * side + 60.0 * side**3) + 6.0 * n * d * side * params.horizon * (1 + DRAWS)
    return Cost(m.seconds(flops64=flops, moved=n * d * 8.0 * (100 + 12 * params.horizon)) + 0.02,
                8.0 * (7.0 * n * d + 6 * d * d))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Noise-free linear data: K's spectrum to the digits, no error at any horizon. A rotation: all on the unit circle.
    White noise: no map is better than the mean, and persistence is twice as bad."""
    rng = np.random.default_rng(26)
    angles, decay = np.array([0.3, 1.1]), np.array([0.99, 0.9])
    k = np.zeros((5, 5))
    for i, (a, r) in enumerate(zip(angles, decay, strict=True)):
        k[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = r * np.array(
            [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
        )
    k[4, 4] = 0.7
    basis = rng.standard_normal((5, 5))
    step = basis @ k @ np.linalg.inv(basis)
    exact = KoopmanHealthParams(share=1.0)

    def orbits(matrix, count=30, length=12):
        x = [rng.standard_normal((count, len(matrix)))]
        for _ in range(length - 1):
            x.append(x[-1] @ matrix.T)
        layout = Layout(np.arange(count + 1) * length)
        return ArrayActivations(np.stack(x, axis=1).reshape(count * length, -1) + 5.0, layout=layout)

    tap = orbits(step)
    found = koopman_health(tap, exact)
    model = step_map(sequences_of(tap, 10_000, rng), 1.0)
    planted = np.sort(np.abs(np.linalg.eigvals(k)))[::-1]
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    still = step_map(sequences_of(orbits(turn), 10_000, rng), 1.0).eigenvalues()
    noise = koopman_health(rng.standard_normal((2000, 3)), exact)
    pr, entropy, sigma = (e.value for e in found.estimates[4:7])
    off = np.abs(np.abs(model.eigenvalues()) - planted).max()
    return (
        CheckLine("largest error of K's eigenvalues", 0.0, float(off), 1e-8),
        CheckLine("largest error ahead, linear data", 0.0, float(found.series[LINEAR].max()), 1e-10),
        CheckLine("rotation: distance from the circle", 0.0, float(np.abs(np.abs(still) - 1).max()), 1e-9),
        CheckLine("rotation: condition number", 1.0, step_map(sequences_of(orbits(turn), 10_000, rng), 1.0).condition(),
                  0.5),
        CheckLine("white noise: error of the map", 1.0, float(noise.series[LINEAR][0]), 0.05),
        CheckLine("white noise: error of persistence", 2.0, float(noise.series[STILL][0]), 0.15),
        CheckLine("ratio rank, exp S, rank of √λ rise", 1.0, float(pr <= entropy <= sigma <= 5), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="koopman_health", family="rank", title="Koopman health of sequences", version=1, function=koopman_health,
        summary="How far ahead a linear map follows a sequence, and how many directions the space keeps alive.",
        params=KoopmanHealthParams, result=Curve, check=_check, cost=_cost, minimum_rows=21,
        invariance="rotating, shifting or scaling the activations",
        papers=("Information Shapes Koopman Representation",),
    ),
)  # fmt: skip
