"""Which tokens carry the pooled value of a sample? The share of every token in the generalised mean of every channel,
or in an attentive set, averaged over channels.

    w_ic = x_ic^p / Σ_j x_jc^p        or        w_ic = exp(s_ic) / Σ_j exp(s_jc)

with s the channel in standard deviations times β: what AttSets learns a matrix for. Both are a softmax over tokens (of
p log x, of s). p = 0 gives every token 1 / T, p = ∞ all to the largest. Tokens that count in effect: exp of the entropy
of their shares.

Interval: Student's t over samples. Null: every channel shuffled over the tokens of its sample, so that channels have
the weights that they had, and agree on no token.

When it lies: a share is of the pooled value, not of the answer; with signed tokens the shift decides what "large" is,
and a token of the smallest value may matter most; averages over channels hide channels that disagree; untrained scores
are not those that a network would learn.

Cost: O(n T d) time and memory.

References: B. Ko et al. (2022), "Group generalized mean pooling for vision transformer"; B. Yang, S. Wang, A. Markham &
N. Trigoni (2020), "Robust attentional aggregation of deep feature sets for multi-view 3D reconstruction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, TokenMap
from analysis.sources.stored_pictures import BELOW, pictures_below
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.attentive_sets import set_weights, standard_scores
from analysis.tokens.pooling.effective import effective
from analysis.tokens.pooling.generalised_mean import CLAMP, WAYS, made_positive, token_weights
from analysis.tokens.pooling.token_sets import RUN, token_sets

GEM, SETS, LARGEST = "generalised mean", "attentive set", "maximum"
POOLS, SHOWN, TEXTS = (GEM, SETS, LARGEST), 12, 4


@dataclass(frozen=True)
class PooledWeightsParams:
    pooling: str = param(GEM, "What tokens are pooled by.", choices=POOLS)
    power: float = param(3.0, "p of the generalised mean, or β of the attentive set.", low=0.0, high=200.0)
    positive: str = param(CLAMP, "How signed tokens become positive.", choices=WAYS)
    epsilon: float = param(1e-3, "ε, in root mean squares of the tokens.", low=1e-9, high=1.0)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=5000)


def pooled_weights(
    activations, params: PooledWeightsParams = PooledWeightsParams(), rng=None, progress=no_progress
) -> TokenMap:
    """The share of every token in what is pooled.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens; of a tap of one row a sample, runs of 16 neighbours stand for the tokens of a sample.

    Returns
    -------
    TokenMap
        (samples, tokens) shares that add up to 1, of the first twelve samples or four texts; NaN for tokens that are no
        part. Estimates: tokens that count in effect as a share of all, and the largest share.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, params.maximum_samples, rng, progress)
    progress(0.4, "weighing")
    weight, clamped = _weights(sets, params)
    share = weight.mean(axis=2)
    progress(0.7, "shuffling channels")
    null = _shuffled(weight, sets.present, rng)
    progress(1.0, "done")
    estimates = _estimates(share, null, sets.present, tap.shape[1])
    words = _words(tap, sets)
    shown = len(words) or SHOWN
    values = np.where(sets.present, share, np.nan)[:shown]
    lead = sets.leading if sets.grid else 0
    pictures = None if sets.gathered else pictures_below(tap, sets.samples[:shown], sets.grid)
    values = np.pad(values, ((0, 0), (lead, 0)), constant_values=np.nan)
    caveats = [
        *sets.notes,
        "Untrained scores." if params.pooling == SETS else "Shares are of the pooled value alone.",
    ]
    if pictures is not None:
        caveats.append(BELOW)
    if sets.n > shown:
        caveats.append(f"The first {shown} of {sets.n:,} samples are drawn; numbers are of all.")
    if params.pooling == GEM and params.positive == CLAMP:
        caveats.append(f"{clamped:.0%} of the numbers lay below ε and were clamped.")
    return TokenMap(
        title=f"Tokens that carry the {_named(params)} of {tap.name}", reading=_reading(estimates, sets.present),
        caveats=tuple(caveats), estimates=estimates, samples=sets.samples[:shown], values=values,
        value_name="share of the pooled value", grid=sets.grid, leading=lead,
        names=tuple(f"set {i}" for i in sets.samples[:shown]) if sets.gathered else (), pictures=pictures,
        words=words,
    )  # fmt: skip


def _words(tap, sets) -> tuple[tuple[str, ...], ...]:
    """The texts of the first few samples, where every token of theirs has one."""
    store = getattr(tap, "store", None)
    if store is None or sets.gathered or sets.grid:
        return ()
    found = [tuple(store.tokens(int(s)) or ()) for s in sets.samples[:TEXTS]]
    whole = all(len(w) == n for w, n in zip(found, sets.present.sum(axis=1), strict=False))
    return tuple(found) if whole else ()


