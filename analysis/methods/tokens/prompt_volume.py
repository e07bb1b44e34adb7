"""Which tokens of a video does a prompt keep? Similarity over time and space, and pooling to any shape weighted by it.

    w_i = softmax over a cell of cos(x_i, q) / τ,      pooled = Σ_i w_i x_i

for each cell of a target of time x rows x columns; drawn is w_i times the tokens in its cell, 1 for the average, which
τ -> ∞ gives. q is the mean of the prompt's tokens in the second tap, which has to lie in the same space (CLIP's text
and image embeddings). Two prompts are compared: their maps, and the distance ½ Σ |w - w'| of the weights in a cell.

Interval: jackknife over groups of units. Null: for a map other prompts of the tap; for two prompts pairs of them; for
what the pooled tokens gain in similarity with the prompt the gain that other prompts' weights give.

When it lies: two taps as wide as each other need not share a space (see *what other prompts do*); image and text
embeddings lie apart by a gap, so that cosines hardly differ and τ has to be small; what is like a prompt need not
answer it.

Cost: O(prompts F P d).

Reference: R. Liu, H. Tang, H. Liu, Y. Ge, Y. Shan, C. Li & J. Yang (2024), "PPLLaVA: varied video sequence
understanding with prompt guidance".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, Layout, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotFound, ShapeError
from analysis.results import Estimate, TokenMap
from analysis.sources.stored_pictures import BELOW, pictures_below
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.weighted_volume import volume_cells
from analysis.tokens.sets.called import called
from analysis.tokens.sets.clips import CLIP_HELP, FRAME_HELP, FRAMES_HELP, RUN, Clip, Clips
from analysis.tokens.sets.prompts import prompt_null, prompt_told, prompt_weights, prompt_without

FIRST, SECOND, DIFFERENCE = "the prompt", "the other prompt", "the difference"
SHOWN, PROMPTS = (FIRST, SECOND, DIFFERENCE), 40
PROMPTS_LEAST = 2  # of both taps is asked no more: a clip says itself how many frames it needs


@dataclass(frozen=True)
class PromptVolumeParams:
    sample: int = param(0, "The clip, or a frame of it.", low=0, high=1_000_000_000)
    prompt: int = param(0, "The prompt: a sample of the second tap.", low=0, high=1_000_000_000)
    other_prompt: int = param(1, "The prompt it is compared with.", low=0, high=1_000_000_000)
    show: str = param(FIRST, "Whose weights are drawn.", choices=SHOWN)
    temperature: float = param(0.05, "τ: small keeps few tokens, large averages.", low=1e-4, high=1e6)
    times: int = param(1, "Cells along time of the pooled shape; at most the frames.", low=1, high=10_000)
    rows: int = param(1, "Cells along rows.", low=1, high=512)
    columns: int = param(1, "Cells along columns.", low=1, high=512)
    clip: str | None = param(None, CLIP_HELP, column=True, late=True)
    frame: str | None = param(None, FRAME_HELP, column=True, late=True)
    frames: int | None = param(None, FRAMES_HELP, low=2, high=100_000, late=True)


def prompt_volume(
    activations, prompts, params: PromptVolumeParams = PromptVolumeParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Weights of the tokens of a clip for two prompts.

    Parameters
    ----------
    activations : Activations or array (rows, units): tokens of clips.
    prompts : Activations or array (rows, the same units): a sample for each prompt, its tokens averaged.

    Returns
    -------
    TokenMap
        A map for each frame: the weight of each token as a multiple of the average's.

    Raises
    ------
    ShapeError, NotFound, ParameterError, NotEnoughData
        Taps of different width; no such sample; more cells than places; a prompt without a finite token.
    """
    tap, words, rng = (
        as_activations(activations),
        as_activations(prompts, "prompts"),
        rng or np.random.default_rng(0),
    )
    if tap.shape[1] != words.shape[1]:
        raise ShapeError(
            f"{tap.name} has {tap.shape[1]} units and {words.name} {words.shape[1]}", "two taps of one space",
            "Record both behind the projection into the shared space",
        )  # fmt: skip
    clips = Clips(tap, params.clip, params.frame, params.frames)
    progress(0.0, "reading the clip")
    clip, _ = clips.read_one(params.sample)
    x, cell = _volume(clip, params)
    seen = Pass()
    q = np.stack([_prompt(words, i, seen) for i in (params.prompt, params.other_prompt)])
    progress(0.4, "other prompts")
    chance = _others(words, params, rng, seen)
    progress(0.6, "weights")
    w = np.stack([prompt_weights(x, v, cell, params.temperature) for v in q])
    usual = (
        np.stack([prompt_weights(x, v, cell, params.temperature) for v in chance]) if len(chance) else None
    )
    progress(0.8, "without groups of units")
    told = prompt_told(x, q, w, cell)
    without = prompt_without(x, q, cell, params.temperature, rng)
    progress(1.0, "done")
    notes = tuple(dict.fromkeys((*clips.notes, *seen.notes)))
    estimates = _estimates(told, without, prompt_null(x, q, usual, cell), len(x), x.shape[1])
    return _map(tap, clip, w, cell, estimates, params, notes, words)


