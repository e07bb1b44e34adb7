"""Do groups of channels look at different things? Correlation of their maps, pair by pair.

    C_gh = mean over samples of the correlation of A_g and A_h over positions        A as in `channel_group_maps`

Near 1 the groups share one map and have it several times; near 0 they look at different places of the same sample.

Null: the map of group h in another sample, which keeps what place alone gives; for the mean over all pairs, random
groups of channels too. Cells differ from it where the difference within samples passes Benjamini-Hochberg at 5 % of
Student's t. Intervals: Student's t over samples.

When it lies: a bright object makes all maps alike; a correlation of maps says nothing of what the groups hold there;
maps with one peak correlate by where it is alone. With one position groups are correlated over samples instead, with
Fisher's intervals.

Cost: one pass, O(n P C) for each of the random groupings too, O(n g² P).

References: R. Saini et al. (2020), "ULSAM: ultra-lightweight subspace attention module for compact convolutional neural
networks"; B. Ko et al. (2022), "Group generalized mean pooling for vision transformer", for heads as groups; Y.
Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import upper
from analysis.compute.grids.channel_groups import FEWEST, GroupParams, channel_groups
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress

SHUFFLED, LEVEL = 5, 0.05


@dataclass(frozen=True)
class ChannelGroupAgreementParams(GroupParams):
    """Asks no more."""


def channel_group_agreement(
    activations, params: ChannelGroupAgreementParams = ChannelGroupAgreementParams(), rng=None, progress=no_progress
) -> Matrix:  # fmt: skip
    """Correlation of the maps of channel groups.

    Parameters
    ----------
    activations : Activations with all positions of every sample, of two channels or more

    Returns
    -------
    Matrix
        `values` (groups, groups), with null, intervals and significance. Estimates: mean over pairs, with random groups
        and with other samples as null.

    Raises
    ------
    InputError, NotEnoughData
        One group only; other numbers of tokens; no activation; fewer than eight finite samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found, *others = channel_groups(tap, params, rng, progress, (0.0, 1.0), SHUFFLED)
    g = len(found.names)
    if g < 2:
        raise InputError(f"one group of {tap.shape[1]} channel(s)", "two groups or more", "Raise 'groups'")
    n = len(found.maps)
    shifted = (np.arange(n) + rng.integers(1, n)) % n  # another sample for each
    own = found.correlations()
    far = found.correlations_elsewhere() if found.positions > 1 else found.correlations(shifted)
    values, null = own.mean(axis=0), far.mean(axis=0)
    null = (null + null.T) / 2
    low, high, significant = _tested(own - (far + far.transpose(0, 2, 1)) / 2, own, len(found.samples))
    chance = np.array([upper(o.correlations().mean(axis=0)).mean() for o in others])
    estimates = _estimates(own, far, chance, tap.shape[1], len(found.samples))
    pairs = upper(values)
    at = np.column_stack(np.triu_indices(g, 1))[int(pairs.argmin())]
    return Matrix(
        title=f"Agreement of the maps of {g} channel groups of {tap.name}",
        reading=(
            f"Maps of two groups correlate at {estimates[0].value:.2f} on average, those of random groups at "
            f"{chance.mean():.2f} and with another sample's map at {estimates[1].null:.2f}; channels "
            f"{found.names[at[0]]} and {found.names[at[1]]} agree least ({pairs.min():.2f})."
        ),
        caveats=(*found.notes, f"Of the maps: {params.maps}."), estimates=estimates, values=values,
        row_names=found.names, column_names=found.names, value_name="correlation of maps", limits=(-1.0, 1.0),
        diverging=True, null=null, low=low, high=high, significant=significant,
    )  # fmt: skip


