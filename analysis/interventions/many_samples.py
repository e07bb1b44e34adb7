"""The samples of a tap in batches of their network, or of a probe in its place, ready to be intervened on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.attribution.explained_samples import NetworkSamples, ProbeSamples
from analysis.errors import NotEnoughData, ShapeError
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import Site

BATCH = 32


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
        for first in range(0, len(group), size):
            some = group[first : first + size]
            run = BatchRun.of_items(samples.loaded(some[0]), [samples.item(i) for i in some])
            yield Batch(np.array(some), run)


def means_of(runs: Iterable[BatchRun], sites: Sequence[Site]) -> dict[Site, object]:
    """Float64 mean of what stands at each site: (tokens, units), token by token, where all samples of the runs have as
    many and none is padded, else (units,) over all tokens. Raises NotEnoughData without a run."""
    sums: dict[Site, list] = {site: [] for site in sites}
    for run in runs:
        for site, x in run.caught(sites).items():
            lengths = run.lengths(x.shape[1])
            real = np.arange(x.shape[1]) < lengths[:, None]
            if run.mask is not None and run.mask.shape[1] == x.shape[1]:
                real = run.mask.numpy()
            sums[site].append((x.double() * _column(real)).sum(dim=0))
            sums[site][-1] = (sums[site][-1], real.sum(axis=0))
    return {site: _mean(found, site) for site, found in sums.items()}


def _column(real: np.ndarray):
    import torch

    return torch.as_tensor(real)[..., None].double()


def _mean(found: list, site: Site):
    import torch

    if not found:
        raise NotEnoughData(f"no sample to take the mean of {site.module} over", "at least one")
    tokens = {len(count) for _, count in found}
    even = len(tokens) == 1 and all((count == count[0]).all() for _, count in found)
    if even:
        total = torch.stack([s for s, _ in found]).sum(dim=0)
        return total / max(sum(int(count[0]) for _, count in found), 1)
    total = torch.stack([s.sum(dim=0) for s, _ in found]).sum(dim=0)
    return total / max(sum(int(count.sum()) for _, count in found), 1)


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