def _volume(clip: Clip, params) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (N, d) of the clip that are there, and the cell (N,) of each, numbered without gaps."""
    grid = clip.grid or (1, clip.patches)
    cell = volume_cells((clip.n, *grid), (min(params.times, clip.n), params.rows, params.columns))
    there = clip.present.ravel()
    return clip.x.reshape(-1, clip.x.shape[2])[there], np.unique(cell[there], return_inverse=True)[1].reshape(
        -1
    )


def _prompt(words: Activations, sample: int, seen: Pass) -> np.ndarray:
    """(d,) mean of a prompt's finite tokens."""
    layout = words.layout
    if sample >= layout.n_samples:
        raise NotFound(f"prompt {sample} of {words.name}", f"0 to {layout.n_samples - 1:,}")
    x = np.asarray(words.take(np.arange(layout.offsets[sample], layout.offsets[sample + 1])), np.float64)
    good = finite_rows(x)
    seen.n_rows += len(x)
    seen.n_nonfinite += int(len(x) - good.sum())
    refuse_few(f"prompt {sample} of {words.name}", int(good.sum()), 1, "finite token(s)")
    return x[good].mean(axis=0)


def _others(words: Activations, params, rng, seen: Pass) -> np.ndarray:
    """(m, d) prompts that are neither of the two."""
    free, found = np.setdiff1d(np.arange(words.layout.n_samples), [params.prompt, params.other_prompt]), []
    for i in rng.permutation(free)[:PROMPTS]:
        rows = np.asarray(
            words.take(np.arange(words.layout.offsets[i], words.layout.offsets[i + 1])), np.float64
        )
        good = finite_rows(rows)
        seen.n_rows += len(rows)
        seen.n_nonfinite += int(len(rows) - good.sum())
        if good.any():
            found.append(rows[good].mean(axis=0))
    return np.array(found).reshape(len(found), words.shape[1])


def _estimates(told, without, chance, n: int, d: int) -> tuple[Estimate, ...]:
    half = jackknife_half(without) if len(without) else None
    names = ("share of a cell's tokens that counts in effect", "distance of the two prompts' weights",
             "similarity with the prompt gained over the average")  # fmt: skip
    ends, found = ((0.0, 1.0), (0.0, 1.0), (-2.0, 2.0)), []
    for i, name in enumerate(names):
        how = {"interval": "none: fewer than three units"} if half is None else {
            "low": float(max(told[i] - half[i], ends[i][0])), "high": float(min(told[i] + half[i], ends[i][1])),
            "interval": "jackknife over groups of units"}  # fmt: skip
        usual = {"null": (1.0, 0.0, 0.0)[i], "null_method": "the average"}
        if len(chance):
            low, high = np.quantile(chance[:, i], [0.025, 0.975])
            usual = {"null": float(chance[:, i].mean()), "null_low": float(low), "null_high": float(high),
                     "null_method": f"{len(chance)} other prompts of the tap"}  # fmt: skip
        found.append(Estimate(name, float(told[i]), **how, **usual, n=n, d=d, estimator="mean over cells"))
    return tuple(found)