def _named(params: PooledWeightsParams) -> str:
    return params.pooling if params.pooling == LARGEST else f"{params.pooling} ({params.power:g})"


def _weights(sets, params: PooledWeightsParams) -> tuple[np.ndarray, float]:
    if params.pooling == SETS:
        return set_weights(standard_scores(sets.x, sets.present, params.power), sets.present), 0.0
    positive, clamped, _ = made_positive(sets.x, sets.present, params.positive, params.epsilon)
    return token_weights(
        positive, np.inf if params.pooling == LARGEST else params.power, sets.present
    ), clamped


def _shuffled(weight: np.ndarray, present: np.ndarray, rng) -> np.ndarray:
    """(n, T) mean over channels, each of which is shuffled over the tokens that are there."""
    out = np.zeros(present.shape)
    for i, here in enumerate(present):
        out[i, here] = rng.permuted(weight[i, here], axis=0).mean(axis=1)
    return out


def _estimates(share, null, present, d: int) -> tuple[Estimate, ...]:
    count, n = present.sum(axis=1), len(share)
    found = (
        ("tokens that count, of all", effective(share) / count, effective(null) / count, "exp of the entropy"),
        ("largest share of one token", share.max(axis=1), null.max(axis=1), "mean over samples"),
    )  # fmt: skip
    return tuple(
        Estimate(name, float(own.mean()), **mean_interval(own, 0.0, 1.0), null=float(chance.mean()),
                 null_method="channels shuffled over the tokens of a sample", n=n, d=d, estimator=how)
        for name, own, chance, how in found
    )  # fmt: skip


def _reading(estimates, present) -> str:
    count, most = estimates
    return (
        f"Of {present.sum(axis=1).mean():.3g} tokens a sample {count.value:.0%} count in effect, {count.null:.0%} if "
        f"channels agreed on none; the heaviest has {most.value:.1%} (then {most.null:.1%})."
    )


def _cost(shapes, params: PooledWeightsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN * 16)
    held = 8.0 * rows * d * 5.0
    return Cost(0.01 + m.seconds(moved=held * 10, calls=50.0 * rows / RUN), held)


def _check() -> tuple[CheckLine, ...]:
    """Equal tokens share alike; p = 0 too. One token that is 3 and three that are 1 have 9/12 and 1/12 at p = 2. A
    token that is largest everywhere has all of the maximum."""
    rng = np.random.default_rng(0)

    def found(x, **more):
        tap = ArrayActivations(x.reshape(-1, x.shape[2]), layout=Layout(np.arange(len(x) + 1) * x.shape[1]))
        return pooled_weights(tap, PooledWeightsParams(**more))

    one = np.ones((3, 4, 5))
    one[:, 2] = 3.0
    x = rng.standard_normal((5, 7, 6))
    x[:, 4] += 9
    random = rng.standard_normal((30, 16, 200))
    spread, top = found(random).estimates[0], found(x, pooling=LARGEST)
    return (
        CheckLine("one token of 3, three of 1", 9 / 12, found(one, power=2.0, positive=CLAMP).values[0, 2], 1e-12),
        CheckLine("p = 0 shares alike", 1 / 7, float(found(x, power=0.0).values.max()), 1e-12),
        CheckLine("attentive set, β = 0 shares alike", 1 / 7,
                  float(found(x, power=0.0, pooling=SETS).values.max()), 1e-12),
        CheckLine("p = 0: tokens that count", 1.0, found(x, power=0.0).estimates[0].value, 1e-12),
        CheckLine("attentive set, scores 0 and ln 3", 0.75, set_weights(np.log([[1.0], [3.0]]))[1, 0], 1e-12),
        CheckLine("one token largest everywhere, channels shuffled", 0.6, top.estimates[1].null, 0.0, "at most"),
        CheckLine("the largest token has it all", 1.0, float(top.values[0, 4]), 1e-12),
        CheckLine("shares of a sample add up", 1.0, float(found(x).values[0].sum()), 1e-12),
        CheckLine("independent channels: as in the null", spread.null, spread.value, 0.01),
    )  # fmt: skip


METHODS = (
    Method(
        id="pooled_weights", family="tokens", title="Tokens that carry the pooled value", version=2,
        function=pooled_weights, summary="The share of every token in a generalised mean, an attentive set, a maximum.",
        params=PooledWeightsParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one positive scale for all units",
        papers=(
            "Group Generalized Mean Pooling for Vision Transformer",
            "Robust Attentional Aggregation of Deep Feature Sets for Multi-view 3D Reconstruction",
        ),
    ),
)  # fmt: skip
