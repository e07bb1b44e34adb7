"""Model upgrades without re-indexing: queries embedded by one version of a model against a gallery embedded by another.

C[t, k] is the recall@1 (or mAP) of queries by version t in the gallery by version k; versions in the order given, the
oldest first. Version t is compatible with an older k when C[t, k] > C[k, k]: replacing only the query model helps.

    average compatibility            AC = 2 / (T (T - 1)) Σ_{k < t} 1[C[t, k] > C[k, k]]
    average multi-model score        AM = 2 / (T (T + 1)) Σ_{k <= t} C[t, k]

Null of a cell: a random ranking, exact from the sizes of the classes; its band lets all queries of a class be right or
wrong together, since the classes of one model lie anywhere in the space of an unrelated one. A cell is marked where the
gain over C[k, k] on the same queries passes a paired test (McNemar's exact one; signs drawn at random for mAP) after
Benjamini-Hochberg at 5 %. Null of AC: the same signs drawn at random.

When it lies: equal versions gain nothing, so they count as incompatible by the strict criterion; the queries of the
test are taken as independent, and those of one class are not; a label that the embedding never learned makes every
upgrade look harmless; with cosines the lengths, which may carry the difference, do not count.

Cost: T² searches of O(n² d) (n² ln n more each for mAP), alignment T² / 2 decompositions of O(d³); memory O(T n d).

References: Y. Shen et al. (2020), "Towards backward-compatible representation learning"; N. Biondi et al. (2023),
"CoReS: compatible representations via stationarity"; S. Ricci et al. (2024), "Backward-compatible aligned
representations via an orthogonal transformation layer".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.gallery_search import MEASURES, PRECISION, RECALL, chance_by_class, scores
from analysis.compute.retrieval.model_versions import (
    ALIGNMENTS,
    AS_THEY_ARE,
    ASKING,
    EVERY,
    FEWEST,
    ORTHOGONAL,
    Versions,
    rotations,
    versions_of,
    width_notes,
)
from analysis.compute.retrieval.upgrade_report import (
    DRAWS,
    fit_notes,
    upgrade_estimates,
    upgrade_reading,
    with_intervals,
)
from analysis.compute.rows.metric_space import METRICS
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.paired_gain import gain_p
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05  # false-discovery rate of the marked cells
UNSURE = 0.1  # half-width of an interval from which on queries count as too few


@dataclass(frozen=True)
class UpgradeParams:
    column: str = param("label", "Sample column whose equal values are the right answers.", column=True)
    measure: str = param(RECALL, "Whether the nearest is right, or the whole ranking.", choices=MEASURES)
    alignment: str = param(
        AS_THEY_ARE, "Compare versions as they are, or turn each onto the other first.", choices=ALIGNMENTS
    )
    metric: str = param("cosine", "How the gallery is ranked.", choices=METRICS)
    asking: str = param(EVERY, "Who asks whom.", choices=ASKING)
    query_share: float = param(0.5, "Share of each class that asks, where some do.", low=0.05, high=0.95)
    hold_out: float = param(0.3, "Share of each class that maps are fitted on.", low=0.05, high=0.8)
    maximum_samples: int = param(4000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def upgrade_matrix(*taps, params: UpgradeParams = UpgradeParams(), rng=None, progress=no_progress) -> Matrix:
    """Retrieval by every version of a model from the gallery of every other.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), the oldest version first; of the same samples (matched by id).

    Returns
    -------
    Matrix
        `values` (T, T) in [0, 1], queries by rows, gallery by columns; `null`, `low` and `high` of each cell;
        `significant`: an older gallery in which the newer query version gains (and the diagonal). Estimates: average
        compatibility, average multi-model score, and the cells of two versions.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData, TooLarge
        As `model_versions.versions_of`.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    v = versions_of(
        taps, rng, column=params.column, metric=params.metric, asking=params.asking, query_share=params.query_share,
        alignment=params.alignment, hold_out=params.hold_out, maximum=params.maximum_samples, progress=progress,
    )  # fmt: skip
    turns = rotations(v, progress)
    each = _searched(v, turns, params.measure, progress)
    t, k = np.tril_indices(len(v.names), -1)
    gains = (each[t, k] - each[k, k]).T  # (q, pairs)
    p = np.array([gain_p(g, rng) for g in gains.T])
    significant = np.eye(len(v.names), dtype=bool)
    significant[t, k] = benjamini_hochberg(p) < LEVEL
    values, low, high = with_intervals(each, rng)
    expected, deviation = chance_by_class(v.task, params.measure)
    band = (max(expected - 1.96 * deviation, 0.0), min(expected + 1.96 * deviation, 1.0))
    estimates = upgrade_estimates(v, each, gains, (values, low, high), (expected, *band), params.measure, rng)
    return Matrix(
        title=f"Upgrade matrix: {params.measure}, queries by rows, gallery by columns",
        reading=upgrade_reading(v, values, significant, expected, params.measure),
        caveats=(*width_notes(v), *fit_notes(v, turns), *_caveats(v, params), *v.notes), estimates=estimates,
        values=values, row_names=v.names, column_names=v.names, value_name=params.measure, significant=significant,
        limits=(0.0, 1.0), null_band=band, null=np.full(values.shape, expected), low=low, high=high,
        few=(high - low) > 2 * UNSURE,
    )  # fmt: skip


