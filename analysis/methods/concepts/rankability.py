"""Can an attribute be read off as an order? One axis made in several ways, judged by rank on samples it has not seen.

Half of the samples make an axis w; the others are sorted by w · x, and Spearman's ρ says how well that is their order
by the attribute. Axes, from few labels to many: one low and one high sample (two clicks), two groups (halves by the
median, or two selections), the 50 lowest against the 50 highest, least squares, ridge, and a logistic probe of the
upper against the lower half. An MLP, which need not go along an axis, says what a line leaves out.

Only held-out ρ is shown as a result: with fewer samples than units least squares orders its own samples perfectly,
whatever the attribute (ρ = 1 on noise). Training values stand beside it to show that.

Null: the attribute exchanged between samples, ρ has mean 0 and variance 1 / (n - 1), exactly. Intervals by Fisher's z;
that of two samples is the middle 95 % of 20 pairs drawn from the lowest and the highest twentieth.

When it lies: an axis may order samples by something that goes with the attribute (size with age); an order inside
groups can be absent although groups are ordered; ties of the attribute bound ρ below 1; two clicks work only where the
attribute is a large part of the variance.

Cost: one singular value decomposition O(n d min(n, d)) and an MLP. Memory O(n d).

References: A. Sonthalia et al. (2025), "On the rankability of visual embeddings"; C. Spearman (1904).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import Concept, ConceptParams
from analysis.compute.groups.concept_axis import clicked_axis
from analysis.compute.groups.concept_samples import ConceptSamples, concept_samples
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ranking_axes import (
    spearman,
    spearman_estimate,
    spearman_p,
)
from analysis.compute.linear.ranking_ways import RIDGE, axes_by_way
from analysis.compute.machine import machine
from analysis.compute.subspaces.probes import MLP, READERS
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10
HELP = {
    "axis": "how it was made",
    "labels": "samples whose attribute was used",
    "held-out rho": "Spearman's ρ with the attribute on the other half of the samples",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "p": "two-sided p that order and attribute have nothing to do with each other",
    "training rho": "ρ on the samples that made the axis: never a result",
    "cosine": "cosine with the ridge axis; 0 for what is no axis",
}


@dataclass(frozen=True)
class RankabilityParams(ConceptParams):
    low: str = param(
        "", "Id of a sample that stands low, as clicked; with `high` it makes the two-sample axis."
    )
    high: str = param("", "Id of a sample that stands high.")
    maximum_samples: int = param(4000, "Most samples; a seeded random subset above.", low=40, high=50_000)


def rankability(
    activations, params: RankabilityParams = RankabilityParams(), rng=None, progress=no_progress
) -> Table:
    """Held-out rank correlation of several axes with one attribute.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Table
        A line per axis, see `HELP`; an MLP last. Estimates: every held-out ρ.

    Raises
    ------
    NotFound, ParameterError
        No such column, value or sample id; one id only, or the same twice.
    NotEnoughData, InputError
        Fewer than 20 samples with the attribute; it is constant, or classes without an order; the two clicked
        samples have equal activations.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = concept_samples(
        activations,
        params,
        minimum=FEWEST,
        maximum=params.maximum_samples,
        as_number=True,
        keep=(params.low, params.high),
        rng=rng,
        progress=progress,
    )
    clicked = None
    if params.low or params.high:
        clicked = clicked_axis(activations, params.low, params.high, data.x, data.samples)
    y, x = data.concept.values, data.x
    half = folds_of(np.unique(y, return_inverse=True)[1].reshape(-1), 2, rng)
    train, test = half == 0, half == 1
    if clicked is not None:
        test[list(clicked[1])] = False  # a clicked sample is no evidence
    progress(0.2, "making axes")
    axes = axes_by_way(x, y, train, None if clicked is None else clicked[0], rng)
    progress(0.5, "fitting an MLP")
    scale, middle = np.sqrt(x[train].var(axis=0).mean()), x[train].mean(axis=0)
    z, part = (x - middle) / scale, Concept(data.concept.name, None, (), y[train])
    bent = READERS[MLP](z[train], part, z, np.random.default_rng(int(rng.integers(2**31))))
    return _table(activations.name, data, train, test, axes, bent)


def _table(name: str, data: ConceptSamples, train, test, axes, bent) -> Table:
    y, x, n, d = data.concept.values, data.x, int(test.sum()), data.x.shape[1]
    rows, estimates = [], []
    ridge = axes[RIDGE][0][0]
    for axis, (made, labels) in axes.items():
        rho, own = ([spearman(x[part] @ w, y[part]) for w in made] for part in (test, train))
        cosine = float(np.mean([_cosine(w, ridge) for w in made]))
        e = spearman_estimate(f"held-out ρ, {axis}", float(np.mean(rho)), n, d, f"Spearman, {axis} axis")
        if len(rho) > 1:
            low, high = np.percentile(rho, [2.5, 97.5])
            e = Estimate(
                e.name, e.value, low=float(low), high=float(high), interval=f"middle 95 % of {len(rho)} pairs", n=n,
                null=0.0, null_low=e.null_low, null_high=e.null_high, null_method=e.null_method + ", of one pair", d=d,
                p_value=float(np.median([spearman_p(r, n) for r in rho])), estimator=e.estimator + ", mean over pairs",
            )  # fmt: skip
        estimates.append(e)
        rows.append((axis, labels, e.value, e.low, e.high, e.p_value, float(np.mean(own)), cosine))
    e = spearman_estimate("held-out ρ, MLP", spearman(bent[test], y[test]), n, d, "Spearman, MLP (no axis)")
    estimates.append(e)
    rows.append(("MLP (no axis)", int(train.sum()), e.value, e.low, e.high, e.p_value,
                 spearman(bent[train], y[train]), 0.0))  # fmt: skip
    columns = {key: np.array(column) for key, column in zip(HELP, zip(*rows, strict=True), strict=True)}
    return Table(
        title=f"How well axes in {name} rank {data.concept.name}", columns=columns, index="axis", help=HELP,
        reading=_reading(estimates, data.concept.name), estimates=tuple(estimates),
        caveats=(*_caveats(data, train, columns), *data.notes),
    )  # fmt: skip


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 0 else 0.0


