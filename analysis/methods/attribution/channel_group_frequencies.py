"""Which spatial frequencies does each group of channels put out? Radial spectrum of F̂ = A ∘ F + F, group by group.

Energy of the cosine transform (DCT-II, orthonormal) of what a group gives after attention with its own map, summed over
its channels, at each distance from DC; shares of a sample's energy, averaged over samples. A as in
`channel_group_maps`: where a map is uniform, F̂ is (1 + 1 / P) F and the spectrum that of the tap.

Null: random groups of channels of the same sizes. Bands: Student's t over samples.

When it lies: attention is put on here, with a map that the group's own energy makes, where the network has none of its
own; a small map has few frequencies; DC is as large as the channels' means, which a normalisation moves.

Cost: one pass, O(n P ln P C) for each of the random groupings too.

References: R. Saini et al. (2020), "ULSAM: ultra-lightweight subspace attention module for compact convolutional neural
networks"; N. Ahmed, T. Natarajan & K. Rao (1974), "Discrete cosine transform".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.grids.channel_groups import FEWEST, GroupParams, Groups, channel_groups
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress

SHUFFLED = 5


@dataclass(frozen=True)
class ChannelGroupFrequenciesParams(GroupParams):
    """Asks no more."""


def channel_group_frequencies(
    activations, params: ChannelGroupFrequenciesParams = ChannelGroupFrequenciesParams(), rng=None, progress=no_progress
) -> Curve:  # fmt: skip
    """Spectra of channel groups.

    Parameters
    ----------
    activations : Activations with all positions of every sample

    Returns
    -------
    Curve
        Share of energy over cycles per map, a line for each group. Estimates: mean frequency of each.

    Raises
    ------
    InputError, NotEnoughData
        Other numbers of tokens; no activation; fewer than eight finite samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found, *others = channel_groups(tap, params, rng, progress, (0.0, 1.0), SHUFFLED)
    shares, n = found.radial(), len(found.maps)
    half = stdtrit(n - 1, 0.975) * shares.std(axis=0, ddof=1) / np.sqrt(n)
    mean, chance = shares.mean(axis=0), np.mean([o.radial().mean(axis=(0, 1)) for o in others], axis=0)
    own, null = _middle(found), np.array([_middle(o).mean(axis=0) for o in others]).ravel()
    estimates = tuple(
        Estimate(f"mean frequency of channels {name}", float(own[:, k].mean()), **mean_interval(own[:, k], 0.0),
                 **null_spread(null), null_method="random groups of channels", n=n, d=tap.shape[1],
                 estimator="cycles per map beyond DC, weighted by energy", unit="cycles per map")
        for k, name in enumerate(found.names)
    )  # fmt: skip
    lines = lambda x: {name: x[k] for k, name in enumerate(found.names)}  # noqa: E731
    top, bottom = (int(f(own.mean(axis=0))) for f in (np.argmax, np.argmin))
    return Curve(
        title=f"Spatial frequencies of {len(found.names)} channel groups of {tap.name}",
        reading=(
            f"Channels {found.names[bottom]} put out the slowest changes over space ({own[:, bottom].mean():.2f} "
            f"cycles a map), {found.names[top]} the fastest ({own[:, top].mean():.2f}); random groups have "
            f"{null.mean():.2f}."
        ),
        caveats=(*found.notes, f"Of the maps: {params.maps}; attention with them is put on here."),
        estimates=estimates, x=np.arange(mean.shape[1]) / 2, x_name="cycles per map (0: the mean over space)",
        y_name="share of the energy", series=lines(mean), low=lines(np.maximum(mean - half, 0)),
        high=lines(np.minimum(mean + half, 1)), null=dict.fromkeys(found.names, chance),
    )  # fmt: skip


def _middle(found: Groups) -> np.ndarray:
    """(n, g) mean frequency beyond DC; 0 without any."""
    energy = found.energy[:, :, 1:]
    whole = energy.sum(axis=2)
    return (energy @ (np.arange(1, energy.shape[2] + 1) / 2)) / np.where(whole > 0, whole, 1.0)


def _cost(shapes, params: GroupParams) -> Cost:
    (n, c), m = shapes[0], machine()
    some, g = min(n, params.maximum_samples), min(params.groups, c)
    moved = 8.0 * n * c * 4 + (SHUFFLED + 1) * some * c * 150.0
    return Cost(
        m.seconds(moved=moved) + 0.02,
        8.0 * some * (8.0 * c + 4.0 * g * (SHUFFLED + 1)) + 16.0 * min(n, 4096) * c,
    )


def _check() -> tuple[CheckLine, ...]:
    """A group of chequerboards is at the highest frequency, one of constants at DC alone."""
    n, p = 12, 16
    sign = np.where(np.add.outer(np.arange(4), np.arange(4)) % 2, -1.0, 1.0).ravel()
    x = np.concatenate([np.ones((n, p, 2)), sign[None, :, None] * np.ones((n, 1, 2))], axis=2)
    tap = ArrayActivations(x.reshape(-1, 4), layout=Layout(np.arange(n + 1) * p, grid=(4, 4)))
    found = channel_group_frequencies(tap, ChannelGroupFrequenciesParams(groups=2))
    flat, fast = found.series.values()
    return (
        CheckLine("a constant is DC alone", 1.0, float(flat[0]), 1e-12),
        CheckLine("a chequerboard has no DC", 0.0, float(fast[0]), 1e-12),
        CheckLine("and most at the highest band", 4.0, float(fast.argmax()), 0.0),
        CheckLine("shares sum to 1", 1.0, float(fast.sum()), 1e-12),
    )


METHODS = (
    Method(
        id="channel_group_frequencies", family="attribution", title="Frequencies of channel groups", version=1,
        function=channel_group_frequencies,
        summary="Spatial frequencies that each group of channels puts out after attention with its own map.",
        params=ChannelGroupFrequenciesParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="scaling a sample; reordering channels inside a group",
        papers=("ULSAM: ultra-lightweight subspace attention",),
    ),
)  # fmt: skip
