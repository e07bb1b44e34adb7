"""Through all layers, what does the answer read? Rollout, rollout weighed by slopes, and the largest flow.

    rollout            product over layers of (mean over heads of A + 1) / 2, the row of the class token (of text: of
                       the last word); rows sum to 1
    by places alone    mean rollout of the other samples
    weighted by slope  the same with (A * dy/dA)+, y the likeliest answer, rows made whole again
    largest flow       largest flow from each token to the readout, edges with the capacities of the rollout; never
                       less than the rollout

as multiples of an even share over the tokens; flows, which do not add up to 1, as shares of their sum. Told: how far
the rollout is from places alone (total variation; 0: all samples alike) over samples, and rank correlations of ways.

Interval: Student's t over samples, none below five: each is held against the others. Null: of the distance 0; of a
correlation the rollouts of the other samples in the place of this one's, so that what place alone shares is in it.

When it lies: values, MLPs and signs are left out, half of each layer is the shortcut's whatever its size; rollout
flattens with depth, so that all samples look alike; with causal attention the first token collects by place; slopes are
those of one answer at one point, and their size, in logits, decides how much is left to the shortcut; a flow counts
tight places only and hardly falls with distance.

Cost: one pass of each sample, L T² a sample for the rollout, one pass back; the flow takes T runs of maximum flow over
L T² edges (5 s for 197 tokens in 12 layers), and is left out above L T³ = 120 million.

References: S. Abnar & W. Zuidema (2020), "Quantifying attention flow in transformers"; H. Chefer, S. Gur & L. Wolf
(2021), "Transformer interpretability beyond attention visualization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.linear.ranking_axes import spearman
from analysis.compute.machine import machine
from analysis.compute.statistics.draw_ends import band
from analysis.errors import InputError
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.drawn import asker_name, beside_the_picture, drawn, patches_last
from analysis.tokens.attention.heads import HeadReader, answering, heads_of, inputs_of
from analysis.tokens.attention.position_null import FEWEST, others_interval
from analysis.tokens.attention.rollout import (
    largest_flow,
    rolled,
    rollouts,
    weighted_by_slope,
    with_shortcut,
)
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, EDGES = 5.0, 120_000_000  # seconds; some 5 s of maximum flow: 197 tokens in 12 layers are 92 million
ROLLOUT, PLACES, SLOPE, FLOW = "rollout", "by places alone", "weighted by slope", "largest flow"


@dataclass(frozen=True)
class AttentionRolloutParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    maximum_samples: int = param(
        32,
        "Most samples that it is compared with; a seeded random subset above.",
        low=2,
        high=2000,
        late=True,
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_rollout(
    activations, params: AttentionRolloutParams = AttentionRolloutParams(), rng=None, progress=no_progress
) -> TokenMap:
    """What the answer reads of each token of one sample, through all layers.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head in one layer.

    Returns
    -------
    TokenMap
        A map for each way, and that of places alone.

    Raises
    ------
    NotFound, NotEnoughData, InputError
        No such sample; fewer than two samples of two tokens; recorded weights below 0.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress, also=params.sample)
    if reader.signed:
        raise InputError(
            f"{tap.name} has weights of attention below 0",
            "rows of shares, which a rollout multiplies",
            "Ask what function each head applies, or for the mixing matrix",
        )
    at, readouts = int(np.flatnonzero(reader.samples == params.sample)[0]), answering(reader.layout)
    rows = rollouts(reader, readouts, lambda f, doing="": progress(0.4 + 0.3 * f, doing))
    progress(0.7, "slopes and flow")
    maps, notes = _ways(reader, rows, at, int(readouts[at]))
    progress(1.0, "done")
    return _map(reader, rows, at, int(readouts[at]), maps, notes)


