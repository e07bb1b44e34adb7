"""How much does the pooled value of a sample hang on single tokens? Sets are grown token by token, and every token is
left out once.

    stability   √ mean |f(k tokens) - f(all)|² / σ²,     σ² = mean |x_i - mean|² over the tokens of the sample
    influence   |f(all but i) - f(all)|; the largest of a sample as a multiple of its mean

for the mean, the maximum, a generalised mean and an attentive set. Of the mean the first is exactly
√((T - k) / (k (T - 1))) for k of T tokens at random, whatever the tokens are. Others that lie above hang on few tokens
(the maximum), below on many.

Interval: Student's t over samples; jackknife for the curve. Null: of stability that of the mean in closed form; of
influence every channel shuffled over the tokens of its sample, so that no token is large in many channels.

When it lies: a token of little influence may matter to the answer, which reads directions and not lengths; with equal
neighbours leaving one out changes nothing although both matter; generalised means are of shifted tokens, whose start is
that of the smallest token of all; untrained scores are not those that a network would learn.

Cost: O(n T² d) for the influences.

Reference: B. Yang, S. Wang, A. Markham & N. Trigoni (2020), "Robust attentional aggregation of deep feature sets for
multi-view 3D reconstruction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval, sample_groups
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.attentive_sets import attentive, standard_scores, without_each
from analysis.tokens.pooling.generalised_mean import SHIFT, generalised_mean, made_positive
from analysis.tokens.pooling.token_sets import RUN, TokenSets, token_sets

SHARES = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
MEAN, MOST, GEM, SETS = "mean", "maximum", "generalised mean", "attentive set"
POOLS, HALF, EPSILON, ROUNDING = (MEAN, MOST, GEM, SETS), 2, 1e-3, 1e-24


@dataclass(frozen=True)
class PoolingInfluenceParams:
    power: float = param(3.0, "p of the generalised mean.", low=0.0, high=200.0)
    sharpness: float = param(
        1.0, "β of the attentive set: scores in standard deviations.", low=0.0, high=50.0
    )
    draws: int = param(8, "Random sets of each size.", low=2, high=200)
    maximum_samples: int = param(40, "Most samples; a seeded random subset above.", low=3, high=2000)


def pooling_influence(
    activations, params: PoolingInfluenceParams = PoolingInfluenceParams(), rng=None, progress=no_progress
) -> Curve:
    """Pooled values of growing sets.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens; of a tap of one row a sample, runs of 16 neighbours stand for the tokens of a sample.

    Returns
    -------
    Curve
        Distance from the whole over the share of tokens, for each pooling. Estimates: the largest influence of one
        token as a multiple of the mean, and the distance with half of the tokens.

    Raises
    ------
    NotEnoughData
        Fewer than three samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, params.maximum_samples, rng, progress, minimum=3)
    shuffled = _shuffled(sets, rng)
    square, sizes = np.empty((len(POOLS), len(SHARES), sets.n)), _sizes(sets.present)
    influence, chance, seed = {}, {}, int(rng.integers(2**62))
    for j, name in enumerate(POOLS):
        progress(0.3 + 0.65 * j / len(POOLS), f"leaving tokens out: {name}")
        square[j] = _grown(name, sets.x, sets.present, sizes, params, np.random.default_rng(seed))
        influence[name] = _largest(name, sets.x, sets.present, params)
        progress(0.3 + 0.65 * (j + 0.7) / len(POOLS), f"channels shuffled: {name}")
        chance[name] = _largest(name, shuffled, sets.present, params)
    progress(1.0, "done")
    total = sets.present.sum(axis=1)
    exact = np.sqrt(((total - sizes) / (sizes * np.maximum(total - 1, 1))).mean(axis=1))
    return _curve(tap.name, square, exact, influence, chance, sets, tap.shape[1])


