"""How are two streams fused? The matrix of the bilinear form, from the checkpoint or fitted.

    out = b + w₁ᵀx + w₂ᵀy + xᵀ W y

The taps are the outputs of the streams. W comes from the checkpoint (`w_xy` of FinalMLP, head by head, or a bilinear
layer of this shape); where there is none, from ridge regression of a class on x, y and their products. A cell is W_ij
times the deviations of x_i and y_j over the samples: what it can move.

Null: the entries of W in random order; of a fit the class exchanged between samples. Interval: jackknife over groups of
samples; a checkpoint's W itself is certain, so that only the deviations vary. Cells count that leave their null
(Student's t, Benjamini-Hochberg at 5 %).

Beside it the share of the output's variance that the product alone explains, less what goes with the linear part; its
null is that of the second stream of other samples, of a fit that of fits to the class exchanged between samples.
W = 0 leaves the sum of two linear streams: a share of 0.

When it lies: rotations of a stream turn W with it, so that a cell has a meaning only where single units have one; a
fitted W says what could be read from both streams, not what the network reads; products of streams with large means
are mostly linear, which the share leaves out and the cells do not.

Cost: O(samples d₁ d₂); a fit O(samples (d₁ d₂)²) of 12 units a stream.

Reference: K. Mao, J. Zhu, L. Su, G. Cai, Y. Li & Z. Dong (2023), "FinalMLP: an enhanced two-stream MLP model for CTR
prediction".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.networks.stream_fusion import Fusion, fitted, fusion_of, interaction_share, parts
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.rows.two_streams import TwoStreams, two_streams
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, away_p, null_spread
from analysis.compute.statistics.sample_groups import groups_of, jackknife_error, jackknife_half
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL, MOST, OF_A_CLASS = 0.05, 12, 5
PAPER = "FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction"


@dataclass(frozen=True)
class StreamFusionParams:
    answer: int = param(0, "Output of the fusion, or class that a fit foretells.", low=0, high=10_000)
    shown: int = param(24, "Most units of a stream drawn, those with most weight.", low=2, high=200)
    column: str = param("label", "Classes for a fit, where the checkpoint has no fusion.", column=True)
    draws: int = param(20, "Draws of the null.", low=9, high=2000, late=True)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random part above.", low=20, high=100_000, late=True
    )


@dataclass(frozen=True)
class Read:
    """A `fusion` of streams `x` (n, a) and `y` (n, b), whose units are called `names`; the `target` (n,) of a fit."""

    fusion: Fusion
    x: np.ndarray
    y: np.ndarray
    names: tuple[list[str], list[str]]
    target: np.ndarray | None
    notes: tuple[str, ...]

    def cells(self, fusion: Fusion | None = None, rows=slice(None)) -> np.ndarray:
        one = self.fusion if fusion is None else fusion
        return one.matrix * np.outer(self.x[rows].std(axis=0), self.y[rows].std(axis=0))

    def without(self, rows: np.ndarray) -> Fusion:
        """The fusion on some samples alone."""
        return self.fusion if self.target is None else fitted(self.x[rows], self.y[rows], self.target[rows])

    def by_chance(self, rng: np.random.Generator) -> Fusion:
        if self.target is not None:
            return fitted(self.x, self.y, rng.permutation(self.target))
        matrix = self.fusion.matrix.copy()
        matrix[self.fusion.joined] = rng.permutation(matrix[self.fusion.joined])
        return replace(self.fusion, matrix=matrix)


def stream_fusion(
    *taps, params: StreamFusionParams = StreamFusionParams(), rng=None, progress=no_progress
) -> Matrix:
    """Units of the first stream by units of the second.

    Parameters
    ----------
    *taps : two Activations or arrays (rows, units)
        Outputs of the first and of the second stream.

    Returns
    -------
    Matrix
        Weights times deviations. Estimates: what the product alone explains, and the largest cell.

    Raises
    ------
    InputError, NotFound, NotEnoughData
        Streams that do not vary; no such column for a fit; fewer than ten common samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    data = two_streams(taps, params.maximum_samples, 10, rng, progress)
    found = _read(taps, data, params)
    groups, usual = groups_of(len(found.x), rng), []
    for k in range(params.draws):
        progress(0.4 + 0.5 * k / params.draws, "by chance")
        usual.append(found.by_chance(rng))
    chance = np.array([found.cells(f) for f in usual])
    left = [groups != g for g in range(groups.max() + 1)]
    without = [found.cells(found.without(rows), rows) for rows in left]
    value, mean = found.cells(), chance.mean(axis=0)
    error = jackknife_error(np.array(without))
    p = away_p(value - mean, chance, error, len(left))
    sure = (benjamini_hochberg(p.ravel()).reshape(p.shape) < LEVEL) & (value != 0)
    half = stdtrit(len(left) - 1, 0.975) * error
    told = _estimates(found, value, chance, usual, left, rng)
    progress(1.0, "done")
    at = np.ix_(
        *(np.sort(np.argsort(-np.square(value).sum(axis=a), kind="stable")[: params.shown]) for a in (1, 0))
    )
    few = () if value[at].size == value.size else ("Units with most weight are drawn.",)
    return Matrix(
        title=f"Fusion of {names[0]} and {names[1]}", values=value[at], null=mean[at], low=(value - half)[at],
        high=(value + half)[at], significant=sure[at], row_names=tuple(found.names[0][i] for i in at[0].ravel()),
        column_names=tuple(found.names[1][j] for j in at[1].ravel()), value_name="weight times deviations",
        diverging=True, few=~found.fusion.joined[at], few_means="not joined by any head", estimates=told,
        caveats=(*data.notes, *found.notes, *few, "A cell has a meaning only where single units have one."),
        reading=f"The product of the streams alone explains {told[0].value:.1%} of the variance of the output; "
        f"{told[0].null_method}, {told[0].null:.1%}.",
    )  # fmt: skip


