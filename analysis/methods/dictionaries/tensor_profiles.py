"""What each component of samples × positions × units does along the positions (or the layers).

CP components X ≈ Σ_r w_r a_r ∘ b_r ∘ c_r: b_r, the profile of a component along the positions, is one curve for all
samples, more or less of it in each. Drawn is w_r b_r over √(samples × units), the size of the component in a typical
entry, with the interval over samples that were drawn again with replacement (refitted from the components found).
A profile can be made smooth, as a Gaussian process b(t) = m + GP with covariance exp(-|t - t'| / ℓ): ℓ is what
foretells best at positions that were left out, and where nothing foretells better than the mean it is left as it is.
The band is then at least the process's own deviation, which widens away from places that are known.

Null: the largest size that components of mixed samples (every unit's in an order of its own) have at any position.

When it lies: a feature that sits at another position in each sample has no profile of its own, and is spread over many
components; look at the explained share. Image positions are drawn row by row, so that a smooth patch looks striped;
smoothing knows the grid. With too many components two may cancel each other (said below).

Cost: (3 + copies) fits of O(size × k) a sweep; five more to choose a length.

References: "Functional Bayesian Tucker decomposition for continuous-indexed tensor data"; "Strivec: sparse tri-vector
radiance fields" (sums of outer products of lines); R. Harshman (1970), "Foundations of the PARAFAC procedure".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout
from analysis.compute.machine import machine
from analysis.compute.matching.unit_pairing import hungarian
from analysis.compute.tensors.asking import Asked, ComponentParams, asked_block
from analysis.compute.tensors.blocks import LAYER, POSITION
from analysis.compute.tensors.cp import (
    Components,
    consistency_in_words,
    core_consistency,
    cp,
    worst_cancelling,
)
from analysis.compute.tensors.products import mixed_along_samples, summed
from analysis.compute.tensors.smoothing import Smoothness, chosen_smoothness, smoothed
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

POSITIONS, LAYERS = "positions", "layers"
SWEEPS, REFIT, SETTLED, CANCELLING, PLACES = 200, 20, 1e-7, -0.85, 6
FEWEST = 20


@dataclass(frozen=True)
class TensorProfilesParams(ComponentParams):
    components: int = param(3, "How many components.", low=1, high=64)
    along: str = param(POSITIONS, "Along what profiles are drawn.", choices=(POSITIONS, LAYERS))
    smooth: bool = param(
        False, "Whether profiles are made smooth, with a length that left-out places choose."
    )
    copies: int = param(20, "Resampled copies for the interval.", low=5, high=500)


def tensor_profiles(
    *activations, params: TensorProfilesParams = TensorProfilesParams(), rng=None, progress=no_progress
) -> Curve:
    """Profiles of CP components along positions or layers, with intervals.

    Parameters
    ----------
    activations : Activations or arrays (rows, units)
        One tap with tokens, or several layers of equal width with the same samples.

    Raises
    ------
    InputError, NotEnoughData, ShapeError, TooLarge
        Nothing varies; fewer than 20 samples; layers of different width; over 1 GiB.
    """
    rng = rng or np.random.default_rng(0)
    progress(0.0, "reading")
    asked = asked_block(activations, params, rng, lambda share, doing="": progress(0.05 * share, doing))
    x, notes = asked.x, list(asked.notes)
    mode = _mode(asked, params, notes)
    k = min(params.components, x[0].size, len(x) // 2)
    own = {"nonnegative": asked.nonnegative, "settles": SETTLED}
    found = cp(x, k, rng, starts=2, sweeps=SWEEPS, tick=lambda s: progress(0.05 + 0.35 * s, "fitting"), **own)
    mixed = cp(mixed_along_samples(x, rng), k, rng, starts=1, sweeps=50, **own)
    profiles, chosen, band = _profiles(asked, found, mode, params, notes, rng, progress)
    draws = []
    for copy in range(params.copies):
        progress(0.6 + 0.4 * copy / params.copies, "samples drawn again")
        some = x[rng.integers(len(x), size=len(x))]
        again = cp(some, k, rng, sweeps=REFIT, begin=found.factors, **own)
        draws.append(_sizes(_in_order(again, found), mode, x))
    progress(1.0, "done")
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    low, high = np.minimum(low, profiles - 1.96 * band), np.maximum(high, profiles + 1.96 * band)
    return _curve(asked, found, mixed, mode, (profiles, low, high), chosen, params, notes)


def _mode(asked: Asked, params, notes: list[str]) -> int:
    """The axis that profiles are drawn along."""
    wanted = LAYER if params.along == LAYERS else POSITION
    if wanted in asked.between:
        return 1 + asked.between.index(wanted)
    if wanted == LAYER and len(asked.between) == 1 and params.along == LAYERS:
        notes.append("A single layer: profiles are drawn along positions.")
    return 1


def _profiles(asked: Asked, found: Components, mode: int, params, notes: list[str], rng, progress):
    """(profiles (size, k), how smooth, deviations (size, k))."""
    x, chosen, band = asked.x, None, np.zeros((asked.x.shape[mode], 1))
    if params.smooth and x.shape[mode] < PLACES:
        notes.append(
            f"{x.shape[mode]} places are too few to say how smooth profiles are: they are as fitted."
        )
    elif params.smooth:
        progress(0.45, "finding how smooth profiles are")
        places = asked.block.places
        if asked.block.modes[mode] == LAYER:
            places = np.arange(x.shape[mode], dtype=float)[:, None]
        chosen = chosen_smoothness(x, len(found.weights), mode, places, rng, asked.nonnegative)
        if chosen.helps:
            fine, deviation = smoothed(x, found, mode, places, chosen, asked.nonnegative)
            band = deviation * fine.weights / np.sqrt(len(x) * x.shape[-1])
            return _sizes(fine, mode, x), chosen, band
    return _sizes(found, mode, x), chosen, band


def _in_order(again: Components, found: Components) -> Components:
    """A refit's components in the order of those found, with their signs along every mode but the first."""
    alike = np.prod([f.T @ g for f, g in zip(found.factors[1:], again.factors[1:], strict=True)], axis=0)
    partner = hungarian(np.abs(alike))
    there = partner >= 0  # a copy may have fewer: 0 in the place of those that it does not have
    weights, factors = np.zeros(len(partner)), [np.zeros((len(f), len(partner))) for f in again.factors]
    weights[there] = again.weights[partner[there]]
    for mode, (to, f) in enumerate(zip(factors, again.factors, strict=True)):
        to[:, there] = f[:, partner[there]]
        if mode:
            to *= np.where((to * found.factors[mode]).sum(axis=0) < 0, -1.0, 1.0)
    return Components(tuple(factors), weights, again.left, again.total)


