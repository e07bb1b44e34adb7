"""Which edges of a graph matter: screened by slopes, the strongest run one by one.

screen   Σ slope of the answer in what the receiver gives · (what it would give with the sender corrupted on this
         edge alone - what it gives): two runs a sender and one backward pass; edges to the answer are exact
exact    the receiver's value put into a clean run, everything behind it free (path patching)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.attribution.sample_run import as_site, as_tokens, input_key
from analysis.errors import InputError
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.circuits import Graph, Wired
from analysis.spec import Progress

CELLS = 16  # edges of one call


@dataclass(frozen=True)
class Edges:
    """Of a graph's E edges over n samples: `screened` (E, n); `exact` (E, n), NaN where it was not run; `verified`
    (E,) bool."""

    screened: np.ndarray
    exact: np.ndarray
    verified: np.ndarray

    @property
    def effect(self) -> np.ndarray:
        """(E, n): exact where known."""
        return np.where(self.verified[:, None], self.exact, self.screened)

    @property
    def order(self) -> np.ndarray:
        """Edges by the size of their mean effect, the largest first; those that were run before all others."""
        size = np.abs(self.effect.mean(axis=1))
        return np.lexsort((np.arange(len(size)), -size, ~self.verified))


def edges_of(graph: Graph, batches: Sequence[Wired], most: int, progress: Progress, span) -> Edges:
    """Of all edges, at most `most` of them exactly."""
    screened, would, direct = [], [], []
    steps = len(batches) * (len(graph.parts) + 1)
    for b, own in enumerate(batches):
        slopes, given = own.slopes(), []
        for s in range(len(graph.parts)):
            done = (b * (len(graph.parts) + 1) + s) / steps
            progress(span[0] + 0.5 * (span[1] - span[0]) * done, "screening edges")
            given.append(own.direct(s))
        would.append([v for v, _ in given])
        direct.append(np.array([y for _, y in given]))
        screened.append(_screened(graph, own, slopes, would[-1], direct[-1]))
    first = np.concatenate(screened, axis=1)
    answer = graph.edges[:, 1] == len(graph.parts)
    strong = np.argsort(-np.abs(first.mean(axis=1)), kind="stable")
    asked = [int(e) for e in strong if not answer[e]][:most]
    exact = np.full(first.shape, np.nan)
    exact[answer] = first[answer]
    at = 0
    for b, own in enumerate(batches):
        columns = slice(at, at := at + own.run.n)
        for k in range(0, len(asked), CELLS):
            progress(
                span[0] + (span[1] - span[0]) * (0.5 + 0.5 * (b + k / len(asked)) / len(batches)),
                "running paths",
            )
            some = asked[k : k + CELLS]
            cells = [
                own.cell({int(graph.edges[e, 1]): would[b][graph.edges[e, 0]][graph.edges[e, 1]]})
                for e in some
            ]
            exact[some, columns] = own.answers(cells) - own.y
    return Edges(first, exact, np.isfinite(exact).all(axis=1))


def _screened(graph: Graph, own: Wired, slopes, would, direct) -> np.ndarray:
    found = np.empty((len(graph.edges), own.run.n))
    for e, (s, r) in enumerate(graph.edges):
        if r == len(graph.parts):
            found[e] = direct[s]
            continue
        found[e] = sum(
            (g.double() * (new.double() - old.double())).flatten(1).sum(dim=1).numpy()
            for g, new, old in zip(slopes[r], would[s][r], own.clean[r], strict=True)
        )
    return found


def edge_claim(graph: Graph, batches: Sequence[Wired], e: int) -> tuple[str, list]:
    """Name and cells, by batch, of what a path does: the receiver as it would be; of a path to the answer its sender
    corrupted, with all ways it has."""
    s, r = map(int, graph.edges[e])
    if r == len(graph.parts):
        return f"corrupting {graph.names[s]}", [own.cell({s: own.corrupted[s]}) for own in batches]
    return f"the path {graph.edge_name(e)}", [own.cell({r: own.direct(s)[0][r]}) for own in batches]


def share_kept(batches: Sequence[Wired], kept: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """(2, n): what the edges `kept` (E,) alone leave of the answer beyond that of no edges `empty` (n,), and what the
    clean run has: their ratio of means is the faithfulness."""
    y = np.concatenate([own.with_edges(kept) for own in batches])
    clean = np.concatenate([own.y for own in batches])
    return np.stack([y - empty, clean - empty])


def noisy(batches: Sequence[Wired], size: float, rng: np.random.Generator) -> list[Wired]:
    """The same graphs on inputs with Gaussian noise, `size` times the standard deviation of each unit over the tokens
    that are no padding; none of words, which take none."""
    found = []
    for own in batches:
        try:
            key = input_key(own.run.inputs)
        except InputError:
            return []
        found.append(Wired(own.graph, _with_noise(own.run, key, size, rng), own.target, own.corrupted))
    return found


def _with_noise(run: BatchRun, key: str | None, size: float, rng: np.random.Generator) -> BatchRun:
    import torch

    x = run.inputs if key is None else run.inputs[key]
    tokens = as_tokens(x).double()
    real = tokens.numpy()[run.real(tokens.shape[1])]
    drawn = torch.as_tensor(rng.standard_normal(tuple(tokens.shape)) * real.std(axis=0))
    new = x + as_site(size * drawn, tuple(x.shape)).to(x.dtype)
    return run.of_inputs(new if key is None else {**run.inputs, key: new})
