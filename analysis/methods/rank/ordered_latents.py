"""Do later latents still tell anything about the data, given the first k? Their number is an intrinsic dimension.

Latents in an order (that of a distributional principal autoencoder, of PCA, or by falling deviation). With the first k
told, a sample could be any of its nearest neighbours in them; the energy score says how good that is,
    S_k = mean over samples i of   mean_j |x_i - x_j| - ½ mean_jj' |x_j - x_j'|       j, j' among the q neighbours of i
(k = 0: all samples, and S_0 is half the mean distance). Latent k + 1 tells more where S_k+1 is lower than with its
value taken from a neighbour in the first k instead (local permutation: Kim, Neykov, Balakrishnan & Wasserman 2022; Sen
et al. 2017), which leaves it what the first k say about it, and lower than S_k itself by 1.645 standard errors, so that
one that repeats the others does not count. The intrinsic dimension is the number of latents before the first that tells
nothing more. Needs no decoder, and works for any ordered latents.

Null: the score with the last of the k latents taken from a neighbour in the others.

When it lies: neighbours in many dimensions are far, so that with few samples late latents seem to tell nothing; the
count is then too small. Latents in another order give another number. A weak late latent that bends with a strong early
one can pass for new. The test is sequential at 5 % each: beyond the true number one in twenty goes one further.

Cost: O(n² (p + latents × (1 + permutations))), memory 40 n² bytes.

References: "Distributional autoencoders know the score" (2025); X. Shen & N. Meinshausen (2024), "Distributional
principal autoencoders"; T. Gneiting & A. Raftery (2007), "Strictly proper scoring rules".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

GIVEN, DEVIATION = "as given", "falling deviation"
SCORE, LEVEL, BEYOND, FEWEST, DRAWS = "energy score", 0.05, 1.645, 40, 200
NULL = "the last latent taken from a neighbour in those before it"


@dataclass(frozen=True)
class OrderedLatentsParams:
    order: str = param(GIVEN, "In which order latents are told.", choices=(GIVEN, DEVIATION))
    latents: int = param(6, "Most latents that are looked at.", low=1, high=64)
    neighbours: int = param(10, "q, neighbours that a sample could be.", low=3, high=200)
    permutations: int = param(39, "Draws of the null for each latent.", low=19, high=999)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(500, "Most samples; a seeded random part above.", low=40, high=5000)


def ordered_latents(
    latents, targets, params: OrderedLatentsParams = OrderedLatentsParams(), rng=None, progress=no_progress
) -> Curve:
    """Energy score of the targets against the number of latents told, and how many of them tell more.

    Parameters
    ----------
    latents, targets : Activations or arrays (rows, units)
        Matched by id, tokens pooled.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than 40 common samples; latents or targets that do not vary; over 4 GiB.
    """
    taps, rng = [as_activations(t) for t in (latents, targets)], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    z, y = data.values
    size, notes = z.std(axis=0), list(data.notes)
    varies = size > 1e-9 * max(float(size.max()), np.finfo(float).tiny)
    if not varies.any():
        raise InputError(f"no latent of {names[0]} varies", "latents that differ", "Choose another tap")
    if not varies.all():
        notes.append(f"{int((~varies).sum())} latent(s) never vary and were left out.")
    order = np.flatnonzero(varies)
    order = order[np.argsort(-size[order], kind="stable")] if params.order == DEVIATION else order
    order = order[: params.latents]
    z = (z[:, order] - z[:, order].mean(axis=0)) / size[order]
    scores, null = _scored(z, _distances(y), params, rng, progress)
    progress(1.0, "done")
    return _curve(names, scores, null, order, (len(z), y.shape[1]), params, notes)


def _scored(z: np.ndarray, apart: np.ndarray, params, rng, progress) -> tuple[np.ndarray, np.ndarray]:
    """(scores (k + 1, n) of each sample with 0 … k latents told, null (k, draws) of their means)."""
    n, m = z.shape
    q = min(params.neighbours, n // 4)
    scores = [_whole(apart)]
    null, squared = np.zeros((m, params.permutations)), np.zeros((n, n))
    for k in range(m):
        progress(0.3 + 0.7 * k / m, f"latent {k + 1} of {m}")
        near = _nearest(squared, q, rng)
        own = squared + (z[:, k, None] - z[:, k]) ** 2
        scores.append(energy_scores(apart, _nearest(own, q, rng)))
        for draw in range(params.permutations):
            moved = z[near[np.arange(n), rng.integers(q, size=n)], k] if k else z[rng.permutation(n), k]
            other = squared + (moved[:, None] - moved) ** 2
            null[k, draw] = energy_scores(apart, _nearest(other, q, rng)).mean()
        squared = own
    return np.array(scores), null


def energy_scores(apart: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(n,) from distances (n, n) of the targets and the neighbours (n, q) of each sample, none of them itself."""
    q = near.shape[1]
    away = np.take_along_axis(apart, near, axis=1).mean(axis=1)
    among = apart[near[:, :, None], near[:, None, :]].sum(axis=(1, 2)) / (q * (q - 1))
    return away - among / 2


def _whole(apart: np.ndarray) -> np.ndarray:
    """(n,) with nothing told: all other samples."""
    n = len(apart)
    return apart.sum(axis=1) / (n - 1) - apart.sum() / (n * (n - 1)) / 2


def _nearest(squared: np.ndarray, q: int, rng) -> np.ndarray:
    """(n, q) nearest others; where nothing is told all are equally near, and those are drawn."""
    n = len(squared)
    if not squared.any():
        found = rng.integers(n - 1, size=(n, q))
        return found + (found >= np.arange(n)[:, None])
    away = squared.copy()
    np.fill_diagonal(away, np.inf)
    return np.argpartition(away, q, axis=1)[:, :q]