def _map(tap, clip: Clip, w, cell, estimates, params, notes, prompts: Activations) -> TokenMap:
    scaled = w * np.bincount(cell)[cell]
    drawn = {FIRST: scaled[0], SECOND: scaled[1], DIFFERENCE: scaled[0] - scaled[1]}[params.show]
    values = np.full(clip.present.shape, np.nan)
    values[clip.present] = drawn
    flat, best = clip.patches == 1, int(np.nanargmax(np.where(clip.present, values, -np.inf)) // clip.patches)
    gain, apart = estimates[2], estimates[1]
    said = [*notes, f"That {tap.name} and {prompts.name} share a space is taken for granted."]
    if gain.null_high is not None and gain.value <= gain.null_high:
        said.append(
            "Other prompts' weights bring the pooled tokens as near to this prompt: nothing was found for it."
        )
    one, two = (called("prompt", prompts, k) for k in (params.prompt, params.other_prompt))
    what = {FIRST: one, SECOND: two, DIFFERENCE: f"{one} less {two}"}[params.show]
    names = tuple(clip.frame_name(f) for f in range(clip.n))
    pictures = None if flat else pictures_below(tap, clip.samples, clip.grid)
    if pictures is not None:
        said.append(BELOW)
    return TokenMap(
        title=f"Tokens of {clip.name} that {what} keeps, {tap.name}",
        reading=f"{names[best][0].upper()}{names[best][1:]} holds the token that {what} weighs most; the two prompts' "
                f"weights lie {apart.value:.2g} apart (0: the same, 1: nothing in common).",
        caveats=tuple(said), estimates=estimates, samples=clip.samples[:1] if flat else clip.samples,
        values=values.T if flat else values, value_name="times the average's weight",
        grid=None if flat else clip.grid, names=(what,) if flat else names,
        pictures=pictures,
    )  # fmt: skip


def _cost(shapes, params: PromptVolumeParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 8.0 * d * (RUN * 5 + PROMPTS) + 40.0 * n + 4e4
    return Cost(
        0.01 + m.seconds(flops64=2.0 * RUN * d * PROMPTS, moved=held, calls=400.0 * PROMPTS) + 1e-6 * n, held
    )


def _check() -> tuple[CheckLine, ...]:
    """τ large: the average. Two tokens, along and against a prompt at τ = 2: weights 1 / (1 + e^-1). Its own shape."""
    rng = np.random.default_rng(0)
    x, q = rng.standard_normal((2, 4 * 9, 30)), rng.standard_normal((6, 30))

    def found(x, q, **more):
        tap = ArrayActivations(x.reshape(-1, x.shape[2]), layout=Layout(np.arange(len(x) + 1) * x.shape[1]))
        return prompt_volume(tap, ArrayActivations(q), PromptVolumeParams(**more))

    hot = found(x, q, frames=4, temperature=1e6)
    ends = found(np.array([[[1.0, 0], [-1, 0]]] * 2), np.eye(2), frames=2, temperature=2.0)
    same = found(x, q, frames=4, other_prompt=0, show=DIFFERENCE)
    own = found(x, q, frames=4, times=4, rows=3, columns=3)
    return (
        CheckLine("hot: off the average", 0.0, float(np.abs(hot.values - 1).max()), 1e-5),
        CheckLine("along and against: weight", 2 / (1 + np.exp(-1)), float(ends.values[0, 0]), 1e-12),
        CheckLine("one prompt twice: difference", 0.0, float(np.abs(same.values).max()), 0.0),
        CheckLine("to its own shape: every weight", 1.0, float(own.values.min()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="prompt_volume", family="tokens", title="Tokens of a video that a prompt keeps", version=3,
        summary="Similarity of a prompt with tokens over time and space, and pooling weighted by it, for two prompts.",
        function=prompt_volume, params=PromptVolumeParams, result=TokenMap, check=_check, cost=_cost, inputs=2,
        matches="nothing", same_units=True, roles=("tokens of the video", "prompts"), minimum_rows=PROMPTS_LEAST,
        invariance="rotations of both taps together; the length of tokens in the weights",
        papers=("PPLLaVA: Varied Video Sequence Understanding With Prompt Guidance",),
    ),
)  # fmt: skip
