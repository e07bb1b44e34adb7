"""What a network does before the first thing that is changed in it, kept from the run as it is and not run again.

A change in block L leaves what the blocks before it give as it is. These are passed over and give what they gave, each
cell its own copy, so that a sweep over L blocks runs about half of them. Held only where a block runs once, in order,
and gives a plain tensor; everything that is no such block runs as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from analysis.interventions.components import OUTPUT, Site

KEPT = 2.5e8  # bytes of what blocks give; of larger ones nothing is kept


class Prefix:
    """`blocks` in the order in which they run, and what they give to n samples."""

    def __init__(self, blocks: Sequence[str] = (), given: Sequence = ()) -> None:
        self.blocks, self._given = tuple(blocks), tuple(given)

    def unchanged(self, sites: Iterable[Site]) -> int:
        """Blocks at the beginning that nothing at these sites changes; none where a site is in no block."""
        return min((self._before(site) for site in sites), default=0)

    def holds(self, site: Site) -> bool:
        """Whether it is one of the blocks, or in one."""
        return any(_within(site.module, b) for b in self.blocks)

    def instead(self, level: int, times: int) -> dict[str, Callable[[], object]]:
        """What the first `level` blocks give to every sample, so many times."""
        return {b: _copies(x, times) for b, x in zip(self.blocks[:level], self._given, strict=False)}

    def _before(self, site: Site) -> int:
        for i, block in enumerate(self.blocks):
            if site.module == block:
                return i + 1 if site.side == OUTPUT else i
            if _within(site.module, block):
                return i
        return 0


def _within(module: str, block: str) -> bool:
    return module == block or module.startswith(block + ".")


def _copies(x, times: int) -> Callable[[], object]:
    return lambda: x.repeat(times, *[1] * (x.ndim - 1))


def usable(blocks: Sequence[str], caught, n: int) -> bool:
    """Whether each of these ran once, in this order, and gave one tensor sample by sample. `caught` of a hooked run."""
    ran = [caught.ran.get(b) for b in blocks]
    if any(at is None or at[0] != at[1] for at in ran) or any(b not in caught.plain for b in blocks):
        return False
    if any(a >= b for a, b in pairwise(ran)):
        return False
    kept = [caught[b] for b in blocks]
    return all(x.ndim and x.shape[0] == n for x in kept) and sum(map(_bytes, kept)) <= KEPT


def _bytes(x) -> int:
    return x.numel() * x.element_size()
