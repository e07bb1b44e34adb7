"""Which part of a shape each token belongs to, as a tap says or by its place, and the nearest token elsewhere."""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError
from analysis.tokens.sets.shapes import GRID, Shapes, of_tokens

BLOCK = 256  # tokens searched for at once


def parts_of(taps, shapes: Shapes) -> tuple[list[np.ndarray], np.ndarray]:
    """([(t,) number of the part of each token] of each sample, (parts,) names). Raises InputError."""
    if len(taps) > 1:
        said = of_tokens(taps[0], taps[1], shapes.rows)
        if not all(np.isfinite(s).all() for s in said):
            raise InputError(
                f"parts of {taps[1].name} with NaN or infinity", "a finite number for each token"
            )
        if taps[1].shape[1] > 1:
            return [s.argmax(axis=1) for s in said], np.array([str(u) for u in taps[1].unit_names])
        known, of = np.unique(np.concatenate(said).round().astype(np.int64), return_inverse=True)
        if len(known) > 1000:
            raise InputError(f"{len(known):,} different numbers in {taps[1].name}", "at most 1,000 parts")
        cuts = np.cumsum([len(s) for s in said])[:-1]
        return np.split(of.reshape(-1), cuts), np.array([f"part {k}" for k in known])
    axes = shapes.places[0].shape[1]
    sides = [(p > np.median(p, axis=0)).astype(np.int64) @ (2 ** np.arange(axes)) for p in shapes.places]
    if axes == 1:
        return sides, np.array(["first half", "second half"])
    if shapes.placed == GRID:  # places are (column, -row)
        return sides, np.array(
            [f"{'upper' if k & 2 else 'lower'} {'right' if k & 1 else 'left'}" for k in range(4)]
        )
    names = [
        ", ".join(f"{'high' if k >> a & 1 else 'low'} {'xyz'[a]}" for a in range(axes))
        for k in range(2**axes)
    ]
    return sides, np.array(names)


def nearest_elsewhere(x: np.ndarray, sample: np.ndarray, progress=lambda f: None) -> np.ndarray:
    """(N,) the token of another sample nearest to each of x (N, d), the first of equals. O(N² d), O(256 N) memory."""
    square, out = np.square(x).sum(axis=1), np.zeros(len(x), np.int64)
    for start in range(0, len(x), BLOCK):
        progress(start / len(x))
        stop = min(start + BLOCK, len(x))
        far = square - 2 * x[start:stop] @ x.T
        far[sample[start:stop, None] == sample] = np.inf
        out[start:stop] = far.argmin(axis=1)
    return out


def middled(places: list[np.ndarray]) -> list[np.ndarray]:
    """Each shape around 0, of mean square 1."""
    out = []
    for p in places:
        p = p - p.mean(axis=0)
        size = float(np.sqrt(np.square(p).mean()))
        out.append(p / size if size > 0 else p)
    return out
