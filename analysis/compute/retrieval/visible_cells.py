"""Likeness of spatial embeddings over the cells that can be seen.

    s(q, g) = Σ_{visible c} <q_c, g_c> / sqrt(Σ_{visible c} |q_c|² Σ_{visible c} |g_c|²)

With all cells visible it is the cosine of the flattened maps. What is hidden enters nowhere.

Reference: S. Shafique et al. (2024), "CriSp: Leveraging tread depth maps for enhanced crime-scene shoeprint matching".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.number_lists import numbers_in
from analysis.compute.rows.token_sets import TokenSets
from analysis.errors import InputError, NotEnoughData, ParameterError


@dataclass(frozen=True)
class Cells:
    """`values` (n, cells, d) of the `samples` (n,), which have every cell of `grid` (or a row of cells); `notes`."""

    values: np.ndarray
    samples: np.ndarray
    grid: tuple[int, int] | None
    notes: tuple[str, ...]


def cells_of(sets: TokenSets, tap: Activations, centred: bool, least: int) -> Cells:
    """Cells of all samples that have them all; leading tokens are no places. `centred`: each cell less its mean.

    Raises InputError where samples have different numbers of tokens, NotEnoughData below `least` samples.
    """
    wanted = np.unique(np.diff(tap.layout.offsets))
    if len(wanted) > 1:
        raise InputError(f"samples of {wanted[0]} to {wanted[-1]} tokens in {tap.name}", "the same places in every one",
                         "Choose a tap whose tokens are places of an image")  # fmt: skip
    full = sets.counts == wanted[0]
    if full.sum() < least:
        raise NotEnoughData(
            f"{int(full.sum())} sample(s) of {tap.name} with all cells finite", f"at least {least}"
        )
    values = sets.values[np.repeat(full, sets.counts)].reshape(int(full.sum()), int(wanted[0]), -1)
    grid, notes = sets.grid, []
    if grid is not None and sets.leading + grid[0] * grid[1] == wanted[0]:
        values = values[:, sets.leading :]
        if sets.leading:
            notes.append(f"{sets.leading} leading token(s), which are no places, left out.")
    else:
        grid = None
    if not full.all():
        notes.append(f"{int((~full).sum())} sample(s) without all cells left out.")
    return Cells(values - values.mean(axis=0) if centred else values, sets.samples[full], grid, tuple(notes))


def contributions(query: np.ndarray, gallery: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(n, visible cells): what each adds to the score of `query` (cells, d) with each of `gallery` (n, cells, d).

    A sample of zeros in all that is visible scores 0. Raises InputError for an empty mask.
    """
    if not visible.any():
        raise InputError(
            "a mask that hides every cell", "at least one visible cell", "Show more of the query"
        )
    q, g = query[visible], gallery[:, visible]
    size = np.sqrt((q * q).sum() * np.einsum("ncd,ncd->n", g, g))
    each = np.einsum("cd,ncd->nc", q, g)
    return np.divide(each, size[:, None], out=np.zeros_like(each), where=size[:, None] > 0)


def all_scores(values: np.ndarray, queries: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(q, n) scores of the samples `queries` (q,) among all of `values` (n, cells, d). O(q n cells d)."""
    if not visible.any():
        raise InputError("a mask that hides every cell", "at least one visible cell")
    flat = values[:, visible].reshape(len(values), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
    return unit[queries] @ unit.T


def patched_best(
    values: np.ndarray, at: int, visible: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """(draws,) the best score of queries that are patched together, each visible cell from another of the samples than
    `at`, searched among all the others: with the sample that gave a cell that cell is not compared, so that as many are
    searched as the query itself is held against. O(draws n cells d)."""
    gallery = np.delete(values[:, visible], at, axis=0)
    n, cells, _ = gallery.shape
    square, best = np.einsum("ncd,ncd->nc", gallery, gallery), np.zeros(draws)
    for k in range(draws):
        donor = rng.integers(n, size=cells)
        kept = donor != np.arange(n)[:, None]
        query = gallery[donor, np.arange(cells)]
        inner = (np.einsum("cd,ncd->nc", query, gallery) * kept).sum(axis=1)
        size = np.sqrt((kept * (query**2).sum(axis=1)).sum(axis=1) * (square * kept).sum(axis=1))
        best[k] = np.divide(inner, size, out=np.zeros(n), where=size > 0)[kept.any(axis=1)].max(initial=-1.0)
    return best


def mask_of(
    cells: int, grid: tuple[int, int] | None, rows: str, columns: str, numbers: str, hide: bool
) -> np.ndarray:
    """(cells,) bool of what is visible: the rectangle of grid `rows` and `columns`, from 1, and cells by their
    `numbers`, from 0, written "2-5, 8"; all where nothing is named. `hide`: what is named is hidden instead."""
    named = np.zeros(cells, bool)
    if rows or columns:
        if grid is None:
            raise ParameterError("rows or columns of cells that lie on no grid", "numbers of cells")
        inside = np.zeros(grid, bool)
        down = numbers_in(rows, 1, grid[0], "rows") if rows else np.arange(1, grid[0] + 1)
        along = numbers_in(columns, 1, grid[1], "columns") if columns else np.arange(1, grid[1] + 1)
        inside[np.ix_(down - 1, along - 1)] = True
        named |= inside.ravel()
    if numbers:
        named[numbers_in(numbers, 0, cells - 1, "cells")] = True
    if not (rows or columns or numbers):
        return np.ones(cells, bool)
    return ~named if hide else named
