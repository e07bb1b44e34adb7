"""Intrinsic dimension of an objective landscape: in how few random directions can training succeed?

Parameters θ = θ0 + P θ_d, with P (D, d) random columns of length 1 and only θ_d trained. d_int90 is the smallest d
whose performance is 90 % of that of training all D (or has come 90 % of the way there from the start). The set of
solutions then has about D - d_int90 dimensions, and θ fits into d numbers and a seed.

P is Gaussian; where it would take over 1 GiB or D exceeds a million it is sparse, √D entries ± 1 / D^(1/4) in each
column, which keeps lengths and angles as well (Li, Hastie & Church 2006).

References: C. Li, H. Farkhoor, R. Liu & J. Yosinski (2018), "Measuring the intrinsic dimension of objective
landscapes"; P. Li, T. Hastie & K. Church (2006), "Very sparse random projections".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import Progress, no_progress

DENSE_BYTES, DENSE_SIZE = 1 << 30, 1_000_000
OF_FULL, OF_WAY = "of the full performance", "of the way from the start"


@dataclass(frozen=True)
class RandomSubspace:
    """A random subspace of dimension d through `start` (D,); `columns` (D, d), an array or a sparse matrix."""

    start: np.ndarray
    columns: object

    @property
    def d(self) -> int:
        return self.columns.shape[1]

    def place(self, inside: np.ndarray) -> np.ndarray:
        """θ (D,) of θ_d (d,)."""
        return self.start + self.columns @ inside

    def pull(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient with respect to θ_d (d,) of one with respect to θ (D,)."""
        return self.columns.T @ gradient


def random_subspace(
    start: np.ndarray, d: int, rng: np.random.Generator, sparse: bool | None = None
) -> RandomSubspace:
    """`sparse`: by default only where a full P is too large. Time and memory O(D d), sparse O(√D d)."""
    size = len(start)
    if sparse is None:
        sparse = size > DENSE_SIZE or 8 * size * d > DENSE_BYTES
    if not sparse:
        columns = rng.standard_normal((size, d))
        return RandomSubspace(start, columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-300))
    from scipy.sparse import csc_array

    each = max(1, round(np.sqrt(size)))
    rows = np.concatenate(
        [np.sort(rng.choice(size, each, replace=False)) for _ in range(d)] or [np.empty(0, int)]
    )
    values = rng.choice([-1.0, 1.0], each * d) / np.sqrt(each)
    return RandomSubspace(start, csc_array((values, rows, np.arange(d + 1) * each), shape=(size, d)))


