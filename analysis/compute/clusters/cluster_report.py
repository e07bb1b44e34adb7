"""From clusters to a result: every row's cluster, stability and its null, silhouettes, agreement, names and levels.

What k-means and HDBSCAN share. Repeats (stability, silhouettes, clouds without clusters) run on a seeded subset on its
largest principal axes (`cluster_null.SubsetCloud`); the clusters themselves come from all axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.clusters.cluster_levels import levels
from analysis.compute.clusters.cluster_names import Evidence, Names, cluster_names
from analysis.compute.clusters.cluster_null import SubsetCloud, null_cloud
from analysis.compute.clusters.cluster_stability import (
    DISSOLVED,
    STABLE,
    Fit,
    Stability,
    silhouettes,
    stability,
)
from analysis.compute.rows.cloud import Cloud
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.partition_agreement import MOST_LABELS, agreement
from analysis.compute.streaming import finite_blocks
from analysis.results import Estimate, Partition
from analysis.spec import Progress

NULL_CLOUDS, NULL_HALVES = 5, 4
HELP = {
    "name": "the cluster's name; `named by` says where it comes from",
    "size": "rows in the cluster",
    "share": "of all rows",
    "stability": "mean Jaccard overlap with the most similar cluster when half of the samples are clustered again",
    "stability low": "lower end of the middle 95 % over those halves",
    "stability high": "upper end",
    "chance": "the same overlap for a partition of the same sizes that knows nothing",
    "silhouette": "mean over a subset of its rows: 1 far from the others, 0 at the border, negative nearer to another",
    "named by": "labels, terms (class-based TF-IDF), units, or numbers where nothing names it",
    "label": "its most frequent label",
    "purity": "share of that label among its labelled rows",
    "terms": "words of its texts with the largest class-based TF-IDF",
    "units": "units with the largest standardised difference inside against outside (q <= 0.05, |g| >= 0.5)",
}


@dataclass(frozen=True)
class Fitted:
    """`codes` (n,) int32 of the cloud's rows, `strength` (n,); `centres` (k, d) means of the clusters;
    `assign` puts other rows (m, d) where they belong: (codes, strength)."""

    codes: np.ndarray
    strength: np.ndarray
    centres: np.ndarray
    assign: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    @property
    def k(self) -> int:
        return len(self.centres)


@dataclass(frozen=True)
class Repeats:
    """`stability` on the subset, `silhouette` (m,) of its points, and both for clouds without clusters:
    `null_stability` and `null_silhouette` (clouds,), 0 where nothing was found there."""

    stability: Stability
    silhouette: np.ndarray
    null_stability: np.ndarray
    null_silhouette: np.ndarray


def repeats(
    test: SubsetCloud, codes: np.ndarray, owners: np.ndarray, fit: Fit, *, how: str, draws: int, rng,
    progress: Progress, span: tuple[float, float],
) -> Repeats:  # fmt: skip
    """Cluster halves of the subset again, and clouds without clusters. `codes`, `owners` (m,) of the subset."""
    middle = (span[0] + span[1]) / 2
    held = stability(test.points, codes, owners, fit, draws, rng, progress, (span[0], middle))
    null_stability, null_silhouette = np.zeros(NULL_CLOUDS), np.zeros(NULL_CLOUDS)
    for i in range(NULL_CLOUDS):
        progress(middle + (span[1] - middle) * i / NULL_CLOUDS, "clustering clouds without clusters")
        points = null_cloud(test, how, rng)
        found = fit(points, rng)
        if found.max(initial=-1) < 0:
            continue
        null_silhouette[i] = np.nanmean(silhouettes(points, found))
        null_stability[i] = stability(points, found, np.arange(len(points)), fit, NULL_HALVES, rng).overall()[
            0
        ]
    return Repeats(held, silhouettes(test.points, codes), null_stability, null_silhouette)


def all_rows(
    activations: Activations, cloud: Cloud, fitted: Fitted, progress: Progress, span: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n,), codes (n,), strengths (n,) of every finite row. Streams where the cloud is a subset."""
    if len(cloud.rows) == activations.shape[0] or not fitted.k:
        return cloud.rows, fitted.codes, fitted.strength
    parts = []
    for rows, block in finite_blocks(activations, None, progress, "placing the other rows", span):
        parts.append((rows, *fitted.assign(block)))
    rows, codes, strength = (np.concatenate(p) for p in zip(*parts, strict=True))
    mine = np.searchsorted(rows, cloud.rows)
    codes[mine], strength[mine] = fitted.codes, fitted.strength
    return rows, codes.astype(np.int32), strength.astype(np.float32)


