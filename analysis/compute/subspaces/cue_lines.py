"""Samples of several taps with two cues to their label, and what the answers follow: lines for tables and curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import sample_column
from analysis.compute.groups.cue_conflict import (
    CORE,
    CUES,
    FEWEST_CONFLICTS,
    SHORTCUT,
    Followed,
    TwoCues,
    followed,
    planted_cue,
    two_cues,
)
from analysis.compute.rows.columns_by_id import column_by_id
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.paired_gain import paired_interval
from analysis.compute.subspaces.attribute_data import sample_values
from analysis.errors import ParameterError
from analysis.results import Estimate
from analysis.spec import param

FEWEST = 60  # samples
PLANTED, GUESSED = "planted cue", "predicted"  # the second: the column that a recording leaves
NULL = "answers of other conflicts"


@dataclass(frozen=True)
class CueParams:
    """What the methods that set two cues against each other ask."""

    label: str = param("label", "Sample column that the answers are about.", column=True)
    core: str = param(
        "", "Column of the cue that should decide; empty: the label itself is the core cue.", column=True
    )
    shortcut: str = param(
        "",
        "Column of the other cue (background, scanner); empty: one is planted beside the units.",
        column=True,
    )
    answers: str = param(
        "", "Column of the network's answers; empty: 'predicted' where there is one, else a linear probe.", column=True
    )  # fmt: skip
    agreement: float = param(0.6, "Share of samples whose label a planted cue says.", low=0.05, high=0.95)
    strength: float = param(3.0, "How far a planted cue stands out of its noise.", low=0.0, high=100.0)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=100, high=20_000)


@dataclass(frozen=True)
class CueLines:
    """`taps` by name; of each what was `found` and its units `d`; the `answers` (n,) of the network among
    `cues.names`, -1 for others, or None where a probe of each tap answers; `notes`."""

    taps: tuple[str, ...]
    cues: TwoCues
    found: tuple[Followed, ...]
    answers: np.ndarray | None
    d: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def who(self) -> str:
        return "a linear probe" if self.answers is None else "the network"

    def answer(self, i: int) -> np.ndarray:
        """(n,) label that is answered, at tap i."""
        return self.found[i].probe if self.answers is None else self.answers

    def line(self, i: int, cue: str) -> dict[str, object]:
        """Every number of a cue at tap i, as the table has them."""
        cues, found = self.cues, self.found[i]
        apart, says = cues.conflict, cues.says[cue][cues.conflict]
        follows, would = self.answer(i)[apart] == says, found.optimal[apart] == says
        counts, n = np.bincount(cues.of[cue]), len(cues.label)
        low, high = wilson(follows.sum(), len(says))
        under, over = paired_interval(would, follows)
        return {
            "tap": self.taps[i], "cue": cue, "column": cues.called[cue],
            "predictivity": float(cues.agreement(cue).mean()),
            "availability": float(found.read[cue].mean()), "availability, few": float(found.few[cue].mean()),
            "availability by chance": float(counts.max() / n),
            "reliance": float(follows.mean()), "low": low, "high": high,
            "reliance by chance": exchanged(self.answer(i)[apart], says),
            "optimal reader": float(would.mean()),
            "bias": float(follows.mean() - would.mean()), "bias, low": under, "bias, high": over,
        }  # fmt: skip


def exchanged(answer: np.ndarray, says: np.ndarray) -> float:
    """Share of answers (m,) that are what a cue says (m,), when each is held against any conflict's cue."""
    both = np.concatenate([answer, says]) + 1
    top = int(both.max()) + 1
    p, q = (np.bincount(v + 1, minlength=top) / len(v) for v in (answer, says))
    return float(p @ q)


