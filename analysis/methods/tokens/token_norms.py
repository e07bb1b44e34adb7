"""Which tokens are much longer than the others, and what becomes of lengths when tokens are pooled?

    |x_i|,      cut = median + k · 1.4826 · median |‖x‖ - median|,      shrinking = |mean of a cell| / mean length in it

Tokens beyond the cut are called high-norm: trained transformers keep what they need for themselves in a few background
tokens of great length. The length of a mean is at most the mean of the lengths, 1 / s of them for independent tokens of
s x s: how far below tells how much neighbours agree.

Interval: over samples, Wilson for shares and Student's t. Null: of lengths every channel shuffled over all tokens, so
that no token is long in many channels; of shrinking cells of as many tokens from anywhere in the data; of the place
that has most high-norm tokens as many at random places of each sample, again at the place that then has most.

When it lies: a common offset of all tokens makes all long and alike: subtract it ("centred"); the cut is a rule of
thumb, and of heavy tails some lie beyond it by definition; long tokens need not be read by anybody.

Cost: O(n T d).

Reference: L. Xu, Y. Zhao, D. Zhou, Z. Lin, S. K. Ng & J. Feng (2024), "PLLaVA: parameter-free LLaVA extension from
images to videos for video dense captioning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.chance import as_many_at_random
from analysis.tokens.pooling.nested_grids import cell_means
from analysis.tokens.pooling.token_sets import RUN, TokenSets, token_sets

BINS, MOVED = 40, 50
TOKENS, POOLED = "tokens", "pooled tokens"


@dataclass(frozen=True)
class TokenNormsParams:
    centred: bool = param(False, "Subtract the mean of all tokens first.")
    beyond: float = param(6.0, "Where high-norm tokens begin, in robust deviations.", low=1.0, high=50.0)
    side: int = param(2, "Side of the cells that tokens are pooled in.", low=1, high=64)
    maximum_samples: int = param(200, "Most samples; a seeded random subset above.", low=2, high=10_000)


def token_norms(
    activations, params: TokenNormsParams = TokenNormsParams(), rng=None, progress=no_progress
) -> Distribution:
    """Lengths of tokens, before and after pooling.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens; of a tap of one row a sample, runs of 16 neighbours stand for the tokens of a sample.

    Returns
    -------
    Distribution
        Lengths of tokens and of pooled tokens, scaled to as many; the cut and the class token as markers. Estimates:
        the share of high-norm tokens, how often each place has one, and shrinking.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, params.maximum_samples, rng, progress)
    progress(0.4, "measuring")
    middle = sets.x[sets.present].mean(axis=0) if params.centred else np.zeros(tap.shape[1])
    x = np.where(sets.present[..., None], sets.x - middle, 0.0)
    length = np.linalg.norm(x, axis=2)
    there = length[sets.present]
    shuffled = np.linalg.norm(rng.permuted(x[sets.present], axis=0), axis=1)
    cut = _cut(there, params.beyond)
    progress(0.7, "pooling")
    cell = _cell(sets, params.side)
    pooled, shrink = _shrinking(x, sets.present, cell)
    rows = rng.permutation(there.size)
    mixed = np.zeros_like(x)
    mixed[sets.present] = x[sets.present][rows]
    by_chance = _shrinking(mixed, sets.present, cell)[1]
    progress(1.0, "done")
    first = None if sets.first is None else float(np.linalg.norm(sets.first - middle, axis=1).mean())
    estimates = _estimates(length, sets.present, cut, shuffled, shrink, by_chance, tap.shape[1], rng)
    return _distribution(tap.name, there, pooled, shuffled, cut, first, estimates, sets.notes, params)


def _cut(length: np.ndarray, beyond: float) -> float:
    middle = float(np.median(length))
    return middle + beyond * max(1.4826 * float(np.median(np.abs(length - middle))), 1e-9 * middle)