def _made(name: str, x: np.ndarray, present: np.ndarray, params):
    """What is pooled, (n, T, d) or two of them side by side, and how: (…, present) -> (n, d)."""
    if name == GEM:
        return made_positive(x, present, SHIFT, EPSILON)[0], lambda v, here: generalised_mean(
            v, params.power, here
        )
    if name == SETS:
        both = np.concatenate([x, standard_scores(x, present, params.sharpness)], axis=2)
        d = x.shape[2]
        return both, lambda v, here: attentive(v[..., :d], v[..., d:], here)
    if name == MOST:
        return x, lambda v, here: np.where(here[..., None], v, -np.inf).max(axis=1)
    return x, lambda v, here: (v * here[..., None]).sum(axis=1) / here.sum(axis=1)[:, None]


def _shuffled(sets: TokenSets, rng) -> np.ndarray:
    out = sets.x.copy()
    for i, here in enumerate(sets.present):
        out[i, here] = rng.permuted(sets.x[i, here], axis=0)
    return out


def _sizes(present: np.ndarray) -> np.ndarray:
    """(shares, n) tokens of each sample that are kept, at least one."""
    return np.maximum(np.ceil(SHARES[:, None] * present.sum(axis=1) - 1e-9), 1).astype(int)


def _grown(name, x, present, sizes, params, rng) -> np.ndarray:
    """(shares, n) mean squared distance from the whole in units of σ²."""
    values, pool = _made(name, x, present, params)
    mean = x.sum(axis=1) / present.sum(axis=1)[:, None]
    spread = (np.square(x - mean[:, None]).sum(axis=2) * present).sum(axis=1) / present.sum(axis=1)
    varies = spread > ROUNDING * (np.square(x).sum(axis=2).sum(axis=1) / present.sum(axis=1))
    whole, out = pool(values, present), np.zeros(sizes.shape)
    for _ in range(params.draws):
        rank = np.where(present, rng.random(present.shape), 2.0).argsort(axis=1).argsort(axis=1)
        for k, size in enumerate(sizes):
            away = np.square(pool(values, rank < size[:, None]) - whole).sum(axis=1)
            out[k] += np.where(varies, away / np.where(varies, spread, 1.0), 0.0) / params.draws
    return out


def _largest(name, x, present, params) -> np.ndarray:
    """(n,) largest influence of a token as a multiple of the mean one; 1 where none has any."""
    values, pool = _made(name, x, present, params)
    found = without_each(values, present, pool)
    mean, moves = np.nanmean(found, axis=1), np.sqrt(np.square(values).sum(axis=2).max(axis=1))
    some = mean > np.sqrt(ROUNDING) * moves
    return np.where(some, np.nanmax(found, axis=1) / np.where(some, mean, 1.0), 1.0)


def _curve(name, square, exact, influence, chance, sets: TokenSets, d: int) -> Curve:
    value = dict(zip(POOLS, np.sqrt(square.mean(axis=2)), strict=True))
    half = {k: _half(s) for k, s in zip(POOLS, square, strict=True)}
    reading = (
        f"With half of the tokens the mean moves by {value[MEAN][HALF]:.2g} of the spread inside a sample, the maximum "
        f"by {value[MOST][HALF]:.2g}. One token moves the maximum {influence[MOST].mean():.2g} times as far as tokens "
        f"do on average, the mean {influence[MEAN].mean():.2g} times."
    )
    n = sets.n
    lines = [
        Estimate(f"largest influence of one token, {k}", float(v.mean()), **mean_interval(v, 1.0),
                 null=float(chance[k].mean()), null_method="channels shuffled over the tokens of a sample", n=n, d=d,
                 estimator="as a multiple of the mean influence, mean over samples", unit="×")
        for k, v in influence.items()
    ] + [
        Estimate(f"distance with half of the tokens, {k}", float(value[k][HALF]),
                 float(max(value[k][HALF] - half[k][HALF], 0)), float(value[k][HALF] + half[k][HALF]),
                 interval="jackknife over samples", null=float(exact[HALF]), n=n, d=d,
                 null_method="the mean of tokens at random, exactly", estimator="root mean square, in spreads")
        for k in POOLS
    ]  # fmt: skip
    return Curve(
        title=f"How pooled values of {name} hang on single tokens", reading=reading, estimates=tuple(lines),
        caveats=(*sets.notes, "Scores of the attentive set are not trained.",
                 "Generalised means are of channels shifted by their smallest value.", *_rounded(sets)),
        x=SHARES, x_name="share of tokens kept", y_name="distance from all tokens (spreads)", series=value,
        low={k: np.maximum(v - half[k], 0) for k, v in value.items()},
        high={k: v + half[k] for k, v in value.items()}, null={MEAN: exact},
    )  # fmt: skip