def cue_lines(taps, params: CueParams, rng, progress) -> CueLines:
    """Raises NotFound, ParameterError, NotEnoughData, InputError, TooLarge: no such column, the same one twice; fewer
    than 60 samples, ten of a class or 30 conflicts."""
    names = [name for name in (params.core or params.label, params.shortcut) if name]
    if len(set(names)) < len(names):
        raise ParameterError(f"'{names[0]}' as both cues", "two different columns", "Name another one")
    for name in (params.label, params.core, params.shortcut, params.answers):
        if name:
            sample_column(taps[0], name)  # its refusal
    values, ids, notes = _values(taps, params, rng, progress)
    label = column_by_id(taps[0], ids, params.label)
    cues = {CORE: column_by_id(taps[0], ids, params.core or params.label)}
    called = {CORE: params.core or params.label, SHORTCUT: params.shortcut or PLANTED}
    if params.shortcut:
        cues[SHORTCUT] = column_by_id(taps[0], ids, params.shortcut)
    else:
        cues[SHORTCUT], units = planted_cue(label, params.agreement, params.strength, rng)
        values = [np.hstack([x, units]) for x in values]
        notes.append(
            f"The shortcut is planted: it says the label of {params.agreement:.0%} of the samples, in units of its own "
            f"beside those of the tap, {params.strength:g} deviations of its noise. What is told is what a reader of "
            "both would do, not what the network does."
        )
    made = two_cues(label, cues, called, params.label, rng)
    answers, said = _answers(taps[0], ids, params, made)
    found = []
    for i, x in enumerate(values):
        progress(0.3 + 0.7 * i / len(values), f"probing {taps[i].name}")
        found.append(followed(x[made.stay], made, rng))
    return CueLines(
        tap_names([t.name for t in taps]), made, tuple(found), answers, tuple(x.shape[1] for x in values),
        (*notes, *made.notes, *said, *_caveats(made)),
    )  # fmt: skip


def _values(taps, params, rng, progress):
    if len(taps) == 1:
        own = sample_values(
            taps[0], rng, pooling="mean", maximum=params.maximum_samples, minimum=FEWEST, progress=progress
        )
        return [own.values], np.asarray(taps[0].samples["id"]).astype(str)[own.samples], list(own.notes)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress, span=(0.0, 0.3)
    )
    return list(data.values), data.ids, list(data.notes)


def _answers(tap, ids, params: CueParams, cues: TwoCues) -> tuple[np.ndarray | None, list[str]]:
    """Recorded answers (n,) as numbers among the labels, and notes; None: a probe answers."""
    column = params.answers or (GUESSED if GUESSED in tap.samples else "")
    if not params.shortcut or not column:
        why = "The network did not see the planted cue" if not params.shortcut else "No answers were recorded"
        return None, [f"{why}: a linear probe of '{params.label}' answers, fitted to other samples."]
    given = column_by_id(tap, ids, column)[cues.stay].astype(str)
    place = {name: i for i, name in enumerate(cues.names)}
    codes = np.array([place.get(g, -1) for g in given])
    if (codes < 0).mean() > 0.5:
        return None, [
            f"{int((codes < 0).sum()):,} of {len(codes):,} entries of '{column}' are no label of '{params.label}': a "
            "linear probe answers instead, fitted to other samples."
        ]
    return codes, [f"Answers are those of column '{column}'."]


def _caveats(cues: TwoCues) -> list[str]:
    said = [
        f"Reliance is told of the {int(cues.conflict.sum()):,} of {len(cues.label):,} samples whose cues say different "
        "labels; it is an operational definition and says nothing of the others."
    ]
    cells = np.unique(np.stack([cues.says[c][cues.conflict] for c in CUES]), axis=1, return_counts=True)[1]
    if cells.min() < FEWEST_CONFLICTS:
        said.append(
            f"{int((cells < FEWEST_CONFLICTS).sum())} of {len(cells)} pairs of labels have fewer than "
            f"{FEWEST_CONFLICTS} conflicts: only their sum is told."
        )
    return said


def bias_estimate(lines: CueLines, i: int) -> Estimate:
    """Reliance on the shortcut less that of the optimal reader, at tap i."""
    one = lines.line(i, SHORTCUT)
    return Estimate(
        f"shortcut bias at {lines.taps[i]}", one["bias"], min(one["bias, low"], one["bias"]),
        max(one["bias, high"], one["bias"]), interval="Newcombe's of paired shares, over conflicts", null=0.0,
        null_method="the optimal reader itself", n=int(lines.cues.conflict.sum()), d=lines.d[i],
        estimator=f"share of conflicts that {lines.who} decides by the shortcut, less the optimal reader's",
    )  # fmt: skip


def reliance_estimate(lines: CueLines, i: int, cue: str) -> Estimate:
    one = lines.line(i, cue)
    return Estimate(
        f"reliance on the {cue} at {lines.taps[i]}", one["reliance"], min(one["low"], one["reliance"]),
        max(one["high"], one["reliance"]), interval="Wilson over conflicts", null=one["reliance by chance"],
        null_method=NULL, n=int(lines.cues.conflict.sum()), d=lines.d[i],
        estimator=f"share of conflicts in which {lines.who} answers what the {cue} says",
    )  # fmt: skip
