"""Do tokens tell where they are, and can that be taken out? Linear R² of the tokens' places, round after round of
removal.

    R²(round) = mean over row and column of R² of a linear probe on (I - B Bᵀ) x

with B either the span of Cov(x, position), which is all there is to remove linearly, or the weights of one regression
after the other (`compute.subspaces.position_removal`). Two R² each: on the same tokens by least squares (the
covariance leaves exactly 0; one regression does not), and of tokens of samples that had no part: B from half of the
samples, probes cross-validated in the other half. Beside them, how often a sample's nearest neighbours (means of its
tokens, the covariance removed) have its class: it should not drop.

Places are row and column on a grid, without the leading tokens; the token's number where there is no grid; of a pooled
tap the place of the sample in the recording, which should tell nothing.

Null: places exchanged within each sample (over all samples for a pooled tap) for probes, rank / (n - 1) on the same
tokens (exact for places exchanged freely), classes exchanged for neighbours. Intervals leave groups of samples out.

When it lies: position may be there nonlinearly; what a picture shows at a place (sky above) is position too, and is
taken out with it; with few samples the held-out R² after removal is what sampling error of B left.

Cost: O(rounds n d min(n, d)), memory O(n d).

References: S. Venkataramanan et al. (2025), "Franca: nested Matryoshka clustering for scalable visual representation
learning"; S. Ravfogel et al. (2020), "Null it out".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.attribute_axes import COVARIANCE, REGRESSION
from analysis.compute.subspaces.neighbour_votes import nearest, voted
from analysis.compute.subspaces.position_probes import FOLDS, read_by_round
from analysis.compute.subspaces.position_removal import (
    PlacedTokens,
    explained,
    placed_tokens,
    removed_by_round,
    without,
)
from analysis.compute.subspaces.probe_r2 import INTERVAL
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, MOST_NEIGHBOURS = 20, 20, 2000
HELD = {COVARIANCE: "R², covariance removed", REGRESSION: "R², regressions removed"}
SAME = {k: f"{v}, same tokens" for k, v in HELD.items()}
NEAR = "neighbours of one class, covariance removed"


@dataclass(frozen=True)
class PositionLeakageParams:
    column: str = param("", "Sample column with classes for the neighbours; empty takes 'label' where there is one.",
                        column=True)  # fmt: skip
    rounds: int = param(4, "Rounds of removal.", low=1, high=20)
    neighbours: int = param(5, "Nearest samples that vote for a class.", low=1, high=50)
    maximum_rows: int = param(20_000, "Most tokens, of whole random samples.", low=200, high=200_000)


def position_leakage(
    activations, params: PositionLeakageParams = PositionLeakageParams(), rng=None, progress=no_progress
) -> Curve:
    """R² of the tokens' places over rounds of removal.

    Parameters
    ----------
    activations : Activations with tokens (rows, units)

    Returns
    -------
    Curve
        Over rounds 0 …: R² for both ways of removing, of other samples and on the same tokens, and the neighbours'
        share; each with its null, and intervals but for the same tokens.

    Raises
    ------
    NotFound, NotEnoughData, InputError
        No such column; fewer than 20 samples; one place only, or no unit that varies.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.0, "reading tokens")
    data = placed_tokens(tap, rng, maximum_rows=params.maximum_rows, minimum=FEWEST)
    held = read_by_round(data, tap.layout.is_pooled, params.rounds, DRAWS, rng, progress, (0.05, 0.85))
    series, null = {}, {}
    for how, found in held.items():
        series[HELD[how]] = np.array([f.value.mean() for f in found])
        null[HELD[how]] = np.array([f.null.mean() for f in found])
    for how, name in SAME.items():
        bases = removed_by_round(data.x, data.position, params.rounds, how)
        both = np.array([explained(without(data.x, basis), data.position) for basis in bases])
        series[name], null[name] = both[:, 0], both[:, 1] / (len(data.x) - 1)
    low, high = ({HELD[how]: np.array([getattr(f, end).mean() for f in found]) for how, found in held.items()}
                 for end in ("low", "high"))  # fmt: skip
    progress(0.9, "looking at neighbours")
    near, notes = _neighbours(tap, data, params, rng)
    if near is not None:
        series[NEAR], null[NEAR], low[NEAR], high[NEAR] = near[:4]
    progress(1.0, "done")
    estimates = _estimates(data, held, series, null, near)
    return Curve(
        title=f"Position in the tokens of {tap.name}", reading=_reading(data, series, near),
        caveats=(*notes, *data.notes), estimates=estimates, x=np.arange(params.rounds + 1.0),
        x_name="rounds of removal",
        y_name="R²; share", series=series, low=low, high=high, null=null,
    )  # fmt: skip


