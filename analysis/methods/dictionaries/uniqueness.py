"""Are these the only non-negative features that explain the activations, or could two concepts be traded?

A factorisation X = H W with non-negative codes H can be remixed as (H Q)(Q⁻¹ W) as long as H Q stays non-negative. If
the codes are sufficiently scattered it cannot (but for order and scale): q* = max |x|² over {x : H x >= 0, Σ x = 1} is
1, at unit vectors only (`compute.dictionaries.scattered`). Up to eight firing features q* is exact, from all vertices
of the polytope; an x beyond 1 is the direction of a trade. For any number of features two facts are exact: where every
feature has a row in which it alone fires, the codes are scattered; where feature j fires only in rows where i does,
they are not, and i can take over j: the share t says how far. Between the two nothing is said. Features are scaled to a
largest value of 1.

Null: each feature's codes moved over the rows by themselves, so that nothing contains anything but by chance.

When it lies: sufficient, not necessary (a dictionary may be unique without), and with a fixed dictionary of full rank
and an exact reconstruction only; more rows can only make codes more scattered, so that few rows refute too much; one
noisy value near 0 makes or breaks a pure row: raise the threshold and look at the rows beside it; negative codes count
as 0.

Cost: O(entries) for pairs; up to eight features about n⁴ at worst, seconds in practice.

References: K. Huang, N. Sidiropoulos & A. Swami (2014); "Checking the sufficiently scattered condition using a global
non-convex optimization software" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.scaled_codes import moved_codes, scaled_codes
from analysis.compute.dictionaries.scattered import MOST_EXACT, Trades, Vertices, enumerate_vertices, trades
from analysis.compute.dictionaries.sparse_codes import likely_size, together
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FEWEST = 8  # rows
UNIQUE, TRADED, OPEN, DEAD = "has rows of its own", "can be traded", "open", "dead"
LARGEST = 1e6  # what an unbounded trade is written as
HELP = {
    "feature": "The feature's name.",
    "firing rows": "Rows in which it is above the threshold.",
    "rows of its own": "Rows in which it alone fires; one for every feature is enough for uniqueness.",
    "verdict": "has rows of its own; can be traded (another feature fires wherever it does); open; dead.",
    "taken over by": "A feature that fires in every row of this one.",
    "trade": f"How far that one can take over: t in (1 + t) e_i - t e_j; {LARGEST:g} for any amount.",
    "q of the trade": "|x|² of that trade; 1 for none.",
    "in the largest trade": "This feature's part in the x of q*, where features are few enough for it.",
}


@dataclass(frozen=True)
class UniquenessParams:
    threshold: float = param(
        0.01, "Codes below this share of the feature's largest count as 0.", low=0.0, high=0.9
    )
    draws: int = param(9, "Times the codes are moved for the null.", low=2, high=99)
    maximum_rows: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=1_000_000)


def uniqueness(
    activations, params: UniquenessParams = UniquenessParams(), rng=None, progress=no_progress
) -> Table:
    """The sufficiently scattered condition for the codes of a tap, with what could be traded.

    Parameters
    ----------
    activations : Activations or array (rows, features)
        Codes, such as a tap that a feature set encoded.

    Returns
    -------
    Table
        A line for each feature, see `HELP`; estimates q* (exact, or a lower bound) and the shares of features.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight finite rows; fewer than two features that fire.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    h, negative, n = scaled_codes(
        tap, params.threshold, params.maximum_rows, rng, seen, lambda done, doing: progress(0.4 * done, doing)
    )
    refuse_few(tap.name, n, FEWEST)
    alive = np.bincount(h.indices, minlength=h.shape[1]) > 0
    if alive.sum() < 2:
        raise InputError(
            f"{int(alive.sum())} feature(s) of {tap.name} fire",
            "two or more",
            "Choose another tap or more rows",
        )
    found, exact = _judged(h, alive)
    null = []
    for draw in range(params.draws):
        progress(0.4 + 0.6 * draw / params.draws, "moving codes")
        null.append(_shares(*_judged(moved_codes(h, rng), alive)))
    progress(1.0, "done")
    columns = _columns(np.array(tap.unit_names), found, exact, alive)
    estimates = _estimates(_shares(found, exact), np.array(null), exact, int(alive.sum()), h.shape[0])
    notes = [*seen.notes, *_caveats(found, exact, alive, params)]
    if negative:
        notes.append(f"{negative:,} negative codes count as 0.")
    if h.shape[0] < n:
        notes.append(f"A random {h.shape[0]:,} of {n:,} rows used.")
    return Table(
        title=f"Could the features of {tap.name} be traded?", reading=_reading(found, exact, alive, columns),
        caveats=tuple(notes), estimates=estimates, columns=columns, index="feature", sort="q of the trade", help=HELP,
    )  # fmt: skip


def _judged(h: csr_array, alive: np.ndarray) -> tuple[Trades, Vertices | None]:
    found = trades(h, together([h]))
    if alive.sum() > MOST_EXACT:
        return found, None
    dense = h[:, np.flatnonzero(alive)].toarray()
    return found, enumerate_vertices(dense[dense.any(axis=1)])


