"""Do a dictionary's atoms lie where the activations vary? The energy of each atom in the active subspace.

P_r projects on the first r principal axes of the activations, those that hold 99 % of the variance. For each atom d_j
(decoder column of a sparse autoencoder, class mean, probe, any direction)

    energy_j = ‖P_r d_j‖² / ‖d_j‖²     against how often it fires

Atoms that never fire and have little energy are directions in which there is nothing to find: they collect at the lower
left. An autoencoder that starts inside the subspace (see 'Basis of the active subspace') has none of them.

How often an atom fires is read from the second tap where that holds the dictionary's latents, or from a column of the
table of atoms; without either, rows are encoded here by the atoms themselves, the `active` largest projections.

Null: a random atom, r / d with its exact interval (a beta distribution). Intervals: of means over atoms Student's t;
"error" of each energy by samples left out in groups.

When it lies: an atom outside P_r can be right about rare inputs, which hold little variance; atoms inside may be dead
because others took their place; encoding by the atoms themselves is not the dictionary's own encoder; with fewer
samples than units r is capped by n; energy leaves the mean out.

Cost: O(n d² + K d r), the axes of ten groups O(d³) each; memory O(n d + K d).

References: J. Wang et al. (2025), "Attention layers add into low-dimensional residual subspaces".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, load_matrix
from analysis.compute.linear.spectra import axes_for
from analysis.compute.linear.tap_spectrum import axes_of
from analysis.compute.machine import machine
from analysis.compute.statistics.moments import Moments
from analysis.compute.subspaces.atoms import (
    energies,
    energy_by_chance,
    energy_errors,
    energy_estimates,
    energy_guides,
)
from analysis.errors import ParameterError, TooLarge
from analysis.features.dictionary_atoms import atoms_beside, firing_rates
from analysis.results import Scatter
from analysis.sources.atoms import atoms_of, latent_rates
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, WIDEST = 8, 8192


@dataclass(frozen=True)
class AtomEnergyParams:
    share: float = param(0.99, "Share of the variance that the active subspace holds.", low=0.1, high=0.9999)
    directions: int | None = param(
        None, "Directions r of it; automatic: those for the share.", low=1, high=WIDEST
    )
    layer: str = param(
        "",
        "Decoder layer in the second tap's checkpoint, whose columns are atoms; empty: the module it recorded.",
        label="decoder layer of the second tap's network",
        layer=True,
    )
    table: bool = param(
        False,
        "The second tap holds a table of atoms: one a row, a column for each unit.",
        label="second tap is a table of atoms",
    )
    rate: str = param("", "Sample column of that table with firing rates or counts; empty: none.")
    active: int = param(8, "Atoms that fire on a row, where no firing rates are given.", low=1, high=1000)
    maximum_rows: int = param(10_000, "Most rows; a seeded random subset above.", low=50, high=200_000)


def atom_energy(
    activations, decoder, params: AtomEnergyParams = AtomEnergyParams(), rng=None, progress=no_progress
) -> Scatter:
    """Energy of atoms in the active subspace against their firing rates.

    Parameters
    ----------
    activations : Activations or array (rows, units)
    decoder : Activations or array
        A tap that a feature set encoded; or atoms as rows of a table; or the latents of a dictionary, a tap whose
        checkpoint has its decoder (`layer`).

    Returns
    -------
    Scatter
        A point for each atom: log10 of its firing rate and its energy; dead atoms at half of the least rate. Guides:
        chance and its 95 %. Columns: "state", "firing rate", "energy", "error", "beyond chance"; the same for all,
        "by chance, low", "by chance, high" (95 %), "directions of the subspace", "units".

    Raises
    ------
    InputError, ShapeError, NotFound, NotEnoughData, ParameterError, TooLarge
        Atoms that do not fit; no such layer or column; fewer than eight rows; over 8,192 units.
    """
    tap, source = as_activations(activations), as_activations(decoder)
    rng, d = rng or np.random.default_rng(0), tap.shape[1]
    if d > WIDEST:
        raise TooLarge(f"{tap.name} has {d:,} units", f"at most {WIDEST:,}", "Choose a narrower tap")
    progress(0.0, "reading atoms")
    atoms = atoms_beside(source, d, params.layer, params.table)
    loaded = load_matrix(tap, maximum_rows=params.maximum_rows, minimum_rows=FEWEST, rng=rng)
    x = np.asarray(loaded.values, dtype=np.float64)
    progress(0.1, "finding axes")
    axes = axes_of(Moments.of(x), tap.name)
    r = _directions(axes.eigenvalues, params)
    basis = axes.directions[:r].T
    energy = energies(atoms.directions, basis)
    progress(0.3, "counting how often atoms fire")
    rate, n, said = firing_rates(x, atoms, source, params.rate, params.active, params.table)
    progress(0.5, "leaving samples out")
    error = energy_errors(x, tap.layout.sample_of(loaded.rows), r, atoms.directions, rng)
    progress(1.0, "done")
    found = energy_estimates(energy, rate, r, d, len(x))
    least = 0.5 / n if n else 0.5 * rate[rate > 0].min(initial=1.0)
    place = np.log10(np.maximum(rate, least))
    _, _, low, high = energy_by_chance(r, d)
    return Scatter(
        title=f"Atoms of {atoms.name} in the active subspace of {tap.name}",
        reading=_reading(found, energy, rate, r, d),
        caveats=(*([loaded.note + "."] if loaded.note else []), *atoms.notes, *said, *_caveats(len(x), d, rate)),
        estimates=found, positions=np.column_stack([place, energy]), rows=atoms.numbers, of="atoms",
        axes=("log10 of the firing rate; dead atoms at the left end", "energy in the active subspace"),
        columns={
            "state": np.where(rate > 0, "fires", "dead"), "firing rate": rate, "energy": energy, "error": error,
            "beyond chance": np.where(energy > high, "above", np.where(energy < low, "below", "as a random atom")),
            **{name: np.full(len(energy), value) for name, value in (
                ("by chance, low", low), ("by chance, high", high), ("directions of the subspace", r), ("units", d))},
        },
        colour="state", guides=energy_guides(place, r, d),
    )  # fmt: skip


def _directions(values: np.ndarray, params: AtomEnergyParams) -> int:
    if params.directions is None:
        return axes_for(values, params.share)
    if params.directions > len(values):
        raise ParameterError(f"directions = {params.directions}", f"at most {len(values)}, which vary")
    return params.directions


def _reading(found, energy, rate, r: int, d: int) -> str:
    dead, below = rate == 0, energy < energy_by_chance(r, d)[2]
    said = (
        f"{r} of {d} directions hold the variance asked for; a random atom has {r / d:.0%} of its energy there. "
        f"{found[0].name[0].upper()}{found[0].name[1:]}: {found[0].value:.0%}."
    )
    if dead.any() and not dead.all():
        said += f" Those that never fire ({dead.mean():.0%}): {found[1].value:.0%}."
    return (
        said
        + f" {int(below.sum()):,} have less than a random atom would, {int((below & dead).sum()):,} of them dead."
    )


def _caveats(n: int, d: int, rate: np.ndarray) -> list[str]:
    notes = ["An atom outside the subspace may be right about rare inputs, which hold little variance."]
    if n <= d:
        notes.append(f"{n:,} rows for {d:,} units: no more than {n - 1:,} directions can be found.")
    if (rate > 0).all():
        notes.append("No atom is dead.")
    return notes


def _cost(shapes, params: AtomEnergyParams) -> Cost:
    (n, d), (k, width), m = shapes[0], shapes[1], machine()
    n, more = min(n, params.maximum_rows), k * width
    flops = 4.0 * n * d * d + 11 * 12.0 * d**3 + 2.0 * n * k * d + 22.0 * more * d
    held = 8.0 * (2.2 * n * d + 13.0 * d * d + 4.0 * more + 2.0 * min(n * k, 1 << 22))
    return Cost(m.seconds(flops64=flops, moved=24.0 * n * d + 8.0 * n * k) + 0.02, held)


def _check() -> tuple[CheckLine, ...]:
    """Activations in 5 of 40 directions: atoms inside have energy 1, outside 0, random ones r / d; latents and a column
    tell which are dead."""
    rng = np.random.default_rng(8)
    frame = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    x = ArrayActivations(rng.standard_normal((300, 5)) @ frame[:, :5].T + 2)
    inside, outside = (
        rng.standard_normal((30, 5)) @ frame[:, :5].T,
        rng.standard_normal((30, 35)) @ frame[:, 5:].T,
    )
    fires = np.repeat([0.25, 0.0], 30)
    table = ArrayActivations(np.vstack([inside, outside]), samples={"rate": fires})
    found = atom_energy(x, table, params=AtomEnergyParams(rate="rate")).columns
    latents = ArrayActivations(1.0 * (np.arange(200)[:, None] % 4 < fires * 4))
    told = latent_rates(latents, atoms_of(table, 40))[0]
    many = atom_energy(x, ArrayActivations(rng.standard_normal((2000, 40))))
    _, deviation, low, high = energy_by_chance(5, 40)
    drawn = many.columns["energy"]
    return (
        CheckLine("atoms inside", 1.0, float(found["energy"][:30].min()), 1e-9),
        CheckLine("atoms outside", 0.0, float(found["energy"][30:].max()), 1e-9),
        CheckLine("rates read from latents", 0.0, float(np.abs(told - fires).max()), 1e-12),
        CheckLine("atoms said to be dead", 30.0, float((found["state"] == "dead").sum()), 0.0),
        CheckLine("random atoms: r / d", 5 / 40, float(drawn.mean()), 4 * deviation / np.sqrt(2000)),
        CheckLine("and 95 % in their interval", 0.95, float(((drawn > low) & (drawn < high)).mean()), 0.02),
    )  # fmt: skip


METHODS = (
    Method(
        id="atom_energy", family="subspaces", title="Atoms of a dictionary in the active subspace", version=3,
        function=atom_energy,
        summary="How much of each atom (decoder column) lies where activations vary, against how often it fires.",
        params=AtomEnergyParams, result=Scatter, check=_check, cost=_cost, inputs=2,
        roles=("activations", "the dictionary's latents"), matches="nothing",
        minimum_rows=FEWEST, invariance="rotating activations and atoms alike, shifting or scaling the activations, "
        "scaling each atom; without firing rates their order among atoms of equal length only",
        papers=("Attention Layers Add Into Low-Dimensional Residual Subspaces",),
    ),
)  # fmt: skip
