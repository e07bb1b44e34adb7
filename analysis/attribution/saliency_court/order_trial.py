"""Answers of every sample as tokens are put in or taken out in the order of each way's map, and in random orders."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from analysis.attribution.saliency.map_likeness import NORMAL
from analysis.attribution.saliency_court.bands import ratio_of_means
from analysis.attribution.saliency_court.filling import DELETION, areas, counts_of, filled, order_of
from analysis.attribution.saliency_court.on_trial import RANDOM
from analysis.attribution.saliency_court.trial import Trial
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.spec import Progress

RAW, SHARE = "number as it is", "share of the way from background to sample"
MEASURES = (SHARE, RAW)


@dataclass(frozen=True)
class Orders:
    """`names` (ways,), the random order not among them, and whether each is a `control`; `curves` (n, ways, points + 1)
    and `random` (n, draws, points + 1) of the number that is explained, `areas` and `random_areas` under them; `share`
    (points + 1,) of the tokens; `empty` and `full` (n,) the number on the background and on the sample; `below` (n,)
    whose mean over samples means are divided by."""

    names: tuple[str, ...]
    control: np.ndarray
    curves: np.ndarray
    random: np.ndarray
    areas: np.ndarray
    random_areas: np.ndarray
    share: np.ndarray
    empty: np.ndarray
    full: np.ndarray
    below: np.ndarray

    @property
    def n(self) -> int:
        return len(self.empty)

    def as_share(self) -> Orders:
        """Less the number on the background, over the size of the mean difference of sample and background: no sample
        is divided by a difference of its own, which may be next to nothing, and the sign stays, also where samples
        have less of the number than the background."""
        size, low = float((self.full - self.empty).mean()), self.empty
        shifted = {
            name: (v - low.reshape(-1, *[1] * (v.ndim - 1))) / abs(size)
            for name in ("curves", "random", "areas", "random_areas", "empty", "full")
            for v in (getattr(self, name),)
        }
        return dataclasses.replace(self, **shifted, below=(self.full - self.empty) / size)

    def band(self, values: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean over samples of `values` (n, …) and its bootstrap band, the divisor drawn with it."""
        return ratio_of_means(values, self.below, rng)

    def chance_area(self) -> tuple[float, float]:
        """Mean area of a random order over the samples, and half of the 95 % band of one such mean."""
        variance = self.random_areas.var(axis=1, ddof=1)
        return float(self.random_areas.mean()), float(NORMAL * np.sqrt(variance.sum()) / self.n)

    @property
    def unsure(self) -> tuple[str, ...]:
        """A caveat where samples and backgrounds may have the same answer in the mean."""
        found = mean_interval(self.full - self.empty)
        if not found or found["low"] > 0 or found["high"] < 0:
            return ()
        return (
            "The number on samples and on backgrounds may be the same in the mean, so that shares of the way between "
            "them mean little: read the number as it is.",
        )


def opened_orders(
    trial: Trial, maps: list[list[np.ndarray]], points: int, draws: int, directions: tuple[str, ...],
    progress: Progress, span,
) -> dict[str, Orders]:  # fmt: skip
    """By direction. Raises InputError where the answers of samples are those of their backgrounds."""
    points, n = min(points, int(trial.tokens.min())), len(trial.cases)
    shown = [k for k, name in enumerate(trial.names) if name != RANDOM]
    found = {direction: [] for direction in directions}
    for i, (case, own) in enumerate(zip(trial.cases, maps, strict=True)):
        progress(span[0] + (span[1] - span[0]) * i / n, "putting tokens in and taking them out")
        tokens = case.run.shape[0]
        orders = [order_of(own[k], trial.rng) for k in shown]
        orders = np.array(orders + [trial.rng.permutation(tokens) for _ in range(draws)])
        counts = counts_of(tokens, points)
        for direction, parts in found.items():
            values, rows = filled(case.run, case.background.rows[0], case.target, orders, counts, direction)
            trial.passes += rows
            parts.append((values, areas(values, counts)))
    names, control = tuple(trial.names[k] for k in shown), ~trial.explaining[shown]
    share = np.arange(points + 1) / points
    return {direction: _orders(parts, names, control, share, direction) for direction, parts in found.items()}


def _orders(parts, names, control, share, direction: str) -> Orders:
    values, under, w = np.array([p[0] for p in parts]), np.array([p[1] for p in parts]), len(names)
    empty, full = values[:, 0, 0], values[:, 0, -1]
    if direction == DELETION:
        empty, full = full, empty
    if not np.isfinite(values).all():
        raise InputError(
            "an answer that is NaN or infinite with some tokens taken away", "finite answers",
            "Choose another background",
        )  # fmt: skip
    if not np.abs(full - empty).max() > 1e-9 * max(np.abs(full).max(), np.abs(empty).max()):
        raise InputError(
            "the answer is the same on every sample and on its background", "an answer that hangs on the site",
            "Choose another tap, number or background",
        )  # fmt: skip
    return Orders(
        names, control, values[:, :w], values[:, w:], under[:, :w], under[:, w:], share, empty, full,
        np.ones(len(parts)),
    )  # fmt: skip
