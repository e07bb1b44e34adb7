"""A site of one token, seen unit by unit: there is no place to map, so that units take the places."""

from __future__ import annotations

from copy import copy

from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target


class ByUnit(SampleRun):
    """`run` (a site of one token) with (units, 1) in the place of (1, units)."""

    def __init__(self, run: SampleRun) -> None:
        self.__dict__.update(run.__dict__)
        self._inner = run
        self._clean = run.clean.T
        self.grid, self.leading = None, 0

    def values(self, x, target: Target, gradients: bool = False):
        return self._inner.values(x.transpose(1, 2), target, gradients)

    def holding(self, x) -> ByUnit:
        other = copy(self)
        other._inner = self._inner.holding(x.T)
        other._clean, other.inputs = other._inner.clean.T, other._inner.inputs
        return other

    def in_network(self, module) -> ByUnit:
        other = copy(self)
        other._inner = self._inner.in_network(module)
        other.loaded = other._inner.loaded
        return other

    def elsewhere(self, site: str) -> SampleRun:
        return self._inner.elsewhere(site)
