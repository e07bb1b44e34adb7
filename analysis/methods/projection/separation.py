"""Do these two groups really separate? Asked of the activations, not of a picture of them.

Two questions, and where the groups come from decides which one answers.

*Do they differ?* Energy distance, and the AUROC of a linear rule on samples that did not make it, both against labels
exchanged between whole samples (formulas in `analysis.compute.groups.group_tests`). This answers for groups from labels
or metadata, which were named without a look at the activations.

*Is there a valley between them?* Groups drawn on a picture of these same activations were chosen to be apart: cut one
Gaussian in two, and both halves differ beyond any doubt. Exchanged labels are then no null. So the density along the
line between the groups is asked for a valley, on samples that did not make the line, among all points of the tap that
lie between; one log-concave cloud has none, wherever it is cut (`between_groups`, `valley`). This answers for any
groups.

When it lies: a picture shows all samples, also those that are asked, so a gap that chance made in all of them is not
wholly new to the asked half; a bent cloud, such as a horseshoe, has a true valley on the straight line between its
ends; two clouds less than about three deviations apart have no valley although there are two; many points of others
in the tube can fill one. "No" means that a valley between clouds four deviations apart would have been found.

Cost: O(n d min(n, d)) for n rows of the groups, O(permutations n d), and one pass over the tap for drawn groups.
Memory O(n d) and 1,500² distances.

References: G. Székely & M. Rizzo (2013), "Energy statistics: a class of statistics based on distances"; J. & P.
Hartigan (1985), "The dip test of unimodality"; N. Kriegeskorte et al. (2009), "Circular analysis in systems
neuroscience" (double dipping).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, row_column
from analysis.compute.groups.between_groups import Between, between
from analysis.compute.groups.class_pairs import PairParams, pair_by_selection
from analysis.compute.groups.group_tests import Told, energy, held_out
from analysis.compute.groups.two_groups import pooled, read_groups
from analysis.compute.groups.valley import LEVEL
from analysis.compute.machine import machine
from analysis.compute.maps.separation_reading import separation_reading
from analysis.compute.rows.membership import pack
from analysis.compute.rows.samples import known_labels, listed
from analysis.compute.statistics.auroc import delong_interval
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import InputError, NotFound
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SOURCES = ("automatic", "a picture", "labels or metadata")
BINS = 40


@dataclass(frozen=True)
class SeparationParams(PairParams):
    second: str = param(
        "", "Value in the second group; empty: the most frequent other value.", label="second group: value"
    )
    source: str = param(
        "automatic", "Where the groups come from: packed ones are taken as drawn on a picture.",
        label="groups come from", choices=SOURCES,
    )  # fmt: skip
    permutations: int = param(99, "Exchanges of the labels, and draws of one cloud.", low=39, high=5000)
    maximum_rows: int = param(
        4000, "Most rows of the two groups; a seeded random subset above.", low=50, high=50_000
    )


def separation(
    activations, params: SeparationParams = SeparationParams(), rng=None, progress=no_progress
) -> Distribution:
    """Answer whether two groups of rows are apart.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Distribution
        The asked samples along the direction between the groups (no unit; one row a sample), by group, with `null` the
        same number in one cloud without a valley. Estimates: depth of the valley, AUROC, balanced accuracy, energy
        coefficient, each with its null and p.

    Raises
    ------
    NotFound, ParameterError
        No such column or value; a membership of another length.
    NotEnoughData, InputError
        A group with fewer than eight samples; all rows equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    side, names, drawn = _groups(activations, params)
    groups = read_groups(activations, side, names, params.maximum_rows, rng, progress)
    if (groups.x == groups.x[0]).all():
        raise InputError(f"all rows of both groups in {activations.name} are equal", "rows that differ")
    entries = pooled(groups)
    progress(0.15, "measuring distances")
    apart = energy(entries, params.permutations, rng)
    told = held_out(entries, params.permutations, rng, progress, (0.2, 0.6))
    found = between(activations, side, groups, drawn, params.permutations, rng, progress, (0.6, 0.95))
    progress(0.95, "writing the answer")
    n, d = len(entries.first), groups.x.shape[1]
    scored = *delong_interval(told.scores, entries.first), "DeLong over samples, folds held fixed"
    estimates = (
        *_valley_estimate(found, d),
        _estimate("AUROC of a linear rule", told.auroc, n, d, "5 folds of whole samples", scored),
        _estimate("balanced accuracy of a linear rule", told.accuracy, n, d, "5 folds of whole samples"),
        _estimate("energy coefficient", apart, n, d, "0 equal distributions, 1 two points"),
    )
    edges, counts, null, markers = _drawn_line(found, names)
    return Distribution(
        title=f"Do {names[0]} and {names[1]} separate in {activations.name}?",
        reading=separation_reading(drawn, found, estimates[-3]),
        caveats=(*_caveats(drawn, found, activations), *groups.notes),
        estimates=estimates, edges=edges, counts=counts, null=null, markers=markers,
        value_name="place between the groups, held-out samples",
    )  # fmt: skip


