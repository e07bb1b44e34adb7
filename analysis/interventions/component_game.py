"""The cooperative game of a network's parts: of an absent part stands what it gives on average.

    v(S) = y(parts outside S at their means over the samples) ,   for every sample, and for the mean of all

Everything that is no player stays as it is. Beside each sample's own number stand those of random other answers, from
the same passes: what a part is owed for a number that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.compute.games.game import Game
from analysis.interventions.bench import Bench
from analysis.interventions.components import Component
from analysis.interventions.interventions import put_values
from analysis.interventions.many_samples import means_at
from analysis.interventions.many_targets import ManyTargets


def component_game(
    bench: Bench, players: Sequence[Component], draws: int, rng: np.random.Generator, **books
) -> Game:
    """Outputs: the mean over the n samples, n numbers of the samples, `draws` means of random other numbers. `books`:
    `budget`, `progress`, `batch` of `Game`."""
    import torch

    mean = means_at(bench.runs, list(dict.fromkeys(p for c in players for p in c.places)))
    absent = [put_values(c, mean.__getitem__) for c in players]
    others = random_targets(bench, draws, rng)

    def value(coalitions: np.ndarray) -> np.ndarray:
        cells = [tuple(e for k in np.flatnonzero(~asked) for e in absent[k]) for asked in coalitions]
        own, chance = [], []
        for run, target, beside in zip(bench.runs, bench.targets, others, strict=True):

            def read(logits, target=target, beside=beside):
                return torch.stack([target.of(logits), *(b.of(logits) for b in beside)], dim=-1)

            found = run.answers(cells, read)
            own.append(found[..., 0])
            chance.append(found[..., 1:].sum(axis=1))
        each = np.concatenate(own, axis=1)
        return np.concatenate(
            [each.mean(axis=1, keepdims=True), each, np.sum(chance, axis=0) / bench.n], axis=1
        )

    return Game(value, len(players), **books)


def two_answers(bench: Bench) -> tuple[str, ...]:
    """A caveat where there are no other answers to compare with."""
    if bench.runs[0].logits.shape[-1] > 2:
        return ()
    return ("There are two answers: random other ones are these two, either way round, so that no part can lie beyond "
            "them.",)  # fmt: skip


def random_targets(bench: Bench, draws: int, rng: np.random.Generator) -> list[list[ManyTargets]]:
    """Of each batch `draws` targets of the same kind whose answers are renamed: in one draw an answer becomes the same
    other one in all samples, so that samples hang together by chance as they do by their own answers."""
    classes = bench.runs[0].logits.shape[-1]
    names = [rng.permutation(classes) for _ in range(draws)]
    return [
        [
            replace(own, answer=n[own.answer], against=None if own.against is None else n[own.against])
            for n in names
        ]
        for own in bench.targets
    ]
