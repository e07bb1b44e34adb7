"""What distinguishes a group of rows: for every unit, how far its mean inside lies from its mean outside.

Effect: Hedges' g = J (m1 - m0) / s, with s the pooled standard deviation and J = 1 - 3 / (4 (n1 + n0) - 9);
interval g ± z sqrt((n1 + n0) / (n1 n0) + g² / (2 (n1 + n0))) (Hedges and Olkin 1985). Test: Welch's t without
equal variances, then Benjamini and Hochberg's q over the units. The largest difference is the largest of many: its
interval and p hold for all units together (Šidák 1967). A deviation below a millionth of the unit's spread counts as
that, so that a unit which the group determines wholly has a huge but finite effect.

Tokens of one sample are not independent: at a tap with tokens, each sample counts once inside and once outside,
with the mean of its rows there. n1 and n0 are therefore counts of samples.

When it lies: a group drawn on a map *of these same activations* must differ in some units, because that is how
it was chosen; the p-values then say nothing (they are right for a group from labels or metadata). `elsewhere`
gives the honest comparison: groups of the same size drawn at other places of the same map.

Cost: one pass over the tap, O(rows x units) time (times 1 + groups compared), O(chunk + units + rows x groups / 8)
memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations, row_column
from analysis.compute.correlation.correlations import absolute_interval
from analysis.compute.groups.group_sums import GroupSums, entries_of, entry_means
from analysis.compute.rows.membership import pack as pack  # also for those who draw groups
from analysis.compute.rows.membership import unpack
from analysis.compute.rows.samples import known_labels, listed
from analysis.compute.statistics.multiple_testing import benjamini_hochberg, sidak, simultaneous_z
from analysis.errors import NotEnoughData, NotFound, ShapeError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RANDOM_GROUPS = 24
HELP = {
    "difference": "Hedges' g: mean inside minus mean outside, in pooled standard deviations",
    "low": "lower end of the 95 % interval of g",
    "high": "upper end of the 95 % interval of g",
    "q_value": "Benjamini-Hochberg q of Welch's t over all units; void when the group was drawn on a map of this tap",
    "strength": "|g|",
    "fires_inside": "share of rows inside with a value above 0",
    "fires_outside": "share of rows outside with a value above 0",
}


@dataclass(frozen=True)
class ContrastParams:
    column: str = param("label", "Sample column that says who belongs to the group", column=True)
    value: str = param("", "Value of that column inside the group; empty: its most frequent value")
    inside: str = param("", "Membership of every row, packed by a lasso; replaces the column when given")
    outside: str = param(
        "", "Membership of the group to compare with, packed likewise; empty: all other rows"
    )


def selection_contrast(activations, params=ContrastParams(), rng=None, progress=no_progress) -> Table:
    """The method: `contrast` for the group that `params` name. See the module for what it measures.

    Raises NotFound (listing the values) and ParameterError (a membership of another length) beside what `contrast`
    raises.
    """
    activations = as_activations(activations)
    if params.inside:
        inside = unpack(params.inside, activations.shape[0])
        outside = unpack(params.outside, activations.shape[0]) if params.outside else None
        return contrast(
            activations,
            inside,
            outside=outside,
            name="the drawn group",
            drawn=True,
            rng=rng,
            progress=progress,
        )
    column = row_column(activations, params.column)
    known, values = known_labels(column), column.astype(str)
    kinds, counts = np.unique(values[known], return_counts=True)
    if not len(kinds) or (params.value and params.value not in kinds):
        raise NotFound(
            f"no row of {activations.name} has {params.column} = {params.value!r}",
            "one of its values (rows each): " + listed(kinds, counts),
            "Name another value or column",
        )
    value = params.value or str(kinds[np.argmax(counts)])
    inside, name = known & (values == value), f"{params.column} = {value}"
    found = contrast(activations, inside, name=name, rng=rng, progress=progress)
    if known.all():
        return found
    note = f"{int((~known).sum()):,} row(s) without a value of '{params.column}' count as outside."
    return replace(found, caveats=(*found.caveats, note))


def contrast(
    activations, inside, *, outside=None, name="the group", drawn=False, elsewhere=None, rng=None,
    progress=no_progress,
) -> Table:  # fmt: skip
    """Compare the rows inside with all others (or those of `outside`), unit by unit.

    Parameters
    ----------
    activations : Activations or array (rows, units)
    inside : (rows,) bool
    outside : (rows,) bool, optional
        The group to compare with, where it is not all other rows. Rows in both groups count for neither.
    drawn : bool
        The group was drawn on a map of these activations: says so, and shows no p-value as evidence.
    elsewhere : (groups, rows) bool, optional
        Groups of the same size drawn at other places (pooled taps only): the null of a drawn group. Not for a
        comparison with `outside`.

    Returns
    -------
    Table
        One row per unit, strongest first by |g|.

    Raises
    ------
    ShapeError
        `inside` has another length than there are rows.
    NotEnoughData
        Fewer than two samples on either side.
    """
    activations, inside = as_activations(activations), np.asarray(inside, bool)
    n_rows, n_units = activations.shape
    if inside.shape != (n_rows,):
        raise ShapeError(f"membership of {inside.size} rows", f"one per row of {activations.name} ({n_rows})")
    inside, among = _sides(inside, outside, n_rows)
    entry, side = entries_of(activations, inside)
    here = np.ones(len(side), bool) if among is None else np.isin(np.arange(len(side)), entry[among])
    _refuse_few((side & here).sum(), (~side & here).sum())
    rng = rng or np.random.default_rng(0)
    groups = np.zeros((RANDOM_GROUPS, len(side)), bool)
    for group in groups:
        group[here] = rng.permutation(side[here])
    if elsewhere is not None and activations.layout.is_pooled and len(elsewhere) and among is None:
        groups = np.concatenate([groups, np.asarray(elsewhere, bool)])
    sums = GroupSums(n_units, side, groups)
    progress(0.0, "comparing the units")
    for keys, values, rows, fires in entry_means(activations, inside, entry, progress, among):
        sums.add(keys, values, rows, fires)
    _refuse_few(*sums.n[::-1])
    return _table(sums, name, drawn, n_rows if among is None else int(among.sum()))


def _sides(inside: np.ndarray, outside, n_rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Who is inside, and (rows,) bool who takes part at all (None: everybody)."""
    if outside is None:
        return inside, None
    outside = np.asarray(outside, bool)
    if outside.shape != (n_rows,):
        raise ShapeError(f"membership of {outside.size} rows", f"one per row ({n_rows})")
    return inside & ~outside, inside ^ outside