def _neighbours(tap, data: PlacedTokens, params: PositionLeakageParams, rng):
    """Values, null, low and high by round, or None, and notes."""
    column = params.column or "label"
    if not params.column and column not in tap.samples:
        return None, ["There are no classes, so neighbours are not looked at."]
    factor = factor_of(column, sample_column(tap, column)[data.samples])
    if factor is None or factor.is_number:
        return None, [f"'{column}' has no two classes of five samples, so neighbours are not looked at."]
    use, notes = np.flatnonzero(factor.known), []
    if len(use) > MOST_NEIGHBOURS:
        notes.append(f"Neighbours among a random {MOST_NEIGHBOURS:,} of {len(use):,} samples.")
        use = np.sort(rng.choice(use, size=MOST_NEIGHBOURS, replace=False))
    counts = np.bincount(data.sample)
    means = np.add.reduceat(data.x, np.r_[0, np.cumsum(counts)[:-1]], axis=0) / counts[:, None]
    bases = removed_by_round(data.x, data.position, params.rounds, COVARIANCE)
    orders = [rng.permutation(len(use)) for _ in range(DRAWS)]
    values, null = [], []
    for basis in bases:
        near = nearest(without(means[use], basis), params.neighbours)
        right = [voted(near, factor.of[use][o]) for o in (np.arange(len(use)), *orders)]
        values.append(right[0])
        null.append(np.mean(right[1:]))
    ends = np.array([wilson(v * len(use), len(use)) for v in values])
    values = np.array(values)
    return (
        values,
        np.array(null),
        np.minimum(ends[:, 0], values),
        np.maximum(ends[:, 1], values),
        len(use),
    ), notes


def _estimates(data: PlacedTokens, held, series, null, near) -> tuple[Estimate, ...]:
    n, d, out = len(data.samples), data.x.shape[1], []
    places = f"places exchanged, {DRAWS} times"
    for how, r, said in ((COVARIANCE, 0, "before any removal"), (COVARIANCE, 1, "the covariance removed"),
                         (REGRESSION, 1, "one regression removed"),
                         (REGRESSION, -1, "all rounds of regressions removed")):  # fmt: skip
        f = held[how][r]
        out.append(Estimate(
            f"R² of {' and '.join(data.names)}, {said}", float(f.value.mean()), float(f.low.mean()),
            float(f.high.mean()),
            interval=INTERVAL, null=float(f.null.mean()), null_low=float(f.null_low.mean()),
            null_high=float(f.null_high.mean()), null_method=places, p_value=float(min(1.0, len(f.p) * f.p.min())),
            n=n, d=d,
            estimator="held-out ridge; what is removed is from other samples",
        ))  # fmt: skip
    for how in SAME:
        name = SAME[how]
        out.append(Estimate(
            f"{name}, round 1", float(series[name][1]), null=float(null[name][1]), n=n, d=d,
            null_method="rank / (n - 1), places exchanged freely", estimator="least squares on the tokens of the fit",
        ))  # fmt: skip
    if near is not None:
        values, chance, low, high, count = near
        for r, said in ((0, "before any removal"), (1, "the covariance removed")):
            out.append(Estimate(
                f"neighbours of one class, {said}", float(values[r]), float(low[r]), float(high[r]),
                interval="Wilson, samples as draws", null=float(chance[r]),
                null_method=f"classes exchanged, {DRAWS} times",
                n=count, d=d, estimator="vote of the nearest means over tokens",
            ))  # fmt: skip
    return tuple(out)


