"""Which units carry a number of the answer over many samples, and is that more than correlation says?

The number y (a logit, the output of a regression) of each sample is split over the units of the tap, the columns where
the tap is a network's input table: Shapley values or expected gradients φ_ij, Σ_j φ_ij = y_i - mean y(background).

    size_j = mean over samples of |φ_ij| ,   with the interval of its value and of its rank (Poisson bootstrap)

Beside it stand Pearson's and Spearman's correlation of the unit with y. A large size with no correlation is a relation
that bends or hangs on other units; a correlation without size is a unit that only goes along with those that are read.
Null, at a false-discovery rate of 5 %: by chance, the unit with the mean slope of the other units, each in its standard
deviations: what it would have if the network listened to all alike. Absent units are as in a background sample
(interventional), or moved by what the present ones tell (conditional, Gaussian): under correlated inputs the two answer
different questions, what the network reads and what its inputs tell.

When it lies: interventional values ask about mixed rows that may never occur; conditional values give a part to units
that the network does not read, and trust a Gaussian; sizes of sampled values are biased up by their sampling error,
which is told; units of other sorts count by what they change, not by what they cost; another background is another
question.

Cost: for each sample min(2^M, 2 (M - 1) orders) coalitions times the rows of the background.

References: S. Lundberg & S.-I. Lee (2017), "A unified approach to interpreting model predictions"; K. Aas, M. Jullum &
A. Løland (2021), "Explaining individual predictions when features are dependent".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.units.unit_estimates import missed, sampling_error
from analysis.attribution.units.unit_parts import (
    FEWEST,
    UnitParts,
    UnitPartsParams,
    caveats,
    parts_cost,
    unit_parts,
)
from analysis.attribution.units.unit_summary import UnitSummary, unit_summary
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.discoveries import FALSE, Q_HELP, discoveries, q_above_zero
from analysis.compute.statistics.rank_agreement import DRAWS as ORDERS
from analysis.compute.statistics.rank_agreement import spearman
from analysis.features.readers import PROBE
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "unit": "The unit, or the column of an input table.",
    "size": "Mean over samples of the part of the number that is owed to it, without its sign.",
    "low": "95 % interval of it, bootstrap over samples.",
    "high": "95 % interval of it.",
    "rank": "Its place by size, 1 the largest.",
    "rank, low": "95 % interval of its place.",
    "rank, high": "95 % interval of its place.",
    "by chance": "What it would have if the network listened to all units alike, each in its standard deviations.",
    "over chance, low": "95 % interval of size less that by chance.",
    "over chance, high": "95 % interval of it.",
    "q": Q_HELP,
    "above 0": "Share of samples in which its part is positive.",
    "value and part": "Correlation of the unit's value with its part: the direction in which it acts.",
    "Pearson": "Correlation of the unit with the explained number.",
    "Spearman": "Rank correlation of the unit with the explained number.",
    "sampling error": "Mean standard error of a sample's part; 0 where exact, empty where nothing tells.",
}


@dataclass(frozen=True)
class GlobalAttributionParams(UnitPartsParams):
    draws: int = param(500, "Bootstrap resamples of the samples.", low=100, high=10_000)


def global_attribution(
    activations, params: GlobalAttributionParams = GlobalAttributionParams(), rng=None, progress=no_progress
) -> Table:
    """Sizes of the parts that units have in an answer, over many samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each unit, see `HELP`. Estimates: the share of the strongest unit, how far the order is that of
        the correlations, the residual of the sum and the sampling error.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        Neither a network that can be run nor labels; fewer than twelve samples or two units; no such output.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    parts = unit_parts(tap, params, rng, progress)
    progress(0.95, "resampling samples")
    found = unit_summary(parts.values, parts.standard_reach, params.draws, rng)
    columns = _columns(parts, found)
    words, d = parts.explained.words, tap.shape[1]
    progress(1.0, "done")
    return Table(
        title=f"What the {words} owes to {parts.explained.whose} ({tap.name})", reading=_reading(columns, parts),
        caveats=caveats(parts, params), estimates=_estimates(parts, found, columns, d, rng),
        columns=columns, index="unit", sort="size", help=HELP,
    )  # fmt: skip


def _columns(parts: UnitParts, found: UnitSummary) -> dict[str, np.ndarray]:
    ends = {of: found.interval(of) for of in ("size", "over", "ranks")}
    q, own = np.full(len(parts.names), np.nan), parts.own
    error = (found.draws_size - found.draws_chance).std(axis=0, ddof=1)
    q[own] = q_above_zero((found.size - found.chance)[own], error[own], len(parts.full) - 1)
    ranked = midranks(np.column_stack([parts.x, parts.full]))[0]
    return {
        "unit": parts.names, "size": found.size, "low": ends["size"][0], "high": ends["size"][1],
        "rank": found.ranks, "rank, low": ends["ranks"][0], "rank, high": ends["ranks"][1],
        "by chance": found.chance, "over chance, low": ends["over"][0], "over chance, high": ends["over"][1],
        "q": q, "above 0": (parts.values > 0).mean(axis=0), "value and part": correlations(parts.x, parts.values),
        "Pearson": correlations(parts.x, parts.full[:, None]),
        "Spearman": correlations(ranked[:, :-1], ranked[:, -1:]), "sampling error": parts.errors.mean(axis=0),
    }  # fmt: skip


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(m,) of the columns of x (n, m) and y (n, m) or (n, 1); 0 where one does not vary."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.divide((x * y).sum(axis=0), scale, out=np.zeros(x.shape[1]), where=scale > 0)