def _sizes(found: Components, mode: int, x: np.ndarray) -> np.ndarray:
    """(size, k): what a component adds in a typical entry at each place (root mean square, with the profile's sign)."""
    rest = x.size / x.shape[mode]
    return found.factors[mode] * found.weights / np.sqrt(rest)


def _curve(asked: Asked, found, mixed, mode: int, drawn, chosen: Smoothness | None, params, notes) -> Curve:
    x, (profiles, low, high) = asked.x, drawn
    names = [f"component {r + 1}" for r in range(len(found.weights))]
    chance = float(np.abs(_sizes(mixed, mode, x)).max())
    core, about = core_consistency(x, found), {"n": len(x), "d": x.shape[-1]}
    method = "the samples of every unit in an order of its own, once, fitted again"
    estimates = [
        Estimate("explained", found.explained, null=mixed.explained, null_method=method, **about,
                 estimator=f"{len(names)} CP components"),
        Estimate("core consistency", core, estimator="of 100", **about),
        *(Estimate(f"{name}: weight", float(w), null=float(mixed.weights[0]) if len(mixed.weights) else 0.0,
                   null_method=method, **about)
          for name, w in zip(names, found.weights, strict=True)),
    ]  # fmt: skip
    if chosen is not None:
        estimates.append(
            Estimate("left at places that were left out", chosen.error, null=chosen.chance,
                     null_method="places dealt anew, best of 8; 1: mean",
                     estimator=f"smooth over {chosen.scale:g} places, noise {chosen.noise:g}", **about)
        )  # fmt: skip
        if not chosen.helps:
            notes.append(
                "No smooth curve foretold a place from the others better than chance: profiles are as fitted."
            )
    if worst_cancelling(found) < CANCELLING:
        notes.append(
            "Two components nearly cancel each other: there are too many, and their weights mean nothing."
        )
    if core < 50:
        notes.append("The core consistency is below 50 of 100: profiles of different components go together.")
    if asked.block.places.shape[1] > 1 and asked.block.modes[mode] == POSITION:
        notes.append("Positions of images run row by row, leading tokens first.")
    word = "layer" if asked.block.modes[mode] == LAYER else "position"
    return Curve(
        title=f"Profiles of {len(names)} components of {asked.name} along {word}s",
        reading=_reading(found, mixed, profiles, core, word), caveats=tuple(notes), estimates=tuple(estimates),
        x=np.arange(x.shape[mode], dtype=float), x_name=word, y_name="size in a typical entry",
        series=dict(zip(names, profiles.T, strict=True)), low=dict(zip(names, low.T, strict=True)),
        high=dict(zip(names, high.T, strict=True)), null={names[0]: np.full(x.shape[mode], chance)} if names else {},
    )  # fmt: skip


