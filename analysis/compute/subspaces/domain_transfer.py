"""Probes trained in one domain and tested in another, with subspaces taken out.

Every sample is tested by the probe of every domain: those of other domains are fitted to all their samples, that of
its own by cross-validation. A cell of the transfer matrix is the mean over the samples of the tested domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.bayes_probe import bayes_probe, held_out_classes
from analysis.compute.subspaces.domain_samples import DomainSamples
from analysis.compute.subspaces.factor_subspaces import group_directions
from analysis.compute.subspaces.position_removal import without
from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress

NOTHING, COMPONENTS, MEANS = "nothing", "top principal components", "domain means"
SLICES = "one slice of the units"
REMOVALS = (NOTHING, COMPONENTS, MEANS, SLICES)


@dataclass(frozen=True)
class Candidate:
    """A subspace to take out: its `name` and orthonormal `basis` (d, k)."""

    name: str
    basis: np.ndarray


@dataclass(frozen=True)
class Transfer:
    """`right` (n, D): whether the probe of each domain names the class of each sample; `domain` (n,)."""

    right: np.ndarray
    domain: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """(D, D) accuracy, trained in the row, tested in the column."""
        return np.stack(
            [self.right[self.domain == j].mean(axis=0) for j in range(self.right.shape[1])], axis=1
        )

    def shares(self, domains: Sequence[int], same: bool) -> list[np.ndarray]:
        """For each tested domain, of each of its samples: the share of right probes among those of its own domain
        (`same`), or of the other `domains`."""
        out = []
        for j in domains:
            trained = [j] if same else [i for i in domains if i != j]
            out.append(self.right[self.domain == j][:, trained].mean(axis=1))
        return out


def transfer(
    x: np.ndarray, of: np.ndarray, domain: np.ndarray, fold: np.ndarray, basis: np.ndarray
) -> Transfer:
    """Of centred samples `x` (n, d) without `basis` (d, k), classes `of` and `domain` (n,). O(D folds n d min(n,
    d))."""
    x, classes, domains = without(x, basis), int(of.max()) + 1, int(domain.max()) + 1
    right = np.empty((len(x), domains))
    for i in range(domains):
        mine = domain == i
        right[~mine, i] = bayes_probe(x[mine], of[mine], classes).named(x[~mine]) == of[~mine]
        right[mine, i] = held_out_classes(x[mine], [of[mine]], classes, fold[mine])[0] == of[mine]
    return Transfer(right, domain)


def mean_of_means(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean over domains of the mean over samples, and its standard error; samples are draws, probes and domains
    fixed."""
    value = float(np.mean([p.mean() for p in parts]))
    error = np.sqrt(sum(p.var(ddof=1) / len(p) for p in parts)) / len(parts)
    return value, float(error)


def candidates(data: DomainSamples, how: str, size: int, rng: np.random.Generator) -> list[Candidate]:
    """Subspaces of the samples: 1, 2, 4, … up to `size` principal components; the directions in which the domains'
    means differ beyond chance; each of `size` equal slices of the tap's units (heads); none."""
    x, domain, d = data.x, data.domain, data.x.shape[1]
    if how == COMPONENTS:
        vectors = np.linalg.svd(x, full_matrices=False)[2]
        most = max(min(size, len(vectors), d - 1), 1)
        counts = sorted({min(2**i, most) for i in range(most.bit_length() + 1)})
        return [Candidate(f"{k} principal component(s)", vectors[:k].T) for k in counts]
    if how == MEANS:
        basis = group_directions(x, domain, d, rng)
        return [Candidate(f"{basis.shape[1]} direction(s) of the domain means", basis)]
    if how == SLICES:
        numbers = np.flatnonzero(data.units)
        cuts = [
            c
            for c in np.array_split(np.arange(len(data.units)), min(size, len(data.units)))
            if np.isin(c, numbers).any()
        ]
        return [Candidate(f"units {c[0]} to {c[-1]}", np.eye(d)[:, np.isin(numbers, c)]) for c in cuts]
    return []


def choose(
    data: DomainSamples,
    before: Transfer,
    tried: list[Candidate],
    fold: np.ndarray,
    validation: str,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[Candidate, Transfer | None, list[int], list[str]]:
    """The subspace to take out, the transfer without it (None where nothing is tried), the domains to be judged by,
    notes.

    One of several is chosen by the accuracy of the other domains' probes in the domain `validation` ("": the
    smallest), which then is not judged by; with two domains the largest is taken. Raises ParameterError where there is
    no such domain.
    """
    every, names = list(range(len(data.names))), data.names
    if validation and validation not in names:
        raise ParameterError(
            f"domain '{validation}'", "one of " + ", ".join(names), "Name one of them, or leave it empty"
        )
    if not tried:
        return Candidate(NOTHING, np.zeros((data.x.shape[1], 0))), None, every, []
    single = len(tried) == 1 or len(every) < 3
    found = []
    for i, one in enumerate(tried[-1:] if single else tried):
        progress(span[0] + (span[1] - span[0]) * i / len(tried), f"without {one.name}")
        found.append(transfer(data.x, data.of, data.domain, fold, one.basis))
    if single:
        none_left = "With two domains none is left to choose on: the last of the subspaces is taken out."
        return tried[-1], found[0], every, [none_left] if len(tried) > 1 else []
    held = names.index(validation) if validation else int(np.bincount(data.domain).argmin())
    rest = [i for i in every if i != held]
    scores = [float(t.right[t.domain == held][:, rest].mean()) for t in (before, *found)]
    best = int(np.argmax(scores[1:]))
    note = (
        f"The best of {len(tried)} subspaces was chosen by the accuracy in '{names[held]}' "
        f"({scores[best + 1] - scores[0]:+.1%} there); means and changes are those of the other domains."
    )
    return tried[best], found[best], rest, [note]


def random_basis(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(d, k) of a uniformly random subspace."""
    return np.linalg.qr(rng.standard_normal((d, k)))[0] if k else np.zeros((d, 0))
