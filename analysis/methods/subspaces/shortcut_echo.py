"""The shortcut's echo: how much of the first state is still in a residual stream, and what each block wrote.

Taps are the states x_0 … x_L of one residual stream, in order. With shortcut weights α (all 1 in an ordinary network)
block l writes w_l = x_l - α_l x_{l-1}, and unrolled

    x_L = Πα x_0 + Σ_l (Π_{j > l} α_j) w_l      exactly.

For each state: cos(x_l, x_0); the share of the final state that comes from each write, ⟨c w_l, x_L⟩ / ‖x_L‖², which
with the echo's (at 0) sums to 1; its norm ‖c w_l‖ / ‖x_L‖; the entropy rank of σ² over the units; the accuracy of
nearest neighbours left one out, where there are labels.

Null: other samples' first states, writes and labels: the cosine and share that the common mean alone gives, by exact
averages over all pairs of different samples, and the share of the largest class. Rank has none that says more than its
shape; it is neither good nor bad: published results report both signs.

When it lies: cosines are taken about the origin, so a large common mean makes everything similar (see the null); a unit
of huge scale rules cosine and share; shares may be negative, where a block takes away; taps that are not states of one
stream (a normalisation between them) still add up, and mean nothing; the mean over tokens is not what any token holds
(with every token as a row the null takes other samples' tokens at the same place, so that what a place alone gives
belongs to it).

Cost: O(L n d min(n, d)) for ranks, O(L n² d) for neighbours; memory O(n Σ d + n²).

References: X. Zhang et al. (2024), "Residual connections harm generative representation learning"; K. He et al. (2016),
"Identity mappings in deep residual networks" (unrolled).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.residual_stream import (
    FEWEST,
    decaying,
    paired_product,
    unit_rows,
    unrolled,
    usable_states,
)
from analysis.compute.networks.stream_estimates import NEAR, RANK, accuracy_along, mean_along, rank_along
from analysis.compute.rows.columns_by_id import column_by_id
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP, CommonRows, common_rows
from analysis.compute.rows.samples import known_labels
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.rows.tap_names import tap_names
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

COSINE, SHARE, NORM = "cosine with the first state", "share of the final state", "norm over the final state's"


@dataclass(frozen=True)
class ShortcutEchoParams:
    decay: float = param(
        1.0, "Shortcut weight of the last block, falling linearly with depth from 1; 1: ordinary.", low=0.0, high=1.0
    )  # fmt: skip
    column: str = param(
        "", "Labels for the accuracy of neighbours; empty: 'label', where there is one.", column=True
    )
    neighbours: int = param(5, "Neighbours that vote.", low=1, high=50)
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(2000, MOST_HELP, low=50, high=20_000)


def shortcut_echo(
    *taps, params: ShortcutEchoParams = ShortcutEchoParams(), rng=None, progress=no_progress
) -> Curve:
    """Echo and writes along a residual stream.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units), states of one stream in order, of the same samples.

    Returns
    -------
    Curve
        Over depth: cosine with x_0, share and norm of what was written to reach this state (at 0: the echo), rank over
        units, accuracy of neighbours, each with its interval; `null` where there is one.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, NotFound, TooLarge
        States of different widths; fewer than eight samples; a state of zeros; no such column.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    data, notes = usable_states(
        common_rows(
            taps, rng, tokens=params.tokens, maximum=params.maximum_samples, minimum=FEWEST, progress=progress
        ),
        names,
    )
    states, place = data.values, data.place
    labels = None if data.has_tokens else _labels(taps[0], data.ids, params.column)
    progress(0.35, "unrolling the stream")
    parts, last = unrolled(states, decaying(params.decay, len(states) - 1)), states[-1]
    length = (last**2).sum(axis=1, keepdims=True)
    found = {
        COSINE: [paired_product(unit_rows(x), unit_rows(states[0]), place) for x in states],
        SHARE: [paired_product(p, last / length, place) for p in parts],
        NORM: [(np.linalg.norm(p, axis=1) / np.sqrt(length[:, 0]), None) for p in parts],
    }
    d = last.shape[1]
    estimates = {
        name: [
            mean_along(f"{name}, {at}", data.per_sample(own), null, data, d)
            for at, (own, null) in zip(names, each, strict=True)
        ]
        for name, each in found.items()
    }
    groups = data.groups(rng)
    for i, (x, at) in enumerate(zip(states, names, strict=True)):
        progress(0.4 + 0.6 * i / len(states), f"rank and neighbours of {at}")
        estimates.setdefault(RANK, []).append(rank_along(x, groups, data.n_samples, at))
        if labels is not None:
            estimates.setdefault(NEAR, []).append(accuracy_along(x, labels, params.neighbours, at))
    progress(1.0, "done")
    series = {k: np.array([e.value for e in v]) for k, v in estimates.items()}
    return Curve(
        title=f"Echo of {names[0]} along {len(names)} states", reading=_reading(estimates, names),
        caveats=(*notes, *data.notes, *_caveats(params, len(states) - 1, labels, data)),
        estimates=tuple(e for each in estimates.values() for e in each), x=np.arange(len(states), dtype=float),
        x_name="state", x_labels=names, y_name="per sample, on average", series=series,
        low={k: np.array([e.low for e in v]) for k, v in estimates.items()},
        high={k: np.array([e.high for e in v]) for k, v in estimates.items()},
        null={k: np.array([e.null for e in v]) for k, v in estimates.items() if v[0].null is not None},
    )  # fmt: skip


