"""What do rules leave no token of? Holes in the picture, cells without a survivor nearby, and boxes of one's own.

    hole       side of the largest square of cells without a survivor (of a text: the longest run)
    bare       share of cells with no survivor among those at most one row and one column away
    recall     share of the tokens inside a box, given by its rows and columns, that are left

Every rule runs on one dump of the network with its own spread over the layers. Of N cells, k of them kept at random, a
cell with m cells around it is bare with probability C(N - m, k) / C(N, k) and any box has recall k / N, exactly; the
hole of random keep is drawn once for each sample, with as many kept.

Interval: Student's t over samples, Wilson's where all have nothing or everything; of a box over samples with a token
in it. A grid with stride 3 leaves no cell bare and holes of side 2.

When it lies: a hole is harmless where nothing is to be seen (a digit's ground), and a rule that goes by content has
holes there by design: the box tells of the place that matters. One box stands for all samples, wherever their objects
are. Of merging rules a token inside another counts as left only if asked for; then what merges alone has no holes.

Cost: one pass of the network for each sample, and one run of each rule on the dump.

Reference: M. Endo, X. Wang & S. Yeung-Levy (2025), "Feather the throttle: revisiting visual token pruning for
vision-language model acceleration".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.chance import as_many_at_random
from analysis.tokens.coverage import bare, boxes_of, cells_of, chance_bare, hole
from analysis.tokens.judged_rules import judged
from analysis.tokens.over_samples import ALL, RULES_HELP, Ran, cost_of, count_of
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.survivors import STANDING, survivors_of

INSIDE = "those, and tokens merged into another"
HOLE, BARE, RECALL = "hole", "bare", "recall"
HELP = {
    "rule": "What drops or merges tokens.",
    "largest hole": "Side of the largest square of cells without a survivor, mean over samples; of a text a run.",
    "hole, random": "The same with as many tokens kept at random.",
    "bare cells": "Share of cells with no survivor among those at most one row and one column away.",
    "bare, random": "The same with as many tokens kept at random, exact.",
    "recall in the box": "Share of the tokens inside the box that are left.",
    "recall, random": "Of as many tokens kept at random: the share that is left of all.",
}


@dataclass(frozen=True)
class CoverageHolesParams:
    share: float = param(0.25, "Share of the free tokens that each rule leaves.", low=0.02, high=0.98)
    box: str = param("", "Rows and columns of patches, counted from 1, as 2-4, 3-5; several with ; between.")
    rules: str = param(ALL, RULES_HELP)
    counted: str = param(STANDING, "What counts as left.", choices=(STANDING, INSIDE))
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def coverage_holes(
    activations, params: CoverageHolesParams = CoverageHolesParams(), rng=None, progress=no_progress
) -> Table:
    """Where rules leave nothing.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Table
        A line for each rule. Estimates: bare cells of each, the recall of the box, and the largest hole.

    Raises
    ------
    ParameterError
        A box that is none, or that is not on the picture.
    NotFound, InputError, NotEnoughData
        An unknown rule; none that these tokens allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    grid = None

    def of_batch(ran, drawn):
        nonlocal grid
        grid = ran.dump.layout.grid
        return _of_batch(ran, params, drawn)

    made = judged(tap, params, [params.share], of_batch, rng, progress, controls=True)
    found = {one.title: made.values[one.id, params.share] for one in made.rules}
    notes = (*made.notes, *_caveats(made.who, params, made.rules, grid))
    return _table(found, params, notes, tap.shape[1])


