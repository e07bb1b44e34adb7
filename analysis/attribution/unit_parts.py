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
from analysis.attribution import backgrounds, targets
from analysis.attribution.backgrounds import Background
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.path_gradients import path_values
from analysis.attribution.players import Coordinates, each_token
from analysis.attribution.unit_game import unit_game
from analysis.compute import kept
from analysis.compute.games.exact import exact_values
from analysis.compute.games.gaussian_conditional import GaussianConditional
from analysis.compute.games.permutations import permutation_values
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.features.readers import AUTOMATIC, READERS
from analysis.spec import Cost, Progress, param

VERSION = 1  # of the numbers kept
FEWEST, LOOKED, BLOCK, STEPS, OPENING = 12, 64, 50, 8, 5.0  # samples thrice; slopes along the way; seconds
EXACT = 256  # coalitions that are asked for all, where there are not more
SHAPLEY, SLOPES = "Shapley values", "expected gradients"
INTERVENTIONAL, CONDITIONAL = "as in the background", "as the present units tell"


@dataclass(frozen=True)
class UnitPartsParams:
    number: str = param(
        targets.LOGIT, "Number of the answer that is explained, the same for every sample.",
        label="number explained", choices=targets.KINDS, late=True,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the one that is largest on average.", low=0, high=1_000_000,
        late=True,
    )  # fmt: skip
    way: str = param(SHAPLEY, "How parts are found.", choices=(SHAPLEY, SLOPES), late=True)
    absent: str = param(
        INTERVENTIONAL, "What absent units are: a background row as it is (interventional), or moved by what the "
        "present units tell of them (conditional, Gaussian).", label="absent units",
        choices=(INTERVENTIONAL, CONDITIONAL), late=True,
    )  # fmt: skip
    background: str = param(
        backgrounds.SAMPLES, "What stands where a unit is absent.", choices=backgrounds.KINDS, late=True
    )
    background_samples: int = param(
        30, "Samples that the background is made of, all of them used.", low=2, high=5000, late=True
    )
    rounds: int = param(
        4, "Orders of the units, each with its reverse, that a sample's Shapley values average.", low=2, high=1000,
        label="orders", late=True,
    )  # fmt: skip
    maximum_samples: int = param(
        300, "Most samples explained; a seeded random subset above.", low=FEWEST, high=100_000, late=True
    )
    maximum_units: int = param(
        32, "Most units that play alone: the strongest by slopes; all others play as one.", low=2, high=2000,
        late=True,
    )  # fmt: skip
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS, late=True)
    column: str | None = param(
        None, "Labels of a probe; automatic: 'label' where there is one.", column=True, late=True
    )


@dataclass(frozen=True)
class Explained:
    """Samples of a tap with all that is needed to explain each: `target`, one for all, `words` what it is; `others`
    at the site, `players` with `units` (m,) their numbers, -1 for those that play as one."""

    samples: object
    target: object
    words: str
    others: list
    players: Coordinates
    units: np.ndarray
    conditional: GaussianConditional | None
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.samples.samples)

    def behind(self, run, params: UnitPartsParams) -> Background:
        return backgrounds.background(params.background, run.clean, self.others)

    def game(self, run, params: UnitPartsParams, **books):
        return unit_game(run, self.players, self.behind(run, params), self.target, self.conditional, **books)


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
    def residual(self) -> np.ndarray:
        """(n,) what the parts miss of full - empty."""
        return self.full - self.empty - self.values.sum(axis=1)


# ---------------------------------------------------------------------------- what is explained
def explained_units(
    tap: Activations, params: UnitPartsParams, rng: np.random.Generator, progress: Progress, span
) -> Explained:  # fmt: skip
    """Opens the network (or the probe) and chooses number, background and players.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        Neither a network that can be run nor labels; fewer than twelve samples or two units; no such output; choices
        that do not go together.
    """
    if params.absent == CONDITIONAL and (params.way == SLOPES or params.background == backgrounds.ZERO):
        raise ParameterError(
            f"absent units {CONDITIONAL} with {params.way} and a background of {params.background}",
            f"{SHAPLEY} and a background of samples or their mean",
        )
    seen, at = Pass(), span[0] + 0.5 * (span[1] - span[0])
    for _ in finite_blocks(tap, seen, progress, "reading", (span[0], at), as_stored=True):
        pass
    samples, notes = explained_samples(tap, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (at, span[1]))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    n = len(samples.samples)
    looked = [samples.run(int(i)) for i in np.sort(rng.choice(n, size=min(LOOKED, n), replace=False))]
    logits = [targets.at_position(run.logits, -1) for run in looked]
    mean = sum(z.double() for z in logits) / len(logits)
    target = targets.logit_target(mean, params.number, params.answer)
    some = np.sort(rng.choice(n, size=min(params.background_samples, n), replace=False))
    needed = params.background != backgrounds.ZERO
    others = [samples.run(int(i)).clean for i in some] if needed else []
    players, units, told = _players(tap, looked, others, target, params)
    conditional = None
    if params.absent == CONDITIONAL:
        conditional = GaussianConditional(_covariance(samples))
    asked = [target.answer] if target.against is None else [target.answer, target.against]
    words = f"{target.kind} of " + " less ".join(samples.word(c) for c in asked)
    behind = backgrounds.background(params.background, looked[0].clean, others).words
    cut = ("",) if len(some) == min(params.background_samples, params.maximum_samples) or not needed else (
        f"The background was to be of {params.background_samples:,} samples; there are {n:,}.",)  # fmt: skip
    said = (f"Absent units: {behind}" + (f", {CONDITIONAL} (Gaussian)." if conditional else ", whatever the present "
            "units are: where units hang together such rows may be unlike any that the network has seen."))  # fmt: skip
    return Explained(samples, target, words, others, players, units, conditional,
                     tuple(s for s in (*seen.notes, *notes, said, *told, *cut) if s))  # fmt: skip


