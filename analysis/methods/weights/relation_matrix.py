"""How the units of one layer go with those of another, and which of these relations a student did not take over.

    G = mean over samples of F_iᵀ F_j / positions          (units of layer i) x (units of layer j)

Two taps of one network give G. Four give the difference: the teacher's layers i, j, then the student's i, j, which must
have as many units. Taps with the same tokens are related position by position; otherwise a sample counts by its mean.

Null: samples exchanged between the layers, position for position; the mean maps alone then give
Σ_p M_i(p) M_j(p)ᵀ / positions, exactly (`compute.networks.relations`). Activations that are never negative have a large
G that way, without any relation. A cell counts where a t-test over samples, after Benjamini-Hochberg at 5 %, sets it
apart from that null; in a difference, from 0.

When it lies: G is no correlation, so units of large scale or mean rule it (centre, standardise); a student may hold the
teacher's relations in other units or another scale, and then all cells differ; taps pooled before they were recorded
have lost what happens at a position; tests count samples as independent, and need some tens of them.

Cost: O(samples positions p q), memory 8 bytes for each value read and 100 for each cell.

References: L. Liu et al. (2020), "Efficient crowd counting via structured knowledge transfer"; J. Yim et al. (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.grids.sample_maps import sample_maps
from analysis.compute.machine import machine
from analysis.compute.networks.relations import Relation, cell_tests, groups_of, jackknife_interval, relation
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.errors import InputError, ParameterError, TooLarge
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_CELLS = 1 << 20
FEWEST = 8  # samples: below, a t-test over samples says nothing
LEVEL = 0.05


@dataclass(frozen=True)
class RelationMatrixParams:
    scaling: str = param(
        "as recorded", "Units as they are, or each with deviation 1: then none rules by its size.",
        choices=("as recorded", "standardised"),
    )  # fmt: skip
    centred: bool = param(False, "About the mean map of each unit: then 0 is what unrelated layers give.")
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def relation_matrix(
    *taps, params: RelationMatrixParams = RelationMatrixParams(), rng=None, progress=no_progress
) -> Matrix:
    """Relations between the units of two layers, or what a student's lack of the teacher's.

    Parameters
    ----------
    *taps : two or four Activations or arrays (rows, units)
        Layers i, j of one network; or of a teacher, then of a student, with as many units.

    Returns
    -------
    Matrix
        `values` (p, q) G, or teacher less student; `null` of each cell, `low`, `high` its 95 % interval over samples,
        `significant` after false-discovery control. Estimates: size of G, or of the difference, and the share of cells.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Other than two or four taps; other widths or samples; fewer than eight samples; over a million cells.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    _refuse_unfit(taps)
    data = sample_maps(taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress)
    maps = [_prepared(x, params) for x in data.values]
    group = groups_of(len(maps[0]), rng)
    progress(0.4, "relating units")
    pairs = [(maps[i], maps[i + 1]) for i in range(0, len(maps), 2)]
    found = [relation(f, g, group) for f, g in pairs]
    progress(0.7, "testing cells")
    tested = cell_tests(pairs, centre=len(pairs) == 1)
    sure = benjamini_hochberg(tested.p.ravel()).reshape(tested.p.shape) < LEVEL
    half = tested.half if len(pairs) == 2 else cell_tests(pairs, centre=False).half
    values = found[0].values - found[1].values if len(found) == 2 else found[0].values
    null = np.zeros(values.shape) if len(found) == 2 else found[0].null
    estimates = (_size(found), _share(sure, len(group), len(found) == 2))
    progress(1.0, "done")
    return Matrix(
        title=_title(taps), reading=_reading(estimates, len(found) == 2),
        caveats=(*data.notes, *_caveats(params, data.positions)), estimates=estimates, values=values,
        row_names=tuple(map(str, taps[0].unit_names)), column_names=tuple(map(str, taps[1].unit_names)),
        value_name="teacher less student" if len(found) == 2 else "relation", significant=sure, diverging=True,
        null=null, low=values - half, high=values + half,
    )  # fmt: skip


def _refuse_unfit(taps) -> None:
    if len(taps) not in (2, 4):
        raise ParameterError(
            f"{len(taps)} tap(s)", "two layers of one network, or two of a teacher and two of a student"
        )
    shapes = [t.shape[1] for t in taps]
    if len(taps) == 4 and shapes[:2] != shapes[2:]:
        raise InputError(
            f"the teacher's layers have {shapes[0]} and {shapes[1]} units, the student's {shapes[2]} and {shapes[3]}",
            "as many on both sides, to subtract cell by cell",
            "Look at each network by itself, or compare them with CKA",
        )
    if shapes[0] * shapes[1] > MOST_CELLS:
        raise TooLarge(f"{shapes[0]:,} x {shapes[1]:,} cells", "at most a million", "Choose narrower layers")


def _prepared(x: np.ndarray, params: RelationMatrixParams) -> np.ndarray:
    """A layer (N, T, units), in deviations and about its mean map where asked; constant units then become 0."""
    if params.scaling == "standardised":
        spread, size = x.std(axis=(0, 1)), np.abs(x).max(axis=(0, 1))
        varies = spread > 1e-12 * size
        x = np.where(varies, x / np.where(varies, spread, 1.0), 0.0)
    return x - x.mean(axis=0) if params.centred else x


