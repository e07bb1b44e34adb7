"""What would dynamic channel pruning save? Estimated share of the multiplications over the share of mass that is held.

A convolution that reads k_{l-1} of C_{l-1} channels and writes k_l of C_l needs

    (k_{l-1} / C_{l-1}) (k_l / C_l)      of its multiplications, sample by sample,

with k of `channel_mass` at the share r. Taps are layers that follow each other; the first one's input is whole. Layers
count by C_{l-1} C_l times the positions of the output, with kernels of one size taken for granted. Nothing is trained
or run: it is what a perfect choice of channels would leave.

Null: each channel's masses exchanged between samples. Bands: Student's t over samples.

When it lies: it tells what could be left out, not what the answer loses by it; sparse kernels seldom save as much time
as multiplications; layers that are not taps are not counted, branches and kernel sizes not known; a classifier's or an
attention layer's work follows other rules.

Cost: one pass and O(n C (ln C + shares)) for each tap; memory O(n Σ C).

References: S. Elkerdawy et al. (2022), "Fire together wire together: a dynamic pruning approach with self-supervised
mask prediction".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.channel_mass import FEWEST, common_masses, exchanged_masses, fewest_channels
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

NETWORK, READ = "all layers", 0.9  # READ: the share that estimates are told at


@dataclass(frozen=True)
class ChannelFlopsParams:
    shares: int = param(20, "Places of the curve, up to a share of 1.", low=4, high=200)
    draws: int = param(5, "Exchanges of masses between samples.", low=2, high=200)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=8, high=100_000)


def channel_flops(
    *taps, params: ChannelFlopsParams = ChannelFlopsParams(), rng=None, progress=no_progress
) -> Curve:
    """Estimated share of multiplications over the share of mass.

    Parameters
    ----------
    *taps : Activations of one recording, layers in the order of depth.

    Returns
    -------
    Curve
        A line for each layer, and one for all. Estimates: the shares where 90 % of the mass are held.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        Taps of different samples; fewer than eight finite samples; no activation at all; over 2 GiB.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    masses, notes = common_masses(taps, params.maximum_samples, rng, progress, (0.0, 0.4))
    r = np.unique(np.append(np.linspace(0, 1, params.shares + 1)[1:], READ))
    weights = _weights(taps, [m.shape[1] for m in masses])
    progress(0.4, "counting channels")
    own = _shares(masses, r, weights)
    null = []
    for i in range(params.draws):
        progress(0.5 + 0.5 * i / params.draws, "exchanging masses")
        null.append(_shares([exchanged_masses(m, rng) for m in masses], r, weights).mean(axis=1))
    progress(1.0, "done")
    names = list(tap_names([t.name for t in taps]))
    names += [NETWORK] if len(taps) > 1 else []
    n, chance = own.shape[1], np.mean(null, axis=0)
    mean = own.mean(axis=1)  # (lines, shares)
    half = stdtrit(n - 1, 0.975) * own.std(axis=1, ddof=1) / np.sqrt(n)
    at = int(np.flatnonzero(r == READ)[0])
    estimates = tuple(
        Estimate(f"multiplications of {name} at {READ:.0%} of the mass", float(mean[i, at]),
                 max(float(mean[i, at] - half[i, at]), 0.0), min(float(mean[i, at] + half[i, at]), 1.0),
                 interval="Student's t over samples", null=float(chance[i, at]),
                 null_low=float(np.min([x[i, at] for x in null])), null_high=float(np.max([x[i, at] for x in null])),
                 null_method="masses exchanged between samples", n=n, d=int(sum(m.shape[1] for m in masses)),
                 estimator="mean of the product of both layers' shares of channels")
        for i, name in enumerate(names)
    )  # fmt: skip
    lines = lambda x: {name: x[i] for i, name in enumerate(names)}  # noqa: E731
    return Curve(
        title=f"Multiplications left over the mass that is held, {len(taps)} layer(s)",
        reading=(
            f"With {READ:.0%} of each sample's mass held, {names[-1]} would need {mean[-1, at]:.0%} of the "
            f"multiplications ({chance[-1, at]:.0%} with exchanged masses, {READ**2 if len(taps) > 1 else READ:.0%} if "
            "all channels had the same)."
        ),
        caveats=(*notes, *_caveats(taps)), estimates=estimates, x=r, x_name="share of the mass held",
        y_name="share of the multiplications", series=lines(mean), low=lines(np.maximum(mean - half, 0)),
        high=lines(np.minimum(mean + half, 1)), null=lines(chance),
    )  # fmt: skip


