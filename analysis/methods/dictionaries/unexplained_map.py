"""Where does a dictionary fail: the energy that it leaves unexplained, token by token?

    u = |x - x'|² / mean over tokens of |x - mean|²       or, as a share of its own energy,   |x - x'|² / |x - mean|²

x' is what the tap's feature set rebuilds. Of a tap that no set encoded, x' is the sum of the nearest entries of a
residual codebook that was fitted to the other half of the samples, so that every token is judged by entries that never
saw it. 0 is a token that the dictionary holds; 1 one of which it knows no more than the mean; more is worse than that.

Null: on the same tokens a dictionary that learned nothing: of a feature set, random directions, as many and as many
active in a row, times one factor; of a codebook, one fitted to Gaussian rows of the same covariance.
Interval: Student's t over samples.

When it lies: the loudest tokens (a class token, the first of a text) rule the first measure, the quietest the second; a
feature set was fitted to some of these samples; what is left over may be noise that nothing should explain, and what is
explained need not be what the network uses.

Cost: O(n k d); of codebooks, O(n K d) for each pass of each stage, and memory O(n d).

References: S. Wu et al. (2025), "Conditional latent coding with learnable synthesized reference for deep image
compression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.dictionaries.codebooks import fitted_books, gaussian_like, left_by_stage
from analysis.compute.dictionaries.coherence import random_directions
from analysis.compute.machine import machine
from analysis.compute.rows.shared_places import SharedPlaces, shared_places
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.rivals import random_codes
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, TOKENS = 10, 20  # samples; tokens of one, for the estimate of seconds
MEAN, OWN = "share of the mean energy", "share of its own energy"


@dataclass(frozen=True)
class UnexplainedMapParams:
    measure: str = param(MEAN, "What the energy left over is a share of.", choices=(MEAN, OWN))
    stages: int = param(2, "Stages of the codebook, where no set encoded the tap.", low=1, high=32)
    stage_entries: int = param(32, "Entries of each of them.", low=2, high=1024)
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=10, high=20_000)


def unexplained_map(
    activations, params: UnexplainedMapParams = UnexplainedMapParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Energy left unexplained over the tokens of samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded, or a recorded one, of which codebooks are made.

    Returns
    -------
    TokenMap
        (samples, tokens). Estimates: the mean over samples with its null, and how much it differs between tokens.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        Rows that do not vary; fewer than ten samples; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made = tap_dictionary(tap) if getattr(tap, "source", None) is not None else None
    source = tap if made is None else made.source
    data = shared_places([source], rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress)
    x = data.values[0]
    z = x - x.mean(axis=0)
    energy = np.einsum("ij,ij->i", z, z)
    if not energy.any():
        raise InputError(f"the rows of {source.name} do not vary", "rows that differ", "Choose another tap")
    progress(0.4, "rebuilding")
    left = _by_halves(z, data, params, False, rng) if made is None else _by_set(made, x)
    progress(0.7, "rebuilding with what learned nothing")
    chance = _by_halves(z, data, params, True, rng) if made is None else _by_chance(made, x, z, rng)
    below = energy.mean() if params.measure == MEAN else np.where(energy > 0, energy, np.inf)
    shown, null = left / below, chance / below
    progress(1.0, "done")
    what = (
        f"a residual codebook of {params.stages} x {params.stage_entries}"
        if made is None
        else made.features.name
    )
    estimates = _estimates(data, shown, null, x.shape[1], made, params)
    worst = np.argsort(-data.per_sample(shown), kind="stable")
    return TokenMap(
        title=f"What {what} leaves unexplained of {source.name}", reading=_reading(data, shown, estimates, params),
        caveats=(*data.notes, *_caveats(made)), estimates=estimates, samples=data.positions[worst],
        values=data.by_place(shown)[worst], value_name="share unexplained", grid=data.grid, leading=data.leading,
    )  # fmt: skip


def _by_set(made: TapDictionary, x: np.ndarray) -> np.ndarray:
    return ((x - made.features.reconstruct(x.astype(np.float32))) ** 2).sum(axis=1)


def _by_chance(made: TapDictionary, x: np.ndarray, z: np.ndarray, rng) -> np.ndarray:
    """With random directions in place of the set's."""
    features = made.features
    directions = random_directions(features.n_features, z.shape[1], rng)
    linear = features.rule == rules.LINEAR
    if linear:
        directions = np.linalg.qr(directions.T)[0].T
    found = random_codes(z.astype(np.float32), directions, made.typical_active, linear) @ directions
    square = float((found.astype(np.float64) ** 2).sum())
    gain = float((found * z).sum()) / square if square else 0.0
    return ((z - gain * found) ** 2).sum(axis=1)


