"""A name for each cluster, and where it comes from: labels, words of the texts, or the units that fire most.

*label*: the most frequent label with its share of the cluster's labelled rows, where that is at least half.
*terms*: the three strongest terms of class-based TF-IDF (`cluster_terms`), at a tap with tokens of the tokens' own
texts. *units*: the two units with the largest standardised difference (`cluster_units`; q <= 0.05 and |g| >= 0.5),
those that are higher inside (↑) before those that are lower (↓). Without any of them the cluster keeps its number.
Names are text of other people: whoever draws them shows them as text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.clusters.cluster_terms import cluster_terms
from analysis.compute.clusters.cluster_units import UnitDifferences, unit_differences
from analysis.compute.rows.samples import known_labels

SOURCES = ("automatic", "labels", "terms", "units", "numbers")
MAJORITY, LARGE, LEVEL = 0.5, 0.5, 0.05
NAMED_TERMS, NAMED_UNITS, SHOWN = 3, 2, 5


@dataclass(frozen=True)
class Evidence:
    """What names are made from, all of the same n rows: `x` (n, d), `owners` (n,) the sample of each, `unit_names`,
    `labels` (n,) or None, `texts` n strings or None."""

    x: np.ndarray
    owners: np.ndarray
    unit_names: tuple[str, ...]
    labels: np.ndarray | None = None
    texts: np.ndarray | None = None
    text_per_row: bool = False  # texts belong to rows (tokens), not to samples
    label_word: str = ""  # put before a label that is a number


@dataclass(frozen=True)
class Names:
    """Per cluster (k,): `name`, `source` ("labels", "terms", "units" or "numbers"), `terms` and `units` as shown,
    `label` and its `share` (both None without labels)."""

    name: np.ndarray
    source: np.ndarray
    terms: np.ndarray | None
    units: np.ndarray
    label: np.ndarray | None
    share: np.ndarray | None


def cluster_names(codes: np.ndarray, k: int, evidence: Evidence, rng, prefer: str = "automatic") -> Names:
    """Name k clusters, `codes` (n,) from -1. `prefer`: only from there; "automatic": label, else terms, else
    units. Equal names are numbered. O(k n d)."""
    units = unit_differences(evidence.x, codes, evidence.owners, k)
    label, share = _labels(codes, k, evidence.labels, evidence.label_word)
    terms = None if evidence.texts is None else _terms(evidence, codes, k, rng)
    order = ("labels", "terms", "units") if prefer == "automatic" else (prefer,)
    names, sources = [], []
    for c in range(k):
        named = {
            "labels": _by_label(label, share, c, at_least=MAJORITY if prefer == "automatic" else 0.0),
            "terms": ", ".join(terms[c][:NAMED_TERMS]) if terms else "",
            "units": ", ".join(_units(units, c, evidence.unit_names, NAMED_UNITS)),
        }
        source = next((s for s in order if named.get(s)), "numbers")
        names.append(named.get(source) or f"cluster {c + 1}")
        sources.append(source)
    return Names(
        name=np.array(numbered(names), dtype=str), source=np.array(sources, dtype=str),
        terms=None if terms is None else np.array([", ".join(t) for t in terms], dtype=str),
        units=np.array([", ".join(_units(units, c, evidence.unit_names, SHOWN)) for c in range(k)], dtype=str),
        label=label, share=share,
    )  # fmt: skip


def numbered(names: list[str]) -> list[str]:
    """Every name once: the second "cat (82 %)" becomes "cat (82 %) · 2"; no other name is taken by that."""
    seen: dict[str, int] = {}
    out: list[str] = []
    taken = set(names)
    for name in names:
        seen[name] = count = seen.get(name, 0) + 1
        new = name if count == 1 else f"{name} · {count}"
        while count > 1 and new in taken:
            seen[name] = count = count + 1
            new = f"{name} · {count}"
        taken.add(new)
        out.append(new)
    return out


def _labels(codes: np.ndarray, k: int, labels: np.ndarray | None, word: str):
    """Most frequent label (k,) of each cluster ("" without one) and its share of the labelled rows inside."""
    if labels is None:
        return None, None
    known = known_labels(labels) & (codes >= 0)
    values, number = np.unique(labels[known], return_inverse=True)
    # per cluster the most frequent pair, without a table of clusters x labels: there may be a million labels
    pair, count = np.unique(codes[known].astype(np.int64) * max(len(values), 1) + number, return_counts=True)
    cluster, which = pair // max(len(values), 1), pair % max(len(values), 1)
    label, share = np.full(k, "", dtype=object), np.zeros(k)
    total = np.bincount(codes[known], minlength=k)
    order = np.lexsort((which, -count, cluster))
    for i in order[np.flatnonzero(np.r_[True, np.diff(cluster[order]) != 0])] if len(pair) else ():
        shown = str(values[which[i]])
        label[cluster[i]] = f"{word} {shown}" if word and values.dtype.kind in "iufb" else shown
        share[cluster[i]] = count[i] / total[cluster[i]]
    return label.astype(str), share


def _by_label(label, share, c: int, at_least: float) -> str:
    if label is None or not label[c] or share[c] < at_least:
        return ""
    return f"{label[c]} ({share[c]:.0%})"


def _terms(evidence: Evidence, codes: np.ndarray, k: int, rng) -> list[list[str]]:
    """Strongest terms; a sample's text counts once in a cluster, however many of its tokens lie there."""
    if evidence.text_per_row:
        return cluster_terms(evidence.texts, codes, k, rng, SHOWN)
    pair = codes.astype(np.int64) * (int(evidence.owners.max(initial=0)) + 1) + evidence.owners
    _, first = np.unique(pair, return_index=True)
    return cluster_terms(evidence.texts[first], codes[first], k, rng, SHOWN)


def _units(found: UnitDifferences, c: int, names: tuple[str, ...], most: int) -> list[str]:
    g, q = found.g[c], found.q[c]
    order = np.lexsort(
        (np.arange(len(g)), -np.abs(g), g <= 0)
    )  # units that fire more, then those that fire less
    strong = [j for j in order if q[j] <= LEVEL and abs(g[j]) >= LARGE][:most]
    return [f"{_unit(names, j)} {'↑' if g[j] > 0 else '↓'}" for j in strong]


def _unit(names: tuple[str, ...], j: int) -> str:
    name = names[j] if j < len(names) else str(j)
    return f"unit {name}" if name.isdigit() else name
