"""Where does the network hold what makes the difference? Cells of one run are put into another, one at a time.

Each clean sample stands beside a corrupted one, token by token. To restore, what the clean run has at a cell is put
into the corrupted run; to break, the other way. A cell is the residual stream after a layer at one token (or a few
neighbouring ones), a head, or attention or the MLP of a layer.

    effect = y(patched) - y(base),   share = mean effect / mean (y(source) - y(base))

over pairs: 1 where the cell alone brings the whole difference, 0 where it brings nothing. The share is told only where
the mean difference between the runs is more than two standard errors from 0, else the effect is.

Null: the same cell from the source run of another pair. Interval: of shares percentile bootstrap over pairs, of effects
Student's t. A cell counts as significant where effect and null differ over pairs (paired t, false discoveries held to
5 %).

Verdict: the strongest cell is split into what is connected to the answer and what is not, and checked for dormancy and
for values off the natural range, at the cell and behind it (`analysis.interventions.move_verdict`).

When it lies: a cell that restores need not be used by the network as it is (a patch can wake a path that is asleep);
parts that stand in for each other hide each other when one is broken; a corruption that is far from natural inputs
finds what breaks, not what decides; shares of different cells do not add up.

Cost: (2 x cells + 12) x pairs rows through the network, many cells in one forward pass, and one backward pass a pair.

Reference: F. Zhang & N. Nanda (2024), "Towards best practices of activation patching in language models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench
from analysis.interventions.bench_verdict import Verdict, verdict_bytes, verdict_on_pairs
from analysis.interventions.pairs import ANOTHER, CORRUPTIONS, NOISE, SAME, pairs_of
from analysis.interventions.sweep_numbers import (
    cells,
    mean_of,
    significant,
    strongest,
    strongest_by_chance,
    told,
)
from analysis.interventions.sweeps import AT_TOKENS, COLUMNS, Grid, Swept, cell_of, grid_of, sweep
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RESTORE, BREAK = "restore the corrupted run", "break the clean run"
SHARE, EFFECT = "share of the difference", "effect"
LAYERS_OF = 6  # of a small network, for the estimate


@dataclass(frozen=True)
class PatchingParams(BenchParams):
    corruption: str = param(ANOTHER, "What stands beside each clean sample.", choices=CORRUPTIONS)
    direction: str = param(RESTORE, "Which run is patched.", choices=(RESTORE, BREAK))
    columns: str = param(AT_TOKENS, "What is swept over in each layer.", label="swept over", choices=COLUMNS)
    shown: str = param(SHARE, "What a cell shows.", choices=(SHARE, EFFECT))
    most_columns: int = param(
        32, "Most columns of tokens; neighbours are patched together above.", low=1, high=512
    )
    noise: float = param(3.0, "Standard deviations of noise, where noise corrupts.", low=0.01, high=100.0)


def activation_patching(
    activations, params: PatchingParams = PatchingParams(), rng=None, progress=no_progress
) -> Matrix:
    """What each cell brings from one run into the other.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe it is the one site, and its rows are the tokens.

    Returns
    -------
    Matrix
        Layers by tokens, heads or parts. Estimates: the difference between the runs, the strongest cell as effect and,
        where it can be told, as share.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight pairs; no such parts or output.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    pairs = pairs_of(bench, params.corruption, params.noise, rng)
    grid = grid_of(bench, pairs, params.columns, params.most_columns)
    progress(0.1, "patching")
    restore = params.direction == RESTORE
    found = sweep(grid, pairs, restore, rng, progress, (0.1, 0.85))
    n = np.isfinite(found.effect).sum(axis=2)
    verdict = _verdict(bench, pairs, params.corruption, grid, strongest(found, n), restore, rng, progress)
    shares = told(found) and params.shown == SHARE
    values, low, high, null = cells(found, n, shares, rng)
    progress(1.0, "done")
    return Matrix(
        title=f"What each cell of {bench.what} brings when it is patched",
        reading=f"{_reading(grid, found, n, values, shares, params)} {verdict.sentence}",
        caveats=(*bench.notes, *_caveats(params, bench, pairs, found, n, shares), *verdict.caveats),
        estimates=(*_estimates(grid, found, n, rng, bench), *verdict.estimates), values=values,
        row_names=grid.rows, column_names=grid.columns, diverging=True,
        value_name=SHARE if shares else f"change of the {params.number}", null=null, low=low, high=high,
        significant=significant(found, n), few=n < FEWEST if (n < FEWEST).any() else None,
        few_means=f"fewer than {FEWEST} pairs have such tokens",
    )  # fmt: skip