def _read(taps, data: TwoStreams, params) -> Read:
    from analysis.sources.weights import weights_of

    source, (d1, d2) = getattr(taps[0], "source", None), (t.shape[1] for t in taps)
    names = tuple([str(u) for u in t.unit_names] or [f"unit {j}" for j in range(t.shape[1])] for t in taps)
    try:
        own = fusion_of(weights_of(taps[0] if source is None else source()), d1, d2, params.answer)
        why = f"The checkpoint has no fusion of {d1} by {d2} units"
    except (InputError, NotFound) as error:
        own, why = None, str(error).split(". ")[0]
    if own is not None:
        output = min(params.answer, own.outputs - 1)
        said = f"{own.name} has {own.heads} head(s); output {output} of {own.outputs} is drawn."
        return Read(own, data.first, data.second, names, None, (said,))
    labels = np.asarray(sample_column(taps[0], params.column))[data.position]
    codes = class_codes(labels, params.column, OF_A_CLASS)
    answer = min(params.answer, len(codes.names) - 1)
    kept = [_varying(v[codes.stay], t.name) for v, t in zip((data.first, data.second), taps, strict=True)]
    x, y = data.first[codes.stay][:, kept[0]], data.second[codes.stay][:, kept[1]]
    target = (codes.codes == answer).astype(float)
    said = (
        f"{why}: the fusion is fitted to the class {codes.names[answer]}, from {MOST} units a stream at most.",
    )
    names = tuple([names[i][j] for j in kept[i]] for i in (0, 1))
    return Read(fitted(x, y, target), x, y, names, target, (*said, *codes.notes))


def _varying(x: np.ndarray, name: str) -> np.ndarray:
    """The units that vary most."""
    spread = x.std(axis=0)
    good = np.flatnonzero(spread > 1e-12 * (1 + np.abs(x).max(axis=0)))
    if not len(good):
        raise InputError(f"{name} does not vary", "outputs that differ between samples")
    return np.sort(good[np.argsort(-spread[good], kind="stable")[:MOST]])


def _estimates(found: Read, value, chance, usual, left, rng) -> tuple[Estimate, ...]:
    common = {"n": len(found.x), "d": value.size}
    share = interaction_share(*parts(found.fusion, found.x, found.y))
    draws, of_fit = len(usual), found.target is not None
    # with other samples' second stream a fit keeps its products: what a fit makes of nothing is its null
    moved = np.array([
        interaction_share(*(parts(f, found.x, found.y) if of_fit else
                            parts(found.fusion, found.x, found.y[rng.permutation(len(found.y))])))
        for f in usual
    ])  # fmt: skip
    known = {**against(share, moved), "null_method": f"fitted to the class exchanged, {draws} draws"} if of_fit else {
        **null_spread(moved), "null_method": f"second stream of other samples, {draws} draws"}  # fmt: skip
    without = [interaction_share(*parts(found.without(r), found.x[r], found.y[r])) for r in left]
    half = jackknife_half(np.array(without))
    ends = {"interval": "none: fewer than three groups"} if half is None else {
        "low": max(share - float(half), 0.0), "high": min(share + float(half), 1.0),
        "interval": "jackknife over groups of samples"}  # fmt: skip
    most = float(np.abs(value).max())
    by = "class exchanged" if found.target is not None else "entries of the matrix in random order"
    return (
        Estimate("share of the output by the product alone", share, **ends, **known,
                 estimator="variance of the product less its line in the linear part", **common),
        Estimate("largest cell", most, interval="none: a maximum", **against(most, np.abs(chance).max(axis=(1, 2))),
                 null_method=f"{by}, {draws} draws", estimator="|weight| times deviations", **common),
    )  # fmt: skip


def _cost(shapes, params: StreamFusionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some, units = min(n, params.maximum_samples), min(k, MOST)
    wide = units * units + 2 * units
    work = 4.0 * some * wide * min(wide, some) * (params.draws + 20)
    return Cost(
        0.05 + m.seconds(flops64=work, moved=20.0 * n * k),
        some * (wide * 8.0 * 4 + k * 16.0) + wide**2 * 16.0,
    )


def _check() -> tuple[CheckLine, ...]:
    """A class that is told by the sign of a product alone; a fusion of zeros is two linear streams."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 2)), rng.standard_normal((300, 2))
    of = (x[:, 0] * y[:, 1] > 0).astype(int)
    taps = [ArrayActivations(v, name, {"label": of}) for name, v in (("first", x), ("second", y))]
    found = stream_fusion(*taps, params=StreamFusionParams(answer=1, draws=9))
    own = Fusion("none", np.zeros((2, 2)), np.ones((2, 2), bool), np.ones(2), np.ones(2), 1)
    return (
        CheckLine(
            "the planted pair is the largest cell", 1.0, float(np.abs(found.values).argmax() == 1), 0.0
        ),
        CheckLine("most of the output is the product", 1.0, found.estimates[0].value, 0.1),
        CheckLine("fusion of zeros: share of the product", 0.0, interaction_share(*parts(own, x, y)), 0.0),
    )


METHODS = (
    Method(
        id="stream_fusion", family="tokens", title="Fusion of two streams", version=2, function=stream_fusion,
        summary="The bilinear matrix that fuses two streams, and how much of the output only their product explains.",
        params=StreamFusionParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=10,
        roles=("output of the first stream", "output of the second stream"),
        invariance="the order of units; scales of single units that the weights take back", papers=(PAPER,),
    ),
)  # fmt: skip
