"""What averaging over the neighbours of a graph leaves of features: rank, Dirichlet energy, and the share that lasts.

    Â = D^(-1/2) (A + I) D^(-1/2),   D the degrees of A + I;   blocks X, Â X, Â² X, …

Eigenvalues of Â lie in (-1, 1], with 1 once for each connected piece, along D^(1/2) on that piece. On a connected graph
Â^k X turns into one direction at the rate |λ|^k, λ the next eigenvalue; on c pieces its rank falls to c at most.

    Dirichlet energy share   tr(Xᵀ (I - Â) X) / tr(Xᵀ X)   in [0, 2): 0 where only what lasts is left

References: Q. Li, Z. Han & X. Wu (2018), "Deeper insights into graph convolutional networks"; K. Oono & T. Suzuki
(2020), "Graph neural networks exponentially lose expressive power for node classification".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.spectra import entropy_rank
from analysis.compute.neighbours.graph_laplacian import pieces
from analysis.errors import InputError

DENSE = 3000  # nodes up to which all eigenvalues are found
MOST_PIECES = 300  # above, with more nodes than that, the next eigenvalue is not looked for


@dataclass(frozen=True)
class Graph:
    """`smoothing` Â (n, n) sparse; `lasting` (n, c) orthonormal, one column for each of c pieces; `edges` counted once,
    without self-loops; `notes`."""

    smoothing: object
    lasting: object
    edges: int
    notes: tuple[str, ...] = ()

    @property
    def pieces(self) -> int:
        return self.lasting.shape[1]


@dataclass(frozen=True)
class Smoothness:
    """Of one feature block: `ratio` σ2 / σ1, `rank` the entropy rank of σ, `energy` the Dirichlet energy share and
    `passing`, the share of the sum of squares that does not last."""

    ratio: float
    rank: float
    energy: float
    passing: float


def linked(ids: np.ndarray, links: np.ndarray):
    """Adjacency (n, n) of nodes `ids` (n,) text from each node's `links` (n,) text: ids between spaces, commas or
    semicolons. Symmetric; an id that is not among the nodes is left out and counted. Returns (adjacency, unknown)."""
    from scipy.sparse import csr_array

    place = {name: i for i, name in enumerate(ids.tolist())}
    rows, columns, unknown = [], [], 0
    for i, text in enumerate(links.astype(str)):
        for name in filter(None, re.split(r"[\s,;]+", text)):
            if name in place:
                rows.append(i)
                columns.append(place[name])
            else:
                unknown += 1
    n = len(ids)
    directed = csr_array((np.ones(len(rows)), (np.array(rows, int), np.array(columns, int))), shape=(n, n))
    return directed.maximum(directed.T), unknown


def graph_of(adjacency, notes: tuple[str, ...] = ()) -> Graph:
    """Of a symmetric sparse adjacency (n, n), weights taken as 1. Raises InputError where there is no edge."""
    from scipy.sparse import csr_array, diags_array

    n = adjacency.shape[0]
    links = csr_array(adjacency > 0, dtype=np.float64)
    links = links - diags_array(links.diagonal(), format="csr")
    links.eliminate_zeros()
    if not links.nnz:
        raise InputError(
            "the graph has no edge", "neighbours that are samples of this tap", "Choose another column"
        )
    whole = links + diags_array(np.ones(n), format="csr")
    degree = np.asarray(whole.sum(axis=1)).ravel()
    scale = diags_array(degree**-0.5, format="csr")
    count, of = pieces(whole)
    total = np.bincount(of, degree, count)
    lasting = csr_array((np.sqrt(degree / total[of]), (np.arange(n), of)), shape=(n, count))
    return Graph((scale @ whole @ scale).tocsr(), lasting, links.nnz // 2, notes)


def next_eigenvalue(graph: Graph, rng: np.random.Generator) -> float | None:
    """Largest |λ| of Â but for the 1 of each piece; None where it would take too long."""
    from scipy.sparse.linalg import eigsh

    n, c = graph.lasting.shape
    if n <= DENSE:
        rest = graph.smoothing.toarray() - (graph.lasting @ graph.lasting.T).toarray()
        return float(np.abs(np.linalg.eigvalsh(rest)).max())
    if c > MOST_PIECES:
        return None
    found = eigsh(graph.smoothing, k=c + 1, which="LM", v0=rng.standard_normal(n), return_eigenvectors=False)
    return float(np.sort(np.abs(found))[0])


def smoothness(graph: Graph, x: np.ndarray, ranks: bool = True) -> Smoothness:
    """Of features `x` (n, d), not centred; without `ranks` only what needs no decomposition. O(n d min(n, d))."""
    total = float((x**2).sum())
    stays = float(((graph.lasting.T @ x) ** 2).sum()) / total
    energy = float((x * (x - graph.smoothing @ x)).sum()) / total
    size = np.linalg.svd(x, compute_uv=False) if ranks else np.ones(2)
    ratio = float(size[1] / size[0]) if len(size) > 1 else 0.0
    return Smoothness(ratio, entropy_rank(size), max(energy, 0.0), min(max(1.0 - stays, 0.0), 1.0))


def smoothed(graph: Graph, x: np.ndarray, depth: int):
    """Blocks X, Â X, …, Â^depth X, each scaled to a sum of squares of 1, which no measure here depends on."""
    for k in range(depth + 1):
        x = x / np.sqrt((x**2).sum())
        yield x
        if k < depth:
            x = graph.smoothing @ x
