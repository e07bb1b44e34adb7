"""What of a token lies on a random subspace, what beside it, and how much is rebuilt from each, tokens and pixels?
Projection against masking whole tokens, random ones or a block (a crop), at an equal share.

    P = Q Qᵀ, Q (d, k) random orthonormal:   ‖x‖² = ‖P x‖² + ‖P⊥ x‖²,   kept energy ‖P x‖² / ‖x‖² ~ Beta(k/2, (d-k)/2)

of the tokens behind a layer. From P x, from P⊥ x and from the share k / d of whole tokens that masking leaves, a linear
map fitted on other samples rebuilds the tokens:

    R² = 1 - Σ |x - x̂|² / Σ |x - m|²     over all tokens, m the mean of all

and the network goes on with what each way leaves (masked tokens at m, class token kept). A block of as many tokens as
are masked at random is one rectangle of the picture. Where the network reads pictures, another linear map, fitted on
other samples too, rebuilds the pixels of each token's patch from it whole, from P x, from P⊥ x, and of masked tokens
from the mean of those left and the place; R² is beyond the mean picture. Drawn for one sample: energies, and
|x - x̂|² of each token as a share of the mean |x - m|²; or the picture and what each source gives of it.

Interval: of energies Student's t over samples; of R² jackknife over groups of samples; of answers Student's t. Null: of
energies k / d and (d - k) / d; of R² the share that is known, which is what units without any correlation give; of
pixels the tokens of another sample at the same places; of answers other samples'.

When it lies: one subspace is drawn, shared by all tokens; a linear map is no decoder, and a masked token is told by the
mean of those left without its place; the scale of what is left is smaller, which the next norm undoes for projections
and not for masks; energies are of tokens with their common mean.

Cost: five passes of the network for each sample, four ridge fits O(tokens d²) and ten of the pixels.

Reference: M. Haghighat et al. (2024), "Pre-training with random orthogonal projection image modeling".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import chosen_samples
from analysis.compute.networks.random_projections import energy_kept, random_basis
from analysis.errors import NotFound, ParameterError
from analysis.results import TokenMap
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.block_masks import block_left, both_left, random_left
from analysis.tokens.projected import BLOCK, KEPT, MASKED, REST, WAYS, Rebuilt, rebuilt
from analysis.tokens.projected_pixels import (
    WHOLE,
    Patches,
    Redrawn,
    drawn_pictures,
    pixels_of,
    pixels_r2,
    redrawn,
)
from analysis.tokens.projected_report import answers_by_way, estimates, r2, reading
from analysis.tokens.stream import stream
from analysis.tokens.stream_cost import SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

FOLDS = 3
TOKENS, PICTURES = "energies and errors of tokens", "pictures"
NAMES = ("energy in P", "energy in its complement", "error from P", "error from complement",
         "error, random tokens masked", "error, a block masked")  # fmt: skip
SHOWN = {"": "the picture", WHOLE: "from tokens", KEPT: "from P", REST: "from complement",
         MASKED: "random masked", BLOCK: "a block masked"}  # fmt: skip


@dataclass(frozen=True)
class ProjectedTokensParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    show: str = param(
        TOKENS, "What is drawn, pictures where the network reads some.", choices=(TOKENS, PICTURES)
    )
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
    known = [_known(who, int(place), len(t)) for place, t in zip(places, tokens, strict=True)]
    left = both_left([len(t) for t in tokens], known, q.shape[1] / d, rng)
    progress(0.4, "rebuilding")
    x, sample = np.concatenate(tokens), np.repeat(np.arange(len(tokens)), [len(t) for t in tokens])
    joined = {way: np.concatenate(v) for way, v in left.items()}
    made = rebuilt(x, sample, q, joined, min(FOLDS, len(tokens)), rng)
    drawn = pixels_of(
        who, places, known, x, sample, q, joined, FOLDS, rng, lambda f: progress(0.5 + 0.1 * f, "pixels")
    )
    answers = answers_by_way(who, places, seen, layer, q, left, [k[0] for k in known], x.mean(axis=0),
                             lambda f: progress(0.6 + 0.4 * f, "running the network"))  # fmt: skip
    progress(1.0, "done")
    told = estimates(x, sample, q, made, answers, drawn, len(places), rng)
    caveats = (*of_one(notes, params.sample), *_caveats(len(places), drawn, params))
    title = f"Tokens of sample {params.sample} behind {who.names[layer]} on a random subspace of {q.shape[1]} of {d}"
    common = {"title": title, "estimates": told, "caveats": caveats, "reading": reading(told, q, drawn)}
    if params.show == PICTURES and drawn is not None:
        return _pictured(params, drawn, common)
    return _map(who, int(at[0]), params, known[0], made, energy_kept(x[sample == 0], q), sample == 0, common)


def _known(who, place: int, t: int):
    """((t,) bool of the tokens that may be masked; (t,) their cells, -1 for none; the grid or None)."""
    if not who.is_network:
        return np.ones(t, bool), np.arange(t), None
    layout = who.opened.network.run(who.alone(place)).layout
    there = layout.present[0]
    free, cell = layout.free[0][there], layout.cell[0][there]
    if layout.grid is None or not (cell >= 0).any():
        return free, np.where(free, np.cumsum(free) - 1, -1), None
    return free, cell, layout.grid


def _pictured(params, drawn: Redrawn, common) -> TokenMap:
    names, values, colours, grid = drawn_pictures(drawn)
    return TokenMap(
        samples=np.full(len(names), params.sample), values=values, value_name="brightness", grid=grid, colours=colours,
        names=tuple(SHOWN[name] for name in names), ends=(0.0, 1.0), **common,
    )  # fmt: skip


def _map(who, place: int, params, known, made: Rebuilt, kept, own, common) -> TokenMap:
    scale = max(float(made.spread.mean()), 1e-300)
    values = np.stack([kept, 1 - kept, *(made.errors[way][own] / scale for way in WAYS)])
    _, cell, grid = known
    pictures, words = None, ()
    if grid is not None:
        on = np.full((len(values), grid[0] * grid[1]), np.nan)
        on[:, cell[cell >= 0]] = values[:, cell >= 0]
        values, pictures = on, picture_of(who.alone(place))
    else:
        words = who.opened.words(place) if who.is_network else ()
    fits = grid is None and len(words) == values.shape[1]
    return TokenMap(
        samples=np.full(len(values), params.sample), values=values, value_name="share", names=NAMES, grid=grid,
        pictures=None if pictures is None else pictures[None], words=(tuple(words),) * len(values) if fits else (),
        ends=(0.0, 1.0), **common,
    )  # fmt: skip


def _caveats(n: int, drawn: Redrawn | None, params) -> list[str]:
    said = [
        f"Numbers are of {n} samples and one random subspace; drawn is one sample. Errors above 1 are drawn as 1.",
        "A linear map stands for a decoder that would be trained.",
    ]
    if drawn is None:
        return [*said, "No pixels are rebuilt: there are no pictures that tokens are patches of."]
    if params.show == PICTURES:
        said.append("Pictures are drawn in the range of the original; what lies beyond is drawn at its ends.")
    return said


def _cost(shapes, params: ProjectedTokensParams):
    return passes_cost(
        shapes, params, 6.0, 80.0 * min(shapes[0][0], params.maximum_samples * 16) * shapes[0][1]
    )


def _check() -> tuple[CheckLine, ...]:
    """Energies of P and its complement add up, and so do their means over many draws; independent units are rebuilt to
    the share that is known; units that are one factor are rebuilt from anything but masked tokens."""
    rng = np.random.default_rng(0)
    sample = np.repeat(np.arange(60), 8)
    q = random_basis(12, 4, rng)
    left = {MASKED: np.concatenate([random_left(np.arange(8), 6, rng) for _ in range(60)]),
            BLOCK: np.concatenate([block_left(np.arange(8), (2, 4), 6, rng) for _ in range(60)])}  # fmt: skip
    free = rebuilt(rng.standard_normal((480, 12)), sample, q, left, 3, rng)
    factor = rebuilt(rng.standard_normal((480, 1)) * rng.standard_normal(12), sample, q, left, 3, rng)
    same = np.repeat(rng.standard_normal((60, 12)), 8, axis=0)  # tokens of a sample alike
    held = rng.standard_normal(
        (480, 12)
    )  # pixels that are the token turned: each source gives back what it holds
    turn = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    patches = Patches(held @ turn, np.arange(480), np.tile(np.arange(8), 60), (2, 4), (3, 4, 1))
    again = redrawn(held, sample, q, left, patches, 3, rng)
    tap = ArrayActivations(same, name="planted", layout=Layout(np.arange(61) * 8))
    found = projected_tokens(tap, ProjectedTokensParams(share=1 / 3, maximum_samples=20))
    alike = rebuilt(same, sample, q, left, 3, rng)
    return (
        CheckLine(
            "energies of P and its complement", 1.0, float((found.values[0] + found.values[1]).max()), 1e-12
        ),
        CheckLine("independent units: R² from P", 4 / 12, r2(free, KEPT), 0.05),
        CheckLine("independent units: R² from its complement", 8 / 12, r2(free, REST), 0.05),
        CheckLine("independent tokens: R² of masking", 0.25, r2(free, MASKED), 0.05),
        CheckLine("of a block: the same", 0.25, r2(free, BLOCK), 0.05),
        CheckLine("pixels that tokens hold: R²", 1.0, pixels_r2(again, WHOLE), 1e-3),
        CheckLine("from P: its share of the dimensions", 4 / 12, pixels_r2(again, KEPT), 0.06),
        CheckLine("from its complement", 8 / 12, pixels_r2(again, REST), 0.06),
        CheckLine("one factor: R² from P", 1.0, r2(factor, KEPT), 1e-3),
        CheckLine("tokens alike: R² of masking", 1.0, r2(alike, MASKED), 1e-3),
    )


METHODS = (
    Method(
        id="projected_tokens", family="tokens", network="blocks", title="Tokens on a random subspace", version=2,
        function=projected_tokens,
        summary="Energy kept by a random projection and its complement, tokens and pixels rebuilt, and by masks.",
        params=ProjectedTokensParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=48,
        invariance="rotations of the stream, in distribution; the order of samples",
        papers=("Pre-training with Random Orthogonal Projection Image Modeling",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