def _refuse_few(n1: float, n0: float) -> None:
    if min(n1, n0) < 2:
        found = f"{int(n1)} sample(s) with finite values inside and {int(n0)} outside"
        raise NotEnoughData(found, "at least 2 on each side", "Select more, or fewer")


# ---------------------------------------------------------------------------- the table
def _table(sums: GroupSums, name: str, drawn: bool, n_rows: int) -> Table:
    g, (n0, n1) = sums.hedges_g(), sums.n
    half, p = 1.959964 * _error(g, sums), _welch_p(sums)
    fires = sums.fires / np.maximum(sums.rows[:, None], 1)
    columns = {
        "unit": np.arange(len(g)), "difference": g, "low": g - half, "high": g + half, "strength": np.abs(g),
        "q_value": benjamini_hochberg(p), "p_value": p, "mean_inside": sums.mean[1], "mean_outside": sums.mean[0],
        "fires_inside": fires[1], "fires_outside": fires[0],
    }  # fmt: skip
    order = np.lexsort((columns["unit"], -columns["strength"]))
    top = _top_estimate(sums, float(g[order[0]]), float(p[order[0]]), drawn)
    return Table(
        title=f"What distinguishes {name}", columns={k: v[order] for k, v in columns.items()}, sort="strength",
        reading=f"{int(n1)} sample(s) inside against {int(n0)} outside; +1 means one standard deviation higher inside.",
        caveats=_caveats(drawn, n_rows - int(sums.rows.sum())), help=HELP, estimates=(top,),
    )  # fmt: skip


def _error(g, sums: GroupSums):
    """Standard error of Hedges' g (Hedges and Olkin 1985)."""
    n0, n1 = sums.n
    return np.sqrt((n0 + n1) / (n0 * n1) + np.square(g) / (2 * (n0 + n1)))


