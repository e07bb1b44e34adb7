"""Do layers agree which tokens matter? Kendall's τ between their rankings of the tokens of a sample, layer by layer.

    τ_b = Σ sign(a_i - a_j) sign(b_i - b_j) / √(Σ |sign(a_i - a_j)| Σ |sign(b_i - b_j)|),    over pairs i < j

of scores a, b of two layers, averaged over samples. A score is what the answer's token reads from a token (the class
token; in text the last), or what a token is read by all that can read it, mean over heads. Tokens that may not be
removed are left out. Where layers agree, one ranking made early can be kept for all.

Nulls: rankings that have nothing to do with each other: mean 0, standard deviation √(2 (2 n + 5) / (9 n (n - 1))) for a
sample of n tokens, by the root of the number of samples for the mean; 95 % of the time all pairs of layers together lie
inside the band that is told (Šidák). And by place: the ranking of the other layer in
another sample (the next one), at the same places, which is alike where only the place of a token counts. Interval:
Student's t over samples.

When it lies: the first null takes tokens as exchangeable, and neighbouring ones are not; the second is too low where
samples are of other lengths, and too high where all samples look alike; few tokens make τ coarse. Where the network
cannot be run, rows of the tap stand for tokens, and four scores of them stand for layers.

Cost: one pass of the network; layers x tokens² for each sample.

Reference: S. Zhao, Z. Wang, F. Juefei-Xu, X. Xia, M. Liu, X. Wang, M. Liang, N. Zhang, D. N. Metaxas & L. Yu (2025),
"Accelerating multimodal large language models by searching optimal vision token reduction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import simultaneous_z
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.dump import TokenDump
from analysis.tokens.oracle import read_in_the_end
from analysis.tokens.rules.received_attention import received_mass, uniform_attention
from analysis.tokens.searching import by_place, chance_spread, kendall
from analysis.tokens.subject import subject
from analysis.tokens.tap_dump import RUN

ANSWER, ALL = "read by the answer", "read by all"
OPENING, BATCH, FEWEST = 4.0, 16, 3  # seconds; samples at once; tokens of a sample


@dataclass(frozen=True)
class TokenRankingsParams:
    score: str = param(ANSWER, "What tokens are ranked by.", choices=(ANSWER, ALL))
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=5000)


def token_rankings(
    activations, params: TokenRankingsParams = TokenRankingsParams(), rng=None, progress=no_progress
) -> Matrix:
    """Agreement of rankings between layers.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of other taps rows stand for tokens.

    Returns
    -------
    Matrix
        Mean τ of every two layers. Estimates: all pairs, neighbours, and the first layer with the others.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of three tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.0, "opening")
    who, notes = subject(tap, params.maximum_samples, rng, progress=progress)
    live, dump = (who.opened, None) if who.is_network else (None, who.dump)
    tables: list[np.ndarray] = []
    if live is None:
        names, parts = None, dump.blocks(BATCH)
    else:
        parts = _recorded(live)
    for part, some in parts:
        progress(0.5 + 0.4 * part.start / max(dump.n if live is None else live.n, 1), "ranking")
        names, scores = _of_rows(some) if live is None else _of_layers(some, params.score)
        free = some.layout.free
        tables += [scores[:, b, free[b]] for b in range(some.n) if free[b].sum() >= FEWEST]
    if len(tables) < 2:
        raise NotEnoughData(f"{tap.name} has {len(tables)} sample(s) of three tokens or more", "at least 2")
    progress(0.9, "comparing")
    tau = np.stack([kendall(t) for t in tables])
    spread = float(np.sqrt(np.mean([chance_spread(t.shape[1]) ** 2 for t in tables]) / len(tables)))
    progress(1.0, "done")
    return _matrix(
        tau, by_place(tables), spread, names, notes, params if live is not None else None, tap.shape[1]
    )


def _recorded(live):
    for part, inputs in live.batches(BATCH):
        run = live.network.run(inputs, record=("mean attention",))
        yield part, TokenDump(run.layout, run.recorded)


def _of_layers(dump: TokenDump, score: str) -> tuple[tuple[str, ...], np.ndarray]:
    """(names, (L, n, T) scores)."""
    present, layers = dump.layout.present, dump.recorded["mean attention"]
    if score == ANSWER:
        found = [read_in_the_end(a, dump.layout)[:, :, 0] for a in layers]
    else:
        even = np.maximum(received_mass(uniform_attention(present, dump.layout.causal), present), 1e-30)
        found = [received_mass(a, present) / even for a in layers]
    return tuple(f"layer {i + 1}" for i in range(len(layers))), np.stack(found)


