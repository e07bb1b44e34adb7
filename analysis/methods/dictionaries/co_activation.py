"""Which features fire together more often than their rates say? Another kinship than that of directions.

In n rows of which feature i is active in n_i, feature j in n_j and both in n_ij, the pointwise mutual information is

    PMI_ij = log (n_ij n / (n_i n_j))

0 where they are independent, -log(n_i / n) where one never fires without the other. A pair counts from five common rows
on; its interval is that of a Poisson number n_ij, and partners are listed by the lower end, so that a few lucky rows do
not win. Next to the nearest directions this tells two sorts of relation apart: features that say nearly the same, and
features that say different things about the same rows.

Null: each feature's rows drawn anew by themselves, partners listed in the same way; and for each pair the number of
common rows to expect.

When it lies: tokens of one sample are counted as independent, so intervals are too narrow; a TopK rule makes all
features avoid each other a little; very frequent features fire with everything and have PMI near 0; pairs that never
meet are not listed, for a rule that has room for few features makes most pairs so.

Cost: O(rows active²) for the pairs of each row.

References: N. Shazeer et al. (2016), "Swivel: improving embeddings by noticing what's missing"; C. O'Neill et al.
(2024), "Disentangling dense embeddings with sparse autoencoders".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.common_rows import (
    Meetings,
    active_rows,
    log_ratio,
    meeting_cost,
    moved_rows,
)
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
HELP = {
    "feature": "The feature's name.",
    "partner": "A feature that shares more rows with it than independent ones would.",
    "together": "Rows in which both are not 0.",
    "expected": "Rows in which both would be, were they independent.",
    "PMI": "Natural logarithm of the one over the other; 0 for independent features.",
    "low": "95 % interval of it, for a Poisson number of common rows.",
    "high": "95 % interval of it, for a Poisson number of common rows.",
    "share": "Share of the feature's rows in which the partner fires too.",
    "share of partner": "Share of the partner's rows in which the feature fires too.",
}


@dataclass(frozen=True)
class CoActivationParams:
    partners: int = param(8, "Partners listed for each feature.", low=1, high=64)
    least: int = param(5, "Common rows from which a pair counts.", low=1, high=10_000)
    draws: int = param(3, "Times the rows of every feature are drawn anew for the null.", low=2, high=50)
    maximum_rows: int = param(50_000, "Most rows; a seeded random subset above.", low=50, high=2_000_000)


def co_activation(
    activations, params: CoActivationParams = CoActivationParams(), rng=None, progress=no_progress
) -> Table:
    """Partners of every feature by common rows.

    Parameters
    ----------
    activations : Activations or array (rows, features)
        Codes, such as a tap that a feature set encoded.

    Returns
    -------
    Table
        A line for each listed pair, see `HELP`; estimate: the PMI of the first partner, averaged over features.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight finite rows; fewer than two features that fire.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    on = active_rows([tap], params.maximum_rows, rng, seen, progress, (0.0, 0.4))
    refuse_few(tap.name, on.shape[0], FEWEST)
    met = Meetings(on)
    fires, alive = met.fires, int((met.fires > 0).sum())
    if alive < 2:
        raise InputError(f"{alive} feature(s) of {tap.name} fire", "two or more", "Choose another tap")
    progress(0.4, "counting pairs")
    i, j, both, value, low, high = _listed(met, params)
    null, means = [], []
    for draw in range(params.draws):
        progress(0.6 + 0.4 * draw / params.draws, "counting pairs of moved rows")
        moved = _listed(Meetings(moved_rows(on, rng)), params)
        null.append(_related(moved) / alive)
        means.append(float(moved[3].mean()) if len(moved[3]) else 0.0)
    progress(1.0, "done")
    names, n = np.array(tap.unit_names), on.shape[0]
    columns = {
        "feature": names[i], "partner": names[j], "together": both, "expected": fires[i] * fires[j] / n,
        "PMI": value, "low": low, "high": high, "share": both / fires[i], "share of partner": both / fires[j],
    }  # fmt: skip
    notes = [*seen.notes, *_caveats(tap, on, n, seen)]
    related = _related((i, j, both, value, low, high))
    estimates = _estimates(related / alive, (i, j, value), np.array(null), np.array(means), n, alive, rng)
    return Table(
        title=f"Features of {tap.name} that fire together",
        reading=f"{related:,} of {alive:,} firing features have a partner with which they share more "
        f"rows than chance gives (95 % interval above 0); with rows drawn anew {np.mean(null):.0%} of them have.",
        caveats=tuple(notes), estimates=estimates,
        columns=columns, index="feature", sort="low", help=HELP,
    )  # fmt: skip