def _estimates(parts: UnitParts, found: UnitSummary, columns, d: int, rng) -> tuple[Estimate, ...]:
    n, share = len(parts.full), found.size / found.size.sum()
    drawn = found.draws_size.max(axis=1) / np.maximum(found.draws_size.sum(axis=1), 1e-300)
    low, high = np.quantile(drawn, [0.025, 0.975])
    reach = parts.standard_reach.mean(axis=0)
    own = parts.own
    agreed = spearman(found.size[own], np.abs(columns["Spearman"][own]), rng)
    top = float(share.max())
    said = [
        Estimate("share of the strongest unit", top, min(float(low), top), max(float(high), top),
                 interval="Poisson bootstrap over samples", null=float(reach.max() / reach.sum()),
                 null_method="all units listened to alike, each in its standard deviations", n=n, d=d,
                 estimator="largest mean |part| / sum of them"),
    ]  # fmt: skip
    if agreed is not None:
        ends = np.percentile(agreed.null, [2.5, 97.5])
        beside = midranks(np.abs(columns["Spearman"][own])[:, None])[0]
        redrawn = correlations(midranks(found.draws_size[:, own].T)[0], beside)
        low, high = np.percentile(redrawn, [2.5, 97.5])
        said.append(
            Estimate("order as by correlation", agreed.value, min(float(low), agreed.value),
                             max(float(high), agreed.value),
                             interval="Poisson bootstrap of the sizes over samples", null=0.0, null_low=float(ends[0]),
                             null_high=float(ends[1]), null_method="orders of the units at random", p_value=agreed.p,
                             n=n, d=d, estimator="Spearman of size and |Spearman with the number|, over units")
        )  # fmt: skip
    told = discoveries(columns["q"][own], "units", "a network that listens to all units alike", d)
    return (*said, told, missed(parts, d), *sampling_error(parts, d))


def _reading(columns, parts: UnitParts) -> str:
    order = np.argsort(-columns["size"], kind="stable")
    first = order[0]
    ends = [int(columns[f"rank, {end}"][first]) for end in ("low", "high")]
    over = int((columns["q"] <= FALSE).sum())
    firm = "it is first in nearly all resamples" if ends == [1, 1] else f"its rank is {ends[0]} to {ends[1]}"
    told = ", ".join(columns["unit"][order[:3]].tolist())
    return (
        f"Over {len(parts.full):,} samples the {parts.explained.words} is owed most of all to {told}; of the first "
        f"{firm}. {over:,} of {int(parts.own.sum()):,} units carry more than if the network listened to all "
        "alike (5 % false discoveries)."
    )


def _cost(shapes, params: GlobalAttributionParams) -> Cost:
    own = parts_cost(shapes, params)
    return Cost(own.seconds, own.bytes + ORDERS * 24.0 * min(shapes[0][1], params.maximum_units), own.passes)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: sizes are |w| mean |x - E x|, the sum is complete, a constant unit has nothing."""
    rng = np.random.default_rng(0)
    label = np.arange(48) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(48), np.zeros(48), rng.standard_normal(48)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = GlobalAttributionParams(reader=PROBE, background_samples=48, draws=100)
    table = global_attribution(tap, params)
    parts = unit_parts(tap, params, np.random.default_rng(0), no_progress)
    run, read = parts.explained.run, []
    for i in range(len(parts.full)):
        known = _slopes(run(i), parts.explained.target) * (parts.x[i] - x.mean(axis=0))
        read.append(np.abs(known))
    line = dict(zip(table.columns["unit"], table.columns["size"], strict=True))
    residual = {e.name: e.value for e in table.estimates}["residual of the sum"]
    return (
        CheckLine("largest error of w (x - E x)", 0.0,
                  float(np.abs(table.columns["size"] - np.mean(read, axis=0)).max()), 1e-10),
        CheckLine("a constant unit", 0.0, float(line["unit 1"]), 1e-12),
        CheckLine("rank of the planted unit", 1.0, float(table.columns["rank"][0]), 0.0),
        CheckLine("residual of the sum", 0.0, residual, 1e-10),
    )  # fmt: skip


def _slopes(run, target) -> np.ndarray:
    """What the linear target changes by when a unit goes up by one."""
    import torch

    x = run.clean[None] + torch.cat([torch.zeros(1, run.shape[1]), torch.eye(run.shape[1])])[:, None].to(
        run.clean
    )
    y = run.values(x, target).double().numpy()
    return y[1:] - y[0]


METHODS = (
    Method(
        id="global_attribution",
        family="attribution",
        title="Which units carry the answer",
        summary="Mean size of each unit's part in one number of the answer, with rank intervals, beside correlation.",
        version=2,
        function=global_attribution,
        params=GlobalAttributionParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to a unit, or its unit of measure, where the network undoes it",
        papers=(
            "Employing Explainable Artificial Intelligence (XAI) Methodologies to Analyze the Correlation between "
            "Input Variables and Tensile Strength in Additively Manufactured Samples",
            "SHAP: a unified approach",
        ),
        libraries=("torch",),
    ),
)
