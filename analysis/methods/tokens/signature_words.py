"""Which words of a path tell? Signatures of the samples as paths of their tokens, level by level and word by word.

    S^{i₁…i_k} = ∫_{s₁ < … < s_k} dx_{i₁} … dx_{i_k}

- *mean*: each word, mean over samples. Null: steps of each path in random order, which leaves level 1 as it is, so that
  what differs tells of order. Interval: Student's t over samples.
- *weights*: of a linear model of a column on all words, both per deviation; of classes the root mean square over them.
  Null: the column exchanged between samples. Interval: jackknife over groups of samples.
- *left out*: held-out score of the model with all channels and without each, level by level. Null: exchanged columns.
  Interval: of classes Newcombe's of paired shares, else Student's t.

A cell counts where it leaves its null (Student's t of draws and groups of samples, Benjamini-Hochberg at 5 %).
Identities to read by: S^{ij} + S^{ji} = S^i S^j, and ½ (S^{ij} - S^{ji}) is the signed area; a straight segment v has
v^{⊗k} / k!. Speed and place are not seen without the time channel and the step from the origin.

When it lies: words are far from independent, so that a weight is one of many ways to say the same (ridge spreads it);
components of many units are drawn from the same data; a gap is bridged by a straight line; level k has d^k words, and
with few samples the model finds what is not there (see its null).

Cost: O(samples tokens d^levels), capped at 2,000 words; a model O(samples² words) for each fold.

Reference: L. Bleistein, A. Fermanian, A.-S. Jannot & A. Guilloux (2023), "Learning the dynamics of sparsely observed
interacting systems".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.paired_gain import paired_ends
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import path_model
from analysis.tokens.mixers.path_words import count, path_words, refuse_large
from analysis.tokens.mixers.paths import Paths, paths_of
from analysis.tokens.mixers.signatures import signature
from analysis.tokens.mixers.word_cells import LEFT, MEAN, WEIGHTS, left_cells, score_interval, word_cells

PAPER = "Learning the Dynamics of Sparsely Observed Interacting Systems"


@dataclass(frozen=True)
class SignatureWordsParams:
    show: str = param(
        WEIGHTS, "What is said of each word, or of each channel.", choices=(WEIGHTS, MEAN, LEFT)
    )
    levels: int = param(3, "Longest words.", low=1, high=6)
    channels: str = param(
        "", "Units, by name or number with commas between; empty: all up to four, else three components."
    )
    column: str = param("label", "Sample column that the model foretells: classes or a number.", column=True)
    time: bool = param(True, "Add the place in the sequence as a channel.")
    base: bool = param(False, "Add a step from the origin to the first point.", late=True)
    draws: int = param(20, "Draws of the null.", low=9, high=1000, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random subset above.", low=10, high=20_000, late=True
    )


def signature_words(
    activations, params: SignatureWordsParams = SignatureWordsParams(), rng=None, progress=no_progress
) -> Matrix:
    """Words of the paths that the tokens of samples make.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Tokens in order: a series, a text, frames. Samples without tokens are read as gathered rows, which is said.

    Returns
    -------
    Matrix
        Beginnings of words by their last channel; or levels by left-out channels. Estimates: the held-out score, and
        what each channel adds to it.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column or unit; fewer than two classes of five samples; tokens that do not vary; over 2,000 words.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = paths_of(
        tap, params.channels, params.column, params.time, params.base, params.maximum_samples, rng, progress
    )
    d = len(found.names)
    refuse_large(found.n, d, params.levels)
    progress(0.3, "words")
    words = path_words(found.steps, params.levels)
    fold = path_model.folds(found.target, rng)
    orders = [rng.permutation(found.n) for _ in range(params.draws)]
    whole = path_model.scored(words, found.target, fold, orders)
    progress(0.5, "leaving channels out")
    without = _without(found, params.levels, fold, orders) if d > 1 else {}
    told = _estimates(found, whole, without)
    progress(0.6, params.show)
    if params.show == LEFT:
        cells = left_cells(found, params, fold, orders)
    else:
        cells = word_cells(found, words, params, orders, rng)
    progress(1.0, "done")
    return Matrix(
        title=f"{params.show.capitalize()}: signature up to level {params.levels} of {tap.name}",
        reading=_reading(told, _largest(whole, without)), estimates=told,
        caveats=(*found.notes, f"{count(d, params.levels):,} words over {d} channels.",
                 "Words say overlapping things: a weight is one of several ways to foretell the same."),
        **cells,
    )  # fmt: skip


