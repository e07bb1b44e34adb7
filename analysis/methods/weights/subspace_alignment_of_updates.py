"""How much of each task's update lies in the subspace of the merged update: tasks x layers.

First tap: the base; then one for each tuned checkpoint. Δ_t = W_t - W_0, merged by their sum M (their mean gives the
same), U_k the leading left singular vectors of M:

    SAR(Δ_t; M) = ‖U_k U_kᵀ Δ_t‖_F / ‖Δ_t‖_F,  k the smallest rank with ‖M - M_k‖_F <= 5 % of ‖M‖_F

1: the merged update has room for all of the task's; tasks that keep little of theirs tend to lose accuracy. The other
rule takes ‖M_k‖_F >= 95 % of ‖M‖_F, as code in circulation does: a far smaller k, and numbers that do not compare.
Isotropic merging (Iso-C) replaces every singular value of M by their mean: the nuclear norm stays, the Frobenius norm
never rises, and k grows, since no direction is weak any more.

Null: √(k / units), the root mean square for an update that knows nothing of U_k, exactly. The sum contains Δ_t itself,
so even unrelated tasks exceed it: `merged` without the task itself has no such part.

When it lies: k depends on the tail of the spectrum, and alignment grows with k; a share of the norm is not a share of
what the task needs; only the left side is looked at; a permutation of units between checkpoints destroys alignment.

Cost: O(m n min(m, n)) for each layer, and for each task where it is left out; memory of a layer for each task.

References: D. Marczak et al. (2025), "No task left behind: isotropic model merging with common and task-specific
subspaces".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.sources.layer_weights import layer_matrices
from analysis.spec import CheckLine, Cost, Method, no_progress, param

TOLERANCE = 0.05
ERROR, NORM = "error at most 5 %", "norm at least 95 %"
SUM, ISO = "sum", "isotropic (Iso-C)"
ALL, OTHERS = "all tasks", "the other tasks"


@dataclass(frozen=True)
class SubspaceAlignmentOfUpdatesParams:
    layers: str = param("", "Layers, as the checkpoint names them, with commas and * allowed; empty: all.")
    merging: str = param(
        SUM, "Sum of the updates, or the sum with its spectrum made flat.", choices=(SUM, ISO)
    )
    merged: str = param(ALL, "Which updates are merged, seen from one task.", choices=(ALL, OTHERS))
    rank: str = param(ERROR, "Rank at which the merged update is cut.", choices=(ERROR, NORM))
    table: bool = param(
        False,
        "The taps hold tables of weights: a column per unit, a row per input.",
        label="taps are tables of weights",
    )


def subspace_alignment_of_updates(
    *taps,
    params: SubspaceAlignmentOfUpdatesParams = SubspaceAlignmentOfUpdatesParams(),
    rng=None,
    progress=no_progress,
) -> Matrix:
    """Subspace alignment ratios of two or more tuned checkpoints.

    Parameters
    ----------
    *taps : Activations or arrays
        Taps recorded from the base, then from each tuned checkpoint; or tables of weights: a column per unit.

    Returns
    -------
    Matrix
        `values` (tasks, layers) in [0, 1], with √(k / units) as `null`. Estimates: the mean, and that of each task.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no layer in which every checkpoint differs from the base; tables of different shapes.
    """
    taps = [as_activations(t) for t in taps]
    progress(0.0, "reading weights")
    read = layer_matrices(taps, params.layers, params.table)
    names, found, still = [], [], []
    for i, name in enumerate(read.names):
        progress(0.05 + 0.95 * i / len(read.names), f"decomposing {name}")
        base, *tuned = read.read(name)
        updates = [w - base for w in tuned]
        each = range(len(updates)) if params.merged == OTHERS else [None]
        merged = [_merged(updates, t, params) for t in each]
        if not all(u.any() for u in (*updates, *merged)):
            still.append(name)
            continue
        cuts = [leading(m, params.rank) for m in merged]
        cuts *= len(updates) // len(cuts)
        names.append(name)
        found.append(
            [(alignment(u, c), np.sqrt(c.shape[1] / len(u))) for u, c in zip(updates, cuts, strict=True)]
        )
    if not names:
        raise InputError(
            f"no layer has an update in every checkpoint ({', '.join(still[:6])})",
            "checkpoints that differ from the base",
            "Choose other checkpoints or layers",
        )
    values, null = np.moveaxis(np.array(found), 2, 0).transpose(0, 2, 1)
    tasks = tap_names([t.name for t in taps])[1:]
    estimates = _estimates(values, null, tasks, params)
    caveats = [*read.notes]
    if still:
        caveats.append(
            f"{len(still)} layer(s) in which a checkpoint, or what is merged, has no update left out."
        )
    if params.merged == ALL:
        caveats.append(
            "The merged update contains the task's own, which alone lifts the ratio above its null."
        )
    progress(1.0, "done")
    mean, worst = estimates[0], min(estimates[1:], key=lambda e: e.value)
    return Matrix(
        title=f"Alignment of {len(tasks)} updates with their merged update",
        reading=f"On average {mean.value:.2f} of an update's norm lies in the subspace of the merged one "
        f"({params.merging}, {params.merged}); an unrelated update would have {mean.null:.2f}. "
        f"Least is {worst.name}: {worst.value:.2f}.",
        caveats=tuple(caveats), estimates=estimates, values=values, row_names=tasks, column_names=tuple(names),
        value_name="subspace alignment ratio", limits=(0.0, 1.0), null=null,
    )  # fmt: skip


def _merged(updates: list[np.ndarray], without: int | None, params) -> np.ndarray:
    whole = sum(u for t, u in enumerate(updates) if t != without)
    return isotropic(whole) if params.merging == ISO and whole.any() else whole


def isotropic(merged: np.ndarray) -> np.ndarray:
    """The same singular vectors with every singular value replaced by their mean."""
    u, s, v = np.linalg.svd(merged, full_matrices=False)
    return s.mean() * (u @ v)


def leading(merged: np.ndarray, rule: str) -> np.ndarray:
    """(units, k) left singular vectors up to the rank that the rule keeps."""
    u, s, _ = np.linalg.svd(merged, full_matrices=False)
    energy = np.cumsum((s / s[0]) ** 2)
    share = energy / energy[-1]
    bound = 1 - TOLERANCE**2 if rule == ERROR else (1 - TOLERANCE) ** 2
    return u[:, : int(np.argmax(share >= bound * (1 - 1e-12))) + 1]


def alignment(update: np.ndarray, basis: np.ndarray) -> float:
    """‖U Uᵀ Δ‖_F / ‖Δ‖_F."""
    return min(float(np.linalg.norm(basis.T @ update) / np.linalg.norm(update)), 1.0)


def _estimates(values, null, tasks, params) -> tuple[Estimate, ...]:
    common = {
        "null_method": "an unrelated update, exact root mean square √(k / units)",
        "estimator": f"‖U_k U_kᵀ Δ‖ / ‖Δ‖, {params.rank}, {params.merging} of {params.merged}",
    }
    interval = {"interval": "Student's t over tasks and layers"}
    whole = Estimate("mean alignment", float(values.mean()), **mean_interval(values.ravel(), 0.0, 1.0) | interval,
                     null=float(null.mean()), n=values.size, d=values.shape[1], **common)  # fmt: skip
    each = []
    for task, row, chance in zip(tasks, values, null, strict=True):
        band = mean_interval(row, 0.0, 1.0)
        band = band | {"interval": "Student's t over layers"} if band else {}
        each.append(
            Estimate(
                task, float(row.mean()), **band, null=float(chance.mean()), n=len(row), d=len(row), **common
            )
        )
    return whole, *each


def _cost(shapes, params: SubspaceAlignmentOfUpdatesParams) -> Cost:
    (n, d), count, m = shapes[0], len(shapes), machine()
    small = min(n, d)
    flops = 10.0 * n * d * small * (1 + count * (params.merged == OTHERS)) * (1 + (params.merging == ISO))
    return Cost(
        m.seconds(flops64=flops, moved=8.0 * n * d * 20 * count) + 0.02, 8.0 * (4.0 * count) * n * d + 5e4
    )


def _check() -> tuple[CheckLine, ...]:
    """Identical tasks align fully; unrelated ones, without their own part, as √(k / units); Iso-C keeps Σσ and does
    not raise Σσ²; scaling an update of a merged pair leaves its ratio to a fixed subspace."""
    rng = np.random.default_rng(12)
    base, one = rng.standard_normal((40, 300)), rng.standard_normal((40, 3)) @ rng.standard_normal((3, 300))
    same = subspace_alignment_of_updates(*(x.T for x in (base, base + one, base + 2 * one)))
    free = [rng.standard_normal((40, 300)) for _ in range(3)]
    low = [rng.standard_normal((40, 10)) @ rng.standard_normal((10, 300)), *free[:2]]
    apart = SubspaceAlignmentOfUpdatesParams(merged=OTHERS)
    two = subspace_alignment_of_updates(base.T, (base + low[0]).T, (base + low[1]).T, params=apart)
    flat = isotropic(one)
    before, after = (np.linalg.svd(m, compute_uv=False) for m in (one, flat))
    return (
        CheckLine("identical tasks: least alignment", 1.0, float(same.values.min()), 1e-12),
        CheckLine("unrelated, k = 10 of 40", np.sqrt(10 / 40), float(two.values[1, 0]), 0.03),
        CheckLine("its null", np.sqrt(10 / 40), float(two.null[1, 0]), 1e-12),
        CheckLine("Iso-C: nuclear norm", float(before.sum()), float(after.sum()), 1e-9),
        CheckLine(
            "Iso-C: Frobenius norm", float(np.linalg.norm(one)), float(np.linalg.norm(flat)), 0.0, "at most"
        ),
    )


METHODS = (
    Method(
        id="subspace_alignment_of_updates", family="weights", title="Subspace alignment of updates (SAR)", version=1,
        function=subspace_alignment_of_updates,
        summary="How much of each tuned checkpoint's update lies in the subspace of the merged update, layer by layer.",
        params=SubspaceAlignmentOfUpdatesParams, result=Matrix, check=_check, cost=_cost, inputs=3,
        checkpoints=True, more_inputs=True,
        minimum_rows=2,
        invariance="scaling all updates alike; rotating units, or inputs, of all checkpoints alike",
        papers=("No Task Left Behind: isotropic model merging",),
    ),
)  # fmt: skip
