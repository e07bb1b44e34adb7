"""What is said about one unit: a sentence with its null, a histogram by class, and its neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.results import Distribution
from dashboard.browse.class_shares import best_by_chance
from dashboard.browse.labels import Labels
from dashboard.figures.text import number

BINS = 48
MOST_CLASSES = 12


@dataclass(frozen=True)
class TopClass:
    """The commonest class among the samples of the strongest rows. `chance` (low, median, high): what the commonest
    class reaches when labels are shuffled, best of all classes, middle 95 %."""

    name: str
    count: int
    n: int
    base: float
    chance: tuple[int, int, int]
    most_drawn: int  # the largest count in any draw

    @property
    def beyond_chance(self) -> bool:
        """Whether fewer than 1 in 40 shuffles of the labels reach as much."""
        return self.count > self.chance[2]

    @property
    def verdict(self) -> str:
        """How it compares with shuffled labels, in words that do not say more than the draws do."""
        if self.count > self.most_drawn:
            return "far beyond chance"
        return (
            "more than chance, which 1 unit in 40 is without any reason"
            if self.beyond_chance
            else "no more than chance"
        )


def strongest_samples(
    activations: Activations, rows: np.ndarray, values: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """The different samples behind the strongest rows; rows where the unit is silent do not count."""
    rows, values = np.asarray(rows), np.asarray(values)
    firing = rows >= 0
    if len(column) and np.nanmin(column) == 0:  # a unit that is never negative: 0 is silence
        firing &= values > 0
    samples = activations.layout.sample_of(rows[firing])
    return samples[np.sort(np.unique(samples, return_index=True)[1])]


def top_class(labels: Labels | None, samples: np.ndarray) -> TopClass | None:
    """The commonest class of some samples against shuffled labels; None without labels or samples."""
    mine = labels.codes[samples] if labels is not None else np.zeros(0, np.int64)
    mine = mine[mine >= 0]
    if not len(mine):
        return None
    counts = np.bincount(mine, minlength=len(labels.names))
    best = int(np.argmax(counts))
    drawn = best_by_chance(tuple(labels.sizes.tolist()), len(mine))
    chance = tuple(int(v) for v in np.quantile(drawn, [0.025, 0.5, 0.975], method="nearest"))
    base = float(labels.sizes[best] / labels.sizes.sum())
    return TopClass(labels.names[best], int(counts[best]), len(mine), base, chance, int(drawn[-1]))


def headline(table: dict, unit: int, what: str, strongest: int, top: TopClass | None) -> list[str]:
    """Two or three sentences (plain text) that sum the unit up, with their null."""
    if not table["count"][unit]:
        return ["No finite value of this unit was recorded."]
    if table["sd"][unit] == 0:
        return [f"Dead: it is {number(table['mean'][unit])} on all {int(table['count'][unit]):,} {what}."]
    share = float(table["fraction_positive"][unit])
    said = [f"Above 0 on {_percent(share)} of {int(table['count'][unit]):,} {what}."]
    if top is not None:
        different = "" if top.n == strongest else f" {top.n} different samples among its"
        said.append(
            f"Of{different or ' its'} {strongest} strongest {what}, {top.count} are '{top.name}' "
            f"({_percent(top.count / top.n)}; base rate {_percent(top.base)})."
        )
        low, _, high = top.chance
        said.append(
            f"With shuffled labels the commonest class reaches {low} to {high} (95 %): {top.verdict}."
        )
    if table["nonfinite"][unit]:
        said.append(f"{int(table['nonfinite'][unit]):,} values were not finite and are left out.")
    return said


def mean_by_chance(mean: float, sd: float, total: float) -> Callable[[int], tuple[float, float]]:
    """The middle 95 % of the mean of n rows drawn from all `total` rows without looking at labels: normal
    approximation with the correction for drawing without putting back."""

    def ends(n: int) -> tuple[float, float]:
        left = max(total - n, 0.0) / max(total - 1, 1.0)
        half = 1.959964 * sd * math.sqrt(left / max(n, 1))
        return mean - half, mean + half

    return ends


def _percent(share: float) -> str:
    shown = 100 * share
    return f"{shown:.0f} %" if shown >= 10 or shown == 0 else f"{shown:.2g} %"


def histogram(
    activations: Activations,
    unit: int,
    column: np.ndarray,
    labels: Labels | None,
    name: str,
    rows: np.ndarray | None = None,
) -> Distribution:
    """How often each value occurs, split by class where there are at most 12 (the others together). `rows`: those of a
    feature that are not 0, with their values in `column`; every row where None."""
    values = np.asarray(column, np.float64)
    good = np.isfinite(values)
    low, high = (float(values[good].min()), float(values[good].max())) if good.any() else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    place = np.clip(((values[good] - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
    markers = {"0": 0.0} if low < 0 < high else {}
    counts = {"all": np.bincount(place, minlength=BINS)}
    if labels is not None and (labels.sizes > 0).sum() <= MOST_CLASSES:
        code = np.where(labels.codes < 0, len(labels.names), labels.codes)
        of_row = _of_rows(code, activations.layout, rows)
        counts = _by_class(place, labels, of_row[good])
    title = f"Values of unit {name}" if rows is None else f"Values of feature {name} where it is not 0"
    return Distribution(
        title=title,
        edges=edges,
        counts=counts,
        value_name="activation",
        markers=markers,
        log_y=_needs_log(counts),
    )


def histogram_of_counts(edges: np.ndarray, counts: np.ndarray, name: str) -> Distribution:
    """The same of a feature that fires too often for its rows to be looked at one by one: of all classes together."""
    together = {"all": counts}
    return Distribution(
        title=f"Values of feature {name} where it is not 0", edges=edges, counts=together, value_name="activation",
        markers={"0": 0.0} if edges[0] < 0 < edges[-1] else {}, log_y=_needs_log(together),
    )  # fmt: skip


def _of_rows(code: np.ndarray, layout, rows: np.ndarray | None) -> np.ndarray:
    """The class of each row from those of the samples."""
    if rows is not None:
        return code[layout.sample_of(rows)]
    return code if layout.is_pooled else np.repeat(code, np.diff(layout.offsets))


def _by_class(place: np.ndarray, labels: Labels, of_row: np.ndarray) -> dict[str, np.ndarray]:
    n = len(labels.names) + 1
    both = np.bincount(of_row * BINS + place, minlength=BINS * n).reshape(n, BINS)
    return {name: row for name, row in zip((*labels.names, "no label"), both, strict=True) if row.any()}


def _needs_log(counts: dict[str, np.ndarray]) -> bool:
    """A log axis where one bin would flatten all others; stacked classes cannot have one."""
    total = sum(counts.values())
    filled = np.sort(total[total > 0])
    return len(counts) == 1 and len(filled) > 2 and bool(filled[-1] > 50 * np.median(filled))