def _cell(sets: TokenSets, side: int) -> np.ndarray:
    """(T,) cell of every token; along a line runs of side²."""
    at = np.arange(sets.x.shape[1])
    if sets.grid is None:
        return at // side**2
    columns = sets.grid[1]
    wide = -(-columns // side)
    return at // columns // side * wide + at % columns // side


def _shrinking(x, present, cell) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of pooled tokens, and (n,) of each sample their sum over that of the mean lengths, weighed alike."""
    means, inside = cell_means(x, present, cell)
    lengths = np.linalg.norm(x, axis=2)[..., None]
    usual = cell_means(lengths, present, cell)[0][..., 0]
    own, total = np.linalg.norm(means, axis=2), usual.sum(axis=1)
    return own[inside > 0], np.where(total > 0, own.sum(axis=1) / np.where(total > 0, total, 1.0), 1.0)


def _estimates(length, present, cut, shuffled, shrink, by_chance, d: int, rng) -> tuple[Estimate, ...]:
    n, high = len(length), (length > cut) & present
    share = high.sum(axis=1) / present.sum(axis=1)
    lines = [
        Estimate("high-norm tokens", float(share.mean()), **share_interval(share), null=float((shuffled > cut).mean()),
                 null_method="channels shuffled over all tokens", n=n, d=d, estimator="share of tokens beyond the cut"),
        Estimate("length of a pooled token over mean length", float(shrink.mean()), **mean_interval(shrink, 0.0, 1.0),
                 null=float(by_chance.mean()), null_method="cells of tokens from anywhere", n=n, d=d,
                 estimator="mean over samples"),
    ]  # fmt: skip
    if high.any():
        at = int(high.sum(axis=0).argmax())
        own = high[present[:, at], at].astype(float)
        lines.append(
            Estimate(f"samples with a high-norm token at place {at}", float(own.mean()), **share_interval(own),
                     **against(float(own.mean()), elsewhere(high, present, rng) / len(own)), n=len(own), d=d,
                     null_method=f"as many at random places, {MOVED} draws, the place that has most",
                     estimator="the place that has most, among all places")
        )  # fmt: skip
    return tuple(lines)


def elsewhere(high: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(MOVED,) most samples with a high-norm token at one place, when those of each sample (n, T) lie anywhere among
    its `present` tokens."""
    counts, found = high.sum(axis=1), np.empty(MOVED)
    for i in range(MOVED):
        found[i] = as_many_at_random(present, counts, rng).sum(axis=0).max()
    return found


def _distribution(name, there, pooled, shuffled, cut, first, estimates, notes, params) -> Distribution:
    most = max(float(v.max()) for v in (there, shuffled, pooled))
    edges = np.linspace(0.0, max(most, 1e-9) * 1.0001, BINS + 1)
    counts = {TOKENS: np.histogram(there, edges)[0].astype(float)}
    counts[POOLED] = np.histogram(pooled, edges)[0] * (there.size / max(pooled.size, 1))
    share, shrink = estimates[0], estimates[1]
    reading = (
        f"{share.value:.2%} of tokens are longer than {cut:.3g} ({share.null:.2%} with channels shuffled); pooled by "
        f"{params.side} they keep {shrink.value:.0%} of their mean length ({shrink.null:.0%} if unrelated)."
    )
    markers = {"cut": cut} if cut < edges[-1] else {}
    return Distribution(
        title=f"Lengths of the tokens of {name}", reading=reading, estimates=estimates, edges=edges, counts=counts,
        caveats=(*notes, "Lengths alone do not say who reads a token.", "Pooled tokens are counted up to as many."),
        value_name="length", markers=markers if first is None else markers | {"class token (mean)": first},
        null=np.histogram(shuffled, edges)[0].astype(float), log_y=True,
    )  # fmt: skip


def _cost(shapes, params: TokenNormsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN * 16)
    held = 8.0 * rows * d * 6.0
    return Cost(0.01 + m.seconds(moved=held * 6), held)


def _check() -> tuple[CheckLine, ...]:
    """Equal neighbours keep their length; independent ones of many units keep 1 / s; cells of one token all; one token
    in sixteen of ten times the length is found, at its place."""
    rng = np.random.default_rng(0)

    def found(x, **more):
        n, t, d = x.shape
        tap = ArrayActivations(x.reshape(-1, d), layout=Layout(np.arange(n + 1) * t, grid=(4, 4)))
        return token_norms(tap, TokenNormsParams(**more)).estimates

    x = rng.standard_normal((40, 16, 300))
    equal = (
        np.kron(rng.standard_normal((10, 5, 2, 2)), np.ones((2, 2))).transpose(0, 2, 3, 1).reshape(10, 16, 5)
    )
    outlier = x.copy()
    outlier[:, 5] *= 10
    high = found(outlier)
    return (
        CheckLine("independent tokens: length left at side 2", 0.5, found(x)[1].value, 0.02),
        CheckLine("equal tokens of a cell", 1.0, found(equal)[1].value, 1e-12),
        CheckLine("cells of one token", 1.0, found(x, side=1)[1].value, 1e-12),
        CheckLine("never longer than the mean length", 1.0, found(outlier)[1].high, 1e-12, "at most"),
        CheckLine("one in sixteen is long", 1 / 16, high[0].value, 0.002),
        CheckLine("at its place in every sample", 1.0, high[2].value, 0.0),
        CheckLine("channels shuffled: long ones", 0.0, found(x)[0].null, 0.002),
    )  # fmt: skip


METHODS = (
    Method(
        id="token_norms", family="tokens", title="Lengths of tokens", version=2, function=token_norms,
        summary="Which tokens are much longer than the others, and what pooling does to lengths.",
        params=TokenNormsParams, result=Distribution, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="rotations of the units, one scale for all; the order of samples",
        papers=("PLLaVA : Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning",),
    ),
)  # fmt: skip
