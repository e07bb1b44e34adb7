"""What would a sample look like, moved along a direction? A strip of pictures from one end of it to the other.

    x -> x + alpha s d ,    |d| = 1, s the standard deviation of the samples along d, alpha from one end to the other

d is a unit, a principal axis, a linear probe of a column, or any direction that the tap names (`concept_axis`). What
stands at alpha is drawn by the rest of the network, where that gives pictures (an autoencoder, a generator); else by a
linear decoder (ridge) from the tap to the pictures that went in, fitted to other samples, which draws what a linear
reader of the tap can know of the picture and no more: how much that is, held out, is told. Without pictures the units
of the tap themselves are shown. *Edited, step by step* shows the nearest real samples instead.

Null: how much of the picture random directions move, each by as many of its own deviations. Interval: bootstrap
over samples.

When it lies: a linear decoder draws means of samples, so that far out it shows a difference of two means and no sample
that could be; a decoder that rebuilds little moves little for that reason; the rest of a network draws something for
any point, also for one that nothing ever maps to; a direction that moves the picture need not be one that is used.

Cost: reading the pictures, O(n d min(n, d) + n d pixels), and one pass for each picture of the strip.

References: C. Naveh & Y. Hel-Or (2022), "Multi-directional subspace editing in style-space"; P. Wang et al. (2024),
"Diffusion models learn low-dimensional distributions via subspace clustering" (edit directions as strips).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.picture_decoders import MOST_SIDE, Decoder, decoder_of
from analysis.attribution.random_directions import random_directions
from analysis.compute.groups.concept_axis import GRAMMAR, AxisParams, given_axis
from analysis.compute.machine import machine
from analysis.compute.rows.token_sets import token_sets
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import InputError, ParameterError
from analysis.features.tap_dictionary import recorded_tap
from analysis.results import Estimate, TokenMap
from analysis.sources.weight_directions import weight_direction
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8


@dataclass(frozen=True)
class EditStripParams(AxisParams):
    direction: str = param("pc:1", f"Along what the sample is moved: {GRAMMAR}.")
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    farthest: float = param(
        4.0, "Largest move, in standard deviations along it.", label="largest move", low=0.01, high=1000.0
    )
    points: int = param(5, "Pictures of the strip; odd, so that one is not moved.", low=3, high=31)
    draws: int = param(20, "Random directions.", label="random directions", low=2, high=500)
    maximum_samples: int = param(600, "Most samples; a seeded random subset above.", low=20, high=10_000)


def edit_strip(
    activations, params: EditStripParams = EditStripParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Pictures of one sample, moved further and further.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        The tap that is moved, on all tokens alike; one that a feature set encoded is taken at its source.

    Returns
    -------
    TokenMap
        (points, places), from the lowest move to the highest. Estimates: how much of the picture moves, how much of it
        the decoder rebuilds, the share of variance along the direction.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such sample or direction; none or several named; fewer than eight samples; samples that do not vary along it.
    """
    tap, rng = recorded_tap(as_activations(activations)), rng or np.random.default_rng(0)
    if not params.gives_axis:
        raise ParameterError("no direction", GRAMMAR, "Name a unit, an axis, a probe or a vector")
    sets = token_sets(tap, rng, maximum=params.maximum_samples, minimum=FEWEST, wanted=(params.sample,),
                      progress=progress, span=(0.0, 0.1))  # fmt: skip
    means = sets.means()
    axis = given_axis(tap, params, means, sets.samples, np.ones(tap.shape[1], bool), weight_direction)
    way = axis.along(means)
    deviation, scale = means.std(axis=0), float((means @ way).std())
    if not scale > 0:
        raise InputError(
            f"samples of {tap.name} do not vary along {axis.label}", "a direction along which they do"
        )
    decoder = decoder_of(tap, params.sample, sets.samples, means, rng, progress, (0.1, 0.8))
    progress(0.8, "drawing")
    alphas = np.linspace(-params.farthest, params.farthest, params.points | 1)
    strip = decoder.draw(scale * alphas[:, None] * way)
    others = random_directions(way, deviation, params.draws, rng)
    own = (means @ others.T).std(axis=0)
    chance = np.array(
        [_moved(decoder, s * alphas[[0, -1], None] * o) for s, o in zip(own, others, strict=True)]
    )
    moved = _moved(decoder, scale * alphas[[0, -1], None] * way)
    estimates = _estimates(means, way, decoder, moved, chance, rng)
    progress(1.0, "done")
    return TokenMap(
        title=f"Sample {params.sample} of {tap.name} moved along {axis.label}",
        reading=_reading(params, axis.label, decoder, estimates),
        caveats=(*sets.notes, *axis.notes, *decoder.notes, *_caveats(decoder, means, way, params, scale, sets)),
        estimates=estimates, samples=np.full(len(alphas), params.sample), values=strip, value_name=decoder.unit,
        grid=decoder.grid, names=tuple("as it is" if a == 0 else f"{a:+.2g} sd" for a in alphas),
    )  # fmt: skip


