"""Two networks' class probabilities at the same places of the same samples, kept by place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.outputs.model_outputs import log_probabilities, refuse_single_class
from analysis.compute.rows.grid_resampling import bilinear
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.spec import Progress

MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Peers:
    """`logs`, of each peer (S, T, C) log-probabilities, NaN at places that a sample does not have; `samples` (S,)
    positions in the first tap; `grid` and `leading` of the places; `classes`; `names`; `notes`."""

    logs: tuple[np.ndarray, np.ndarray]
    samples: np.ndarray
    grid: tuple[int, int] | None
    leading: int
    classes: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def peer_outputs(
    first: Activations,
    second: Activations,
    kind: str,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress,
) -> Peers:
    """At most `maximum` samples (a seeded random subset), in the order of the first tap, matched by id. Where both taps
    lie on image grids of different size, the second's probabilities are carried to the first's grid; leading tokens are
    then left out. Samples with a value that is not finite are left out. O(S T C).

    Raises InputError (different classes, different numbers of places without a grid), NotEnoughData and TooLarge.
    """
    for tap in (first, second):
        refuse_single_class(tap)
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"{first.name} has {first.shape[1]} classes and {second.name} has {second.shape[1]}",
            "the same classes",
        )
    at, said = _common(first, second, maximum, rng)
    names, progressed = tap_names([first.name, second.name]), (0.05, 0.3)
    found = []
    for tap, positions, name, fraction in zip((first, second), at, names, progressed, strict=True):
        progress(fraction, f"reading {name}")
        found.append(_padded(tap, positions, kind, name, said))
    good = found[0][1] & found[1][1]
    if not good.all():
        said.append(f"{int((~good).sum())} sample(s) with NaN or infinity left out.")
    if good.sum() < 2:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) are finite in both taps", "at least 2", "Record more samples"
        )
    logs, grid, leading = _on_one_grid(first, second, [f[0][good] for f in found], said)
    if not np.array_equal(np.isfinite(logs[0][..., 0]), np.isfinite(logs[1][..., 0])):
        raise InputError(
            f"{first.name} and {second.name} have different numbers of tokens in some sample", "the same places",
            "Record both on the same inputs",
        )  # fmt: skip
    return Peers(tuple(logs), at[0][good], grid, leading, tuple(first.unit_names), names, tuple(said))


def _common(first, second, maximum: int, rng) -> tuple[tuple[np.ndarray, np.ndarray], list[str]]:
    """Positions of the common samples in both taps, in the order of the first; notes."""
    ids, said = [np.asarray(t.samples["id"]).astype(str) for t in (first, second)], []
    if np.array_equal(*ids):
        at = (np.arange(len(ids[0])), np.arange(len(ids[0])))
    else:
        if any(len(np.unique(i)) < len(i) for i in ids):
            raise InputError("two samples have the same id", "an id of its own for each sample")
        common, one, other = np.intersect1d(*ids, return_indices=True)
        if len(common) < 2:
            raise NotEnoughData(
                f"{len(common)} sample(s) with the same id in {first.name} and {second.name}", "at least 2",
                "Record both on the same data",
            )  # fmt: skip
        order = np.argsort(one)
        at = (one[order], other[order])
        said.append(f"{len(common):,} samples matched by id.")
    kept, more = random_part(len(at[0]), maximum, rng)
    return (at[0][kept], at[1][kept]), [*said, *more]


def _padded(tap: Activations, positions: np.ndarray, kind: str, name: str, said: list[str]):
    """Log-probabilities (S, T, C) of samples at `positions`, and which samples (S,) are finite."""
    starts, ends = tap.layout.offsets[positions], tap.layout.offsets[positions + 1]
    lengths = ends - starts
    size = 16 * int(lengths.sum()) * tap.shape[1]
    if size > MOST_BYTES:
        raise TooLarge(
            f"{name}: {int(lengths.sum()):,} places of {tap.shape[1]:,} classes need {size / 2**30:.1f} GiB",
            "at most 4 GiB", "Lower 'maximum samples'",
        )  # fmt: skip
    rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    x = np.asarray(tap.take(rows), dtype=np.float64)
    sample = np.repeat(np.arange(len(positions)), lengths)
    token = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    bad = ~finite_rows(x)
    good = np.bincount(sample, bad, len(positions)) == 0
    out = np.full((len(positions), int(lengths.max(initial=1)), x.shape[1]), np.nan)
    stay = good[sample]
    if stay.any():
        out[sample[stay], token[stay]] = log_probabilities(x[stay], kind, name, said)
    return out, good & (lengths > 0)


def _on_one_grid(first, second, logs, said):
    one, other = first.layout, second.layout
    same = logs[0].shape[1] == logs[1].shape[1]
    if (
        one.grid is None
        or other.grid is None
        or (same and one.grid == other.grid and one.leading == other.leading)
    ):
        if not same:
            raise InputError(
                f"{first.name} has {logs[0].shape[1]} tokens in a sample and {second.name} has {logs[1].shape[1]}",
                "the same places, or image grids in both", "Record both on the same inputs",
            )  # fmt: skip
        return logs, one.grid, one.leading
    a, b = logs[0][:, one.leading :], logs[1][:, other.leading :]
    if one.grid != other.grid:
        weights = bilinear(other.grid, one.grid)
        b = np.log(np.maximum(np.einsum("ts,nsc->ntc", weights, np.exp(b)), 1e-300))
        said.append(f"{second.name}: carried from a grid of {other.grid[0]} x {other.grid[1]} to {one.grid[0]} x "
                    f"{one.grid[1]} by bilinear interpolation of its probabilities.")  # fmt: skip
    if one.leading or other.leading:
        said.append("Tokens before the grid left out.")
    return [a, b], one.grid, 0
