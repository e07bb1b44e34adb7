"""Patching swept over layers and tokens, heads or parts of layers: every cell is one run of all pairs, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.interventions.bench import Bench
from analysis.interventions.components import ATTENTION, HEADS, LAYERS, MLPS, RESIDUALS, Component, Place
from analysis.interventions.interventions import Cell, patched
from analysis.interventions.many_samples import another, exchanged
from analysis.interventions.pairs import Pairs
from analysis.spec import Progress

AT_TOKENS, AT_HEADS, AT_PARTS = "tokens", "heads", "attention and MLP"
COLUMNS = (AT_TOKENS, AT_HEADS, AT_PARTS)


@dataclass(frozen=True)
class Grid:
    """Cells of a sweep: `components` (rows, columns), the same one along a row where columns are tokens; `bounds` of
    these in shares of the tokens of `longest` samples, by row, else None."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    components: list[list[Component]]
    longest: tuple[int, ...] | None = None

    def tokens(self, row: int, column: int, run, tokens: int) -> np.ndarray | None:
        """(n, tokens) bool: where the cell is patched; None for everywhere."""
        if self.longest is None:
            return None
        c = len(self.columns)
        low, high = (round(k * self.longest[row] / c) for k in (column, column + 1))
        at = np.arange(tokens)
        return run.real(tokens) & (at >= low) & (at < high)

    def whole(self, row: int, column: int) -> bool:
        """Whether the cell takes all units of its sites."""
        return all(
            p.start is None and p.stop is None and p.special is None
            for p in self.components[row][column].places
        )


def grid_of(bench: Bench, pairs: Sequence[Pairs], columns: str, most: int) -> Grid:
    """Raises NotFound where the network has no such parts. A probe, and a network without blocks, has tokens only."""
    if bench.parts is None:
        tap = Component(f"the tap {bench.made.source.name}", RESIDUALS, (Place(bench.site),))
        return _token_grid([tap], pairs, most)
    if columns == AT_HEADS:
        heads = bench.parts.components(HEADS)
        lines = [[h for h in heads if h.layer == i] for i in sorted({h.layer for h in heads})]
        return Grid(tuple(f"layer {own[0].layer}" for own in lines),
                    tuple(f"head {h.number}" for h in lines[0]), lines)  # fmt: skip
    if columns == AT_PARTS:
        both = [bench.parts.components(k) for k in (ATTENTION, MLPS)]
        lines = [list(own) for own in zip(*both, strict=True)]
        return Grid(tuple(f"layer {own[0].layer}" for own in lines), ("attention", "MLP"), lines)
    return _token_grid(bench.parts.components(RESIDUALS if bench.parts.blocks else LAYERS), pairs, most)


def _token_grid(components: list[Component], pairs: Sequence[Pairs], most: int) -> Grid:
    sites = [c.places[0].site for c in components]
    each = [{s: x.shape[1] for s, x in p.clean.caught(sites).items()} for p in pairs]
    longest = tuple(max(own[s] for own in each) for s in sites)
    c = min(most, *longest)
    even = len(set(longest)) == 1
    bounds = [round(k * longest[0] / c) for k in range(c + 1)]
    names = [
        (f"token {a}" if b - a == 1 else f"tokens {a}–{b - 1}") if even else f"part {k + 1} of {c}"
        for k, (a, b) in enumerate(pairwise(bounds))
    ]  # fmt: skip
    return Grid(
        tuple(_row(c) for c in components), tuple(names), [[c] * len(names) for c in components], longest
    )


def _row(component: Component) -> str:
    return (
        f"after layer {component.layer}"
        if component.kind == RESIDUALS and component.layer >= 0
        else component.name
    )


@dataclass(frozen=True)
class Swept:
    """Of n pairs: `effect`, `chance` (rows, columns, n), what a cell taken from the source run, and from that of
    another pair, adds to the number that is looked at, NaN where a sample has no such tokens; `base`, `source` (n,)
    numbers of the two runs."""

    effect: np.ndarray
    chance: np.ndarray
    base: np.ndarray
    source: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        return self.source - self.base


def sweep(
    grid: Grid, pairs: Sequence[Pairs], restore: bool, rng: np.random.Generator, progress: Progress,
    span: tuple[float, float],
) -> Swept:  # fmt: skip
    """`restore`: from the clean run into the corrupted one; else the other way."""
    parts, step = [], (span[1] - span[0]) / len(pairs)
    for k, own in enumerate(pairs):
        inner = lambda f, doing="", at=span[0] + k * step: progress(at + step * f, doing)  # noqa: E731
        parts.append(_swept(grid, own, restore, rng, inner))
    return Swept(*(np.concatenate([getattr(p, name) for p in parts], axis=-1)
                   for name in ("effect", "chance", "base", "source")))  # fmt: skip


def _with(caught: dict, cell: Cell) -> dict:
    """What is caught stands there before the cell; this is what goes on from there."""
    for e in cell:
        if e.site in caught:
            caught[e.site] = e.applied(caught[e.site])
    return caught


def cell_of(grid: Grid, own: Pairs, restore: bool, row: int, column: int) -> Cell:
    """What the sweep does at one cell, into the run that it starts from."""
    component = grid.components[row][column]
    source = _source(own, component.sites, restore)
    at = grid.tokens(row, column, own.clean, source[component.sites[0]].shape[1])
    return patched(component, source, at)


def _source(own: Pairs, sites, restore: bool) -> dict:
    return own.clean.caught(sites) if restore else _with(own.corrupted.caught(sites, own.cell), own.cell)


def _swept(grid: Grid, own: Pairs, restore: bool, rng, progress: Progress) -> Swept:
    sites = list(dict.fromkeys(s for line in grid.components for c in line for s in c.sites))
    target = own.target
    whole = next(own.corrupted.logits_with([own.cell]))[1][0]
    clean, corrupted = target.of(own.clean.logits).numpy(), target.of(whole).numpy()
    run, first = (own.corrupted, own.cell) if restore else (own.clean, ())
    source = _source(own, sites, restore)
    order = another(run.n, rng)
    other = {s: exchanged(x, order, run.lengths(x.shape[1])) for s, x in source.items()}
    cells: list[Cell] = []
    there = np.ones((len(grid.rows), len(grid.columns), run.n), dtype=bool)
    for given in (source, other):
        for i, line in enumerate(grid.components):
            for j, component in enumerate(line):
                at = grid.tokens(i, j, own.clean, source[component.sites[0]].shape[1])
                there[i, j] &= True if at is None else at.any(axis=1)
                cells.append(first + patched(component, given, at))
    base = corrupted if restore else clean
    found = run.answers(cells, target.of, progress=progress).reshape(2, *there.shape) - base
    found[:, ~there] = np.nan
    return Swept(found[0], found[1], base, clean if restore else corrupted)