# ---------------------------------------------------------------------------- numbers and words
def _size(found: list[Relation]) -> Estimate:
    one, cells = found[0], found[0].values.size
    common = {"n": one.n, "d": cells, "interval": "jackknife over groups of samples, t"}
    if len(found) == 1:
        value = float(np.sqrt((one.values**2).mean()))
        without = np.sqrt((one.without() ** 2).mean(axis=(1, 2)))
        low, high = jackknife_interval(value, without)
        null = float(np.sqrt(((one.null**2).sum() + one.spread) / cells))
        return Estimate("size of the relation (root mean square of the cells)", value, low, high, null=null,
                        null_method="samples exchanged, exact mean square", estimator="F_iᵀ F_j / positions", **common,
                        )  # fmt: skip
    other = found[1]
    size, off = (float(np.linalg.norm(m)) for m in (one.values, one.values - other.values))
    value = off / size if size > 0 else 0.0
    left = [
        np.linalg.norm(r.reshape(len(r), -1), axis=1)
        for r in (one.without(), one.without() - other.without())
    ]
    without = np.divide(left[1], left[0], out=np.zeros_like(left[0]), where=left[0] > 0)
    low, high = jackknife_interval(value, without)
    null = float(np.sqrt(((one.values - other.null) ** 2).sum() + other.spread)) / size if size > 0 else 0.0
    return Estimate("difference over the teacher's relation", value, low, high, null=null,
                    null_method="the student's samples exchanged, exact mean square",
                    estimator="|G teacher - G student| / |G teacher|", **common)  # fmt: skip


def _share(sure: np.ndarray, n: int, two: bool) -> Estimate:
    low, high = wilson(int(sure.sum()), sure.size)
    what = "differ" if two else "are beyond what mean maps give"
    return Estimate(f"share of cells that {what} (q < {LEVEL:g})", float(sure.mean()), low, high,
                    interval="Wilson, cells as draws", null=0.0, null_method="false-discovery control", n=n,
                    d=sure.size, estimator="t over samples")  # fmt: skip


def _title(taps) -> str:
    if len(taps) == 2:
        return f"Relations between units of {taps[0].name} and {taps[1].name}"
    return f"Relations of {taps[0].name}, {taps[1].name} less those of {taps[2].name}, {taps[3].name}"


def _reading(estimates: tuple[Estimate, ...], two: bool) -> str:
    size, share = estimates
    if two:
        return (
            f"The student's relations are off by {size.value:.0%} of the teacher's ({size.low:.0%} to "
            f"{size.high:.0%}); a student whose layers are unrelated would be off by {size.null:.0%}. "
            f"{share.value:.0%} of the cells differ beyond chance."
        )
    return (
        f"Cells are {size.value:.3g} in size ({size.low:.3g} to {size.high:.3g}); layers with nothing but the same "
        f"mean maps give {size.null:.3g}. {share.value:.0%} of the cells are beyond that."
    )


def _caveats(params: RelationMatrixParams, positions: int) -> list[str]:
    notes = [f"{positions:,} positions of each sample go together." if positions > 1 else
             "Each sample counts by one value for each unit, not by its positions."]  # fmt: skip
    if params.scaling == "as recorded" and not params.centred:
        notes.append(
            "Units of large scale or mean rule; standardised or centred units may give another picture."
        )
    return notes


def _cost(shapes, params: RelationMatrixParams) -> Cost:
    (n, p), (_, q), m = shapes[0], shapes[1], machine()
    n, pairs = min(n, params.maximum_samples), len(shapes) / 2
    moved = 8.0 * pairs * (n * (p + q) * 20 + p * q * 500)
    memory = 8.0 * pairs * (n * (p + q) * 3.5 + 16.0 * p * q) + 3e5
    return Cost(m.seconds(flops64=pairs * 10.0 * n * p * q, moved=moved) + 0.01, memory)


def _check() -> tuple[CheckLine, ...]:
    """G of copies is their second moment; unrelated layers with means lie at the null; teacher less itself is 0."""
    rng = np.random.default_rng(12)
    x, y = rng.standard_normal((500, 6)) + 2, rng.standard_normal((500, 5)) + 3
    one, far = relation_matrix(x, x), relation_matrix(x, y)
    same = relation_matrix(x, y, x, y)
    flat = RelationMatrixParams(centred=True, scaling="standardised")
    lost = relation_matrix(x, x, x, x[rng.permutation(500)], params=flat)
    return (
        CheckLine("a layer with itself: G off XᵀX / n", 0.0, float(np.abs(one.values - x.T @ x / 500).max()), 1e-10),
        CheckLine("unrelated layers: size over null", 1.0, far.estimates[0].value / far.estimates[0].null, 0.01),
        CheckLine("unrelated layers: cells", 0.0, far.estimates[1].value, 0.05),
        CheckLine("teacher less itself", 0.0, float(np.abs(same.values).max()), 0.0),
        CheckLine("student without the relation: difference over its null", 1.0,
                  lost.estimates[0].value / lost.estimates[0].null, 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="relation_matrix", family="weights", title="Cross-layer relations", version=1, function=relation_matrix,
        summary="Which units of two layers go together, and which of these relations a student lacks.",
        params=RelationMatrixParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="reordering samples and positions; standardised, scaling a unit; centred, shifting it",
        papers=("Efficient Crowd Counting via Structured Knowledge Transfer",),
    ),
)  # fmt: skip
