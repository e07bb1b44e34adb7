"""Where a token is, as numbers, and the subspaces that tell it: removed at once, or one regression after the other.

Let x be tokens (centred) and p their positions (row and column, centred). After removing the span of Cov(x, p) the
tokens have no covariance with p, so that on the same tokens a linear regression explains exactly nothing. The weights
of one regression, Cov(x)⁺ Cov(x, p), span another subspace; without it there is covariance left, and the next
regression finds it (Ravfogel et al. 2020 iterate this).

References: S. Venkataramanan et al. (2025), "Franca"; S. Ravfogel et al. (2020), "Null it out".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.compute.statistics.moments import is_varying
from analysis.compute.subspaces.attribute_axes import COVARIANCE
from analysis.errors import InputError, NotEnoughData


@dataclass(frozen=True)
class PlacedTokens:
    """`x` (n, d) centred tokens; `position` (n, p) standardised, called `names`; `sample` (n,) rising from 0;
    `positions` in the tap (samples,) of these; `notes`."""

    x: np.ndarray
    position: np.ndarray
    names: tuple[str, ...]
    sample: np.ndarray
    samples: np.ndarray
    notes: tuple[str, ...]


def placed_tokens(
    tap: Activations, rng: np.random.Generator, *, maximum_rows: int, minimum: int
) -> PlacedTokens:
    """Tokens of random samples with their place: row and column on a grid (leading tokens left out), the number of the
    token without one; of a pooled tap the number of the sample in the recording.

    Raises NotEnoughData below `minimum` samples, InputError where there is one place only or nothing varies.
    """
    layout = tap.layout
    chosen, notes = np.arange(layout.n_samples), []
    each = max(1, -(-layout.n_rows // max(layout.n_samples, 1)))
    most = max(minimum, maximum_rows // each)
    if len(chosen) > most:
        notes.append(f"Tokens of a random {most:,} of {len(chosen):,} samples used.")
        chosen = np.sort(rng.choice(len(chosen), size=most, replace=False))
    rows = np.concatenate([np.arange(layout.offsets[i], layout.offsets[i + 1]) for i in chosen])
    if layout.leading:
        rows = rows[layout.token_of(rows) >= layout.leading]
        notes.append(f"{layout.leading} leading token(s) of each sample left out: they have no place.")
    x = np.asarray(tap.take(rows), dtype=np.float64)
    good = finite_rows(x)
    if not good.all():
        notes.append(f"{int((~good).sum())} row(s) with NaN or infinity left out.")
        x, rows = x[good], rows[good]
    samples, sample = np.unique(layout.sample_of(rows), return_inverse=True)
    if len(samples) < minimum:
        raise NotEnoughData(
            f"{tap.name} has {len(samples)} finite sample(s)", f"at least {minimum}", "Record more samples"
        )
    position, names = _positions(layout, rows)
    stay = position.std(axis=0) > 0
    if not stay.any():
        raise InputError(
            f"all tokens of {tap.name} have one place", "tokens at several places", "Choose another tap"
        )
    position = position[:, stay]
    units = is_varying(x.var(axis=0), x.mean(axis=0))
    if not units.any():
        raise InputError(f"no unit of {tap.name} varies", "units that differ", "Choose another tap")
    if not units.all():
        notes.append(f"{int((~units).sum())} constant unit(s) left out.")
        x = x[:, units]
    return PlacedTokens(
        x - x.mean(axis=0), (position - position.mean(axis=0)) / position.std(axis=0),
        tuple(n for n, s in zip(names, stay, strict=True) if s), sample.reshape(-1), samples, tuple(notes),
    )  # fmt: skip


def _positions(layout, rows: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    if layout.is_pooled:
        return layout.sample_of(rows)[:, None].astype(np.float64), ("order of the samples",)
    token = layout.token_of(rows) - layout.leading
    if layout.grid is None:
        return token[:, None].astype(np.float64), ("token",)
    return np.column_stack([token // layout.grid[1], token % layout.grid[1]]).astype(np.float64), (
        "row",
        "column",
    )


def removed_by_round(x: np.ndarray, position: np.ndarray, rounds: int, how: str) -> list[np.ndarray]:
    """Orthonormal bases (d, k_r) of all that is removed after each of 0 … `rounds` rounds, fitted to tokens `x` (n, d)
    and their `position` (n, p). A round that finds nothing removes nothing."""
    x, position = x - x.mean(axis=0), position - position.mean(axis=0)
    basis, scale = np.zeros((x.shape[1], 0)), float(np.linalg.norm(x.T @ position))
    out = [basis]
    for _ in range(rounds):
        left = without(x, basis)
        found = left.T @ position if how == COVARIANCE else ridge_weights(left, position)
        small = 1e-10 * (scale if how == COVARIANCE else float(np.abs(found).max(initial=0.0)))
        vectors, s, _ = np.linalg.svd(found, full_matrices=False)
        more = vectors[:, s > max(small, 1e-300)]
        basis = np.linalg.qr(np.hstack([basis, more - basis @ (basis.T @ more)]))[0] if more.size else basis
        out.append(basis)
    return out


def without(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """`x` (n, d) with nothing along the orthonormal columns `basis` (d, k)."""
    return x - (x @ basis) @ basis.T


def explained(x: np.ndarray, position: np.ndarray) -> tuple[float, int]:
    """Mean R² of the columns of `position` (n, p) by least squares on the same rows `x` (n, d), and the rank of x."""
    x, position = x - x.mean(axis=0), position - position.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    keep = values > max(float(values[-1]), 1e-300) * max(x.shape) * 1e-14
    along = (vectors[:, keep].T @ (x.T @ position)) / np.sqrt(values[keep])[:, None]
    return float(((along**2).sum(axis=0) / (position**2).sum(axis=0)).mean()), int(keep.sum())
