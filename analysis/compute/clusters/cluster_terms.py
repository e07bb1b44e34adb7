"""The words that set a cluster's texts apart: class-based TF-IDF.

All texts of a cluster are one document. Weight of term t in cluster c: tf(t, c) / |c| · log(1 + A / f(t)), with
tf the term's count in the cluster, |c| all counts there, f(t) its count over all clusters, A the mean of |c|. A term
must lie in at least two texts of the cluster and be twice as frequent there as elsewhere: among short texts the
weight alone lets "of" and "the" name clusters in which they are a little more frequent.

Tokens: lower-case runs of letters and digits of any script, at least two characters, numbers alone left out. No
stemming, no list of stop words: a word that is everywhere has nearly the same share everywhere and is left out.

Reference: M. Grootendorst (2022), "BERTopic: Neural topic modeling with a class-based TF-IDF procedure".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"\w{2,40}")
LIFT = 2.0  # share of a term in the cluster over its share elsewhere
MOST_TEXTS, LONGEST = 50_000, 4000  # texts read, characters of each


def tokens(text: str) -> list[str]:
    """Lower-case words of one text, in order."""
    return [w for w in WORD.findall(str(text)[:LONGEST].lower().replace("_", " ")) if not w.isdigit()]


def cluster_terms(
    texts: Sequence[str], codes: np.ndarray, k: int, rng: np.random.Generator, most: int = 5
) -> list[list[str]]:
    """The strongest terms of each of k clusters, strongest first; ties in alphabetical order.

    texts : n texts. codes : (n,) cluster of each, -1 for none. Above 50,000 texts a seeded subset. O(words).
    """
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > MOST_TEXTS:
        rows = np.sort(rng.choice(rows, size=MOST_TEXTS, replace=False))
    counts, texts_with = [Counter() for _ in range(k)], [Counter() for _ in range(k)]
    for i in rows:
        words = tokens(texts[i])
        counts[codes[i]].update(words)
        texts_with[codes[i]].update(set(words))
    everywhere: Counter = Counter()
    for c in counts:
        everywhere.update(c)
    sizes = [sum(c.values()) for c in counts]
    total = sum(sizes)
    return [
        _strongest(counts[c], texts_with[c], everywhere, sizes[c], total, total / max(k, 1), most)
        for c in range(k)
    ]


def _strongest(
    own: Counter, in_texts: Counter, everywhere: Counter, size: int, total: int, mean: float, most: int
):
    weighed = [
        (-n / size * float(np.log1p(mean / everywhere[t])), t)
        for t, n in own.items()
        if in_texts[t] >= 2 and n * (total - size) > LIFT * (everywhere[t] - n) * size
    ]
    return [t for _, t in sorted(weighed)[:most]]