def others_mean(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(n, T) mean of the other samples among tokens that a sample has, made whole."""
    others = (rows.sum(axis=0) - rows) * present
    whole = others.sum(axis=1, keepdims=True)
    return others / np.where(whole > 0, whole, 1)


def _ways(reader: HeadReader, rows, at: int, readout: int) -> tuple[dict[str, np.ndarray], list[str]]:
    there, notes = reader.layout.present[at], []
    maps = {ROLLOUT: rows[at], PLACES: others_mean(rows, reader.layout.present)[at]}
    if reader.who is not None and reader.who.is_network:
        slope = weighted_by_slope(
            reader.who.opened.network.loaded, inputs_of(reader.who, reader.places[[at]])
        )
        if slope is None:
            notes.append("The network does not hand out its weights: there is no rollout weighed by slopes.")
        else:
            row = np.zeros(reader.tokens)
            row[there] = rolled(with_shortcut(slope[0]), int(there[:readout].sum()))
            maps[SLOPE] = row
            notes.append(
                f"Slopes are of {reader.who.opened.answer_word(int(slope[1]))}, the likeliest answer."
            )
    if reader.layers * there.sum() ** 3 > EDGES:
        notes.append(f"There is no largest flow: {reader.layers * int(there.sum()) ** 3:,} edges to search.")
    else:
        maps[FLOW] = np.zeros(reader.tokens)
        flow = largest_flow(_mixing(reader, at, there), int(there[:readout].sum()))
        maps[FLOW][there] = flow / max(flow.sum(), 1e-300)
    return maps, notes


def _mixing(reader: HeadReader, at: int, there) -> np.ndarray:
    """(L, T, T) mean over heads and the shortcut, of one sample."""
    mean = np.stack([
        np.mean([reader.rows(layer, h)[at] for h in range(reader.heads)], axis=0) for layer in range(reader.layers)
    ])  # fmt: skip
    return with_shortcut(mean[:, there][:, :, there])


def _map(reader, rows, at, readout, maps, notes) -> TokenMap:
    there = reader.layout.present[at]
    grid, leading, picture, words = drawn(reader, at)
    values = np.stack([m[there][patches_last(reader, at)] for m in maps.values()]) * there.sum()
    if grid and leading:
        notes = [*notes, beside_the_picture(reader, at, words, maps[ROLLOUT][there] * there.sum())]
    apart = 0.5 * np.abs(rows - others_mean(rows, reader.layout.present)).sum(axis=1)
    told = _estimates(reader, apart, at, {k: m[there] for k, m in maps.items()}, rows[:, there])
    asker = asker_name(reader, at, readout, words)
    return TokenMap(
        title=f"What {asker} reads through all layers, sample {int(reader.samples[at])}",
        reading=_reading(reader, rows, at, asker, apart, words), estimates=told,
        caveats=(*reader.notes, *notes, "Paths of attention; values, MLPs and signs are not in it."),
        samples=np.full(len(values), reader.samples[at]), values=values, value_name="times an even share",
        grid=grid, leading=leading, names=tuple(maps), pictures=None if picture is None else picture[None],
        words=(words,) if words and grid is None else (),
    )  # fmt: skip


def _reading(reader, rows, at, asker, apart, words) -> str:
    best = int(rows[at].argmax())
    return (
        f"{rows[at, best]:.0%} of what {asker} reads through all layers is {asker_name(reader, at, best, words)}. "
        f"Places alone would give all but {apart[at]:.0%} of this rollout (over samples {apart.mean():.0%})."
    )


def _estimates(reader, apart, at, maps, rows) -> tuple[Estimate, ...]:
    n, d = reader.n, reader.width
    told = [
        Estimate("how far rollouts are from places alone", float(apart.mean()), **others_interval(apart, 0.0, 1.0),
                 null=0.0, null_method="rollouts of all samples alike", n=n, d=d, estimator="mean total variation")
    ]  # fmt: skip
    whole = reader.layout.present.sum(axis=1) == reader.layout.present[at].sum()
    others = [rows[b] for b in np.flatnonzero(whole) if b != at and np.ptp(rows[b]) > 1e-12]
    for name in (SLOPE, FLOW):
        if name in maps and len(maps[name]) > 2 and min(np.ptp(maps[name]), np.ptp(maps[ROLLOUT])) > 1e-12:
            found = spearman(maps[ROLLOUT], maps[name])
            chance = np.array([spearman(other, maps[name]) for other in others])
            null = {"null_method": "none: no other sample of this length"}
            if len(chance):
                null = {
                    "null": float(chance.mean()),
                    "null_method": f"rollouts of {len(chance)} other samples",
                }
            if len(chance) >= FEWEST:
                low, high = band(chance[:, None])[:, 0]
                null |= {"null_low": float(low), "null_high": float(high)}
            told.append(Estimate(f"rollout and {name}: rank correlation", float(found), **null, n=len(maps[name]), d=d,
                                 interval="none: one sample", estimator="Spearman over tokens"))  # fmt: skip
    return tuple(told)


def _cost(shapes, params: AttentionRolloutParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 20.0 * n * d + 300.0 * n + 1e5  # of a network its own memory comes on top
    passes = min(n, params.maximum_samples) + 3
    return Cost(OPENING + m.seconds(flops64=2.0 * n * RUN * d, moved=held) + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Even attention in two layers; a chain of three tokens; flow of one layer is its row."""
    even = with_shortcut(np.full((2, 5, 5), 0.2))
    chain = with_shortcut(np.array([np.eye(3)[[0, 0, 1]]] * 2))
    free = with_shortcut(np.random.default_rng(0).dirichlet(np.ones(6), (3, 6)))
    tap = ArrayActivations(np.ones((40, 3)), name="flat", layout=Layout(np.arange(0, 41, 5)))
    flat = attention_rollout(tap)
    return (
        CheckLine("even attention, two layers: the readout itself", 0.25 + 0.75 / 5, rolled(even, 0)[0], 1e-12),
        CheckLine("rows sum to 1", 1.0, rolled(free, 2).sum(), 1e-12),
        CheckLine("the top layer is read first", 1.0, rolled(np.eye(3)[[[1, 2, 0], [2, 1, 0]]], 0)[0], 0.0),
        CheckLine("the others of two samples: the other", 1.0, others_mean(np.eye(2), np.ones((2, 2)))[0, 1], 0.0),
        CheckLine("a chain: two steps back", 0.25, rolled(chain, 2)[0], 1e-12),
        CheckLine("one layer: flow is the row", 0.0, np.abs(largest_flow(free[:1], 3) - free[0, 3]).max(), 2e-6),
        CheckLine("flow less rollout", 0.0, (largest_flow(free, 1) - rolled(free, 1)).min(), 1e-5, "at least"),
        CheckLine("alike samples: apart", 0.0, flat.estimates[0].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_rollout", family="tokens", network="attention",
        title="What the answer reads through all layers", version=4,
        function=attention_rollout,
        summary="Rollout, rollout weighed by slopes and largest flow to the class token, beside places alone.",
        params=AttentionRolloutParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of heads and of the other samples",
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