def _weights(taps, channels: list[int]) -> np.ndarray:
    """How much of the work each layer has."""
    before = [channels[0], *channels[:-1]]
    positions = [t.shape[0] / max(t.layout.n_samples, 1) for t in taps]
    work = np.array([a * b * p for a, b, p in zip(before, channels, positions, strict=True)], float)
    return work / work.sum()


def _shares(masses: list[np.ndarray], r: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(layers, and their weighted mean where there are several; n; shares)."""
    kept = [fewest_channels(m, r) / m.shape[1] for m in masses]
    each = [kept[0], *(a * b for a, b in pairwise(kept))]
    whole = [np.tensordot(weights, np.array(each), axes=1)] if len(masses) > 1 else []
    return np.array([*each, *whole])


def _caveats(taps) -> list[str]:
    said = ["An estimate of what could be left out, before any training; not of what the answer loses."]
    if len(taps) == 1:
        said.append("There is one layer: its input is taken to be whole.")
    else:
        said.append("Layers are taken to follow each other, with kernels of one size.")
    if any(getattr(getattr(t, "spec", None), "tokens", "") in ("mean", "spatial-mean") for t in taps):
        said.append("A tap holds means over positions: a map of both signs counts for less than it has.")
    return said


def _cost(shapes, params: ChannelFlopsParams) -> Cost:
    m, rows = machine(), min(n for n, _ in shapes)
    some, c = min(rows, params.maximum_samples), sum(d for _, d in shapes)
    seconds = m.seconds(moved=8.0 * rows * c + (params.draws + 1) * some * c * (300.0 + 2.0 * params.shares))
    return Cost(
        seconds + 0.01,
        16.0 * min(rows, 4096) * c / len(shapes)
        + 8.0 * some * (4.0 * c + 2.5 * (params.shares + 1) * (len(shapes) + 1)),
    )


def _check() -> tuple[CheckLine, ...]:
    """Uniform masses leave (⌈r C⌉ / C)², one dominant channel in each 1 / C², and more is never less."""
    even = [np.ones((20, 10)), np.ones((20, 20))]
    one = [np.full((20, 10), 1e-3), np.full((20, 20), 1e-3)]
    one[0][:, 3] = one[1][:, 5] = 9.0
    params = ChannelFlopsParams(shares=10, draws=2)
    uniform, alone = (channel_flops(*(ArrayActivations(x, f"s:{i}") for i, x in enumerate(xs)), params=params)
                      for xs in (even, one))  # fmt: skip
    at = int(np.flatnonzero(np.isclose(uniform.x, 0.9))[0])
    return (
        CheckLine("uniform masses, second layer", 0.81, float(uniform.series["1"][at]), 1e-12),
        CheckLine("one dominant channel in each", 1 / 200, float(alone.series["1"][at]), 1e-12),
        CheckLine("all the mass needs all channels", 1.0, float(alone.series["1"][-1]), 1e-12),
        CheckLine("never falls", 0.0, float(np.diff(alone.series[NETWORK]).min()), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="channel_flops", family="units", title="Multiplications that channel pruning would leave", version=1,
        function=channel_flops,
        summary="Estimated share of the multiplications over the share of activation mass that is held.",
        params=ChannelFlopsParams, result=Curve, check=_check, cost=_cost, inputs=1, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="scaling all activations of a sample, turning signs, reordering channels or positions",
        papers=("Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask Prediction",),
    ),
)  # fmt: skip
