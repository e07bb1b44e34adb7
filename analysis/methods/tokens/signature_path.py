"""What did the path of one sample do? Two channels against each other, the area they sweep, and what each step adds.

The signed (Lévy) area of channels i and j is ½ (S^{ij} - S^{ji}) = ½ ∮ (x_i dx_j - x_j dx_i), closed by the chord from
the last point to the first: positive counter-clockwise; channels, all but
time, are in their deviations over all tokens. Beside it the *contribution over time*: the prediction of the
linear model on all words (`signature_words`) is linear in the signature, and is drawn for the path up to each token.

Null of the area of one path: its steps in random order. Of the mean over samples: 0, that of an order that goes either
way alike; interval Student's t over samples.

When it lies: a closed loop and its way back have area 0 together, though much was walked; components turn their sign
with the data, and the area with them; the model is fitted to all samples, this one among them, so that its score here
flatters (the held-out score stands in `signature_words`); a step late in a path multiplies all that was before, so
that "what it adds" is not its own doing alone.

Cost: O(samples tokens d^levels), capped at 2,000 words.

Reference: L. Bleistein, A. Fermanian, A.-S. Jannot & A. Guilloux (2023), "Learning the dynamics of sparsely observed
interacting systems".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import path_model
from analysis.tokens.mixers.path_words import areas, count, path_words, refuse_large, running, shuffled
from analysis.tokens.mixers.paths import Paths, paths_of

PAPER = "Learning the Dynamics of Sparsely Observed Interacting Systems"
TOKEN, AREA, SCORE, STEP = "token", "area so far", "prediction so far", "what the step adds"
COLOURS = (TOKEN, AREA, SCORE, STEP)


@dataclass(frozen=True)
class SignaturePathParams:
    sample: int = param(0, "Sample, counted from 0.", low=0)
    first: int = param(1, "Channel across, counted from 1 (time, where added, is 1).", low=1, high=50)
    second: int = param(2, "Channel upwards.", low=1, high=50)
    colour: str = param(STEP, "What colours the points.", choices=COLOURS)
    channels: str = param(
        "", "Units, by name or number with commas between; empty: all up to four, else three components."
    )
    column: str = param("label", "Sample column that the model foretells: classes or a number.", column=True)
    time: bool = param(False, "Add the place in the sequence as the first channel.")
    levels: int = param(3, "Longest words of the model.", low=1, high=6, late=True)
    draws: int = param(200, "Random orders of the steps.", low=20, high=5000, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random subset above.", low=10, high=20_000, late=True
    )


def signature_path(
    activations, params: SignaturePathParams = SignaturePathParams(), rng=None, progress=no_progress
) -> Scatter:
    """The path of one sample in two channels.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Tokens in order; samples without tokens are read as gathered rows, which is said.

    Returns
    -------
    Scatter
        Points of the path joined in order, with the area and the prediction up to each.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample, channel, column or unit; fewer than two classes of five samples; tokens that do not vary.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = paths_of(
        tap,
        params.channels,
        params.column,
        params.time,
        False,
        params.maximum_samples,
        rng,
        progress,
        params.sample,
    )
    at, (i, j) = _place(found, params.sample), _pair(found, params)
    refuse_large(found.n, len(found.names), params.levels)
    progress(0.4, "words")
    words = path_words(found.steps, params.levels)
    one, length = found.steps[at : at + 1], int(found.lengths[at])
    told, score, label = _score(found, words, at, one[:, :length], params.levels)
    swept = areas(found.steps, i, j)
    progress(0.7, "steps in random order")
    same = np.repeat(one, params.draws, axis=0)
    chance = areas(shuffled(same, np.full(params.draws, length), rng), i, j)[:, -1]
    progress(1.0, "done")
    estimates = (*_areas(found, swept, at, chance), *told)
    points = found.start[at] + np.vstack([np.zeros(len(found.names)), np.cumsum(one[0, :length], axis=0)])
    columns = {TOKEN: np.arange(length + 1), AREA: np.r_[0.0, swept[at, :length]], SCORE: score,
               STEP: np.r_[0.0, np.diff(score)]}  # fmt: skip
    edges = np.column_stack([np.arange(length + 1), np.r_[np.arange(1, length + 1), 0]]).astype(np.int32)
    return Scatter(
        title=f"Path of sample {int(found.samples[at])} of {tap.name}: {found.names[i]} and {found.names[j]}",
        positions=points[:, [i, j]], rows=np.arange(length + 1), of="steps", columns=columns, colour=params.colour,
        axes=tuple(_axis(found.names[c]) for c in (i, j)), edges=edges, edge_values=np.r_[np.ones(length), 0.0],
        edge_name="1: a step of the path, 0: the chord that closes it", estimates=estimates,
        reading=_reading(found, estimates, columns, label),
        caveats=(*found.notes, f"The prediction is that of {label}, by a model that has seen this sample, too.",
                 "The model knows whole paths: what it says of beginnings is run on from these and may be far out."),
    )  # fmt: skip


def _axis(name: str) -> str:
    return f"{name}, in its deviations" if name != "time" else name


