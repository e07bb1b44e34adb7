"""Atoms of a dictionary, such as the columns of a sparse autoencoder's decoder: from a table or from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotEnoughData, ShapeError, TooLarge
from analysis.sources.unit_weights import is_table, unit_weights

FEWEST = 3
MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Atoms:
    """`directions` (k, d) of unit length, which atoms of the dictionary they are `numbers` (k,) of `count`; `notes`."""

    name: str
    directions: np.ndarray
    numbers: np.ndarray
    count: int
    notes: tuple[str, ...]


def atoms_of(source: Activations, d: int, layer: str = "", table: bool = False) -> Atoms:
    """Atoms of `d` units: rows of a table (or its columns, where only they fit), or the columns of the weights that a
    layer of the source's checkpoint writes with. Those of length 0 or with NaN are left out.

    Raises ShapeError, InputError, NotFound (no such layer), NotEnoughData (fewer than three), TooLarge over 4 GiB.
    """
    notes, made = [], is_table(source, table)
    if made:
        n, width = source.shape
        if 8 * n * width > MOST_BYTES:
            raise TooLarge(f"{source.name} needs {8 * n * width / 2**30:.1f} GiB", "at most 4 GiB")
        rows, name = np.asarray(source.take(np.arange(n)), dtype=np.float64), source.name
        if width != d and n == d:
            rows = rows.T
            notes.append(f"{source.name}: columns are atoms, for there is a row for each unit.")
    else:
        found = unit_weights(source, layer=layer, norm="none")
        rows, name = np.asarray(found.weight, dtype=np.float64).T, found.name
        notes += found.notes
    if rows.shape[1] != d:
        raise ShapeError(
            f"{name} has atoms of {rows.shape[1]:,} coordinates", f"one for each of the {d:,} units",
            "Choose the tap that the dictionary was trained on, or its decoder",
        )  # fmt: skip
    return usable_atoms(name, rows, notes)


def usable_atoms(name: str, rows: np.ndarray, notes: list[str]) -> Atoms:
    """Atoms of length 1 from `rows` (k, d) float64, those of length 0 or with NaN left out. Raises NotEnoughData."""
    finite = np.isfinite(rows).all(axis=1)
    length = np.linalg.norm(np.where(finite[:, None], rows, 0.0), axis=1)
    good = np.flatnonzero(length > 0)
    if len(good) < len(rows):
        notes.append(
            f"{len(rows) - len(good)} of {len(rows)} atoms have length 0 or hold NaN and were left out."
        )
    if len(good) < FEWEST:
        raise NotEnoughData(
            f"{len(good)} usable atom(s) in {name}",
            f"at least {FEWEST}",
            "Choose another table or layer of atoms",
        )
    return Atoms(name, rows[good] / length[good, None], good, len(rows), tuple(notes))


def latent_rates(latents: Activations, atoms: Atoms) -> tuple[np.ndarray, int]:
    """(k,) share of the finite rows on which the latent of each atom is above 0, and the number of these rows. Raises
    InputError where latents and atoms differ in number."""
    if latents.shape[1] != atoms.count:
        raise InputError(
            f"{latents.name} has {latents.shape[1]:,} latents and {atoms.name} {atoms.count:,} atoms",
            "one latent for each atom", "Choose the activations of this dictionary's latents",
        )  # fmt: skip
    counts, n = np.zeros(atoms.count), 0
    if hasattr(latents, "sparse_chunks"):
        for _, _, units, values in latents.sparse_chunks():
            counts += np.bincount(units[values > 0], minlength=atoms.count)
        n = latents.shape[0] - len(latents.gaps)
        return _rates(latents, counts, n, atoms)
    for _, block in latents.chunks():
        block = np.asarray(block)
        block = block[np.isfinite(block).all(axis=1)]
        counts += (block > 0).sum(axis=0)
        n += len(block)
    return _rates(latents, counts, n, atoms)


def _rates(latents, counts: np.ndarray, n: int, atoms: Atoms) -> tuple[np.ndarray, int]:
    if not n:
        raise NotEnoughData(f"{latents.name} has no finite row", "at least one")
    return (counts / n)[atoms.numbers], n
