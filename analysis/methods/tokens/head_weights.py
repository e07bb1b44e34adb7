"""What could a head compare, from its weights alone? Isotropic share against spectral norm of W = W_Q W_K', by head.

    share   tr(W)² / (d |W|²_F): 1 of the identity, by which a token looks for what is like itself, at most e / d of a
            head e wide, 1/d² of independent weights
    norm    σ_1(W), the largest a product can get for tokens of length 1; how sharp the head could be

Each head is a point; where a second checkpoint is given (the same network at its start, or at another step) a line
leads from its point there to that here. No data are read but one sample, on which it is tried that these weights do
give the network's queries and keys (`analysis.tokens.attention.weight_shares`). An array is a table of weights itself:
a row for each input, in its columns the queries of all heads and then their keys.

Interval: Student's t over heads as draws, which they are not: it tells how unlike they are. Null: independent Gaussian
weights of the same sizes |W_Q|, |W_K|: share 1/d² on average, chi-squared, the norm drawn.

When it lies: weights act behind the norm, whose own scales are left out, and beside biases and positions; a head may
compare in a few directions only, which are all that its tokens have, and then its share in QK as it runs is the larger
(see the atlas); a large norm of directions that no token has does nothing.

Cost: O(heads d e²), and as much for each draw.

Reference: H. Fu, T. Guo, Y. Bai & S. Mei (2023), "What can a single attention layer learn? A study through the random
features lens".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from analysis.activations import Activations, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, ShapeError
from analysis.results import Estimate, Scatter
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import heads_of
from analysis.tokens.attention.weight_shares import NULL, head_weights, share_of_heads

OPENING, LEVEL, FEWEST, TABLE_HEADS = 3.0, 0.05, 4, (4, 2, 1)
SHARE, NORM, TRACE, LAYER, HEAD, WHEN = (
    "isotropic share",
    "spectral norm",
    "trace",
    "layer",
    "head",
    "checkpoint",
)
ALL = {"interval": "none: these are all heads"}


@dataclass(frozen=True)
class HeadWeightsParams:
    draws: int = param(20, "Draws of independent weights, for the norm.", low=9, high=1000, late=True)


def head_weights_of(
    *taps, params: HeadWeightsParams = HeadWeightsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Heads by isotropic share and spectral norm.

    Parameters
    ----------
    *taps : one or two Activations or arrays (rows, units)
        Any tap of a transformer that can be run again, and of the same network at another step.

    Returns
    -------
    Scatter
        A point for each head of each checkpoint. Estimates: means of both, and heads beyond independent weights.

    Raises
    ------
    InputError, ShapeError, NotEnoughData
        Weights that cannot be read; checkpoints of unlike shapes; fewer than four finite rows of a table.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    sides, notes = [], []
    for i, tap in enumerate(taps):
        found, said = weights(tap, rng, lambda f, doing="", i=i: progress((i + f) / len(taps) * 0.6, doing))
        sides.append(found)
        notes += said
    if len(sides) > 1 and [w[0].shape for w in sides[0]] != [w[0].shape for w in sides[1]]:
        raise ShapeError(
            f"heads of {taps[0].name} and {taps[1].name} differ in number or width", "one network twice"
        )
    told = [np.array([numbers(q, k) for q, k in side]).reshape(-1, 3) for side in sides]
    drawn = []
    for k in range(params.draws):
        progress(0.6 + 0.4 * k / params.draws, "independent weights")
        drawn.append(np.mean([random_norm(q, k_, rng) for q, k_ in sides[0]]))
    progress(1.0, "done")
    return _scatter(taps, sides, told, np.array(drawn), tuple(dict.fromkeys(notes)))


def weights(tap: Activations, rng, progress) -> tuple[list, list[str]]:
    """([(W_Q, W_K), each (H, d, e)] by layer, notes)."""
    if not is_table(tap):
        reader = heads_of(tap, 2, rng, progress=progress)
        if not reader.who.is_network:
            raise InputError(f"{tap.name} belongs to no network whose weights can be read",
                             "a tap of a transformer that can be run again, or a table of weights")  # fmt: skip
        return head_weights(reader), [n for n in reader.notes if "sample" not in n]
    progress(0.0, f"reading {tap.name}")
    x, seen = np.asarray(tap.take(np.arange(tap.shape[0])), np.float64), Pass(n_rows=tap.shape[0])
    good = finite_rows(x)
    seen.n_nonfinite = int((~good).sum())
    refuse_few(tap.name, int(good.sum()), FEWEST, "finite row(s)")
    heads = next((h for h in TABLE_HEADS if x.shape[1] % (2 * h) == 0), None)
    if heads is None:
        raise InputError(f"a table of {x.shape[1]} columns", "an even number: queries, then keys")
    q, k = (
        part.reshape(int(good.sum()), heads, -1).transpose(1, 0, 2) for part in np.split(x[good], 2, axis=1)
    )
    return [(q, k)], [*seen.notes, f"{tap.name} is read as a table of weights with {heads} head(s)."]


def numbers(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(H, 3) share, spectral norm and trace of W_Q W_K' of weights (H, d, e)."""
    share, trace = share_of_heads(q, k)
    return np.stack([share, norms(q, k), trace], axis=1)