def _tested(apart: np.ndarray, own: np.ndarray, samples: int):
    """Ends of the interval (g, g) and significance of the difference `apart` (n, g, g), which one line has not."""
    n, g = len(own), own.shape[1]
    if n < 2:
        return *_fisher(own[0], samples), None
    half = stdtrit(n - 1, 0.975) * own.std(axis=0, ddof=1) / np.sqrt(n)
    mean, error = apart.mean(axis=0), apart.std(axis=0, ddof=1) / np.sqrt(n)
    t = np.where(error > 1e-12, mean / np.where(error > 1e-12, error, 1.0), 0.0)
    p = 2 * stdtr(n - 1, -np.abs(t))
    cells = np.zeros((g, g), bool)
    cells[np.triu_indices(g, 1)] = benjamini_hochberg(upper(p)) < LEVEL
    middle = own.mean(axis=0)
    return np.maximum(middle - half, -1.0), np.minimum(middle + half, 1.0), cells | cells.T


def _fisher(r: np.ndarray, n: int):
    """95 % interval of correlations over n samples, by Fisher's z."""
    z, half = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), 1.959964 / np.sqrt(n - 3)
    return np.minimum(np.tanh(z - half), r), np.maximum(np.tanh(z + half), r)


def _estimates(own, far, chance, d: int, n: int) -> tuple[Estimate, ...]:
    pairs = np.array([upper(x).mean() for x in own])
    other = float(np.mean([upper((x + x.T) / 2).mean() for x in far]))
    ends = mean_interval(pairs, -1.0, 1.0)
    if len(own) < 2:
        low, high = _fisher(pairs, n)
        ends = {"low": float(low[0]), "high": float(high[0]), "interval": "Fisher's z over samples"}
    made = {"n": n, "d": d, "estimator": "correlation over positions, mean over pairs and samples"}
    return (
        Estimate("mean correlation of two groups", float(pairs.mean()), **ends, **null_spread(chance),
                 null_method="random groups of channels", **made),
        Estimate("the same, against other samples", float(pairs.mean()), **ends, null=other,
                 null_method="the second map of another sample", **made),
    )  # fmt: skip


def _cost(shapes, params: GroupParams) -> Cost:
    (n, c), m = shapes[0], machine()
    some, g = min(n, params.maximum_samples), min(params.groups, c)
    moved = 8.0 * n * c * 4 + (SHUFFLED + 1) * some * c * 150.0
    return Cost(
        m.seconds(moved=moved) + 0.02,
        8.0 * some * (8.0 * c + 4.0 * g * (SHUFFLED + 1)) + 16.0 * min(n, 4096) * c,
    )


def _check() -> tuple[CheckLine, ...]:
    """Two groups with the same map correlate at 1, one whose map is its mirror image at -1."""
    rng = np.random.default_rng(0)
    n, p = 30, 9
    a = np.sqrt(rng.random((n, p)))
    b = np.sqrt(1.0 - a**2)  # energy that is high where that of a is low
    x = np.stack([a, a, 2 * a, 2 * a, b, b], axis=2)
    tap = ArrayActivations(x.reshape(-1, 6), layout=Layout(np.arange(n + 1) * p, grid=(3, 3)))
    found = channel_group_agreement(tap, ChannelGroupAgreementParams(groups=3))
    return (
        CheckLine("the same map at another size", 1.0, float(found.values[0, 1]), 1e-12),
        CheckLine("the mirror image", -1.0, float(found.values[0, 2]), 1e-12),
        CheckLine("another sample's map", 0.0, float(found.null[0, 1]), 0.25),
        CheckLine("both pairs are found", 1.0, float(found.significant[0, 1:].all()), 0.0),
    )


METHODS = (
    Method(
        id="channel_group_agreement", family="attribution", title="Agreement of channel groups", version=1,
        function=channel_group_agreement,
        summary="Whether groups of channels look at different places: correlation of their maps.",
        params=ChannelGroupAgreementParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="scaling a sample; reordering channels inside a group",
        papers=("ULSAM: ultra-lightweight subspace attention", "Group Generalized Mean Pooling for Vision Transformer"),
    ),
)  # fmt: skip
