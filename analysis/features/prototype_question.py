"""Which sample, which class, against which: the question that ledgers of prototypes answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.random_part import random_part
from analysis.errors import NotEnoughData, NotFound
from analysis.features.prototype_evidence import Largest, ReadOut, codes_of, largest_of, read_out, sample_at
from analysis.features.tap_dictionary import TapDictionary
from analysis.spec import param

FEWEST = 8


@dataclass(frozen=True)
class QuestionParams:
    sample: str = param("", "Id of the sample; empty: the first whose largest logit is not its class.")
    for_class: str = param("", "Class asked about; empty: that of the largest logit.", label="for class")
    against: str = param("", "Class it is held against; empty: the next largest logit.")
    column: str | None = param(None, "Sample column of classes; automatic: 'label'.", column=True)
    maximum_samples: int = param(1000, "Most samples to compare with; a seeded random subset above.", low=20,
                                 high=100_000, late=True)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """Sample `at` of those `found`, called `sample`; class `a` held against `b`; `logits` (n, C); `own` and `others`
    (n,) bool, the samples that are of class a and those that are of another, by the logits where classes are not known;
    `notes`."""

    found: Largest
    read: ReadOut
    logits: np.ndarray
    at: int
    a: int
    b: int
    own: np.ndarray
    others: np.ndarray
    sample: str
    notes: tuple[str, ...]


def asked_question(made: TapDictionary, params: QuestionParams, rng, progress) -> Question:
    """One pass over the tap. Raises NotFound, NotEnoughData, InputError, TooLarge."""
    tap = made.codes
    samples, said = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    wanted = np.flatnonzero(np.asarray(tap.samples["id"]).astype(str) == params.sample)
    found = largest_of(made, np.union1d(samples, wanted).astype(np.int64), progress, (0.0, 0.8))
    if len(found.samples) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(found.samples)} sample(s) with finite rows", f"at least {FEWEST}"
        )
    read = read_out(made, tap, found, params.column)
    logits = read.logits(found.values)
    named = logits.argmax(axis=1)
    of = read.of if (read.of >= 0).any() else named
    wrong = np.flatnonzero((named != of) & (of >= 0))
    at = sample_at(tap, params.sample, found.samples, int(wrong[0]) if len(wrong) else 0)
    a, b = _classes(params, read.names, logits[at])
    notes = (*found.notes, *(f"{s[:-1]} to compare with." for s in said), *read.notes)
    sample = str(tap.samples["id"][found.samples[at]])
    return Question(found, read, logits, at, a, b, of == a, (of >= 0) & (of != a), sample, notes)


def rows_seen(made: TapDictionary, sample: int) -> np.ndarray:
    """(k,) the row of a sample at which each feature is largest."""
    layout = made.codes.layout
    rows = np.arange(layout.offsets[sample], layout.offsets[sample + 1])
    one = (made.codes if made.features.epsilon is None else made.source).take(rows).astype(np.float64)
    good = np.isfinite(one).all(axis=1)
    codes = one[good] if made.features.epsilon is None else codes_of(made, one[good])
    return rows[good][codes.argmax(axis=0)]


def _classes(params, names: tuple[str, ...], logits: np.ndarray) -> tuple[int, int]:
    for asked in filter(None, (params.for_class, params.against)):
        if asked not in names:
            raise NotFound(f"no class {asked!r}", "one of " + ", ".join(names))
    order = np.argsort(-logits, kind="stable")
    a = names.index(params.for_class) if params.for_class else next(
        int(c) for c in order if names[c] != params.against
    )  # fmt: skip
    b = names.index(params.against) if params.against else next((int(c) for c in order if c != a), a)
    if a == b:
        raise NotFound(f"class {names[a]!r} held against itself", "two classes")
    return a, b
