"""Which class each unit fires for, how well it separates it, and how much of that is luck.

For every unit and class, the AUROC of the unit's activation for that class against all others: the chance that a
random member excites the unit more than a random other sample. Exact, with ties as midranks.

When it lies: the best of C classes is always above 0.5, also for noise, so its null is that of the *maximum*
(permuted labels), and the "held out" column picks the class on one half of the samples and measures on the other,
where 0.5 is fair again. A unit may code for something that only goes along with the class. A high AUROC says
ranking, not that the unit is silent elsewhere; AUROC ignores how rare the class is.

Cost: O(n d (ln n + C)) plus one rank-sum product per permutation, O(n d C permutations). Memory O(n d).

References: H. Mann & D. Whitney (1947); E. DeLong, D. DeLong & D. Clarke-Pearson (1988) for the intervals;
Y. Benjamini & Y. Hochberg (1995) for q.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.selectivity import BLOCK, held_out, measure
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.auroc import class_auroc, delong_interval, midranks
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p, bootstrap, wilson
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "unit": "number of the unit in the tap",
    "name": "name of the unit",
    "best class": "the class that excites the unit most, by AUROC",
    "AUROC": "chance that a random member of that class excites the unit more than a random other sample",
    "low": "lower end of the 95 % DeLong interval, this class held fixed",
    "high": "upper end of the 95 % DeLong interval, this class held fixed",
    "null of the best": "what the best class of this unit reaches when labels are permuted (mean)",
    "null 95 %": "what it stays below in 95 % of the permutations",
    "p of the best": "share of permutations whose best class reaches the AUROC (never below 1 / (permutations + 1))",
    "q": "false-discovery rate of the unit and class among all units x classes (Mann-Whitney, Benjamini-Hochberg)",
    "held out": "AUROC on one half of the samples of the class picked on the other half: 0.5 for noise",
    "second class": "the next class",
    "second AUROC": "its AUROC",
    "samples": "samples of the best class",
}


@dataclass(frozen=True)
class ClassSelectivityParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    pooling: str = param(
        "max", "How the tokens of a sample become one value (pooled taps have one already).",
        choices=("max", "mean"),
    )  # fmt: skip
    permutations: int = param(
        200, "Permutations of the labels for the null of the best class.", low=19, high=5000
    )
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=50, high=1_000_000
    )


def class_selectivity(
    activations, params: ClassSelectivityParams = ClassSelectivityParams(), rng=None, progress=no_progress
) -> Table:
    """AUROC of every unit for its best class.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Table
        One line per unit, see `HELP`; a unit that never changes has AUROC 0.5 and q 1. Estimates: mean AUROC of
        the best class, mean held-out AUROC, share of selective units (q < 0.05), largest AUROC.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than two classes with five samples (they are listed); over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    auroc, p, null = measure(data, params.permutations, rng, progress, (0.2, 0.8))
    held = held_out(data, rng)
    columns = _columns(activations, data, auroc, p, null, held, progress)
    return Table(
        title=f"Class selectivity of {activations.name} ({params.column})",
        reading=_reading(columns, data),
        caveats=(*data.notes, *_caveats(data)),
        estimates=_estimates(columns, data, null, rng),
        columns=columns,
        index="unit",
        sort="AUROC",
        help=HELP,
    )


def _columns(activations, data: LabelledMatrix, auroc, p, null, held, progress) -> dict[str, np.ndarray]:
    names, d = np.array(data.names), auroc.shape[1]
    rank = np.argsort(-auroc, axis=0, kind="stable")
    best, second, units = rank[0], rank[1], np.arange(d)
    q = benjamini_hochberg(p)
    intervals = np.empty((d, 2))
    for j in range(d):
        if j % BLOCK == 0:
            progress(0.8 + 0.2 * j / d, "intervals")
        intervals[j] = delong_interval(data.values[:, j], data.of == best[j])
    top = auroc[best, units]
    return {
        "unit": units,
        "name": np.array(activations.unit_names, dtype=str),
        "best class": names[best],
        "AUROC": top,
        "low": intervals[:, 0],
        "high": intervals[:, 1],
        "null of the best": null.mean(axis=0, dtype=np.float64),
        "null 95 %": np.percentile(null, 95, axis=0).astype(np.float64),
        "p of the best": add_one_p(top - 1e-6, null),
        "q": q[best, units],
        "held out": held,
        "second class": names[second],
        "second AUROC": auroc[second, units],
        "samples": data.counts[best],
    }


