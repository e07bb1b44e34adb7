"""Which channels does each class use? Share of a class's samples in which a channel is among the fewest that hold most
of the activation mass.

A channel is *on* in a sample where it is one of the k(x) of `channel_mass`. Channels are those whose use differs most
between classes, drawn side by side with the share over all samples.

Null: the share over all samples, which is what exchanged labels give on average; cells that differ from it pass
Benjamini-Hochberg at 5 % of a two-sided exact test of exchanged labels (hypergeometric). Intervals: Wilson's over the
samples of the class.

When it lies: as `channel_mass`: mass is not use. Channels that are on in every sample, or in none, tell no classes
apart, whatever they hold; k differs between classes, so that one with more mass in few channels uses fewer of all.

Cost: one pass and O(n C ln C); memory O(n C).

References: S. Elkerdawy et al. (2022), "Fire together wire together: a dynamic pruning approach with self-supervised
mask prediction"; Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.groups.channel_mass import channels_on, masses_of
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import ClassCodes, class_codes
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import bootstrap_mean, wilson
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SMALLEST, LEVEL, EXCHANGES = 5, 0.05, 20


@dataclass(frozen=True)
class ChannelUseParams:
    column: str = param("label", "Sample column with classes.", column=True)
    share: float = param(0.9, "Share of a sample's activation mass that is to be held.", low=0.01, high=1.0)
    channels: int = param(40, "Most channels drawn, those whose use differs most.", low=2, high=2000)
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=20, high=100_000)


def channel_use(
    activations, params: ChannelUseParams = ChannelUseParams(), rng=None, progress=no_progress
) -> Matrix:
    """Channels by classes.

    Parameters
    ----------
    activations : Activations with the class column

    Returns
    -------
    Matrix
        `values` (channels, classes) share of samples in which the channel is on; `null` its share over all samples;
        `low`, `high`, `significant`. Estimates: how far use differs between classes, and the share of such channels.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes of five samples; no activation at all; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    column = sample_column(tap, params.column)
    found = masses_of(tap, params.maximum_samples, rng, progress, (0.0, 0.6))
    codes = class_codes(column[found.samples], params.column, SMALLEST)
    on = channels_on(found.values[codes.stay], params.share)
    progress(0.7, "counting")
    hits = codes.one_hot().T @ on  # (classes, C)
    values, whole = hits / codes.counts[:, None], on.mean(axis=0)
    p = _two_sided(hits, on.sum(axis=0), codes, len(on))
    spread = np.sqrt((codes.counts[:, None] * (values - whole) ** 2).sum(axis=0) / len(on))
    shown = np.sort(np.argsort(-spread, kind="stable")[: params.channels])
    cells = benjamini_hochberg(p.ravel()).reshape(p.shape) < LEVEL
    progress(0.8, "exchanging labels")
    estimates = _estimates(on, codes, spread, cells, rng)
    ends = np.array(
        [[wilson(h, n) for h in row] for row, n in zip(hits[:, shown], codes.counts, strict=True)]
    )
    progress(1.0, "done")
    return Matrix(
        title=f"Channels of {tap.name} that each class uses", reading=_reading(estimates, codes, cells, on, tap),
        caveats=(*found.notes, *codes.notes, *_caveats(on, shown)), estimates=estimates,
        values=values[:, shown].T, row_names=tuple(str(tap.unit_names[j]) for j in shown), column_names=codes.names,
        value_name="share of samples in which it is on", limits=(0.0, 1.0),
        null=np.repeat(whole[shown, None], len(codes.names), axis=1),
        low=np.minimum(ends[..., 0], values[:, shown]).T, high=np.maximum(ends[..., 1], values[:, shown]).T,
        significant=cells[:, shown].T,
    )  # fmt: skip


def _two_sided(hits, total, codes: ClassCodes, n: int) -> np.ndarray:
    """(classes, C) p of so many samples of a class, when `total` (C,) of n are on, whichever they are."""
    from scipy.stats import hypergeom

    size = codes.counts[:, None]
    low, high = hypergeom.cdf(hits, n, total, size), hypergeom.sf(hits - 1, n, total, size)
    return np.minimum(2 * np.minimum(low, high), 1.0)


