"""What many samples owe to the units of a tap: one number of the network's answer, split over units, sample by sample.

Every sample is its own game (`unit_game.py`) or its own path from the background, so memory holds one sample at a time
beside what is found, 32 bytes for each sample and unit. With a shelf (a workspace) finished blocks of samples are kept
under a digest of all that made them: a run that was stopped goes on where it was, and every method that reads the same
parts finds them made.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.attribution import backgrounds
from analysis.attribution.path_gradients import path_values
from analysis.attribution.players import Coordinates, Features
from analysis.attribution.units.explained_units import (
    FEWEST,
    SLOPES,
    Explained,
    UnitPartsParams,
    explained_units,
)
from analysis.attribution.units.unit_game import NUMBERS
from analysis.compute import kept
from analysis.compute.games.exact import exact_values
from analysis.compute.games.permutations import permutation_values
from analysis.compute.machine import machine
from analysis.errors import InputError
from analysis.spec import Cost, Progress

__all__ = ["FEWEST", "UnitParts", "UnitPartsParams", "caveats", "parts_cost", "unit_parts"]

VERSION = 2  # of the numbers kept
BLOCK, STEPS, OPENING = 50, 8, 5.0  # samples; slopes along the way; seconds
EXACT = 256  # coalitions that are asked for all, where there are not more


@dataclass(frozen=True)
class UnitParts:
    """Of n explained samples (`explained.samples.samples`) and m players: `values`, `errors` (0 where exact, NaN where
    nothing tells), `x` what the units are (means over tokens), `reach` how far they are from the mean of the background
    (summed over tokens), each (n, m); `full`, `empty` (n,) the number of the sample and of the background, `rows` that
    went through the network for each."""

    explained: Explained
    values: np.ndarray
    errors: np.ndarray
    x: np.ndarray
    reach: np.ndarray
    full: np.ndarray
    empty: np.ndarray
    rows: np.ndarray

    @property
    def names(self) -> np.ndarray:
        return np.array(self.explained.players.names)

    @property
    def own(self) -> np.ndarray:
        """(m,) bool: the players that are one unit."""
        return self.explained.units >= 0

    @property
    def standard_reach(self) -> np.ndarray:
        """(n, m) `reach` in standard deviations of each unit over the samples; 0 where it does not vary."""
        spread = self.x.std(axis=0)
        varies = spread > 1e-12 * np.maximum(np.abs(self.x).max(axis=0), 1e-300)
        return np.divide(self.reach, spread, out=np.zeros_like(self.reach), where=varies)

    @property
    def residual(self) -> np.ndarray:
        """(n,) what the parts miss of full - empty."""
        return self.full - self.empty - self.values.sum(axis=1)


# ---------------------------------------------------------------------------- parts
def unit_parts(
    tap: Activations, params: UnitPartsParams, rng: np.random.Generator, progress: Progress, span=(0.0, 0.95)
) -> UnitParts:
    """Parts of every sample, from the shelf where they are there. Raises as `explained_units`, and InputError where no
    unit is owed anything."""
    seed = int(rng.integers(2**62))
    start, stop = span[0], span[1]
    begun = start + 0.15 * (stop - start)
    explained = explained_units(tap, params, rng, progress, (start, begun))
    common = {f.name: getattr(params, f.name) for f in dataclasses.fields(UnitPartsParams)}
    made_of = {
        "tap": tap.digest,
        "params": common,
        "seed": seed,
        "version": VERSION,
        "read": explained.samples.what,
    }
    found = []
    for first in range(0, explained.n, BLOCK):
        some = range(first, min(first + BLOCK, explained.n))
        key = {**made_of, "samples": explained.samples.samples[some.start : some.stop].tolist()}
        block = kept.find("unit parts", key) if kept.shelved() else None
        if block is None:
            ends = [begun + (stop - begun) * k / explained.n for k in (some.start, some.stop)]
            block = _block(explained, params, some, seed, progress, ends)
            if kept.shelved():
                kept.keep("unit parts", key, block)
        found.append(block)
    joined = {k: np.concatenate([block[k] for block in found]) for k in found[0]}
    if not np.abs(joined["values"]).any():
        raise InputError(
            f"no part of the {explained.words} of {explained.samples.what} is owed to {tap.name}",
            "a tap that the answer hangs on", "Choose another tap, number or background",
        )  # fmt: skip
    return UnitParts(explained, **joined)


def _block(explained: Explained, params, some: range, seed: int, progress: Progress, ends) -> dict:
    found: list[dict] = []
    for i in some:
        share = (i - some.start) / len(some)
        progress(ends[0] + (ends[1] - ends[0]) * share, f"explaining sample {i + 1:,} of {explained.n:,}")
        # conditional weights are remembered by coalition: all samples take the same orders
        rng = np.random.default_rng([seed, 0 if explained.conditional else i + 1])
        found.append(_one(explained, params, explained.run(i), rng))
    return {k: np.array([one[k] for one in found]) for k in found[0]}


def _one(explained: Explained, params: UnitPartsParams, run, rng) -> dict:
    who, behind = explained.players, explained.behind(run, params)
    m = len(who.names)
    if explained.way == SLOPES:
        path = path_values(run, who, behind, explained.target, steps=STEPS)
        values, errors, full, empty, rows = path.values, np.full(m, np.nan), path.full, path.empty, path.rows
    else:
        game = explained.game(run, params)
        budget = 2 * (m - 1) * params.rounds + 2
        made = (
            exact_values(game) if 2**m <= max(EXACT, budget) else permutation_values(game, rng, budget=budget)
        )
        values, errors, rows = made.values[:, 0], made.errors[:, 0], made.model_rows
        full, empty = float(made.full[0]), float(made.empty[0])
    mean, reach = _standing(who, run.clean, behind)
    return {"values": values, "errors": errors, "x": mean, "reach": reach, "full": full, "empty": empty,
            "rows": rows}  # fmt: skip


def _standing(who: Coordinates | Features, x, behind) -> tuple[np.ndarray, np.ndarray]:
    """(m,) each: what players are in a sample, and how far they are from the mean of the background."""
    if isinstance(who, Features):
        return who.standing(x, behind.rows.double().mean(dim=0))
    owner, m = who.owner[0], len(who.names)
    x, base = x.double().numpy(), behind.rows.double().numpy().mean(axis=0)
    reach = np.bincount(owner, np.abs(x - base).sum(axis=0), minlength=m)
    return np.bincount(owner, x.mean(axis=0), minlength=m) / np.bincount(owner, minlength=m), reach


def caveats(parts: UnitParts, params: UnitPartsParams) -> tuple[str, ...]:
    """What every picture of parts must say."""
    exact = parts.errors.max() == 0 if np.isfinite(parts.errors).all() else False
    way = parts.explained.way
    how = way if way == SLOPES else f"{way}, {'exact' if exact else 'sampled'}"
    return (
        *parts.explained.notes,
        f"{parts.rows.sum():,} rows went through {parts.explained.samples.what}: {how}.",
        "What is owed is a share of a difference to the background, not the effect of removing a unit.",
    )


def parts_cost(shapes, params: UnitPartsParams) -> Cost:
    """For `Method.cost`: n samples of d units, whatever the network is."""
    (n, d), m = shapes[0], machine()
    samples, players = min(n, params.maximum_samples), min(d, params.maximum_units + 1)
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    orders, every = 2.0 * (players - 1) * params.rounds + 2, 2.0 ** min(players, 60)
    coalitions = every if every <= max(EXACT, orders) else orders
    asked = samples * rows * (2.0 * STEPS if params.way == SLOPES else coalitions)
    held = 24.0 * samples * d + 48.0 * samples * players + 18.0 * min(4.0 * NUMBERS, coalitions * rows * d)
    return Cost(
        OPENING + m.seconds(flops64=20.0 * asked * d, moved=24.0 * asked * d + 8.0 * n * d) + 2e-3 * samples,
        held, int(asked),
    )  # fmt: skip