def _reading(found, mixed, profiles, core: float, word: str) -> str:
    peaks = ", ".join(str(int(p)) for p in np.abs(profiles).argmax(axis=0)[:8])
    return (
        f"{len(found.weights)} component(s) explain {found.explained:.1%} (samples mixed unit by unit: "
        f"{mixed.explained:.1%}), with a core consistency of "
        f"{consistency_in_words(core)}. They are strongest at {word} {peaks}."
    )


def _cost(shapes, params: TensorProfilesParams) -> Cost:
    m, layers = machine(), len(shapes)
    n, d = min(s[0] for s in shapes), shapes[0][1]
    size = min(n, 40 * params.maximum_samples) * d * layers
    sweeps = 2 * SWEEPS + 50 + params.copies * REFIT + (240 if params.smooth else 0)
    held = min(n, params.maximum_samples) * d * layers * 8.0
    work = m.seconds(
        flops64=sweeps * 8.0 * size * params.components, moved=sweeps * 24.0 * size, calls=sweeps * 90
    )
    return Cost(work, 8 * held)


def _check() -> tuple[CheckLine, ...]:
    """Two planted profiles: their curves, and sizes that are those of the planted sum."""
    rng, t = np.random.default_rng(2), np.arange(12)
    profiles = np.stack([np.sin(t / 3), np.exp(-t / 4)], axis=1)
    factors = [rng.standard_normal((50, 2)), profiles, rng.standard_normal((8, 2))]
    factors[0] -= factors[0].mean(axis=0)
    x = summed(factors)
    tap = ArrayActivations(x.reshape(-1, 8), layout=Layout(np.arange(51, dtype=np.int64) * 12))
    found = tensor_profiles(tap, params=TensorProfilesParams(components=2, copies=5), rng=rng)
    cosine = np.abs([[np.corrcoef(f, p)[0, 1] for p in profiles.T] for f in found.series.values()])
    typical = [np.sqrt((summed([f[:, [r]] for f in factors]) ** 2).mean(axis=(0, 2))) for r in (0, 1)]
    own = sorted(np.abs(v).max() for v in found.series.values())
    wanted = sorted(v.max() for v in typical)
    return (
        CheckLine("profiles of two planted components", 1.0, float(cosine.max(axis=0).min()), 1e-3),
        CheckLine("explained", 1.0, found.estimates[0].value, 1e-5),
        CheckLine("size of the larger", float(wanted[1]), float(own[1]), 1e-2 * float(wanted[1])),
        CheckLine("size of the smaller", float(wanted[0]), float(own[0]), 1e-2 * float(wanted[0])),
    )


METHODS = (
    Method(
        id="tensor_profiles", family="dictionaries", title="Components along positions or layers", version=2,
        function=tensor_profiles,
        summary="Profiles of CP components over the positions of a sample or over layers, with intervals.",
        params=TensorProfilesParams, result=Curve, check=_check, cost=_cost, more_inputs=True, same_units=True,
        others="nothing",
        minimum_rows=FEWEST, invariance="reordering units or samples up to the seed; one scale for all units",
        papers=("Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor Data",
                "Strivec: Sparse Tri-Vector Radiance Fields"),
    ),
)  # fmt: skip
