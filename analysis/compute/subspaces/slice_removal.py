"""What probes of other domains gain or lose when one equal slice of the units (a head) is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.subspaces.domain_samples import DomainSamples
from analysis.compute.subspaces.domain_transfer import Transfer, mean_of_means, random_basis, transfer
from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress

Z = 1.959964


@dataclass(frozen=True)
class SliceRemovals:
    """Of one layer: `base`, its mean out-of-domain accuracy as recorded, its `base_error`, and `majority`; `change`
    (H,) of it without each slice, standard `error` (H,); `chance` (draws,) changes by random subspaces of its size;
    `validation` (H,) changes in the domain kept for choosing (NaN where there is none); `n` samples, `d` units."""

    base: float
    base_error: float
    majority: float
    change: np.ndarray
    error: np.ndarray
    chance: np.ndarray
    validation: np.ndarray
    n: int
    d: int

    @property
    def p(self) -> np.ndarray:
        """(H,) two-sided, of a change that a random subspace of this size would bring."""
        from scipy.stats import norm

        m = len(self.chance)
        deviation = np.sqrt(self.error**2 + self.chance.var(ddof=1) * (1 + 1 / m))
        off = np.abs(self.change - self.chance.mean())
        return np.where(
            deviation > 0, 2 * norm.sf(off / np.maximum(deviation, 1e-300)), np.where(off > 0, 0.0, 1.0)
        )


def slices_of(units: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` equal slices of the units, each as bool (of those that vary,); `units` (d,) says which vary. Raises
    ParameterError where they do not divide the units."""
    d = len(units)
    if d % count:
        raise ParameterError(
            f"{count} heads of {d} units", f"a number that divides {d}: heads × width of a head = units"
        )
    of = np.repeat(np.arange(count), d // count)[units]
    return [of == h for h in range(count)]


def held_domain(data: DomainSamples, validation: str) -> int | None:
    """The domain that is kept for choosing ("": the smallest); None with two domains. Raises ParameterError."""
    if validation and validation not in data.names:
        raise ParameterError(f"domain '{validation}'", "one of " + ", ".join(data.names))
    if len(data.names) < 3:
        return None
    return data.names.index(validation) if validation else int(np.bincount(data.domain).argmin())


def slice_removals(
    data: DomainSamples,
    count: int,
    fold: np.ndarray,
    held: int | None,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> SliceRemovals:
    """Of each of `count` slices. (count + draws + 1) fits of O(domains folds n d min(n, d))."""
    slices, d, steps = slices_of(data.units, count), data.x.shape[1], count + draws + 1
    tested = [i for i in range(len(data.names)) if i != held]
    done = iter(range(steps))

    def without(basis: np.ndarray) -> Transfer:
        progress(span[0] + (span[1] - span[0]) * next(done) / steps, "taking subspaces out")
        return transfer(data.x, data.of, data.domain, fold, basis)

    before = without(np.zeros((d, 0)))

    def change(after: Transfer) -> tuple[float, float]:
        pairs = zip(before.shares(tested, False), after.shares(tested, False), strict=True)
        return mean_of_means([b - a for a, b in pairs])

    def on_held(found: Transfer) -> float:
        return np.nan if held is None else float(found.right[found.domain == held][:, tested].mean())

    changes, validation = [], []
    for mask in slices:
        after = without(np.eye(d)[:, mask])
        changes.append(change(after))
        validation.append(on_held(after) - on_held(before))
    size = max(1, min(round(d / count), d))
    chance = np.array([change(without(random_basis(d, size, rng)))[0] for _ in range(draws)])
    base, base_error = mean_of_means(before.shares(tested, False))
    majority = np.mean(
        [np.bincount(data.of[data.domain == j]).max() / (data.domain == j).sum() for j in tested]
    )
    return SliceRemovals(
        base, base_error, float(majority), *np.array(changes).T, chance, np.array(validation), len(data.x), d
    )


def corrected(layers: Sequence[SliceRemovals]) -> np.ndarray:
    """(L, H) q-values of all slices of all layers together."""
    return benjamini_hochberg(np.array([layer.p for layer in layers]))


def chosen_cell(layers: Sequence[SliceRemovals]) -> tuple[int, int] | None:
    """The layer and slice of the largest gain in the domain kept for choosing; None where there is none."""
    gains = np.array([layer.validation for layer in layers])
    if np.isnan(gains).any():
        return None
    return tuple(int(i) for i in np.unravel_index(gains.argmax(), gains.shape))


def largest_by_chance(
    layers: Sequence[SliceRemovals], rng: np.random.Generator, draws: int = 400
) -> np.ndarray:
    """(draws,) the largest of as many changes by random subspaces, each a normal draw with the layer's moments."""
    best = np.full(draws, -np.inf)
    for layer in layers:
        mean, deviation = layer.chance.mean(), layer.chance.std(ddof=1)
        found = mean + deviation * rng.standard_normal((draws, len(layer.change)))
        best = np.maximum(best, found.max(axis=1))
    return best
