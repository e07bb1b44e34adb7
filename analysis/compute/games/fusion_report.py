"""What is said of a fusion of modalities: best and equal weighting, who adds what, which exchange is flat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.games.exact import shapley_of
from analysis.compute.games.fusion import coalition_weights, credits, sample_weights, won
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
    best, equal = ([of(t) for t in times] for of in (
        lambda t: data.across_halves(data.found, t), lambda t: data.measured(sets[-1:], t)[:, 0]
    ))  # fmt: skip
    each = [np.array([shapley_of(v[:, None])[:, 0] for v in data.measured(sets, t)]) for t in times]
    said = [
        _told("best weighting, chosen on the other half", best, chance[:, 0], n, d, data.metric),
        _told("equal weights", equal, chance[:, 1], n, d, data.metric),
    ]
    for k, name in enumerate(names):
        how = f"of {data.metric}, exact over {2**m} sets"
        said.append(_told(f"Shapley value of {name}", [v[:, k] for v in each], chance[:, 2 + k], n, d, how))
    pair, change = flattest(data.measured(data.found, times[0])[0], data.weights)
    how = f"largest change of {data.metric} when one's weight goes to the other"
    said.append(
        Estimate(f"flattest exchange: {names[pair[0]]} for {names[pair[1]]}", change, n=n, d=d, estimator=how)
    )
    answers = np.stack([won(s).argmax(axis=1) for s in data.scores])
    apart = float((answers != answers[0]).any(axis=0).mean())
    how = "share whose likeliest class is not the same in all"
    return (*said, Estimate("samples on which modalities disagree", apart, n=n, d=d, estimator=how))


def _chance(data: Fusion, draws: int, rng, progress: Progress, span) -> np.ndarray:
    """(draws, 2 + modalities) of shuffled labels: the scores stay, and whose they are goes."""
    n, m = len(data.of), len(data.scores)
    once, some = np.ones((1, n)), data.weights[:: max(1, len(data.weights) // SOME)]
    out = np.empty((draws, 2 + m))
    for k in range(draws):
        progress(span[0] + (span[1] - span[0]) * k / draws, "shuffling labels")
        moved = data.scores[:, rng.permutation(n)]
        every = data.measured(credits(moved, coalition_weights(m), data.of), once)[0]
        out[k, 0] = data.across_halves(credits(moved, some, data.of), once)[0]
        out[k, 1:] = every[-1], *shapley_of(every[:, None])[:, 0]
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
            rest = np.delete(weights, [i, j], axis=1).round(9)
            _, line = np.unique(rest, axis=0, return_inverse=True)
            line = line.ravel()
            high, low = np.full(line.max() + 1, -np.inf), np.full(line.max() + 1, np.inf)
            np.maximum.at(high, line, metric)
            np.minimum.at(low, line, metric)
            if (change := float((high - low).max())) < least:
                best, least = (j, i), change
    return best, least