def landscape_dimension(
    train: Callable[[RandomSubspace, np.random.Generator], float],
    start: Callable[[np.random.Generator], np.ndarray],
    full: Callable[[np.random.Generator], float],
    dimensions: Sequence[int],
    *,
    seeds: int = 3,
    share: float = 0.9,
    counted: str = OF_FULL,
    sparse: bool | None = None,
    name: str = "the objective",
    rng: np.random.Generator | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Curve:
    """Performance against the dimension of the random subspace that is trained in.

    Parameters
    ----------
    train : (subspace, generator) -> performance, higher is better (for a loss, its negative with `counted` OF_WAY),
        after training θ_d from 0; `subspace.place` and `subspace.pull` go there and back. d = 0 has nothing to train.
    start : generator -> θ0 (D,).
    full : generator -> performance after training all D.
    dimensions : d, rising; 0 is added.
    seeds : runs, each with its own θ0, subspaces and full training (the generators of one run start equal).
    share : of the full performance (`counted` OF_FULL, not negative then) or of the way there (OF_WAY).

    Returns
    -------
    Curve
        Mean over runs with its 95 % interval (Student's t); null: the start. Estimates: d_int of the share (median over
        runs, least and most of those that reach it; none where half do not), the full performance.

    Raises
    ------
    ParameterError
        Dimensions that do not rise from at least 1 or exceed D; another `counted`.
    InputError
        A performance that is not finite; a full one that is not better than the start.
    """
    rng = rng or np.random.default_rng(0)
    dims = np.unique(np.append(0, np.asarray(dimensions, int)))
    if len(dims) != len(dimensions) + (0 not in dimensions) or dims[0] < 0 or len(dims) < 2:
        raise ParameterError(
            f"dimensions {list(dimensions)}", "different whole numbers, at least one above 0"
        )
    if counted not in (OF_FULL, OF_WAY):
        raise ParameterError(f"counted {counted!r}", f"'{OF_FULL}' or '{OF_WAY}'")
    found, whole, size = np.empty((seeds, len(dims))), np.empty(seeds), 0
    for run in range(seeds):
        seed = int(rng.integers(2**63))
        first = np.asarray(start(np.random.default_rng(seed)), np.float64)
        size = len(first)
        if dims[-1] > size:
            raise ParameterError(f"dimension {dims[-1]} of {size} parameters", f"at most {size}")
        directions = np.random.default_rng([seed, 1])
        for i, d in enumerate(dims):
            progress(
                span[0] + (span[1] - span[0]) * (run + i / len(dims)) / seeds, f"training in {d} dimension(s)"
            )
            space = random_subspace(first, int(d), directions, sparse)
            found[run, i] = train(space, np.random.default_rng(seed))
        whole[run] = full(np.random.default_rng(seed))
    if not (np.isfinite(found).all() and np.isfinite(whole).all()):
        raise InputError("a performance is not finite", "numbers", "Train with smaller steps")
    return performance_curve(dims, found, whole, size, share, counted, name)


def reached(dims: np.ndarray, found: np.ndarray, whole: np.ndarray, share: float, counted: str) -> np.ndarray:
    """The smallest of `dims` (m,), rising from 0, at which each run of `found` (runs, m) has the share of `whole`
    (runs,); NaN for a run that never has."""
    begin = found[:, 0] if counted == OF_WAY else np.zeros(len(found))
    enough = found >= (begin + share * (whole - begin))[:, None]
    return np.where(enough.any(axis=1), dims[enough.argmax(axis=1)], np.nan)


def performance_curve(
    dims: np.ndarray, found: np.ndarray, whole: np.ndarray, size: int, share: float, counted: str, name: str
) -> Curve:
    """`landscape_dimension` of performances that are there already: `found` (runs, m) at `dims` (m,) from 0, `whole`
    (runs,) of all `size` parameters. Raises InputError where full training is not better than the start."""
    if (whole <= found[:, 0]).all() or (counted == OF_FULL and (whole < 0).any()):
        raise InputError(
            f"full training reaches {whole.mean():.4g} from {found[:, 0].mean():.4g}",
            "more than the start" + (", and nothing negative" if counted == OF_FULL else ""),
            f"Train longer, or count '{OF_WAY}'",
        )
    at = reached(dims, found, whole, share, counted)
    some, runs, mean = at[np.isfinite(at)], len(found), found.mean(axis=0)
    label, first = f"d_int{round(100 * share)}", found[:, 0]
    tried = ", ".join(map(str, dims))
    notes = [f"d_int is one of the dimensions tried ({tried}), and depends on how training is done."]
    estimates = [
        Estimate("full performance", float(whole.mean()), **_over_runs(whole), null=float(first.mean()),
                 null_method="the start, nothing trained", n=runs, d=size, estimator="all parameters trained"),
    ]  # fmt: skip
    middle = float(np.sort(at)[(runs - 1) // 2])  # a run that never reaches it sorts last
    if np.isfinite(middle):
        estimates.insert(0, Estimate(label, middle, float(some.min()), float(some.max()),
                                     interval=f"least and most of {len(some)} run(s)", null=float(size),
                                     null_method="the number of parameters", n=runs, d=size,
                                     estimator=f"smallest d with {share:.0%} {counted}"))  # fmt: skip
    if len(some) < runs:
        short = runs - len(some)
        notes.append(f"{short} of {runs} run(s) do not reach {share:.0%} {counted} by {dims[-1]} dimensions.")
    if (at == 0).any():
        notes.append(f"The start has {share:.0%} {counted} already in {int((at == 0).sum())} run(s).")
    ends = [_over_runs(line) for line in found.T]
    banded = all(ends)
    return Curve(
        title=f"Training {name} in random subspaces", reading=_reading(estimates, size, share, counted, name),
        caveats=tuple(notes), estimates=tuple(estimates), x=dims, x_name="dimensions trained", y_name="performance",
        series={"performance": mean}, null={"performance": np.full(len(dims), first.mean())},
        low={"performance": np.array([e["low"] for e in ends])} if banded else {},
        high={"performance": np.array([e["high"] for e in ends])} if banded else {},
    )  # fmt: skip


def _over_runs(values: np.ndarray) -> dict:
    ends = mean_interval(values)
    return {**ends, "interval": "Student's t over runs"} if ends else {}


def _reading(estimates, size: int, share: float, counted: str, name: str) -> str:
    if len(estimates) < 2:
        return f"No number of dimensions that was tried reaches, in half of the runs, {share:.0%} {counted} on {name}."
    e = estimates[0]
    return (
        f"{e.value:.0f} random directions ({e.low:.0f} to {e.high:.0f} over runs) of {size:,} parameters reach "
        f"{share:.0%} {counted} ({estimates[1].value:.3g}) on {name}: solutions fill about {size - e.value:,.0f} "
        f"of {size:,} dimensions."
    )
