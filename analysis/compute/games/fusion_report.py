"""What is said of a fusion of modalities: best and equal weighting, who adds what, which exchange is flat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.games.exact import shapley_of
from analysis.compute.games.fusion import coalition_weights, credits, sample_weights, won
from analysis.compute.statistics.nulls import share_over
from analysis.results import Estimate
from analysis.spec import Progress

SOME = 40  # weightings of the grid that shuffled labels are tried with


@dataclass(frozen=True)
class Fusion:
    """`scores` (modalities, n, classes), `found` (points, n) credits of `weights` (points, modalities), class `of` (n,)
    and `half` (n,) of each sample, the `metric`."""

    scores: np.ndarray
    found: np.ndarray
    weights: np.ndarray
    of: np.ndarray
    half: np.ndarray
    metric: str

    def measured(self, found: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(draws, points) metric of credits (points, n) with samples counted `times` (draws, n)."""
        return sample_weights(self.of, self.metric, times) @ found.T

    def across_halves(self, found: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(draws,) the metric, on one half, of the weighting that is best on the other, mean of both ways."""
        one, two = (self.measured(found, times * (self.half == h)) for h in (0, 1))
        rows = np.arange(len(times))
        return (two[rows, one.argmax(axis=1)] + one[rows, two.argmax(axis=1)]) / 2


def fusion_estimates(
    data: Fusion, names, d: int, draws: int, rng: np.random.Generator, progress: Progress, span
) -> tuple[Estimate, ...]:
    """O(draws (n points + n 2^modalities classes))."""
    n, m = len(data.of), len(names)
    times = [np.ones((1, n)), rng.poisson(1.0, size=(draws, n)).astype(np.float64)]
    sets = credits(data.scores, coalition_weights(m), data.of)
    chance = _chance(data, draws, rng, progress, span)
    singles = 2 ** np.arange(m)
    best, equal, single = ([of(t) for t in times] for of in (
        lambda t: data.across_halves(data.found, t), lambda t: data.measured(sets[-1:], t)[:, 0],
        lambda t: data.across_halves(sets[singles], t),
    ))  # fmt: skip
    each = [np.array([shapley_of(v[:, None])[:, 0] for v in data.measured(sets, t)]) for t in times]
    said = [
        _told("best weighting, chosen on the other half", best, chance[:, 0], n, d, data.metric),
        _told("equal weights", equal, chance[:, 1], n, d, data.metric),
        _told("best single modality, chosen on the other half", single, chance[:, 2], n, d, data.metric),
    ]
    for k, name in enumerate(names):
        how = f"of {data.metric}, exact over {2**m} sets"
        said.append(_told(f"Shapley value of {name}", [v[:, k] for v in each], chance[:, 3 + k], n, d, how))
    return (*said, _flat(data, names, times, d), _apart(data, d))


def _flat(data: Fusion, names, times, d: int) -> Estimate:
    pair, change = flattest(data.measured(data.found, times[0])[0], data.weights)
    line = lines_of(data.weights, *pair)
    drawn = [along(metric, line) for metric in data.measured(data.found, times[1])]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(f"flattest exchange: {names[pair[0]]} for {names[pair[1]]}", change, min(float(low), change),
                    max(float(high), change), interval="Poisson bootstrap over samples, of this exchange", null=0.0,
                    null_method="copies of each other, exactly", n=len(data.of), d=d,
                    estimator=f"largest change of {data.metric} when one's weight goes to the other")  # fmt: skip


def _apart(data: Fusion, d: int) -> Estimate:
    answers = np.stack([won(s).argmax(axis=1) for s in data.scores])
    apart, classes = (answers != answers[0]).any(axis=0), data.scores.shape[2]
    shares = np.stack([np.bincount(a, minlength=classes) / len(a) for a in answers])
    return Estimate("samples on which modalities disagree", **share_over(apart, "samples"), n=len(apart), d=d,
                    null=1 - float(shares.prod(axis=0).sum()),
                    null_method="answers of each modality as frequent, and independent of the others', exact",
                    estimator="share whose likeliest class is not the same in all")  # fmt: skip


def _chance(data: Fusion, draws: int, rng, progress: Progress, span) -> np.ndarray:
    """(draws, 3 + modalities) of shuffled labels: the scores stay, and whose they are goes."""
    n, m = len(data.of), len(data.scores)
    once, some = np.ones((1, n)), data.weights[:: max(1, len(data.weights) // SOME)]
    out = np.empty((draws, 3 + m))
    for k in range(draws):
        progress(span[0] + (span[1] - span[0]) * k / draws, "shuffling labels")
        moved = data.scores[:, rng.permutation(n)]
        found = credits(moved, coalition_weights(m), data.of)
        every = data.measured(found, once)[0]
        out[k, 0] = data.across_halves(credits(moved, some, data.of), once)[0]
        out[k, 2] = data.across_halves(found[2 ** np.arange(m)], once)[0]
        out[k, 1], out[k, 3:] = every[-1], shapley_of(every[:, None])[:, 0]
    return out


def _told(name: str, values, chance, n: int, d: int, estimator: str) -> Estimate:
    value = float(values[0][0])
    low, high = np.percentile(values[1], [2.5, 97.5])
    ends = np.percentile(chance, [2.5, 97.5])
    return Estimate(name, value, min(float(low), value), max(float(high), value),
                    interval="Poisson bootstrap over samples", null=float(chance.mean()), null_low=float(ends[0]),
                    null_high=float(ends[1]), null_method="labels shuffled", n=n, d=d, estimator=estimator)  # fmt: skip


def flattest(metric: np.ndarray, weights: np.ndarray) -> tuple[tuple[int, int], float]:
    """The two modalities whose exchange of weight, the others held, changes the metric (points,) least; and how much it
    does at most."""
    best, least = (0, 1), np.inf
    for i in range(weights.shape[1]):
        for j in range(i):
            if (change := along(metric, lines_of(weights, j, i))) < least:
                best, least = (j, i), change
    return best, least


def lines_of(weights: np.ndarray, one: int, other: int) -> np.ndarray:
    """(points,) number of the line on which only the weights of two modalities are exchanged."""
    rest = np.delete(weights, [one, other], axis=1).round(9)
    return np.unique(rest, axis=0, return_inverse=True)[1].ravel()


def along(metric: np.ndarray, line: np.ndarray) -> float:
    """The largest change of the metric (points,) along any of the lines (points,)."""
    high, low = np.full(line.max() + 1, -np.inf), np.full(line.max() + 1, np.inf)
    np.maximum.at(high, line, metric)
    np.minimum.at(low, line, metric)
    return float((high - low).max())
