"""How many components? Those that come back when the data are changed a little.

For each number k the factorisation (NMF, ICA, PCA or k-means) is fitted anew to several perturbed copies, each from a
start of its own: samples drawn again with replacement, or every value multiplied (NMF) or moved by a little noise.
Components, at length 1, are put into k clusters that hold exactly one of each copy; the silhouette says how well the
clusters are apart: 1 where all copies agree, near 0 or below where a component is another one in each. The largest k
whose worst cluster reaches the asked silhouette, and more than structureless data, is the answer; the held-out error
beside it says what k components leave over, as a share of the squares.

Null: the same on data in which every unit's values are moved over the samples by themselves, so that units have
nothing in common; several times, and a number must be beyond all of them.

When it lies: a small true component that the noise hides makes a right k look unstable (use less noise); for
resampling, many rows make everything stable, components of the noise as well, where variances differ (PCA); two
components that always come together are one; k-means of a cloud without clusters can be stable.

Cost: (largest - smallest + 1) x copies x (1 + draws) fits; rows are held in memory.

References: "Determination of Latent Dimensionality in International Trade Flow" (2020), there NMFk and RESCALk; P.
Rousseeuw (1987), "Silhouettes".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, as_activations, load_matrix
from analysis.compute.dictionaries.component_silhouettes import (
    aligned,
    silhouettes,
    spreads,
    stable_by_chance,
    stable_numbers,
)
from analysis.compute.dictionaries.consistency import lines
from analysis.compute.machine import machine
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.nulls import against, null_spread
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.features.classical.refits import ICA, KMEANS, NMF, PCA, SIGNED, SWEEPS, fitted_atoms, left_over
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

AUTOMATIC = "automatic"
RESAMPLED, NOISE = "resampled samples", "noise"
FEWEST = 40
MEAN, WORST, ERROR = "mean silhouette", "smallest silhouette", "held-out error"


@dataclass(frozen=True)
class StabilityParams:
    kind: str = param(
        AUTOMATIC, "What is fitted; automatic: NMF where no value is below 0, else ICA.",
        choices=(AUTOMATIC, NMF, ICA, PCA, KMEANS),
    )  # fmt: skip
    smallest: int = param(2, "Fewest components.", low=2, high=512)
    largest: int = param(6, "Most components.", low=2, high=512)
    copies: int = param(4, "Perturbed copies for each number.", low=3, high=100)
    perturb: str = param(RESAMPLED, "How copies differ from the data.", choices=(RESAMPLED, NOISE))
    noise: float = param(0.05, "Size of the noise, as a share of a value (NMF) or of a unit's deviation.",
                         low=0.0, high=1.0)  # fmt: skip
    least: float = param(
        0.75, "Silhouette that the worst component of a stable number reaches.", low=0.0, high=1.0
    )
    draws: int = param(5, "Times the values are moved for the null.", low=2, high=99)
    maximum_rows: int = param(2_000, "Most rows; a seeded random subset above.", low=40, high=200_000)


def component_stability(
    activations, *, params: StabilityParams = StabilityParams(), rng=None, progress=no_progress
) -> Curve:
    """Silhouettes of refitted components and the held-out error against their number.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Raises
    ------
    ParameterError, InputError, NotEnoughData
        No number between the two; nothing varies; fewer than 40 rows, or too few for the smallest number.
    """
    rng, tap = rng or np.random.default_rng(0), as_activations(activations)
    if params.largest < params.smallest:
        raise ParameterError(f"largest = {params.largest}", f"at least smallest, {params.smallest}")
    progress(0.0, "reading")
    x, of, kind, notes = _data(tap, params, rng)
    most = min(params.largest, x.shape[1], (len(x) * 3) // 8)
    if most < params.smallest:
        raise NotEnoughData(f"{len(x)} rows of {x.shape[1]} units", f"enough for {params.smallest} components",
                            "Ask for fewer components, or record more samples")  # fmt: skip
    if most < params.largest:
        notes.append(f"No more than {most} components of {x.shape[1]} units and {len(x)} rows.")
    numbers = np.arange(params.smallest, most + 1)
    found, null, steps = [], [], len(numbers) * (1 + params.draws)
    for i, k in enumerate(numbers):
        progress(i / steps, f"{k} components")
        found.append(_of(x, of, int(k), kind, params, rng))
    for draw in range(params.draws):
        moved = rng.permuted(x, axis=0)
        for i, k in enumerate(numbers):
            progress(((draw + 1) * len(numbers) + i) / steps, f"{k} components of structureless data")
            null.append(_of(moved, of, int(k), kind, params, rng))
    progress(1.0, "done")
    return _curve(tap, numbers, found, null, kind, params, len(x), notes)


def _data(tap: Activations, params: StabilityParams, rng):
    """Rows (n, units that vary), their samples (n,), what is fitted, and notes."""
    loaded = load_matrix(tap, maximum_rows=params.maximum_rows, minimum_rows=FEWEST, rng=rng)
    x = np.asarray(loaded.values, np.float64)
    units, notes = (
        is_varying(x.var(axis=0), x.mean(axis=0)),
        [f"{loaded.note.capitalize()}."] if loaded.note else [],
    )
    notes = [n.replace("nan", "NaN") for n in notes]
    if not units.any():
        raise InputError(f"no unit of {tap.name} varies", "units that differ", "Choose another tap")
    if not units.all():
        notes.append(f"{int((~units).sum())} constant unit(s) left out.")
    x, negative = x[:, units], bool((x[:, units] < 0).any())
    kind = params.kind if params.kind != AUTOMATIC else ICA if negative else NMF
    if kind == NMF and negative:
        x = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)
        notes.append("Values below 0 were split off: every unit counts twice, once for either sign.")
    return x, tap.layout.sample_of(loaded.rows), kind, notes


def _of(x, of, k: int, kind: str, params: StabilityParams, rng):
    """(silhouettes (k,), spreads (k,), held-out error) of k components."""
    samples = rng.permutation(np.unique(of))
    held = np.isin(of, samples[: max(1, len(samples) // 4)])
    if held.all():  # one sample: its rows count as samples
        of = np.arange(len(x))
        held = of < len(x) // 4
    own, owner, sets, errors = x[~held], of[~held], [], []
    members = [np.flatnonzero(owner == s) for s in np.unique(owner)] if params.perturb == RESAMPLED else []
    spread = own.std(axis=0)
    for _ in range(params.copies):
        if params.perturb == RESAMPLED:
            copy = own[np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])]
        elif kind == NMF:
            copy = own * rng.uniform(1 - params.noise, 1 + params.noise, own.shape)
        else:
            copy = own + params.noise * spread * rng.standard_normal(own.shape)
        atoms, mean = fitted_atoms(copy, k, kind, rng)
        sets.append(lines(atoms))
        errors.append(left_over(x[held], atoms, mean, kind))
    signed = kind in SIGNED
    together = aligned(np.array(sets), signed)
    return silhouettes(together, signed), spreads(together, signed), float(np.mean(errors))


def _curve(tap, numbers, found, null, kind: str, params: StabilityParams, n: int, notes) -> Curve:
    worst, error = np.array([(s.min(), e) for s, _, e in found]).T
    drawn = np.array([(s.min(), e) for s, _, e in null]).reshape(params.draws, len(numbers), 2)
    chance, without = drawn[:, :, 0], drawn[:, :, 1]
    mean, best = (np.array([f(s) for s, _, _ in found]) for f in (np.mean, np.max))
    good = stable_numbers(worst, chance, params.least)
    at = int(good[-1]) if len(good) else int(worst.argmax())
    k = int(numbers[at])
    method = f"each unit's values moved over the rows, {params.draws} times: mean and the middle 95 %"
    about, over = {"n": n, "d": tap.shape[1], "null_method": method}, f"over {params.copies} copies"
    estimates = [
        Estimate("stable components", float(k if len(good) else 0), **about,
                 **null_spread(stable_by_chance(numbers, chance, params.least)),
                 estimator=f"largest number whose worst silhouette is {params.least:g} and beyond all of the null's"),
        Estimate(f"smallest silhouette of {k}", worst[at], **against(worst[at], chance[:, at]), **about,
                 estimator=over),
        Estimate(f"held-out error of {k}", error[at], **null_spread(without[:, at]), **about, estimator=f"mean {over}"),
        *(Estimate(f"component {j + 1} of {k}: mean cosine between copies", value, n=n, d=tap.shape[1],
                   estimator=over) for j, value in enumerate(np.sort(found[at][1])[::-1])),
    ]  # fmt: skip
    return Curve(
        title=f"Stability of {kind} components of {tap.name}",
        reading=_reading(kind, k, len(good) > 0, worst[at], chance[:, at], error[at], params),
        caveats=(*notes, *_caveats(params, worst, chance, numbers)), estimates=tuple(estimates),
        x=numbers.astype(float), x_name="components", y_name="silhouette, or share left over",
        series={MEAN: mean, WORST: worst, ERROR: error}, null={WORST: chance.mean(axis=0), ERROR: without.mean(axis=0)},
        low={MEAN: worst}, high={MEAN: best},
    )  # fmt: skip


def _reading(kind: str, k: int, any_good: bool, worst, chance, error, params: StabilityParams) -> str:
    if not any_good:
        return (
            f"No number of {kind} components is stable: the worst component of the best number, {k}, has a silhouette "
            f"of {worst:.2f} (asked {params.least:g}, structureless data {_span(chance)})."
        )
    return (
        f"{k} {kind} components come back in every copy: the worst has a silhouette of {worst:.2f} (structureless data "
        f"{_span(chance)}), and together they leave {error:.1%} of the squares of held-out rows over."
    )


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2f} to {values.max():.2f}"


def _caveats(params: StabilityParams, worst, chance, numbers) -> tuple[str, ...]:
    said = ["The band is from the worst to the best component, not an interval."]
    chance = chance.max(axis=0)
    too = (worst >= params.least) & (worst <= chance)
    if too.any():
        which = ", ".join(str(k) for k in numbers[too])
        said.append(
            f"{which} component(s) come back too, but so do those of structureless data: this perturbation does not "
            "tell them apart. Resample, or use more noise."
        )
    if worst[-1] >= params.least and worst[-1] > chance[-1]:
        said.append(f"The largest number tried, {numbers[-1]}, is stable: there may be more.")
    return tuple(said)


def _cost(shapes, params: StabilityParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    numbers = max(1, min(params.largest, d) - params.smallest + 1)
    fits, k = (1 + params.draws) * params.copies * numbers, (params.largest + params.smallest) / 2
    flops = fits * (SWEEPS * 6.0 * n * d * k + 2.0 * n * d * min(n, d))
    return Cost(m.seconds(flops64=flops, moved=fits * 40.0 * n * d, calls=fits * 4000), 8.0 * n * d * 5)


def _check() -> tuple[CheckLine, ...]:
    """Three parts that only add: three are stable, a fourth is not. Copies that are all the same: silhouettes of 1."""
    rng = np.random.default_rng(0)
    atoms = np.kron(np.eye(3), np.ones(3)) + 0.1 * rng.random((3, 9))
    x = (rng.exponential(size=(200, 3)) * (rng.random((200, 3)) < 0.5)) @ atoms + 0.05 * rng.random((200, 9))
    three = component_stability(ArrayActivations(x), params=StabilityParams(largest=4, copies=4), rng=rng)
    same = StabilityParams(kind=PCA, perturb=NOISE, noise=0.0, largest=3, copies=3)
    alike = component_stability(ArrayActivations(x - x.mean(axis=0)), params=same, rng=rng)
    return (
        CheckLine("three planted parts", 3.0, three.estimates[0].value, 0.0),
        CheckLine("their smallest silhouette", 0.95, three.estimates[1].value, 0.0, "at least"),
        CheckLine("a fourth at most", 0.75, float(three.series[WORST][2]), 0.0, "at most"),
        CheckLine("equal copies: smallest silhouette", 1.0, float(alike.series[WORST].min()), 1e-6),
    )


METHODS = (
    Method(
        id="component_stability", family="dictionaries", title="How many components", version=2,
        function=component_stability,
        summary="Components refitted to perturbed copies: which number comes back, and what it leaves over.",
        params=StabilityParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering rows within the data's samples up to the seed; one scale for all units",
        papers=("Determination of Latent Dimensionality in International Trade Flow",), libraries=("scikit-learn",),
    ),
)  # fmt: skip
