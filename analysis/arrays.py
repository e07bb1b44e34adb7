"""Shape checks and centring: the few array rules that every method shares."""

from __future__ import annotations

import numpy as np

from analysis.errors import NotEnoughData, ShapeError

STREAM = 0x5A3B1E  # of a seed, for the choice of samples


def as_matrix(x, name: str = "array", *, minimum_rows: int = 1) -> np.ndarray:
    """Return `x` as a 2-D floating array (rows, units) without copying where possible.

    Raises
    ------
    ShapeError
        If `x` is not two-dimensional, not numeric, or has no unit.
    NotEnoughData
        If it has fewer than `minimum_rows` rows.
    """
    x = np.asarray(x)
    if x.ndim != 2:
        raise ShapeError(f"{name} has shape {x.shape}", "two axes: (rows, units)", "Reshape or pool it first")
    if x.dtype.kind not in "fiub":
        raise ShapeError(f"{name} holds {x.dtype} values", "numbers", "Convert it to a numeric array")
    if x.shape[1] == 0:
        raise ShapeError(f"{name} has no unit (shape {x.shape})", "at least one column")
    if x.shape[0] < minimum_rows:
        raise NotEnoughData(
            f"{name} has {x.shape[0]} row(s)", f"at least {minimum_rows}", "Record or select more samples"
        )
    # float32 holds whole numbers up to 2^24 only
    return x if x.dtype.kind == "f" else x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)


def finite_rows(x: np.ndarray) -> np.ndarray:
    """Boolean mask (rows,) of the rows of `x` (rows, units) without NaN or infinity. O(n d)."""
    with np.errstate(invalid="ignore", over="ignore"):
        suspicious = ~np.isfinite(x.sum(axis=1, dtype=np.float64))
    mask = np.ones(len(x), dtype=bool)
    if suspicious.any():  # a sum may overflow or cancel without any bad entry: look at these rows only
        mask[suspicious] = np.isfinite(x[suspicious]).all(axis=1)
    return mask


def centred(x: np.ndarray) -> np.ndarray:
    """`x` (rows, units) as float64 minus its column means.

    Centring comes before any product: on float32 with one large-mean unit, squaring first is 66 % wrong.
    """
    x = np.asarray(x, dtype=np.float64)
    return x - x.mean(axis=0, keepdims=True)


def upper(matrix: np.ndarray) -> np.ndarray:
    """The entries above the diagonal, row by row."""
    return matrix[np.triu_indices(len(matrix), 1)]


def first_sign(vectors: np.ndarray) -> np.ndarray:
    """Flip rows of `vectors` (k, d) so that the entry of largest magnitude is positive (deterministic)."""
    pivot = np.abs(vectors).argmax(axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), pivot])
    return vectors * np.where(signs == 0, 1.0, signs)[:, None]


def chosen_samples(total: int, maximum: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers (n,), rising, of all of `total` samples or of `maximum` at random. They follow from the seed of `rng`
    alone, whatever was drawn from it: all networks and layers of one run get the same."""
    if total <= maximum:
        return np.arange(total)
    seed = rng.bit_generator.seed_seq
    own = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, STREAM))
    return np.sort(np.random.default_rng(own).choice(total, size=maximum, replace=False))
