"""k-means: every row is its nearest centre.

    c = one-hot of argmin_j |x - m_j|²,   x' = m_c        (a direction is a centre less the mean of all rows)

The best of several seeded starts; centres by falling number of rows. It is the sparsest dictionary there is, one
feature in a row: what it explains is what a single label for each row can. A row that is a mixture is given to one
side, and round clusters of about the same spread are found where there are none (Steinley 2006): look at the map.
Time O(n k d) for each pass; the rows are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.clusters.kmeans import kmeans
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.spec import param


@dataclass(frozen=True)
class KMeansParams:
    components: int = param(32, "How many centres", low=1, high=8192)
    starts: int = param(3, "Seeded starts, the best of which counts", low=1, high=50)
    maximum_rows: int = param(
        50_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 21
    )


def make(rows: FitRows, params: KMeansParams, rng, progress) -> Fitted:
    _, x, said = rows.loaded(params.maximum_rows, progress, (0.0, 0.2))
    refuse_more_than(params.components, len(x), "rows", rows.name)
    mean = x.mean(axis=0)
    x -= mean
    progress(0.2, "moving centres")
    found = kmeans(x, params.components, rng, params.starts)
    if len(found.centres) < params.components:
        said += (f"The rows are {len(found.centres)} different points only: there are no more centres.",)
    counts = np.bincount(found.codes, minlength=len(found.centres))
    square = ((x - found.centres[found.codes]) ** 2).sum(axis=1)
    spread = np.bincount(found.codes, weights=square, minlength=len(counts)) / counts
    return Fitted(
        found.centres, mean, rules.NEAREST, caveats=said,
        components={"share of rows": counts / len(x), "mean squared distance": spread},
    )  # fmt: skip


CLASSICAL = Classical(
    "kmeans", "k-means", "Every row is its nearest centre", KMeansParams,
    ("S. Lloyd (1982), Least squares quantization in PCM",), make,
)  # fmt: skip