def evidence_of(activations: Activations, cloud: Cloud, labels: str | None) -> Evidence:
    """What names can be made from: labels of the column, texts of a column "text" or "caption", the units."""
    sample = cloud.sample_numbers[cloud.sample]
    column = np.asarray(activations.samples[labels])[sample] if labels else None
    texts = _texts(activations, cloud, sample)
    if column is not None and not known_labels(column).any():
        column = None
    return Evidence(
        cloud.x, cloud.sample, activations.unit_names, column, texts,
        text_per_row=not activations.layout.is_pooled, label_word="class" if labels == "label" else labels or "",
    )  # fmt: skip


def _texts(activations: Activations, cloud: Cloud, sample: np.ndarray) -> np.ndarray | None:
    """The text of each row: of its sample at a pooled tap, its token elsewhere; None where there are none."""
    if activations.layout.is_pooled:
        named = next((t for t in ("text", "caption", "title") if t in activations.samples), None)
        texts = np.asarray(activations.samples[named]) if named else np.empty(0)
        return texts[sample] if texts.dtype.kind in "UT" else None
    read, layout = getattr(activations, "tokens", None), activations.layout
    if read is None:
        return None
    words, found = {int(i): read(int(i)) or [] for i in np.unique(sample)}, []
    for i, token in zip(sample.tolist(), layout.token_of(cloud.rows).tolist(), strict=True):
        leading = int(layout.offsets[i + 1] - layout.offsets[i]) - len(words[i])
        found.append(words[i][token - leading] if leading in (0, layout.leading) and token >= leading else "")
    return np.array(found, dtype=object) if any(found) else None


def agreement_estimates(codes, evidence: Evidence, rng) -> tuple[tuple[Estimate, ...], tuple[str, ...]]:
    """(estimates, notes) against the labels of the evidence, if it has any that can be classes."""
    if evidence.labels is None:
        return (), ()
    known = known_labels(evidence.labels)
    names, of = np.unique(evidence.labels[known], return_inverse=True)
    if not 2 <= len(names) <= MOST_LABELS or len(names) > len(of) / 2:
        return (), (
            f"{len(names):,} distinct label(s) among {len(of):,} rows are not classes: no agreement is given.",
        )
    notes = (
        () if known.all() else (f"{int((~known).sum()):,} row(s) without a label left out of the agreement.",)
    )
    found = agreement(codes[known], of.reshape(-1), evidence.owners[known], rng, evidence.x.shape[1])
    return found, notes


def table(
    codes, n_rows: int, test: SubsetCloud, subset_codes, found: Repeats, names: Names
) -> dict[str, np.ndarray]:
    """The columns of a partition; `codes` of every row, `subset_codes` (m,) of the subset."""
    k = len(names.name)
    size = np.bincount(codes[codes >= 0], minlength=k)
    low, high = found.stability.interval() if k else (np.zeros(0), np.zeros(0))
    silhouette = np.zeros(k)
    for c in range(k):
        mine = found.silhouette[subset_codes == c]
        silhouette[c] = mine.mean() if len(mine) else np.nan
    columns = {
        "name": names.name, "size": size, "share": size / max(n_rows, 1), "stability": found.stability.mean,
        "stability low": low, "stability high": high, "chance": found.stability.chance, "silhouette": silhouette,
        "named by": names.source, "label": names.label, "purity": names.share, "terms": names.terms,
        "units": names.units,
    }  # fmt: skip
    return {name: values for name, values in columns.items() if values is not None}


