"""How many channels does a sample need? Fewest channels whose summed activation mass reaches a share r.

    k(x) = least k so that the k largest of m_c(x) = Σ_positions |activation| hold r of Σ_c m_c(x)

Its histogram over samples says what dynamic pruning could leave out of this layer, sample by sample, before anything is
trained. *Always on* are channels among the k of every sample, *never on* those of none.

Null: each channel's masses exchanged between samples, which keeps how much every channel has and breaks which go
together. A uniform mass would need ⌈r C⌉. Intervals: Student's t over samples, Wilson's over channels.

When it lies: mass is not use: a large channel may change nothing in the answer, and a constant one is counted in every
sample; before a nonlinearity negative values count by their size; masses of channels with different scales behind a
normalisation say little; a mean over positions, where the tap holds one, hides where a map has both signs.

Cost: one pass and O(n C ln C); memory O(n C).

References: S. Elkerdawy, M. Elhoushi, H. Zhang & N. Ray (2022), "Fire together wire together: a dynamic pruning
approach with self-supervised mask prediction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.groups.channel_mass import (
    FEWEST,
    channels_on,
    exchanged_masses,
    fewest_channels,
    masses_of,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_BINS = 60


@dataclass(frozen=True)
class ChannelMassParams:
    share: float = param(0.9, "Share of a sample's activation mass that is to be held.", low=0.01, high=1.0)
    draws: int = param(20, "Exchanges of masses between samples.", low=5, high=1000)
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=8, high=100_000)


def channel_mass(
    activations, params: ChannelMassParams = ChannelMassParams(), rng=None, progress=no_progress
) -> Distribution:
    """Histogram of k over samples.

    Parameters
    ----------
    activations : Activations or array (rows, channels)

    Returns
    -------
    Distribution
        Samples by k, beside that of exchanged masses. Estimates: mean k, its share of all channels, always-on and
        never-on channels.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite samples; no activation at all; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = masses_of(tap, params.maximum_samples, rng, progress, (0.0, 0.5))
    masses, shares = found.values, np.array([params.share])
    n, c = masses.shape
    k, on = fewest_channels(masses, shares)[:, 0], channels_on(masses, params.share).sum(axis=0)
    edges = _edges(c)
    means, always, never, null = [], [], [], np.zeros(len(edges) - 1)
    for i in range(params.draws):
        progress(0.5 + 0.5 * i / params.draws, "exchanging masses")
        moved = exchanged_masses(masses, rng)
        other, used = fewest_channels(moved, shares)[:, 0], channels_on(moved, params.share).sum(axis=0)
        means.append(other.mean())
        always.append((used == n).mean())
        never.append((used == 0).mean())
        null += np.histogram(other, edges)[0] / params.draws
    progress(1.0, "done")
    uniform = fewest_channels(np.ones((1, c)), shares)[0, 0]
    estimates = _estimates(k, on, means, always, never, c)
    return Distribution(
        title=f"Channels of {tap.name} that hold {params.share:.0%} of a sample's mass",
        reading=(
            f"A sample needs {k.mean():.1f} of {c:,} channels on average, {k.min()} to {k.max()}; exchanged masses "
            f"would need {np.mean(means):.1f}, a uniform mass {uniform}. {int((on == n).sum())} channel(s) are on in "
            f"every sample and {int((on == 0).sum())} in none."
        ),
        caveats=(*found.notes, "Mass is not use: leaving small channels out can still change the answer."),
        estimates=estimates, edges=edges, counts={"samples": np.histogram(k, edges)[0]},
        value_name="channels that are needed", null=null,
        markers={"mean": float(k.mean()), "uniform mass": float(uniform)},
    )  # fmt: skip


def _edges(c: int) -> np.ndarray:
    """Whole numbers of channels in each bin."""
    step = -(-c // MOST_BINS)
    return np.arange(0, -(-c // step) + 1) * step + 0.5


def _estimates(k, on, means, always, never, c: int) -> tuple[Estimate, ...]:
    n, out = len(k), []
    mean = mean_interval(k.astype(float), 1.0, float(c))
    for name, by in (("mean number of channels", 1.0), ("mean share of channels", float(c))):
        ends = {e: mean[e] / by for e in ("low", "high")}
        out.append(Estimate(name, float(k.mean()) / by, **ends, interval=mean["interval"],
                            **_beside(k.mean() / by, np.array(means) / by), n=n, d=c))  # fmt: skip
    for name, hits, null in (("always-on channels", on == n, always), ("never-on channels", on == 0, never)):
        value, (low, high) = float(hits.mean()), wilson(hits.sum(), c)
        out.append(Estimate(name, value, min(low, value), max(high, value), interval="Wilson over channels",
                            **_beside(value, np.array(null)), n=n, d=c, estimator="share of channels"))  # fmt: skip
    return tuple(out)


def _beside(value: float, null: np.ndarray) -> dict:
    return {**against(float(value), null), "null_method": "masses exchanged between samples"}


def _cost(shapes, params: ChannelMassParams) -> Cost:
    (n, c), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * c + (params.draws + 2) * some * c * 400.0)
    return Cost(seconds + 0.01, 8.0 * some * c * 5 + 16.0 * min(n, 4096) * c)


def _check() -> tuple[CheckLine, ...]:
    """Uniform mass needs ⌈r C⌉ channels, one dominant channel 1, and k grows with r."""
    even, one = np.ones((20, 10)), np.full((20, 10), 1e-3)
    one[:, 4] = 5.0
    k = {
        r: channel_mass(even, ChannelMassParams(share=r, draws=5)).markers["mean"] for r in (0.25, 0.9, 0.95)
    }
    alone = channel_mass(one, ChannelMassParams(share=0.9, draws=5))
    rng = np.random.default_rng(0)
    steps = fewest_channels(rng.random((50, 30)), np.linspace(0.05, 1, 20))
    return (
        *(CheckLine(f"uniform mass, r = {r}", float(np.ceil(round(10 * r, 9))), k[r], 0.0) for r in k),
        CheckLine("one dominant channel", 1.0, alone.markers["mean"], 0.0),
        CheckLine("which is always on", 0.1, alone.estimates[2].value, 1e-12),
        CheckLine("k never falls as r grows", 0.0, float(np.diff(steps, axis=1).min()), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="channel_mass", family="units", title="Channels a sample needs", version=1, function=channel_mass,
        summary="Fewest channels that hold most of a sample's activation mass, always-on and never-on channels.",
        params=ChannelMassParams, result=Distribution, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="scaling all activations of a sample, turning signs, reordering channels or positions",
        papers=("Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask Prediction",),
    ),
)  # fmt: skip
