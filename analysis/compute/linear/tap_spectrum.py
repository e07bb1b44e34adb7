"""The second moments of a tap in their own axes, with what each group of samples adds to them: made once and kept.

Every number that is a function of a spectrum, its interval included, comes from

    λ_i      eigenvalues of the centred covariance, Σ (x - mean)(x - mean)ᵀ / (n - 1)
    μ_i      eigenvalues of the rows as they are, Σ x xᵀ / n
    parts    Σ s_i² over the rows of each of (up to) 100 random groups of samples, s the score on axis i

without the data: λ_i without group g is (Σ parts - parts_g) / (n - n_g), to first order in the group's share (the axes
stay), from which the jackknife makes intervals (an infinitesimal jackknife over groups, with the tokens of a sample in
one). Memory O(d²), whatever n; kept are the moments (d² numbers) and the parts (100 · d).

Reference: J. Tukey (1958) and L. Jaeckel (1972) for the jackknife and its infinitesimal form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import Activations
from analysis.compute import kept
from analysis.compute.linear.axis_error import scored_blocks
from analysis.compute.linear.linalg import LARGEST_SIDE, PrincipalAxes, principal_axes
from analysis.compute.rows.some_samples import EVERY, some_samples
from analysis.compute.statistics.moments import Moments, moments_of
from analysis.compute.statistics.sample_groups import jackknife_error
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, TooLarge
from analysis.spec import Progress, no_progress

GROUPS = 100
FEWEST = 4  # rows
MOST_KEPT = 3000  # units of a tap whose scatter is kept: 72 MB


@dataclass(frozen=True)
class TapSpectrum:
    """Of `n` finite rows of `d` units, `samples` of them independent: `values` (r,) the λ, falling, all above 0, and
    `raw` (q,) the μ; `parts` (G, r) and `raw_parts` (G, q) sums of squared scores of each group of `sizes` (G,) rows;
    `mean` and `variances` (d,) of the units; `notes` on what was left out."""

    name: str
    n: int
    samples: int
    values: np.ndarray
    raw: np.ndarray
    parts: np.ndarray
    raw_parts: np.ndarray
    sizes: np.ndarray
    mean: np.ndarray
    variances: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def d(self) -> int:
        return len(self.mean)

    @property
    def constant(self) -> int:
        """Units that never change."""
        return int((self.variances == 0).sum())

    def without(self, raw: bool = False) -> np.ndarray:
        """(G, r) eigenvalues without each group, to first order."""
        parts = self.raw_parts if raw else self.parts
        scale = 1.0 if raw else self.n / (self.n - 1)
        left = (parts.sum(axis=0) - parts) / (self.n - self.sizes)[:, None] * scale
        return np.maximum(left, 0.0)

    def half_width(self, without: np.ndarray) -> np.ndarray:
        """Half of the 95 % interval (…,) of a statistic from its values without each group (G, …)."""
        return stdtrit(max(len(without) - 1, 1), 0.975) * jackknife_error(without)


def kept_moments(
    activations: Activations,
    seen: Pass,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Moments | None:
    """Moments of the finite rows, kept beside the results of a workspace under the tap's digest; `seen` tells of the
    rows as after a pass. None where no row is finite. O(n d²) once, memory O(d²)."""
    made_of = {"tap": activations.digest, "version": 1}
    keeps = kept.shelved() and activations.shape[1] <= MOST_KEPT
    if keeps and (found := kept.find("moments", made_of)) is not None:
        n, *counts = (int(v) for v in found["counts"])
        seen.n_rows, seen.n_nonfinite, seen.n_samples, seen.last_sample = counts
        progress(span[1], "measuring covariance")
        return Moments(n, found["mean"], found["scatter"])
    moments = moments_of(activations, seen, progress, span)
    if keeps and moments is not None:
        counts = [moments.n, seen.n_rows, seen.n_nonfinite, seen.n_samples, seen.last_sample]
        arrays = {"counts": np.array(counts), "mean": moments.mean, "scatter": moments.scatter}
        kept.keep("moments", made_of, arrays)
    return moments


def tap_spectrum(
    activations: Activations,
    positions: np.ndarray | None = None,
    tokens: str = EVERY,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    keep: bool = True,
) -> TapSpectrum:
    """Of the samples `positions` (m,), in any order (None: all), with `tokens` as rows or pooled (`rows.some_samples`);
    kept in a workspace unless told otherwise. Two passes and O(n d min(n, d)) the first time; memory O(d²), or O(n d)
    where rows are fewer than units or tokens are pooled.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than four finite rows; every unit constant; rows and units both above 8,192.
    """
    positions = None if positions is None else np.sort(positions)
    chosen = None if positions is None else kept.content_digest(positions)
    made_of = {"tap": activations.digest, "samples": chosen, "tokens": tokens, "version": 1}
    keep = keep and kept.shelved()
    found = kept.find("tap spectrum", made_of) if keep else None
    if found is None:
        first = span[0] + (0.0 if tokens == EVERY else 0.2) * (span[1] - span[0])
        rows, notes = some_samples(activations, positions, tokens, progress, (span[0], first))
        found = _measured(rows, notes, keep, progress, (first, span[1]))
        if keep:
            kept.keep("tap spectrum", made_of, found)
    progress(span[1], f"measured {activations.name}")
    n, samples = (int(v) for v in found["counts"])
    rest = {key: found[key] for key in ("values", "raw", "parts", "raw_parts", "sizes", "mean", "variances")}
    return TapSpectrum(activations.name, n, samples, **rest, notes=tuple(str(t) for t in found["notes"]))


def _measured(activations: Activations, notes, keep: bool, progress: Progress, span) -> kept.Arrays:
    seen, half = Pass(), (span[0] + span[1]) / 2
    axes = _axes(activations, seen, keep, progress, (span[0], half))
    basis, raw = _raw_axes(axes)
    values = axes.eigenvalues[: len(axes.directions)]
    group = _groups(activations, seen)
    count = int(group.max()) + 1
    parts, raw_parts = np.zeros((count, len(values))), np.zeros((count, len(raw)))
    sizes = np.zeros(count, np.int64)
    inside = axes.directions @ axes.mean
    for rows, scores, _ in scored_blocks(activations, axes, progress, (half, span[1])):
        of = group[seen.owners(activations.layout, rows)]
        parts += _sums(of, scores**2, count)
        raw_parts += _sums(of, ((scores + inside) @ basis[:-1] + basis[-1]) ** 2, count)
        sizes += np.bincount(of, minlength=count)
    there = sizes > 0
    return {
        "counts": np.array([axes.n, seen.independent]), "values": values, "raw": raw, "parts": parts[there],
        "raw_parts": raw_parts[there], "sizes": sizes[there], "mean": axes.mean, "variances": axes.variances,
        "notes": np.array([*notes, *seen.notes], dtype=str),
    }  # fmt: skip


def _axes(activations: Activations, seen: Pass, keep: bool, progress: Progress, span) -> PrincipalAxes:
    """As `principal_axes`, from the kept moments where there are at least as many rows as units."""
    n, d = activations.shape
    if n < d:
        axes = principal_axes(activations, n, seen, progress, span)
        refuse_few(activations.name, axes.n, FEWEST)
        return axes
    if d > LARGEST_SIDE:
        raise TooLarge(
            f"{activations.name} needs a dense {d:,} x {d:,} eigenproblem", f"at most {LARGEST_SIDE:,} units",
            f"Use at most {LARGEST_SIDE:,} samples, or a narrower tap",
        )  # fmt: skip
    moments = (kept_moments if keep else moments_of)(activations, seen, progress, span)
    refuse_few(activations.name, moments.n if moments else 0, FEWEST)
    return axes_of(moments, activations.name)


def axes_of(moments: Moments, name: str) -> PrincipalAxes:
    """All axes of these moments: O(d³). Raises InputError where nothing varies."""
    variances = np.where(moments.varies(), moments.variance, 0.0)
    if not variances.any():
        raise InputError(
            f"every unit of {name} is constant", "activations that differ between rows", "Choose another tap"
        )
    values, vectors = np.linalg.eigh(moments.covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > values[0] * len(values) * np.finfo(float).eps
    keep[moments.n - 1 :] = False
    directions = np.ascontiguousarray(vectors[:, keep].T)
    return PrincipalAxes(moments.n, len(values), moments.mean, directions, values[keep], variances)


def _raw_axes(axes: PrincipalAxes) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the rows as they are, as columns over (the centred axes, the rest of the mean), and their μ, falling: the
    centred moments and one outer product."""
    inside = axes.directions @ axes.mean
    outside = np.sqrt(max(float(axes.mean @ axes.mean - inside @ inside), 0.0))
    along = np.append(inside, outside)
    values = axes.eigenvalues[: len(inside)] * (axes.n - 1) / axes.n
    raw, basis = np.linalg.eigh(np.diag(np.append(values, 0.0)) + np.outer(along, along))
    raw, basis = raw[::-1], basis[:, ::-1]
    keep = raw > raw[0] * max(axes.d, 2) * np.finfo(float).eps
    return basis[:, keep] * np.append(np.ones(len(inside)), outside)[:, None], raw[keep]


def _groups(activations: Activations, seen: Pass) -> np.ndarray:
    """Group of each sample (of each row where there is one sample only): at random, always the same."""
    n = activations.layout.n_samples if seen.n_samples > 1 else activations.shape[0]
    return np.random.default_rng(n).permutation(np.arange(n) % min(GROUPS, seen.independent))


def _sums(of: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count, k) sums of `values` (m, k) by group (m,)."""
    onehot = np.zeros((count, len(of)))
    onehot[of, np.arange(len(of))] = 1.0
    return onehot @ values
