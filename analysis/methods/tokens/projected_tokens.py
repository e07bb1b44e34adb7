"""What of a token lies on a random subspace, what beside it, and how much is rebuilt from each? Projection against
masking whole tokens, at an equal share.

    P = Q Qᵀ, Q (d, k) random orthonormal:   ‖x‖² = ‖P x‖² + ‖P⊥ x‖²,   kept energy ‖P x‖² / ‖x‖² ~ Beta(k/2, (d-k)/2)

of the tokens behind a layer. From P x, from P⊥ x and from the share k / d of whole tokens that masking leaves, a linear
map fitted on other samples rebuilds the tokens:

    R² = 1 - Σ |x - x̂|² / Σ |x - m|²     over all tokens, m the mean of all

and the network goes on with what each way leaves (masked tokens at m, class token kept). Drawn for one sample:
energies, and |x - x̂|² of each token as a share of the mean |x - m|².

Interval: of energies Student's t over samples; of R² jackknife over groups of samples; of answers Student's t. Null: of
energies k / d and (d - k) / d; of R² the share that is known, which is what units without any correlation give; of
answers other samples'.

When it lies: one subspace is drawn, shared by all tokens; a linear map is no decoder, and a masked token is told by the
mean of those left without its place; the scale of what is left is smaller, which the next norm undoes for projections
and not for masks; energies are of tokens with their common mean.

Cost: four passes of the network for each sample, six ridge fits O(tokens d²).

Reference: M. Haghighat et al. (2024), "Pre-training with random orthogonal projection image modeling".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import chosen_samples
from analysis.compute.networks.random_projections import energy_kept, energy_variance, random_basis
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval, sample_groups
from analysis.errors import NotFound, ParameterError
from analysis.results import Estimate, TokenMap
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.lens import cosines
from analysis.tokens.projected import KEPT, MASKED, REST, WAYS, Rebuilt, changes, left_of, rebuilt
from analysis.tokens.stream import stream
from analysis.tokens.stream_cost import SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

FOLDS = 3
NAMES = ("energy kept by P", "energy kept by its complement", "error, rebuilt from P",
         "error, rebuilt from its complement", "error, rebuilt from the tokens left")  # fmt: skip


@dataclass(frozen=True)
class ProjectedTokensParams:
    sample: int = param(0, "The sample that is drawn: its place in the store.", low=0, high=1_000_000_000)
    layer: int = param(0, "Layer behind which tokens are projected; 0: half way.", low=0, high=1000)
    share: float = param(0.3, "Share of the dimensions, or of the tokens, that is left.", low=0.01, high=0.99)
    maximum_samples: int = param(
        32, "Samples that numbers are of, the drawn one among them.", low=3, high=5000
    )
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def projected_tokens(
    activations, params: ProjectedTokensParams = ProjectedTokensParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Energies and reconstructions.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows go through random blocks.

    Returns
    -------
    TokenMap
        Energies kept and errors of what is rebuilt, of the tokens of one sample. Estimates: energy, R² and answer of
        each way.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData
        No such sample; a layer that there is not; rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, tap.layout.n_samples, rng, params.source, lambda f, doing="": progress(0.1 * f, doing)
    )
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", f"one of 0 to {who.samples.max()}")
    layers = len(who.names)
    if params.layer > layers:
        raise ParameterError(f"layer {params.layer}", f"1 to {layers}, or 0 for half way")
    layer = params.layer - 1 if params.layer else max(layers // 2 - 1, 0)
    others = np.setdiff1d(chosen_samples(who.n, params.maximum_samples, rng), at)
    places = np.r_[at, others[: params.maximum_samples - 1]]
    seen = []
    for k, place in enumerate(places):
        progress(0.1 + 0.3 * k / len(places), "tokens")
        seen.append(who.passed(who.alone(int(place))))
    tokens = [s.states[layer + 1][0][s.present[0]] for s in seen]
    d = tokens[0].shape[1]
    q = random_basis(d, min(max(round(params.share * d), 1), d), rng)
    left = left_of([len(t) for t in tokens], q.shape[1] / d, rng)
    progress(0.4, "rebuilding")
    x, sample = np.concatenate(tokens), np.repeat(np.arange(len(tokens)), [len(t) for t in tokens])
    made = rebuilt(x, sample, q, np.concatenate(left), min(FOLDS, len(tokens)), rng)
    answers = _answers(who, places, seen, layer, q, left, x.mean(axis=0),
                       lambda f: progress(0.6 + 0.4 * f, "running the network"))  # fmt: skip
    progress(1.0, "done")
    told = _estimates(x, sample, q, made, answers, len(places), rng)
    return _map(tap, who, int(at[0]), params, who.names[layer], x, sample, q, left[0], made, told,
                (*of_one(notes, params.sample), *_caveats(len(places))))  # fmt: skip


def _free(who, place: int, t: int):
    """((t,) bool of the tokens that may be masked; their cells, or None; the grid)."""
    if not who.is_network:
        return np.ones(t, bool), None, None
    layout = who.opened.network.run(who.alone(place)).layout
    there = layout.present[0]
    return layout.free[0][there], layout.cell[0][there], layout.grid


def _answers(who, places, seen, layer, q, left, middle, progress) -> dict[str, np.ndarray]:
    """(n, C) answers as they are, "", and by way."""
    out = {"": np.concatenate([s.answer for s in seen])}
    rows = {way: [] for way in WAYS}
    for k, place in enumerate(places):
        progress(k / len(places))
        present = seen[k].present[0]
        stays, may = np.ones(len(present), bool), np.zeros(len(present), bool)
        stays[present], may[present] = left[k], _free(who, int(place), int(present.sum()))[0]
        for way, change in changes(q, stays, may, middle).items():
            rows[way].append(who.passed(who.alone(int(place)), {layer: change}, states=False).answer)
    out |= {way: np.concatenate(v) for way, v in rows.items()}
    if who.classifies:
        out = {way: z - z.mean(axis=1, keepdims=True) for way, z in out.items()}
    return out


def _r2(made: Rebuilt, way: str, at=slice(None)) -> float:
    whole = made.spread[at].sum()
    return float(1 - made.errors[way][at].sum() / whole) if whole > 0 else 0.0


def _estimates(x, sample, q, made: Rebuilt, answers, n: int, rng) -> tuple[Estimate, ...]:
    d, k = q.shape
    kept, counts = energy_kept(x, q), np.bincount(sample)
    by_sample = np.bincount(sample, kept) / counts
    reach = 1.96 * np.sqrt(energy_variance(k, d))
    share = {KEPT: k / d, REST: 1 - k / d, MASKED: k / d}
    facts, out = {"n": n, "d": d}, []
    for way, each in ((KEPT, by_sample), (REST, 1 - by_sample)):
        null = share[way]
        out.append(Estimate(f"energy kept by {way}", float(each.mean()), **mean_interval(each, 0.0, 1.0), null=null,
                            null_low=max(null - reach, 0.0), null_high=min(null + reach, 1.0),
                            null_method="share of dimensions; band of one vector, Beta",
                            estimator="mean over tokens and samples", **facts))  # fmt: skip
    groups = sample_groups(n, rng)
    for way in WAYS:
        value = _r2(made, way)
        half = jackknife_half(np.array([_r2(made, way, ~np.isin(sample, g)) for g in groups]))
        ends = {"interval": "none: too few samples"} if half is None else {
            "low": value - float(half), "high": min(value + float(half), 1.0),
            "interval": "jackknife over samples"}  # fmt: skip
        out.append(Estimate(f"R² from {way}", value, **ends, null=share[way], null_method="units without correlation",
                            estimator="linear, on samples that were not fitted", **facts))  # fmt: skip
    for way in WAYS:
        own, other = cosines(answers[""], answers[way])
        out.append(Estimate(f"answer with {way}", float(own.mean()), **mean_interval(own, -1.0, 1.0), null=other,
                            null_method="other samples, exact mean", estimator="cosine, mean over samples",
                            **facts))  # fmt: skip
    return tuple(out)


def _map(tap, who, place, params, name, x, sample, q, left, made: Rebuilt, told, caveats) -> TokenMap:
    own, scale = sample == 0, max(float(made.spread.mean()), 1e-300)
    kept = energy_kept(x[own], q)
    values = np.stack([kept, 1 - kept, *(made.errors[way][own] / scale for way in WAYS)])
    _, cell, grid = _free(who, place, values.shape[1])
    pictures, words = None, ()
    if grid is not None and (cell >= 0).any():
        on = np.full((len(values), grid[0] * grid[1]), np.nan)
        on[:, cell[cell >= 0]] = values[:, cell >= 0]
        values, pictures = on, picture_of(who.alone(place))
    else:
        grid = None
        words = who.opened.words(place) if who.is_network else ()
    by = {e.name: e for e in told}
    fits = grid is None and len(words) == values.shape[1]
    return TokenMap(
        title=f"Tokens of sample {params.sample} behind {name} on a random subspace of {q.shape[1]} of {q.shape[0]}",
        samples=np.full(len(values), params.sample), values=values, value_name="share", names=NAMES, grid=grid,
        pictures=None if pictures is None else pictures[None], words=(tuple(words),) * len(values) if fits else (),
        ends=(0.0, 1.0), estimates=told, caveats=caveats,
        reading=(
            f"P keeps {by['energy kept by P'].value:.0%} of the energy of tokens ({q.shape[1] / q.shape[0]:.0%} of the "
            f"dimensions). A linear map rebuilds {by[f'R² from {KEPT}'].value:.0%} of what tokens vary from it, "
            f"{by[f'R² from {REST}'].value:.0%} from its complement, and {by[f'R² from {MASKED}'].value:.0%} where "
            f"whole tokens are masked; the answer keeps a cosine of {by[f'answer with {KEPT}'].value:.2f}, "
            f"{by[f'answer with {REST}'].value:.2f} and {by[f'answer with {MASKED}'].value:.2f}."
        ),
    )  # fmt: skip


def _caveats(n: int) -> list[str]:
    return [
        f"Numbers are of {n} samples and one random subspace; drawn is one sample. Errors above 1 are drawn as 1.",
        "A linear map stands for a decoder that would be trained.",
    ]


def _cost(shapes, params: ProjectedTokensParams):
    return passes_cost(
        shapes, params, 5.0, 60.0 * min(shapes[0][0], params.maximum_samples * 16) * shapes[0][1]
    )


def _check() -> tuple[CheckLine, ...]:
    """Energies of P and its complement add up, and so do their means over many draws; independent units are rebuilt to
    the share that is known; units that are one factor are rebuilt from anything but masked tokens."""
    rng = np.random.default_rng(0)
    sample = np.repeat(np.arange(60), 8)
    q = random_basis(12, 4, rng)
    left = np.concatenate(left_of([8] * 60, 0.25, rng))
    free = rebuilt(rng.standard_normal((480, 12)), sample, q, left, 3, rng)
    factor = rebuilt(rng.standard_normal((480, 1)) * rng.standard_normal(12), sample, q, left, 3, rng)
    same = np.repeat(rng.standard_normal((60, 12)), 8, axis=0)  # tokens of a sample alike
    tap = ArrayActivations(same, name="planted", layout=Layout(np.arange(61) * 8))
    found = projected_tokens(tap, ProjectedTokensParams(share=1 / 3, maximum_samples=20))
    alike = rebuilt(same, sample, q, left, 3, rng)
    return (
        CheckLine(
            "energies of P and its complement", 1.0, float((found.values[0] + found.values[1]).max()), 1e-12
        ),
        CheckLine("independent units: R² from P", 4 / 12, _r2(free, KEPT), 0.05),
        CheckLine("independent units: R² from its complement", 8 / 12, _r2(free, REST), 0.05),
        CheckLine("independent tokens: R² of masking", 0.25, _r2(free, MASKED), 0.05),
        CheckLine("one factor: R² from P", 1.0, _r2(factor, KEPT), 1e-3),
        CheckLine("tokens alike: R² of masking", 1.0, _r2(alike, MASKED), 1e-3),
    )


METHODS = (
    Method(
        id="projected_tokens", family="tokens", network="blocks", title="Tokens on a random subspace", version=1,
        function=projected_tokens,
        summary="Energy kept by a random projection and its complement, what each rebuilds, beside masked tokens.",
        params=ProjectedTokensParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=48,
        invariance="rotations of the stream, in distribution; the order of samples",
        papers=("Pre-training with Random Orthogonal Projection Image Modeling",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