def _by_halves(z: np.ndarray, data: SharedPlaces, params, gaussian: bool, rng) -> np.ndarray:
    """Every half of the samples with codebooks of the other, or of Gaussian rows like the other's."""
    half, left = (rng.permutation(data.n_samples) % 2)[data.sample], np.empty(len(z))
    for own in (0, 1):
        mean = z[half != own].mean(axis=0)
        rows, others = z[half == own] - mean, z[half != own] - mean
        fit = gaussian_like(others, len(others), rng) if gaussian else others
        books = fitted_books(fit, [params.stage_entries] * params.stages, rng)
        left[half == own] = left_by_stage(rows, books)[:, -1] if books else (rows**2).sum(axis=1)
    return left


def _estimates(data: SharedPlaces, shown, null, d: int, made, params) -> tuple[Estimate, ...]:
    how = "a codebook fitted to Gaussian rows of the same covariance, on the same tokens"
    if made is not None:
        how = f"random directions, {made.typical_active} active in a row, on the same tokens"
    each = data.per_sample(shown)
    common = {"n": data.n_samples, "d": d}
    return (
        Estimate(f"unexplained, {params.measure}", float(each.mean()), **mean_interval(each, 0.0),
                 null=float(data.per_sample(null).mean()), null_method=how, estimator="mean over samples", **common),
    )  # fmt: skip


def _reading(data: SharedPlaces, shown, estimates, params) -> str:
    e = estimates[0]
    said = (
        f"{e.value:.1%} of the energy of a token is left unexplained on average, where {e.null:.1%} would be by a "
        "dictionary that learned nothing."
    )
    counts = np.bincount(data.token)
    if len(counts) > 1:
        mean = np.bincount(data.token, shown) / np.maximum(counts, 1)
        mean = np.where(counts >= data.n_samples / 2, mean, np.nan)
        worst, best = int(np.nanargmax(mean)), int(np.nanargmin(mean))
        said += (
            f" Most is left at token {worst} ({mean[worst]:.1%}), least at token {best} ({mean[best]:.1%})."
        )
    sizes = data.per_sample(shown)
    worst = int(sizes.argmax())
    return f"{said} Samples of which most is left come first: number {data.positions[worst]} ({sizes[worst]:.1%})."


def _caveats(made) -> tuple[str, ...]:
    if made is None:
        return (
            "No feature set encoded this tap: every half of the samples is judged by codebooks of the other.",
        )
    return ("The feature set may have been fitted to some of these samples.",)


def _cost(shapes, params: UnexplainedMapParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows, n = min(n, TOKENS * params.maximum_samples), min(n, params.maximum_samples)
    work = 2.0 * rows * params.stages * params.stage_entries * d
    memory = 8.0 * n * (6.0 * d + params.stage_entries) + 8.0 * d * d + 1e5
    return Cost(m.seconds(flops64=work * 40, moved=8.0 * rows * d * 40) + 0.05, memory)


def _check() -> tuple[CheckLine, ...]:
    """Of tokens that are one of four points four entries leave nothing, two stages of two entries something, and a few
    entries leave all of noise in many dimensions."""
    rng = np.random.default_rng(0)
    points = 10 * rng.standard_normal((4, 6))
    tap = ArrayActivations(points[rng.integers(4, size=160)], layout=Layout(np.arange(81) * 2))
    asked = UnexplainedMapParams(stages=1, stage_entries=4)
    planted = unexplained_map(tap, params=asked)
    noise = unexplained_map(rng.standard_normal((600, 40)), params=asked)
    one = unexplained_map(tap, params=UnexplainedMapParams(stages=2, stage_entries=2))
    return (
        CheckLine("four points, four entries", 0.0, float(planted.values.max()), 1e-12),
        CheckLine("null of the same", 0.05, planted.estimates[0].null, 0.0, "at least"),
        CheckLine("noise in 40 dimensions", 1.0, noise.estimates[0].value, 0.05),
        CheckLine("two stages of two leave some", 0.01, one.estimates[0].value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="unexplained_map", family="dictionaries", title="Map of what remains unexplained", version=2,
        function=unexplained_map,
        summary="The energy that a dictionary leaves of every token, beside one that learned nothing.",
        params=UnexplainedMapParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting and scaling the tap together with its dictionary; reordering samples",
        papers=(
            "Conditional Latent Coding with Learnable Synthesized Reference for Deep Image Compression",
        ),
    ),
)  # fmt: skip
