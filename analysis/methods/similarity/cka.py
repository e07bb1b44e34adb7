"""Centred kernel alignment: are the same pairs of samples alike in two representations? Taps x taps.

CKA(X, Y) = U(X, Y) / sqrt(U(X, X) U(Y, Y)) with U the unbiased HSIC of linear or Gaussian kernels
(`compute.similarity.hsic`): 1 when one is the other up to rotation and scale, 0 on average when they have nothing in
common. Taps may be of different networks: samples are matched by id, tokens are pooled.

Null: samples exchanged between the two sides. Its mean is 0 and its deviation sqrt(2 / (n (n - 3))) exactly, for any
data and kernel; a pair counts as alike where even Cantelli's bound on chance passes Benjamini-Hochberg at 5 %. The
*biased* estimate, which most published code computes, is for comparison with such numbers: unrelated representations
give it about p / (n + p), more than 0.9 with ten times as many units as samples, and its exact null says so.
*Minibatch* averages unbiased inner products over batches, as is done where all samples do not fit: as unbiased, less
precise.

When it lies: the directions of largest variance rule (a single outlying unit or sample can make or break it; compare
standardised units); it ignores rotations only, so that two networks may hold the same information and differ; a high
value on few classes says that both tell the classes apart, and little else; pooled tokens hide where things are.

Cost: linear: a product O(n p q) for each pair, one pass over each tap, memory O(n Σ d + p q); pairs and taps that an
earlier comparison of the same samples had cost nothing. Gaussian: O(n² Σ d).

References: S. Kornblith et al. (2019), "Similarity of neural network representations revisited"; L. Song et al. (2012)
for the unbiased estimate; T. Nguyen et al. (2021) for minibatches; G. Székely & M. Rizzo (2014); F. Cantelli (1928);
Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.cka_grid import batch_grid, kernel_grid, linear_grid
from analysis.compute.similarity.hsic import FEWEST, block_bytes, null_deviation
from analysis.compute.similarity.hsic_kernel import PAIRS
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, Grid, arranged
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, NotEnoughData
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_GAUSSIAN = 10_000  # samples: n² kernels take minutes beyond


@dataclass(frozen=True)
class CkaParams:
    kernel: str = param(
        "linear", "Linear compares inner products; Gaussian compares near neighbours only, the narrower the more so.",
        choices=("linear", "Gaussian"),
    )  # fmt: skip
    estimator: str = param(
        "unbiased",
        "Unbiased is 0 on average without any relation; biased is what most published numbers are; minibatch averages "
        "unbiased inner products over batches.",
        choices=("unbiased", "biased", "minibatch"),
    )
    scaling: str = param(
        "as recorded", "Units as they are, or each with deviation 1: then none rules by its size.",
        choices=("as recorded", "standardised"),
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    bandwidth: float = param(
        0.8, "Width of the Gaussian kernel, in median distances between samples.", low=0.05, high=20.0
    )
    batch: int = param(128, "Samples of a minibatch.", low=FEWEST, high=4096)
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def cka(*taps, params: CkaParams = CkaParams(), rng=None, progress=no_progress) -> Matrix:
    """CKA of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal (or the first network's taps by the others'); `null`, `low` and
        `high` of each cell; `significant` beyond chance (false-discovery rate 5 % over pairs); `few` where the interval
        is wider than ± 0.1. Estimates: of two taps their CKA; of more the mean, the highest and the lowest.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than four common samples, or than a minibatch; over
        4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    rows, columns = arranged([t.name for t in taps], params.arrangement)
    most, minimum = params.maximum_samples, FEWEST
    if params.kernel == "Gaussian" and params.estimator != "minibatch":
        most = min(most, MOST_GAUSSIAN)
    plain = params.kernel == "linear" and params.estimator != "minibatch" and params.scaling != "standardised"
    data = common_samples(
        taps, rng, maximum=most, minimum=minimum, pooling=params.pooling, progress=progress, as_stored=plain
    )
    values = [_scaled(x, params.scaling, tap.name) for x, tap in zip(data.values, taps, strict=True)]
    grid, lengths, notes = _compared(values, data.keys, rows, columns, params, rng, progress)
    notes += [
        f"{tap.name}: its distances are sums of the two samples' own terms (all samples equally far from each other, "
        "or one apart from the rest), so nothing can be like it (CKA 0)."
        for tap, length in zip(taps, lengths, strict=True)
        if length <= 0
    ]
    batches = params.estimator == "minibatch"
    words = Words(
        "CKA", f"{params.kernel} CKA, {_ESTIMATORS[params.estimator]}",
        f"samples exchanged{' within batches' * batches}, exact moments; p by Cantelli's bound",
        interval=f"jackknife over groups of {'batches' if batches else 'samples'}, t",
    )  # fmt: skip
    if params.kernel == "Gaussian" and len(data.ids) > PAIRS:
        notes.append(f"The median distance is that of a random {PAIRS:,} samples.")
    return similarity_matrix(grid, words, [t.name for t in taps], (*notes, *_caveats(params), *data.notes))