def _reading(estimates, name: str) -> str:
    two, *others, bent = estimates
    best = max(others, key=lambda e: e.value)
    if best.low <= 0:
        return f"No axis ranks {name} beyond chance on held-out samples (best ρ {best.value:.2f}, {best.estimator})."
    gap = bent.value - best.value
    curved = (
        f" An MLP reaches {bent.value:.2f}"
        + (": part of the order is not along a line." if bent.low > best.high else ": a line is as good.")
        if gap > 0
        else f" An MLP does no better ({bent.value:.2f})."
    )
    return (
        f"The best axis ranks held-out samples by {name} with ρ = {best.value:.2f} [{best.low:.2f}, {best.high:.2f}] "
        f"({best.name.removeprefix('held-out ρ, ')}); two samples alone reach {two.value:.2f} [{two.low:.2f}, "
        f"{two.high:.2f}].{curved}"
    )


def _caveats(data: ConceptSamples, train, columns) -> list[str]:
    n, d, y = int(train.sum()), data.x.shape[1], data.concept.values
    notes = [
        "Axes are made on one half of the samples and judged on the other; the best of them is chosen after."
    ]
    if n < d + 1:
        notes.append(
            f"{n} training samples for {d} units: least squares orders its own samples perfectly whatever the "
            f"attribute (training ρ {columns['training rho'][3]:.2f})."
        )
    kinds, counts = np.unique(y, return_counts=True)
    ties = float((counts * (counts - 1.0)).sum() / (len(y) * (len(y) - 1.0)))
    if ties > 0.05:
        notes.append(f"{ties:.0%} of all pairs tie in the attribute ({len(kinds)} values): ρ stays below 1.")
    return notes


def _cost(shapes, params: RankabilityParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    flops = 30.0 * n / 2 * d * min(n / 2, d) + 3 * 75 * 4.0 * n * d * 32 / 2 + 200 * 4.0 * n * d
    return Cost(m.seconds(flops64=flops, calls=2e4) + 0.1, 8.0 * n * d * 4.0 + 8.0 * n * 100)


def planted(n: int, d: int, signal: float, rng) -> ArrayActivations:
    """Unit noise in d units and an attribute that moves samples by `signal` deviations along one direction."""
    y, direction = rng.standard_normal(n), rng.standard_normal(d)
    x = rng.standard_normal((n, d)) + signal * y[:, None] * direction / np.linalg.norm(direction)
    return ArrayActivations(x + 4, samples={"label": y, "exp": np.exp(y)})


def _check() -> tuple[CheckLine, ...]:
    """d = 64, signal 3, 1 and 0.3: two clicks work at high signal only, least squares everywhere. An increasing change
    of the attribute leaves the axis of extremes. Noise with fewer samples than units: 1 in training, 0 held out."""
    rng = np.random.default_rng(2)
    lines = []
    expected = {3.0: (0.887, 0.952, 0.943), 1.0: (0.301, 0.663, 0.686), 0.3: (0.011, 0.209, 0.269)}
    for signal, (two, far, least) in expected.items():
        data = planted(8000, 64, signal, rng)
        got = rankability(data, RankabilityParams(maximum_samples=8000)).columns["held-out rho"]
        lines += [
            CheckLine(f"two samples, signal {signal:g}", two, float(got[0]), 0.06),
            CheckLine(f"50 + 50 extremes, signal {signal:g}", far, float(got[2]), 0.06),
            CheckLine(f"ridge, signal {signal:g}", least, float(got[4]), 0.06),
        ]
    bent = rankability(data, RankabilityParams(column="exp", maximum_samples=8000)).columns["held-out rho"]
    noise = ArrayActivations(rng.standard_normal((100, 64)), samples={"label": rng.standard_normal(100)})
    luck = rankability(noise)
    return (
        *lines,
        CheckLine("extremes by exp of the attribute, signal 0.3", float(got[2]), float(bent[2]), 1e-12),
        CheckLine(
            "noise, 50 samples in 64 units: training ρ", 1.0, float(luck.columns["training rho"][3]), 1e-9
        ),
        CheckLine("the same held out", 0.0, abs(float(luck.columns["held-out rho"][3])), 0.35, "at most"),
    )


METHODS = (
    Method(
        id="rankability", family="concepts", title="How well an attribute is ranked", version=2, function=rankability,
        summary="An axis made from two samples, two groups, extremes or least squares, and how well it orders samples "
        "by an attribute that it has not seen.",
        params=RankabilityParams, result=Table, check=_check, cost=_cost, minimum_rows=20,
        invariance="any increasing change of the attribute leaves ρ of axes made from its order alone; shifting the "
        "activations or scaling all of them by one factor changes nothing, a rotation nothing but the draw of the MLP",
        papers=("On the rankability of visual embeddings",),
    ),
)  # fmt: skip