def _searched(v: Versions, turns: dict, measure: str, progress) -> np.ndarray:
    """(T, T, q) score of every query of version t in the gallery of version k."""
    count = len(v.names)
    out = np.empty((count, count, len(v.task.query)))
    for i, (t, k) in enumerate(np.ndindex(count, count)):
        ends = tuple(0.4 + 0.5 * (i + j) / count**2 for j in (0, 1))
        a, b = v.placed(t, turns[t, k], k)
        out[t, k] = scores(v.task, a[v.task.query], b[v.task.gallery], measure, progress, ends)
    return out


def _caveats(v: Versions, params: UpgradeParams) -> list[str]:
    notes = [
        f"{len(v.task.query):,} queries of {len(v.classes)} classes; tests and intervals take queries as independent, "
        "although those of one class go together."
    ]
    if params.metric == "cosine":
        notes.append("Vectors are compared by direction alone.")
    return notes


def _cost(shapes, params: UpgradeParams) -> Cost:
    m, count = machine(), len(shapes)
    n, widest = (
        min(min(rows for rows, _ in shapes), params.maximum_samples),
        max(units for _, units in shapes),
    )
    pairs = float(n) ** 2 * (params.query_share * (1 - params.query_share) if params.asking != EVERY else 1.0)
    flops = count**2 * 2.0 * pairs * widest + (
        count**2 * 12.0 * widest**3 if params.alignment == ORTHOGONAL else 0
    )
    each = 900.0 if params.measure == PRECISION else 60.0
    moved = count**2 * (each * pairs + DRAWS * 24.0 * n)
    read = sum(8.0 * rows * units for rows, units in shapes)
    held = n * (8.0 * count * widest * 2 + 8.0 * widest * 3) + (40 << 20) * min(1.0, n * n / (1 << 20))
    return Cost(m.seconds(flops64=flops, moved=moved + 3 * read) + 0.02, held + 8.0 * n * count**2 * 6)


def _check() -> tuple[CheckLine, ...]:
    """Equal versions: one value everywhere, no gain. A rotated version: its own recall unchanged, in the other's
    gallery chance (the mean of many rotations), restored by the alignment. A version that learned more: compatible."""
    rng = np.random.default_rng(4)
    label = np.repeat(np.arange(12), 20)
    samples = {"label": label}
    middle, noise = rng.standard_normal((12, 20))[label], rng.standard_normal((240, 20))
    x, better = middle + 1.1 * noise, middle + 0.5 * noise

    def asked(a, b, **more) -> Matrix:
        taps = [ArrayActivations(m, name=n, samples=samples) for m, n in ((a, "old"), (b, "new"))]
        return upgrade_matrix(*taps, params=UpgradeParams(**more))

    def turned() -> np.ndarray:
        """By a rotation that is uniform over all: of a decomposition with a positive diagonal."""
        q, r = np.linalg.qr(rng.standard_normal((20, 20)))
        return x @ (q * np.sign(np.diag(r)))

    same, once = asked(x, x), turned()
    crossed = [asked(x, turned()).values[1, 0] for _ in range(25)]
    aligned = asked(x, once, alignment=ORTHOGONAL).values
    own = [scores_alone(x, label, measure) for measure in MEASURES]
    return (
        CheckLine("equal versions: largest difference of two cells", 0.0, float(np.ptp(same.values)), 0.0),
        CheckLine("equal versions: average compatibility", 0.0, same.estimates[0].value, 0.0),
        CheckLine("recall@1 of a version in its own gallery", own[0], float(same.values[0, 0]), 1e-12),
        CheckLine("mAP of a version in its own gallery", own[1], float(asked(x, x, measure=PRECISION).values[0, 0]),
                  1e-12),
        CheckLine("rotated: recall in its own gallery", own[0], float(asked(x, once).values[1, 1]), 1e-9),
        CheckLine("rotated: mean recall in the other's is chance", 19 / 239, float(np.mean(crossed)), 0.02),
        CheckLine("rotated, then aligned: largest difference of two cells", 0.0, float(np.ptp(aligned)), 1e-9),
        CheckLine("a version that learned more: marked", 1.0, float(asked(x, better).significant[1, 0]), 0.0),
        CheckLine("the worse one in its gallery: marked", 0.0, float(asked(better, x).significant[1, 0]), 0.0),
    )  # fmt: skip


def scores_alone(x: np.ndarray, label: np.ndarray, measure: str) -> float:
    """Recall@1 or mAP of points (n, d) among themselves by cosine, sample by sample: for the check."""
    unit, found = x / np.linalg.norm(x, axis=1, keepdims=True), []
    for i in range(len(x)):
        order = np.argsort(-(unit @ unit[i]))
        right = label[order[order != i]] == label[i]
        places = np.flatnonzero(right) + 1
        found.append(right[0] if measure == RECALL else (np.arange(1, len(places) + 1) / places).mean())
    return float(np.mean(found))


METHODS = (
    Method(
        id="upgrade_matrix", family="retrieval", title="Model upgrade matrix", version=1, function=upgrade_matrix,
        summary="Whether a newer model's queries still find their answers in a gallery that an older model indexed.",
        params=UpgradeParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling all versions together; with the orthogonal alignment rotating each on its own",
        papers=(
            "Stationary Representations: Optimally Approximating Compatibility and Implications for Improved Model "
            "Replacements",
            "CoReS: compatible representations via stationarity",
            "Backward-Compatible Aligned Representations via an Orthogonal Transformation Layer",
        ),
    ),
)  # fmt: skip
