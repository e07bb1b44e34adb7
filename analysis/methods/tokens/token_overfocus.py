"""Do a few tokens get all attention, and do others get it when the input is spoiled? Clean beside corrupted samples.

For each layer and severity 0 (clean) to 3, means over samples; heads are averaged:

    Gini            of the mass that tokens receive: uniform 0, all on one of n 1 - 1/n
    top mass        share of it that the tenth of the tokens with most of it get (one at least)
    row cosine      mean cosine of two rows of attention, what a loss for diverse rows takes down
    entropy         of a row, in nats
    drift           of received mass, clean against spoiled: Jensen-Shannon divergence in bits (0 to 1), Spearman's
                    correlation, share of the top tokens that stay

Rows that all read alike have cosine 1 although their entropy is the largest there is: both are shown, neither alone
tells overfocus. Interval: Student's t over samples. Null: of drift, another clean sample in the place of the spoiled
one; of Gini, top mass, cosine and entropy, attention that reads all alike.

When it lies: mass that goes by places alone (sinks, windows) does not drift, so that little drift is no robustness;
what is received in a causal network falls with the place; words can only be swapped; the size of a severity is ours
(noise 0.25, 0.5, 1 standard deviations and so on), not that of a published benchmark; attention that moves need not
move the answer.

Cost: a pass of each sample for clean and each severity, then samples x heads x T² each.

References: Y. Guo, D. Stutz & B. Schiele (2023), "Robustifying token attention for vision transformers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.corrupted import (
    KINDS,
    NOISE,
    SEVERITIES,
    SWAPPED,
    spoiled_heads,
    takes_words_alone,
)
from analysis.tokens.attention.heads import HeadReader, heads_of, planted
from analysis.tokens.attention.overfocus import drift, drifts, even_focus, focus
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0
OTHER, ALIKE = "another clean sample in its place", "attention that reads all alike"
FOCUS = ("Gini", "top mass", "row cosine", "entropy")
DRIFT = ("divergence", "Spearman", "top overlap")
LIMITS = dict.fromkeys((*FOCUS, *DRIFT), (0.0, 1.0)) | {"entropy": (0.0, np.inf), "Spearman": (-1.0, 1.0)}
HELP = {
    "layer": "Its number, from 1.",
    "severity": "0 clean, 1 to 3 spoiled more and more.",
    "Gini": "Of the mass that tokens receive: 0 all alike, towards 1 all on one.",
    "top mass": "Share of it that the top tenth of the tokens get.",
    "row cosine": "Mean cosine of two rows; 1 where all queries read the same, also where all is read alike.",
    "entropy": "Of a row, in nats, beside the row cosine.",
    "divergence": "Jensen-Shannon divergence of received mass from that of the clean sample, bits, 0 to 1.",
    "divergence, other sample": "The same of another clean sample: what drift from nothing in common would be.",
    "Spearman": "Rank correlation of received mass with that of the clean sample.",
    "Spearman, other sample": "The same of another clean sample.",
    "top overlap": "Share of the clean sample's top tokens that are still on top.",
    "top overlap, other sample": "The same of another clean sample.",
}

for _name in (*FOCUS, *DRIFT):
    HELP |= {f"{_name}, {end}": "95 % interval over samples." for end in ("low", "high")}


@dataclass(frozen=True)
class TokenOverfocusParams:
    kind: str = param(NOISE, "How samples are spoiled; words are always swapped.", choices=KINDS)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def token_overfocus(
    activations, params: TokenOverfocusParams = TokenOverfocusParams(), rng=None, progress=no_progress
) -> Table:
    """Focus of attention on clean and spoiled samples, and how far it drifts.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Table
        A line for each layer and severity.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than two samples of two tokens; a dump whose network cannot be run on spoiled samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    kind = SWAPPED if takes_words_alone(reader) else params.kind
    seed = int(rng.integers(2**31))
    found = [focus(reader)]
    for severity in SEVERITIES:
        progress(0.4 + 0.55 * (severity - 1) / len(SEVERITIES), f"severity {severity}")
        found.append(focus(spoiled_heads(reader, kind, severity, seed, lambda *_: None)))
    progress(1.0, "done")
    return _table(reader, kind, found)


def _table(reader: HeadReader, kind: str, found) -> Table:
    present = reader.layout.present
    layers, steps = reader.layers, len(found)
    moved = np.array([drifts(found[0][1], mass, present, present) for _, mass in found])  # (steps, L, n, 3)
    roll = np.roll(np.arange(reader.n), 1)
    usual = drifts(found[0][1], found[0][1][:, roll], present, present[roll])  # (L, n, 3)
    told = np.array([t for t, _ in found])  # (steps, L, n, 4)
    columns = {
        "layer": np.repeat(np.arange(1, layers + 1), steps),
        "severity": np.tile(np.arange(steps), layers),
    }
    each = {
        **{name: told[..., i] for i, name in enumerate(FOCUS)},
        **{name: moved[..., i] for i, name in enumerate(DRIFT)},
    }
    lines = {name: x.transpose(1, 0, 2).reshape(-1, x.shape[2]) for name, x in each.items()}
    columns |= {name: x.mean(axis=1) for name, x in lines.items()}
    for i, name in enumerate(DRIFT):
        columns[f"{name}, other sample"] = np.repeat(usual[..., i].mean(axis=1), steps)
    for name, x in lines.items():
        ends = [mean_interval(line, *LIMITS[name]) for line in x]
        columns |= {f"{name}, {end}": np.array([e[end] for e in ends]) for end in ("low", "high")}
    return Table(
        title=f"Focus and drift under {kind}, of {reader.what}",
        reading=_reading(told, moved, usual),
        caveats=(*reader.notes, *([] if not takes_words_alone(reader) else ["Words can only be swapped."]),
                 "Heads of a layer are averaged before anything is told of what tokens receive.",
                 "Another sample is what drifts as far as there is nothing in common but places; no drift at all is 0.",
                 "Little drift is no robustness where attention goes by places alone.",
                 "Row cosine is 1 for rows that all read alike, whose entropy is the largest: read both."),
        estimates=_estimates(reader, told, moved, usual), columns=columns, index="layer", help=HELP,
    )  # fmt: skip