def repeat_estimates(found: Repeats, test: SubsetCloud, how: str, halves: int) -> tuple[Estimate, ...]:
    """Stability and silhouette over all clusters."""
    m, d = test.x.shape
    null = f"the same on {NULL_CLOUDS} clouds without clusters ({how}): mean, least, most"
    mean, low, high = found.stability.overall()
    good = found.silhouette[np.isfinite(found.silhouette)]
    silhouette = float(good.mean()) if len(good) else 0.0
    half = 1.96 * float(good.std(ddof=1) / np.sqrt(len(good))) if len(good) > 1 else 0.0
    return (
        Estimate("stability", mean, low, high, interval=f"middle 95 % over {halves} random halves of the samples",
                 **_null(found.null_stability, null), n=m, d=d, estimator="mean of the best Jaccard index"),
        Estimate("silhouette", silhouette, silhouette - half, silhouette + half,
                 interval="normal approximation over the rows, clusters held fixed",
                 **_null(found.null_silhouette, null), n=m, d=d, estimator="mean silhouette of the clustered rows"),
    )  # fmt: skip


def _null(values: np.ndarray, how: str) -> dict:
    return {"null": float(values.mean()), "null_low": float(values.min()), "null_high": float(values.max()),
            "null_method": how}  # fmt: skip


def named_levels(
    fitted: Fitted, evidence: Evidence, rng, prefer: str, progress: Progress, at: float
) -> tuple[Names, np.ndarray, np.ndarray]:
    """Names of the clusters, their levels (l, k) and the level names (l, k)."""
    progress(at, "naming")
    names = cluster_names(fitted.codes, fitted.k, evidence, rng, prefer)
    if not fitted.k:
        return names, np.zeros((1, 0), np.int32), np.zeros((1, 0), "<U1")
    groups = levels(fitted.centres)
    words = []
    for level in groups[:-1]:
        codes = np.where(fitted.codes >= 0, level[fitted.codes], -1)
        words.append(cluster_names(codes, int(level.max()) + 1, evidence, rng, prefer).name[level])
    return names, groups, np.array([*words, names.name], dtype=str)


def caveats_of(cloud: Cloud, test: SubsetCloud, fitted: Fitted, n_rows: int, placed: str) -> tuple[str, ...]:
    """What has to be said of any partition."""
    notes = [
        "Clusters are a way of cutting the data; that they come back does not make them kinds of things."
    ]
    if len(cloud.rows) < n_rows and fitted.k:
        notes.append(f"Made from {len(cloud.rows):,} rows; {placed}.")
    if len(test.rows) < len(cloud.rows):
        notes.append(
            f"Stability, silhouette and the null come from a random {len(test.rows):,} of those rows."
        )
    if test.share < 1:
        notes.append(
            f"The repeats use the {test.points.shape[1]} principal axes that hold {test.share:.1%} of the variance."
        )
    if fitted.k:
        notes.append(
            "Units that name a cluster differ because clusters were made of them: their q is no evidence."
        )
    return (*notes, *cloud.notes)


def stability_words(found: Repeats, names: Names) -> str:
    """A sentence on which clusters come back."""
    mean = found.stability.mean
    firm, lost = int((mean >= STABLE).sum()), int((mean < DISSOLVED).sum())
    said = f"{firm} of {len(mean)} come back from half of the samples (Jaccard {STABLE} or more)"
    if lost:
        said += f"; {lost} dissolve{'s' if lost == 1 else ''} (below {DISSOLVED})"
    return said + "."


def partition(
    *, title: str, reading: str, caveats, estimates, rows, codes, strength, columns, groups, words
) -> Partition:
    return Partition(
        title=title, reading=reading, caveats=tuple(caveats), estimates=tuple(estimates), rows=rows,
        codes=codes.astype(np.int32), strength=strength.astype(np.float32), columns=columns,
        help={name: text for name, text in HELP.items() if name in columns}, levels=groups, level_names=words,
    )  # fmt: skip
