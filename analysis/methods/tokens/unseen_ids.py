"""Did training leave the rows of ids alone that it never saw? An embedding table against its initialisation.

    change of row i = |e_i - e_i(0)| / |e_i(0)|        an id that was never looked up has no gradient: its row stays

so that rows of unseen ids which have moved tell of something else: weight decay on all rows (all by one factor, their
directions kept), a table tied to an output layer (every row has a gradient), ids that the samples at hand do not show,
or another initialisation than the one that was given.

Taps: of the trained and of the initial checkpoint (the first decides which ids were seen: record it on the data of the
training). Tables are read from the checkpoints; a tap that is an array holds the table itself, a row for each id, with
a column of counts.

Interval: Wilson, rows as draws. Null: which rows were seen exchanged among all rows (hypergeometric, exact p).

When it lies: ids are unseen among these samples, which may not be all that training saw; a row that was seen once may
move by less than single precision shows; rows that are equal to some other initialisation count as moved; the number of
times a row was seen says nothing of how far it should have moved.

Cost: O(rows units), and of texts one pass of the tokenizer over all samples.

Reference: K. Mao, J. Zhu, L. Su, G. Cai, Y. Li & Z. Dong (2023), "FinalMLP: an enhanced two-stream MLP model for CTR
prediction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import as_matrix, finite_rows
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import InputError, NotEnoughData, NotFound, ShapeError
from analysis.results import Estimate, Scatter
from analysis.sources.seen_ids import counted_entries, seen_ids
from analysis.sources.unit_weights import is_table
from analysis.sources.weights import weights_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.row_changes import CHANGE, KINDS, TIMES, TURN, compared, why_moved

FEWEST, SHOWN, NAMED, KIND = 2, 20_000, 5, "row"


@dataclass(frozen=True)
class UnseenIdsParams:
    column: str | None = param(
        None, "Holds the ids (of an array: counts of its rows); automatic: token ids of texts, or 'count'.",
        column=True,
    )  # fmt: skip
    table: str = param(
        "", "Which table of the checkpoint; empty: the one named like the column, else the longest."
    )
    within: float = param(0.0, "Change that still counts as none, in lengths of the row.", low=0.0, high=0.1)


def unseen_ids(
    trained, initial, params: UnseenIdsParams = UnseenIdsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Change of each row of an embedding table over how often its id was seen.

    Parameters
    ----------
    trained, initial : Activations or arrays (rows, units)
        Taps of two checkpoints of one network; of arrays the tables themselves.

    Returns
    -------
    Scatter
        A point for each row. Estimates: shares of unseen rows that stayed and of seen rows that moved.

    Raises
    ------
    InputError, NotFound, ShapeError, NotEnoughData
        No table, or not of this name; tables of two shapes; ids of another table; fewer than two finite rows.
    """
    trained, initial = as_activations(trained), as_activations(initial)
    progress(0.0, "reading tables")
    now, name = _table(trained, params)
    before, _ = _table(initial, params, name)
    if now.shape != before.shape:
        raise ShapeError(f"{trained.name} has a table of {now.shape}, {initial.name} one of {before.shape}",
                         "the same table of two checkpoints")  # fmt: skip
    counts, said = (counted_entries(trained, params.column) if is_table(trained) else
                    seen_ids(trained, params.column, len(now), lambda f, d="": progress(0.1 + 0.7 * f, d)))  # fmt: skip
    good = finite_rows(now) & finite_rows(before)
    if good.sum() < FEWEST:
        raise NotEnoughData(f"{int(good.sum())} finite row(s) in {name}", f"at least {FEWEST}")
    notes = (
        list(said)
        if good.all()
        else [*said, f"{int((~good).sum())} row(s) with NaN or infinity were left out."]
    )
    rows = np.flatnonzero(good)
    progress(0.9, "comparing rows")
    found = compared(now[good], before[good], None if counts is None else counts[good], params.within)
    progress(1.0, "done")
    return _scatter(name, rows, found, notes, now.shape[1], params)


def _table(tap, params, name: str = "") -> tuple[np.ndarray, str]:
    if is_table(tap):
        if params.table:
            raise InputError(f"table '{params.table}' was asked of {tap.name}, a table itself", "no table",
                             "Leave it empty")  # fmt: skip
        return as_matrix(tap.take(np.arange(tap.shape[0])), tap.name).astype(np.float64), tap.name
    network = weights_of(tap)
    known = network.lookups
    if not known:
        raise NotFound(
            f"{network.path.name} has no embedding table", "a weight called embed, wte or wpe, without a bias"
        )
    asked = params.table or name
    fits = [n for n in known if n == asked or n.endswith("." + asked)] if asked else [
        n for n in known if params.column and params.column in n.replace("-", "_").split(".")] or known  # fmt: skip
    if not fits:
        raise NotFound(f"{network.path.name} has no table '{asked}'", "one of " + ", ".join(known[:20]))
    chosen = max(fits, key=lambda n: network.shapes[f"{n}.weight"][0])
    return network.tensor(f"{chosen}.weight"), chosen


