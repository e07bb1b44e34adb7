"""Is a newer version compatible with an older one pair by pair? Class x class: the share of pairs of samples that come
no farther (one class) or no nearer (two classes) when the first of the two is embedded anew.

    same class          d(new_i, old_j) <= d(old_i, old_j)
    different classes   d(new_i, old_j) >= d(old_i, old_j)

These are the inequalities by which compatibility is defined; a retrieval score follows from them but not they from it.
Equal versions satisfy all of them, with equality.

Null: the new version's samples exchanged, exact by ranks. Of classes that lie apart, unrelated versions keep about half
of the pairs of two classes and hardly any of one, so that the two shares are not to be averaged. Intervals leave groups
of samples out (jackknife).

When it lies: the smallest change counts as much as the largest, so that a version which moved every point by a hair
keeps half of its pairs; a version that is nearer to (or farther from) everything satisfies one kind and fails the
other; a rotation of the space, harmless in itself, breaks it unless aligned.

Cost: O(n² (d + ln n)), memory O(n d + K²).

References: Y. Shen et al. (2020), "Towards backward-compatible representation learning"; N. Biondi et al. (2024),
"Stationary representations: optimally approximating compatibility and implications for improved model replacements".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.model_versions import (
    ALIGNMENTS,
    AS_THEY_ARE,
    EVERY,
    FEWEST,
    ORTHOGONAL,
    versions_of,
    width_notes,
)
from analysis.compute.retrieval.pair_inequalities import PairCounts, pair_inequalities
from analysis.compute.rows.metric_space import METRICS
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.errors import NotEnoughData, ParameterError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

KINDS = ("of one class that come no farther", "of two classes that come no nearer")


@dataclass(frozen=True)
class InequalityParams:
    column: str = param("label", "Sample column with the classes.", column=True)
    alignment: str = param(
        AS_THEY_ARE, "Compare versions as they are, or turn the new onto the old first.", choices=ALIGNMENTS
    )
    metric: str = param("cosine", "How far two samples are apart.", choices=METRICS)
    hold_out: float = param(0.3, "Share of each class that the map is fitted on.", low=0.05, high=0.8)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def compatibility_inequalities(
    *taps, params: InequalityParams = InequalityParams(), rng=None, progress=no_progress
) -> Matrix:
    """Share of pairs that satisfy the inequalities of backward compatibility, by class.

    Parameters
    ----------
    *taps : two Activations or arrays (rows, units), the old version and the new one, of the same samples (by id).

    Returns
    -------
    Matrix
        `values` (K, K) in [0, 1], the class of the sample embedded anew by rows; `null` of each cell. Estimates: the
        shares of the pairs of one class and of two.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData, TooLarge
        Not two taps; fewer than two classes with two samples; otherwise as `model_versions.versions_of`.
    """
    if len(taps) != 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two: the old version and the new one")
    rng = rng or np.random.default_rng(0)
    v = versions_of(
        [as_activations(t) for t in taps], rng, column=params.column, metric=params.metric, asking=EVERY,
        query_share=0.5, alignment=params.alignment, hold_out=params.hold_out, maximum=params.maximum_samples,
        progress=progress,
    )  # fmt: skip
    q = v.task.query  # samples with another one of their class
    kinds, of = np.unique(v.task.of[q], return_inverse=True)
    if len(kinds) < 2:
        raise NotEnoughData("one class with two samples", "at least two such classes")
    new, old = v.placed(1, v.rotation(1, 0), 0)
    found = pair_inequalities(old[q], new[q], of, groups_of(len(q), rng), progress, (0.4, 0.95))
    estimates = tuple(_estimate(found, kind, len(q), max(v.widths)) for kind in (0, 1))
    names = tuple(v.classes[c] for c in kinds)
    notes = ["A pair counts by its sign alone, however small the change."]
    if not v.is_aligned:
        notes.append(
            "Nothing is aligned: a rotation of the new space, harmless in itself, breaks most pairs."
        )
    return Matrix(
        title=f"Pairs that keep their distance from {v.names[0]} to {v.names[1]}", reading=_reading(estimates),
        caveats=(*width_notes(v), *notes, *v.notes), estimates=estimates, values=found.hold / found.pairs,
        row_names=names, column_names=names, value_name="share of pairs that hold", limits=(0.0, 1.0),
        null=found.average / found.pairs,
    )  # fmt: skip


def _estimate(found: PairCounts, kind: int, n: int, d: int) -> Estimate:
    series = found.series(kind)
    value, half = float(series[0]), float(jackknife_half(series))
    same = np.eye(len(found.pairs), dtype=bool)
    cells = same if kind == 0 else ~same
    null = float(found.average[cells].sum() / found.pairs[cells].sum())
    return Estimate(
        f"share of pairs {KINDS[kind]}", value, max(value - half, 0.0), min(value + half, 1.0),
        interval="jackknife over groups of samples, t", null=null,
        null_method="the new version's samples exchanged, exact by ranks", n=n, d=d, estimator="share of pairs i != j",
    )  # fmt: skip


def _reading(estimates: tuple[Estimate, ...]) -> str:
    same, other = estimates
    return (
        f"{same.value:.0%} of the pairs of one class come no farther when one of them is embedded anew (unrelated "
        f"versions: {same.null:.0%}), and {other.value:.0%} of the pairs of two classes come no nearer (unrelated: "
        f"{other.null:.0%})."
    )


def _cost(shapes, params: InequalityParams) -> Cost:
    m = machine()
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), max(units for _, units in shapes)
    flops = 2 * 2.0 * n * n * d + (12.0 * d**3 if params.alignment == ORTHOGONAL else 0) + 6.0 * n * n * 40
    read = sum(8.0 * rows * units for rows, units in shapes)
    held = 8.0 * n * d * 9 + (100 << 20) * min(1.0, n * n / (1 << 20))
    return Cost(m.seconds(flops64=flops, moved=700.0 * n * n + 3 * read) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """Equal versions hold everywhere. All samples drawn onto the means of their classes: pairs of one class
    hold. Pushed away from them: they do not. An unrelated version: its null."""
    rng = np.random.default_rng(8)
    label = np.repeat(np.arange(8), 20)
    middle = np.eye(16)[label] * 4
    x = middle + 0.5 * rng.standard_normal((160, 16))

    def asked(a, b, **more) -> tuple[Estimate, ...]:
        taps = [ArrayActivations(m, samples={"label": label}) for m in (a, b)]
        return compatibility_inequalities(*taps, params=InequalityParams(**more)).estimates

    def turned() -> np.ndarray:
        q, r = np.linalg.qr(rng.standard_normal((16, 16)))
        return x @ (q * np.sign(np.diag(r)))  # uniform over all rotations

    same, back = asked(x, x), asked(x, turned(), alignment=ORTHOGONAL)
    near, far = (asked(x, middle + f * (x - middle), metric="euclidean")[0].value for f in (0.0, 3.0))
    crossed = [asked(x, turned()) for _ in range(12)]
    return (
        CheckLine("equal versions: pairs of one class that hold", 1.0, same[0].value, 0.0),
        CheckLine("equal versions: pairs of two classes that hold", 1.0, same[1].value, 0.0),
        CheckLine("rotated, then aligned: pairs of one class", 1.0, back[0].value, 0.0),
        CheckLine("drawn to the means of their classes: pairs of one class", 0.95, near, 0.0, "at least"),
        CheckLine("pushed away from them: pairs of one class", 0.05, far, 0.0, "at most"),
        CheckLine("unrelated: pairs of two classes less their null", 0.0,
                  float(np.mean([e[1].value - e[1].null for e in crossed])), 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="compatibility_inequalities", family="retrieval", title="Compatibility inequalities", version=1,
        function=compatibility_inequalities,
        summary="Whether samples stay as near to their own class and as far from others when a model is upgraded.",
        params=InequalityParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="rotating or scaling both versions together; with the orthogonal alignment rotating each on its own",
        papers=(
            "Stationary Representations: Optimally Approximating Compatibility and Implications for Improved Model "
            "Replacements",
        ),
    ),
)  # fmt: skip
