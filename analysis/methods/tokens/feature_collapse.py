"""Do the tokens of an image become alike, and sooner on corrupted copies? Stage by stage.

    effective rank    exp of the entropy of the shares of the singular values of a sample's tokens (T, d), not centred,
                      over the most there can be, min(T, d)
    mean cosine       over all pairs of its tokens

of the inputs as they are and of corrupted copies of the very same (noise, blur, less contrast; of texts tokens
exchanged among places). Equal tokens have an effective rank of 1 and a cosine of 1: collapse.

Interval: Student's t over samples; of a change over pairs of a sample and its copy. Null: Gaussian tokens of the same
number and width, sample by sample; of a change none.

When it lies: one strong common direction (a mean) makes cosines large without any token being like another; ranks
depend on T and d, which change between stages; a token that is much longer than the others lowers the rank alone;
collapse in the last stage may be what a mean behind it wants; corruptions here are made of prepared inputs, not of
files.

Cost: two passes of each sample; O(T d min(T, d)) for each stage.

References: O. Roy & M. Vetterli (2007), "The effective rank"; Y. Dong, J.-B. Cordonnier & A. Loukas (2021), "Attention
is not all you need: pure attention loses rank doubly exponentially with depth".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.collapse import KINDS, NOISE, RowStages, effective_rank, mean_cosine, stages
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, DRAWS = 6.0, 4
RANK, COSINE = "rank", "cosine"
CLEAN, WORSE = "clean", "corrupted"
EXCHANGED = "tokens exchanged among places"
ENDS = {RANK: (0.0, 1.0), COSINE: (-1.0, 1.0)}
LONG = {RANK: "effective rank over the most", COSINE: "mean cosine"}


@dataclass(frozen=True)
class FeatureCollapseParams:
    corruption: str = param(NOISE, "What is done to the copies.", choices=KINDS)
    strength: float = param(
        1.0,
        "Noise of so many standard deviations; a blur of so many sixteenths of the side; contrast over 1 + this.",
        low=0.0,
        high=10.0,
    )
    maximum_samples: int = param(24, "Most samples; a seeded random subset above.", low=2, high=5000)
    source: str = param(
        AUTOMATIC, "Whose stages: the network's, or rows that read each other again and again.", choices=SOURCES,
        late=True,
    )  # fmt: skip


def feature_collapse(
    activations, params: FeatureCollapseParams = FeatureCollapseParams(), rng=None, progress=no_progress
) -> Curve:
    """Rank and likeness of tokens over stages, clean and corrupted.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; otherwise its rows.

    Returns
    -------
    Curve
        Over stages. Estimates: rank and cosine at the last stage, and how both change by the corruption.

    Raises
    ------
    InputError, NotEnoughData
        Rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stages(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    refuse_few(tap.name, who.n, 2, "sample(s)")
    found, shapes = [], []
    for k in range(who.n):
        progress(0.2 + 0.7 * k / who.n, "clean and corrupted")
        both = who.stages(k, params.corruption, params.strength, rng)
        found.append([[_measured(x) for x in side] for side in both])
        shapes.append([x.shape for x in both[0]])
    found = np.array(found)  # (n, 2 sides, L, 2 measures)
    known = {shape: _by_chance(shape, rng) for shape in dict.fromkeys(s for of in shapes for s in of)}
    null = np.array([[known[shape] for shape in of] for of in shapes]).mean(axis=0)
    done = EXCHANGED if who.of_words else params.corruption
    progress(1.0, "done")
    lines: tuple[dict, dict, dict, dict] = ({}, {}, {}, {})
    for c, measure in enumerate((RANK, COSINE)):
        for s, side in enumerate((CLEAN, WORSE)):
            of = found[:, s, :, c]
            ends = [mean_interval(of[:, i], *ENDS[measure]) for i in range(of.shape[1])]
            put = (of.mean(axis=0), *(np.array([e[k] for e in ends]) for k in ("low", "high")), null[:, c])
            for line, values in zip(lines, put, strict=True):
                line[f"{measure}, {side}"] = values
    told = _estimates(found, null, tap.shape[1])
    sizes = ", ".join(_sizes([of[i] for of in shapes]) for i in _changes(shapes[0]))
    return Curve(
        title=f"Are tokens alike? {who.what}, as they are and with {done}", x=np.arange(len(who.names)),
        x_name="stage", x_labels=who.names, y_name="effective rank over the most, mean cosine",
        series=lines[0], low=lines[1],
        high=lines[2], null=lines[3], estimates=told, reading=_reading(found, null, who.names, done),
        caveats=(*notes, f"{who.n:,} samples; tokens x units of stages: {sizes}.",
                 f"Copies: {done} of strength {params.strength:g}, made of the prepared inputs."),
    )  # fmt: skip


def _changes(shapes) -> list[int]:
    """Stages whose shape is another than the one's before."""
    return [i for i, shape in enumerate(shapes) if not i or shape != shapes[i - 1]]


def _sizes(shapes) -> str:
    """Of one stage in all samples."""
    t, d = ([s[i] for s in shapes] for i in (0, 1))
    return f"{min(t)} to {max(t)} x {d[0]}" if min(t) < max(t) else f"{t[0]} x {d[0]}"


def _measured(x: np.ndarray) -> tuple[float, float]:
    return effective_rank(x) / min(x.shape), mean_cosine(x)


def _by_chance(shape: tuple[int, int], rng) -> np.ndarray:
    return np.mean([_measured(rng.standard_normal(shape)) for _ in range(DRAWS)], axis=0)


def _estimates(found: np.ndarray, null: np.ndarray, d: int) -> tuple[Estimate, ...]:
    n, out = len(found), []
    made = {"n": n, "d": d, "estimator": "mean over samples"}
    for c, measure in enumerate((RANK, COSINE)):
        for s, side in enumerate((CLEAN, WORSE)):
            each = found[:, s, -1, c]
            ends = mean_interval(each, *ENDS[measure])
            out.append(Estimate(f"{LONG[measure]}, {side}, last stage", float(each.mean()), **ends,
                                null=float(null[-1, c]), null_method=f"Gaussian tokens, {DRAWS} draws",
                                **made))  # fmt: skip
        change = found[:, 1, :, c] - found[:, 0, :, c]
        each = change.mean(axis=1)
        out.append(Estimate(f"change of {LONG[measure]}, mean over stages", float(each.mean()), **mean_interval(each),
                            null=0.0, null_method="the same inputs again", **made))  # fmt: skip
    return tuple(out)


def _reading(found: np.ndarray, null, names, done: str) -> str:
    mean = found.mean(axis=0)
    change = mean[1, :, 1] - mean[0, :, 1]
    most = int(np.abs(change).argmax())
    return (
        f"From {names[0]} to {names[-1]} the effective rank goes from {mean[0, 0, 0]:.0%} to {mean[0, -1, 0]:.0%} of "
        f"the most (Gaussian tokens at the end: {null[-1, 0]:.0%}) and the mean cosine from {mean[0, 0, 1]:.2f} to "
        f"{mean[0, -1, 1]:.2f}. With {done} they end at {mean[1, -1, 0]:.0%} and {mean[1, -1, 1]:.2f}; "
        f"of {len(names)} stages the cosine changes most at {names[most]}, by {change[most]:+.2f}."
    )


def _cost(shapes, params: FeatureCollapseParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = max(min(n // RUN + 1, params.maximum_samples), 1)
    held = 26.0 * samples * RUN * k + 8.0 * 12 * RUN * k + 1e5
    flops = samples * 40.0 * RUN * RUN * k
    return Cost(OPENING + m.seconds(flops64=flops + 1e6 * n, moved=8.0 * n * k), held, 2 * samples)


def _check() -> tuple[CheckLine, ...]:
    """Equal tokens, orthogonal tokens, and rows that read each other."""
    rng = np.random.default_rng(0)
    equal, apart = np.ones((5, 8)), np.eye(5, 8)
    rows = RowStages([rng.standard_normal((12, 6)) for _ in range(3)], "planted", ())
    clean, same = rows.stages(0, NOISE, 0.0, rng)
    return (
        CheckLine("equal tokens: effective rank", 1.0, effective_rank(equal), 1e-9),
        CheckLine("and cosine", 1.0, mean_cosine(equal), 1e-12),
        CheckLine("orthogonal tokens: effective rank", 5.0, effective_rank(apart), 1e-12),
        CheckLine("and cosine", 0.0, mean_cosine(apart), 1e-12),
        CheckLine("attention without shortcuts makes alike", 0.3, mean_cosine(clean[-1]) - mean_cosine(clean[0]), 0.0,
                  "at least"),
        CheckLine("a corruption of strength 0", 0.0, float(np.abs(clean[-1] - same[-1]).max()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_collapse", family="tokens", title="Tokens that become alike", version=2, function=feature_collapse,
        summary="Effective rank and mean cosine of tokens from stage to stage, on inputs as they are and on corrupted "
        "copies of them.", params=FeatureCollapseParams, result=Curve, check=_check, cost=_cost, minimum_rows=4,
        invariance="rotations of the units; one factor of all tokens; the order of tokens",
        papers=("Medical Image Classification with KAN-Integrated Transformers and Dilated Neighborhood Attention",
            "Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
