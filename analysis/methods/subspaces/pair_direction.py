"""The one direction that separates two groups, and the one they share, beside the few units that do the same.

Groups are two values of a sample column or two packed selections. On a random half of the samples four directions are
made of standardised units: mean difference, Fisher's with a shrunk covariance, a sparse logistic regression (whose
units are the gate), and the direction of the largest spread within the groups on which their means agree
(`compute.subspaces.pair_axes`). The other half says how well each tells the two apart: AUROC, 0.5 for nothing.

With as many units as samples any two groups are perfectly apart on the half that made a direction: the AUROC there is
shown only to be disbelieved. Null: labels exchanged between samples, directions made anew, judged on the other half.

When it lies: Fisher's direction says how to tell the groups apart, not where they lie: its weights can be large for
units that only cancel noise; of units that say the same the sparse one keeps one; the shared direction agrees in means,
groups may spread differently along it; half of the samples found each direction, so that all would find a better one;
groups drawn on a map of these same activations must differ, whatever p says.

Cost: one eigenproblem, and about 12 sparse fits of O(n d) a sweep for each exchange. Memory O(n d).

References: R. Fisher (1936); J. Wu et al. (2024), "Rethinking Positive Pairs in Contrastive Learning"; R. Tibshirani
(1996); E. DeLong et al. (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.class_pairs import PairParams, asked_pair
from analysis.compute.groups.gated_pair import Pair, halved
from analysis.compute.groups.group_tests import auroc_of
from analysis.compute.groups.two_groups import pooled, read_groups, relabelled
from analysis.compute.machine import machine
from analysis.compute.statistics.auroc import delong_interval
from analysis.compute.statistics.nulls import against
from analysis.compute.subspaces.pair_axes import NAMES, pair_axes
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FISHER, SPARSE, SHARED = 1, 2, 3  # in NAMES
LEVEL = 0.05
HELP = {
    "unit": "number of the unit in the tap",
    "name": "name of the unit",
    "gate": "size of its weight in the sparse direction, 1 the largest",
    "mean difference": "weight in the direction from the second group's mean to the first's, unit length",
    "Fisher": "weight in Fisher's direction, unit length",
    "sparse logistic": "weight in the sparse direction, unit length",
    "shared": "weight in the direction along which both groups spread most and agree in mean, unit length",
}


@dataclass(frozen=True)
class PairDirectionParams(PairParams):
    permutations: int = param(39, "Exchanges of the labels, each with its own directions.", low=19, high=2000)
    maximum_rows: int = param(
        4000, "Most rows of the two groups; a seeded random subset above.", low=50, high=50_000
    )


def pair_direction(
    activations, params: PairDirectionParams = PairDirectionParams(), rng=None, progress=no_progress
) -> Table:
    """Directions that separate two groups, and the one they share.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        All units, largest gate first, see `HELP`; weights are those of standardised units. Tokens count once per
        sample, by their mean. Estimates: AUROC of each direction on the other half, and of Fisher's where it was made.

    Raises
    ------
    NotFound, ParameterError
        No such column or value; a membership of another length.
    NotEnoughData, InputError
        A group with fewer than eight samples; no unit varies.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    side, names = asked_pair(activations, params, rng)
    groups = read_groups(activations, side, names, params.maximum_rows, rng, progress)
    e = pooled(groups)
    pair = halved(e, rng)
    progress(0.1, "finding directions")
    axes, null = pair_axes(pair, e.first), []
    for i, labels in enumerate(relabelled(e, pair.fold, params.permutations, rng)):
        progress(0.15 + 0.8 * i / params.permutations, "finding directions with exchanged labels")
        null.append(_told(pair, pair_axes(pair, labels), labels))
    progress(0.95, "measuring")
    estimates = _estimates(pair, axes, e.first, np.array(null))
    return Table(
        title=f"Direction from {names[1]} to {names[0]} in {activations.name}", columns=_columns(activations, axes),
        sort="gate", help=HELP, reading=_reading(names, axes, estimates), estimates=estimates,
        caveats=(*_caveats(params, pair, axes, estimates), *groups.notes),
    )  # fmt: skip


