"""How close several sources are to a target task: the numbers of each as columns, estimates and sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.class_codes import ClassCodes
from analysis.compute.similarity.similarity_report import Z, jackknife_half
from analysis.compute.statistics.exchange_moments import cantelli_p
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate

LEVEL = 0.05
FEWEST_SOURCES = 4  # for a rank agreement
HELP = {
    "source": "The source model's tap.",
    "distances, labels": "Spearman's correlation of pairwise distances with those of the labels; unrelated: 0.",
    "low": "Lower end of its 95 % interval (jackknife over groups of samples).",
    "high": "Upper end of it.",
    "p": "Bound of the chance of as much when samples are exchanged.",
    "q": "False-discovery rate over the sources (Benjamini-Hochberg).",
    "CKA, labels": "Unbiased linear CKA with class membership; unrelated: 0.",
    "evidence": "Log-likelihood of a label from the nearest neighbours above that of exchanged labels, nats.",
    "distances, reference": "Spearman's correlation of pairwise distances with those of the first source.",
    "CKA, reference": "Unbiased linear CKA with the first source.",
    "probe accuracy": "Of a ridge classifier on samples that it did not see.",
    "accuracy low": "Lower end of its 95 % interval (Wilson).",
    "accuracy high": "Upper end of it.",
    "weight": "Share of the source by its similarity (positive part, to the given power).",
    "stacked weight": "Its share in the mixture of held-out probes with the least squared error.",
}


@dataclass(frozen=True)
class TaskScores:
    """Of k sources: series (1 + G, k) of all samples and without each group, `distances` and `cka` with the labels, and
    of the `evidence`; deviations of the first two when samples are exchanged, (k,) and a number; `near` and `cka_near`
    (k,), both with the first source; `right` (n, k) whether the probe was right; `stacked` (k,) weights; `largest`
    share of a class."""

    distances: np.ndarray
    deviation: np.ndarray
    cka: np.ndarray
    cka_deviation: float
    evidence: np.ndarray
    near: np.ndarray
    cka_near: np.ndarray
    right: np.ndarray
    stacked: np.ndarray
    largest: float

    @property
    def accuracy(self) -> np.ndarray:
        return self.right.mean(axis=0)

    @property
    def p(self) -> np.ndarray:
        return cantelli_p(self.distances[0], 0.0, self.deviation)

    def weights(self, power: float) -> np.ndarray:
        """(k,) positive parts to a power as shares; all alike where none is positive."""
        positive = np.maximum(self.distances[0], 0.0)
        if not positive.any():
            return np.full(len(positive), 1 / len(positive))
        raised = (positive / positive.max()) ** power * (positive > 0)
        return raised / raised.sum()

    def columns(self, names: list[str], power: float) -> dict[str, np.ndarray]:
        """The table, the source closest to the labels first."""
        half = np.nan_to_num(jackknife_half(self.distances))
        value, n = self.distances[0], len(self.right)
        ends = np.array([wilson(float(c), n) for c in self.right.sum(axis=0)])
        columns = {
            "source": np.array(names), "distances, labels": value, "low": np.maximum(value - half, -1.0),
            "high": np.minimum(value + half, 1.0), "p": self.p, "q": benjamini_hochberg(self.p),
            "CKA, labels": self.cka[0], "evidence": self.evidence[0], "distances, reference": self.near,
            "CKA, reference": self.cka_near, "probe accuracy": self.accuracy, "accuracy low": ends[:, 0],
            "accuracy high": ends[:, 1], "weight": self.weights(power), "stacked weight": self.stacked,
        }  # fmt: skip
        order = np.argsort(-value, kind="stable")
        return {name: column[order] for name, column in columns.items()}


def task_estimates(scores: TaskScores, names: list[str], d: int, distance: str) -> tuple[Estimate, ...]:
    """Of the source closest to the labels; from four sources on also how well similarity ranks the probes."""
    at, n = int(scores.distances[0].argmax()), len(scores.right)
    which, common = f" of {names[at]}", {"n": n, "d": d}
    exact = "samples exchanged, exact moments"

    def from_series(name: str, series: np.ndarray, **more) -> Estimate:
        value, half = float(series[0]), float(jackknife_half(series))
        ends = {"low": value - half, "high": value + half, "interval": "jackknife over groups of samples, t"}
        return Estimate(
            name + which, value, **(ends if np.isfinite(half) else {}), null=0.0, **more, **common
        )

    def band(deviation: float) -> dict:
        return {"null_low": -Z * deviation, "null_high": Z * deviation, "null_method": exact}

    right = float(scores.right[:, at].sum())
    low, high = wilson(right, n)
    made = [
        from_series("correlation with the labels' distances", scores.distances[:, at], p_value=float(scores.p[at]),
                    estimator=f"Spearman, {distance} distances", **band(float(scores.deviation[at]))),
        from_series("CKA with the labels", scores.cka[:, at], estimator="linear CKA, unbiased",
                    p_value=float(cantelli_p(scores.cka[0, at], 0.0, scores.cka_deviation)),
                    **band(scores.cka_deviation)),
        from_series("evidence", scores.evidence[:, at], estimator="log-likelihood of labels by neighbours",
                    null_method="labels exchanged, exact mean", unit="nats"),
        Estimate("probe accuracy" + which, right / n, low, high, interval="Wilson", null=scores.largest,
                 null_method="largest class", estimator="ridge classifier, held out", **common),
    ]  # fmt: skip
    if len(names) >= FEWEST_SOURCES:
        made.append(_ranking(scores, d))
    return tuple(made)


def _ranking(scores: TaskScores, d: int) -> Estimate:
    from scipy.stats import kendalltau

    found = kendalltau(scores.distances[0], scores.accuracy)
    value, p = (
        float(v) if np.isfinite(v) else other for v, other in ((found.statistic, 0.0), (found.pvalue, 1.0))
    )
    return Estimate(
        "agreement of similarity and probe accuracy over sources", value, null=0.0, null_method="sources exchanged",
        p_value=p, n=scores.distances.shape[1], d=d, estimator="Kendall τ-b",
    )  # fmt: skip


def highest_correlation(counts: np.ndarray) -> float:
    """Spearman's correlation of distances without ties with those of the labels, when every pair of one class is nearer
    than every other: √(3 f (1 - f)) for a share f of pairs of one class. `counts` (C,) samples of each."""
    n = counts.sum()
    share = float((counts * (counts - 1)).sum() / (n * (n - 1)))
    return float(np.sqrt(3 * share * (1 - share)))


def task_reading(scores: TaskScores, names: list[str], classes: ClassCodes) -> str:
    """What the table says."""
    value, accuracy = scores.distances[0], scores.accuracy
    top, best = int(value.argmax()), int(accuracy.argmax())
    sure = int((benjamini_hochberg(scores.p) < LEVEL).sum())
    said = (
        f"Closest to the {len(classes.names)} classes of {len(scores.right):,} samples is {names[top]} (correlation of "
        f"distances {value[top]:.2f}, unrelated 0 ± {Z * scores.deviation[top]:.2g}, classes wholly apart "
        f"{highest_correlation(classes.counts):.2f}; probe accuracy {accuracy[top]:.0%}, largest class "
        f"{scores.largest:.0%}). {sure} of {len(names)} source(s) are closer to the labels than chance "
        f"(q < {LEVEL:g})."
    )
    if len(names) > 1:
        also = "also" if best == top else f"{names[best]}, at {accuracy[best]:.0%},"
        said += f" The best probe is {also} " + ("its." if best == top else "not the closest one.")
    return said
