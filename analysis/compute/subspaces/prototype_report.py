"""What is said of prototypes that were made up for old classes, and what they cost the classifier."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.prototypes import Stages
from analysis.results import Estimate

EXCHANGES = 999
SAMPLES_LEFT_OUT = "jackknife over five groups of samples, t"


def cells_of(cosine: list[np.ndarray], task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, A) cosine of each class's prototype with its true one; which cells (C, A) were computed from data."""
    stay = task[:, None] >= np.arange(len(cosine))
    values = np.clip(np.stack([np.diag(c) for c in cosine], axis=1), -1.0, 1.0)
    return np.where(stay, 1.0, values), stay


def null_of(cosine: list[np.ndarray], task: np.ndarray) -> np.ndarray:
    """(C, A) mean over the old classes that a made-up prototype could belong to; NaN where none was made up."""
    out = np.full((len(task), len(cosine)), np.nan)
    for a, found in enumerate(cosine):
        old = np.flatnonzero(task < a)
        if len(old):
            out[old, a] = found[np.ix_(old, old)].mean(axis=1)
    return out


def made_up_estimates(data: Stages, cosine, without, right, rng) -> tuple[Estimate, ...]:
    (values, stay), n, d = cells_of(cosine, data.task), len(data.of), sum(v.shape[1] for v in data.values)
    blocks = [c[np.ix_(data.task < a, data.task < a)] for a, c in enumerate(cosine) if a]
    cells = float((~stay).sum())
    mean = float(values[~stay].mean())
    half = float(jackknife_half(np.array([[w[~stay].mean()] for w in without]))[0])
    chance = np.array([
        sum(b[np.arange(len(b)), rng.permutation(len(b))].sum() for b in blocks) / cells
        for _ in range(EXCHANGES)
    ])  # fmt: skip
    low, high = np.percentile(chance, [2.5, 97.5])
    own = sum(int((b.argmax(axis=1) == np.arange(len(b))).sum()) for b in blocks)
    ends = wilson(own, int(cells))
    exchanged = "made-up prototypes exchanged between the old classes of an adapter"
    return (
        Estimate("mean cosine of a made-up prototype with the true one", mean, max(mean - half, -1.0),
                 min(mean + half, 1.0), interval=SAMPLES_LEFT_OUT, null=sum(b.mean() * len(b) for b in blocks) / cells,
                 null_low=float(low), null_high=float(high), null_method=f"{exchanged}, exact mean",
                 p_value=float(add_one_p(mean - 1e-12, chance)), n=n, d=d, estimator="mean over hatched cells"),
        Estimate("made-up prototypes nearest to their own class", own / cells, min(ends[0], own / cells),
                 max(ends[1], own / cells), interval="Wilson, prototypes as draws", null=len(blocks) / cells,
                 null_method=f"{exchanged}, exact mean", n=int(cells), d=d, estimator="among the old classes"),
        *_accuracies(right, d),
    )  # fmt: skip


def _accuracies(right: np.ndarray, d: int) -> list[Estimate]:
    """`right` (5, n): named rightly with true and with made-up prototypes, by chance, and whether of an old class."""
    n, out = right.shape[1], []
    for i, which in enumerate(("true", "the learner's")):
        value = float(right[i].mean())
        low, high = wilson(value * n, n)
        out.append(Estimate(
            f"accuracy with {which} prototypes", value, min(low, value), max(high, value), interval="Wilson",
            null=float(right[2 + i].mean()), null_method="answers exchanged between samples, exact mean", n=n, d=d,
            estimator="held out, cosine of all embeddings side by side",
        ))  # fmt: skip
    for name, of in (("all", np.ones(n, bool)), ("old", right[4] > 0)):
        lost = right[0, of] - right[1, of]
        half = 1.959964 * float(lost.std()) / np.sqrt(max(len(lost), 1))
        out.append(Estimate(
            f"accuracy lost by making prototypes up, samples of {name} classes", float(lost.mean()),
            float(lost.mean()) - half, float(lost.mean()) + half, interval="normal, samples as draws, prototypes fixed",
            null=0.0, null_method="made-up prototypes as good as true ones", n=len(lost), d=d,
            estimator="true - made up",
        ))  # fmt: skip
    return out
