"""How much of a layer's space does the answer need? Tokens are projected on random subspaces behind a layer.

    x ← Q Qᵀ x        Q (d, k) orthonormal, drawn anew; behind one layer, then the network goes on

A mild ablation that knows nothing of the data: it takes the same share away from everything in expectation. Whatever x
is, the energy that is kept, ‖QQᵀx‖² / ‖x‖², has mean k / d and the variance of Beta(k / 2, (d - k) / 2).

Null: of the answer that of other samples, exact mean over all pairs; of the kept energy k / d and the variance of that
Beta. Interval: over samples and draws, which all samples share (Satterthwaite); over draws for the energy.

When it lies: an answer that survives says that it is spread over directions, not that few dimensions are used, and one
that breaks may break by a wrong scale; the norm behind undoes the loss of length; a few subspaces stand for all of
them; tokens of one draw share a subspace, so that energies of alike tokens move together.

Cost: (1 + shares x draws) passes of every sample and as many QR decompositions O(d² k).

Reference: M. Haghighat et al. (2024), "Pre-training with random orthogonal projection image modeling".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.networks.random_projections import energy_kept, energy_variance, random_basis
from analysis.compute.statistics.crossed import crossed_interval
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.lens import cosines, overlaps
from analysis.tokens.stream import RandomStream, stream
from analysis.tokens.stream_cost import AT_ONCE, SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

SHARES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.85, 1.0])
TOLD = 2  # of the shares, that estimates are of: 0.3
COSINE, TOP = "cosine with the answer", "same top answer"


@dataclass(frozen=True)
class RandomProjectionParams:
    layer: int = param(0, "Layer behind which tokens are projected; 0: half way.", low=0, high=1000)
    measure: str = param(COSINE, "What is compared with the full answer.", choices=(COSINE, TOP))
    draws: int = param(6, "Random subspaces of each size.", low=2, high=100)
    maximum_samples: int = param(64, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def random_projection_ablation(
    activations, params: RandomProjectionParams = RandomProjectionParams(), rng=None, progress=no_progress
) -> Curve:
    """What is left of the answer when tokens lose random directions.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows go through random blocks.

    Returns
    -------
    Curve
        Over the share of dimensions that is kept. Estimates: the answer and the energy at 30 %.

    Raises
    ------
    ParameterError, InputError, NotEnoughData
        A layer that there is not; rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    layers = len(who.names)
    if params.layer > layers:
        raise ParameterError(f"layer {params.layer}", f"1 to {layers}, or 0 for half way")
    at = params.layer - 1 if params.layer else max(layers // 2 - 1, 0)
    each, others, energies, d = projected(who, at, params.measure, params.draws, rng,
                                          lambda f: progress(0.2 + 0.75 * f, "running the network"))  # fmt: skip
    progress(1.0, "done")
    kept = each.mean(axis=1)
    ends = [_interval(params.measure, v) for v in each]
    low, high = (np.array([e[s] for e in ends]) for s in ("low", "high"))
    name, told = params.measure, _estimates(each, others, energies, params.measure, d)
    return Curve(
        title=f"The answer of {who.what} with random directions of {who.names[at]} left", x=SHARES,
        x_name="share of dimensions that is kept", y_name=name, series={name: kept.mean(axis=1)}, low={name: low},
        high={name: high}, null={name: np.full(len(SHARES), others)}, estimates=told,
        reading=_reading(kept, others, told, who.names[at]),
        caveats=(*notes, f"{who.n:,} samples, {params.draws} subspaces of each size, the same for all samples; "
                 f"the energy is that of the tokens of the first {min(who.n, AT_ONCE)} samples.",
                 "The next norm undoes the loss of length."),
    )  # fmt: skip


def projected(who, at: int, measure: str, draws: int, rng, progress=lambda f: None):
    """((shares, draws, n) what is kept; that of other samples; (draws, tokens of the first batch) the kept energy at
    the told share; d)."""
    plain, changed, energies, d = [], [], [], 0
    for part, given in who.batches(AT_ONCE):
        whole = who.passed(given)
        x = whole.states[at + 1][whole.present]
        d = x.shape[1]
        plain.append(whole.answer)
        if part.start == 0:
            bases = [[random_basis(d, _k(share, d), rng) for _ in range(draws)] for share in SHARES]
            energies = np.stack([energy_kept(x, q) for q in bases[TOLD]])
        rows = []
        for i, each in enumerate(bases):
            progress((part.start + (part.stop - part.start) * i / len(bases)) / who.n)
            rows.append([who.passed(given, {at: _onto(q)}, states=False).answer for q in each])
        changed.append(np.array(rows))
    z, changed = np.concatenate(plain), np.concatenate(changed, axis=2)
    if who.classifies:
        z, changed = (a - a.mean(axis=-1, keepdims=True) for a in (z, changed))
    way = cosines if measure == COSINE else lambda a, b: overlaps(a, b, 1)
    kept = np.array([[way(z, c)[0] for c in each] for each in changed])
    return kept, way(z, z)[1] if len(z) > 1 else 0.0, energies, d


def _k(share: float, d: int) -> int:
    return min(max(round(share * d), 1), d)


def _onto(q: np.ndarray):
    def change(before: np.ndarray, behind: np.ndarray) -> np.ndarray:
        return behind if q.shape[0] == q.shape[1] else behind @ q @ q.T

    return change


def _interval(measure: str, values: np.ndarray) -> dict:
    """Of (draws, n)."""
    if len(values[0]) < 2:
        return {"low": float(values.mean()), "high": float(values.mean()), "interval": "none: one sample"}
    found = crossed_interval(values.T, 0.0 if measure == TOP else -1.0, 1.0)
    if measure == TOP and np.ptp(values) == 0:  # all alike: Wilson's, with samples as draws
        low, high = wilson(float(values.mean()) * values.shape[1], values.shape[1])
        found |= {"low": low, "high": high, "interval": "Wilson, samples as draws"}
    return found


def _estimates(kept, others: float, energies: np.ndarray, measure: str, d: int) -> tuple[Estimate, ...]:
    k, by_draw = _k(SHARES[TOLD], d), energies.mean(axis=1)
    spread, null = float(energies.var(axis=0, ddof=1).mean()), energy_variance(k, d)
    return (
        Estimate(f"{measure}, {k} of {d} dimensions kept", float(kept[TOLD].mean()), **_interval(measure, kept[TOLD]),
                 null=others, null_method="other samples, exact mean", n=kept.shape[2], d=d,
                 estimator="mean over draws and samples"),
        Estimate(f"energy kept, {k} of {d} dimensions", float(by_draw.mean()),
                 **(mean_interval(by_draw, 0.0, 1.0) | {"interval": "Student's t over draws"}), null=k / d,
                 null_method="k / d, for any x", n=len(by_draw), d=d, estimator="mean over tokens and draws"),
        Estimate(f"variance of the energy kept, {k} of {d} dimensions", spread, null=null,
                 interval="none: tokens of a draw share its subspace", null_method="Beta(k / 2, (d - k) / 2)",
                 n=len(by_draw), d=d, estimator="over draws, mean over tokens"),
    )  # fmt: skip


def _reading(kept, others: float, told, name: str) -> str:
    mean = kept.mean(axis=1)
    half = (1 + others) / 2
    enough = float(SHARES[int(np.flatnonzero(mean >= half - 1e-9)[0])])
    return (
        f"With {enough:.0%} of the dimensions behind {name}, at random, the answer is at least half way from other "
        f"samples' ({others:.2f}) to itself; at {SHARES[TOLD]:.0%} it is at {mean[TOLD]:.2f}."
    )


def _check() -> tuple[CheckLine, ...]:
    """Q Qᵀ is a projection; energies of it and its complement add up; mean k / d and Beta variance for two very
    different x; with all dimensions nothing changes."""
    rng = np.random.default_rng(0)
    q = random_basis(20, 6, rng)
    p, x = q @ q.T, rng.standard_normal((5, 20))
    pair = np.vstack([np.eye(20)[:1], np.ones((1, 20))])
    energies = np.stack([energy_kept(pair, random_basis(20, 6, rng)) for _ in range(2000)])
    who = RandomStream(rng.standard_normal((4, 5, 8)), np.ones((4, 5), bool), rng, 3)
    kept = projected(who, 1, COSINE, 2, rng)[0].mean(axis=1)
    rest = np.linalg.norm(x - x @ p, axis=1) ** 2 / np.linalg.norm(x, axis=1) ** 2
    return (
        CheckLine("P² - P", 0.0, float(np.abs(p @ p - p).max()), 1e-12),
        CheckLine("energies of P and its complement", 1.0, float((energy_kept(x, q) + rest).max()), 1e-12),
        CheckLine("mean energy of one unit vector", 0.3, float(energies[:, 0].mean()), 0.01),
        CheckLine("mean energy of the vector of ones", 0.3, float(energies[:, 1].mean()), 0.01),
        CheckLine(
            "its variance over Beta's", 1.0, float(energies[:, 1].var() / energy_variance(6, 20)), 0.15
        ),
        CheckLine("all dimensions kept", 1.0, float(kept[-1].min()), 1e-12),
    )


def _cost(shapes, params: RandomProjectionParams):
    bases = 8.0 * params.draws * float(SHARES.sum()) * shapes[0][1] ** 2
    return passes_cost(shapes, params, 1 + params.draws * len(SHARES), bases)


METHODS = (
    Method(
        id="random_projection_ablation", family="tokens", network="blocks",
        title="Random directions taken away", version=3,
        function=random_projection_ablation, params=RandomProjectionParams, result=Curve, check=_check, minimum_rows=2,
        summary="Tokens are projected on random subspaces behind a layer: how many dimensions does the answer need?",
        cost=_cost,
        invariance="rotations of the stream, in distribution; the order of samples",
        papers=("Pre-training with Random Orthogonal Projection Image Modeling",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
