"""Does a gated module spend more on what is difficult? Learners of a token against its difficulty.

    rho         Spearman's correlation of learners in use with difficulty, over all tokens
    within      the same inside each sample, mean over samples: does it know the difficult tokens of a sample?

Difficulty is a second tap with one number for each token (its loss, say outputs.token_loss) or sample; without one a
column of the samples, their loss, the same for all tokens of a sample. Where there is none either, how undecided the
gates of a token are stands in, which says nothing of the token: name a difficulty. Drawn are mean learners over tokens
in order of their difficulty, in tenths.

Interval: of the curve the jackknife over samples, so of rho; within samples Student's t. Null: the difficulty of other
samples at the same places, whole samples exchanged, as tokens of one sample are no draws of their own; it leaves what
places alone give, inside samples too, where tokens in any order would give 0. Of a tap of one sample or one row each,
rows are exchanged. Drawn is the mean of all tokens.

When it lies: a token may be difficult because little was spent on it; what is rare, long or bright is often both
difficult and costly without one for the other; learners need not cost the same.

Cost: O(n E), O(n ln n) for each exchange.

Reference: B. Wójcik, A. Devoto, K. Pustelnik, P. Minervini & S. Scardapane (2024), "Adaptive computation modules:
granular conditional computation for efficient inference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.linear.ranking_axes import spearman
from analysis.compute.machine import machine
from analysis.compute.statistics.clustered_means import clustered_mean_interval
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, mean_interval
from analysis.errors import InputError, NotEnoughData, ShapeError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.difficulty import exchanged, inside, tenths, undecided
from analysis.tokens.routing.learners import (
    BUDGET_HELP,
    EACH,
    FEWEST,
    HOW_MANY,
    UNITS_HELP,
    Learners,
    learners_of,
)

DRAWS = 99
SERIES, LOSS, UNDECIDED = "learners in use", "loss", "how undecided its gates are"


@dataclass(frozen=True)
class LearnersDifficultyParams:
    column: str = param(
        "", "Without a second tap: the column of difficulty; empty: loss, where known.", column=True
    )
    units: str = param(EACH, UNITS_HELP, choices=(EACH, HOW_MANY))
    budget: float | None = param(None, BUDGET_HELP, low=0.01, high=1.0)


def learners_difficulty(
    activations, difficulty=None, params: LearnersDifficultyParams = LearnersDifficultyParams(), rng=None,
    progress=no_progress,
) -> Curve:  # fmt: skip
    """Learners in use over difficulty.

    Parameters
    ----------
    activations : Activations or array (tokens, learners)
        Gates between 0 and 1, or what goes into their sigmoid; or scores of 0, 1, … learners.
    difficulty : Activations or array (tokens or samples, 1), optional
        Of the same samples, by id; a token that has none is left out.

    Returns
    -------
    Curve
        Mean learners over tenths of difficulty. Estimates: correlations over tokens, and inside samples.

    Raises
    ------
    NotFound, ShapeError, InputError, NotEnoughData
        No such column, or one without numbers; a second tap of several units; difficulty that is all alike; fewer than
        eight finite tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = learners_of(tap, params.units, params.budget, progress, (0.0, 0.5))
    hard, what, noted = _difficulty(tap, found, difficulty, params)
    good = np.isfinite(hard)
    if good.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(good.sum())} token(s) with a difficulty", f"at least {FEWEST}", "Choose another tap"
        )
    k, x, of = found.used[good].astype(float), hard[good], np.unique(found.of[good], return_inverse=True)[1]
    if not np.ptp(x) > 0:
        raise InputError(f"{what} is the same for all tokens", "a difficulty that varies", "Choose another")
    progress(0.6, "exchanging difficulty")
    told = _estimates(k, x, of, found.most, rng)
    progress(1.0, "done")
    lost = int((~good).sum())
    said = [f"{lost:,} token(s) without a difficulty are left out."] if lost else []
    return _drawn(
        tap, k, x, of, what, told, (*found.notes, *noted, *said, "Learners are counted, not timed.")
    )


