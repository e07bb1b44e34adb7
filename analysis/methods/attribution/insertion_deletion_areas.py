"""Which way to a map orders tokens better than chance, and better than edges?

For every sample i and way the areas under the insertion and the deletion curve (see the curves of the same name), and
what counts, their difference:

    D_i = area of insertion - area of deletion

in shares of the mean difference of sample and background, or in the number that is explained. For a random order the
two areas are the same in the mean, whatever the network: D is 0. Of an answer that is a sum over tokens the order of
the parts has the largest D of all.

Null: random orders of the same tokens. Beside the interval of each way stand the paired differences of the same samples
against random orders and against edges, with p by random signs and all tests together held at 5 % false discoveries
(Benjamini & Hochberg).

When it lies: as the curves do. Mixtures of sample and background may be unlike anything that the network has seen; the
background chooses the winner; tokens that mean the same hide each other's part; an order that was made for these areas
wins without telling anything else.

Cost: for every sample the maps, as their ways tell, and 2 (ways + draws) points passes.

References: V. Petsiuk, A. Das & K. Saenko (2018), "RISE"; Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.saliency.map_likeness import NORMAL
from analysis.attribution.saliency_court.asking import FEWEST, CourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.filling import DELETION, INSERTION
from analysis.attribution.saliency_court.on_trial import EDGES, opened_trial
from analysis.attribution.saliency_court.order_trial import MEASURES, RAW, SHARE, opened_orders
from analysis.attribution.saliency_court.paired import adjusted, paired_columns
from analysis.features.readers import PROBE
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Method, no_progress, param

HELP = {
    "way": "How the map is made; the controls look at no network.",
    "control": "Whether it is a control.",
    "insertion": "Mean area under the insertion curve: high where the tokens that matter come first.",
    "insertion, low": "95 % interval of it, bootstrap over samples.",
    "insertion, high": "95 % interval of it, bootstrap over samples.",
    "deletion": "Mean area under the deletion curve: low where the tokens that matter go first.",
    "deletion, low": "95 % interval of it, bootstrap over samples.",
    "deletion, high": "95 % interval of it, bootstrap over samples.",
    "difference": "Insertion less deletion: 0 for random orders.",
    "difference, low": "95 % interval of it, bootstrap over samples.",
    "difference, high": "95 % interval of it, bootstrap over samples.",
    "over random": "Mean difference less that of random orders of the same samples.",
    "over random, low": "95 % interval of it, Student's t.",
    "over random, high": "95 % interval of it, Student's t.",
    "over random, q": "Share of false discoveries if this is called better than random; of a control 1.",
    "over edges": "Mean difference less that of the edges of the same samples.",
    "over edges, low": "95 % interval of it, Student's t.",
    "over edges, high": "95 % interval of it, Student's t.",
    "over edges, q": "Share of false discoveries if this is called better than edges; of a control 1.",
}


@dataclass(frozen=True)
class InsertionDeletionAreasParams(CourtParams):
    measure: str = param(SHARE, "What is measured.", choices=MEASURES)
    points: int = param(16, "Places along a curve, at most one for each token.", low=2, high=500)
    draws: int = param(8, "Random orders of each sample.", low=2, high=1000, label="random orders")


def insertion_deletion_areas(
    activations,
    params: InsertionDeletionAreasParams = InsertionDeletionAreasParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """Areas under insertion and deletion curves, way by way.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each way, see `HELP`. Estimates: the difference of each way that looks at the network.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; no map of any way.
    """
    rng = rng or np.random.default_rng(0)
    trial = opened_trial(activations, params, rng, progress)
    maps = trial.without_silent(trial.maps(progress, (0.1, 0.4)))
    found = opened_orders(
        trial, maps, params.points, params.draws, (INSERTION, DELETION), progress, (0.4, 0.95)
    )
    unsure = found[INSERTION].unsure
    put, out = (o if params.measure == RAW else o.as_share() for o in found.values())
    columns = {"way": np.array(put.names), "control": put.control}
    apart, chance = put.areas - out.areas, put.random_areas - out.random_areas
    for name, values in ((INSERTION, put.areas), (DELETION, out.areas), ("difference", apart)):
        columns |= dict(zip((name, f"{name}, low", f"{name}, high"), put.band(values, rng), strict=True))
    tests = {}
    against = {"over random": chance.mean(axis=1, keepdims=True)}
    if EDGES in put.names:
        against["over edges"] = apart[:, [put.names.index(EDGES)]]
    for name, other in against.items():
        more, tests[name] = paired_columns(apart, other, name, rng)
        columns |= more
    columns |= {f"{name}, q": q for name, q in adjusted(tests, ~put.control).items()}
    progress(1.0, "done")
    return Table(
        title="Areas under insertion and deletion curves", reading=_reading(columns, trial.what),
        caveats=(*trial.caveats(), *(unsure if params.measure == SHARE else ())),
        estimates=_estimates(columns, chance, params, put.n, len(put.share) - 1), columns=columns, index="way",
        sort="difference", help={name: HELP[name] for name in columns},
    )  # fmt: skip


def _estimates(columns, chance: np.ndarray, params, n: int, d: int) -> tuple[Estimate, ...]:
    middle = float(chance.mean())
    half = float(NORMAL * np.sqrt(chance.var(axis=1, ddof=1).sum()) / n)
    return tuple(
        Estimate(f"insertion less deletion, {name}", float(columns["difference"][k]),
                 float(columns["difference, low"][k]), float(columns["difference, high"][k]),
                 interval="bootstrap over samples", null=middle, null_low=middle - half, null_high=middle + half,
                 null_method=f"{chance.shape[1]} random orders of each sample", n=n, d=d,
                 estimator=f"mean difference of areas, {params.measure}")
        for k, name in enumerate(columns["way"]) if not columns["control"][k]
    )  # fmt: skip


def _reading(columns, what: str) -> str:
    own = ~columns["control"]
    total = int(own.sum())
    best = columns["way"][own][np.argmax(columns["difference"][own])]
    better = {
        k: int((columns[f"{k}, q"][own] < 0.05).sum()) for k in ("over random", "over edges") if k in columns
    }
    told = f"{better['over random']} of {total} ways order the tokens of {what} better than chance"
    if "over edges" in better:
        told += f", {better['over edges']} better than edges that no network was asked for"
    return f"{told}; the largest difference of areas has {best}."


def _cost(shapes, params: InsertionDeletionAreasParams):
    return court_cost(shapes, params, 1, 2 * params.points * (params.draws + 8))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe, a background of zeros: integrated gradients are its parts, and no order is better."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = rng.standard_normal((60, 6)) + 2.0 * label[:, None] * (np.arange(6) < 2)
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = InsertionDeletionAreasParams(
        ways="integrated gradients, gradient x input, gradient",
        background="zero",
        reader=PROBE,
        draws=50,
        steps=1,
    )
    table = insertion_deletion_areas(tap, params)
    size = dict(zip(table.columns["way"], table.columns["difference"].tolist(), strict=True))
    parts = size["integrated gradients"]
    return (
        CheckLine("the order of the parts is best", parts, max(size.values()), 1e-9, "at most"),
        CheckLine("gradient x input is the same order", parts, size["gradient x input"], 1e-9),
        CheckLine("random orders have no difference", 0.0, table.estimates[0].null, 0.1),
        CheckLine("better than random", 0.05, float(table.columns["over random, q"].min()), 0.0, "at most"),
    )


METHODS = (
    Method(
        id="insertion_deletion_areas",
        family="attribution",
        title="Insertion and deletion areas",
        summary="Which way orders tokens better than chance and edges, with paired differences of the same samples.",
        version=2,
        function=insertion_deletion_areas,
        params=InsertionDeletionAreasParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="any rising function of a map; a factor of the answer where shares are shown",
        papers=("Occlusion sensitivity with augmentation subspaces (OSA-DAS)", "SHAP: a unified approach"),
        libraries=("torch",),
    ),
)