def _estimates(on, codes: ClassCodes, spread, cells, rng) -> tuple[Estimate, ...]:
    n, c = on.shape
    null = []
    for _ in range(EXCHANGES):
        moved = codes.one_hot()[rng.permutation(n)]
        share = (moved.T @ on) / codes.counts[:, None]
        null.append(np.sqrt((codes.counts[:, None] * (share - on.mean(axis=0)) ** 2).sum(axis=0) / n).mean())
    value, (low, high) = float(spread.mean()), bootstrap_mean(spread, rng, draws=300)
    told = cells.any(axis=0)
    share, (below, above) = float(told.mean()), wilson(told.sum(), c)
    return (
        Estimate("difference of use between classes", value, min(float(low), value), max(float(high), value),
                 interval="bootstrap over channels", null=float(np.mean(null)), null_low=float(min(null)),
                 null_high=float(max(null)), null_method=f"{EXCHANGES} exchanges of the labels", n=n, d=c,
                 estimator="root mean square over classes of (share - share of all), mean over channels"),
        Estimate("channels whose use depends on the class", share, min(below, share), max(above, share),
                 interval="Wilson over channels", null=0.0, null_method="exchanged labels, after Benjamini-Hochberg",
                 n=n, d=c, estimator="share of channels with a cell that passes"),
    )  # fmt: skip


def _reading(estimates, codes: ClassCodes, cells, on, tap) -> str:
    told, c = int(cells.any(axis=0).sum()), on.shape[1]
    first = f"{told} of {c:,} channels of {tap.name} are used more by some classes than by others"
    if not told:
        return f"No channel of {tap.name} is used more by some classes than by others, as far as can be told."
    most = int(cells.sum(axis=1).argmax())
    return (
        f"{first}; class {codes.names[most]} differs in most of them. The use of a channel differs by "
        f"{estimates[0].value:.1%} between classes on average, {estimates[0].null:.1%} with exchanged labels."
    )


def _caveats(on, shown) -> list[str]:
    always, never = int(on.all(axis=0).sum()), int((~on.any(axis=0)).sum())
    said = [f"{always} channel(s) are on in every sample and {never} in none."]
    if len(shown) < on.shape[1]:
        said.append(f"The {len(shown)} of {on.shape[1]:,} channels whose use differs most are drawn.")
    return said


def _cost(shapes, params: ChannelUseParams) -> Cost:
    (n, c), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * c + 500.0 * some * c, flops64=2.0 * EXCHANGES * some * c * 10)
    return Cost(seconds + 0.05, 8.0 * some * c * 4.5 + 16.0 * min(n, 4096) * c)


def _check() -> tuple[CheckLine, ...]:
    """Each class has a channel of its own, one channel is on in all samples."""
    of = np.arange(90) % 3
    x = np.hstack([np.eye(3)[of] * 4.0, np.full((90, 1), 4.0), np.full((90, 2), 1e-3)])
    found = channel_use(ArrayActivations(x, "planted", {"label": of}))
    rows = {name: row for name, row in zip(found.row_names, found.values, strict=True)}
    return (
        CheckLine(
            "a class uses its own channel", 1.0, float(np.min([rows[str(j)][j] for j in range(3)])), 0.0
        ),
        CheckLine("no other class does", 0.0, float(np.max([rows[str(j)][j - 1] for j in range(3)])), 0.0),
        CheckLine("the channel of all", 1.0, float(rows["3"].min()), 0.0),
        CheckLine("channels that depend on the class", 0.5, found.estimates[1].value, 1e-12),
    )


METHODS = (
    Method(
        id="channel_use", family="units", title="Channels that each class uses", version=1, function=channel_use,
        summary="Share of each class's samples in which a channel is among the few that hold most of the mass.",
        params=ChannelUseParams, result=Matrix, check=_check, cost=_cost, minimum_rows=20,
        invariance="scaling all activations of a sample, turning signs, reordering channels or positions",
        papers=("Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask Prediction",),
    ),
)  # fmt: skip