def norms(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(H,) largest singular values of W_Q W_K', through the triangular factors of either."""
    r_q, r_k = (np.linalg.qr(x, mode="r") for x in (q, k))
    return np.linalg.svd(r_q @ r_k.swapaxes(1, 2), compute_uv=False)[:, 0]


def random_norm(q: np.ndarray, k: np.ndarray, rng) -> float:
    """Mean norm over heads of independent Gaussian weights of these sizes."""
    made = []
    for x in (q, k):
        free = rng.standard_normal(x.shape)
        size = np.linalg.norm(x, axis=(1, 2), keepdims=True) / np.linalg.norm(
            free, axis=(1, 2), keepdims=True
        )
        made.append(free * size)
    return float(norms(*made).mean())


def _scatter(taps, sides, told, drawn: np.ndarray, notes) -> Scatter:
    layers = np.concatenate([np.full(len(q), i + 1) for i, (q, _) in enumerate(sides[0])])
    heads = np.concatenate([np.arange(1, len(q) + 1) for q, _ in sides[0]])
    m, d = len(layers), sides[0][0][0].shape[1]
    share, norm, trace = told[0].T
    more = benjamini_hochberg(chdtrc(1, d**2 * share)) <= LEVEL
    every = np.concatenate(told)
    two, level = len(told) > 1, -2 * np.log10(d)
    edges = np.stack([np.arange(m) + m, np.arange(m)], axis=1).astype(np.int32) if two else None
    return Scatter(
        title=f"Heads of {taps[0].name} by what their weights compare",
        positions=np.stack([every[:, 1], np.log10(np.maximum(every[:, 0], 1e-12))], axis=1),
        rows=np.arange(len(every)), of="heads", axes=(NORM, "log10 of the isotropic share"),
        columns={LAYER: np.tile(layers, len(told)), HEAD: np.tile(heads, len(told)), SHARE: every[:, 0],
                 NORM: every[:, 1], TRACE: every[:, 2],
                 WHEN: np.repeat([t.name for t in taps] if two else ["this one"], m)},
        colour=WHEN if two else LAYER, edges=edges, edge_values=np.ones(m) if two else None,
        edge_name="the same head" if two else "", estimates=_estimates(told, more, drawn, d),
        guides={f"independent weights, 1/{d}²": np.array([[0.0, level], [every[:, 1].max(), level]])},
        reading=_reading(share, trace, more, norm, drawn, d),
        caveats=(*notes, "Weights act on tokens behind the norm, whose scales and shift are left out.",
                 f"A head {sides[0][0][0].shape[2]} wide can have at most {min(sides[0][0][0].shape[2] / d, 1):.2g}."),
    )  # fmt: skip


def _reading(share, trace, more, norm, drawn, d: int) -> str:
    away = int((more & (trace < 0)).sum())
    return (
        f"{int(more.sum())} of {len(share)} heads compare tokens with themselves beyond independent weights (share up "
        f"to {share.max():.2g}, 1/d² = {1 / d**2:.2g}), {away} of them to look away from what is alike. Their norm is "
        f"{norm.mean():.2g} on average; independent weights of these sizes have {drawn.mean():.2g}."
    )


def _estimates(told, more, drawn, d: int) -> tuple[Estimate, ...]:
    share, norm, _ = told[0].T
    facts = {"n": len(share), "d": d}
    out = [
        Estimate(f"{SHARE}, mean over heads", float(share.mean()), **_heads(share), null=1 / d**2,
                 null_method=NULL, estimator="tr(W)² / (d |W|²)", **facts),
        Estimate(f"{NORM}, mean over heads", float(norm.mean()), **_heads(norm), **null_spread(drawn), **facts,
                 null_method=f"independent Gaussian weights of the same sizes, {len(drawn)} draws",
                 estimator="largest singular value"),
        Estimate("heads beyond independent weights", float(more.mean()), **ALL, null=0.0, **facts,
                 null_method="independent weights, at 5 % false discoveries", estimator="share of heads"),
    ]  # fmt: skip
    if len(told) > 1:
        moved = (told[0] - told[1]).mean(axis=0)
        out += [Estimate(f"change of the {name} from the other checkpoint", float(moved[i]), **ALL, null=0.0, **facts,
                         null_method="weights that stayed", estimator="mean over heads")
                for i, name in ((0, SHARE), (1, NORM))]  # fmt: skip
    return tuple(out)


def _heads(values: np.ndarray) -> dict:
    found = mean_interval(values, 0.0)
    return (
        {**found, "interval": "Student's t over heads as draws"} if found else {"interval": "none: one head"}
    )


def _cost(shapes, params: HeadWeightsParams) -> Cost:
    m = machine()
    work = sum(n * d * d for n, d in shapes)
    held = sum(8.0 * n * d * 3 for n, d in shapes)
    return Cost(OPENING + m.seconds(flops64=2.0 * work * (params.draws + 3), moved=8.0 * sum(n * d for n, d in shapes)),
                held + 2e4, 1)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """W = I has share 1 and norm 1, twice the weights four times the norm; r directions of d have r / d; independent
    weights 1/d² on average."""
    rng = np.random.default_rng(0)
    eye = np.eye(24)[None]
    some = np.linalg.qr(rng.standard_normal((24, 6)))[0][None]
    free = numbers(*rng.standard_normal((2, 4000, 16, 4)))
    table = rng.standard_normal((30, 8))
    moved = head_weights_of(
        np.concatenate([2 * table, 2 * table], axis=1), np.concatenate([table, table], axis=1)
    )
    return (
        CheckLine("W = I: share", 1.0, numbers(eye, eye)[0, 0], 1e-12),
        CheckLine("W = I: norm", 1.0, numbers(eye, eye)[0, 1], 1e-12),
        CheckLine("6 directions of 24", 0.25, numbers(some, some)[0, 0], 1e-12),
        CheckLine("-W: the same share", 0.25, numbers(some, -some)[0, 0], 1e-12),
        CheckLine("independent weights: share times d²", 1.0, float(free[:, 0].mean() * 256), 0.1),
        CheckLine("twice the weights: norm", 4.0,
                  float(moved.columns[NORM][:4].mean() / moved.columns[NORM][4:].mean()), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_weights", family="tokens", network="attention", title="Heads by their weights", version=1,
        function=head_weights_of,
        summary="Isotropic share and spectral norm of W_Q W_K' of each head, trained and at its start.",
        params=HeadWeightsParams, result=Scatter, check=_check, cost=_cost, more_inputs=True, most_inputs=2,
        matches="nothing", checkpoints=True, minimum_rows=FEWEST,
        invariance="one rotation of a head's queries and keys",
        papers=("What can a Single Attention Layer Learn? A Study Through the Random Features Lens",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
