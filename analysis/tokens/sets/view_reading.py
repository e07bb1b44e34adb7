"""What the views of every set read of each other, and how the answer moves without each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.streaming import refuse_few
from analysis.spec import Progress
from analysis.tokens.attention.heads import HeadReader, asked_head, heads_of
from analysis.tokens.reordered import another_order
from analysis.tokens.sets.views import Answers, regrouped, view_attention, views_of
from analysis.tokens.subject import ROWS


@dataclass(frozen=True)
class ViewReading:
    """Of n sets of V views: `attention` (n, V, V), `effect` (n, V) of leaving each view out, `moved` (n,) by another
    order or None. `layer` from 0; `sets` (n,) their places among the sets, `members` (n, V) the samples that are the
    views, or None where a set is one sample."""

    attention: np.ndarray
    effect: np.ndarray
    moved: np.ndarray | None
    layer: int
    reader: HeadReader
    classifies: bool
    sets: np.ndarray
    members: np.ndarray | None
    notes: list[str]


def read_views(tap: Activations, params, rng, progress: Progress, order: bool = True) -> ViewReading:
    """Of at most `params.maximum_samples` sets; V + 2 answers of each.

    Raises ParameterError, NotFound, NotEnoughData as `view_sets` says.
    """
    progress(0.0, "reading sets")
    tap, count, said, members = regrouped(tap, params, params.maximum_samples, rng)
    source = params.source if members is None else ROWS  # no network reads samples of its own together
    reader = heads_of(tap, params.maximum_samples, rng, source, lambda f, d="": progress(0.5 * f, d))
    layer, _ = asked_head(reader, params.layer, 1)
    views, whole = views_of(reader, count)
    refuse_few(tap.name, int(whole.sum()), 2, f"sets of {views.count} views")
    progress(0.5, "attention between views")
    a = view_attention(reader, layer, views)[whole]
    answers = Answers(reader, views)
    full, effect = answers.all(), []
    away = _distance(full, answers.who.classifies, whole)
    for v in range(views.count):
        progress(0.55 + 0.4 * v / views.count, "leaving views out")
        effect.append(away(answers.without(v)))
    progress(0.95, "another order")
    other = answers.reordered(another_order(views.count, rng)) if order else None
    moved = None if other is None else away(other)[whole]
    notes = [*said, *reader.notes, *answers.notes]
    if not whole.all():
        notes.append(f"{int((~whole).sum())} set(s) of another number of views were left out.")
    sets = np.asarray(reader.samples)[whole]
    return ViewReading(
        a, np.stack(effect, axis=1)[whole], moved, layer, reader, answers.who.classifies, sets,
        None if members is None else members[sets], notes,
    )  # fmt: skip


def _distance(full: np.ndarray, classifies: bool, whole: np.ndarray):
    """Of answers (n, C) from these, (n,); the spread is that of the sets that are `whole` (n,)."""
    if classifies:
        return lambda other: 0.5 * np.abs(other - full).sum(axis=1)
    spread = np.sqrt(np.square(full[whole] - full[whole].mean(axis=0)).sum(axis=1).mean())
    unit = spread if spread > 1e-12 * max(float(np.abs(full).max()), 1e-300) else 1.0
    return lambda other: np.linalg.norm(other - full, axis=1) / unit
