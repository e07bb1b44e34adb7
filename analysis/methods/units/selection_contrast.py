"""What distinguishes a group of rows: for every unit, how far its mean inside lies from its mean outside.

Effect: Hedges' g = J (m1 - m0) / s, with s the pooled standard deviation and J = 1 - 3 / (4 (n1 + n0) - 9);
interval g ± z sqrt((n1 + n0) / (n1 n0) + g² / (2 (n1 + n0))) (Hedges and Olkin 1985). Test: Welch's t without
equal variances, then Benjamini and Hochberg's q over the units.

Tokens of one sample are not independent: at a tap with tokens, each sample counts once inside and once outside,
with the mean of its rows there. n1 and n0 are therefore counts of samples.

When it lies: a group drawn on a map *of these same activations* must differ in some units, because that is how
it was chosen; the p-values then say nothing (they are right for a group from labels or metadata). `elsewhere`
gives the honest comparison: groups of the same size drawn at other places of the same map.

Cost: one pass over the tap, O(rows x units) time (times 1 + groups compared), O(chunk + units) memory.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, as_activations, row_column
from analysis.compute.multiple_testing import benjamini_hochberg
from analysis.errors import NotEnoughData, ParameterError, ShapeError
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


def selection_contrast(activations, params=ContrastParams(), rng=None, progress=no_progress) -> Table:
    """The method: `contrast` for the group that `params` name. See the module for what it measures."""
    activations = as_activations(activations)
    if params.inside:
        inside, name = unpack(params.inside, activations.shape[0]), "the drawn group"
    else:
        values = row_column(activations, params.column).astype(str)
        kinds, counts = np.unique(values, return_counts=True)
        value = params.value or str(kinds[np.argmax(counts)])
        inside, name = values == value, f"{params.column} = {value}"
    return contrast(activations, inside, name=name, drawn=bool(params.inside), rng=rng, progress=progress)


def contrast(
    activations, inside, *, name="the group", drawn=False, elsewhere=None, rng=None, progress=no_progress
) -> Table:
    """Compare the rows inside with all others, unit by unit.

    Parameters
    ----------
    activations : Activations or array (rows, units)
    inside : (rows,) bool
    drawn : bool
        The group was drawn on a map of these activations: says so, and shows no p-value as evidence.
    elsewhere : (groups, rows) bool, optional
        Groups of the same size drawn at other places (pooled taps only): the null of a drawn group.

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
    entry, side = _entries(activations, inside)
    n1, n0 = int(side.sum()), int((~side).sum())
    _refuse_few(n1, n0)
    rng = rng or np.random.default_rng(0)
    groups = np.array([rng.permutation(side) for _ in range(RANDOM_GROUPS)])
    if elsewhere is not None and activations.layout.is_pooled and len(elsewhere):
        groups = np.concatenate([groups, np.asarray(elsewhere, bool)])
    sums = _Sums(n_units, side, groups)
    progress(0.0, "comparing the units")
    for keys, values, rows, fires in _entry_means(activations, inside, entry, progress):
        sums.add(keys, values, rows, fires)
    _refuse_few(*sums.n[::-1])
    return _table(sums, name, drawn, n_rows)


def _refuse_few(n1: float, n0: float) -> None:
    if min(n1, n0) < 2:
        found = f"{int(n1)} sample(s) with finite values inside and {int(n0)} outside"
        raise NotEnoughData(found, "at least 2 on each side", "Select more, or fewer")


