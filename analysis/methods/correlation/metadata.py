"""Which units go with what is known of the samples: units x columns of the sample table.

Pearson's (or Spearman's) r with columns of numbers, the correlation ratio eta with columns of classes; each column over
the samples that have a value. Tokens are pooled to one value a sample.

Null: r of an unrelated Gaussian unit is 0 on average, eta is not (its mean stands in each cell); a cell is marked where
it passes Benjamini and Hochberg's rule over all units and columns, drawn or not.

When it lies: a column that goes along with the class (file size, date) makes every class unit go with it; r sees lines
only (Spearman: rising curves), eta means only; the prediction, the confidence and the loss are made from the network
itself, so that units of late layers must go with them; columns are not independent of each other.

Cost: one pass over the tap, O(n d) operations for each column, memory O(n d) for the pooled samples.

References: K. Pearson (1905) for the correlation ratio; R. A. Fisher (1915, 1925); J. Steiger (2004) for its interval;
Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.correlation.correlations import clustered, null_quantile
from analysis.compute.correlation.metadata_relations import (
    Relation,
    interval,
    largest_by_chance,
    relate,
    usable_columns,
)
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.multiple_testing import benjamini_hochberg, sidak
from analysis.compute.statistics.nulls import wilson
from analysis.compute.streaming import refuse_few
from analysis.errors import NotFound
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

NAMED = 6  # columns whose strongest unit has an estimate


@dataclass(frozen=True)
class UnitMetadataParams:
    method: str = param("pearson", "Straight-line (pearson) or rank (spearman) correlation with numbers.",
                        choices=("pearson", "spearman"))  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_units: int = param(
        256, "Most units to draw: those that go with some column most surely.", low=2, high=4096
    )
    maximum_samples: int = param(
        50_000, "Most samples; a seeded random subset above.", low=50, high=1_000_000
    )
    level: float = param(0.05, "False-discovery rate of the marked cells.", low=1e-4, high=0.5)


def unit_metadata_correlation(
    activations, params: UnitMetadataParams = UnitMetadataParams(), rng=None, progress=no_progress
) -> Matrix:
    """Units of a tap with the columns of its samples.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Matrix
        `values` (units, columns): r in [-1, 1], eta in [0, 1]; `null`, `low` and `high` of each cell; `significant`
        after false-discovery control over all units and columns. Estimates: the share of such cells, and the
        strongest unit of each of the first columns.

    Raises
    ------
    NotFound
        No column of numbers that vary or of 2 to 50 classes.
    NotEnoughData, TooLarge
        Fewer than four samples or two units that vary; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    x, units, columns, notes = _read(activations, params, rng, progress)
    ranks, found = params.method == "spearman", []
    for i, column in enumerate(columns):
        progress(0.6 + 0.3 * i / len(columns), f"correlating with {column.name}")
        found.append(relate(x, column, ranks))
    value, p = (np.stack([getattr(r, field) for r in found], axis=1) for field in ("value", "p"))
    q = benjamini_hochberg(p)
    pick = np.arange(len(units))
    if len(units) > params.maximum_units:
        surest = np.lexsort((-np.abs(value).max(axis=1), p.min(axis=1)))
        pick = np.sort(surest[: params.maximum_units])
        notes.append(f"The {len(pick)} of {len(units)} units that go with some column most surely are drawn.")
    progress(0.9, "intervals")
    ends = [interval(r, pick, ranks) for r in found]
    order, tree = _order(value[pick])
    smallest = min(r.samples for r in found)
    band = null_quantile(smallest, 0.95)
    estimates = _estimates(found, q < params.level, params, activations, units)
    return Matrix(
        title=f"Units of {activations.name} with sample columns",
        reading=_reading(estimates, params, found, band), caveats=(*notes, *_caveats(found)), estimates=estimates,
        values=value[pick], row_names=tuple(str(activations.unit_names[j]) for j in units[pick]),
        column_names=tuple(r.column.name for r in found), value_name="r with numbers, η with classes",
        row_order=order, column_order=np.arange(len(found)), linkage=tree,
        null_band=(-band, band) if all(r.column.of is None for r in found) else None,
        significant=q[pick] < params.level, limits=(-1.0, 1.0), diverging=True,
        null=np.broadcast_to([r.null for r in found], value[pick].shape).copy(),
        low=np.stack([low for low, _ in ends], axis=1), high=np.stack([high for _, high in ends], axis=1),
    )  # fmt: skip


def _read(activations, params, rng, progress):
    """Pooled values (n, units) of the units that vary, their numbers, the usable columns, and notes."""
    samples, notes = random_part(activations.layout.n_samples, params.maximum_samples, rng)
    x, finite, said = pooled_samples(activations, params.pooling, samples, progress, (0.0, 0.6))
    refuse_few(activations.name, len(x), 4, "sample(s) with finite values")
    columns, left_out = usable_columns(activations.samples, samples[finite])
    if not columns:
        raise NotFound(
            f"{activations.name} has no sample column of numbers that vary or of 2 to 50 classes",
            "one beside " + ", ".join(sorted(activations.samples)),
            "Record with labels or a table of columns",
        )
    units = np.flatnonzero(is_varying(x.var(axis=0), x.mean(axis=0)))
    refuse_few(activations.name, len(units), 2, "unit(s) that vary")
    notes += said
    if len(units) < x.shape[1]:
        notes.append(f"{x.shape[1] - len(units)} constant unit(s) left out.")
    return x[:, units], units, columns, notes + left_out