def _reading(data: PlacedTokens, series, near) -> str:
    by, same = series[HELD[COVARIANCE]], series[SAME[COVARIANCE]]
    text = (
        f"Tokens tell {' and '.join(data.names)} with a held-out R² of {by[0]:.2f}; with the span of their "
        f"covariance removed {by[1]:.2f} (on the tokens of the fit {same[1]:.1e}), with one regression removed "
        f"{series[HELD[REGRESSION]][1]:.2f}, with {len(by) - 1} {series[HELD[REGRESSION]][-1]:.2f}."
    )
    if near is not None:
        text += f" Nearest samples name the class of {near[0][0]:.0%} before and {near[0][1]:.0%} after."
    return text


def _cost(shapes, params: PositionLeakageParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    small, fits = min(n / 2, d), 2 * (params.rounds + 3) * (FOLDS + 2)
    flops = fits * (4.0 * n / 2 * d * small + 10.0 * small**3 + 2.0 * n * d * DRAWS)
    near = min(n, MOST_NEIGHBOURS)
    held = 8.0 * (n * d * 5.0 + n * DRAWS * 2 * 6 * (params.rounds + 2) / 2 + 4.0 * small**2 + 3.0 * near**2)
    return Cost(m.seconds(flops64=flops, moved=8.0 * near**2 * DRAWS) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Places written along axes that the tokens' noise shares: the covariance removed leaves 0 on the same tokens, one
    regression does not, several do. Places exchanged: nothing to tell. The class stays."""
    rng = np.random.default_rng(8)
    samples, h, w, d = 60, 4, 4, 12
    label = np.arange(samples) % 3
    row, column = np.divmod(np.tile(np.arange(h * w), samples), w)
    noise = (
        rng.standard_normal((samples * h * w, d))
        @ np.diag(np.linspace(0.3, 2.0, d))
        @ rng.standard_normal((d, d))
    )
    # each place along a direction that noise is strong in too, so that regression weights point elsewhere
    x = noise + np.outer(row, rng.standard_normal(d)) * 4 + np.outer(column, rng.standard_normal(d)) * 4
    x += 12 * np.repeat(np.eye(d)[label], h * w, axis=0)
    layout = Layout(np.arange(samples + 1) * h * w, grid=(h, w))

    def found(values) -> Curve:
        return position_leakage(ArrayActivations(values, samples={"label": label}, layout=layout))

    order = np.concatenate([i * h * w + rng.permutation(h * w) for i in range(samples)])
    planted, shuffled = found(x), found(x[order])
    return (
        CheckLine("places told", 0.8, float(planted.series[HELD[COVARIANCE]][0]), 0.0, "at least"),
        CheckLine("covariance removed, same tokens", 0.0, float(planted.series[SAME[COVARIANCE]][1]), 1e-12),
        CheckLine("covariance removed, other samples", 0.0, float(planted.series[HELD[COVARIANCE]][1]), 0.05),
        CheckLine("one regression removed, same tokens", 0.1, float(planted.series[SAME[REGRESSION]][1]), 0.0,
            "at least"),
        CheckLine("places exchanged", 0.0, float(shuffled.series[HELD[COVARIANCE]][0]), 0.02),
        CheckLine("places exchanged, same tokens", d / (len(x) - 1), float(shuffled.series[SAME[COVARIANCE]][0]),
            0.015),
        CheckLine("the class after removal", 1.0, float(planted.series[NEAR][1]), 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="position_leakage", family="concepts", title="Position in tokens", version=2, function=position_leakage,
        summary="How well tokens tell where they are, and what is left of it after taking it out, round by round.",
        params=PositionLeakageParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing; rescaling single units does",
        papers=("Franca: nested Matryoshka clustering, positional disentangling",),
    ),
)  # fmt: skip
