"""Pairs of samples of two groups, for patching one into the other; the others of these groups are for fitting.

Groups are those of a column of labels, or, without one, what the network answers. Nothing that is fitted (directions,
natural ranges, slopes) sees the pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations
from analysis.attribution.local_slopes import rows_at
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import DIFFERENCE, LOGIT, LogitTarget, at_position, logit_target
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.rows.samples import known_labels
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.spec import Progress

FEWEST = 6  # samples of a group: some to fit, some to patch
FITTED = 2  # samples to fit for each pair


@dataclass(frozen=True)
class Groups:
    """`names` of the bases' and of the sources' group; `pairs` (m, 2) places among the explained samples, base first;
    `fit` two arrays of places; `notes`."""

    names: tuple[str, str]
    pairs: np.ndarray
    fit: tuple[np.ndarray, np.ndarray]
    notes: tuple[str, ...]


def paired_groups(
    tap: Activations, samples, column: str | None, asked: tuple[str | None, str | None], pairs: int, maximum: int,
    rng: np.random.Generator, progress: Progress, span,
) -> Groups:  # fmt: skip
    """At most `pairs` pairs, no sample in two of them. `asked`: names of the bases' and of the sources' group;
    automatic: the two largest groups.

    Raises NotFound (no such group), NotEnoughData (a group of under six samples), InputError (one group twice).
    """
    places = np.arange(len(samples.samples))
    notes, column = [], label_column(tap, column)
    if column is not None:
        given = np.asarray(tap.samples[column])[samples.samples]
        known = known_labels(given)
        of, places = given[known].astype(str), places[known]
    else:
        places = np.sort(rng.permutation(places)[:maximum])
        of = _answers(samples, places, progress, span)
        notes.append("There are no labels: samples are grouped by what the network answers.")
    names, counts = np.unique(of, return_counts=True)
    a, b = _chosen(names, counts, asked, tap.name)
    own = [rng.permutation(places[of == g]) for g in (a, b)]
    m = min(pairs, min(len(p) for p in own) // 2)
    fit = tuple(np.sort(p[m : m + max(FITTED * m, FEWEST)]) for p in own)
    return Groups((a, b), np.column_stack([own[0][:m], own[1][:m]]), fit, tuple(notes))


def _answers(samples, places, progress: Progress, span) -> np.ndarray:
    found = []
    for k, i in enumerate(places):
        progress(span[0] + (span[1] - span[0]) * k / len(places), "asking the network")
        found.append(samples.word(answer_of(samples.run(int(i)))))
    return np.array(found, dtype=str)


def answer_of(run: SampleRun) -> int:
    """The likeliest output of a sample."""
    return int(at_position(run.logits, -1)[0].argmax())


def _chosen(names, counts, asked, tap: str) -> tuple[str, str]:
    large = names[np.argsort(-counts, kind="stable")]
    free = [g for g in large if g not in asked]
    picked = [next((g for g in large if g == want), None) if want else None for want in asked]
    for want, found in zip(asked, picked, strict=True):
        if want and found is None:
            raise NotFound(f"group '{want}' of {tap}", "one of " + ", ".join(map(str, large[:20])))
    a, b = (p if p is not None else (free.pop(0) if free else None) for p in picked)
    if a is not None and a == b:
        raise InputError(f"group '{a}' patched into itself", "two groups")
    size = dict(zip(names, counts, strict=True))
    for g in (a, b):
        if g is None or size[g] < FEWEST:
            said = (
                "one group of samples only" if g is None else f"{size[g]} sample(s) in group '{g}' of {tap}"
            )
            raise NotEnoughData(
                said, f"two groups of at least {FEWEST}", "Choose other groups or another column"
            )
    return str(a), str(b)


def towards_source(runs_a, runs_b, word: Callable[[int], str]) -> LogitTarget:
    """Logit of what sources are mostly answered less that of what bases are; of sources alone where both are one."""
    a, b = (int(np.bincount([answer_of(r) for r in runs]).argmax()) for runs in (runs_a, runs_b))
    kind = LOGIT if a == b else DIFFERENCE
    target = logit_target(runs_a[0].logits, kind, b, None if a == b else a)
    return replace(target, words=f"{kind} of {word(b)}" + ("" if a == b else f" less {word(a)}"))


def aligned(bases, sources) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Rows of each pair, as many as both have, from the end: there the answer of a text is read."""
    pairs = [(rows_at(a), rows_at(b)) for a, b in zip(bases, sources, strict=True)]
    pairs = [(a[-min(len(a), len(b)) :], b[-min(len(a), len(b)) :]) for a, b in pairs]
    return [a for a, _ in pairs], [b for _, b in pairs]


def with_first(run: SampleRun, x: np.ndarray) -> np.ndarray:
    """x (m, t, d) behind the first tokens of the run that it leaves out."""
    first = rows_at(run)[: run.shape[0] - x.shape[1]]
    return np.concatenate([np.broadcast_to(first, (len(x), *first.shape)), x], axis=1)
