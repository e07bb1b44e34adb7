"""The core of a Tucker model: which profiles of the units go with which profiles along the positions.

X ≈ G ×₁ A ×₂ B ×₃ C, bases A of samples, B of positions (or layers), C of units, each orthonormal. Cell (r, q) is the
share of the squares of X in the core's G[:, q, r]: units' profile r with positions' profile q, over all profiles of the
samples. CP is the case of a core that is 0 off its diagonal. Beside it the multilinear ranks: of every mode the number
of singular values of the unfolding above the largest that independent normal numbers with the units' mean squares had
in 19 draws, so that noise has one beyond it in one of 20 cases.

Null of the explained share: samples whose units are each in an order of their own.

When it lies: **a Tucker model is unique only up to a rotation of each basis**. Drawn is the canonical orientation (the
slices of the core along each mode are orthogonal to each other and fall in size); with other axes of the same
subspaces the cells are others, with the same sum. A single profile is no concept: its subspace is what is determined.
Slices of nearly equal size turn into each other with other samples.

Cost: two models of O(size × smallest side) a sweep, and 20 times the spectra of all unfoldings.

References: L. De Lathauwer, B. De Moor & J. Vandewalle (2000), "A multilinear singular value decomposition";
"Functional Bayesian Tucker decomposition for continuous-indexed tensor data".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.tensors.asking import Asked, BlockParams, asked_block
from analysis.compute.tensors.products import mixed_along_samples, mode_spectra, noise_edges, times
from analysis.compute.tensors.tucker import TuckerFactors, tucker
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SWEEPS, NAMED = 30, 2
DRAWS, NOISES = 200, 19
FEWEST = 20
NOISE = "independent normal numbers with the units' mean squares"
HOW = "the samples of every unit in an order of its own, once"
TURNED = (
    "Only the subspaces are determined: any rotation of the profiles with the core turned back fits as well. Shown is "
    "the canonical orientation."
)


@dataclass(frozen=True)
class TuckerCoreParams(BlockParams):
    units: int = param(6, "How many profiles of units.", low=1, high=128)
    positions: int = param(4, "How many profiles along positions, and along layers.", low=1, high=64)
    sample_profiles: int = param(12, "How many profiles of samples.", low=1, high=256)


def tucker_core(
    *activations, params: TuckerCoreParams = TuckerCoreParams(), rng=None, progress=no_progress
) -> Matrix:
    """Shares of the squares in each pair of a units' and a positions' profile.

    Parameters
    ----------
    activations : Activations or arrays (rows, units)
        One tap with tokens, or several layers of equal width with the same samples.

    Raises
    ------
    InputError, NotEnoughData, ShapeError, TooLarge
        Nothing varies; fewer than eight samples; layers of different width; over 1 GiB.
    """
    rng = rng or np.random.default_rng(0)
    progress(0.0, "reading")
    asked = asked_block(activations, params, rng, lambda share, doing="": progress(0.1 * share, doing))
    x = asked.x
    mixed = mixed_along_samples(x, rng)
    progress(0.1, "fitting")
    ranks = [params.sample_profiles, *(params.positions for _ in asked.between), params.units]
    ranks = [min(r, size) for r, size in zip(ranks, x.shape, strict=True)]
    ranks = [min(r, int(np.prod(ranks)) // r) for r in ranks]
    found = tucker(x, ranks, SWEEPS)
    progress(0.5, "samples mixed unit by unit")
    chance = tucker(mixed, ranks, SWEEPS)
    progress(0.8, "multilinear ranks")
    sizes = np.sqrt((x**2).mean(axis=tuple(range(x.ndim - 1))))
    spectra = mode_spectra(x)
    edges = noise_edges(x.shape, sizes, NOISES, rng, lambda s: progress(0.8 + 0.2 * s, "multilinear ranks"))
    counts = [int((s > edge).sum()) for s, edge in zip(spectra, edges, strict=True)]
    progress(1.0, "done")
    return _matrix(as_activations(activations[0]), asked, found, chance, counts, rng)


def _shares(found: TuckerFactors) -> np.ndarray:
    """(units' profiles, profiles of all modes between)."""
    energy = (found.core**2).sum(axis=0)
    return energy.reshape(-1, energy.shape[-1]).T / found.total


def _matrix(tap, asked: Asked, found: TuckerFactors, chance: TuckerFactors, counts, rng) -> Matrix:
    x, values = asked.x, _shares(found)
    between = [_along(f, mode) for f, mode in zip(found.factors[1:-1], asked.between, strict=True)]
    columns = between[0] if len(between) == 1 else [f"{a}; {b}" for a in between[0] for b in between[1]]
    rows = [_units(c, r, tap.unit_names) for r, c in enumerate(found.factors[-1].T)]
    about = {"n": len(x), "d": x.shape[-1], "null_method": HOW}
    low, high = _interval(x, found, rng)
    estimates = [
        Estimate("explained", found.explained, min(low, found.explained), max(high, found.explained),
                 interval="bootstrap over samples, bases held", null=chance.explained, **about),
        *(Estimate(f"rank along {mode}s", float(count), null=0.0, **about | {"null_method": NOISE},
                   estimator=f"singular values above those of {NOISES} draws of noise, of {size}")
          for mode, count, size in zip(asked.block.modes, counts, x.shape, strict=True)),
    ]  # fmt: skip
    at = np.unravel_index(values.argmax(), values.shape)
    said = ", ".join(f"{c} of {s} {m}s" for c, s, m in zip(counts, x.shape, asked.block.modes, strict=True))
    return Matrix(
        title=f"Core of {asked.name}: units' profiles × " + " × ".join(f"{m}s' profiles" for m in asked.between),
        reading=(
            f"The model explains {found.explained:.1%} (samples mixed unit by unit: {chance.explained:.1%}); the "
            f"largest cell, units' profile {at[0] + 1} with that of {columns[at[1]]}, holds {values[at]:.1%}. "
            f"Profiles beyond noise: {said}."
        ),
        caveats=(*asked.notes, TURNED), estimates=tuple(estimates), values=values, row_names=tuple(rows),
        column_names=tuple(columns), value_name="share of the squares", null=_padded(_shares(chance), values.shape),
        limits=(0.0, float(values.max())),
    )  # fmt: skip


def _padded(values: np.ndarray, shape) -> np.ndarray:
    out = np.zeros(shape)
    out[: values.shape[0], : values.shape[1]] = values[: shape[0], : shape[1]]
    return out


def _interval(x: np.ndarray, found: TuckerFactors, rng) -> tuple[float, float]:
    """95 % of the explained share over samples drawn again, with the bases of units and positions as they are."""
    part = x
    for mode, factor in enumerate(found.factors[1:], 1):
        part = times(part, factor.T, mode)
    inside = (part.reshape(len(x), -1) ** 2).sum(axis=1)
    rebuilt = times(times(part, found.factors[0].T, 0), found.factors[0], 0)
    left = (x.reshape(len(x), -1) ** 2).sum(axis=1) - inside
    left = left + ((part - rebuilt).reshape(len(x), -1) ** 2).sum(axis=1)
    size, picked = (x.reshape(len(x), -1) ** 2).sum(axis=1), rng.integers(len(x), size=(DRAWS, len(x)))
    low, high = np.percentile(1 - left[picked].sum(axis=1) / size[picked].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _along(factor: np.ndarray, mode: str) -> list[str]:
    """Short names of profiles along a mode: where they peak, or that they are about even."""
    out = []
    for q, b in enumerate(factor.T):
        even = np.ptp(b) < 0.5 * np.abs(b).max()
        out.append(f"{mode} {q + 1}, " + ("even" if even else f"peak {int(np.abs(b).argmax())}"))
    return out


def _units(c: np.ndarray, r: int, names) -> str:
    top = np.argsort(-np.abs(c), kind="stable")[:NAMED]
    return f"units {r + 1}: " + ", ".join(("−" if c[i] < 0 else "") + str(names[i]) for i in top)


def _cost(shapes, params: TuckerCoreParams) -> Cost:
    m, layers = machine(), len(shapes)
    n, d = min(s[0] for s in shapes), shapes[0][1]
    size = min(n, 40 * params.maximum_samples) * d * layers
    held = min(n, params.maximum_samples) * d * layers * 8.0
    return Cost(
        m.seconds(flops64=2.0 * SWEEPS * size * 60 + NOISES * size * (n + d), moved=4 * SWEEPS * 8.0 * size)
        + 0.01,
        8 * held,
    )


def _check() -> tuple[CheckLine, ...]:
    """A planted core: its multilinear ranks, all of it explained, and the shares of its canonical orientation."""
    rng = np.random.default_rng(0)
    core = np.zeros((4, 2, 3))
    core[0, 0, 0], core[1, 0, 1], core[2, 1, 2], core[3, 1, 0] = 4, 3, 2, 1
    x = core
    for mode, size in enumerate((40, 6, 9)):
        basis = rng.standard_normal((size, core.shape[mode]))
        basis = basis - basis.mean(axis=0) if mode == 0 else basis
        x = times(x, np.linalg.qr(basis)[0], mode)
    layout = Layout(np.arange(41, dtype=np.int64) * 6)
    tap = ArrayActivations(x.reshape(-1, 9), layout=layout)
    found = tucker_core(tap, params=TuckerCoreParams(units=3, positions=2, sample_profiles=4), rng=rng)
    noisy = ArrayActivations(x.reshape(-1, 9) + 1e-3 * rng.standard_normal((240, 9)), layout=layout)
    few = tucker_core(noisy, params=TuckerCoreParams(units=3, positions=2, sample_profiles=4), rng=rng)
    return (
        CheckLine("explained", 1.0, found.estimates[0].value, 1e-9),
        CheckLine("share of the largest cell", 16 / 30, float(found.values[0, 0]), 1e-9),
        CheckLine("of the second", 9 / 30, float(found.values[1, 0]), 1e-9),
        CheckLine("explained with a little noise", 1.0, few.estimates[0].value, 1e-2),
    )


METHODS = (
    Method(
        id="tucker_core", family="dictionaries", title="Profiles of units with profiles of positions", version=2,
        function=tucker_core,
        summary="The core of a Tucker model of samples × positions × units: which profiles go together.",
        params=TuckerCoreParams, result=Matrix, check=_check, cost=_cost, more_inputs=True, same_units=True,
        others="nothing",
        minimum_rows=FEWEST, invariance="reordering units or samples up to the seed; one scale for all units",
        papers=("Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor Data",),
    ),
)  # fmt: skip