def _reading(told, moved, usual) -> str:
    clean, worst = told[0].mean(axis=(0, 1)), told[-1].mean(axis=(0, 1))
    far = moved[-1].mean(axis=1)
    layer = int(far[:, 0].argmax())
    return (
        "Gini: how unequally tokens are read, 0 all alike, near 1 where one gets all. "
        f"Received mass has a Gini of {clean[0]:.2f} clean and {worst[0]:.2f} at severity {len(told) - 1}, rows "
        f"a cosine of {clean[2]:.2f} and {worst[2]:.2f} at an entropy of {clean[3]:.2f} and {worst[3]:.2f} nats. It "
        f"drifts most in layer {layer + 1} of {len(far)}: {far[layer, 0]:.3f} bits (another "
        f"sample: {usual[layer, :, 0].mean():.3f}) and {far[layer, 2]:.0%} of the top tokens stay "
        f"({usual[layer, :, 2].mean():.0%})."
    )


def _estimates(reader, told, moved, usual) -> tuple[Estimate, ...]:
    even, facts = (
        even_focus(reader),
        {"n": reader.n, "d": reader.layers, "estimator": "mean over layers and samples"},
    )
    said = [
        Estimate(f"{name}, clean", float(x.mean()), **mean_interval(x, *LIMITS[name]), null=float(even[i]),
                 null_method=ALIKE, unit="nats" if name == "entropy" else "", **facts)
        for i, name in enumerate(FOCUS) for x in [told[0, ..., i].mean(axis=0)]
    ]  # fmt: skip
    for i, name in enumerate(DRIFT):
        x = moved[-1, ..., i].mean(axis=0)
        said.append(Estimate(f"{name} at severity {len(told) - 1}", float(x.mean()), **mean_interval(x, *LIMITS[name]),
                             null=float(usual[..., i].mean()), null_method=OTHER,
                             unit="bits" if i == 0 else "", **facts))  # fmt: skip
    more = (told[-1, ..., 0] - told[0, ..., 0]).mean(axis=0)
    said.append(Estimate("Gini, spoiled less clean", float(more.mean()), **mean_interval(more), null=0.0,
                         null_method="spoiling changes nothing", **facts))  # fmt: skip
    return tuple(said)


def _cost(shapes, params: TokenOverfocusParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (7.0 * d + 8.0 * RUN)
    passes = 4 * min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(flops64=8.0 * rows * RUN * d, moved=held + 8.0 * n * d, calls=900.0 * samples)
        + 2e-3 * passes, held, passes,
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Each its own key: cosine 0; all alike: cosine 1 and the largest entropy; all on one: Gini 1 - 1/n."""
    own, same = np.broadcast_to(np.eye(20), (2, 20, 20)), np.zeros((2, 20, 3))
    self_, alike = focus(planted(own, own, scale=300.0))[0][0, 0], focus(planted(same, same))[0][0, 0]
    q, k = np.ones((2, 20, 1)), np.zeros((2, 20, 1))
    k[:, 4] = 300.0
    one = focus(planted(q, k))[0][0, 0]
    mass = np.random.default_rng(0).random(40)
    apart = np.zeros((2, 40))
    apart[0, :20], apart[1, 20:] = 1, 1
    return (
        CheckLine("each its own key: row cosine", 0.0, self_[2], 1e-9),
        CheckLine("each its own key: Gini", 0.0, self_[0], 1e-9),
        CheckLine("all alike: row cosine", 1.0, alike[2], 1e-9),
        CheckLine("all alike: entropy", np.log(20), alike[3], 1e-9),
        CheckLine("all on one of 20: Gini", 19 / 20, one[0], 1e-9),
        CheckLine("all on one: top mass", 1.0, one[1], 1e-9),
        CheckLine("the same mass: divergence", 0.0, drift(mass, mass)[0], 1e-12),
        CheckLine("the same mass: Spearman", 1.0, drift(mass, mass)[1], 1e-12),
        CheckLine("nothing in common: bits", 1.0, drift(*apart)[0], 1e-12),
        CheckLine("nothing in common: top overlap", 0.0, drift(*apart)[2], 0.0),
    )


METHODS = (
    Method(
        id="token_overfocus", family="tokens", network="attention",
        title="Do a few tokens get all attention?", version=4,
        function=token_overfocus,
        summary="Concentration of received attention on clean and spoiled samples, and how far it drifts, by layer.",
        params=TokenOverfocusParams, result=Table, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=("Robustifying Token Attention for Vision Transformers",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