def _order(value: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Drawing order of the units by the cosine of their rows; by value where there is one column."""
    if value.shape[1] == 1:
        return np.argsort(-value[:, 0], kind="stable"), None
    length = np.linalg.norm(value, axis=1, keepdims=True)
    rows = np.divide(value, length, out=np.zeros_like(value), where=length > 0)
    return clustered(np.clip(rows @ rows.T, -1, 1), absolute=False)


def _estimates(found: list[Relation], sure: np.ndarray, params, activations, units) -> tuple[Estimate, ...]:
    d, n = len(units), max(r.samples for r in found)
    low, high = wilson(sure.mean() * d, d)
    low = min(low, float(sure.mean()))  # 1e-18 of rounding
    share = Estimate(
        f"share of cells with q < {params.level:g}", float(sure.mean()), low, high, interval="Wilson, units as draws",
        null=0.0, null_method="false-discovery control", n=n, d=d, estimator=f"{params.method} r and η",
    )  # fmt: skip
    return share, *(_strongest(r, params, activations, units) for r in found[:NAMED])


def _strongest(relation: Relation, params, activations, units) -> Estimate:
    at = int(np.argmax(np.abs(relation.value)))
    size = float(abs(relation.value[at]))
    middle, low, high = (largest_by_chance(relation, level) for level in (0.5, 0.025, 0.975))
    numeric = relation.column.of is None
    return Estimate(
        f"strongest with {relation.column.name}: unit {activations.unit_names[units[at]]}", size, null=middle,
        null_low=low, null_high=high, null_method=f"largest of {len(units):,} unrelated Gaussian units",
        p_value=float(sidak(relation.p[at], len(units))), n=relation.samples, d=len(units),
        estimator=f"|{params.method} r|" if numeric else "correlation ratio η",
    )  # fmt: skip


def _reading(estimates, params, found: list[Relation], band: float) -> str:
    share, *strongest = estimates
    text = f"{share.value:.0%} of the cells are beyond chance (false-discovery rate {params.level:g})."
    if any(r.column.of is None for r in found):
        text += f" A unit that has nothing to do with a number shows an r within ±{band:.3f}."
    if any(r.column.of is not None for r in found):
        text += " With classes a cell is η: its square is the share of a unit's variance that the classes explain."
    for e in strongest[:2]:
        text += f" The {e.name} ({e.value:.2f}; the strongest of as many unrelated units: {e.null:.2f})."
    return text


def _caveats(found: list[Relation]) -> list[str]:
    notes = []
    if any(r.column.of is not None for r in found):
        notes.append("η has no sign and is above 0 by chance: compare it with the null of its cell.")
    if len({r.samples for r in found}) > 1:
        notes.append("Columns have values for different numbers of samples; each cell is tested at its own.")
    made = [r.column.name for r in found if r.column.name in ("predicted", "correct", "confidence", "loss")]
    if made:
        notes.append(f"Made from the network's own output: {', '.join(made)}.")
    return notes


def _cost(shapes, params: UnitMetadataParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, drawn = min(rows, params.maximum_samples), min(d, params.maximum_units)
    factor = 20.0 if params.method == "spearman" else 1.0
    return Cost(m.seconds(moved=n * d * 200.0 * factor) + drawn * 1e-3 + 0.01, n * d * 30.0 + drawn**2 * 40)


def _check() -> tuple[CheckLine, ...]:
    """A planted r, a planted share of variance between classes, and noise that stays at its null."""
    rng = np.random.default_rng(12)
    n = 2000
    number, of = rng.standard_normal(n), np.arange(n) % 4
    x = rng.standard_normal((n, 30))
    x[:, 0] = -0.6 * number + 0.8 * x[:, 0]
    x[:, 1] += np.array([-1.0, -1.0, 1.0, 1.0])[of]  # half of the variance is between classes
    tap = ArrayActivations(x * 9 + 1e4, samples={"number": number, "label": of})
    found = unit_metadata_correlation(tap)
    noise = found.values[2:, 1]
    return (
        CheckLine("planted r", -0.6, float(found.values[0, 0]), 0.05),
        CheckLine("planted η", np.sqrt(0.5), float(found.values[1, 1]), 0.03),
        CheckLine("its interval holds it", 1.0, float(found.low[1, 1] <= np.sqrt(0.5) <= found.high[1, 1]), 0.0),
        CheckLine("r from numpy", np.corrcoef(x[:, 5], number)[0, 1], float(found.values[5, 0]), 1e-9),
        CheckLine("noise: mean η against its null", float(found.null[0, 1]), float(noise.mean()), 0.01),
        CheckLine("noise: marked cells", 0.0, float(found.significant[2:].mean()), 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="unit_metadata_correlation",
        family="correlation",
        title="Units with sample columns",
        summary="Which units go with what is known of the samples: label, confidence, size, date or any other column.",
        version=2,
        function=unit_metadata_correlation,
        params=UnitMetadataParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=6,
        invariance="shifting or rescaling a unit changes at most the sign of r; Spearman: any rising function",
    ),
)
