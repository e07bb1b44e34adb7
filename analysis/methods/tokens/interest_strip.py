"""Which items of a history count for a candidate, and what changes when the candidate is swapped? Weights in a strip.

    w_i = a(q, k_i, q - k_i, q ∘ k_i)        interest = Σ w_i, not made to sum to 1

q is a sample of the second tap (an item, an advertisement), k_i the tokens of one sample of the first (what a user
clicked). a is the local activation unit of the checkpoint that a tap was recorded from, found by its shape: layers of
one module of which the first reads four (three, two) times the width of an item and the last says one number. Without
one w_i = q · k_i / √d, which is said. The same candidate gives the same strip.

Interval: Student's t over the items of the history, for their sum. Null: other candidates of the second tap.

When it lies: a file names layers and neither their bends nor the order in which the unit reads q and k: both are
assumptions that are told; a dot product grows with the length of the candidate's vector (a popular item), which is no
interest of this user; a sum grows with the length of the history.

Cost: O(T d h) for a unit h wide, for each candidate.

Reference: G. Zhou, X. Zhu, C. Song, Y. Fan, H. Zhu, X. Ma, Y. Yan, J. Jin, H. Li & K. Gai (2018), "Deep interest
network for click-through rate prediction".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from analysis.activations import Activations, ArrayActivations, Layout, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, NotFound, ShapeError
from analysis.results import Estimate, TokenMap
from analysis.sources.weights import weights_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.called import called
from analysis.tokens.sets.clips import RUN
from analysis.tokens.sets.interest import (
    BENDS,
    GUESSED,
    PARTS,
    PRELU,
    RELU,
    dot_weights,
    unit_in,
    unit_weights,
)

UNIT, DOT = "the network's activation unit, where there is one", "dot product"
CANDIDATES = 60


@dataclass(frozen=True)
class InterestStripParams:
    sample: int = param(0, "Whose history: a sample.", low=0, high=1_000_000_000)
    candidate: int = param(0, "The candidate: a sample of the second tap.", low=0, high=1_000_000_000)
    other_candidate: int = param(1, "The one it is swapped for.", low=0, high=1_000_000_000)
    weights: str = param(UNIT, "What weighs the items.", choices=(UNIT, DOT))
    bend: str = param(GUESSED, "Nonlinearity between the layers of the unit.", choices=BENDS)


def interest_strip(
    histories, candidates, params: InterestStripParams = InterestStripParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Weights of a history for two candidates.

    Parameters
    ----------
    histories : Activations or array (rows, units)
        A sample for each person, a token for each item; of a tap without tokens 16 rows stand for a history.
    candidates : Activations or array (rows, the same units)
        A sample for each candidate, its tokens averaged.

    Returns
    -------
    TokenMap
        Weights for the candidate, for the other, their difference, and the mean over other candidates.

    Raises
    ------
    ShapeError, NotFound, NotEnoughData
        Taps of different width; no such sample; fewer than two finite items.
    """
    tap, ads = as_activations(histories), as_activations(candidates, "candidates")
    rng, seen = rng or np.random.default_rng(0), Pass()
    if tap.shape[1] != ads.shape[1]:
        raise ShapeError(
            f"{tap.name} has {tap.shape[1]} units and {ads.name} {ads.shape[1]}",
            "items and candidates of one space",
        )
    progress(0.0, "reading the history")
    items, numbers, notes = _history(tap, params.sample, seen)
    two = np.stack([_candidate(ads, c, seen) for c in (params.candidate, params.other_candidate)])
    progress(0.3, "the activation unit")
    weigh, how = _weigher((ads, tap), params)
    progress(0.5, "other candidates")
    others = np.setdiff1d(np.arange(ads.layout.n_samples), [params.candidate, params.other_candidate])
    found = [_candidate(ads, int(c), seen, False) for c in rng.permutation(others)[:CANDIDATES]]
    chance = np.array([weigh(items, c) for c in found if c is not None]).reshape(-1, len(items))
    w = np.stack([weigh(items, c) for c in two])
    progress(1.0, "done")
    return _strip(tap, ads, numbers, w, chance, params, (*notes, *seen.notes, how))


