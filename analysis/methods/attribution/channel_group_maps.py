"""Where does each group of channels look? A small map over the positions for every run of channels.

    A_g(p), Σ_p A_g = 1     the share of the group's energy (or absolute values, or softmax of its mean) at position p

As in subspace attention, where every group of channels has an attention map of its own; where a tap holds such maps
already, a channel for each, take as many groups as channels and absolute values. Drawn are the maps of one sample or
their mean over samples. The *entropy* of a map is told of ln P: 1 where it is uniform, 0 where it is at one position.

Null: random groups of channels of the same sizes. Interval: Student's t over samples.

When it lies: channels of a trained network need not belong together because they stand side by side; energy is not what
later layers use; a group whose channels have opposite signs has energy where their mean is 0; the mean of maps over
samples shows what place alone gives.

Cost: one pass, O(n P C) for each of the random groupings too.

References: R. Saini, N. Jha, B. Das, S. Mittal & C. Mohan (2020), "ULSAM: ultra-lightweight subspace attention module
for compact convolutional neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.grids.channel_groups import (
    ABSOLUTE,
    FEWEST,
    GroupParams,
    attended,
    channel_groups,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SHUFFLED = 5


@dataclass(frozen=True)
class ChannelGroupMapsParams(GroupParams):
    sample: int = param(-1, "Number of the sample whose maps are drawn; -1: their mean over samples.", low=-1)


def channel_group_maps(
    activations, params: ChannelGroupMapsParams = ChannelGroupMapsParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of channel groups.

    Parameters
    ----------
    activations : Activations with all positions of every sample

    Returns
    -------
    TokenMap
        A map for each group, named after its channels. Estimates: entropy of each group's maps, and of all.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample among the finite ones; other numbers of tokens; no activation; fewer than eight samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found, *others = channel_groups(tap, params, rng, progress, (0.0, 1.0), SHUFFLED)
    values, what = found.maps.mean(axis=0), f"the mean of {len(found.maps):,} samples"
    if params.sample >= 0:
        at = np.flatnonzero(found.samples == params.sample)
        if not len(at):
            raise NotFound(f"sample {params.sample} of {tap.name}", "a finite sample that was read",
                           "Raise 'maximum samples' or choose another")  # fmt: skip
        values, what = found.maps[at[0]], f"sample {np.asarray(tap.samples['id'])[params.sample]}"
    entropy, chance = found.entropy(), np.array([o.entropy().mean(axis=0) for o in others])
    estimates = _estimates(entropy, chance, found, tap.shape[1])
    low, high = int(entropy.mean(axis=0).argmin()), int(entropy.mean(axis=0).argmax())
    return TokenMap(
        title=f"Where {len(found.names)} groups of channels of {tap.name} look, {what}",
        reading=(
            f"Maps have {entropy.mean():.0%} of the largest entropy on average ({chance.mean():.0%} in random groups); "
            f"channels {found.names[low]} look most to few places ({entropy[:, low].mean():.0%}), "
            f"{found.names[high]} least ({entropy[:, high].mean():.0%})."
        ),
        caveats=(*found.notes, f"Of the maps: {params.maps}.",
                 "Groups are runs of channels; whether these belong together is for random groups to show."),
        estimates=estimates, samples=np.arange(len(values)), values=values, value_name="share of the group's map",
        grid=found.grid if tap.layout.grid is not None else None, names=found.names,
    )  # fmt: skip


def _estimates(entropy, chance, found, d: int) -> tuple[Estimate, ...]:
    each = [("all groups", entropy.mean(axis=1), chance.mean(axis=1))]
    each += [(f"channels {name}", entropy[:, k], chance.ravel()) for k, name in enumerate(found.names[:12])]
    return tuple(
        Estimate(f"entropy of {name}", float(own.mean()), **mean_interval(own, 0.0, 1.0), **null_spread(null),
                 null_method="random groups of channels", n=len(own), d=d, estimator="entropy of the map / ln P")
        for name, own, null in each
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
    """A uniform map gives (1 + 1 / P) F and entropy 1; a group that is on at one position has entropy 0; one group is a
    single shared map; attention maps come out as they went in."""
    rng = np.random.default_rng(0)
    n, p = 20, 16
    x = np.zeros((n, p, 8))
    x[:, :, :4] = 2.0
    x[:, 5, 4:] = rng.random((n, 4)) + 1
    layout = Layout(np.arange(n + 1) * p, grid=(4, 4))
    tap = ArrayActivations(x.reshape(-1, 8), layout=layout)
    two = channel_group_maps(tap, ChannelGroupMapsParams(groups=2))
    entropy = [e.value for e in two.estimates]
    maps = rng.random((n, p, 3))
    maps /= maps.sum(axis=1, keepdims=True)
    given = channel_group_maps(ArrayActivations(maps.reshape(-1, 3), layout=layout),
                               ChannelGroupMapsParams(groups=3, maps=ABSOLUTE, sample=2))  # fmt: skip
    f = rng.standard_normal((n, p, 4))
    out = attended(f, np.full((n, p), 1 / p))
    return (
        CheckLine("each map sums to 1", 1.0, float(two.values.sum(axis=1).min()), 1e-12),
        CheckLine("a uniform map", 1.0, entropy[1], 1e-12),
        CheckLine("a map of one position", 0.0, entropy[2], 1e-12),
        CheckLine("what a uniform map puts out, over F", 1 + 1 / p, float(np.median(out / f)), 1e-12),
        CheckLine("maps that were given", 0.0, float(np.abs(given.values - maps[2].T).max()), 1e-12),
    )


METHODS = (
    Method(
        id="channel_group_maps", family="attribution", title="Maps of channel groups", version=1,
        function=channel_group_maps,
        summary="Where each group of channels of a map has its energy, and how spread out that is.",
        params=ChannelGroupMapsParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="scaling a sample; reordering channels inside a group",
        papers=("ULSAM: ultra-lightweight subspace attention",),
    ),
)  # fmt: skip