def _rounded(sets: TokenSets) -> tuple[str, ...]:
    few = sets.present.sum(axis=1).min()
    if few >= 20:
        return ()
    return (f"Some samples have {few} tokens: shares are rounded up to whole ones, as in the null.",)


def _half(square: np.ndarray) -> np.ndarray:
    """(shares,) half-width of the root of the mean of (shares, n)."""
    groups, total = sample_groups(square.shape[1], np.random.default_rng(0)), square.sum(axis=1)
    n = square.shape[1]
    half = jackknife_half(
        np.array([np.sqrt(np.maximum(total - square[:, g].sum(axis=1), 0) / (n - len(g))) for g in groups])
    )
    return np.zeros(len(total)) if half is None else half


def _cost(shapes, params: PoolingInfluenceParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN * 16)
    longest = max(RUN, rows / params.maximum_samples)
    held = 8.0 * rows * d * 7.0
    steps = len(POOLS) * (2 * longest + params.draws * len(SHARES))
    return Cost(0.02 + m.seconds(moved=held * steps / 2, calls=40.0 * steps), held)


def _check() -> tuple[CheckLine, ...]:
    """The mean of k of T tokens lies as far off as sampling without return says; one outlier among tokens moves the
    mean most; tokens that are all alike move nothing; with all tokens the distance is 0."""
    rng = np.random.default_rng(0)

    def found(x, **more):
        tap = ArrayActivations(x.reshape(-1, x.shape[2]), layout=Layout(np.arange(len(x) + 1) * x.shape[1]))
        return pooling_influence(tap, PoolingInfluenceParams(**more))

    x = rng.standard_normal((40, 20, 3))
    plain = found(x, draws=40)
    outlier = x.copy()
    outlier[:, 3] += 100
    far = found(outlier).estimates[0]
    alike = found(np.repeat(x[:, :1], 6, axis=1))
    return (
        CheckLine("half of 20: mean", np.sqrt(10 / (10 * 19)), float(plain.series[MEAN][HALF]), 0.01),
        CheckLine("half of 20: null", np.sqrt(10 / (10 * 19)), plain.estimates[4].null, 1e-12),
        CheckLine("one outlier in all channels, channels shuffled", 8.0, far.null, 0.0, "at most"),
        CheckLine("all tokens: maximum", 0.0, float(plain.series[MOST][-1]), 0.0),
        CheckLine("one outlier of 20: times the mean influence", 10.0, far.value, 0.3),
        CheckLine("tokens all alike: nothing moves", 0.0, float(max(v.max() for v in alike.series.values())), 1e-6),
    )  # fmt: skip


METHODS = (
    Method(
        id="pooling_influence", family="tokens", title="How pooling hangs on single tokens", version=1,
        function=pooling_influence, summary="Sets are grown token by token, and every token is left out once.",
        params=PoolingInfluenceParams, result=Curve, check=_check, cost=_cost, minimum_rows=3 * RUN,
        invariance="the order of tokens and of samples; one positive scale for all units; a constant added to a unit",
        papers=("Robust Attentional Aggregation of Deep Feature Sets for Multi-view 3D Reconstruction",),
    ),
)  # fmt: skip
