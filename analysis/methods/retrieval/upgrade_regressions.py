"""What breaks when a model is upgraded: the queries that the old version answered and the new one does not, the classes
they belong to, and how far the means of the classes drift.

Before: queries and gallery by the old version. After: queries by the new one, the gallery still old (not re-indexed) or
new (re-indexed). A query is right when the nearest sample is of its class. It *breaks* when it was right before and is
not after (a negative flip), and *mends* the other way round. The gain of each class, right after less right before, has
Newcombe's paired interval and McNemar's exact test, with Benjamini-Hochberg's q over the classes.

Drift: how far a class mean moves, 1 - cosine (or the distance); beside it the same to where the *other* classes were,
which is what an unrelated version gives. Null of the breaking: the mistakes of both versions independent of each other,
share right before x share wrong after. Evenness: distance of the class means from a regular simplex, whose cosines are
all -1 / (K - 1); its null are random classes of the same sizes.

When it lies: one nearest neighbour is a noisy judge, so that some queries always flip: compare with mends, not with 0;
without an alignment, drift and flips over an old gallery mix a rotation of the space, which is harmless, with loss; the
queries of a class go together, so the interval of a class is too narrow.

Cost: three searches of O(n² d), an alignment O(d³); memory O(n d).

References: S. Yan et al. (2021), "Positive-congruent training" (negative flips); N. Biondi et al. (2023), "CoReS:
compatible representations via stationarity"; S. Ricci et al. (2024), "Backward-compatible aligned representations via
an orthogonal transformation layer"; R. Newcombe (1998); Q. McNemar (1947).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.class_drift import class_means, drifts, simplex_distance
from analysis.compute.retrieval.gallery_search import RECALL, scores
from analysis.compute.retrieval.model_versions import (
    ALIGNMENTS,
    AS_THEY_ARE,
    EVERY,
    FEWEST,
    ORTHOGONAL,
    Versions,
    versions_of,
    width_notes,
)
from analysis.compute.retrieval.upgrade_breaks import by_class, by_query, drift_estimates, flip_estimates
from analysis.compute.rows.metric_space import METRICS
from analysis.errors import ParameterError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OLD, REINDEXED = "the old one (not re-indexed)", "the new one (re-indexed)"
CLASSES, QUERIES = "classes", "queries"
HELP = {
    "queries": "samples of the class that asked",
    "before": "share right with queries and gallery by the old version",
    "after": "share right with queries by the new version",
    "gain": "after less before",
    "low": "lower end of the 95 % interval of the gain (Newcombe, paired)",
    "high": "upper end of the 95 % interval of the gain (Newcombe, paired)",
    "q_value": "Benjamini-Hochberg q of McNemar's exact two-sided test over the classes",
    "broken": "share of the queries that were right before and are not after",
    "mended": "share of the queries that are right after and were not before",
    "drift": "how far the class mean moved: 1 - cosine, or the distance",
    "drift_to_others": "the same to where the means of the other classes were: what an unrelated version gives",
    "change": "broken, mended, right both times or wrong both times",
    "margin_before": "distance of the nearest wrong sample less that of the nearest right one (halved squares)",
    "margin_after": "the same after the upgrade",
}


@dataclass(frozen=True)
class RegressionParams:
    column: str = param("label", "Sample column whose equal values are the right answers.", column=True)
    gallery: str = param(OLD, "The gallery that the new queries are asked of.", choices=(OLD, REINDEXED))
    lines: str = param(CLASSES, "What a line of the table is.", choices=(CLASSES, QUERIES))
    alignment: str = param(
        AS_THEY_ARE, "Compare versions as they are, or turn the new onto the old first.", choices=ALIGNMENTS
    )
    metric: str = param("cosine", "How the gallery is ranked.", choices=METRICS)
    hold_out: float = param(0.3, "Share of each class that the map is fitted on.", low=0.05, high=0.8)
    maximum_samples: int = param(4000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def upgrade_regressions(
    *taps, params: RegressionParams = RegressionParams(), rng=None, progress=no_progress
) -> Table:
    """Queries and classes that break when the version that embeds the queries is replaced.

    Parameters
    ----------
    *taps : two Activations or arrays (rows, units), the old version and the new one, of the same samples (by id).

    Returns
    -------
    Table
        A line for each class, or for each query. Estimates: shares of queries that break and mend, the gain, the
        drift of the class means, and how far these are from a simplex.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData, TooLarge
        Not two taps; otherwise as `model_versions.versions_of`.
    """
    if len(taps) != 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two: the old version and the new one")
    rng = rng or np.random.default_rng(0)
    v = versions_of(
        [as_activations(t) for t in taps], rng, column=params.column, metric=params.metric, asking=EVERY,
        query_share=0.5, alignment=params.alignment, hold_out=params.hold_out, maximum=params.maximum_samples,
        progress=progress,
    )  # fmt: skip
    new, old = v.placed(1, v.rotation(1, 0), 0)
    into = old if params.gallery == OLD else new
    q, g = v.task.query, v.task.gallery
    before = scores(v.task, old[q], old[g], RECALL, progress, (0.3, 0.5)) >= 0.5
    after = scores(v.task, new[q], into[g], RECALL, progress, (0.5, 0.7)) >= 0.5
    kinds, of = np.unique(v.task.of[q], return_inverse=True)
    here = np.isin(v.task.of, kinds) & np.isin(np.arange(len(v.task.of)), g)
    means = [class_means(x[here], np.searchsorted(kinds, v.task.of[here]), len(kinds)) for x in (old, new)]
    moved, elsewhere = drifts(*means, v.cosine)
    progress(0.7, "counting what breaks")
    if params.lines == CLASSES:
        columns = by_class([v.classes[c] for c in kinds], of, before, after, moved, elsewhere, rng)
    else:
        columns = by_query(v, (old, new, into), before, after)
    progress(0.9, "estimating")
    estimates = (
        *flip_estimates(before, after, v, rng),
        *drift_estimates(means, moved, elsewhere, v, here, (old, new), rng),
    )
    return Table(
        title=f"What breaks from {v.names[0]} to {v.names[1]}, gallery: {params.gallery}", columns=columns,
        reading=_reading(v, estimates, columns, params), caveats=(*width_notes(v), *_caveats(v, params), *v.notes),
        estimates=estimates, index="class" if params.lines == CLASSES else "query",
        sort="broken" if params.lines == CLASSES else "", help={k: HELP[k] for k in columns if k in HELP},
    )  # fmt: skip


def _reading(v: Versions, estimates, columns, params: RegressionParams) -> str:
    broken, mended, gain, drift = estimates[:4]
    first = (
        f"{broken.value:.1%} of {broken.n:,} queries break and {mended.value:.1%} mend; recall@1 changes by "
        f"{gain.value:+.2f} ({gain.low:+.2f} to {gain.high:+.2f}; p {_p(gain.p_value)})."
    )
    if params.lines == CLASSES:
        worst, count = columns["class"][0], int((columns["q_value"] < 0.05).sum())
        share = columns["broken"][0]
        first += (
            f" Most broken is {worst} ({share:.0%} of its queries)"
            if share > 0
            else " No class loses a query"
        )
        first += f"; {count} of {len(columns['class'])} classes change beyond chance."
    return f"{first} A class mean drifts by {drift.value:.2f}, other classes are {drift.null:.2f} away."


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _caveats(v: Versions, params: RegressionParams) -> list[str]:
    notes = ["Intervals and tests take queries as independent, although those of one class go together."]
    if not v.is_aligned and params.gallery == OLD:
        notes.append(
            "Nothing is aligned: a rotation of the new space, harmless in itself, breaks every query."
        )
    if not v.is_aligned and params.gallery == REINDEXED:
        notes.append("Nothing is aligned: the drift counts a rotation of the new space too.")
    return notes


def _cost(shapes, params: RegressionParams) -> Cost:
    m = machine()
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), max(units for _, units in shapes)
    flops = (
        3 * 2.0 * n * n * d + (12.0 * d**3 if params.alignment == ORTHOGONAL else 0) + 100 * 2.0 * n * d * 20
    )
    read = sum(8.0 * rows * units for rows, units in shapes)
    return Cost(
        m.seconds(flops64=flops, moved=250.0 * n * n + 3 * read) + 0.02,
        8.0 * n * d * 9 + (40 << 20) * min(1.0, n * n / (1 << 20)),
    )


def _check() -> tuple[CheckLine, ...]:
    """Equal versions: nothing breaks, no drift. One class of twelve loses its place: it breaks, it alone drifts. A
    regular simplex has distance 0 from one."""
    rng = np.random.default_rng(9)
    label = np.repeat(np.arange(12), 20)
    x = 3 * rng.standard_normal((12, 24))[label] + rng.standard_normal((240, 24))
    lost = x.copy()
    lost[label == 7] = x[label == 3] + 0.1 * rng.standard_normal((20, 24))

    def asked(a, b, **more) -> Table:
        taps = [ArrayActivations(m, name=n, samples={"label": label}) for m, n in ((a, "old"), (b, "new"))]
        return upgrade_regressions(*taps, params=RegressionParams(**more))

    same, gone = asked(x, x), asked(x, lost)
    drift = dict(zip(gone.columns["class"], gone.columns["drift"].tolist(), strict=True))
    simplex = np.eye(12) - 1 / 12
    return (
        CheckLine("equal versions: queries that break", 0.0, same.estimates[0].value, 0.0),
        CheckLine("equal versions: queries that mend", 0.0, same.estimates[1].value, 0.0),
        CheckLine("equal versions: largest drift of a class mean", 0.0, float(same.columns["drift"].max()), 0.0),
        CheckLine("one class lost: the class that breaks", 7.0, float(gone.columns["class"][0]), 0.0),
        CheckLine("its share that breaks", 1.0, float(gone.columns["broken"][0]), 0.0),
        CheckLine("its drift: as far as another class", float(gone.columns["drift_to_others"].mean()), drift["7"], 0.5),
        CheckLine("largest drift of the other classes", 0.0, max(d for c, d in drift.items() if c != "7"), 1e-12),
        CheckLine("a regular simplex: distance from one", 0.0, simplex_distance(simplex), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="upgrade_regressions", family="retrieval", title="What an upgrade breaks", version=1,
        function=upgrade_regressions,
        summary="Queries and classes that an older model found and a newer one does not, and how far classes drift.",
        params=RegressionParams, result=Table, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="rotating or scaling both versions together; with the orthogonal alignment rotating each on its own",
        papers=(
            "Stationary Representations: Optimally Approximating Compatibility and Implications for Improved Model "
            "Replacements",
            "CoReS: compatible representations via stationarity",
            "Backward-Compatible Aligned Representations via an Orthogonal Transformation Layer",
            "Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
            "Learning",),
    ),
)  # fmt: skip