# ---------------------------------------------------------------------------- one entry per sample and side
def _entries(activations: Activations, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`entry` (rows,): which (sample, side) each row belongs to, rising by sample; `side` (entries,) bool."""
    if activations.layout.is_pooled:
        return np.arange(len(inside)), inside
    sample = np.repeat(np.arange(activations.layout.n_samples), np.diff(activations.layout.offsets))
    keys, entry = np.unique(2 * sample + inside, return_inverse=True)
    return entry.reshape(-1), keys % 2 == 1


def _entry_means(activations: Activations, inside, entry, progress):
    """Yield (entries (e,), their means (e, units), rows above 0 by side); the last sample waits for more rows."""
    n_rows, waiting = len(entry), None
    for start, block in activations.chunks():
        block = np.asarray(block, np.float64)
        stop = start + len(block)
        good = np.isfinite(block).all(axis=1)
        ids, values, here = entry[start:stop][good], block[good], inside[start:stop][good]
        fires = np.array([(values[~here] > 0).sum(axis=0), (values[here] > 0).sum(axis=0)])
        rows = np.array([(~here).sum(), here.sum()])
        order = np.argsort(ids, kind="stable")
        found, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
        totals = (
            np.add.reduceat(values[order], first, axis=0) if len(first) else np.zeros((0, block.shape[1]))
        )
        found, totals, counts = _joined(waiting, found, totals, counts)
        last = stop < n_rows and not activations.layout.is_pooled
        keep = found >= entry[stop - 1] - 1 if last else np.zeros(len(found), bool)
        waiting = (found[keep], totals[keep], counts[keep]) if last else None
        yield found[~keep], totals[~keep] / counts[~keep, None], rows, fires
        progress(stop / n_rows, "comparing the units")


def _joined(waiting, found, totals, counts):
    """Add the sums that waited for the rest of their sample."""
    if waiting is None or not len(waiting[0]):
        return found, totals, counts
    keys = np.concatenate([waiting[0], found])
    merged, place = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(merged), totals.shape[1] if totals.ndim == 2 else 0))
    np.add.at(sums, place, np.concatenate([waiting[1], totals]))
    return merged, sums, np.bincount(place, np.concatenate([waiting[2], counts])).astype(int)


class _Sums:
    """Counts, means and squared deviations on both sides (Chan's merge), and the sums of the null groups."""

    def __init__(self, n_units: int, side: np.ndarray, groups: np.ndarray) -> None:
        self.side, self.groups = side, groups
        self.n = np.zeros(2)
        self.mean, self.squares = np.zeros((2, n_units)), np.zeros((2, n_units))
        self.rows, self.fires = np.zeros(2), np.zeros((2, n_units))
        self.group_n, self.group_mean = np.zeros(len(groups)), np.zeros((len(groups), n_units))
        self.all_n, self.all_mean = 0, np.zeros(n_units)

    def add(self, keys, values, rows, fires) -> None:
        self.rows += rows
        self.fires += fires
        for s in (0, 1):
            mine = values[self.side[keys] == bool(s)]
            if not len(mine):
                continue
            mean, n = mine.mean(axis=0), len(mine)
            shift, total = mean - self.mean[s], self.n[s] + n
            self.squares[s] += ((mine - mean) ** 2).sum(axis=0) + shift**2 * self.n[s] * n / total
            self.mean[s] += shift * n / total
            self.n[s] = total
        if len(values):
            chosen = self.groups[:, keys].astype(np.float64)
            self.group_n += chosen.sum(axis=1)
            self.group_mean += chosen @ (values - self._centre(values))

    def _centre(self, values) -> np.ndarray:
        """The first rows' mean: centred before summing, so that a large mean costs no digits."""
        if not self.all_n:
            self.all_mean = values.mean(axis=0)
            self.all_n = 1
        return self.all_mean


# ---------------------------------------------------------------------------- the table
def _table(sums: _Sums, name: str, drawn: bool, n_rows: int) -> Table:
    from scipy.special import stdtr

    n_units, (n0, n1) = sums.mean.shape[1], sums.n
    v0, v1 = sums.squares / np.maximum(sums.n[:, None] - 1, 1)
    pooled = np.sqrt((sums.squares[0] + sums.squares[1]) / max(n0 + n1 - 2, 1))
    shift = sums.mean[1] - sums.mean[0]
    small = 1 - 3 / (4 * (n0 + n1) - 9)
    g = small * np.divide(shift, pooled, out=np.zeros(n_units), where=pooled > 0)
    half = 1.959964 * np.sqrt((n0 + n1) / (n0 * n1) + g**2 / (2 * (n0 + n1)))
    a, b = v1 / n1, v0 / n0
    error = np.sqrt(a + b)
    t = np.divide(shift, error, out=np.zeros(n_units), where=error > 0)
    freedom = np.divide(
        (a + b) ** 2, a**2 / (n1 - 1) + b**2 / (n0 - 1), out=np.ones(n_units), where=error > 0
    )
    p = np.where(error > 0, 2 * stdtr(freedom, -np.abs(t)), 1.0)
    fires = sums.fires / np.maximum(sums.rows[:, None], 1)
    columns = {
        "unit": np.arange(n_units), "difference": g, "low": g - half, "high": g + half, "strength": np.abs(g),
        "q_value": benjamini_hochberg(p), "p_value": p, "mean_inside": sums.mean[1], "mean_outside": sums.mean[0],
        "fires_inside": fires[1], "fires_outside": fires[0],
    }  # fmt: skip
    order = np.lexsort((columns["unit"], -columns["strength"]))
    top = _top_estimate(sums, small, columns, order, drawn)
    return Table(
        title=f"What distinguishes {name}", columns={k: v[order] for k, v in columns.items()}, sort="strength",
        reading=f"{int(n1)} sample(s) inside against {int(n0)} outside; +1 means one standard deviation higher inside.",
        caveats=_caveats(drawn, n_rows - int(sums.rows.sum())), help=HELP, estimates=(top,),
    )  # fmt: skip


def _top_estimate(sums: _Sums, small: float, columns, order, drawn: bool) -> Estimate:
    """The largest |g| against the largest |g| of groups of the same size."""
    total = sums.n.sum()
    share = sums.n[1] / total
    between = share * (1 - share) * (sums.mean[1] - sums.mean[0]) ** 2 * total
    spread = np.sqrt((sums.squares.sum(axis=0) + between) / max(total - 1, 1))
    grand = (share * sums.mean[1] + (1 - share) * sums.mean[0]) - sums.all_mean
    m = sums.group_n[:, None]
    apart = np.divide(sums.group_mean, m, out=np.zeros_like(sums.group_mean), where=m > 0) - grand
    gap = apart * total / np.maximum(total - m, 1)
    left = np.maximum(
        spread**2 - (m * (total - m) / total**2) * gap**2, 1e-12 * np.maximum(spread**2, 1e-300)
    )
    tops = (small * np.abs(gap) / np.sqrt(left) * (spread > 0)).max(axis=1, initial=0.0)
    random, places = tops[:RANDOM_GROUPS], tops[RANDOM_GROUPS:]
    null, how = (places, "groups of the same size at other places of the map") if len(places) else (
        random, "random groups of the same size")  # fmt: skip
    best = order[0]
    strongest = float(columns["strength"][best])
    low, high = float(columns["low"][best]), float(columns["high"][best])
    ends = [0.0 if low < 0 < high else min(abs(low), abs(high)), max(abs(low), abs(high))]  # of |g|
    return Estimate(
        "largest difference", strongest, *ends, interval="normal approximation (Hedges and Olkin)",
        null=float(np.median(null)), null_low=float(null.min()), null_high=float(null.max()),
        null_method=f"largest |g| of {len(null)} {how}: median, smallest, largest",
        p_value=None if drawn else float(columns["p_value"][best]), n=int(total), d=len(order),
        estimator="Hedges' g", unit="standard deviations",
    )  # fmt: skip


def _caveats(drawn: bool, lost: int) -> tuple[str, ...]:
    said = ["The interval of the first rows is too hopeful: they were chosen because they are the largest."]
    if drawn:
        said.insert(0, "The group was drawn on a map of these activations, so some units must differ; compare "
                       "with groups drawn elsewhere, not with p-values.")  # fmt: skip
    if lost:
        said.append(f"{lost:,} row(s) with NaN or infinity left out.")
    return tuple(said)


# ---------------------------------------------------------------------------- membership as text
def pack(inside) -> str:
    """Membership (rows,) bool as text (numpy.packbits, base64), as the map sends it."""
    return base64.b64encode(np.packbits(np.asarray(inside, bool)).tobytes()).decode()


def unpack(text: str, n_rows: int) -> np.ndarray:
    """The inverse of `pack`. Raises ParameterError when the text is not of this many rows."""
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        raise ParameterError("a membership that cannot be read", "base64 of packed bits") from None
    if len(bits) != (n_rows + 7) // 8:
        raise ParameterError(f"a membership of {8 * len(bits)} rows", f"one bit for each of {n_rows} rows")
    return np.unpackbits(bits, count=n_rows).astype(bool)


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
        seconds=0.01 + n * d * (2 + RANDOM_GROUPS) * 8e-10, bytes=8.0 * (4096 * d * 3 + d * 80 + n * 30)
    )


METHODS = (
    Method(
        id="selection_contrast", family="units", title="What distinguishes a group", version=1,
        summary="Which units differ between the rows inside a group and all others, with interval, null and q.",
        function=selection_contrast, params=ContrastParams, result=Table, check=_check, cost=_cost,
        minimum_rows=4, invariance="shifting and positive scaling of any unit",
    ),
)  # fmt: skip