def _of_batch(ran: Ran, params: CoverageHolesParams, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """(2, B) of each measure: what is found, and by chance."""
    layout, state = ran.dump.layout, ran.run.states[-1]
    cells = cells_of(layout)
    kept = survivors_of(state, layout.free)
    if params.counted == INSIDE:
        kept = (state.owner >= 0) & layout.free
    placed = layout.free & (cells.place >= 0)
    left, counts = cells.of(kept), (kept & placed).sum(axis=1)
    drawn = cells.of(as_many_at_random(placed, counts, rng))
    out = {
        HOLE: np.stack([hole(cells.there, left), hole(cells.there, drawn)]).astype(float),
        BARE: np.stack([bare(cells.there, left), chance_bare(cells.there, counts)]),
    }
    box = boxes_of(params.box, *cells.there.shape[2:])
    if box is not None:
        total = (cells.there & box).sum(axis=(1, 2, 3))
        found = (left & box).sum(axis=(1, 2, 3)) / np.maximum(total, 1)
        chance = counts / np.maximum(placed.sum(axis=1), 1)
        out[RECALL] = np.where(total > 0, np.stack([found, chance]), np.nan)  # nothing to be recalled
    return out


def _table(found, params: CoverageHolesParams, notes, d: int) -> Table:
    def column(measure: str, k: int) -> np.ndarray:
        return np.array([_known(x[measure])[k].mean() for x in found.values()])

    has_box = all(RECALL in x for x in found.values())
    columns = {
        "rule": np.array(list(found)), "largest hole": column(HOLE, 0), "hole, random": column(HOLE, 1),
        "bare cells": column(BARE, 0), "bare, random": column(BARE, 1),
    }  # fmt: skip
    if has_box:
        columns |= {"recall in the box": column(RECALL, 0), "recall, random": column(RECALL, 1)}
    told = [
        _estimate(f"bare cells, {name}", x[BARE], d, "exact, as many at random") for name, x in found.items()
    ]
    if has_box:
        told += [_estimate(f"recall in the box, {name}", x[RECALL], d, "exact, as many at random")
                 for name, x in found.items()]  # fmt: skip
    told += [_of_hole(f"largest hole, {name}", x[HOLE], d) for name, x in found.items()]
    return Table(
        title=f"What is left uncovered: {params.share:.0%} of the tokens left", columns=columns, index="rule",
        sort="bare cells", help={k: v for k, v in HELP.items() if k in columns}, estimates=tuple(told),
        reading=_reading(found), caveats=notes,
    )  # fmt: skip


def _known(values: np.ndarray) -> np.ndarray:
    """(2, m) those of the samples that have a token in the box. Raises NotEnoughData where none has."""
    if not np.isfinite(values[0]).any():
        raise NotEnoughData("a box in which no sample has a token", "one with tokens")
    return values[:, np.isfinite(values[0])]


def _estimate(name: str, values: np.ndarray, d: int, null: str) -> Estimate:
    values = _known(values)
    alike = np.ptp(values[0]) == 0 and values[0, 0] in (0, 1)  # no spread to go by
    ends = share_interval(values[0]) if alike else mean_interval(values[0], 0.0, 1.0)
    return Estimate(name, float(values[0].mean()), **ends, null=float(values[1].mean()),
                    null_method=null, n=values.shape[1], d=d, estimator="mean over samples")  # fmt: skip


def _of_hole(name: str, values: np.ndarray, d: int) -> Estimate:
    """Sides are counts without an upper end; where they are all alike there is no spread to go by."""
    ends = mean_interval(values[0], 0.0) if np.ptp(values[0]) else {"interval": "none: alike in all samples"}
    return Estimate(name, float(values[0].mean()), **ends, null=float(values[1].mean()), unit="cells",
                    null_method="as many tokens kept at random, drawn once a sample", n=values.shape[1], d=d,
                    estimator="side of the largest square without a survivor, mean over samples")  # fmt: skip


def _reading(found) -> str:
    more = {name: float((x[BARE][0] - x[BARE][1]).mean()) for name, x in found.items()}
    worst, best = max(more, key=more.get), min(more, key=more.get)
    x, y = found[worst], found[best]
    return (
        f"Most is bare behind {worst}: {x[BARE][0].mean():.0%} of the cells have no survivor around them (by chance "
        f"{x[BARE][1].mean():.0%}) and the largest hole is {x[HOLE][0].mean():.1f} wide ({x[HOLE][1].mean():.1f}). "
        f"Least is bare behind {best}, {y[BARE][0].mean():.0%}."
    )


def _caveats(who, params: CoverageHolesParams, chosen, grid) -> list[str]:
    said = [f"{who.n:,} samples of {who.what}; rules run on what was recorded of them."]
    if grid is None:
        said.append("There is no grid: tokens stand in one row, and a hole is a run of them.")
    if any(one.merges for one in chosen) and params.counted == STANDING:
        said.append("A token that was merged into another does not cover its place; one can count it.")
    if params.box:
        said.append("One box stands for all samples.")
    return said


def _cost(shapes, params: CoverageHolesParams) -> Cost:
    return cost_of(shapes[0], params.maximum_samples, count_of(params.rules))


def _check() -> tuple[CheckLine, ...]:
    """The first 8 of 16 tokens of four by four: the lower half is a hole of side 2, and its last row is bare."""
    rng = np.random.default_rng(0)
    layout = Layout(np.arange(0, 321, 16), grid=(4, 4))
    tap = ArrayActivations(rng.standard_normal((320, 4)), name="planted", layout=layout)
    ask = CoverageHolesParams(rules="first,random", share=0.5, box="rows 1-2, columns 2; 3, 1-2")
    found = coverage_holes(tap, ask)
    at = list(found.columns["rule"]).index("First tokens")
    line = {name: values[at] for name, values in found.columns.items()}
    exact = sum(cells * comb(16 - m, 8) for cells, m in ((4, 4), (8, 6), (4, 9))) / comb(16, 8) / 16
    return (
        CheckLine("side of the hole", 2.0, float(line["largest hole"]), 0.0),
        CheckLine("bare cells: the last of four rows", 0.25, float(line["bare cells"]), 1e-12),
        CheckLine("two of four tokens of two boxes", 0.5, float(line["recall in the box"]), 1e-12),
        CheckLine("random keep: corners alone are bare at times", exact, float(line["bare, random"]), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="coverage_holes",
        family="tokens",
        network="blocks",
        title="Holes and boxes",
        summary="What rules leave no token of: the largest hole, bare cells, recall in boxes, beside random keep.",
        version=4,
        function=coverage_holes,
        params=CoverageHolesParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=32,
        invariance="the order of samples",
        papers=(
            "Feather the Throttle: Revisiting Visual Token Pruning for Vision-Language Model Acceleration",
        ),
        libraries=("torch", "transformers"),
    ),
)
