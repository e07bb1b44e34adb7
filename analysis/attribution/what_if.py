"""What if a feature were stronger here? One sample's answer with some of its features moved.

    x' = x + Σ_k (a_k - mean_t a_kt) f_t d_k    at every token t that the tap holds

A dial stands at the mean activation of a feature over the sample's tokens and moves them all alike along its direction
(of a unit: its axis), f_t being what a code of 1 adds there (1 for units); of a tap that holds one token of each sample
it moves that one. Beside the true change stands the
straight line's guess, slope times way, and which dials stand where no sample of the store does: there the network was
never asked to answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.activations import Activations
from analysis.attribution import targets
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.path_gradients import slopes_at
from analysis.compute.statistics.moments import UnitMoments
from analysis.compute.streaming import finite_blocks
from analysis.errors import InputError, NotFound
from analysis.features.readers import AUTOMATIC
from analysis.features.tap_dictionary import tap_dictionary
from analysis.spec import Progress, no_progress

FEWEST, DIALS, ANSWERS = 8, 6, 8


@dataclass(frozen=True)
class Dial:
    """Feature `number` at `value` in the sample; between `low` and `high` its means over the tokens of every sample
    lie. `slope`: change of the explained number for 1 of it."""

    number: int
    name: str
    value: float
    low: float
    high: float
    slope: float


@dataclass(frozen=True)
class Answered:
    """`before`, `after` the explained number, `guess` what the straight line says of their difference.

    `answers`: (name, probability before, after) of the likeliest outputs before and after; empty for a network with
    one output. `outside`: numbers of features beyond every sample of the store.
    """

    words: str
    before: float
    after: float
    guess: float
    answers: tuple[tuple[str, float, float], ...]
    outside: tuple[int, ...]
    dials: tuple[Dial, ...]
    what: str
    notes: tuple[str, ...]


class WhatIf:
    """The network of a tap, opened once for any number of questions about any of its samples.

    Raises NotFound, InputError, NotEnoughData: neither a network that can be run nor labels; fewer than eight samples.
    """

    def __init__(
        self, tap: Activations, reader: str = AUTOMATIC, column: str | None = None,
        progress: Progress = no_progress,
    ) -> None:  # fmt: skip
        self.tap, self.made, self._ranges = tap, tap_dictionary(tap), {}
        source = self.made.source
        self._samples, self.notes = explained_samples(
            source, reader, column, source.layout.n_samples, np.random.default_rng(0), progress, (0.0, 0.9)
        )
        refuse_few_samples(source, self._samples, FEWEST)

    def ask(self, sample: int, moved: Mapping[int, float], shown: Sequence[int] = ()) -> Answered:
        """The answer with features `moved` to these values; dials of these, of those in `shown` and of the ones with
        the largest slope. One pass backward, two forward. Raises NotFound, InputError."""
        self._refuse(moved, shown)
        run, target = self.opened(sample)
        directions = self.directions
        slopes = self._slopes(run, target) @ directions.T
        dials = self._dials(sample, slopes, [*moved, *shown])
        stood = {dial.number: dial.value for dial in dials}
        step = sum(((v - stood[k]) * directions[k] for k, v in moved.items()), np.zeros(run.shape[1]))
        logits = [run.logits_at(x) for x in (run.clean[None], self.pushed(run, step[None]))]
        before, now = (float(target.of(z, {})[0]) for z in logits)
        return Answered(
            self.words(target), before, now, float(sum(slopes[k] * (v - stood[k]) for k, v in moved.items())),
            self._answers(*logits),
            tuple(d.number for d in dials if d.number in moved and not d.low <= moved[d.number] <= d.high),
            dials, self.what, tuple(self.notes),
        )  # fmt: skip

    @property
    def directions(self) -> np.ndarray:
        """(features, units) float64."""
        return np.asarray(self.made.features.decoder, np.float64)

    @property
    def samples(self) -> np.ndarray:
        """(n,) those that can be asked about, by their places in the store."""
        return self._samples.samples

    def opened(self, sample: int):
        """The run of a sample, and the number that is explained of it. Raises NotFound."""
        at = np.flatnonzero(self.samples == sample)
        if not len(at):
            raise NotFound(
                f"sample {sample} of {self.tap.name}",
                f"one of its {len(self.samples):,} samples that can be explained",
            )
        run = self._samples.run(int(at[0]))
        return run, targets.logit_target(run.logits, self._number(run.logits))

    def pushed(self, run, steps: np.ndarray):
        """(m, tokens, units) tensor: what stands at the site with each of `steps` (m, units), in activations of
        features along their directions, added to the tokens that the tap holds."""
        import torch

        x, held = run.clean.double().repeat(len(steps), 1, 1), self._held(run.shape[0])
        x[:, held] += torch.as_tensor(steps[:, None] * self._sizes(run, held))
        return x.to(run.clean.dtype)

    def dial(self, number: int, sample: int) -> Dial:
        """Where feature `number` stands in a sample, and between what it lies. Raises NotFound."""
        self._refuse({}, [number])
        run, target = self.opened(sample)
        return self._dial(number, sample, self._slopes(run, target) @ self.directions.T)

    def stands(self, number: int, sample: int) -> float:
        """The mean of a feature over the tokens of a sample."""
        return float(self._means(number)[sample])

    def words(self, target) -> str:
        """The explained number with the names of its outputs."""
        if self._samples.number:
            return self._samples.number
        asked = [target.answer] if target.against is None else [target.answer, target.against]
        return f"{target.kind} of " + " less ".join(self._samples.word(c) for c in asked)

    @property
    def what(self) -> str:
        """What is asked: the network, or a probe."""
        return self._samples.what

    def _slopes(self, run, target) -> np.ndarray:
        """(units,) of the number for 1 of an activation along a direction, at all tokens that the tap holds."""
        found, held = slopes_at(run, run.clean[None], target)[0].double().numpy(), self._held(run.shape[0])
        return (found[held] * self._sizes(run, held)).sum(axis=0)

    def _sizes(self, run, held: slice) -> np.ndarray:
        """(held tokens, 1): what a code of 1 adds along its direction; 1 of units."""
        rows = run.clean.double().numpy()[held]
        return np.ones((len(rows), 1)) if self.made.of_units else self.made.features.row_sizes(rows)

    def _held(self, tokens: int) -> slice:
        """The tokens that the tap holds, of so many in the network."""
        one = {"cls": slice(0, 1), "last": slice(tokens - 1, tokens)}
        of = getattr(getattr(self.made.source, "spec", None), "tokens", "all")
        return one.get(of, slice(None)) if self._samples.is_network else slice(None)

    def _refuse(self, moved: Mapping[int, float], shown: Sequence[int]) -> None:
        k = self.tap.shape[1]
        for number in (*moved, *shown):
            if not 0 <= number < k:
                raise NotFound(f"feature {number} of {self.tap.name}", f"0 … {k - 1}")
        for number, value in moved.items():
            if not np.isfinite(value):
                raise InputError(f"feature {number} at {value}", "a finite value")

    def _dials(self, sample: int, slopes: np.ndarray, wanted: Sequence[int]) -> tuple[Dial, ...]:
        """Of the wanted features, and of six whose slope times range is largest, among those with the largest slope
        times standard deviation."""
        steep = np.argsort(-np.abs(slopes) * self._spread, kind="stable")[: 4 * DIALS]
        found = {int(j): self._dial(int(j), sample, slopes) for j in dict.fromkeys([*wanted, *steep])}
        ranked = sorted(
            steep, key=lambda j: -abs(found[int(j)].slope) * (found[int(j)].high - found[int(j)].low)
        )
        chosen = list(dict.fromkeys([*wanted, *(int(j) for j in ranked[:DIALS])]))
        return tuple(found[j] for j in chosen)

    @cached_property
    def _spread(self) -> np.ndarray:
        """(features,) standard deviations over the rows of the tap."""
        store = getattr(self.tap, "store", None)
        if store is not None:
            return np.nan_to_num(
                np.asarray(store.index(self.tap.name.partition(":")[2]).table()["sd"], np.float64)
            )
        moments = None
        for _, x in finite_blocks(self.tap):
            moments = UnitMoments.of(x) if moments is None else moments.merge(UnitMoments.of(x))
        return np.sqrt(moments.variance)

    def _dial(self, number: int, sample: int, slopes: np.ndarray) -> Dial:
        means = self._means(number)
        good = means[np.isfinite(means)]
        name = self.tap.unit_names[number] if self.tap.unit_names else str(number)
        low, high = (float(good.min()), float(good.max())) if len(good) else (0.0, 0.0)
        return Dial(number, str(name), float(means[sample]), low, high, float(slopes[number]))

    def _means(self, number: int) -> np.ndarray:
        """(samples,) mean over tokens, NaN where nothing is finite; kept."""
        if number not in self._ranges:
            values = np.asarray(self.tap.unit(number), np.float64)
            offsets, good = np.asarray(self.tap.layout.offsets), np.isfinite(values)
            sums = np.add.reduceat(np.append(np.where(good, values, 0.0), 0.0), offsets[:-1])
            counts = np.add.reduceat(np.append(good.astype(float), 0.0), offsets[:-1])
            sums, counts = (np.where(np.diff(offsets) > 0, v, 0.0) for v in (sums, counts))
            with np.errstate(invalid="ignore", divide="ignore"):
                self._ranges[number] = sums / counts
        return self._ranges[number]

    def _answers(self, before, after) -> tuple[tuple[str, float, float], ...]:
        import torch

        if self._samples.number:
            return ()
        both = [torch.softmax(targets.at_position(z, -1)[0].double(), dim=0).numpy() for z in (before, after)]
        if len(both[0]) < 2:
            return ()
        best = np.argsort(-np.maximum(*both), kind="stable")[:ANSWERS]
        return tuple((self._samples.word(int(c)), float(both[0][c]), float(both[1][c])) for c in best)

    def _number(self, logits) -> str:
        two = targets.at_position(logits, -1).shape[-1] > 1 and not self._samples.number
        return targets.DIFFERENCE if two else targets.LOGIT
