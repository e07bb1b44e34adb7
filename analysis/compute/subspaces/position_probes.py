"""How well tokens tell their places after what tells them was taken out, round by round, of samples that had no part
in it."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import groups_of
from analysis.compute.subspaces.attribute_axes import FITS, REGRESSION
from analysis.compute.subspaces.position_removal import PlacedTokens, removed_by_round, without
from analysis.compute.subspaces.probe_r2 import ProbeR2, held_errors, joined, probe_r2
from analysis.spec import Progress, no_progress

FOLDS = 3


def read_by_round(
    data: PlacedTokens,
    pooled: bool,
    rounds: int,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> dict[str, list[ProbeR2]]:
    """R² after 0 … `rounds` rounds of either removal, of tokens of other samples than those that made what is removed:
    half of the samples make it, probes are cross-validated in the other half, and both ways round."""
    count = int(data.sample.max()) + 1
    half = (rng.permutation(count) % 2)[data.sample]
    fold = rng.permutation(np.arange(count) % FOLDS)[data.sample]
    group = groups_of(count, rng)[data.sample]
    parts: dict[str, list[list]] = {how: [[] for _ in range(rounds + 1)] for how in FITS}
    for i in (0, 1):
        fitted, read = np.flatnonzero(half == i), np.flatnonzero(half != i)
        moves = np.array([moved_places(data.sample[read], pooled, rng) for _ in range(draws)])
        for how in FITS:
            bases = removed_by_round(data.x[fitted], data.position[fitted], rounds, how)
            for r, basis in enumerate(bases):
                done = (i + (how == REGRESSION) / 2 + r / (2 * rounds + 2)) / 2
                progress(span[0] + (span[1] - span[0]) * done, "probing places")
                same = r and basis.shape[1] == bases[r - 1].shape[1]
                errors = parts[how][r - 1][-1][1] if same else held_errors(
                    without(data.x[read], basis), data.position[read], fold[read], moves
                )  # fmt: skip
                parts[how][r].append((read, errors))
    return {how: [probe_r2(joined(p, len(data.x)), group) for p in found] for how, found in parts.items()}


def moved_places(sample: np.ndarray, pooled: bool, rng: np.random.Generator) -> np.ndarray:
    """(n,) tokens exchanged within each sample, or all samples where each has one."""
    if pooled:
        return rng.permutation(len(sample))
    order = np.lexsort((rng.random(len(sample)), sample))
    out = np.empty(len(sample), np.int64)
    out[np.argsort(sample, kind="stable")] = order
    return out