# ---------------------------------------------------------------------------- samples
def _labels(tap, ids: np.ndarray, column: str) -> np.ndarray | None:
    """None where there are none, or fewer than two classes among them."""
    if not column and "label" not in tap.samples:
        return None
    labels = column_by_id(tap, ids, column or "label")
    return labels if len(np.unique(labels[known_labels(labels)])) > 1 else None


# ---------------------------------------------------------------------------- words
def _reading(estimates, names) -> str:
    cosine, shares = estimates[COSINE][-1], estimates[SHARE]
    top = int(np.argmax([e.value for e in shares[1:]])) + 1
    said = (
        f"The first state makes up {shares[0].value:.1%} of the last one, and {names[top]} brings the largest write "
        f"({shares[top].value:.1%}). Their cosine is {cosine.value:.3g}; with other samples' first states it would be "
        f"{cosine.null:.3g}. The entropy rank goes from {estimates[RANK][0].value:.1%} to "
        f"{estimates[RANK][-1].value:.1%} of the units"
    )
    if NEAR not in estimates:
        return said + "."
    first, last = estimates[NEAR][0], estimates[NEAR][-1]
    return said + (
        f", the accuracy of neighbours from {first.value:.1%} to {last.value:.1%} ({last.null:.1%} by chance)."
    )


def _caveats(params, blocks: int, labels, data: CommonRows) -> list[str]:
    left = float(np.prod(decaying(params.decay, blocks)))
    notes = [
        f"The first state's weight in the last is {left:.3g}, with shortcut weights down to {params.decay:g}."
    ]
    if params.decay == 1.0:
        notes.append("Every shortcut is taken to be plain; a network with weighted ones needs its 'decay'.")
    if data.has_tokens:
        notes.append("Neighbours name samples, not tokens: their accuracy is left out.")
    if labels is not None and not known_labels(labels).all():
        notes.append(
            f"{int((~known_labels(labels)).sum())} sample(s) without a label have no part in neighbours."
        )
    return [*notes, "Rank is neither good nor bad: published results report both signs."]


def _cost(shapes, params: ShortcutEchoParams) -> Cost:
    m, (n, d), count = machine(), shapes[0], len(shapes)
    n = min(n, params.maximum_samples)
    small = min(n, d)
    flops = count * (11 * (2.0 * n * d * small + 9.0 * small**3) + 2.0 * n * n * d)
    moved = count * (8.0 * n * d * 60 + 8.0 * n * n * 40)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, 8.0 * (3.2 * count * n * d + 3.5 * n * n))


def _check() -> tuple[CheckLine, ...]:
    """Writes and echo sum to the last state, whatever the shortcut weights; 0.6 over 12 blocks leaves 0.047 of the
    first; writes at right angles to a first state of the same length make its share 1/3 and its cosine √(1/3)."""
    rng = np.random.default_rng(13)
    states = list(rng.standard_normal((13, 50, 8)).cumsum(axis=0))
    parts = unrolled(states, decaying(0.6, 12))
    one = np.eye(6)
    plain = [np.outer(np.where(np.arange(60) % 4 < 2, 1.0, -1.0), one[0])]
    plain.append(plain[0] + one[1 + np.arange(60) % 2])
    plain.append(plain[1] + one[3 + np.arange(60) % 3])
    found = shortcut_echo(*plain)
    return (
        CheckLine(
            "echo and writes less the last state", 0.0, float(np.abs(sum(parts) - states[-1]).max()), 1e-12
        ),
        CheckLine(
            "weight of the first state, 0.6 over 12", 0.047, float(np.median(parts[0] / states[0])), 5e-4
        ),
        CheckLine("share of the first of three equal parts", 1 / 3, float(found.series[SHARE][0]), 1e-12),
        CheckLine("cosine with it", np.sqrt(1 / 3), float(found.series[COSINE][2]), 1e-12),
        CheckLine("shares sum to 1", 1.0, float(shortcut_echo(*states).series[SHARE].sum()), 1e-12),
    )


METHODS = (
    Method(
        id="shortcut_echo", family="subspaces", title="Shortcut echo (residual stream)", version=2,
        function=shortcut_echo,
        summary="How much of a residual stream's first state is left at each depth, and what each block wrote.",
        params=ShortcutEchoParams, result=Curve, check=_check, cost=_cost, inputs=3, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating all states alike; scaling a sample, in all states alike, for cosine, share and norm",
        papers=("Residual Connections Harm Generative Representation Learning",),
    ),
)  # fmt: skip