def _of_rows(dump: TokenDump) -> tuple[tuple[str, ...], np.ndarray]:
    x, attention = dump.recorded["hidden"][0], dump.recorded["mean attention"][0]
    mean = x[:, :1]
    length = np.linalg.norm(x, axis=2)
    along = (x * mean).sum(axis=2) / np.where(length > 0, length, 1)
    scores = (attention[:, 0], received_mass(attention, dump.layout.present), length, along)
    return ("read by their mean", "read by all", "length", "likeness to the mean"), np.stack(scores)


def _matrix(tau: np.ndarray, place: np.ndarray, spread: float, names, notes, params, d: int) -> Matrix:
    n, size = len(tau), tau.shape[1]
    reach = simultaneous_z(max(size * (size - 1) // 2, 1)) * spread
    mean = tau.mean(axis=0)
    half = stdtrit(n - 1, 0.975) * tau.std(axis=0, ddof=1) / np.sqrt(n)
    off = ~np.eye(size, dtype=bool)
    what = f"tokens {params.score}" if params else "rows by four scores"
    estimates = _estimates(tau, place, off, n, d)
    beyond = int((np.abs(mean[off]) > reach).sum()) // 2
    return Matrix(
        title=f"Agreement of rankings: {what}",
        reading=f"Rankings of two {'layers' if params else 'scores'} agree with τ = {mean[off].mean():.2f} on average "
        f"(chance: within ± {reach:.2f}; by place alone {place[off].mean():.2f}); {beyond} of {int(off.sum()) // 2} "
        "pairs are beyond chance.", null=place,
        caveats=(*notes, f"{n:,} samples of three tokens or more."), estimates=estimates, values=mean, row_names=names,
        column_names=names, value_name="Kendall's τ", null_band=(-reach, reach), limits=(-1.0, 1.0), diverging=True,
        significant=(np.abs(mean) > reach) & off, low=np.maximum(mean - half, -1), high=np.minimum(mean + half, 1),
    )  # fmt: skip


def _estimates(tau, place, off, n: int, d: int) -> tuple[Estimate, ...]:
    size = tau.shape[1]
    at = {"all pairs": off, "neighbours": np.eye(size, k=1, dtype=bool)}
    first = np.zeros((size, size), bool)
    first[0, 1:] = True
    at["the first with the others"] = first
    alone = "another sample's ranking at the same places"
    if size < 2:
        at = {"itself": np.ones((1, 1), bool)}
    out = []
    for name, cells in at.items():
        each = tau[:, cells].mean(axis=1)
        out.append(Estimate(
            f"τ, {name}", float(each.mean()), **mean_interval(each, -1.0, 1.0), n=n, d=d,
            null=float(place[cells].mean()), null_method=alone, estimator="mean over samples",
        ))  # fmt: skip
    return tuple(out)


def _cost(shapes, params: TokenRankingsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 4.0 * RUN)
    passes = min(n, params.maximum_samples)
    return Cost(OPENING + m.seconds(moved=held * 4, calls=300.0 * samples) + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Rows that are longer and longer copies of one rank alike by what their mean reads and by length; turned around,
    the other way; a score agrees with itself; independent rankings lie within chance."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((50, 1, 64))
    graded = base * np.linspace(1, 2, 12)[None, :, None] + 0.01 * rng.standard_normal((50, 12, 64))
    tap = ArrayActivations(graded.reshape(600, 64), name="graded", layout=Layout(np.arange(0, 601, 12)))
    one = token_rankings(tap)
    turned = kendall(np.stack([np.arange(12.0), -np.arange(12.0)]))[0, 1]
    apart = np.mean([kendall(rng.standard_normal((2, 12)))[0, 1] for _ in range(200)])
    return (
        CheckLine("a score with itself", 1.0, float(one.values[2, 2]), 1e-12),
        CheckLine("graded rows: read by their mean, and length", 1.0, float(one.values[0, 2]), 0.1),
        CheckLine("a ranking turned around", -1.0, float(turned), 1e-12),
        CheckLine("200 pairs of independent rankings", 0.0, float(apart), 3 * chance_spread(12) / 200**0.5),
        CheckLine("chance of 6 pairs in 50 samples of 12 tokens", 2.631 * chance_spread(12) / 50**0.5,
                  float(one.null_band[1]), 1e-3),
    )  # fmt: skip


METHODS = (
    Method(
        id="token_rankings", family="tokens", network="attention",
        title="Do layers rank tokens alike", version=3, function=token_rankings,
        summary="Kendall's τ between the rankings of tokens in every two layers, beside chance.",
        params=TokenRankingsParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="any rising change of the scores of a layer; the order of tokens",
        papers=("Accelerating Multimodal Large Language Models by Searching Optimal Vision Token Reduction",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