def _estimates(columns, data: LabelledMatrix, null, rng) -> tuple[Estimate, ...]:
    n, d = data.values.shape
    common, made = {"n": n, "d": d}, f"labels permuted {len(null)} times, best of {len(data.names)} classes"
    found = []
    for name, values, chances in (
        ("mean AUROC of the best class", columns["AUROC"], null.mean(axis=1)),
        ("mean held-out AUROC", columns["held out"], None),
    ):
        low, high = bootstrap(values, lambda drawn: drawn.mean(axis=1), rng, draws=1000)
        if chances is None:  # fair on average; how far luck spreads depends on how the units hang together
            band, by = (0.5, None, None), "class picked on the other half"
        else:
            band, by = (float(v) for v in (chances.mean(), *np.percentile(chances, [2.5, 97.5]))), made
        expected, least, most = band
        found.append(
            Estimate(
                name, float(values.mean()), low, high, interval="" if low is None else "bootstrap over units",
                null=expected, null_low=least, null_high=most, null_method=by, estimator="Mann-Whitney", **common,
            )
        )  # fmt: skip
    top, chance = int(columns["AUROC"].argmax()), null.max(axis=1)
    found.append(
        Estimate(
            "largest AUROC", float(columns["AUROC"][top]), float(columns["low"][top]), float(columns["high"][top]),
            interval="DeLong, unit and class held fixed", null=float(chance.mean()),
            null_low=float(np.percentile(chance, 2.5)), null_high=float(np.percentile(chance, 97.5)),
            null_method=made + ", best unit", p_value=float(add_one_p(columns["AUROC"][top] - 1e-6, chance)),
            estimator="Mann-Whitney", **common,
        )
    )  # fmt: skip
    selective = float((columns["q"] < 0.05).mean())
    low, high = wilson(selective * d, d)
    return (
        *found,
        Estimate("share of selective units (q < 0.05)", selective, low, high, interval="Wilson, units as draws",
                 null=0.0, null_method="false-discovery control at 5 %", estimator="Benjamini-Hochberg", **common),
    )  # fmt: skip


def _reading(columns, data: LabelledMatrix) -> str:
    d, selective = len(columns["unit"]), int((columns["q"] < 0.05).sum())
    return (
        f"{selective} of {d} units prefer a class beyond chance (q < 0.05). The best class of a "
        f"unit reaches {columns['AUROC'].mean():.2f} on average; with permuted labels it would reach "
        f"{columns['null of the best'].mean():.2f}, not 0.50, because it is the best of {len(data.names)}."
    )


def _caveats(data: LabelledMatrix) -> list[str]:
    notes = [
        "The interval holds the class fixed although it was picked as the best: trust the 'held out' column."
    ]
    if data.counts.min() < 20:
        notes.append(
            f"The smallest class has {data.counts.min()} samples: p by the normal approximation is rough."
        )
    return notes


def _cost(shapes, params: ClassSelectivityParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, block = min(rows, params.maximum_samples), min(d, BLOCK)
    flops = 2.0 * n * d * 10 * params.permutations  # ten classes, where nothing is known about them
    onehot = 10.0 * params.permutations * n * 8 * -(-d // BLOCK)
    memory = n * d * 16 + params.permutations * (n * 21 + d * 4) + n * block * 60
    return Cost(m.seconds(flops32=flops, moved=n * d * 1500.0 + onehot, calls=d * 100) + 0.01, memory)


def _check() -> tuple[CheckLine, ...]:
    """Two unit Gaussians 1.5 apart have AUROC Φ(1.5 / √2); ties by hand; noise reaches its null, not 0.5."""
    rng = np.random.default_rng(4)
    of = np.repeat(np.arange(4), 300)
    x = rng.standard_normal((1200, 40))
    x[of == 2, 0] += 1.5
    x[:, 1] = (of == 3) * 1.0
    x[:, 2] = 0.0
    labelled = ArrayActivations(x, samples={"label": of})
    result = class_selectivity(labelled, ClassSelectivityParams(permutations=99), np.random.default_rng(0))
    c, mean = result.columns, result.estimates
    ranks, _ = midranks(np.array([[1.0], [2], [2], [3], [2]]))
    by_hand = class_auroc(ranks, np.array([0, 0, 1, 1, 0]), np.array([3, 2]))[1, 0]
    return (
        CheckLine("1.5 sd apart: AUROC", float(ndtr(1.5 / np.sqrt(2))), c["AUROC"][0], 0.03),
        CheckLine("planted class found", 1.0, float(c["best class"][0] == "2"), 0.0),
        CheckLine("class indicator: AUROC", 1.0, c["AUROC"][1], 0.0),
        CheckLine("constant unit: AUROC", 0.5, c["AUROC"][2], 0.0),
        CheckLine("constant unit: q", 1.0, c["q"][2], 0.0),
        CheckLine("ties by hand", 5.0 / 6.0, float(by_hand), 1e-12),
        CheckLine(
            "noise: best class against its null",
            float(c["null of the best"][3:].mean()),
            c["AUROC"][3:].mean(),
            0.006,
        ),
        CheckLine("noise: held out", 0.5, float(c["held out"][3:].mean()), 0.02),
        CheckLine("largest AUROC is beyond chance (p)", 0.01, mean[2].p_value, 0.0, "at most"),
    )


METHODS = (
    Method(
        id="class_selectivity",
        family="units",
        title="Class selectivity",
        summary="The class each unit fires for, how well it separates it, and how much of that is luck.",
        version=2,
        function=class_selectivity,
        params=ClassSelectivityParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=10,
        invariance="any rising function of a unit's activation changes nothing; nor does renaming the classes",
    ),
)
