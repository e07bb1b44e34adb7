"""Which places look alike to the network? Tokens of all samples as colours of their first three principal components.

    colour of x = ((x - m) · u₁, (x - m) · u₂, (x - m) · u₃) as red, green and blue

u are the principal directions of the tokens of all samples together, so that a colour means the same in every sample;
each goes from its 1st to its 99th percentile. What hangs on the place alone can be taken away first: the mean token of
each place ("denoised" features), or the directions of span Cov(x, row and column), behind which no linear reader can
tell row or column from these tokens.

Told are the share of variance in the three directions, the share of the colours' variance that the place alone
explains, and how alike neighbours are: 1 - mean |c_i - c_j|² of neighbours / that of any two tokens of the sample, 1
for equal neighbours and 0 for unrelated ones.

Null: of the variance every channel shuffled over all tokens; of place and neighbours the tokens of each sample
shuffled. Interval: jackknife over groups of samples, with the directions held; Student's t over samples for neighbours.

When it lies: three directions may hold little of the variance (told), and one loud offset, such as that of a few
tokens of great length, takes a colour of its own; equal colours are equal in three directions only. What is taken away
with the mean of a place is also what truly goes there, such as sky above.

Cost: O(n T d²) once, 40 passes over n T three numbers for the nulls.

References: S. Venkataramanan et al. (2025), "Franca: nested Matryoshka clustering for scalable visual representation
learning"; J. Yang et al. (2024), "Denoising vision transformers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import first_sign
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval, sample_groups
from analysis.errors import InputError
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.colours import (
    NOTHING,
    REMOVALS,
    as_colours,
    neighbours_alike,
    of_place,
    shuffled_inside,
    without_place,
)
from analysis.tokens.pooling.token_sets import RUN, TokenSets, token_sets

DRAWS, LEAST = 39, 1e-12


@dataclass(frozen=True)
class TokenColoursParams:
    remove: str = param(NOTHING, "What is taken away first.", label="taken away", choices=REMOVALS)
    shown: int = param(12, "Samples that are drawn.", low=1, high=12)
    first: int = param(0, "The first of them.", low=0, high=10_000_000, late=True)
    maximum_samples: int = param(
        200,
        "Most samples that directions are found on; a seeded random subset above.",
        low=2,
        high=10_000,
        late=True,
    )


def token_colours(
    activations, params: TokenColoursParams = TokenColoursParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Tokens as colours that mean the same in every sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens; of a tap of one row a sample, runs of 16 neighbours stand for the tokens of a sample.

    Returns
    -------
    TokenMap
        Colours of the tokens of some samples, and their coordinate along the first direction as values. Estimates: the
        share of variance, what the place explains, how alike neighbours are.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than two samples of two tokens; tokens that do not vary.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, params.maximum_samples, rng, progress)
    progress(0.3, "finding directions")
    x = without_place(sets.x, sets.present, params.remove, sets.grid)
    size = float(np.square(sets.x[sets.present] - sets.x[sets.present].mean(axis=0)).sum())
    own = x[sets.present]
    if not np.square(own).sum() > LEAST * max(size, 1e-300):
        raise InputError(f"tokens of {tap.name} that are all alike", "tokens that vary",
                         "Take nothing away, or choose another tap")  # fmt: skip
    directions, left = _directions(own)
    c = np.where(sets.present[..., None], x @ directions.T, 0.0)
    mixed = rng.permuted(own, axis=0)
    progress(0.6, "beside shuffled tokens")
    estimates = _estimates(sets, x, c, left, _directions(mixed)[1], rng, tap.shape[1])
    progress(1.0, "done")
    at = np.arange(len(sets.samples))[np.searchsorted(sets.samples, params.first) :][: params.shown]
    at = at if len(at) else np.arange(len(sets.samples))[-params.shown :]
    return _map(tap.name, sets, c, at, estimates, params)


def _directions(own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3, d) of centred rows, 0 where there are fewer; (d,) variances, falling."""
    values, vectors = np.linalg.eigh(own.T @ own)
    values = np.maximum(values[::-1], 0.0)
    found = np.zeros((3, own.shape[1]))
    found[: min(3, len(values))] = first_sign(vectors.T[::-1][:3])
    return found, values