def _told(pair: Pair, axes: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(5,) AUROC of each direction on the other half, and of Fisher's where it was made."""
    mine, others = pair.sides(first)
    held = auroc_of(pair.held @ axes.T, np.repeat(others[:, None], len(axes), axis=1))
    own = auroc_of((pair.fit @ axes[FISHER])[:, None], mine[:, None])
    return np.append(held, own)


def _columns(activations, axes: np.ndarray) -> dict[str, np.ndarray]:
    gate = np.abs(axes[SPARSE]) / max(np.abs(axes[SPARSE]).max(), 1e-300)
    order = np.lexsort((-np.abs(axes[FISHER]), -gate))
    columns = {"unit": order, "name": np.array(activations.unit_names, dtype=str)[order], "gate": gate[order]}
    return columns | {name: axis[order] for name, axis in zip(NAMES, axes, strict=True)}


def _estimates(pair: Pair, axes, first, null: np.ndarray) -> tuple[Estimate, ...]:
    _, others = pair.sides(first)
    value, made = _told(pair, axes, first), []
    by = f"labels exchanged {len(null)} times, direction made anew"
    for i, name in enumerate(NAMES):
        low, high = delong_interval(pair.held @ axes[i], others)
        about = against(value[i], null[:, i])
        if i == SHARED:  # wanted near 0.5, not above
            about.pop("p_value")
        made.append(Estimate(
            f"AUROC along {name}, held out", float(value[i]), min(low, float(value[i])), max(high, float(value[i])),
            interval="DeLong, direction held fixed", **about, null_method=by, n=len(others),
            d=axes.shape[1], estimator="made on one half, asked on the other",
        ))  # fmt: skip
    own = float(value[len(NAMES)])
    made.append(Estimate(
        "AUROC along Fisher where it was made (do not believe)", own, **against(own, null[:, len(NAMES)]),
        null_method=by, n=len(pair.fit), d=axes.shape[1], estimator="in-sample",
    ))  # fmt: skip
    return tuple(made)


def _reading(names, axes, e) -> str:
    best, k = e[FISHER], int((axes[SPARSE] != 0).sum())
    if best.p_value > LEVEL:
        start = (
            f"No direction tells {names[0]} from {names[1]} beyond chance: on samples that had no part in finding it, "
            f"Fisher's has an AUROC of {best.value:.2f} (exchanged labels: up to {best.null_high:.2f})."
        )
    else:
        start = (
            f"Along Fisher's direction {names[0]} and {names[1]} are told apart with an AUROC of {best.value:.2f} "
            f"[{best.low:.2f}, {best.high:.2f}] on samples that had no part in finding it (exchanged labels: up to "
            f"{best.null_high:.2f}); along the plain mean difference {e[0].value:.2f}; with {k} unit(s) "
            f"{e[SPARSE].value:.2f}."
        )
    shared = e[SHARED]
    return (
        f"{start} Along the direction they share it is {shared.value:.2f} [{shared.low:.2f}, {shared.high:.2f}] (0.5: "
        "they coincide)."
    )


def _caveats(params, pair: Pair, axes, e) -> list[str]:
    cosine = abs(float(axes[0] @ axes[FISHER]))
    d, n = axes.shape[1], len(pair.fit)
    notes = [
        f"The mean difference and Fisher's direction have cosine {cosine:.2f}: the less, the more of Fisher's weights "
        "cancel noise that units share."
    ]
    if d >= n:
        notes.append(
            f"{d} units and {n} samples in the half that finds directions: any labels are told apart there (AUROC "
            f"{e[-1].null:.2f} with exchanged ones)."
        )
    if not axes[SPARSE].any():
        notes.append("The sparse direction is empty: no unit predicts the groups better than a coin.")
    constant = int((~pair.varies).sum())
    if constant:
        notes.append(f"{constant} constant unit(s) have weight 0.")
    if params.inside:
        notes.append(
            "Groups drawn on a map of these activations must differ: their p-values then say nothing."
        )
    return notes


def _cost(shapes, params: PairDirectionParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    half, r, fits = n / 2, min(n / 2, d), 75 + 12 * params.permutations
    flops = (3 + params.permutations) * (4.0 * half * d * r + 20.0 * r**3)
    seconds = m.seconds(flops64=flops, moved=fits * half * d * 160.0) + fits * 0.7e-3 + 0.05
    return Cost(seconds, n * d * 8 * 4.0 + d * d * 8 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Unit 0 differs by 1.5, and unit 1 carries its noise: Fisher's AUROC is Φ(1.5 / √(2 · 0.36)), Φ(1.5 / √2) of the
    unit alone; unit 2 varies most and agrees; one group cut in two is at chance; d = 3 n labels too, held out."""
    rng = np.random.default_rng(3)
    label = np.arange(2000) % 2
    x = rng.standard_normal((2000, 6))
    x[:, 0] = 0.8 * x[:, 1] + 0.6 * x[:, 0] + 1.5 * (label == 1)
    x[:, 2:5] += 1.5 * rng.standard_normal((2000, 1))
    data = ArrayActivations(x + 30.0, samples={"label": label})
    found = pair_direction(data, PairDirectionParams(first="1", second="0", permutations=19))
    same = pair_direction(data, PairDirectionParams(first="1", second="1", permutations=19)).estimates
    noise = ArrayActivations(rng.standard_normal((80, 240)), samples={"label": np.arange(80) % 2})
    luck = pair_direction(noise, PairDirectionParams(permutations=19)).estimates
    units = list(found.columns["unit"])
    shared = np.abs(found.columns["shared"][[units.index(j) for j in (2, 3, 4)]])
    weights = found.columns["Fisher"][[units.index(0), units.index(1)]]
    return (
        CheckLine("Fisher: AUROC Φ(1.5 / √0.72)", 0.9615, found.estimates[1].value, 0.015),
        CheckLine("Fisher: weight of the noise's unit over the other's, in deviations", -0.64,
                  float(weights[1] / weights[0]), 0.06),
        CheckLine("shared: weights of the three units, each 1 / √3", 0.577, float(shared.min()), 0.06),
        CheckLine("shared: AUROC", 0.5, found.estimates[3].value, 0.05),
        CheckLine("one group cut in two: AUROC", 0.5, same[1].value, 0.08),
        CheckLine("meaningless labels, d = 3 n: AUROC where it was made", 1.0, luck[4].value, 0.02),
        CheckLine("the same held out: p", 0.05, luck[1].p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="pair_direction", family="subspaces", title="The direction between two groups", version=1,
        function=pair_direction,
        summary="The one direction that separates two classes or selections, the one they share, and the few units.",
        params=PairDirectionParams, result=Table, check=_check, cost=_cost, minimum_rows=16,
        invariance="shifting or rescaling a unit (by a positive factor) changes nothing; permuting units permutes the "
        "weights",
        papers=("Rethinking Positive Pairs in Contrastive Learning",), libraries=("scikit-learn",),
    ),
)  # fmt: skip