def _place(found: Paths, sample: int) -> int:
    if found.gathered and sample < found.n:
        return sample
    at = np.flatnonzero(found.samples == sample)
    if not len(at):
        raise NotFound(
            f"sample {sample}", f"one of the {found.n:,} that are read, such as {found.samples[0]}"
        )
    return int(at[0])


def _pair(found: Paths, params) -> tuple[int, int]:
    d = len(found.names)
    i, j = params.first - 1, params.second - 1
    if d == 1:
        raise NotFound(f"a second channel beside {found.names[0]}", "two", "Add the time, or name more units")
    if max(i, j) >= d or i == j:
        raise NotFound(
            f"channels {i + 1} and {j + 1}", f"two of 1 to {d}: " + ", ".join(map(str, found.names))
        )
    return i, j


def _score(found: Paths, words, at: int, steps, levels: int):
    """(estimates, prediction up to each token (T,), what it is of)."""
    weight = path_model.weights(words, found.target)
    _, mean, spread = path_model.standardised(words)
    own = int(found.target[at].argmax()) if found.classes else 0
    label = f"the class {found.classes[own]}" if found.classes else "the column"
    so_far = np.concatenate([np.zeros((1, words.shape[1])), *running(steps, levels)])
    score = ((so_far - mean) / spread) @ weight[:, own]
    each = ((words - mean) / spread) @ weight
    others = np.delete(each[:, own], at)
    facts = {"n": found.n, "d": words.shape[1], "estimator": "ridge on words, per deviation of the column"}
    return (
        (Estimate(f"prediction of {label}", float(score[-1]), interval="none: one path",
                  **against(float(score[-1]), others), null_method="predictions of the other samples", **facts),),
        score, label,
    )  # fmt: skip


def _areas(found: Paths, swept, at: int, chance) -> tuple[Estimate, ...]:
    facts = {"d": len(found.names), "estimator": "½ (S^ij - S^ji), closed by the chord",
             "unit": "deviations of the two channels multiplied"}  # fmt: skip
    own, total = float(swept[at, -1]), swept[:, -1]
    p = (1 + (np.abs(chance) >= abs(own) - 1e-12).sum()) / (1 + len(chance))
    return (
        Estimate("signed area of this path", own, interval="none: one path",
                 **{**against(own, chance), "p_value": float(p)},
                 null_method=f"its steps in random order, {len(chance)} draws", n=1, **facts),
        Estimate("mean signed area of all paths", float(total.mean()), **mean_interval(total), null=0.0,
                 null_method="an order that goes either way alike", n=found.n, **facts),
    )  # fmt: skip


def _reading(found: Paths, estimates, columns, label: str) -> str:
    area, mean = estimates[0], estimates[1]
    most = int(np.abs(columns[STEP]).argmax())
    return (
        f"The path sweeps a signed area of {area.value:.3g}; in random order of its steps {area.null_low:.2g} to "
        f"{area.null_high:.2g}. Over {found.n:,} samples the mean is {mean.value:.3g} ({mean.low:.2g} to "
        f"{mean.high:.2g}). The prediction of {label} changes most at token {most}."
    )


def _cost(shapes, params: SignaturePathParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some = min(n, 16 * params.maximum_samples)
    words = min(count(4 + params.time, params.levels), 2000)
    work = 4.0 * min(n, params.maximum_samples) * words**2
    moved = 8.0 * n * k + 80.0 * some * words + 100.0 * params.draws * 16
    return Cost(
        0.1 + m.seconds(flops64=work, moved=moved), some * (k * 26.0 + 600.0) + params.draws * 900.0 + 2e5
    )


def _check() -> tuple[CheckLine, ...]:
    """The unit square walked counter-clockwise has area 1, clockwise -1; a model of two ways round tells them by it."""
    corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    of = np.arange(40) % 2
    x = np.where(of[:, None, None], corners[::-1], corners)
    spread = x.reshape(-1, 2).std(axis=0)
    tap = ArrayActivations(x.reshape(-1, 2) / 1.0, "squares", {"label": of}, Layout(np.arange(41) * 5))
    found, back = (signature_path(tap, SignaturePathParams(draws=20, sample=i)) for i in (0, 1))
    told = found.estimates[2]
    return (
        CheckLine("unit square", 1.0, found.estimates[0].value * float(spread.prod()), 1e-12),
        CheckLine("both ways alike: mean", 0.0, found.estimates[1].value, 1e-12),
        CheckLine("the other way round", -1.0, back.estimates[0].value * float(spread.prod()), 1e-12),
        # half of the others are of the own class, whose prediction is that of this path: ± one deviation
        CheckLine("two ways round: prediction in deviations", 1.0, told.value, 0.05),
        CheckLine("that of the other samples", -1 / 39, told.null, 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="signature_path", family="tokens", title="Path of a sample and its signed area", version=2,
        function=signature_path,
        summary="Two channels of a sample as a path, the signed area it sweeps, and what each step adds to a model.",
        params=SignaturePathParams, result=Scatter, check=_check, cost=_cost, minimum_rows=20,
        invariance="how fast the path is walked and where it begins (without the time channel)", papers=(PAPER,),
    ),
)  # fmt: skip