def _difficulty(tap, found: Learners, given, params) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """((n,) of each row, NaN where there is none, what it is, notes)."""
    sample, token = tap.layout.sample_of(found.rows), tap.layout.token_of(found.rows)
    name = params.column or (LOSS if LOSS in tap.samples else "")
    if given is None and not name:
        return _undecided(tap, found, params.units)
    if given is None:
        try:
            values = np.asarray(sample_column(tap, name), np.float64)
        except ValueError:
            raise InputError(f"column '{name}' of {tap.name} holds no numbers", "a number for each sample",
                             "Choose another, or a tap of losses as the second") from None  # fmt: skip
        return values[sample], name, ()
    other = as_activations(given)
    if other.shape[1] != 1:
        raise ShapeError(f"{other.name} has {other.shape[1]} units", "one number for each token",
                         "Choose a tap of losses, such as outputs.token_loss")  # fmt: skip
    place = {str(i): s for s, i in enumerate(np.asarray(other.samples["id"]).astype(str))}
    ids = np.asarray(tap.samples["id"]).astype(str)
    own = np.array([place.get(i, -1) for i in ids])[sample]
    offsets, single = other.layout.offsets, other.layout.is_pooled
    row = offsets[np.maximum(own, 0)] + (0 if single else token)
    there = (own >= 0) & (row < offsets[np.maximum(own, 0) + 1])
    out = np.full(len(found.rows), np.nan)
    out[there] = np.asarray(other.unit(0), np.float64)[row[there]]
    return out, other.name, ()


def _undecided(tap, found: Learners, units: str) -> tuple[np.ndarray, str, tuple[str, ...]]:
    values = np.asarray(tap.take(found.rows), np.float64)
    said = (
        "No difficulty is known: how undecided the gates of a token are stands in. Choose a tap of losses as the "
        "second, or a column."
    )
    return undecided(values, units), UNDECIDED, (said,)


def _estimates(k, x, of, most: int, rng) -> tuple[Estimate, ...]:
    n, rho, group = len(k), spearman(k, x), groups_of(int(of.max()) + 1, rng)[of]
    half = jackknife_half(np.array([spearman(k[group != g], x[group != g]) for g in range(group.max() + 1)]))
    ends = {"interval": "none: too few samples"} if half is None else {
        "low": max(rho - float(half), -1.0), "high": min(rho + float(half), 1.0),
        "interval": "jackknife over groups of samples"}  # fmt: skip
    others = [exchanged(x, of, rng) for _ in range(DRAWS)]
    told = [Estimate("learners with difficulty", rho, **ends, n=n, d=most, estimator="Spearman over tokens",
                     **_beside(rho, np.array([spearman(k, other) for other in others])))]  # fmt: skip
    each = inside(k, x, of)
    if len(each):
        chance = [found.mean() for other in others if len(found := inside(k, other, of))]
        told.append(Estimate("inside a sample", float(each.mean()),
                             **(mean_interval(each, -1.0, 1.0) or {"interval": "none: one sample"}),
                             **_beside(float(each.mean()), np.array(chance or [0.0])), n=len(each), d=most,
                             estimator="Spearman, mean over samples"))  # fmt: skip
    return tuple(told)


def _beside(value: float, null: np.ndarray) -> dict:
    """The null of an estimate from draws of it (m,), and its two-sided p."""
    far = np.abs(null - null.mean()) >= abs(value - null.mean()) - 1e-12
    return {**null_spread(null), "p_value": float((1 + far.sum()) / (1 + len(null))),
            "null_method": f"difficulty of other samples at the same places, {len(null)} draws"}  # fmt: skip