def _distances(y: np.ndarray) -> np.ndarray:
    """(n, n) Euclidean, centred before squaring."""
    own = y - y.mean(axis=0)
    size = (own**2).sum(axis=1)
    squared = size[:, None] + size - 2 * (own @ own.T)
    np.fill_diagonal(squared, 0)
    return np.sqrt(np.maximum(squared, 0))


def _curve(names, scores, null, order, shape, params, notes) -> Curve:
    (n, d), mean = shape, scores.mean(axis=1)
    p = (1 + (null <= mean[1:, None]).sum(axis=1)) / (1 + null.shape[1])
    gained = scores[:-1] - scores[1:]
    tells = (p <= LEVEL) & (gained.mean(axis=1) > BEYOND * gained.std(axis=1, ddof=1) / np.sqrt(n))
    count = len(tells) if tells.all() else int(np.argmin(tells))
    rng = np.random.default_rng(n)
    drawn = scores[:, rng.integers(n, size=(DRAWS, n))].mean(axis=2)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=1)
    low, high = np.minimum(low, mean), np.maximum(high, mean)
    share, shares = 1 - mean[count] / mean[0], 1 - drawn[count] / drawn[0]
    edges = np.percentile(shares, [2.5, 97.5])
    told = (
        share,
        min(edges[0], share),
        max(edges[1], share),
        float(1 - null[max(count, 1) - 1].mean() / mean[0]),
    )
    estimates = _estimates(count, told, mean, null, p, order, {"n": n, "d": d})
    said = list(notes)
    if count == len(tells):
        said.append(f"All {count} latents that were looked at tell more: there may be more dimensions.")
    if n < 10 * 2 ** min(count + 1, 10):
        said.append(
            f"{n} samples are few for neighbours in {count + 1} latents: there may be more dimensions."
        )
    ends = "all of them do"
    if count < len(tells):
        ends = f"the next does not (score {mean[count]:.3g} before, {mean[count + 1]:.3g} with it; p = {p[count]:.2g})"
    return Curve(
        title=f"What ordered latents of {names[0]} tell about {names[1]}",
        reading=(
            f"The first {count} latent(s) each tell more about {names[1]} than those before; {ends}. Together they "
            f"take {share:.0%} off the energy score of knowing nothing."
        ),
        caveats=tuple(said), estimates=estimates, x=np.arange(len(mean), dtype=float), x_name="latents told, k",
        y_name="energy score", series={SCORE: mean}, low={SCORE: low}, high={SCORE: high},
        null={SCORE: np.r_[mean[0], null.mean(axis=1)]},
    )  # fmt: skip


def _estimates(count: int, told, mean, null, p, order, about: dict) -> tuple[Estimate, ...]:
    """How many latents tell more, what they tell together (value, low, high, null), and the score with each."""
    return (
        Estimate("latents that tell more", float(count), null=0.0, null_method=NULL,
                 estimator=f"p up to {LEVEL:g} and a lower score, one after the other", **about),
        Estimate(f"told by the first {count}", told[0], told[1], told[2],
                 interval="bootstrap over samples", null=told[3], null_method=NULL,
                 estimator="1 - energy score over that of none", **about),
        *(Estimate(f"score with latent {unit}, number {k + 1}", mean[k + 1], null=float(null[k].mean()),
                   null_low=float(null[k].min()), null_high=float(null[k].max()), null_method=NULL, p_value=float(p[k]),
                   **about) for k, unit in enumerate(order)),
    )  # fmt: skip


def _cost(shapes, params: OrderedLatentsParams) -> Cost:
    (rows, m), (others, p) = shapes
    n, k, fast = min(rows, others, params.maximum_samples), min(m, params.latents), machine()
    work = k * (1 + params.permutations) * (n * n * 60.0 + n * params.neighbours**2 * 30.0)
    return Cost(
        fast.seconds(flops64=2.0 * n * n * p, moved=work + 8.0 * (rows * m + others * p)) + 0.02,
        40.0 * n * n + 8.0 * n * (m + p) * 3,
    )


def _check() -> tuple[CheckLine, ...]:
    """A bent sheet of two dimensions: the third latent is noise, and a repeated one adds nothing. Of one normal number
    the score with nothing told is its deviation over √π."""
    rng = np.random.default_rng(3)
    a, b, noise = rng.standard_normal((3, 200))
    y = np.stack([a, b, a**2, np.sin(2 * b)], axis=1)
    few = OrderedLatentsParams(latents=3, permutations=19)
    sheet = ordered_latents(np.stack([a, b, noise], axis=1), y, few, rng)
    twice = ordered_latents(np.stack([a, a, noise], axis=1), a[:, None], few, rng)
    return (
        CheckLine("dimensions of a bent sheet", 2.0, sheet.estimates[0].value, 0.0),
        CheckLine("of a number told twice", 1.0, twice.estimates[0].value, 0.0),
        CheckLine(
            "score of a normal number, nothing told",
            a.std() / np.sqrt(np.pi),
            float(twice.series[SCORE][0]),
            0.03,
        ),
    )


METHODS = (
    Method(
        id="ordered_latents", family="rank", title="Do later latents still tell anything?", version=1,
        function=ordered_latents,
        summary="Energy score against the number of ordered latents told, and a test for each: an intrinsic dimension.",
        params=OrderedLatentsParams, result=Curve, check=_check, cost=_cost, inputs=2,
        roles=("latents in order", "targets that they tell"), minimum_rows=FEWEST,
        invariance="shifting and scaling each latent; shifting and rotating the targets",
        papers=("Distributional Autoencoders Know the Score",),
    ),
)  # fmt: skip
