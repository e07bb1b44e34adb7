"""Atoms of a dictionary beside a tap, and how often each fires: from a feature set, a table or a checkpoint."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.subspaces.atoms import tied_rates
from analysis.errors import InputError
from analysis.features.tap_dictionary import tap_dictionary
from analysis.sources.atoms import Atoms, atoms_of, latent_rates, usable_atoms
from analysis.sources.unit_weights import is_table

TIED = (
    "Firing rates are those of a code made here from the atoms themselves ({} largest projections a row), not of the "
    "dictionary's encoder: take the tap of its latents, or a table of atoms with such a column."
)


def atoms_beside(source: Activations, d: int, layer: str = "", table: bool = False) -> Atoms:
    """Atoms of `d` units: the directions of the feature set that encoded the tap; else a table's, or a checkpoint's.

    Raises InputError, and what `analysis.sources.atoms.atoms_of` does.
    """
    if getattr(source, "set_folder", None) is None or layer or table:
        return atoms_of(source, d, layer, table)
    features = tap_dictionary(source).features
    if features.n_units != d:
        raise InputError(
            f"{source.name} has directions in {features.n_units:,} units", f"{d:,}, the units of the first tap",
            "Choose the tap that it was encoded from",
        )  # fmt: skip
    return usable_atoms(features.name, features.directions.astype(np.float64), [])


def firing_rates(
    x: np.ndarray, atoms: Atoms, source: Activations, column: str, active: int, table: bool
) -> tuple[np.ndarray, int, list[str]]:
    """Firing rate of each atom, rows they were counted on (0: not known), and what is to be said: of the latents that
    `source` holds, of a `column` of its table, or of rows `x` (n, d) encoded by the `active` largest projections."""
    encoded = getattr(source, "set_folder", None) is not None
    if (encoded or not is_table(source, table)) and source.shape[1] == atoms.count:
        return (
            *latent_rates(source, atoms),
            [f"Firing rates are shares of the rows of {source.name} above 0."],
        )
    if column:
        counted = sample_column(source, column)
        if len(counted) != atoms.count or counted.dtype.kind not in "biuf":
            raise InputError(
                f"column '{column}' has {len(counted)} values", f"a number for each of {atoms.count}"
            )
        rate = np.nan_to_num(np.asarray(counted, dtype=np.float64)[atoms.numbers], nan=0.0, posinf=0.0)
        return np.maximum(rate, 0.0), 0, []
    return (
        tied_rates(x - x.mean(axis=0), atoms.directions, active),
        len(x),
        [TIED.format(active)],
    )