_ESTIMATORS = {
    "unbiased": "unbiased (U-statistic)", "biased": "biased (V-statistic)", "minibatch": "unbiased, minibatches",
}  # fmt: skip


def _compared(
    values, keys, rows, columns, params: CkaParams, rng, progress
) -> tuple[Grid, np.ndarray, list[str]]:
    biased = params.estimator == "biased"
    if params.estimator == "minibatch":
        n = len(values[0])
        if n < params.batch:
            raise NotEnoughData(
                f"{n} common sample(s)", f"at least one minibatch of {params.batch}", "Lower 'batch'"
            )
        share = params.bandwidth if params.kernel == "Gaussian" else None
        grid, lengths, count = batch_grid(values, rows, columns, rng, batch=params.batch, share=share)
        notes = [f"{count:,} batches of {params.batch} samples; {n - grid.n} that fill none left out."]
        if count < 3:
            notes.append("Fewer than three batches have no interval.")
        return grid, lengths, notes
    if params.kernel == "Gaussian":
        found = kernel_grid(
            values, rows, columns, rng, share=params.bandwidth, biased=biased, progress=progress
        )
    else:
        if params.scaling == "standardised":
            keys = [f"{key} standardised" for key in keys]
        found = linear_grid(values, rows, columns, rng, biased=biased, keys=keys, progress=progress)
    return *found, []


def _scaled(x: np.ndarray, scaling: str, name: str) -> np.ndarray:
    if scaling != "standardised":
        return x
    mean, spread = x.mean(axis=0), x.std(axis=0)
    varies = is_varying(spread**2, mean)
    if not varies.any():
        raise InputError(
            f"no unit of {name} varies beyond rounding", "units that differ", "Choose another tap"
        )
    return (x - mean)[:, varies] / spread[varies]


def _caveats(params: CkaParams) -> list[str]:
    notes = []
    if params.estimator == "biased":
        notes.append(
            "The biased estimate rises with units per sample: compare a value with its floor, never with 0."
        )
    if params.scaling == "as recorded":
        notes.append("Directions of large variance rule; with standardised units the picture may be another.")
    return notes


def _cost(shapes, params: CkaParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    whole, k = sum(units for _, units in shapes), len(shapes)
    if params.estimator == "minibatch":
        b = min(params.batch, n)
        flops, moved, more = (
            2.0 * n * b * (whole + k * k),
            8.0 * n * (whole * 8 + b * k * 8),
            8.0 * b * b * k * 3,
        )
    elif params.kernel == "Gaussian":
        n = min(n, MOST_GAUSSIAN)
        flops, moved, more = (
            2.0 * n * n * (whole + k * k),
            8.0 * n * n * k * 8,
            8.0 * (32 << 20) * 3 + 80.0 * n * k,
        )
    else:
        d = [min(units, n) for _, units in shapes]
        flops = 2.0 * n * (sum(d) ** 2 + sum(p * p for p in d)) / 2
        flops += sum(2.0 * n * n * units for _, units in shapes if units > n)
        moved = 8.0 * n * whole * 16 + 80.0 * sum(d) ** 2
        more = block_bytes(max(d)) + 8.0 * n * (sum(d) + 24 * k)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.01, 8.0 * n * whole * 2 + more)


def _check() -> tuple[CheckLine, ...]:
    """A rotated, scaled and shifted copy: 1. Unrelated data: 0 unbiased, and the floor p / (n + p) biased. Half of the
    units shared by two representations of independent units: 1/2, from minibatches too."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((500, 100)), rng.standard_normal((500, 100))
    q = np.linalg.qr(rng.standard_normal((100, 100)))[0]
    half = np.hstack([x[:, :50], y[:, :50]])

    def value(a, b, **more) -> float:
        return float(cka(ArrayActivations(a), ArrayActivations(b), params=CkaParams(**more)).values[0, 1])

    turned = 7 * x @ q - 30
    return (
        CheckLine("rotated, scaled and shifted: CKA", 1.0, value(x, turned), 1e-10),
        CheckLine("the same with Gaussian kernels", 1.0, value(x, turned, kernel="Gaussian"), 1e-10),
        CheckLine("unrelated: CKA", 0.0, value(x, y), 4 * null_deviation(500)),
        CheckLine("unrelated: Gaussian CKA", 0.0, value(x, y, kernel="Gaussian"), 4 * null_deviation(500)),
        CheckLine("unrelated: biased CKA is p / (n + p)", 100 / 600, value(x, y, estimator="biased"), 0.01),
        CheckLine("half of the units shared: CKA", 0.5, value(x, half), 0.02),
        CheckLine("the same from minibatches", 0.5, value(x, half, estimator="minibatch", batch=50), 0.04),
    )  # fmt: skip


METHODS = (
    Method(
        id="cka", family="similarity", title="CKA (centred kernel alignment)", version=3, function=cka,
        summary="Whether the same pairs of samples are alike in two or more layers or networks.",
        params=CkaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting either side changes nothing; stretching one direction does",
        papers=(
            "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
            "Counter-Current Learning: A Biologically Plausible Dual Network Approach for Deep Learning",
            "Reversible Column Networks",
        ),
    ),
)  # fmt: skip
