"""What an upgrade breaks, class by class and query by query: right before and wrong after, or the other way round."""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.class_drift import simplex_distance, simplex_null
from analysis.compute.retrieval.gallery_search import RECALL, chance_by_class, margins
from analysis.compute.retrieval.model_versions import Versions
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, bootstrap_mean, wilson
from analysis.compute.statistics.paired_gain import gain_p, paired_interval
from analysis.results import Estimate


def by_class(names, of, before, after, moved, elsewhere, rng) -> dict[str, np.ndarray]:
    """A line for each class, the most broken first: `names` (K,), class numbers `of` (q,) of the queries, right or not
    `before` and `after` (q,), how far its mean `moved` and how far the others are `elsewhere` (K,)."""
    rows, p = [], []
    for c in range(len(names)):
        a, b = before[of == c], after[of == c]
        change = b.astype(float) - a
        p.append(min(1.0, 2 * min(gain_p(change, rng), gain_p(-change, rng))))
        rows.append((len(a), (a & ~b).mean(), a.mean(), b.mean(), change.mean(), *paired_interval(a, b),
                     (b & ~a).mean()))  # fmt: skip
    rows = np.array(rows)
    keys = ("broken", "before", "after", "gain", "low", "high", "mended")
    out = {"class": np.array(names), **dict(zip(keys, rows[:, 1:].T, strict=True))}
    out |= {"q_value": benjamini_hochberg(np.array(p)), "drift": moved, "drift_to_others": elsewhere}
    out["queries"] = rows[:, 0].astype(np.int64)
    order = np.lexsort((out["gain"], -out["broken"]))
    return {k: x[order] for k, x in out.items()}


def by_query(v: Versions, points, before, after) -> dict[str, np.ndarray]:
    """A line for each query, those that break first; `points`: old, new, and the gallery of the new, (n, D) each."""
    old, new, into = points
    q, g = v.task.query, v.task.gallery
    near = [margins(v.task, a[q], b[g]) for a, b in ((old, old), (new, into))]
    change = np.select(
        [before & ~after, after & ~before, before],
        ["broken", "mended", "right both times"],
        "wrong both times",
    )
    order = np.lexsort((near[1], ~(before & ~after)))
    classes = np.array(v.classes)[v.task.of[q]]
    columns = {
        "query": v.ids[q], "class": classes, "change": change, "margin_before": near[0], "margin_after": near[1],
    }  # fmt: skip
    return {k: x[order] for k, x in columns.items()}


def flip_estimates(before, after, v: Versions, rng) -> tuple[Estimate, ...]:
    """How many queries break and mend, and the gain."""
    n, d = len(before), max(v.widths)
    made = {"n": n, "d": d}
    found = []
    for name, flip, null in (
        ("break", before & ~after, before.mean() * (1 - after.mean())),
        ("mend", after & ~before, after.mean() * (1 - before.mean())),
    ):
        low, high = wilson(flip.sum(), n)
        value = float(flip.mean())
        found.append(Estimate(
            f"share of queries that {name}", value, min(low, value), max(high, value), interval="Wilson over queries",
            null=float(null), null_method="mistakes of the two versions independent of each other",
            estimator="recall@1, right or wrong", **made,
        ))  # fmt: skip
    change = after.astype(float) - before
    low, high = paired_interval(before, after)
    p = min(1.0, 2 * min(gain_p(change, rng), gain_p(-change, rng)))
    expected, _ = chance_by_class(v.task, RECALL)
    gain = Estimate(
        "gain in recall@1", float(change.mean()), low, high,
        interval="Newcombe's paired interval over queries", null=0.0,
        null_method=f"versions exchanged (McNemar, exact); a random ranking would lose {before.mean() - expected:.2f}",
        p_value=p, estimator="after less before", **made,
    )  # fmt: skip
    return (*found, gain)


def drift_estimates(means, moved, elsewhere, v: Versions, here, points, rng) -> tuple[Estimate, ...]:
    """The mean drift, and how even the class means (two of (K, D)) of both versions lie; `points` of the samples
    `here`."""
    k = len(moved)
    made = {"n": int(here.sum()), "d": max(v.widths)}
    ends = {}
    if k > 2:
        low, high = (float(e[0]) for e in bootstrap_mean(moved[:, None], rng, draws=500))
        ends = {
            "low": min(low, moved.mean()),
            "high": max(high, moved.mean()),
            "interval": "bootstrap over classes",
        }
    found = [Estimate(
        "mean drift of a class mean", float(moved.mean()), null=float(elsewhere.mean()),
        null_method="to where the other classes were", estimator="1 - cosine" if v.cosine else "distance",
        **ends, **made,
    )]  # fmt: skip
    of = np.unique(v.task.of[here], return_inverse=True)[1]
    for name, x, m in zip(v.names, points, means, strict=True):
        if k > 2:
            value = simplex_distance(m)
            null = against(value, simplex_null(x[here], of, k, rng))
            null.pop("p_value")
            found.append(Estimate(
                f"distance of the class means from a simplex: {name}", value, **null,
                null_method="random classes of the same sizes, 50 draws",
                estimator=f"root mean square of cosine + 1/{k - 1}", **made,
            ))  # fmt: skip
    return tuple(found)
