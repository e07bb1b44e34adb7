"""Do the tokens that a rule leaves keep the shape of the whole? Spectrum of the token graph before and after.

    distance = Σ |λ_i - λ'_i| / Σ λ_i

λ are the eigenvalues of the normalised Laplacian of a sample's free tokens, joined by (1 + cos) / 2; λ' those of the
graph in which every token has the mean edges of the group it went into (`analysis.tokens.token_graph`). A dropped token
goes to the survivor, or group, nearest to it. Merging equal tokens costs nothing; merging unlike ones moves the
spectrum.

Interval: Student's t over samples. Null: as many tokens kept at random, the others put to the nearest of them.

When it lies: the rule looks at the layer where it drops and this at what was recorded behind the last, with all tokens
there; a spectrum can be kept by the wrong merges (graphs with one spectrum differ); a dropped token that is put to the
nearest is better off than in the network, where it is gone; few tokens have a coarse spectrum.

Cost: one pass of each sample; rules on the dump; O(T³) for each rule, share and sample, twice.

Reference: H.-C. Tran et al. (2024), "Accelerating transformers with spectrum-preserving token merging"; A. Loukas
(2019), "Graph reduction with spectral and cut guarantees".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.judged_rules import judged, kept_at_random, less_than_random, lines
from analysis.tokens.over_samples import ALL, RULES_HELP, Ran, cost_of, count_of
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.token_graph import distance, edges, groups, lifted, spectrum

SHARES, TOLD = (0.8, 0.6, 0.4, 0.2), 0.4


@dataclass(frozen=True)
class GraphSpectrumParams:
    rules: str = param(ALL, RULES_HELP)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def graph_spectrum(
    activations, params: GraphSpectrumParams = GraphSpectrumParams(), rng=None, progress=no_progress
) -> Curve:
    """How far the spectrum of the token graph moves, over the share of tokens that is left.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Curve
        A line for each rule, with intervals and the null of random keep. Estimates: how much nearer each stays than
        random keep at 40 % of the tokens, paired by sample.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        An unknown rule; none that these tokens allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = judged(tap, params, SHARES, of_batch, rng, progress)
    told = less_than_random(found, TOLD, "nearer than random keep", tap.shape[1], "share of Σ λ")
    return Curve(
        title="Does the token graph keep its spectrum?", x=np.array(SHARES), x_name="share of tokens left",
        y_name="Σ |λ - λ'| over Σ λ", **lines(found, SHARES), estimates=told, reading=_reading(found, told), caveats=(
            *found.notes,
            f"{found.who.n:,} samples of {found.who.what}; tokens as they are behind the last layer with all there.",
            "Dropped tokens are put to the survivor nearest to them.",
        ),
    )  # fmt: skip


def of_batch(ran: Ran, rng: np.random.Generator) -> np.ndarray:
    """(2, B) the distance, and that of as many tokens kept at random."""
    x, free = np.asarray(ran.dump.recorded["hidden"][-1], np.float64), ran.dump.layout.free
    owner, drawn = ran.run.states[-1].owner, kept_at_random(ran, rng)
    chance = np.where(drawn, np.arange(free.shape[1]), -1)
    out = np.zeros((2, len(x)))
    for side, of in enumerate((owner, chance)):
        out[side] = [
            distance(x[b, f], groups(x[b, f], of[b, f])) if f.any() else 0.0 for b, f in enumerate(free)
        ]
    return out


def _reading(found, told) -> str:
    best = min(found.rules, key=lambda one: found.values[one.id, TOLD][0].mean())
    x = found.values[best.id, TOLD].mean(axis=1)
    beyond = sum(e.low is not None and e.low > 0 for e in told)
    return (
        f"With {TOLD:.0%} of the tokens left {best.title} keeps the spectrum best: it moves by {x[0]:.1%} of its sum "
        f"(random keep {x[1]:.1%}). {beyond} of {len(told)} rules stay nearer than random keep."
    )


def _cost(shapes, params: GraphSpectrumParams) -> Cost:
    return cost_of(shapes[0], params.maximum_samples, 4 * len(SHARES) * count_of(params.rules))


def _check() -> tuple[CheckLine, ...]:
    """Copies that are merged leave the spectrum as it was; two kinds of tokens taken for one move it;
    all tokens as one have 0 and otherwise 1."""
    rng = np.random.default_rng(0)
    copies = np.repeat(rng.standard_normal((40, 6)), 5, axis=0)
    tap = ArrayActivations(copies, name="planted", layout=Layout(np.arange(0, 201, 10)))
    found = graph_spectrum(tap, GraphSpectrumParams(rules="tome,first"))
    x = rng.standard_normal((12, 5))
    whole = spectrum(lifted(edges(x), np.zeros(12, int)))
    return (
        CheckLine("copies merged: moved", 0.0, float(found.series["ToMe"][2]), 1e-9),
        CheckLine("one kind of two kept: moved", 0.05, float(distance(np.repeat(np.array([[1.0, 0], [-1, 0]]), 4, 0),
                                                                      np.zeros(8, int))), 0.0, "at least"),
        CheckLine("nothing merged: moved", 0.0, distance(x, np.arange(12)), 1e-12),
        CheckLine("smallest eigenvalue", 0.0, float(spectrum(edges(x))[0]), 1e-12),
        CheckLine("all as one: the others", 1.0, float(whole[1:].mean()), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="graph_spectrum", family="tokens", network="blocks", title="Spectrum of the token graph", version=1,
        function=graph_spectrum,
        summary="How far the spectrum of the graph of tokens moves under each rule, beside random keep.",
        params=GraphSpectrumParams, result=Curve, check=_check, cost=_cost, minimum_rows=32,
        invariance="the order of samples; one scale of the units, their rotation for rules that go by cosine",
        papers=("Accelerating Transformers with Spectrum-Preserving Token Merging",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
