"""The same sample read in another way: its one token as so many tokens of one unit, or with something else at its site.

A pooled tap has one token, and a map of one token says nothing: its units are the places then.
"""

from __future__ import annotations

import dataclasses

from analysis.activations import Layout
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.attribution.targets import Target

MOST_LEADING = 5  # class token and registers


class UnitsAsTokens(SampleRun):
    """`run` with one token of d units read as d tokens of one unit."""

    def __init__(self, run: SampleRun) -> None:
        self.__dict__.update(run.__dict__)
        self._token, self.grid = run, None

    @property
    def shape(self) -> tuple[int, int]:
        return self._token.shape[::-1]

    @property
    def clean(self):
        return self._token.clean.T

    def values(self, x, target: Target, gradients: bool = False):
        return self._token.values(x.transpose(1, 2), target, gradients)

    def in_network(self, module) -> UnitsAsTokens:
        """The same in a copy of the network."""
        return UnitsAsTokens(self._token.in_network(module))

    def elsewhere(self, site: str) -> SampleRun:
        """The same sample at another site."""
        return self._token.elsewhere(site)


class OtherContent(SampleRun):
    """`run` with `x` (tokens, units) at its site, in the place of what the sample put there. Its logits stay those of
    the sample."""

    def __init__(self, run: SampleRun, x) -> None:
        self.__dict__.update(run.__dict__)
        self._clean = x.to(run.clean.dtype)


def place_run(run: SampleRun, layout: Layout | None = None) -> SampleRun:
    """A run whose tokens are places: `run` itself, on its grid, or its units where it has one token only."""
    if run.shape[0] > 1:
        grid, leading = grid_within(run, layout)
        if hasattr(run, "leading") or not leading:
            run.grid, run.leading = grid, leading
        return run
    if run.site != INPUT or not hasattr(run.inputs, "reshape"):
        return UnitsAsTokens(run)
    # a network of its own that takes units as tokens, so that ways may hook it, too
    return SampleRun(_turned(run), run.clean.T.contiguous(), INPUT)


def grid_within(run: SampleRun, layout: Layout | None) -> tuple[tuple[int, int] | None, int]:
    """(height, width) of the tokens and how many come before them: of a map its own, of tokens in a row what `layout`
    knows, or the square that fits where the input is an image. (None, 0) of a line."""
    tokens = run.shape[0]
    if run.grid is not None:
        return run.grid, getattr(run, "leading", 0)
    if layout is not None and layout.grid and layout.leading + layout.grid[0] * layout.grid[1] == tokens:
        return tuple(layout.grid), layout.leading
    inputs = (
        run.inputs.values() if hasattr(run.inputs, "values") and hasattr(run.inputs, "keys") else [run.inputs]
    )
    side = int(tokens**0.5)
    if side > 1 and tokens - side * side <= MOST_LEADING and any(getattr(x, "ndim", 0) == 4 for x in inputs):
        return (side, side), tokens - side * side
    return None, 0


def with_content(run: SampleRun, x) -> SampleRun:
    """`run` with x (tokens, units) at its site."""
    if run.site == INPUT and hasattr(run.inputs, "reshape"):
        from analysis.attribution.sample_run import as_site

        put = as_site(x[None].to(run.clean.dtype), tuple(run.inputs.shape))
        return SampleRun(dataclasses.replace(run.loaded, preparer=lambda _items: put), run, INPUT)
    if isinstance(run, UnitsAsTokens):
        return UnitsAsTokens(OtherContent(run._token, x.T))
    return OtherContent(run, x)


def _turned(run: SampleRun):
    import torch

    from analysis.sources.loaded_model import LoadedModel

    inner, shape = run.loaded, tuple(run.inputs.shape[1:])

    class Turned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner.module

        def forward(self, x):
            x = x.transpose(1, 2).reshape(len(x), *shape)
            return inner.call(self.inner, x) if inner.call else inner.run(x)

    return LoadedModel(Turned().eval(), "array", lambda items: torch.stack(list(items)))