def _verdict(bench: Bench, pairs, corruption: str, grid: Grid, at, restore: bool, rng, progress) -> Verdict:
    name = f"patching {grid.rows[at[0]]}, {grid.columns[at[1]]}"
    done = [cell_of(grid, own, restore, *at) for own in pairs]
    whole = grid.whole(*at) and (restore or corruption in (ANOTHER, SAME))
    return verdict_on_pairs(bench, pairs, restore, name, done, whole, rng, progress, (0.85, 1.0))


def _estimates(grid: Grid, found: Swept, n, rng, bench: Bench) -> tuple[Estimate, ...]:
    at, gap, d = strongest(found, n), found.gap, bench.made.source.shape[1]
    known = np.isfinite(found.effect[at])
    effect, chance, own = found.effect[at][known], found.chance[at][known], gap[known]
    name = f"{grid.rows[at[0]]}, {grid.columns[at[1]]}"
    estimates = [
        Estimate("difference between the runs", float(gap.mean()), **mean_interval(gap), null=0.0,
                 null_method="the same run twice", n=len(gap), d=d, estimator="mean y(source) - y(base)"),
        Estimate(f"effect of {name}", float(effect.mean()), **mean_interval(effect),
                 null=strongest_by_chance(found, n), null_method="the strongest of all cells from another pair",
                 n=len(effect), d=d, estimator="mean y(patched) - y(base), the strongest of all cells"),
    ]  # fmt: skip
    if told(found):
        sign = np.sign(gap.mean())
        ends = ratio_interval(sign * effect, sign * own, rng)
        estimates.append(
            Estimate(f"share of {name}", float(effect.sum() / own.sum()), *ends, interval="bootstrap over pairs",
                     null=float(chance.sum() / own.sum()), null_method="the same cell from another pair",
                     n=len(effect), d=d, estimator="mean effect / mean difference"))  # fmt: skip
    return tuple(estimates)


def _reading(grid: Grid, found: Swept, n, values, shares: bool, params) -> str:
    i, j = strongest(found, n)
    effect, gap = float(mean_of(found.effect, n)[i, j]), float(found.gap.mean())
    share = f", {values[i, j]:.0%} of the runs' difference ({gap:+.3g})" if shares else ""
    sure = int(significant(found, n).sum())
    return (
        f"Patching {grid.rows[i]}, {grid.columns[j]} moves the {params.number} most, by {effect:+.3g} on "
        f"average{share}; {sure:,} of {values.size:,} cells do otherwise than the same cell of another pair."
    )


def _caveats(params, bench: Bench, pairs, found: Swept, n, shares: bool) -> list[str]:
    beside = (
        f"noise of {params.noise:g} standard deviations" if params.corruption == NOISE else params.corruption
    )
    ends = (f"{v.mean():.3g} ± {v.std(ddof=1) / np.sqrt(len(v)):.2g}" for v in (found.base, found.source))
    said = [
        f"{len(found.base):,} pairs: beside each sample stands {beside}, token by token. The {params.number} is "
        f"{next(ends)} in the run that is patched and {next(ends)} in the one it is taken from (standard errors).",
    ]
    if params.shown == SHARE and not shares:
        said.append(
            f"The difference between the runs ({found.gap.mean():.3g} on average) cannot be told from 0, so that "
            "effects are shown and no shares of it."
        )
    if params.corruption == SAME:
        said.append("Of samples with the same answer little is to be restored.")
    if bench.parts is None and params.columns != AT_TOKENS:
        said.append(f"A probe has no {params.columns}: it reads one site, whose tokens are swept over.")
    if (n < n.max()).any():
        said.append("Later tokens are those of the longer samples alone.")
    rows = sum({id(r): r.passes for p in pairs for r in (p.clean, p.corrupted)}.values())
    said.append(
        f"{rows:,} rows went through {bench.what}. A cell that restores need not be one that is used."
    )
    return said


def _cost(shapes, params: PatchingParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    rows = samples * (2.0 * LAYERS_OF * params.most_columns + 12)
    held = 9.0 * n * k + 36.0 * samples * k
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of samples of one token: the token brings the whole difference, whichever way."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    both = [activation_patching(tap, PatchingParams(direction=way, reader=PROBE)) for way in (RESTORE, BREAK)]
    return (
        CheckLine("share, restored", 1.0, float(both[0].values[0, 0]), 1e-9),
        CheckLine("share, broken", 1.0, float(both[1].values[0, 0]), 1e-9),
        CheckLine("what one loses the other wins", 0.0,
                  sum(r.estimates[0].value for r in both), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="activation_patching",
        family="attribution",
        title="Patching one run into another",
        summary="Layer by token, head or part: what one cell of a clean run brings into a corrupted one.",
        version=2,
        function=activation_patching,
        params=PatchingParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
