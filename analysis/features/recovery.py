"""How much of what a reader does with a tap is left when its rows are replaced, on a scale that an ablation sets.

    recovered = 1 - Σ (L' - L) / Σ (L⁰ - L)          1 untouched rows, 0 the ablation, below 0 worse than that

with the loss L of the untouched rows, L' of the replaced ones and L⁰ of the ablated ones, summed over samples. The
scale exists only where the ablation raises the loss: where the interval of its mean rise reaches 0 nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData
from analysis.features.answers import CLEAN, Answers
from analysis.features.rivals import MEAN, ZERO

FEWEST = 3  # samples
LACKING = "without "  # prefix of the replacement that takes a dictionary's part out
Share = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Recovery:
    """`losses` by replacement (n,): nats of the true answer, or from the untouched answer where none is known
    (`from_labels` says which); `scales`: mean rise of each ablation that hurts, with its interval."""

    answers: dict[str, Answers]
    losses: dict[str, np.ndarray]
    from_labels: bool
    scales: dict[str, Share]
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.losses[CLEAN])

    def recovered(self, name: str, ablation: str, rng: np.random.Generator) -> Share:
        """NaN where the ablation does not hurt."""
        if ablation not in self.scales:
            return (np.nan,) * 3
        clean = self.losses[CLEAN]
        value, low, high = ratio(self.losses[name] - clean, self.losses[ablation] - clean, rng)
        return 1 - value, 1 - high, 1 - low

    def needed(self, name: str, rng: np.random.Generator) -> Share:
        """Share of what the mean ablation loses that is lost without the part of a dictionary."""
        key = LACKING + name
        if key not in self.losses or MEAN not in self.scales:
            return (np.nan,) * 3
        clean = self.losses[CLEAN]
        return ratio(self.losses[key] - clean, self.losses[MEAN] - clean, rng)

    def divergence(self, name: str) -> Share:
        return mean_of(self.answers[name].kl, 0.0)

    def later(self, rng: np.random.Generator) -> dict[str, dict[str, Share]]:
        """By later tap and replacement: squared error there, as a share of what the mean ablation makes."""
        out = {}
        for tap, worst in self.answers[MEAN].later.items():
            if worst.sum() > 0:
                out[tap] = {name: ratio(a.later[tap], worst, rng) for name, a in self.answers.items()}
        return out


def ratio(above: np.ndarray, below: np.ndarray, rng: np.random.Generator) -> Share:
    value = float(above.sum() / below.sum())
    low, high = ratio_interval(above, below, rng)
    return value, min(low, value), max(high, value)


def mean_of(values: np.ndarray, least: float = -np.inf) -> Share:
    values = values[np.isfinite(values)]
    if not len(values):
        return (np.nan,) * 3
    value, found = float(values.mean()), mean_interval(values, least)
    return value, min(found.get("low", value), value), max(found.get("high", value), value)


def recovery(answers: dict[str, Answers]) -> Recovery:
    """Of answers that hold the untouched rows and both ablations.

    Raises NotEnoughData below three samples, InputError where neither ablation hurts.
    """
    known = np.isfinite(answers[CLEAN].loss)
    from_labels = bool(known.any())
    losses = {name: a.loss[known] if from_labels else a.kl for name, a in answers.items()}
    n, notes = len(losses[CLEAN]), []
    if n < FEWEST:
        raise NotEnoughData(f"{n} sample(s) with an answer", f"at least {FEWEST}", "Record more samples")
    if not from_labels:
        notes.append("There are no labels: loss is the divergence from the network's own untouched answer.")
    elif not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without a label do not count.")
        answers = {name: _some(a, known) for name, a in answers.items()}
    scales = {}
    for name in (MEAN, ZERO):
        value, low, high = mean_of(losses[name] - losses[CLEAN])
        if low > 0:
            scales[name] = (value, low, high)
        else:
            notes.append(
                f"Ablation to {name} changes the loss by {value:.3g} nats (95 % interval {low:.3g} to {high:.3g}), "
                "which may be nothing: no share is told of it."
            )
    if not scales:
        raise InputError(
            f"neither ablation raises the loss of {n:,} samples ({' '.join(notes)})",
            "a tap that what comes after it needs",
            "Choose another tap, or record more samples",
        )
    return Recovery(answers, losses, from_labels, scales, tuple(notes))


def _some(a: Answers, known: np.ndarray) -> Answers:
    return Answers(a.loss[known], a.kl[known], a.predicted[known], {t: v[known] for t, v in a.later.items()})
