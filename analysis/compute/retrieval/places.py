"""Where samples were taken: positions from one or two columns of numbers, or names of places; which are the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.nulls import gaussian_eigenvalues
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.results import Estimate

EARTH = 6371.0  # km
CLOSEST, REPEATED = 0.1, 0.05
PAIRED = 1000  # samples whose distances decide the automatic threshold
SHOWN = 5


@dataclass(frozen=True)
class Places:
    """`at` (n, k): coordinates, on a sphere unit vectors, for names their codes. `columns` are the names of the
    columns, `given` (n, 1 or 2) their values, `names` the places' names, if they have names. `threshold`: the farthest
    that two samples of one place lie apart, in `unit`; `known` (samples,) bool, which samples have a position."""

    at: np.ndarray
    given: np.ndarray
    columns: tuple[str, ...]
    names: tuple[str, ...]
    sphere: bool
    threshold: float
    known: np.ndarray

    @property
    def unit(self) -> str:
        """What distances are counted in."""
        return "km" if self.sphere else f"units of '{self.columns[0]}'"

    def distances(self, rows: np.ndarray) -> np.ndarray:
        """(m, n) from the samples `rows` to all; exactly 0 for equal positions, great circles on a sphere."""
        square = np.zeros((len(rows), len(self.at)))
        for column in self.at.T:
            square += (column[rows, None] - column) ** 2
        length = np.sqrt(square, out=square)
        return 2 * EARTH * np.arcsin(np.minimum(length / 2, 1.0)) if self.sphere else length

    def same(self, rows: np.ndarray) -> np.ndarray:
        """(m, n) bool: within the threshold."""
        return self.distances(rows) <= self.threshold

    def words(self) -> str:
        """When an answer is right, in words."""
        if self.names:
            return f"has the same '{self.columns[0]}'"
        if self.threshold == 0:
            return f"has the same {' and '.join(repr(c) for c in self.columns)}"
        return f"lies within {self.threshold:.3g} {self.unit}"


def places(
    activations: Activations,
    samples: np.ndarray,
    columns: tuple[str, ...],
    degrees: bool,
    threshold: float | None,
    rng: np.random.Generator,
) -> Places:
    """Read the places of the given samples.

    columns : one (numbers, or text that names places) or two (numbers). degrees : they are latitude and longitude.
    threshold : None for the closest tenth of all distances, or 0 where more than a twentieth of them are 0.

    Raises
    ------
    NotFound, ParameterError
        No such column; text among two columns; one column of degrees; a latitude beyond 90.
    NotEnoughData, InputError
        Fewer than two samples with a position; all at one place.
    """
    values = [sample_column(activations, c)[samples] for c in columns]
    if len(columns) == 1 and values[0].dtype.kind not in "fiub":
        found = _named(values[0], columns)
    else:
        found = _placed(values, columns, degrees)
    if len(found.at) < 2:
        raise NotEnoughData(
            f"{len(found.at)} sample(s) with a position in {', '.join(columns)}", "at least two"
        )
    if (found.at == found.at[0]).all():
        raise InputError(
            f"all samples are at one place by {', '.join(columns)}",
            "places that differ",
            "Name other columns",
        )
    if found.names:
        return found
    return replace(found, threshold=_automatic(found, rng) if threshold is None else float(threshold))


def _named(values: np.ndarray, columns) -> Places:
    known = known_labels(values)
    names, codes = np.unique(values[known].astype(str), return_inverse=True)
    at = codes[:, None].astype(np.float64)
    return Places(at, at, columns, tuple(str(v) for v in names), False, 0.0, known)


def _placed(values: list[np.ndarray], columns, degrees: bool) -> Places:
    for column, part in zip(columns, values, strict=True):
        if part.dtype.kind not in "fiub":
            raise ParameterError(
                f"column '{column}' holds text", "numbers", "One column of text alone names places"
            )
    given = np.stack([part.astype(np.float64) for part in values], axis=1)
    known = np.isfinite(given).all(axis=1)
    given = given[known]
    if not degrees:
        return Places(
            given - (given.mean(axis=0) if len(given) else 0), given, columns, (), False, 0.0, known
        )
    if len(columns) != 2:
        raise ParameterError(
            "one column of degrees", "two: latitude, then longitude", "Name the second column"
        )
    if (np.abs(given[:, 0]) > 90).any():
        raise ParameterError(
            f"column '{columns[0]}' reaches {np.abs(given[:, 0]).max():g}", "a latitude from -90 to 90 degrees",
            "Name the latitude first",
        )  # fmt: skip
    north, east = np.radians(given).T
    at = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    return Places(at, given, columns, (), True, 0.0, known)


def _automatic(found: Places, rng: np.random.Generator) -> float:
    n = len(found.at)
    pick = np.arange(n) if n <= PAIRED else np.sort(rng.choice(n, PAIRED, replace=False))
    some = replace(found, at=found.at[pick])
    apart = some.distances(np.arange(len(pick)))[np.triu_indices(len(pick), 1)]
    if (apart == 0).mean() > REPEATED:
        return 0.0
    return float(np.quantile(apart, CLOSEST, method="inverted_cdf"))


# ---------------------------------------------------------------------------- the street
def main_direction(positions: np.ndarray) -> tuple[np.ndarray, float]:
    """First right singular vector (k,) of the centred positions (n, k), pointing up the first coordinate that is not
    0, and its share of their sum of squares."""
    _, singular, vt = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)
    vector = vt[0] * np.sign(vt[0][np.flatnonzero(np.abs(vt[0]) > 1e-12)[0]])
    return vector, float(singular[0] ** 2 / (singular**2).sum())


def direction_estimates(found: Places, rng: np.random.Generator, draws: int = 200) -> tuple[Estimate, ...]:
    """Angle of the main direction from the first column's axis towards the second's, and its share of the spread
    (1 a straight street, 1/2 none); nothing for one column. On a sphere in kilometres: the angle is a bearing."""
    if found.given.shape[1] != 2:
        return ()
    flat = found.given.copy()
    if found.sphere:
        flat[:, 1] = np.degrees(np.unwrap(np.radians(np.sort(flat[:, 1]))))[
            np.argsort(np.argsort(flat[:, 1]))
        ]
        flat[:, 1] *= np.cos(np.radians(flat[:, 0].mean()))
    n = len(flat)
    vector, share = main_direction(flat)
    angle = float(np.degrees(np.arctan2(vector[1], vector[0])) % 180)
    turned, shares = [], []
    for _ in range(draws):
        again = flat[rng.integers(n, size=n)]
        if (again != again[0]).any():
            v, s = main_direction(again)
            turned.append((np.degrees(np.arctan2(v[1], v[0])) - angle + 90) % 180 - 90)
            shares.append(s)
    low, high = np.percentile(turned, [2.5, 97.5]) if turned else (0.0, 0.0)
    round_ = gaussian_eigenvalues(np.ones(2), n, rng, 199)
    round_ = round_[:, 0] / round_.sum(axis=1)
    band = np.percentile(round_, [2.5, 97.5])
    within = np.percentile(shares, [2.5, 97.5]) if shares else (share, share)
    how = {
        "interval": "bootstrap over samples",
        "n": n,
        "d": 2,
        "estimator": "singular vectors of the positions",
    }
    towards = f"from '{found.columns[0]}' towards '{found.columns[1]}'"
    return (
        Estimate(f"main direction of the positions, {towards}", angle, angle + min(float(low), 0.0),
                 angle + max(float(high), 0.0), unit="degrees", **how),
        Estimate("share of the positions' spread along it", share, min(float(within[0]), share),
                 max(float(within[1]), share), null=float(round_.mean()), null_low=float(band[0]),
                 null_high=float(band[1]), null_method="round Gaussian cloud of as many samples, 199 draws", **how),
    )  # fmt: skip


# ---------------------------------------------------------------------------- mistaken places
def confusions(found: Places, queries: np.ndarray, answers: np.ndarray) -> list[tuple[str, str, int]]:
    """The pairs of places most often taken for each other, most first: names and how often. `queries` and `answers`
    (m,) are samples. Positions are counted by squares with the threshold as their side."""
    cell, name = _cells(found)
    pair = np.sort(np.stack([cell[queries], cell[answers]], axis=1), axis=1)
    pair = pair[pair[:, 0] != pair[:, 1]]  # across the edge of one square's circle, yet in the square
    if not len(pair):
        return []
    kinds, counts = np.unique(pair, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    return [(name(kinds[i, 0]), name(kinds[i, 1]), int(counts[i])) for i in order]


def _cells(found: Places):
    """Place number of each sample, and number → name."""
    if found.names:
        return found.at[:, 0].astype(np.int64), lambda c: found.names[c]
    side = found.threshold / (EARTH * np.pi / 180) if found.sphere else found.threshold
    square = np.floor(found.given / side) if 0 < side < np.inf else found.given
    _, cell = np.unique(square, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    return (
        cell,
        lambda c: (
            "(" + ", ".join(f"{v:.6g}" for v in np.atleast_1d(found.given[cell == c].mean(axis=0))) + ")"
        ),
    )
