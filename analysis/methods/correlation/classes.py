"""Which classes a tap places in the same direction: the cosine (or Pearson's r) of centred class means, class x class.

With m_c the mean of class c and m the mean of the class means, the cell is cos(m_a - m, m_b - m): 1 for classes on the
same side of the whole, -1 for opposite ones. Because the centred means sum to zero, classes that are all equally far
from each other (the simplex that trained classifiers approach) show -1 / (C - 1) everywhere, not 0.

Null: labels exchanged between samples, `permutations` times: random groups, whose means lie in random directions of the
tap, the more alike or opposite by chance the fewer directions carry its variance. Its mean stands beside each cell. A
cell is marked where its distance from it, in deviations of the null pooled over all cells, passes Benjamini and
Hochberg's rule. Interval: samples drawn again inside their classes; deviation on the scale of arctanh, about the value.

When it lies: means of few samples are mostly noise, which pulls every cosine towards its null: a small class looks
unrelated; the units of largest variance rule (standardise them where they have different scales); a mean says nothing
about overlap, two classes in the same direction may be well apart; hierarchy is of the data as much as of the network.

Cost: O(n d) for the means and O(n C d) for each permutation; memory O(n d) for the pooled samples.

References: V. Papyan, X. Han & D. Donoho (2020) for the simplex; Y. Benjamini & Y. Hochberg (1995); B. Phipson &
G. Smyth (2010) for p-values from permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import upper
from analysis.compute.correlation.correlations import clustered
from analysis.compute.groups.class_means import class_means, resampled_means
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.streaming import refuse_few
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_CLASSES = 1000
FEW = 10  # samples of a class below which its cells are drawn as uncertain


@dataclass(frozen=True)
class ClassCorrelationParams:
    measure: str = param("cosine", "Cosine of the centred class means, or Pearson's r over their units.",
                         choices=("cosine", "pearson"))  # fmt: skip
    scaling: str = param(
        "as recorded", "Units as they are, or each with deviation 1: then none rules by its size.",
        choices=("as recorded", "standardised"),
    )  # fmt: skip
    column: str = param("label", "The sample column that holds the classes.", column=True)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    permutations: int = param(200, "Exchanges of the labels for the null.", low=19, high=5000)
    draws: int = param(200, "Resamples for the intervals.", low=40, high=5000)
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=50, high=1_000_000
    )


def class_correlation(
    activations, params: ClassCorrelationParams = ClassCorrelationParams(), rng=None, progress=no_progress
) -> Matrix:
    """Class means of a tap against each other.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Matrix
        `values` (C, C), 1 on the diagonal; `null`, `low` and `high` of each cell; `significant` after false-discovery
        control (5 %) over pairs; `few` where a class has fewer than ten samples; ordered by average linkage.
        Estimates: the mean over pairs, the most and the least alike pair.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than three classes with five samples, or two units that vary; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.3),
    )  # fmt: skip
    k, notes = len(data.names), list(data.notes)
    refuse_few(
        activations.name, k, 3, "classes with at least five samples: two centred means are always opposite"
    )
    refuse_few(activations.name, MOST_CLASSES - k + 1, 1, f"of {k} classes can be drawn")
    x = _units(data, params, activations.name, notes)
    value = _alike(class_means(x, data.of, k), params.measure)
    null, spread, q, band = _null(x, data, value, params, rng, progress)
    progress(0.8, "drawing samples again")
    drawn = _alike(resampled_means(x, data.of, k, params.draws, rng), params.measure)
    low, high = _interval(value, drawn)
    order, tree = clustered(value, absolute=False)
    estimates = _estimates(value, drawn, null, spread, low, high, data, x.shape[1], params)
    few, own = data.counts < FEW, np.eye(k, dtype=bool)
    return Matrix(
        title=f"Classes of {activations.name} ({params.column})", reading=_reading(estimates, k, q, band),
        caveats=(*notes, "A mean says nothing about overlap: classes in one direction may be well apart."),
        estimates=estimates, values=value, row_names=data.names, column_names=data.names,
        value_name="cosine of class means" if params.measure == "cosine" else "r of class means",
        row_order=order, column_order=order, linkage=tree, null_band=band, significant=q < 0.05, limits=(-1.0, 1.0),
        diverging=True, null=np.where(own, np.nan, null), low=low, high=high, few=(few[:, None] | few) & ~own,
    )  # fmt: skip