def _shares(found: Trades, exact: Vertices | None) -> tuple[float, float, float]:
    """q* or its lower bound, and the shares of firing features with rows of their own and that can be traded."""
    fires = found.fires > 0
    q = float(found.q.max()) if exact is None else exact.q
    return min(q, LARGEST), float((found.alone[fires] > 0).mean()), float((found.inside[fires] >= 0).mean())


def _columns(names, found: Trades, exact: Vertices | None, alive: np.ndarray) -> dict[str, np.ndarray]:
    verdict = np.select([~alive, found.inside >= 0, found.alone > 0], [DEAD, TRADED, UNIQUE], OPEN)
    part = np.zeros(len(names))
    if exact is not None:
        part[alive] = exact.x
    return {
        "feature": names, "firing rows": found.fires, "rows of its own": found.alone, "verdict": verdict,
        "taken over by": np.where(found.inside >= 0, names[np.maximum(found.inside, 0)], ""),
        "trade": np.minimum(found.most, LARGEST), "q of the trade": np.minimum(found.q, LARGEST),
        "in the largest trade": part,
    }  # fmt: skip


def _estimates(values, null: np.ndarray, exact, k: int, n: int) -> tuple[Estimate, ...]:
    method = f"codes of each feature moved over the rows, {len(null)} times: median, 95 %"
    common = {"n": n, "d": k, "null_method": method}
    names = (
        "q*" if exact is not None else "q*, lower bound",
        "share with rows of their own",
        "share that can be traded",
    )
    how = ("all vertices", "exact") if exact is not None else ("largest trade of two features", "exact")
    found = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        low, high = wilson(value * k, k) if i else (None, None)
        chance = np.quantile(null[:, i], [0.5, 0.025, 0.975], method="nearest")
        found.append(
            Estimate(name, value, low, high, interval="Wilson over features" if i else "",
                     estimator=how[min(i, 1)], null=float(chance[0]), null_low=float(chance[1]),
                     null_high=float(chance[2]), p_value=float(add_one_p(value, null[:, i])), **common)
        )  # fmt: skip
    return tuple(found)


def _reading(found: Trades, exact, alive, columns) -> str:
    k, own, traded = (int(v.sum()) for v in (alive, found.alone > 0, found.inside >= 0))
    said = f"{own:,} of {k:,} firing features have rows of their own and {traded:,} fire only where another does. "
    if exact is not None and not exact.scattered:
        names, part = columns["feature"], columns["in the largest trade"]
        pair = f"towards {names[part.argmax()]} and away from {names[part.argmin()]}"
        if exact.q <= 1 + 1e-6:
            return said + f"q* is 1 and reached beside the unit vectors too: on the border, {pair}."
        return said + f"q* is {min(exact.q, LARGEST):.3g}: codes can be traded {pair}."
    if exact is not None or own == k:
        return said + "The codes are sufficiently scattered: no other non-negative features explain the same."
    if traded:
        return said + "The codes are not sufficiently scattered: those features can be traded."
    return said + "Neither is settled: trades of more than two features were not searched."


def _caveats(found: Trades, exact, alive, params) -> tuple[str, ...]:
    said = [
        "The condition is enough, not necessary; it holds for exact reconstructions with a dictionary of full rank.",
        f"Codes below {params.threshold:g} of a feature's largest count as 0; another threshold may change verdicts.",
    ]
    if exact is None:
        said.append(f"Above {MOST_EXACT} features only pairs are searched, so q* is a lower bound.")
    return tuple(said)


def _cost(shapes, params: UniquenessParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some, active = min(n, params.maximum_rows), likely_size(k)[1]
    flops = 2.0 * some * active * min(active * 40, k) * (params.draws + 1)
    seconds = m.seconds(flops32=flops, moved=60.0 * n * active + 60.0 * some * active * params.draws) + 0.05
    reading = min(1.1e7, 40.0 * n * k)  # a block of rows that are not kept sparse
    return Cost(seconds, reading + some * active * 40.0 + 12.0 * k * k)


def _check() -> tuple[CheckLine, ...]:
    """The hexagon (a, 1 - a, 0) in all orders: scattered from a = 2/3 on, q* = 1.375 at 0.6; rows of their own."""
    order = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])

    def q(a: float) -> float:
        codes = np.repeat(np.array([a, 1 - a, 0.0])[order], 2, axis=0)
        return uniqueness(ArrayActivations(codes), UniquenessParams(draws=2)).estimates[0].value

    own = uniqueness(np.repeat(np.eye(3), 4, axis=0), UniquenessParams(draws=2)).estimates
    return (
        CheckLine("hexagon at 0.60", 1.375, q(0.6), 1e-6),
        CheckLine("hexagon at 0.65", 1.072, q(0.65), 5e-4),
        CheckLine("hexagon at 0.67", 1.0, q(0.67), 1e-6),
        CheckLine("separable codes", 1.0, own[1].value, 0.0),
    )


METHODS = (
    Method(
        id="uniqueness", family="dictionaries", title="Uniqueness of non-negative features", version=1,
        function=uniqueness,
        summary="Whether codes are scattered enough that no other non-negative features fit, and what could be traded.",
        params=UniquenessParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering rows and features; scaling a row or a feature by a positive number",
        papers=("Checking the Sufficiently Scattered Condition using a Global Non-Convex Optimization Software",),
    ),
)  # fmt: skip