def _moved(decoder: Decoder, ends: np.ndarray) -> float:
    """Root mean square difference of what is drawn at both ends."""
    low, high = decoder.draw(ends)
    return float(np.sqrt(((high - low) ** 2).mean()))


def _estimates(means, way, decoder: Decoder, moved: float, chance, rng) -> tuple[Estimate, ...]:
    n, d = means.shape
    away = means - means.mean(axis=0)
    along, whole = (away @ way) ** 2, (away**2).sum(axis=1)
    share = float(along.sum() / whole.sum())
    low, high = ratio_interval(along, whole, rng)
    made = [
        Estimate("picture that moves", moved, interval="none: of this sample alone", null=float(chance.mean()),
                 null_low=float(chance.min()),
                 null_high=float(chance.max()), null_method=f"{len(chance)} random directions, by as many deviations",
                 p_value=float((1 + (chance >= moved).sum()) / (1 + len(chance))), n=len(chance), d=d,
                 unit=decoder.unit, estimator="root mean square difference of both ends"),
        Estimate("share of variance along it", share, min(low, share), max(high, share),
                 interval="bootstrap over samples", null=1 / d, null_method="a random direction", n=n, d=d,
                 estimator="of the samples' means over tokens"),
    ]  # fmt: skip
    if decoder.rebuilt is not None and decoder.rebuilt[:, 1].sum() > 0:
        error, spread = decoder.rebuilt.T
        value = 1 - float(error.sum() / spread.sum())
        ends = [1 - e for e in ratio_interval(error, spread, rng)]
        made.append(Estimate("picture that the decoder rebuilds", value, min(*ends, value), max(*ends, value),
                             interval="bootstrap over samples", null=0.0, null_method="the mean picture", n=len(error),
                             d=d, estimator="1 - squared error / squared distance from the mean"))  # fmt: skip
    return tuple(made)


def _reading(params, label: str, decoder: Decoder, estimates) -> str:
    moved = estimates[0]
    said = (
        f"From {-params.farthest:g} to {params.farthest:g} deviations along {label}, {decoder.kind} moves by "
        f"{moved.value:.3g} ({moved.null:.3g} along random directions)"
    )
    if len(estimates) > 2:
        said += f"; of a picture it rebuilds {max(estimates[2].value, 0.0):.0%}, held out"
    return said + "."


def _caveats(decoder: Decoder, means, way, params, scale: float, sets) -> list[str]:
    where = float((means[sets.place(params.sample)] - means.mean(axis=0)) @ way) / scale
    said = [f"The sample itself stands {where:+.2g} deviations from the mean along it."]
    beyond = abs(where) + params.farthest
    reach = float(np.abs((means - means.mean(axis=0)) @ way).max()) / scale
    if beyond > reach:
        said.append(
            f"The farthest picture is {beyond:.2g} deviations out; no sample is farther than {reach:.2g}."
        )
    return said


def _cost(shapes, params: EditStripParams) -> Cost:
    (n, d), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    work = 12.0 * some * d * min(some, d) + 4.0 * some * d * MOST_SIDE**2
    return Cost(
        5.0 + m.seconds(flops64=work, moved=16.0 * n * d),
        24.0 * some * d + 1.2e5 + 8.0 * d * params.draws,
        some,
    )


def _check() -> tuple[CheckLine, ...]:
    """Along a unit only that unit moves, by as many deviations as asked for."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 5)) * [1.0, 2.0, 3.0, 4.0, 5.0]
    params = EditStripParams(direction="unit:2", sample=4, points=5, farthest=2.0)
    found = edit_strip(ArrayActivations(x, "planted"), params)
    change = found.values - found.values[2]
    return (
        CheckLine("not moved", 0.0, float(np.abs(found.values[2] - x[4]).max()), 1e-12),
        CheckLine("two deviations of the unit", 2 * x[:, 2].std(), float(change[-1, 2]), 1e-12),
        CheckLine("nothing else", 0.0, float(np.abs(np.delete(change, 2, axis=1)).max()), 1e-12),
        CheckLine("share of variance", x[:, 2].var() / x.var(axis=0).sum(), found.estimates[1].value, 1e-12),
    )


METHODS = (
    Method(
        id="edit_strip", family="attribution", title="A sample moved along a direction", version=1,
        function=edit_strip,
        summary="Pictures of one sample, moved along a direction: by the rest of the network, or a linear decoder.",
        params=EditStripParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the length of the direction",
        papers=(
            "Multi-Directional Subspace Editing in Style-Space",
            "Diffusion Models Learn Low-Dimensional Distributions via Subspace Clustering",
        ),
        libraries=("torch",),
    ),
)  # fmt: skip