def _units(data: LabelledMatrix, params, name: str, notes: list[str]) -> np.ndarray:
    """Centred values (n, units) of the units that vary."""
    mean, variance = data.values.mean(axis=0), data.values.var(axis=0)
    varies = is_varying(variance, mean)
    refuse_few(name, int(varies.sum()), 2, "unit(s) that vary")
    if not varies.all():
        notes.append(f"{int((~varies).sum())} constant unit(s) left out.")
    x = data.values[:, varies] - mean[varies]
    return x / np.sqrt(variance[varies]) if params.scaling == "standardised" else x


def _alike(means: np.ndarray, measure: str) -> np.ndarray:
    """(…, C, C) from class means (…, C, d), centred over classes; exactly 1 on the diagonal, 0 with a mean that is the
    mean of all."""
    z = means - means.mean(axis=-2, keepdims=True)
    if measure == "pearson":
        z = z - z.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    z = np.divide(z, length, out=np.zeros_like(z), where=length > 1e-12 * length.max(initial=0.0))
    found = np.clip(z @ np.swapaxes(z, -1, -2), -1.0, 1.0)
    diagonal = np.arange(found.shape[-1])
    found[..., diagonal, diagonal] = 1.0
    return found


def _null(x, data: LabelledMatrix, value, params, rng, progress):
    """Mean and deviation (C, C) under exchanged labels, q-values (C, C), and the band of 95 % of all cells."""
    k, draws = len(data.names), []
    for i in range(params.permutations):
        progress(0.3 + 0.5 * i / params.permutations, "exchanging labels")
        draws.append(_alike(class_means(x, rng.permutation(data.of), k), params.measure))
    draws = np.array(draws)
    mean, spread = draws.mean(axis=0), draws.std(axis=0, ddof=1)
    i, j = np.triu_indices(k, 1)
    scale = np.maximum(spread[i, j], 1e-12)
    pooled = np.sort(np.abs((draws[:, i, j] - mean[i, j]) / scale).ravel())
    above = len(pooled) - np.searchsorted(pooled, np.abs(value[i, j] - mean[i, j]) / scale - 1e-12)
    q = np.zeros((k, k))
    q[i, j] = q[j, i] = benjamini_hochberg((1 + above) / (1 + len(pooled)))
    low, high = np.quantile(draws[:, i, j], [0.025, 0.975])
    return mean, spread, q, (float(low), float(high))