def _listed(met: Meetings, params) -> tuple[np.ndarray, ...]:
    """Feature, partner and common rows of the pairs that are listed, each feature's best first, and their PMI with its
    interval."""
    i, j, both = met.best(params.partners, params.least)
    return i, j, both, *log_ratio(both, met.fires[i] * met.fires[j] / met.n)


def _related(listed) -> int:
    """How many features have a partner beyond chance."""
    i, _, _, _, low, _ = listed
    return len(np.unique(i[low > 0]))


def _estimates(share: float, listed, null, means, n: int, alive: int, rng) -> tuple[Estimate, ...]:
    """Of the `listed` features, partners and PMI; `null` shares and `means` of PMI where rows are drawn anew: partners
    are listed for being above chance, so that their mean is above 0 without any relation. A pair is listed both ways
    and counts once for the interval."""
    ends, how = (
        wilson(share * alive, alive),
        f"rows of each feature drawn anew, {len(null)} times: mean, 95 %",
    )
    made = [
        Estimate("share with a partner beyond chance", share, *ends, interval="Wilson over features",
                 null_method=how, n=n, d=alive,
                 estimator="lower end of PMI above 0", **against(share, null)),
    ]  # fmt: skip
    i, j, value = listed
    if len(value):
        pair = np.unique(np.sort([i, j], axis=0), axis=1, return_inverse=True)[1].reshape(-1)
        mean, ends = (
            float(value.mean()),
            ratio_interval(np.bincount(pair, value), np.bincount(pair), rng, draws=300),
        )
        made.append(
            Estimate("mean PMI of listed partners", mean, *ends,
                     interval="bootstrap over pairs, both ways together", null_method=how, n=n, d=alive,
                     estimator="log of common rows over expected ones", **against(mean, means))
        )  # fmt: skip
    return tuple(made)


def _caveats(tap, on, n: int, seen: Pass) -> list[str]:
    said = ["Features that fire together need not mean the same: compare with the nearest directions."]
    if not tap.layout.is_pooled:
        said.append("Tokens of a sample are counted as independent: intervals are too narrow.")
    if on.nnz > 0.9 * on.shape[0] * on.shape[1]:
        said.append("Nearly all features are active in every row: firing together says nothing for this tap.")
    if n < seen.n_rows - seen.n_nonfinite:
        said.append(f"A random {n:,} of {seen.n_rows - seen.n_nonfinite:,} rows used.")
    return said


def _cost(shapes, params: CoActivationParams) -> Cost:
    (n, k), (_, active) = shapes[0], likely_size(shapes[0][1])
    seconds, held = meeting_cost(min(n, params.maximum_rows), k, active, params.draws)
    return Cost(seconds + 0.02, held + min(n, 4096) * active * 25.0)


def _check() -> tuple[CheckLine, ...]:
    """Two features always together: PMI is -log of their rate. Independent ones: near 0."""
    rng = np.random.default_rng(0)
    x = (rng.random((2000, 6)) < 0.2).astype(float)
    x[:, 1] = x[:, 0]
    c = co_activation(ArrayActivations(x), params=CoActivationParams(partners=5)).columns
    pair = {(a, b): v for a, b, v in zip(c["feature"], c["partner"], c["PMI"], strict=True)}
    return (
        CheckLine("always together", -np.log(x[:, 0].mean()), pair["0", "1"], 1e-9),
        CheckLine("symmetric", pair["0", "1"], pair["1", "0"], 1e-12),
        CheckLine(
            "independent", 0.0, max([v for (a, _), v in pair.items() if a in "2345"], default=0.0), 0.25
        ),
    )


METHODS = (
    Method(
        id="co_activation", family="dictionaries", title="Features that fire together", version=3,
        function=co_activation,
        summary="For each feature the partners with which it shares more rows than chance gives: PMI with its counts.",
        params=CoActivationParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; scaling features; any change of values that are not 0",
        papers=("Swivel: embeddings from co-occurrence, including zeros",
                "Disentangling Dense Embeddings with Sparse Autoencoders"),
    ),
)  # fmt: skip