def _estimates(sets: TokenSets, x, c, left, mixed, rng, d: int) -> tuple[Estimate, ...]:
    n = sets.n
    groups = sample_groups(n, rng)
    along, whole = np.square(c).sum(axis=(1, 2)), np.square(x).sum(axis=(1, 2))
    share = float(left[:3].sum() / left.sum())
    out = np.array([np.delete(along, g).sum() / max(np.delete(whole, g).sum(), 1e-300) for g in groups])
    place = of_place(c, sets.present)
    less = np.array([of_place(np.delete(c, g, axis=0), np.delete(sets.present, g, axis=0)) for g in groups])
    alike, moved = neighbours_alike(c, sets.present, sets.grid), [[], []]
    for _ in range(DRAWS):
        other = shuffled_inside(c, sets.present, rng)
        moved[0].append(of_place(other, sets.present))
        moved[1].append(float(neighbours_alike(other, sets.present, sets.grid).mean()))
    facts, told = {"n": n, "d": d}, f"tokens of each sample shuffled, {DRAWS} draws"
    return (
        Estimate("variance in the three colours", share, **_around(share, out),
                 null=float(mixed[:3].sum() / mixed.sum()), null_method="channels shuffled over all tokens",
                 estimator="share of the tokens' variance", **facts),
        Estimate("colour that the place explains", place, **_around(place, less), **against(place, np.array(moved[0])),
                 null_method=told, estimator="share of the colours' variance between mean tokens of places", **facts),
        Estimate("neighbours alike", float(alike.mean()), **mean_interval(alike, -np.inf, 1.0),
                 **against(float(alike.mean()), np.array(moved[1])), null_method=told,
                 estimator="1 - squared difference of neighbours over that of any two, mean over samples", **facts),
    )  # fmt: skip


def _around(value: float, without: np.ndarray) -> dict:
    half = jackknife_half(without)
    if half is None:
        return {"interval": "none: too few samples"}
    return {"low": max(0.0, value - half), "high": min(1.0, value + half),
            "interval": "jackknife over groups of samples, directions held"}  # fmt: skip


def _map(name: str, sets: TokenSets, c, at: np.ndarray, estimates, params) -> TokenMap:
    share, place, alike = estimates
    taken = "" if params.remove == NOTHING else f", {params.remove} taken away"
    return TokenMap(
        title=f"Tokens of {name} as colours{taken}",
        reading=f"Equal colours are alike in the three directions that hold {share.value:.0%} of the tokens' variance "
        f"({share.null:.0%} with channels shuffled). {place.value:.0%} of the colour hangs on the place alone "
        f"({place.null:.0%} if tokens were shuffled), and neighbours are alike by {alike.value:.2f} "
        f"({alike.null:.2f}).",
        caveats=(*sets.notes, "Red, green and blue are three directions, the same for all samples; colours between are "
                 "mixtures. Beyond the 1st and the 99th percentile they are cut off.",
                 f"Directions are those of {sets.n:,} samples."),
        estimates=estimates, samples=sets.samples[at], values=np.where(sets.present[at], c[at, :, 0], np.nan),
        value_name="first direction (red)", grid=sets.grid, colours=as_colours(c, sets.present)[at],
    )  # fmt: skip


def _cost(shapes, params: TokenColoursParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN * 16)
    held = 8.0 * rows * (5.0 * d + 20) + 40.0 * d * d
    solve = 2.0 * (2.0 * rows * d * d + 10.0 * d**3)
    return Cost(0.02 + m.seconds(flops64=solve, moved=8.0 * rows * (20 * d + 30 * DRAWS)), held)


def _check() -> tuple[CheckLine, ...]:
    """Three planted directions are all the variance; halves of a picture in two colours have alike neighbours; a place
    that is all there is explains all, and nothing of it is left where it is taken away."""
    rng = np.random.default_rng(0)
    place = np.repeat(rng.standard_normal((16, 3)), 1, axis=0)
    ways = np.linalg.qr(rng.standard_normal((20, 3)))[0].T

    def found(x, **more):
        tap = ArrayActivations(x.reshape(-1, 20), layout=Layout(np.arange(len(x) + 1) * 16, grid=(4, 4)))
        return token_colours(tap, TokenColoursParams(**more)).estimates

    half = np.zeros((30, 4, 4, 3))
    half[:, :, :2, 0], half[:, :, 2:, 0] = 1, -1
    halves = found(half.reshape(30, 16, 3) @ ways * rng.choice([-1, 1], 30)[:, None, None])
    noise = found(rng.standard_normal((60, 16, 20)))
    fixed = found(np.broadcast_to(place @ ways, (30, 16, 20)) + 1e-6 * rng.standard_normal((30, 16, 20)))
    return (
        CheckLine("three directions hold it all", 1.0, fixed[0].value, 1e-6),
        CheckLine("a place that is all there is", 1.0, fixed[1].value, 1e-6),
        CheckLine("two halves: neighbours", 1 - (16 / 24) / (2 * 16 / 15), halves[2].value, 1e-9),
        CheckLine("two halves that turn: place", 0.0, halves[1].value, 0.2),
        CheckLine("noise: neighbours less null", 0.0, noise[2].value - noise[2].null, 0.05),
        CheckLine("noise: place less null", 0.0, noise[1].value - noise[1].null, 0.02),
    )


METHODS = (
    Method(
        id="token_colours", family="tokens", title="Tokens as colours", version=1, function=token_colours,
        summary="Which places look alike: the first three principal components of tokens as red, green and blue.",
        params=TokenColoursParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="rotations of the units, one scale for all; the order of samples",
        papers=("Franca: nested Matryoshka clustering, positional disentangling", "Denoising Vision Transformers",
                "LESS ViT: multi-modal & hyperspectral geospatial foundation model"),
    ),
)  # fmt: skip