def _interval(value: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """About the value, by the deviation of resamples on the scale of arctanh; 1 to 1 on the diagonal."""
    edge = 1 - 1e-9
    half = 1.959964 * np.arctanh(np.clip(drawn, -edge, edge)).std(axis=0, ddof=1)
    middle = np.arctanh(np.clip(value, -edge, edge))
    ends = [np.tanh(middle - half), np.tanh(middle + half)]
    for end in ends:
        np.fill_diagonal(end, 1.0)
    return np.minimum(ends[0], value), np.maximum(ends[1], value)


def _estimates(value, drawn, null, spread, low, high, data, d: int, params) -> tuple[Estimate, ...]:
    n, (i, j) = len(data.of), np.triu_indices(len(value), 1)
    how = f"{params.measure} of centred class means"
    common = {
        "n": n,
        "d": d,
        "estimator": how,
        "null_method": f"labels exchanged {params.permutations} times",
    }
    mean, half = float(upper(value).mean()), 1.959964 * float(drawn[:, i, j].mean(axis=1).std(ddof=1))
    found = [
        Estimate(
            "mean over pairs of classes", mean, mean - half, mean + half, null=float(null[i, j].mean()),
            interval="samples drawn again inside classes", **common,
        )
    ]  # fmt: skip
    wide = float(ndtri(1 - 0.025 / len(i)))  # one chosen among so many (Bonferroni)
    common["null_method"] += f", band for one chosen of {len(i)} pairs"
    for word, at in (("most alike", upper(value).argmax()), ("least alike", upper(value).argmin())):
        a, b = i[at], j[at]
        middle, reach = float(null[a, b]), wide * float(spread[a, b])
        found.append(
            Estimate(
                f"{word}: {data.names[a]} and {data.names[b]}", float(value[a, b]), float(low[a, b]),
                float(high[a, b]), interval="samples drawn again inside classes, this pair held fixed", null=middle,
                null_low=max(middle - reach, -1.0), null_high=min(middle + reach, 1.0), **common,
            )
        )  # fmt: skip
    return tuple(found)


def _reading(estimates, k: int, q: np.ndarray, band: tuple[float, float]) -> str:
    mean, most, least = estimates
    sure, pairs = int(upper(q < 0.05).sum()), k * (k - 1) // 2
    return (
        f"{sure} of {pairs} pairs of classes lie closer together or further apart than random groups of samples do "
        f"(false-discovery rate 5 %; such groups show {band[0]:.2f} to {band[1]:.2f}). The {most.name} "
        f"({most.value:.2f}, {most.low:.2f} to {most.high:.2f}); the {least.name} ({least.value:.2f}). Classes that "
        f"are all equally far from each other show {-1 / (k - 1):.3f} everywhere; the mean here is {mean.value:.3f}."
    )


def _cost(shapes, params: ClassCorrelationParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, classes = min(rows, params.maximum_samples), 10  # of which the shapes say nothing
    flops = 2.0 * n * classes * d * (params.permutations + params.draws)
    return Cost(
        m.seconds(flops64=flops, moved=n * d * 100.0) + 0.02,
        n * d * 24.0 + min(params.draws * classes * d, 5e7) * 24 + 1e5,
    )


def _check() -> tuple[CheckLine, ...]:
    """A planted simplex of four classes; two classes moved together; labels without meaning."""
    rng = np.random.default_rng(11)
    of = np.repeat(np.arange(4), 300)
    x = rng.standard_normal((1200, 40))
    x[np.arange(1200), of] += 6.0
    pair = rng.standard_normal((1200, 40))
    pair[:, 0] += np.array([3.0, 3.0, -3.0, -3.0])[of]

    def found(values, labels):
        return class_correlation(ArrayActivations(values + 100, samples={"label": labels}))

    simplex, joined, noise = found(x, of), found(pair, of), found(pair, rng.permutation(of))
    return (
        CheckLine("simplex: every pair -1 / (C - 1)", -1 / 3, float(upper(simplex.values).mean()), 0.002),
        CheckLine("simplex: largest distance from it", 0.0, float(np.abs(upper(simplex.values) + 1 / 3).max()), 0.03),
        CheckLine("classes moved together", 1.0, float(joined.values[0, 1]), 0.02),
        CheckLine("classes moved apart", -1.0, float(joined.values[0, 2]), 0.02),
        CheckLine("marked pairs of those", 6.0, float(upper(joined.significant).sum()), 0.0),
        CheckLine("labels without meaning: marked pairs", 0.0, float(upper(noise.significant).sum()), 1.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="class_correlation",
        family="correlation",
        title="Class correlation",
        summary="Which classes a tap places in the same direction, and which in opposite ones.",
        version=2,
        function=class_correlation,
        params=ClassCorrelationParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=15,
        invariance="rotating, shifting or rescaling the tap as a whole changes nothing (Pearson: no rotation)",
    ),
)
