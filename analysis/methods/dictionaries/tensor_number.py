"""How many components of samples × positions × units (× layers)? CP components that explain, agree and come back.

For each number k the CP model X ≈ Σ_r w_r a_r ∘ b_r ∘ c_r (profiles over samples, positions and units) is fitted to all
samples, and anew to copies of them: samples drawn again with replacement, each from a start of its own. Three numbers:
    explained         1 - |X - X̂|² / |X|²
    core consistency  how well the profiles do without products of different components (Bro & Kiers 2003), 100 at best
    silhouette        of the unit profiles of the copies, put into k clusters that hold one of each copy: 1 where all
                      agree; of a single component the mean cosine between copies
The answer is the largest k whose worst silhouette reaches the asked one and that of the null, and whose core
consistency is 50 or more.

Null: the samples of every unit in an order of its own. What a unit does over positions stays; what units share is gone.

When it lies: components that no CP model has (a shift along the positions, an interaction of two profiles) make the
core consistency fall though the directions are real: look at Tucker. Two components with the same profile over
positions are one to this model. Many samples make weak components of correlated noise stable. A table (one position)
has no unique components at all.

Cost: (largest - smallest + 1) × (3 + 2 copies) fits of O(size × k) a sweep.

References: "Determination of Latent Dimensionality in International Trade Flow" (2020); R. Bro & H. Kiers (2003), "A
new efficient method for determining the number of components in PARAFAC models"; J. Kruskal (1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout
from analysis.compute.dictionaries.component_silhouettes import aligned, silhouettes, spreads
from analysis.compute.machine import machine
from analysis.compute.tensors.asking import Asked, ComponentParams, asked_block
from analysis.compute.tensors.cp import core_consistency, cp
from analysis.compute.tensors.products import mixed_along_samples, summed
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

EXPLAINED, CORE, WORST = "explained", "core consistency / 100", "smallest silhouette"
SWEEPS, REFIT, SETTLED, CONSISTENT = 100, 40, 1e-5, 0.5
FEWEST = 20
NULL = "the samples of every unit in an order of its own, once, fitted again in the same way"


@dataclass(frozen=True)
class TensorNumberParams(ComponentParams):
    smallest: int = param(1, "Fewest components.", low=1, high=64)
    largest: int = param(5, "Most components.", low=1, high=64)
    copies: int = param(4, "Resampled copies for each number.", low=3, high=50)
    least: float = param(
        0.75, "Silhouette that the worst component of a stable number reaches.", low=0.0, high=1.0
    )


def tensor_number(
    *activations, params: TensorNumberParams = TensorNumberParams(), rng=None, progress=no_progress
) -> Curve:
    """Explained share, core consistency and silhouettes against the number of CP components.

    Parameters
    ----------
    activations : Activations or arrays (rows, units)
        One tap with tokens, or several layers of equal width with the same samples.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, ShapeError, TooLarge
        No number between the two; nothing varies; fewer than 20 samples; layers of different width; over 1 GiB.
    """
    rng = rng or np.random.default_rng(0)
    if params.largest < params.smallest:
        raise ParameterError(f"largest = {params.largest}", f"at least smallest, {params.smallest}")
    progress(0.0, "reading")
    asked = asked_block(activations, params, rng, lambda share, doing="": progress(0.05 * share, doing))
    most = max(1, min(params.largest, asked.x[0].size, len(asked.x) // 2))
    numbers = np.arange(min(params.smallest, most), most + 1)
    mixed = mixed_along_samples(asked.x, rng)
    found, null = [], []
    for i, k in enumerate(numbers):
        for j, (x, into) in enumerate(((asked.x, found), (mixed, null))):
            progress(0.05 + 0.95 * (i + j / 2) / len(numbers), f"{k} components" + " of mixed samples" * j)
            into.append(_of(x, int(k), asked, params, rng))
    progress(1.0, "done")
    return _curve(asked, numbers, np.array(found), np.array(null), params)


def _of(x: np.ndarray, k: int, asked: Asked, params: TensorNumberParams, rng) -> tuple[float, float, float]:
    """(explained, core consistency / 100, smallest silhouette)."""
    own = {"nonnegative": asked.nonnegative, "settles": SETTLED}
    whole = cp(x, k, rng, starts=2, sweeps=SWEEPS, **own)
    sets = np.zeros((params.copies, k, x.shape[-1]))
    for copy in sets:
        some = x[rng.integers(len(x), size=len(x))]
        atoms = cp(some, k, rng, starts=1, sweeps=REFIT, **own).factors[-1].T
        copy[: len(atoms)] = atoms
    signed = asked.x.ndim - 1 in asked.nonnegative
    together = aligned(sets, signed)
    worst = silhouettes(together, signed) if k > 1 else spreads(together, signed)
    return whole.explained, core_consistency(x, whole) / 100, float(worst.min())


def _curve(asked: Asked, numbers, found, null, params: TensorNumberParams) -> Curve:
    explained, core, worst = found.T
    good = np.flatnonzero(
        (worst >= params.least) & (worst > null[:, 2]) & (core >= CONSISTENT) & (explained > null[:, 0])
    )
    at = int(good[-1]) if len(good) else 0
    alike = np.flatnonzero((null[:, 2] >= params.least) & (null[:, 1] >= CONSISTENT))
    lucky = float(numbers[alike[-1]]) if len(alike) else 0.0  # what mixed samples pass for
    k, about = int(numbers[at]), {"n": len(asked.x), "d": asked.x.shape[-1], "null_method": NULL}
    estimates = (
        Estimate("components", float(k if len(good) else 0), null=lucky, **about,
                 estimator=f"largest number with silhouettes of {params.least:g} and core consistency of 50"),
        Estimate(f"explained by {k}", explained[at], null=null[at, 0], estimator="best of 2 starts", **about),
        Estimate(f"core consistency of {k}", 100 * core[at], null=100 * null[at, 1], estimator="of 100", **about),
        Estimate(f"smallest silhouette of {k}", worst[at], null=null[at, 2], **about,
                 estimator=f"over {params.copies} copies"),
    )  # fmt: skip
    said = list(asked.notes)
    if len(good) and at == len(numbers) - 1:
        said.append(f"The largest number tried, {k}, is stable: there may be more.")
    if core.min() < -1:
        said.append("Core consistency below -100 is drawn at -100.")
    sizes = " × ".join(f"{size} {mode}s" for size, mode in zip(asked.x.shape, asked.block.modes, strict=True))
    return Curve(
        title=f"Components of {asked.name}: {sizes}", reading=_reading(k, estimates, bool(len(good)), params),
        caveats=tuple(said), estimates=estimates, x=numbers.astype(float), x_name="components", y_name="share",
        series={EXPLAINED: explained, CORE: np.maximum(core, -1), WORST: worst},
        null={EXPLAINED: null[:, 0], WORST: null[:, 2]},
    )  # fmt: skip


def _reading(k: int, estimates, any_good: bool, params: TensorNumberParams) -> str:
    _, explained, core, worst = estimates
    beside = f"explain{'s' if k == 1 else ''} {explained.value:.1%} (samples mixed unit by unit: {explained.null:.1%})"
    if not any_good:
        return (
            f"No number of CP components is both stable (silhouette {params.least:g}) and consistent (50 of 100): {k} "
            f"{beside}, with a worst silhouette of {worst.value:.2f} and a core consistency of {core.value:.0f}."
        )
    return (
        f"{k} component{'' if k == 1 else 's'} come{'s' if k == 1 else ''} back in every copy (worst silhouette "
        f"{worst.value:.2f}, mixed samples {worst.null:.2f}), with a core consistency of {core.value:.0f} of 100, and "
        f"{beside}."
    )


def _cost(shapes, params: TensorNumberParams) -> Cost:
    m, layers = machine(), len(shapes)
    n, d = min(s[0] for s in shapes), shapes[0][1]
    size, k = min(n, 40 * params.maximum_samples) * d * layers, (params.smallest + params.largest) / 2
    sweeps = 2 * (2 * SWEEPS + params.copies * REFIT) * max(1, params.largest - params.smallest + 1) / 3
    held = min(n, params.maximum_samples) * d * layers * 8.0
    return Cost(
        m.seconds(flops64=sweeps * 8.0 * size * k, moved=sweeps * 24.0 * size, calls=sweeps * 90), 8 * held
    )


def _check() -> tuple[CheckLine, ...]:
    """Three planted components are found as three, and noise has none."""
    rng = np.random.default_rng(2)
    x = summed([rng.standard_normal((size, 3)) for size in (40, 6, 8)])
    x += 0.1 * x.std() * rng.standard_normal(x.shape)
    layout = Layout(np.arange(41, dtype=np.int64) * 6)
    three, none = (
        tensor_number(
            ArrayActivations(values.reshape(-1, 8), layout=layout), rng=rng,
            params=TensorNumberParams(smallest=low, largest=high, copies=3),
        )
        for values, low, high in ((x, 3, 4), (rng.standard_normal(x.shape), 2, 2))
    )  # fmt: skip
    return (
        CheckLine("three planted components", 3.0, three.estimates[0].value, 0.0),
        CheckLine("explained by three", 1 / 1.01, three.estimates[1].value, 0.005),
        CheckLine("their core consistency", 90.0, three.estimates[2].value, 0.0, "at least"),
        CheckLine("components of noise", 0.0, none.estimates[0].value, 0.0),
    )


METHODS = (
    Method(
        id="tensor_number", family="dictionaries", version=2,
        title="How many components of samples × positions × units",
        function=tensor_number,
        summary="CP components against their number: what they explain, whether they agree, whether they come back.",
        params=TensorNumberParams, result=Curve, check=_check, cost=_cost, more_inputs=True, same_units=True,
        others="nothing",
        minimum_rows=FEWEST,
        invariance="reordering units; one scale for all; reordering samples up to the seed",
        papers=("Determination of Latent Dimensionality in International Trade Flow",
                "Subspace power method for symmetric tensor decomposition"),
    ),
)  # fmt: skip
