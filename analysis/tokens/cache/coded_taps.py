"""One tap coded at steps that halve: what it takes and what is left of it, by group of samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.arrays import finite_rows
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import refuse_few
from analysis.errors import NotEnoughData
from analysis.features.readers import reader_of
from analysis.tokens.cache.rate_curves import Counted, counted
from analysis.tokens.cache.recoding import coder_of

FEWEST, GROUPS = 40, 10

NOISE, ANSWER = "signal over noise of the tap", "what the answer keeps"
UNITS, AXES = "by unit", "principal axes"
NUMBER, SAMPLE = "bits of a number", "bits of a sample"
STEPS = {NOISE: 2.0 ** np.arange(1, -6, -1), ANSWER: 2.0 ** np.arange(2, -5, -1)}  # in standard deviations


@dataclass(frozen=True)
class Coded:
    """Of one tap: `counted` by group of samples, `factor` numbers of what the rate is of, what `answered`, notes."""

    counted: Counted
    factor: float
    answered: str
    notes: tuple[str, ...]

    def curve(self, groups: np.ndarray):
        rate, quality = self.counted.curve(groups)
        return rate * self.factor, quality


def coded_tap(tap, group: np.ndarray, params, rng, told) -> Coded:
    """The tap at the steps of `params.quality`, `group` (n,) of each sample, below 0 of those that are left out. Raises
    NotEnoughData: fewer than 40 finite rows, rows that do not vary, fewer than ten samples with an answer."""
    owner = np.asarray(tap.layout.sample_of(np.arange(tap.shape[0])))
    rows = np.flatnonzero(group[owner] >= 0)
    kept, said = random_part(len(rows), params.maximum_rows, rng, "rows")
    rows = rows[kept]
    told(0.0)
    x = np.asarray(tap.take(rows), np.float64)
    good = finite_rows(x)
    if not good.all():
        said = [*said, f"{tap.name}: {int((~good).sum())} row(s) with NaN or infinity left out."]
    x, rows = x[good], rows[good]
    refuse_few(tap.name, len(x), FEWEST, "finite row(s)")
    coder = coder_of(x, rows, owner, rng)
    if not coder.size > 0:
        raise NotEnoughData(f"{tap.name} does not vary", "rows that differ", "Choose another tap")
    steps, turned = STEPS[params.quality], params.code == AXES
    made = counted(coder, x, rows, group[owner[rows]], GROUPS, steps, turned, lambda f: told(0.5 * f))
    numbers = x.shape[1] * np.diff(tap.layout.offsets)[group >= 0].mean() if params.rate == SAMPLE else 1.0
    if params.quality == NOISE:
        return Coded(made, float(numbers), "", tuple(said))
    made, what, more = with_answers(
        tap, made, coder, steps[: len(made.counts)], turned, group, params, rng, told
    )
    return Coded(made, float(numbers), what, (*said, *more))


def with_answers(tap, made: Counted, coder, steps, turned, group, params, rng, told):
    """(counts with the losses of the answer, who answered, notes)."""
    reader, notes = reader_of(
        tap, params.reader, None, len(group), rng, lambda f, doing="": told(0.5), (0.0, 1.0)
    )
    only = group[reader.samples] >= 0
    step = {
        str(k): lambda x, rows, s=s: coder.coded(x, rows, s * coder.size, turned) for k, s in enumerate(steps)
    }
    answers = reader.read(step, lambda f, doing="": told(0.5 + 0.5 * f), (0.0, 1.0), only)
    own = group[reader.samples[only]]
    nats = np.stack([answers[k].kl for k in step])
    nats = nats[:, only] if nats.shape[1] == len(only) else nats
    good = np.isfinite(nats).all(axis=0)
    if good.sum() < GROUPS:
        raise NotEnoughData(
            f"{int(good.sum())} samples of {tap.name} with an answer", f"{GROUPS}", "Record more"
        )
    sums = np.stack([np.bincount(own[good], line[good], GROUPS) for line in nats])
    return replace(made, nats=sums, answered=np.bincount(own[good], minlength=GROUPS)), reader.what, notes
