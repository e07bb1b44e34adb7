"""Answers at each of a nest of token grids, coarse to fine: of a network with its tokens pooled, or of probes.

`answers` (L, n) are class numbers. The smallest sufficient level of a sample is the first that answers right, an oracle
that knows the truth: it is never below any fixed level. With labels shuffled a level is right as Σ (share of class c)
(share of answers c), and the oracle wherever one of the distinct answers of a sample is the label: both exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.spec import Progress
from analysis.tokens.grid_cells import nest
from analysis.tokens.opened import Opened
from analysis.tokens.outputs import logits_of_answer
from analysis.tokens.pooling.nested_grids import cell_means, nested_cells, smallest_sufficient
from analysis.tokens.pooling.token_sets import TokenSets
from analysis.tokens.rule import rule
from analysis.tokens.schedule import schedule

BATCH = 16


@dataclass(frozen=True)
class NestedAnswers:
    """`tokens` (L,) rising, `answers` (L, n), `truth` (n,) class numbers below `classes`."""

    tokens: np.ndarray
    answers: np.ndarray
    truth: np.ndarray
    classes: int

    @property
    def right(self) -> np.ndarray:
        """(L, n) bool."""
        return self.answers == self.truth

    @property
    def needed(self) -> np.ndarray:
        """(n,) smallest sufficient level; L where none is right."""
        return smallest_sufficient(self.right)

    @property
    def shares(self) -> np.ndarray:
        """(classes,) of the truth."""
        return np.bincount(self.truth, minlength=self.classes) / len(self.truth)

    def needed_by_chance(self) -> np.ndarray:
        """(L + 1,) share of samples whose smallest sufficient level is each, with shuffled labels; last: none."""
        out = np.zeros(len(self.tokens) + 1)
        for c in np.flatnonzero(self.shares):
            first = smallest_sufficient(self.answers == c)
            out += self.shares[c] * np.bincount(first, minlength=len(out)) / len(first)
        return out

    def chance(self) -> np.ndarray:
        """(L,) right at each level with shuffled labels."""
        return self.shares[self.answers].mean(axis=1)


def of_probes(
    sets: TokenSets, codes: np.ndarray, fold: np.ndarray, progress: Progress, span=(0.3, 0.95)
) -> NestedAnswers:
    """A linear probe on the tokens of each grid side by side, every sample by a fit that did not see it."""
    cells = nested_cells(sets.x.shape[1], sets.grid)[::-1]
    y, said = np.eye(int(codes.max()) + 1)[codes], []
    for k, cell in enumerate(cells):
        progress(span[0] + (span[1] - span[0]) * k / len(cells), f"{int(cell.max()) + 1} tokens")
        means, _ = cell_means(sets.x, sets.present, cell)
        told = held_out_predictions(means.reshape(len(means), -1), y, np.zeros(y.shape[1], np.int64), fold,
                                    np.array([True]))  # fmt: skip
        said.append(told.argmax(axis=1))
    return NestedAnswers(np.array([int(c.max()) + 1 for c in cells]), np.array(said), codes, y.shape[1])


def of_network(live: Opened, progress: Progress, span=(0.1, 0.95)) -> tuple[NestedAnswers, str]:
    """The network with the tokens behind its second layer pooled to each grid, and what "right" means. Samples without
    a label are left out."""
    one, levels, found, total = rule("nested_pooling"), None, [], live.n
    for part, inputs in live.batches(BATCH):
        progress(span[0] + (span[1] - span[0]) * part.start / total, "running the network")
        whole = live.network.run(inputs)
        if levels is None:
            levels = _levels(whole.layout)
        said = [logits_of_answer(whole).argmax(axis=1)]
        for share in levels[1][1:]:
            run = live.network.run(
                inputs, one, lambda n, s=share: schedule(one.schedule, s, live.network.layers, n)
            )
            said.append(logits_of_answer(run).argmax(axis=1))
        found.append(np.array(said)[::-1])
    answers = np.concatenate(found, axis=1)
    labels, what = live.labels, "as labelled"
    if labels is None or not (np.asarray(labels) >= 0).any():
        labels, what = answers[-1], "as with all tokens"
    labels = np.asarray(labels)
    good = labels >= 0
    classes = int(max(answers.max(), labels.max())) + 1
    return NestedAnswers(levels[0][::-1], answers[:, good], labels[good].astype(int), classes), what


def _levels(layout) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each grid, fine to coarse, and as shares of the free ones."""
    rows, columns = layout.grid or (1, int(layout.free[0].sum()))
    counts = np.array([rows // h * (columns // w) for h, w in nest(rows, columns)])
    return counts, counts / counts[0]