def _players(tap, looked, others, target, params):
    """One player for each unit that varies, at most so many; the others together."""
    d = looked[0].shape[1]
    names = list(tap.unit_names) if len(tap.unit_names) == d else [str(j) for j in range(d)]
    names = [f"unit {name}" if name.isdecimal() else name for name in names]
    if d < 2:
        raise NotEnoughData(f"{tap.name} has {d} unit", "at least 2 to share an answer", "Choose a wider tap")
    if d <= params.maximum_units:
        return Coordinates(np.arange(d)[None], tuple(names)), np.arange(d), ()
    rough = np.zeros(d)
    for run in looked[:16]:
        behind = backgrounds.background(backgrounds.MEAN if others else backgrounds.ZERO, run.clean, others)
        slopes = path_values(run, each_token(run.shape[0]), behind, target, steps=3).slopes
        rough += np.abs((slopes * (run.clean - behind.rows[0]).double()).sum(dim=0).numpy())
    best = np.sort(np.argsort(-rough, kind="stable")[: params.maximum_units])
    owner = np.full(d, len(best))
    owner[best] = np.arange(len(best))
    told = f"The {len(best):,} strongest of {d:,} units by slopes play alone, the others as one."
    return (Coordinates(owner[None], (*(names[j] for j in best), f"the other {d - len(best):,} units")),
            np.append(best, -1), (told,))  # fmt: skip


def _covariance(samples) -> np.ndarray:
    """(units, units) of the rows of at most 2,000 of the explained samples."""
    some = np.unique(np.linspace(0, len(samples.samples) - 1, min(2000, len(samples.samples))).astype(int))
    x = np.concatenate([samples.run(int(i)).clean.double().numpy() for i in some])
    return np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1])


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
        found.append(_one(explained, params, explained.samples.run(i), rng))
    return {k: np.array([one[k] for one in found]) for k in found[0]}


def _one(explained: Explained, params: UnitPartsParams, run, rng) -> dict:
    who, behind = explained.players, explained.behind(run, params)
    m, owner = len(who.names), who.owner[0]
    if params.way == SLOPES:
        path = path_values(run, who, behind, explained.target, steps=STEPS)
        values, errors, full, empty, rows = path.values, np.full(m, np.nan), path.full, path.empty, path.rows
    else:
        game = unit_game(run, who, behind, explained.target, explained.conditional)
        budget = 2 * (m - 1) * params.rounds + 2
        made = (
            exact_values(game) if 2**m <= max(EXACT, budget) else permutation_values(game, rng, budget=budget)
        )
        values, errors, rows = made.values[:, 0], made.errors[:, 0], made.model_rows
        full, empty = float(made.full[0]), float(made.empty[0])
    x, base = run.clean.double().numpy(), behind.rows.double().numpy().mean(axis=0)
    reach = np.bincount(owner, np.abs(x - base).sum(axis=0), minlength=m)
    mean = np.bincount(owner, x.mean(axis=0), minlength=m) / np.bincount(owner, minlength=m)
    return {"values": values, "errors": errors, "x": mean, "reach": reach, "full": full, "empty": empty,
            "rows": rows}  # fmt: skip


def caveats(parts: UnitParts, params: UnitPartsParams) -> tuple[str, ...]:
    """What every picture of parts must say."""
    exact = parts.errors.max() == 0 if np.isfinite(parts.errors).all() else False
    how = params.way if params.way == SLOPES else f"{params.way}, {'exact' if exact else 'sampled'}"
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
    coalitions = min(2.0 ** min(players, 60), max(EXACT, 2.0 * players * params.rounds))
    asked = samples * rows * (coalitions if params.way == SHAPLEY else 2.0 * STEPS)
    held = 40.0 * n * d + 64.0 * samples * players + 3.0 * 8 * min(4.0 * (1 << 20), coalitions * rows * d)
    return Cost(
        OPENING + m.seconds(flops64=20.0 * asked * d, moved=24.0 * asked * d + 8.0 * n * d) + 2e-3 * samples,
        held,
    )