def _drawn(tap, k, x, of, what: str, told, notes) -> Curve:
    parts = tenths(x)
    ends = [clustered_mean_interval(k[p], np.unique(of[p], return_inverse=True)[1], "samples", least=0.0)
            for p in parts]  # fmt: skip
    mean = np.array([k[p].mean() for p in parts])
    low, high = (
        np.array([e.get(side, m) for e, m in zip(ends, mean, strict=True)]) for side in ("low", "high")
    )
    return Curve(
        title=f"Learners against difficulty, {tap.name}", x=np.array([float(np.median(x[p])) for p in parts]),
        x_name=f"difficulty: {what}", y_name="learners in use", series={SERIES: mean}, low={SERIES: low},
        high={SERIES: high}, null={SERIES: np.full(len(parts), k.mean())}, joined=True, estimates=told,
        reading=_reading(told, mean, what),
        caveats=(*notes, f"Tokens in {len(parts)} parts of equal size by their difficulty (ties stay together), drawn "
                 "at its median."),
    )  # fmt: skip


def _reading(told, mean: np.ndarray, what: str) -> str:
    rho, inner = told[0], told[1] if len(told) > 1 else None
    tokens, ends = ("undecided tokens", ("most decided", "least decided")) if what == UNDECIDED else (
        "difficult tokens", ("easiest", "hardest"))  # fmt: skip
    side = "no more" if rho.p_value > 0.05 else "more" if rho.value > rho.null else "less"
    more = "" if inner is None else (
        f" Inside a sample the correlation is {inner.value:+.2f}, where places alone give {inner.null:+.2f}."
    )  # fmt: skip
    return (
        f"The module spends {side} on {tokens} than chance: from {mean[0]:.2f} learners at the {ends[0]} to "
        f"{mean[-1]:.2f} at the {ends[1]} part (Spearman {rho.value:+.2f}, by chance {rho.null_low:+.2f} to "
        f"{rho.null_high:+.2f}).{more}"
    )


def _cost(shapes, params: LearnersDifficultyParams) -> Cost:
    (n, e), m = shapes[0], machine()
    held = n * e * 8.0 * 3.5 + n * (200.0 + 8.0 * DRAWS) + 2e4
    return Cost(0.05 + m.seconds(moved=n * e * 60.0 + DRAWS * n * 1300.0), held)


def _check() -> tuple[CheckLine, ...]:
    """As many learners as a token is difficult: rho 1, inside samples too; difficulty of samples alone leaves nothing
    inside; difficulty at random no correlation."""
    rng = np.random.default_rng(0)
    layout, n = Layout(np.arange(41) * 8), 320
    k = rng.integers(0, 5, n)
    gates = (np.arange(4) < k[:, None]).astype(float)

    def told(x):
        tap = ArrayActivations(gates, "gates", layout=layout)
        return learners_difficulty(
            tap, ArrayActivations(np.asarray(x, float)[:, None], "loss", layout=layout)
        )

    own, turned, free = told(k), told(-k), told(rng.standard_normal(n))
    return (
        CheckLine("as difficult as costly", 1.0, own.estimates[0].value, 1e-12),
        CheckLine("inside samples", 1.0, own.estimates[1].value, 1e-12),
        CheckLine("the other way round", -1.0, turned.estimates[0].value, 1e-12),
        CheckLine("at random: p", 0.02, free.estimates[0].p_value, 0.0, "at least"),
        CheckLine("equal difficulty stays together: parts of one learner less", 1.0,
                  float(np.diff(own.series[SERIES]).min()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="learners_difficulty", family="tokens", title="Compute against difficulty", version=3,
        function=learners_difficulty,
        summary="Whether a gated module runs more of its parts for tokens that are difficult.",
        params=LearnersDifficultyParams, result=Curve, check=_check, cost=_cost, inputs=1, more_inputs=True,
        most_inputs=2, roles=("gates", "difficulty of tokens, if recorded"), minimum_rows=FEWEST,
        invariance="the order of learners and of samples; every rising map of difficulty",
        papers=("Adaptive Computation Modules: Granular Conditional Computation For Efficient Inference",),
    ),
)  # fmt: skip
