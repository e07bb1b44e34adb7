"""Does a change of activations work by a way that the network takes? The verdict on anything that was put at sites.

A claim is what some interventions do to the answer: x stands where h stood, y(x) - y(h). Looked at, with samples of
other folds for ranges and slopes:

    connected part      the change projected on the span of the slopes of the answer in natural samples, run alone; what
                        is left of it, run alone; as a null random spans of as many directions
    held in range       the change, but no unit leaves the range that it has by nature (or that h already left)
    dormancy            natural variance along the connected change, against random directions
    off the range       share of the squared change in units, or along its own main directions, that leave their natural
                        range; as a null natural samples exchanged whole; the same behind, where the changed run arrives

Words and thresholds are those of `patch_verdict`. A site that is exchanged whole with what it has in another sample
takes a value that is natural there: nothing that never moves is moved, so that none of this speaks against it (slopes
that miss some of its effect then say that the network is not straight, and a range that it leaves was too short). What
is left to doubt is where it meets the rest of the run, which is the other sample's: behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.attribution.patches.patch_verdict import (
    DRAWS,
    FAITHFUL,
    HALF,
    ILLUSORY,
    MOST,
    NOTHING,
    OUTSIDE,
    SUSPICIOUS,
)
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import Site
from analysis.interventions.interventions import Cell, Intervention, together
from analysis.interventions.many_samples import exchanged
from analysis.interventions.many_targets import ManyTargets
from analysis.interventions.natural_rows import NaturalRows, folds_of, main_directions, natural_rows
from analysis.interventions.site_slopes import site_slopes
from analysis.spec import Progress

ENERGY, RANDOM = 0.99, 5  # share of slopes that is connected; random spans
GIVEN, CONNECTED, LEFT, HELD = "given", "connected", "left", "held"


@dataclass(frozen=True)
class Claim:
    """`cells` by run; `whole`: sites are exchanged whole with what they have in natural samples; `sized`: what is
    claimed is the size of the effect and not its direction, which may be another in each sample."""

    name: str
    cells: tuple[Cell, ...]
    whole: bool = False
    sized: bool = False


@dataclass(frozen=True)
class MoveVerdict:
    """`effects` (n,) by part, `random` (draws, n); `rank` of the span among `d` units; `variance` with
    `random_variance` (200,); `off`, `off_natural`, (n,) shares; `behind`, `behind_natural` the same, or None."""

    claim: Claim
    effects: dict[str, np.ndarray]
    random: np.ndarray
    rank: int
    d: int
    variance: float
    random_variance: np.ndarray
    off: np.ndarray
    off_natural: np.ndarray
    behind: np.ndarray | None
    behind_natural: np.ndarray | None

    def share(self, part: str) -> float:
        below = float(self.effects[GIVEN].mean())
        return float(self.effects[part].mean()) / below if below else 0.0

    def judged(self) -> tuple[str, tuple[str, ...]]:
        """The word, and what speaks against the claim."""
        given = self.effects[GIVEN]
        ends = mean_interval(given)
        if not given.any() or (ends and ends["low"] <= 0 <= ends["high"]):
            return NOTHING, (f"its effect of {given.mean():.3g} cannot be told from 0",)
        bad, doubtful, whole = [], [], self.claim.whole
        asked = [(CONNECTED, "its connected part alone has")]
        asked += [(HELD, "with every unit held in its natural range it keeps")]
        for part, said in [] if whole else asked:
            share = self.share(part)
            (bad if share < HALF else doubtful if share < MOST else []).append(
                f"{said} {share:.0%} of the effect"
            )
        if self.dormant and not whole:
            doubtful.append("its connected part hardly varies by nature")
        for off, natural, where in (
            (None if whole else self.off, self.off_natural, "of it"),
            (self.behind, self.behind_natural, "of what it changes behind"),
        ):
            if off is not None and off.mean() > natural.mean() + OUTSIDE:
                doubtful.append(
                    f"{off.mean():.0%} {where} is off the natural range ({natural.mean():.0%} of exchanged samples)"
                )
        return (ILLUSORY if bad else SUSPICIOUS if doubtful else FAITHFUL), (*bad, *doubtful)

    @property
    def dormant(self) -> bool:
        return self.variance < float(np.percentile(self.random_variance, 5)) * (1 - 1e-9)


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

    Cost: (6 + 5 random) rows a sample and claim, one backward pass a sample.
    """
    natural, first = natural or runs, first or [()] * len(runs)
    fold = folds_of(sum(r.n for r in runs), rng)
    sites = list(dict.fromkeys(e.site for c in claims for cell in c.cells for e in cell))
    asked = [*sites, *([behind] if behind and behind not in sites else [])]
    slopes = [site_slopes(run, asked, t) for run, t in zip(natural, targets, strict=True)]
    known = {s: natural_rows(natural, slopes, s, fold) for s in asked}
    found = []
    for k, claim in enumerate(claims):
        progress(span[0] + (span[1] - span[0]) * k / len(claims), f"judging {claim.name}")
        later = behind if behind and behind not in {e.site for e in claim.cells[0]} else None
        found.append(_Trial(runs, targets, claim, known, first, rng).verdict(natural, later))
    return found


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

    def verdict(self, natural, behind: Site | None) -> MoveVerdict:
        frames = {s: main_directions(self._changes(s, lambda k, c: c))[0] for s in self.sites}
        ranks = [self.known[s].span(0, ENERGY).shape[1] for s in self.sites]
        effects, random = self._effects()
        variance, chance = self._dormancy()
        off = [self._off(self.moved, natural, frames, whole) for whole in (False, True)]
        later = (None, None) if behind is None else self._behind(natural, behind)
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

    def _off(self, moved, natural, frames, exchange: bool) -> np.ndarray:
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
                    h, x = self._exchanged(natural[i], s)
                mean = self.known[s].mean
                for j, k in enumerate(fold):
                    own, new = h[j][at[j]], x[j][at[j]]
                    units, along = ends[s][k]
                    sums[j] += (_beyond(own, new, units), _beyond((own - mean) @ frame, (new - mean) @ frame, along),
                                ((new - own) ** 2).sum())  # fmt: skip
            out.append(sums[:, :2].max(axis=1) / np.maximum(sums[:, 2], 1e-300))
        return np.concatenate(out)

    def _exchanged(self, run: BatchRun, s: Site):
        h = run.caught([s])[s]
        other = exchanged(h, np.roll(np.arange(run.n), 1), run.lengths(h.shape[1]))
        return tuple(v.double().numpy() / self.known[s].scale for v in (h, other))

    def _behind(self, natural, site: Site) -> tuple[np.ndarray, np.ndarray]:
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
        return self._off(moved, natural, frame, False), self._off(moved, natural, frame, True)


def _after(x, cell: Cell, site: Site):
    for e in together(tuple(e for e in cell if e.site == site)):
        x = e.applied(x)
    return x


def _beyond(h: np.ndarray, x: np.ndarray, ends) -> float:
    """Squared change of what leaves its range, or goes further out than h was."""
    out = (x < np.minimum(ends[0], h)) | (x > np.maximum(ends[1], h))
    return float(((x - h) ** 2)[out].sum())