def _groups(activations, params: SeparationParams) -> tuple[np.ndarray, tuple[str, str], bool]:
    """Side (rows,) 1, -1 or 0, names of the groups, and whether they were drawn on a picture."""
    if params.inside:
        side, _ = pair_by_selection(params.inside, params.outside, activations.shape[0])
        return side, ("the first group", "the second group"), params.source != "labels or metadata"
    column = row_column(activations, params.column)
    known, values = known_labels(column), np.asarray(column).astype(str)
    kinds, counts = np.unique(values[known], return_counts=True)
    order = [str(kinds[i]) for i in np.argsort(-counts, kind="stable")]
    first = params.first or next((v for v in order if v != params.second), "")
    second = params.second or next((v for v in order if v != first), "")
    for value in (first, second):
        if value not in order or first == second:
            raise NotFound(
                f"{activations.name} has no two groups {params.column} = {first!r} and {second!r}",
                "two different values of it (rows each): " + listed(kinds, counts),
                "Name other values or another column",
            )
    side = np.where(known & (values == first), 1, np.where(known & (values == second), -1, 0))
    return side, (f"{params.column} {first}", f"{params.column} {second}"), params.source == "a picture"


# ---------------------------------------------------------------------------- numbers
def _estimate(name: str, told: Told, n: int, d: int, how: str, interval=(None, None, "")) -> Estimate:
    low, high, words = interval
    band = np.percentile(told.null, [2.5, 97.5])
    return Estimate(
        name, told.value, None if low is None else min(low, told.value),
        None if high is None else max(high, told.value), interval=words, null=float(told.null.mean()),
        null_low=float(band[0]), null_high=float(band[1]),
        null_method=f"labels exchanged between whole samples, {len(told.null)} times; no null for drawn groups",
        p_value=float(add_one_p(told.value, told.null)), n=n, d=d, estimator=how,
    )  # fmt: skip


def _valley_estimate(found: Between, d: int) -> tuple[Estimate, ...]:
    if found.valley is None:
        return ()
    v = found.valley
    band = np.percentile(v.null, [2.5, 97.5])
    return (
        Estimate("depth of the valley between them", v.depth, null=float(v.null.mean()), null_low=float(band[0]),
                 null_high=float(band[1]), null_method=f"one cloud without a valley, {len(v.null)} draws",
                 p_value=v.p, n=len(found.along), d=d,
                 estimator="1 - density in the valley over the lower bank, held-out samples, one row each"),
    )  # fmt: skip


def _drawn_line(found: Between, names: tuple[str, str]):
    """Histogram by group, the counts of one cloud, and markers."""
    y = found.along
    low, high = (float(y.min()), float(y.max())) if len(y) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    counts = {
        names[0]: np.histogram(y[found.side > 0], edges)[0],
        names[1]: np.histogram(y[found.side < 0], edges)[0],
    }
    if (found.side == 0).any():
        counts["in neither group"] = np.histogram(y[found.side == 0], edges)[0]
    markers = {f"centre of {name}": end for name, end in zip(names, found.ends, strict=True)}
    if found.valley is None:
        return edges, counts, None, markers
    if found.valley.depth > 0:
        markers["deepest valley"] = found.valley.at
    grid, level = found.valley.grid, found.valley.level
    null = np.interp((edges[1:] + edges[:-1]) / 2, grid, level)
    return edges, counts, null * len(y) / max(float(null.sum()), 1e-300), markers


