"""A network as a graph of its parts: what each reads of every earlier one, edge by edge.

Parts are heads and MLPs (or attention and MLPs, or groups of units of layers) in the order in which they run, with what
goes into the first block as the input, and the answer at the end. What a part reads of others is the sum of what they
give (of layers in a row only the one before), so that a run in which it reads some of them corrupted is a run with
those put there and all other parts held, in which one looks at what the part would have given:

    one path        sender corrupted, every other part held clean: what each receiver would give, and the answer
                    directly; then that receiver's value alone in a clean run, what follows it free
    set of edges    part by part in order: an edge that is kept hands on the sender's value in this run, any other its
                    corrupted one

All edges kept is the clean run; none, the run with all parts corrupted; all but those of one part, that part corrupted
in a free run. Nothing is assumed about norms or heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.bench import Bench
from analysis.interventions.components import ATTENTION, HEADS, INPUT, MLPS, Component, Place, Site
from analysis.interventions.interventions import MEAN, RESAMPLE, ZERO, Cell, Intervention, part_of
from analysis.interventions.many_samples import means_at, others_of
from analysis.interventions.many_targets import ManyTargets
from analysis.interventions.site_slopes import site_slopes

BY_HEADS, BY_PARTS = "heads and MLPs", "attention and MLPs"
KINDS = (BY_HEADS, BY_PARTS)
INPUT_NAME, ANSWER = "input", "answer"
MOST_PARTS = 400


@dataclass(frozen=True)
class Graph:
    """`parts` (m) in order, their `stage` (m,): a part reads those of earlier stages; `edges` (E, 2) of their numbers,
    receiver m being the answer."""

    parts: tuple[Component, ...]
    stage: np.ndarray
    edges: np.ndarray

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.parts] + [ANSWER]

    def edge_name(self, e: int) -> str:
        s, r = self.edges[e]
        return f"{self.names[s]} → {self.names[r]}"


def graph_of(bench: Bench, kind: str, groups: int, most: int) -> Graph:
    """Of a network with blocks; of one without, `groups` of units of every layer; of a probe its units. Raises NotFound
    where nothing can be told apart, InputError for over 400 parts."""
    parts, stage, in_a_row = [], [], False
    if bench.parts is None or not bench.parts.depth:
        parts = bench.components("units of the tap", most)
        stage = [0] * len(parts)
    elif bench.parts.blocks:
        parts, stage = _of_blocks(bench, kind)
    else:
        parts, stage, in_a_row = *_of_layers(bench, groups), True
    if len(parts) > MOST_PARTS:
        raise InputError(
            f"{len(parts)} parts", f"at most {MOST_PARTS}", "Take attention and MLPs, or fewer groups"
        )
    of, m = np.array(stage), len(parts)
    near = lambda s, r: s == r - 1 if in_a_row else s < r  # noqa: E731
    edges = [(s, r) for r in range(m) for s in range(m) if near(of[s], of[r])]
    last = of.max() if in_a_row else -1
    edges += [(s, m) for s in range(m) if of[s] >= last]
    return Graph(tuple(parts), of, np.array(edges, dtype=np.int64).reshape(-1, 2))


def _of_blocks(bench: Bench, kind: str) -> tuple[list[Component], list[int]]:
    known = bench.parts
    first = HEADS if kind == BY_HEADS and known.heads else ATTENTION
    if kind == BY_HEADS and not known.heads:
        bench.notes.append(f"{known.no_heads}: attention is taken as a whole.")
    found = [c for k in (first, MLPS) if k in known.kinds for c in known.components(k)]
    if not found:
        raise NotFound("no attention and no MLP that can be told by how the network runs", "one of them")
    found.sort(key=lambda c: (c.layer, c.kind == MLPS, c.number))
    start = Component(INPUT_NAME, INPUT_NAME, (Place(Site(known.blocks[0], INPUT)),))
    return [start, *found], [0, *(1 + 2 * c.layer + (c.kind == MLPS) for c in found)]


def _of_layers(bench: Bench, groups: int) -> tuple[list[Component], list[int]]:
    run, parts, stage = bench.runs[0], [], []
    for i, name in enumerate(bench.parts.layers):
        units = run.caught([Site(name)])[Site(name)].shape[-1]
        ends = np.unique(np.linspace(0, units, min(groups, units) + 1).round().astype(int))
        for k, (a, b) in enumerate(pairwise(ends)):
            place = (Place(Site(name), int(a), int(b)),)
            parts.append(Component(f"layer {i}, units {a}–{b - 1}", "group", place, i, k))
            stage.append(i)
    return parts, stage


class Wired:
    """A graph in one run of n samples: `clean` and `corrupted` values by part; `target` reads the answer."""

    def __init__(self, graph: Graph, run: BatchRun, target: ManyTargets, corrupted: list[list]) -> None:
        self.graph, self.run, self.target, self.corrupted = graph, run, target, corrupted
        self._sites = list(dict.fromkeys(s for c in graph.parts for s in c.sites))
        self.clean = self._read(run.caught(self._sites))
        self.y = target.of(run.logits).numpy()

    def _read(self, caught, only: Sequence[int] | None = None) -> list:
        return [
            [part_of(p).read(caught[p.site]).clone() for p in c.places] if only is None or i in only else None
            for i, c in enumerate(self.graph.parts)
        ]

    def cell(self, values: dict[int, list]) -> Cell:
        """These parts put to these values."""
        return tuple(
            Intervention(p.site, v, part_of(p))
            for i, own in values.items()
            for p, v in zip(self.graph.parts[i].places, own, strict=True)
        )

    def answers(self, cells: Sequence[Cell]) -> np.ndarray:
        """(cells, n)."""
        return self.run.answers(cells, self.target.of)

    def nodes(self) -> np.ndarray:
        """(m, n): what corrupting each part alone, all others free, adds to the answer."""
        return self.answers([self.cell({i: own}) for i, own in enumerate(self.corrupted)]) - self.y

    def direct(self, sender: int) -> tuple[list, np.ndarray]:
        """What every later part would give, and what is added to the answer (n,), with the sender corrupted and all
        other parts held clean."""
        m = len(self.graph.parts)
        cell = self.cell({i: self.corrupted[i] if i == sender else self.clean[i] for i in range(m)})
        later = set(np.flatnonzero(self.graph.stage > self.graph.stage[sender]).tolist())
        caught = (
            self.run.caught({p.site: 0 for i in later for p in self.graph.parts[i].places}, cell)
            if later
            else {}
        )
        return self._read(caught, later), self.answers([cell])[0] - self.y

    def slopes(self) -> list[list]:
        """Slope of the sum of answers in every part's values, from one backward pass."""
        if any(
            s.module == INPUT for s in self._sites
        ):  # a probe reads its input: linear, differences are exact
            return self._differences()
        return self._read(site_slopes(self.run, self._sites, self.target))

    def _differences(self) -> list[list]:
        return [[None for _ in c.places] for c in self.graph.parts]

    def with_edges(self, kept: np.ndarray) -> np.ndarray:
        """(n,) the answer of the set of edges `kept` (E,) bool, all others corrupted."""
        g, m = self.graph, len(self.graph.parts)
        keeps = np.zeros((m + 1, m), dtype=bool)
        keeps[g.edges[kept, 1], g.edges[kept, 0]] = True
        reads = np.zeros((m + 1, m), dtype=bool)
        reads[g.edges[:, 1], g.edges[:, 0]] = True
        now: dict[int, list] = {}
        for stage in np.unique(g.stage):
            own = np.flatnonzero(g.stage == stage)
            groups: dict[bytes, list[int]] = {}
            for r in own.tolist():
                groups.setdefault(keeps[r].tobytes(), []).append(r)
            found = {}
            for same in groups.values():
                upstream = np.flatnonzero(reads[same[0]])
                if keeps[same[0], upstream].all() and all(
                    s in now and now[s] is self.clean[s] for s in upstream
                ):
                    found.update({r: self.clean[r] for r in same})
                    continue
                cell = self.cell(
                    {s: now[s] if keeps[same[0], s] else self.corrupted[s] for s in upstream.tolist()}
                )
                caught = self.run.caught({p.site: 0 for r in same for p in g.parts[r].places}, cell)
                values = self._read(caught, set(same))
                found.update({r: values[r] for r in same})
            now.update(found)
        end = np.flatnonzero(reads[m]).tolist()
        return self.answers([self.cell({s: now[s] if keeps[m, s] else self.corrupted[s] for s in end})])[0]


def wired(bench: Bench, graph: Graph, way: str, rng: np.random.Generator) -> list[Wired]:
    """One for each batch; corrupted values are zero, the mean over all samples, or those of another sample."""
    import torch

    places = [p for c in graph.parts for p in c.places]
    runs, found = bench.runs, []
    means = means_at(runs, places) if way == MEAN else {}
    sites = list(dict.fromkeys(p.site for p in places))
    others = others_of(runs, sites, rng) if way == RESAMPLE else [None] * len(runs)
    for run, target, given in zip(runs, bench.targets, others, strict=True):
        caught = run.caught(sites)
        values = []
        for component in graph.parts:
            own = []
            for p in component.places:
                x = part_of(p).read(caught[p.site])
                if way == ZERO:
                    own.append(torch.zeros_like(x))
                elif way == MEAN:
                    own.append(means[p].to(x.dtype).expand_as(x).clone())
                else:
                    own.append(part_of(p).read(given[p.site]).to(x.dtype).clone())
            values.append(own)
        found.append(Wired(graph, run, target, values))
    return found
