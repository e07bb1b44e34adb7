"""Sparse canonical pairs as they are reported: the penalty chosen and the pairs fitted on four fifths of the samples,
everything said of them measured on the other fifth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.retrieval.mate_search import MateSearch, mate_search, nearness, share_ends
from analysis.compute.similarity.sparse_canonical import Pairs
from analysis.compute.similarity.sparse_canonical_path import (
    FOLDS,
    PATIENCE,
    Cohort,
    fitted,
    followed,
    penalties_of,
    score_correlations,
)
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import ParameterError
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

FEWEST = 50
TEST = 0.2  # of the samples
EXCHANGES = 999


@dataclass(frozen=True)
class SparseFit:
    """`pairs` at `penalty`, fitted on the samples `train` (n,) bool; `x`, `y` (m, k) scores of the others and
    `units_x`, `units_y` (m, p), (m, q) their units; `exchanged` (shuffles, k) in-sample correlations of exchanged
    samples; how many units are `constant`."""

    pairs: Pairs
    penalty: float
    train: np.ndarray
    x: np.ndarray
    y: np.ndarray
    units_x: np.ndarray
    units_y: np.ndarray
    exchanged: np.ndarray
    constant: int

    @property
    def n_train(self) -> int:
        return int(self.train.sum())

    @property
    def n_test(self) -> int:
        return len(self.x)


def fit_of(
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    *,
    k: int,
    penalty: float | None,
    steps: int,
    shuffles: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 1.0),
) -> SparseFit:
    """`x` (n, p), `y` (n, q); `penalty` None: by cross-validation along `steps` penalties. Raises ParameterError
    where a penalty leaves nothing."""
    n, k = len(x), min(k, x.shape[1], y.shape[1])
    train = np.ones(n, bool)
    train[rng.choice(n, size=int(TEST * n), replace=False)] = False
    cohort = Cohort(x[train], y[train])
    m, none = int(train.sum()), np.zeros(int(train.sum()), bool)
    middle = span[0] + 0.7 * (span[1] - span[0])
    whole = cohort.covariances(none)[0]
    path = penalties_of(whole, m, steps)
    if penalty is None:
        fold = rng.permutation(np.arange(m) % FOLDS)
        found = followed(cohort, path, fold, patience=PATIENCE, progress=progress, span=(span[0], middle))
        path = path[: found.chosen() + 1]
    else:
        path = np.append(path[path > penalty], penalty) if penalty > 0 else np.zeros(1)
    progress(middle, "fitting the chosen penalty")
    pairs, mean, scale = fitted(cohort, path, none, k)
    if not pairs.counts[0]:
        raise ParameterError(
            f"with penalty {path[-1]:g} no unit is left",
            f"less than {float(np.abs(whole.xy).max()) / 2:.2g} for these taps",
        )
    exchanged = []
    for i in range(shuffles):
        progress(middle + (span[1] - middle) * (i + 1) / (shuffles + 1), "fitting exchanged samples")
        exchanged.append(fitted(cohort.exchanged(rng), path, none, k)[0].rho)
    z = cohort.placed(x[~train], y[~train], mean, scale)
    p = x.shape[1]
    return SparseFit(
        pairs, float(path[-1]), train, z[:, :p] @ pairs.u, z[:, p:] @ pairs.v, z[:, :p], z[:, p:],
        np.array(exchanged), int((~cohort.varies).sum()),
    )  # fmt: skip


def held_out_estimates(fit: SparseFit, rng: np.random.Generator) -> tuple[Estimate, ...]:
    """Of each pair the held-out and the in-sample correlation; then the retrieval of mates by all pairs."""
    m, d = fit.n_test, int(fit.pairs.counts.max(initial=0))
    rho = score_correlations(fit.x, fit.y)
    drawn = np.array([score_correlations(fit.x, fit.y[rng.permutation(m)]) for _ in range(EXCHANGES)])
    found = []
    for i, value in enumerate(rho):
        low, high = fisher_interval(float(value), m)
        band = 1.959964 / float(np.sqrt(m - 1))
        found.append(
            Estimate(f"ρ of pair {i + 1}, held out", float(value), min(float(low), value), max(float(high), value),
                     interval="Fisher, weights fixed", null=0.0, null_low=-band, null_high=band, n=m, d=d,
                     null_method="held-out samples exchanged, exact mean and deviation",
                     p_value=float(add_one_p(value, drawn[:, i])), estimator="correlation of held-out scores")
        )  # fmt: skip
        made = fit.exchanged[:, i]
        found.append(
            Estimate(f"ρ of pair {i + 1}, in-sample", float(fit.pairs.rho[i]), null=float(made.mean()),
                     null_low=float(made.min()), null_high=float(made.max()), n=fit.n_train, d=d,
                     null_method=f"samples exchanged {len(made)} times and fitted again: mean, least and most",
                     estimator="correlation of the scores of the samples that made the weights")
        )  # fmt: skip
    return (*found, *_retrieval(fit, rng, d))


def _retrieval(fit: SparseFit, rng: np.random.Generator, d: int) -> tuple[Estimate, Estimate]:
    """Rank of y_i among all by its distance from the prediction ρ x_i, in the space of all scores."""
    search: MateSearch = mate_search(nearness(fit.x * fit.pairs.rho, fit.y), rng)
    m, ranks, recall = search.n, search.ranks, search.recall(1)
    mean, reach = float(ranks.mean()), 1.959964 * float(ranks.std(ddof=1)) / np.sqrt(m)
    spread = 1.959964 * float(np.sqrt((m * m - 1) / 12 / m))
    common = {
        "n": m,
        "d": d,
        "null_method": "mates exchanged, exact mean; band as if samples were independent",
    }
    middle = (m + 1) / 2
    return (
        Estimate("mean rank of the mate", mean, max(mean - reach, 1.0), min(mean + reach, float(m)),
                 interval="mean ± 1.96 standard errors", null=middle, null_low=max(middle - spread, 1.0),
                 null_high=min(middle + spread, float(m)), estimator=f"rank among {m} held-out samples, 1 the best",
                 **common),
        Estimate("recall at 1 of the mate", recall, *share_ends(recall, m), null=1 / m, **common,
                 interval="Wilson, held-out samples as independent", estimator=f"share of {m} held-out samples"),
    )  # fmt: skip