def _caveats(drawn: bool, found: Between, activations) -> list[str]:
    notes = []
    if drawn:
        notes.append(
            "All points of the tap between the groups are asked, so a gap that was left out of both is no valley."
        )
    if not activations.layout.is_pooled:
        notes.append(
            "Samples count, not tokens: means by sample for the difference, one random token each for the valley."
        )
    if found.valley is not None and found.valley.p <= LEVEL:
        notes.append(
            "A bent cloud has a valley on the straight line between its ends: look at the spanning tree."
        )
    return notes


def _cost(shapes, params: SeparationParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    t, r = min(n, 1500), min(n, d)
    flops = 8.0 * n * d * r + 40.0 * r**3 + 2.0 * t * t * (d + 2 * params.permutations)
    flops += params.permutations * 5 * (8.0 * n * r + n * d) + 2.0 * rows * (d * 17)
    seconds = m.seconds(flops64=flops, moved=params.permutations * n * 1500.0 + rows * d * 8.0)
    return Cost(seconds + 0.3, n * d * 8 * 7.0 + t * t * 8 * 2.0 + rows * 24 + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """Two Gaussians 2 apart: AUROC Φ(2 / √2). Two 6 apart have a valley; one Gaussian cut in two has none, however
    surely the halves differ; nor has one with its middle left out of both groups; meaningless labels tell nothing."""
    rng = np.random.default_rng(8)
    label = np.arange(1200) % 2
    near = rng.standard_normal((1200, 5)) + 2.0 * label[:, None] * np.eye(5)[0]
    named = {e.name: e for e in separation(ArrayActivations(near, samples={"label": label})).estimates}
    cloud = rng.standard_normal((900, 8)) * np.r_[2.0, np.ones(7)]

    def drawn(x, one, other):
        return {
            e.name: e
            for e in separation(x, SeparationParams(inside=pack(one), outside=pack(other))).estimates
        }

    side = cloud[:, 0]
    cut, gap = drawn(cloud, side > 0, side <= 0), drawn(cloud, side > 1.5, side < -1.5)
    far = drawn(
        cloud + 6.0 * np.eye(8)[1] * (np.arange(900) % 2)[:, None],
        np.arange(900) % 2 == 1,
        np.arange(900) % 2 == 0,
    )
    chance = {
        e.name: e
        for e in separation(ArrayActivations(cloud, samples={"label": np.arange(900) % 2})).estimates
    }
    depth, auroc = "depth of the valley between them", "AUROC of a linear rule"
    return (
        CheckLine("two Gaussians 2 apart: AUROC", 0.9214, named[auroc].value, 0.02),
        CheckLine("two Gaussians 6 apart: p of the valley", LEVEL, far[depth].p_value, 0.0, "at most"),
        CheckLine("one Gaussian cut in two: AUROC", 0.95, cut[auroc].value, 0.0, "at least"),
        CheckLine("one Gaussian cut in two: p of the valley", LEVEL, cut[depth].p_value, 0.0, "at least"),
        CheckLine("its middle left out: p of the valley", LEVEL, gap[depth].p_value, 0.0, "at least"),
        CheckLine("meaningless labels: AUROC", 0.5, chance[auroc].value, 0.06),
    )  # fmt: skip


METHODS = (
    Method(
        id="separation", family="projection", title="Do two groups separate?", version=1, function=separation,
        summary="Whether two groups differ, and whether a valley lies between them, in the original space.",
        params=SeparationParams, result=Distribution, check=_check, cost=_cost, minimum_rows=16,
        invariance="rotating, shifting or rescaling all activations together changes nothing but rounding",
    ),
)  # fmt: skip