def _history(tap: Activations, sample: int, seen: Pass) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(finite items (T, d), their numbers, notes)."""
    layout, said = tap.layout, []
    if sample >= layout.n_samples:
        raise NotFound(f"sample {sample} of {tap.name}", f"0 to {layout.n_samples - 1:,}")
    if layout.is_pooled:
        start = max(min(sample // RUN * RUN, layout.n_rows - RUN), 0)
        rows = np.arange(start, min(start + RUN, layout.n_rows))
        said = [f"{tap.name} holds one row of each sample: {RUN} neighbours are read as one history."]
    else:
        rows = np.arange(layout.offsets[sample], layout.offsets[sample + 1])
    x = np.asarray(tap.take(rows), np.float64)
    good = finite_rows(x)
    seen.n_rows += len(x)
    seen.n_nonfinite += int(len(x) - good.sum())
    refuse_few(f"sample {sample} of {tap.name}", int(good.sum()), 2, "finite item(s)")
    return x[good], np.flatnonzero(good), said


def _candidate(ads: Activations, sample: int, seen: Pass, needed: bool = True) -> np.ndarray | None:
    offsets = ads.layout.offsets
    if sample >= ads.layout.n_samples:
        raise NotFound(f"candidate {sample} of {ads.name}", f"0 to {ads.layout.n_samples - 1:,}")
    x = np.asarray(ads.take(np.arange(offsets[sample], offsets[sample + 1])), np.float64)
    good = finite_rows(x)
    seen.n_rows += len(x)
    seen.n_nonfinite += int(len(x) - good.sum())
    if needed:
        refuse_few(f"candidate {sample} of {ads.name}", int(good.sum()), 1, "finite token(s)")
    return x[good].mean(axis=0) if good.any() else None


def _weigher(taps, params) -> tuple[Callable, str]:
    """What weighs items for a candidate, and how it was found, in words."""
    why = "Weights are dot products over √d, as was asked."
    if params.weights == UNIT:
        why = "No checkpoint of the taps has layers that read an item beside a candidate and say one number"
        for tap in taps:
            try:
                unit = unit_in(weights_of(tap), tap.shape[1])
            except (InputError, NotFound):
                continue
            if unit is not None:
                guess = PRELU if unit.slopes else RELU
                bend = guess if params.bend == GUESSED else params.bend
                said = (
                    f"Layers {unit.name} to {unit.layers[-1].name} weigh; that they read {PARTS[unit.parts]} in this "
                    f"order (q the candidate) with {bend} between is taken for granted."
                )
                return partial(unit_weights, unit, bend), said
        why += ": weights are dot products over √d."
    return dot_weights, why


def _strip(tap, ads, numbers, w, chance, params, notes) -> TokenMap:
    a, b = (called("candidate", ads, c) for c in (params.candidate, params.other_candidate))
    lines, names = [w[0], w[1], w[0] - w[1]], [a, b, "difference"]
    if len(chance):
        lines.append(chance.mean(axis=0))
        names.append("mean of other candidates")
    best = int(w[0].argmax())
    total = w.sum(axis=1)
    drawn = np.full((len(lines), numbers.max() + 1), np.nan)  # an item that is not finite keeps its place
    drawn[:, numbers] = lines
    return TokenMap(
        title=f"What sample {params.sample} has in its history for {a} and {b}, {tap.name}",
        reading=f"Item {int(numbers[best])} counts most for {a}; all {len(numbers)} items add up to "
                f"{total[0]:.3g} (not normalised), for {b} to {total[1]:.3g}.",
        caveats=(*dict.fromkeys(notes), "A sum grows with the history and, of dot products, with the candidate."),
        estimates=_estimates(w, chance, params, tap.shape[1]), samples=np.full(len(lines), params.sample),
        values=drawn, value_name="weight, not normalised", names=tuple(names),
    )  # fmt: skip


def _estimates(w, chance, params, d: int) -> tuple[Estimate, ...]:
    found, t = [], w.shape[1]
    for line, c in zip(w, (params.candidate, params.other_candidate), strict=True):
        around = mean_interval(line)
        usual = {"null_method": "none: no other candidate"}
        if len(chance):
            sums = chance.sum(axis=1)
            low, high = np.quantile(sums, [0.025, 0.975])
            usual = {"null": float(sums.mean()), "null_low": float(low), "null_high": float(high),
                     "null_method": f"{len(chance)} other candidates"}  # fmt: skip
        found.append(
            Estimate(f"sum of weights, candidate {c}", float(line.sum()), low=t * around["low"],
                     high=t * around["high"], interval="Student's t over items", **usual, n=t, d=d,
                     estimator="sum over the history")
        )  # fmt: skip
    usual = {"null_method": "none: fewer than two other candidates"}
    if len(chance) > 1:
        pairs = [_changed(p, q) for p, q in zip(chance, np.roll(chance, 1, axis=0), strict=True)]
        low, high = np.quantile(pairs, [0.025, 0.975])
        usual = {"null": float(np.mean(pairs)), "null_low": float(low), "null_high": float(high),
                 "null_method": "pairs of other candidates"}  # fmt: skip
    found.append(
        Estimate("change when swapped", _changed(*w), interval="none: one history", **usual, n=t, d=d,
                 estimator="sum of differences over the sum of sizes")
    )  # fmt: skip
    return tuple(found)


def _changed(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.abs(a).sum() + np.abs(b).sum())
    return float(np.abs(a - b).sum()) / size if size > 0 else 0.0


def _cost(shapes, params: InterestStripParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 8.0 * d * (RUN * 4 + CANDIDATES) + 8.0 * n * 2 + 4e4
    return Cost(0.01 + m.seconds(flops64=8.0 * RUN * d * CANDIDATES, moved=held) + 1e-7 * n, held)


def _check() -> tuple[CheckLine, ...]:
    """One item along the candidate: its length; the same candidate twice; the sum is not 1."""
    x = np.zeros((2, 4, 4))
    x[0, 1] = [2, 0, 0, 0]
    x[0, 2] = [1, 3, 0, 0]
    tap = ArrayActivations(x.reshape(-1, 4), layout=Layout(np.array([0, 4, 8])))
    ads = ArrayActivations(np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]]))
    found = interest_strip(tap, ads)
    same = interest_strip(tap, ads, InterestStripParams(other_candidate=0))
    return (
        CheckLine("an item along the candidate", 1.0, float(found.values[0, 1]), 1e-12),
        CheckLine("sum for one candidate", 1.5, found.estimates[0].value, 1e-12),
        CheckLine("sum for the other", 1.5, found.estimates[1].value, 1e-12),
        CheckLine("the same candidate: change", 0.0, same.estimates[2].value, 0.0),
        CheckLine("swapped: change", 2 / 3, found.estimates[2].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="interest_strip", family="tokens", title="What a history holds for a candidate", version=3,
        summary="Weights of the items of a history towards a candidate, and what swapping it changes.",
        function=interest_strip, params=InterestStripParams, result=TokenMap, check=_check, cost=_cost, inputs=2,
        matches="nothing", same_units=True, roles=("histories", "candidates"), minimum_rows=2,
        invariance="of dot products, rotations of both taps together; the order of items",
        papers=("Deep Interest Network for Click-Through Rate Prediction",),
    ),
)  # fmt: skip