def _welch_p(sums: GroupSums) -> np.ndarray:
    """Two-sided p (units,) of Welch's t; 1 for units that do not vary."""
    from scipy.special import stdtr

    (n0, n1), floor = sums.n, sums.smallest_deviation()
    v0, v1 = np.maximum(sums.squares / (sums.n[:, None] - 1), floor**2)
    a, b, varies = v1 / n1, v0 / n0, sums.varies()
    a, b = np.where(varies, a, 1.0), np.where(varies, b, 1.0)
    t = (sums.mean[1] - sums.mean[0]) / np.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (n1 - 1) + b**2 / (n0 - 1))
    return np.where(varies, np.minimum(2 * stdtr(freedom, -np.abs(t)), 1.0), 1.0)


def _top_estimate(sums: GroupSums, g: float, p: float, drawn: bool) -> Estimate:
    """The largest |g|: an interval and a p that hold for all units together, since this one was chosen for being
    the largest, against the largest |g| of other groups of the same size."""
    tests = max(int(sums.varies().sum()), 1)
    half = simultaneous_z(tests) * float(_error(g, sums))
    tops, usable = sums.largest_of_groups()
    random, places = (
        tops[:RANDOM_GROUPS][usable[:RANDOM_GROUPS]],
        tops[RANDOM_GROUPS:][usable[RANDOM_GROUPS:]],
    )
    null, how = (places, "groups of the same size at other places of the map") if len(places) else (
        random, "random groups of the same size")  # fmt: skip
    middle, least, most = (float(f(null)) if len(null) else None for f in (np.median, np.min, np.max))
    return Estimate(
        "largest difference", abs(g), *absolute_interval(g - half, g + half),
        interval=f"normal approximation (Hedges and Olkin), simultaneous over {tests} units",
        null=middle, null_low=least, null_high=most,
        null_method=f"largest |g| of {len(null)} {how}: median, smallest, largest",
        p_value=None if drawn else float(sidak(p, tests)), n=int(sums.n.sum()), d=len(sums.mean[0]),
        estimator="Hedges' g", unit="standard deviations",
    )  # fmt: skip


def _caveats(drawn: bool, lost: int) -> tuple[str, ...]:
    said = ["The intervals of the table's first rows hold their unit fixed although it was chosen for being among the "
            "largest: too hopeful. That of the largest difference holds for all units."]  # fmt: skip
    if drawn:
        said.insert(0, "The group was drawn on a map of these activations, so some units must differ; compare "
                       "with groups drawn elsewhere, not with p-values.")  # fmt: skip
    if lost:
        said.append(f"{lost:,} row(s) with NaN or infinity left out.")
    return tuple(said)


def _check() -> tuple[CheckLine, ...]:
    """One unit of eight is planted two standard deviations higher inside; the rest are noise."""
    rng = np.random.default_rng(0)
    x, inside = rng.standard_normal((2000, 8)), np.arange(2000) % 4 == 0
    x[inside, 5] += 2.0
    found = contrast(x, inside, rng=rng)
    first, g = found.columns["unit"][0], found.columns["difference"]
    return (
        CheckLine("unit found", 5, float(first), 0),
        CheckLine("its difference (standard deviations)", 2.0, float(g[0]), 0.15),
        CheckLine("largest difference among the others", 0.0, float(np.abs(g[1:]).max()), 0.2),
        CheckLine("largest difference of random groups", 0.25, found.estimates[0].null_high, 0.0, "at most"),
    )


def _cost(shapes, params) -> Cost:
    n, d = shapes[0]
    return Cost(
        seconds=0.01 + n * d * (2 + RANDOM_GROUPS) * 8e-10,
        bytes=8.0 * (min(n, 4096) * d * 3 + d * 80 + n * 30),
    )


METHODS = (
    Method(
        id="selection_contrast", family="units", title="What distinguishes a group", version=2,
        summary="Which units differ between the rows inside a group and all others, with interval, null and q.",
        function=selection_contrast, params=ContrastParams, result=Table, check=_check, cost=_cost,
        minimum_rows=4, invariance="shifting and positive scaling of any unit",
    ),
)  # fmt: skip
