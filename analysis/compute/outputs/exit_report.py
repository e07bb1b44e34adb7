"""What linear exits on the layers of a network know of its answer: curves, numbers and words, beside a constant
exit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.outputs.soft_exits import FOLDS
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate

SHOWN = 12  # layers with an estimate of their own
KL, SAME, RIGHT = "KL(network || exit)", "same top class as the network", "right class"


@dataclass(frozen=True)
class Exits:
    """Of each layer, held out: `divergence` (layers, n) and `top` (layers, n) class; `nothing` (n,), the
    divergence of the constant exit; the network's own `answer` (n,) and the `label` (n,), -1 where there is none."""

    divergence: np.ndarray
    top: np.ndarray
    nothing: np.ndarray
    answer: np.ndarray
    label: np.ndarray


def divergences(e: Exits) -> dict:
    """Series, bands and null of a `Curve` over the layers, in nats."""
    ends = [mean_interval(d, 0.0) for d in e.divergence]
    return {
        "series": {KL: e.divergence.mean(axis=1)},
        "low": {KL: np.array([i["low"] for i in ends])},
        "high": {KL: np.array([i["high"] for i in ends])},
        "null": {KL: np.full(len(ends), e.nothing.mean())},
    }


def _hits(e: Exits) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each kind of hit, 1.0 or 0.0 of each layer's samples (layers, m), and the share of hits (layers,) if the
    samples were exchanged."""
    known = e.label >= 0
    of = {SAME: (e.top, e.answer)}
    if known.any():
        of[RIGHT] = (e.top[:, known], e.label[known])
    return {
        name: ((top == right).astype(np.float64), np.array([_by_chance(t, right) for t in top]))
        for name, (top, right) in of.items()
    }


def _by_chance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean share of equal classes (m,) over all exchanges of samples, exact."""
    classes = int(max(one.max(), other.max())) + 1
    a, b = (np.bincount(x, minlength=classes) / len(x) for x in (one, other))
    return float(a @ b)


def shares(e: Exits) -> dict:
    """The same for the shares of samples with the network's top class and with the right one."""
    out = {"series": {}, "low": {}, "high": {}, "null": {}}
    for name, (hits, chance) in _hits(e).items():
        ends = [share_interval(h) for h in hits]
        out["series"][name] = hits.mean(axis=1)
        out["low"][name] = np.array([i["low"] for i in ends])
        out["high"][name] = np.array([i["high"] for i in ends])
        out["null"][name] = chance
    return out


def exit_estimates(e: Exits, layers, units) -> tuple[Estimate, ...]:
    n, out = len(e.nothing), []
    for i, (name, apart) in enumerate(zip(layers[:SHOWN], e.divergence, strict=False)):
        p = _falls(apart - e.nothing)
        out.append(Estimate(
            f"{name}: {KL}", float(apart.mean()), **mean_interval(apart, 0.0), null=float(e.nothing.mean()),
            null_method="constant exit, the mean probabilities of the training samples", p_value=p, n=n, d=units[i],
            estimator=f"soft-label logistic exit, {FOLDS} folds", unit="nats",
        ))  # fmt: skip
    for kind, (hits, chance) in _hits(e).items():
        for i, name in enumerate(layers[:SHOWN]):
            out.append(Estimate(
                f"{name}: {kind}", float(hits[i].mean()), **share_interval(hits[i]),
                null=float(chance[i]), null_method="samples exchanged, exact mean", n=hits.shape[1],
                d=units[i], estimator=f"share of held-out samples, {FOLDS} folds",
            ))  # fmt: skip
    known = e.label >= 0
    if known.any():
        right = (e.answer == e.label)[known].astype(float)
        out.append(Estimate("the network itself: right class", float(right.mean()), **share_interval(right),
                            n=len(right), d=units[-1], estimator="share of samples"))  # fmt: skip
    return tuple(out)


def _falls(less: np.ndarray) -> float:
    """p of Student's test that the mean of `less` (n,) is below 0; 1 where all are equal and not below."""
    if less.std() <= 1e-12 * np.abs(less).max(initial=0.0):
        return 0.0 if less.mean() < 0 else 1.0
    from scipy.stats import ttest_1samp  # a third of a second to import

    return float(ttest_1samp(less, 0.0, alternative="less").pvalue)


def exit_reading(e: Exits, layers) -> str:
    mean, nothing = e.divergence.mean(axis=1), float(e.nothing.mean())
    same, best = _hits(e)[SAME], int(mean.argmin())
    half = np.flatnonzero(mean <= nothing / 2)
    text = (
        f"A constant answer is {nothing:.3g} nats from the network's. The exit on {layers[best]} comes closest: "
        f"{mean[best]:.3g} nats, with the network's top class in {same[0][best].mean():.0%} of held-out samples "
        f"({same[1][best]:.0%} by chance). "
    )
    if not len(half):
        return text + "No layer gives away half of the answer to a linear exit."
    return text + f"The first layer that leaves half of the divergence or less is {layers[half[0]]}."


def exit_caveats(e: Exits, constant, layers) -> list[str]:
    notes = ["A linear exit shows what can be read off a layer, not what the network uses.",
             "Bands take the folds' fits as they are and are a little too narrow."]  # fmt: skip
    flat = [f"{name} ({c} of {FOLDS} folds)" for name, c in zip(layers, constant, strict=True) if c]
    if flat:
        notes.append(
            "No exit was better than a constant on the fold set aside for the penalty: "
            + ", ".join(flat)
            + "."
        )
    if len(layers) > SHOWN:
        notes.append(
            f"Estimates are listed for the first {SHOWN} of {len(layers)} layers; the curve has all."
        )
    missing = int((e.label < 0).sum())
    if missing and missing < len(e.label):
        notes.append(f"{missing} sample(s) without a label do not count for the right class.")
    return notes