def _without(found: Paths, levels: int, fold, orders) -> dict[str, path_model.Scored]:
    return {
        name: path_model.scored(path_words(found.without(c), levels), found.target, fold, orders)
        for c, name in enumerate(found.names)
    }


def _largest(whole, without) -> float:
    """What the channel that adds most adds by chance."""
    gaps = [whole.chance - one.chance for one in without.values()]
    return float(np.max(gaps, axis=0).mean()) if gaps else 0.0


def _estimates(found: Paths, whole, without) -> tuple[Estimate, ...]:
    what = "share told right" if found.classes else "R²"
    common = {"n": found.n, "d": len(found.names), "estimator": f"ridge on words, {path_model.FOLDS} folds"}
    by = f"column exchanged between samples, {len(whole.chance)} draws"
    out = [Estimate(f"held-out {what}", whole.score, **score_interval(whole.each, found),
                    **against(whole.score, whole.chance),                    null_method=by, **common)]  # fmt: skip
    for name, one in without.items():
        gap = whole.each - one.each
        value = float(gap.mean())
        out.append(Estimate(f"what the channel {name} adds", value, **paired_ends(one.each, whole.each),
                            **against(value, whole.chance - one.chance), null_method=by, **common))  # fmt: skip
    return tuple(out)


def _reading(told, largest: float) -> str:
    score, adds = told[0], told[1:]
    text = (
        f"The words foretell the column with a {score.name} of {score.value:.2f}, by chance {score.null:.2f}."
    )
    if not adds:
        return text
    most = max(adds, key=lambda e: e.value)  # the largest of several: beside it what is the largest by chance
    name = most.name.removeprefix("what the channel ").removesuffix(" adds")
    return (
        f"{text} The channel missed most is {name}: {most.value:+.2f} ({most.low:+.2f} to {most.high:+.2f}; the most "
        f"by chance {largest:+.2f})."
    )


def _cost(shapes, params: SignatureWordsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some = min(n, 16 * params.maximum_samples)
    words = min(count(4 + params.time, params.levels), 2000)
    work = 2.0 * min(n, params.maximum_samples) * words**2 * 12 + 40.0 * params.draws * words * some
    return Cost(
        0.1 + m.seconds(flops64=work, moved=8.0 * n * k + 80.0 * some * words),
        some * (k * 26.0 + 900.0) + 3e5,
    )


def _check() -> tuple[CheckLine, ...]:
    """Loops walked one way or the other: area alone tells them; words are those of the tensor product, one by one."""
    rng = np.random.default_rng(0)
    of, angle = np.arange(60) % 2, np.linspace(0, 2 * np.pi, 13)
    turn = np.where(of, 1, -1)[:, None] * angle + rng.uniform(0, 6, (60, 1))
    x = np.stack([np.cos(turn), np.sin(turn)], axis=2)
    tap = ArrayActivations(x.reshape(-1, 2), "loops", {"label": of}, Layout(np.arange(61) * 13))
    found = signature_words(tap, SignatureWordsParams(draws=9, time=False, levels=2))
    mean = signature_words(tap, SignatureWordsParams(draws=9, time=False, levels=2, show=MEAN))
    steps = rng.standard_normal((1, 6, 3))
    own = signature(np.vstack([np.zeros(3), np.cumsum(steps[0], axis=0)]), 3)
    gap = np.abs(path_words(steps, 3)[0] - np.concatenate([s.ravel() for s in own])).max()
    s = path_words(steps, 2)[0]
    return (
        CheckLine("two ways round: told right", 1.0, found.estimates[0].value, 0.0),
        CheckLine("closed loops: largest mean on level 1", 0.0, float(np.abs(mean.values[0]).max()), 1e-12),
        CheckLine("words less those of one path", 0.0, float(gap), 1e-12),
        CheckLine("shuffle: S^12 + S^21 - S^1 S^2", 0.0, float(s[4] + s[6] - s[0] * s[1]), 1e-12),
    )


METHODS = (
    Method(
        id="signature_words", family="tokens", title="Path signatures, word by word", version=3,
        function=signature_words,
        summary="Coefficients of path signatures by level and word, and what the model loses without a channel.",
        params=SignatureWordsParams, result=Matrix, check=_check, cost=_cost, minimum_rows=20,
        invariance="how fast a path is walked (without the time channel) and where it begins (without the first step)",
        papers=(PAPER,),
    ),
)  # fmt: skip
