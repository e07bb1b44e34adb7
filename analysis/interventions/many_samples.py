"""The samples of a tap in batches of their network, or of a probe in its place, ready to be intervened on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.attribution.explained_samples import NetworkSamples, ProbeSamples
from analysis.errors import NotEnoughData, ShapeError
from analysis.interventions.batch_run import MEMORY, BatchRun
from analysis.interventions.components import Place, Site
from analysis.interventions.interventions import part_of

BATCH, FEWEST = 32, 8  # samples of a batch; of as few partners are found


@dataclass(frozen=True)
class Batch:
    """`at` (n,) places among the samples; their `run`."""

    at: np.ndarray
    run: BatchRun


def batches(
    samples: NetworkSamples | ProbeSamples, at: Sequence[int] | None = None, size: int = BATCH
) -> Iterator[Batch]:
    """Samples (all, or those `at` these places) in batches of at most `size` that one forward pass takes: of one
    network, of as many tokens where they are not padded."""
    groups: dict[tuple, list[int]] = {}
    for i in range(len(samples.samples)) if at is None else map(int, at):
        length = 0 if samples.is_network else len(samples.item(i))
        groups.setdefault((id(samples.loaded(i)), length), []).append(i)
    for group in groups.values():
        at_once = _size(samples, group[0], size)
        for first in range(0, len(group), at_once):
            some = group[first : first + at_once]
            run = BatchRun.of_items(samples.loaded(some[0]), [samples.item(i) for i in some])
            yield Batch(np.array(some), run)


def _size(samples, i: int, most: int) -> int:
    """Samples of a batch: fewer where the logits of one are large, such as those of many words at every token."""
    if not samples.is_network:
        return most
    one = BatchRun.of_items(samples.loaded(i), [samples.item(i)])
    return min(most, max(FEWEST, int(MEMORY / max(2 * one.logit_bytes, 1))))


def means_of(runs: Iterable[BatchRun], sites: Sequence[Site]) -> dict[Site, object]:
    """`means_at` of all units of sites."""
    return {p.site: mean for p, mean in means_at(runs, [Place(site) for site in sites]).items()}


def means_at(runs: Iterable[BatchRun], places: Sequence[Place]) -> dict[Place, object]:
    """Float64 mean of the values at each place: (tokens, k), token by token, where all samples of the runs have as many
    and none is padded, else (k,) over all tokens. Raises NotEnoughData without a run."""
    sums: dict[Place, list] = {place: [] for place in places}
    for run in runs:
        caught = run.caught([p.site for p in places])
        for place, found in sums.items():
            x = part_of(place).read(caught[place.site]).double()
            found.append(_sum(x, run.real(x.shape[1])))
    return {place: _mean(found, place.site) for place, found in sums.items()}


def _sum(x, real: np.ndarray):
    """Sums (tokens, k) over samples, and how many there were, (tokens,)."""
    import torch

    return (x * torch.as_tensor(real)[..., None].double()).sum(dim=0), real.sum(axis=0)


def _mean(found: list, site: Site):
    import torch

    if not found:
        raise NotEnoughData(f"no sample to take the mean of {site.module} over", "at least one")
    even = len({len(count) for _, count in found}) == 1 and all(
        (count == count[0]).all() for _, count in found
    )
    parts = [(s, count[0]) if even else (s.sum(dim=0), count.sum()) for s, count in found]
    return torch.stack([s for s, _ in parts]).sum(dim=0) / max(sum(int(c) for _, c in parts), 1)


def exchanged(x, order: np.ndarray, lengths: np.ndarray):
    """(n, tokens, units): in the place of each sample of x that of `order` (n,), taken again from its beginning where
    its tokens (`lengths` (n,), of all samples) end. Padding is taken to come last."""
    n, tokens = x.shape[:2]
    if order.shape != (n,) or lengths.shape != (n,):
        raise ShapeError(f"an order of {order.shape} and lengths of {lengths.shape}", f"({n},)")
    at = np.arange(tokens)[None] % lengths[order][:, None]
    return x[order[:, None], at]


def another(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) for each of n >= 2 samples another one, none twice. Raises NotEnoughData."""
    if n < 2:
        raise NotEnoughData(f"{n} sample to take another one's values from", "at least 2")
    order = rng.permutation(n)
    found = np.empty(n, np.int64)
    found[order] = np.roll(order, 1)
    return found


def others_of(
    runs: Sequence[BatchRun], sites: Sequence[Site], rng: np.random.Generator
) -> list[dict[Site, object]]:
    """Of each run what stands at the sites of other samples, of any of the runs: each sample is given the tokens of one
    other, the same at every site, taken again from their beginning where they end. Padding stays."""
    caught = [run.caught(sites) for run in runs]
    first = np.cumsum([0, *(run.n for run in runs)])
    donor = another(int(first[-1]), rng)
    found = []
    for k, run in enumerate(runs):
        given = {}
        for site in sites:
            x, real = caught[k][site].clone(), run.real(caught[k][site].shape[1])
            for i in range(run.n):
                j = int(np.searchsorted(first, donor[first[k] + i], side="right")) - 1
                own = caught[j][site]
                rows = own[donor[first[k] + i] - first[j]][
                    runs[j].real(own.shape[1])[donor[first[k] + i] - first[j]]
                ]
                x[i, real[i]] = rows[np.arange(real[i].sum()) % len(rows)]
            given[site] = x
        found.append(given)
    return found
