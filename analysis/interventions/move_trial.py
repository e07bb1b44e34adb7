"""A claim put on trial: its change split, run part by part, and held against natural rows (`move_verdict`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from analysis.attribution.patches.patch_verdict import DRAWS
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import Site
from analysis.interventions.interventions import Cell, Intervention, together
from analysis.interventions.many_samples import others_of
from analysis.interventions.many_targets import ManyTargets
from analysis.interventions.move_verdict import CONNECTED, GIVEN, HELD, LEFT, Claim, MoveVerdict
from analysis.interventions.natural_rows import NaturalRows, folds_of, main_directions, natural_rows
from analysis.interventions.site_slopes import site_slopes
from analysis.spec import Progress

ENERGY, RANDOM, MOST, FEWEST = 0.99, 5, 128, 8  # share of slopes that is connected; random spans; samples
HELD_BYTES = 3e7  # of what stands at all tokens of the sites


def judge_moves(
    runs: Sequence[BatchRun], targets: Sequence[ManyTargets], claims: Sequence[Claim], rng: np.random.Generator,
    progress: Progress, span: tuple[float, float], *, natural: Sequence[BatchRun] | None = None,
    first: Sequence[Cell] | None = None, behind: Site | None = None,
) -> list[MoveVerdict]:  # fmt: skip
    """The verdict on each claim about `runs`.

    Parameters
    ----------
    natural : runs of the same samples as they are, for ranges and slopes; `runs` without.
    first : by run what is done before, in the run that a claim starts from.
    behind : a later site, through which what was changed goes on to the answer.

    Of more than 128 samples, or of more than 8 large ones, some batches, drawn at random, are judged. Cost: (6 + 5
    random) rows a sample and claim, one backward pass a sample; memory of what stands at all tokens of the sites,
    several times.
    """
    sites = list(dict.fromkeys(e.site for c in claims for cell in c.cells for e in cell))
    asked = [*sites, *([behind] if behind and behind not in sites else [])]
    some = _some(runs, asked, rng)
    natural, first = natural or runs, first or [()] * len(runs)
    runs, natural, targets, first = ([v[i] for i in some] for v in (runs, natural, targets, first))
    claims = [replace(c, cells=tuple(c.cells[i] for i in some)) for c in claims]
    fold = folds_of(sum(r.n for r in runs), rng)
    slopes = [site_slopes(run, asked, t) for run, t in zip(natural, targets, strict=True)]
    known = {s: natural_rows(natural, slopes, s, fold) for s in asked}
    other = others_of(natural, asked, rng)
    found = []
    for k, claim in enumerate(claims):
        progress(span[0] + (span[1] - span[0]) * k / len(claims), f"judging {claim.name}")
        later = behind if behind and behind not in {e.site for e in claim.cells[0]} else None
        found.append(_Trial(runs, targets, claim, known, first, rng).verdict(natural, other, later))
    return found


def _some(runs: Sequence[BatchRun], sites: Sequence[Site], rng: np.random.Generator) -> list[int]:
    """Numbers of runs that together hold at least `MOST` samples, fewer where these are large; all where there are
    not as many."""
    size = 8 * sum(x[0].numel() for x in runs[0].caught(sites).values())
    most, found, total = np.clip(HELD_BYTES / max(size, 1), FEWEST, MOST), [], 0
    for i in rng.permutation(len(runs)).tolist():
        if total < most:
            found.append(i)
            total += runs[i].n
    return sorted(found)


class _Trial:
    """One claim: `moved` by run and site (h, x, where) in units of the site's scale."""

    def __init__(self, runs, targets, claim: Claim, known: dict[Site, NaturalRows], first, rng) -> None:
        self.runs, self.targets, self.claim, self.known, self.first = runs, targets, claim, known, first
        self.rng, self.sites = rng, list(dict.fromkeys(e.site for cell in claim.cells for e in cell))
        ends = np.cumsum([0, *(r.n for r in runs)])
        self.folds = [known[self.sites[0]].fold[a:b] for a, b in pairwise(ends)]
        self.moved = [self._moved(*args) for args in zip(runs, claim.cells, first, strict=True)]

    def _moved(self, run: BatchRun, cell: Cell, first: Cell) -> dict[Site, tuple]:
        caught, found = run.caught(self.sites, first), {}
        for site in self.sites:
            h = _after(caught[site], first, site)
            x = _after(h, cell, site)
            h, x = (v.double().numpy() / self.known[site].scale for v in (h, x))
            found[site] = h, x, (x != h).any(axis=2) & run.real(h.shape[1])
        return found

    def verdict(self, natural, other, behind: Site | None) -> MoveVerdict:
        """`other`: of each natural run by site what other samples have there."""
        self._natural, self._other = natural, other
        frames = {s: main_directions(self._changes(s, lambda k, c: c))[0] for s in self.sites}
        ranks = [self.known[s].span(0, ENERGY).shape[1] for s in self.sites]
        effects, random = self._effects()
        variance, chance = self._dormancy()
        off = [self._off(self.moved, frames, whole) for whole in (False, True)]
        later = (None, None) if behind is None else self._behind(behind)
        d = sum(len(self.known[s].scale) for s in self.sites)
        return MoveVerdict(self.claim, effects, random, sum(ranks), d, variance, chance, *off, *later)

    # ------------------------------------------------------------------ running
    def _effects(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        spans = {s: [self.known[s].span(k, ENERGY) for k in range(self.known[s].folds)] for s in self.sites}
        drawn = [{s: [np.linalg.qr(self.rng.standard_normal(q.shape))[0] if q.size else q for q in spans[s][:1]]
                  * len(spans[s]) for s in self.sites} for _ in range(RANDOM)]  # fmt: skip
        onto = lambda frames: lambda k, s, h, c: h + c @ frames[s][k] @ frames[s][k].T  # noqa: E731
        ways = [lambda k, s, h, c: h + c, onto(spans), lambda k, s, h, c: h + c - c @ spans[s][k] @ spans[s][k].T,
                self._held, *map(onto, drawn)]  # fmt: skip
        parts = []
        for i, (run, target, first) in enumerate(zip(self.runs, self.targets, self.first, strict=True)):
            cells = [first, *((*first, *self._put(i, way)) for way in ways)]
            y = run.answers(cells, target.of)
            parts.append(y[1:] - y[0])
        y = np.concatenate(parts, axis=1)
        y = y * np.sign(y[0]) if self.claim.sized else y
        return dict(zip((GIVEN, CONNECTED, LEFT, HELD), y, strict=False)), y[4:]

    def _held(self, k: int, s: Site, h, c):
        low, high = self.known[s].range(k)
        return np.clip(h + c, np.minimum(low, h), np.maximum(high, h))

    def _put(self, i: int, way) -> Cell:
        """What `way` (fold, site, h, change) makes of the change, where it is one."""
        cell = []
        for s in self.sites:
            h, x, at = self.moved[i][s]
            new = h.copy()
            for k in np.unique(self.folds[i]):
                own = self.folds[i] == k
                new[own] = way(k, s, h[own], x[own] - h[own])
            cell.append(Intervention(s, new * self.known[s].scale, tokens=at))
        return tuple(cell)

    # ------------------------------------------------------------------ looking
    def _changes(self, site: Site, way) -> np.ndarray:
        """(rows, d) of all moved tokens, after `way` (fold, change)."""
        found = []
        for moved, fold in zip(self.moved, self.folds, strict=True):
            h, x, at = moved[site]
            for k in np.unique(fold):
                own = fold == k
                found.append(way(k, (x[own] - h[own])[at[own]]))
        return np.concatenate(found)

    def _dormancy(self) -> tuple[float, np.ndarray]:
        value, chance, total = 0.0, np.zeros(DRAWS), 0.0
        for s in self.sites:
            own = self.known[s]

            def connected(k, c, own=own):
                return c @ own.span(k, ENERGY) @ own.span(k, ENERGY).T

            changes = self._changes(s, connected)
            size, (frame, weights) = float((changes**2).sum()), main_directions(changes)
            if not len(weights):
                continue
            drawn = (np.linalg.qr(self.rng.standard_normal(frame.shape))[0] for _ in range(DRAWS))
            value += size * own.variance(frame, weights)
            chance += size * np.array([own.variance(q, weights) for q in drawn])
            total += size
        return value / max(total, 1e-300), chance / max(total, 1e-300)

    def _off(self, moved, frames, exchange: bool) -> np.ndarray:
        """(n,) share of the squared change off the range of units or of `frames`, the larger; `exchange`: of other
        natural samples put where the change is."""
        ends = {s: [(self.known[s].range(k), self.known[s].range(k, f)) for k in range(self.known[s].folds)]
                for s, f in frames.items()}  # fmt: skip
        out = []
        for i, fold in enumerate(self.folds):
            sums = np.zeros((len(fold), 3))
            for s, frame in frames.items():
                h, x, at = moved[i][s]
                if exchange:
                    h, x = self._exchanged(i, s)
                mean = self.known[s].mean
                for j, k in enumerate(fold):
                    own, new = h[j][at[j]], x[j][at[j]]
                    units, along = ends[s][k]
                    sums[j] += (_beyond(own, new, units), _beyond((own - mean) @ frame, (new - mean) @ frame, along),
                                ((new - own) ** 2).sum())  # fmt: skip
            out.append(np.minimum(sums[:, :2].max(axis=1) / np.maximum(sums[:, 2], 1e-300), 1.0))
        return np.concatenate(out)

    def _exchanged(self, i: int, s: Site):
        both = self._natural[i].caught([s])[s], self._other[i][s]
        return tuple(v.double().numpy() / self.known[s].scale for v in both)

    def _behind(self, site: Site) -> tuple[np.ndarray, np.ndarray]:
        """The same of what stands behind."""
        moved = []
        for run, cell, first in zip(self.runs, self.claim.cells, self.first, strict=True):
            h, x = (
                run.caught([site], c)[site].double().numpy() / self.known[site].scale
                for c in (first, first + cell)
            )
            moved.append({site: (h, x, (x != h).any(axis=2) & run.real(h.shape[1]))})
        rows = np.concatenate([(x - h)[at] for own in moved for h, x, at in own.values()])
        frame = {site: main_directions(rows)[0]}
        return self._off(moved, frame, False), self._off(moved, frame, True)


def _after(x, cell: Cell, site: Site):
    for e in together(tuple(e for e in cell if e.site == site)):
        x = e.applied(x)
    return x


def _beyond(h: np.ndarray, x: np.ndarray, ends) -> float:
    """Squared change of what leaves its range, or goes further out than h was."""
    out = (x < np.minimum(ends[0], h)) | (x > np.maximum(ends[1], h))
    return float(((x - h) ** 2)[out].sum())