def _estimates(found: dict, d: int, within: float) -> tuple[Estimate, ...]:
    from scipy.stats import hypergeom  # half a second to import: not at start-up

    moved, kind = found["moved"], found["kind"]
    n = len(moved)
    wide = {"interval": "Wilson, rows as draws"}
    facts = {
        "d": d,
        "estimator": "share of rows" + (f", a change up to {within:g} counts as none" if within else ""),
    }
    unseen, seen = np.isin(kind, (0, 1)), np.isin(kind, (2, 3))
    told = []
    if unseen.any():
        stay, all_stay = int((~moved[unseen]).sum()), int((~moved).sum())
        told.append(Estimate(
            "unseen rows that are as they were", stay / unseen.sum(), **share_interval(~moved[unseen] * 1.0) | wide,
            null=all_stay / n, p_value=float(hypergeom.sf(stay - 1, n, all_stay, int(unseen.sum()))),
            null_method="seen rows exchanged among all rows (hypergeometric, exact)",
            n=int(unseen.sum()), **facts,
        ))  # fmt: skip
        told.append(Estimate("largest change of an unseen row", float(found[CHANGE][unseen].max()), null=0.0,
                             interval="none: these are all unseen rows", null_method="no gradient, no decay", d=d,
                             n=int(unseen.sum()), estimator="lengths of its initialisation"))  # fmt: skip
    if seen.any() or not unseen.any():
        some = moved[seen] if seen.any() else moved
        told.append(Estimate(
            "seen rows that moved" if seen.any() else "rows that moved", float(some.mean()),
            **share_interval(some * 1.0) | wide, null=float(moved.mean()), n=len(some),
            null_method="seen rows exchanged among all rows, mean", **facts))  # fmt: skip
    return tuple(told)


def _reading(found: dict, rows: np.ndarray) -> str:
    kind = found["kind"]
    count = np.bincount(kind, minlength=5)
    if count[4]:
        return f"{int(found['moved'].sum()):,} of {len(rows):,} rows moved; which ids were seen is not known."
    unseen = count[0] + count[1]
    said = (
        "Every id was seen." if not unseen else
        f"All {unseen:,} rows of ids that were never seen equal their initialisation." if not count[1] else
        f"{count[1]:,} of {unseen:,} rows of ids that were never seen moved (such as "
        f"{', '.join(str(r) for r in rows[kind == 1][:NAMED])}). {why_moved(found)}"
    )  # fmt: skip
    return f"{said} Of {count[2] + count[3]:,} seen ids {count[3]:,} moved."


def _scatter(name: str, rows, found: dict, notes, d: int, params) -> Scatter:
    told = _estimates(found, d, params.within)
    times = np.nan_to_num(found[TIMES], nan=0.0)
    shown = np.arange(len(rows))
    if len(rows) > SHOWN:  # what is amiss is always drawn
        odd = np.isin(found["kind"], (1, 2))
        order = np.lexsort((np.arange(len(rows)) * 2654435761 % 2**32, ~odd))
        shown = np.sort(order[:SHOWN])
        notes = [*notes, f"{SHOWN:,} of {len(rows):,} rows are drawn, those that are not as expected first."]
    known = not np.isin(found["kind"], 4).any()
    place = np.log10(1 + times) if known else rows.astype(float)
    return Scatter(
        title=f"Rows of {name} and how often their ids were seen",
        positions=np.stack([place, found[CHANGE]], axis=1)[shown], rows=rows[shown], of="ids",
        axes=("log10 of 1 + times seen" if known else "id", "change, in lengths of the row's initialisation"),
        columns={KIND: np.array(KINDS)[found["kind"]][shown], CHANGE: found[CHANGE][shown], TURN: found[TURN][shown],
                 TIMES: times[shown]} if known else {CHANGE: found[CHANGE][shown], TURN: found[TURN][shown]},
        colour=KIND if known else CHANGE, estimates=told, reading=_reading(found, rows),
        caveats=(*notes, "Unseen is what does not occur among these samples: they must be those of the training."),
    )  # fmt: skip


def _cost(shapes, params: UnseenIdsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    return Cost(0.05 + m.seconds(moved=8.0 * n * d * 12), 8.0 * n * d * 4.5 + 200.0 * n)


def _check() -> tuple[CheckLine, ...]:
    """Sixty of a hundred rows were seen and moved; decay of all rows moves the others by its factor, and keeps their
    directions; a row that was seen and is as it was is found."""
    rng = np.random.default_rng(0)
    before = rng.standard_normal((100, 8))
    count = np.where(np.arange(100) < 60, 1 + np.arange(100) % 7, 0)
    now = before + 0.1 * rng.standard_normal((100, 8)) * (count > 0)[:, None]

    def found(now):
        tap = ArrayActivations(now, "now", samples={"count": count})
        return unseen_ids(tap, ArrayActivations(before, "before"))

    plain, decayed, one = found(now), found(np.where(count[:, None] > 0, now, 0.97 * before)), now.copy()
    one[3] = before[3]
    return (
        CheckLine("unseen rows as they were", 1.0, plain.estimates[0].value, 0.0),
        CheckLine("by chance 40 of 100", 0.4, plain.estimates[0].null, 1e-12),
        CheckLine("seen rows moved", 1.0, plain.estimates[2].value, 0.0),
        CheckLine("decay by 0.97: change of unseen rows", 0.03, decayed.estimates[1].value, 1e-9),
        CheckLine("decay by 0.97: cosine", 1.0, float(decayed.columns[TURN][count == 0].min()), 1e-12),
        CheckLine("a seen row that did not move", 59 / 60, found(one).estimates[2].value, 1e-12),
    )


METHODS = (
    Method(
        id="unseen_ids", family="tokens", title="Rows of ids that training never saw", version=1, function=unseen_ids,
        summary="Whether embedding rows of ids that never occurred equal their initialisation, and seen ones moved.",
        params=UnseenIdsParams, result=Scatter, check=_check, cost=_cost, inputs=2, matches="nothing", checkpoints=True,
        roles=("the trained checkpoint, on the data of its training", "the initial checkpoint"), minimum_rows=FEWEST,
        invariance="one rotation and scale of both tables; the order of rows",
        papers=("FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
