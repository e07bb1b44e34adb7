"""Are the longest tokens read more than others? What attention pays to them, layer by layer.

    times_l = mean over the longest tokens of  Σ_i A_ij / Σ_i U_ij,      U reads all that may be read alike

so that 1 is as much as any token gets, and tokens that more queries may read (of a text the first) are not favoured.
The longest are a share of each sample's tokens, by the length |x| of what goes into the layer. Beside it Spearman's
correlation over all tokens of a sample between length and what is paid.

Interval: Student's t over samples. Null: the tokens at the same places in another sample, and the lengths of another
sample at these places: what place alone gives.

When it lies: tokens that place makes long (a class token, the first word) are long in every sample, so that the null is
as high: then it is the place; behind a norm lengths are gone, and attention reads directions; to be read is not to
matter, as what is read of a long token may be little (sinks have short values).

Cost: one pass of each sample; O(layers heads T²).

Reference: L. Xu et al. (2024), "PLLaVA: parameter-free LLaVA extension from images to videos for video dense
captioning"; T. Darcet, M. Oquab, J. Mairal & P. Bojanowski (2024), "Vision transformers need registers".
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.ranking_axes import spearman
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.position_null import even_rows
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject
from analysis.tokens.tap_dump import RUN

OPENING, BATCH, FEWEST, LISTED = 4.0, 8, 2, 24
TIMES, RANKS = "what the longest tokens get", "correlation of length and what is paid"
NULL = "the same places in another sample"


@dataclass(frozen=True)
class LongTokensReadParams:
    show: str = param(TIMES, "What is drawn over layers.", choices=(TIMES, RANKS))
    longest: float = param(
        0.05, "Share of a sample's tokens that are the longest, one at least.", low=0.001, high=0.5
    )
    maximum_samples: int = param(32, "Most samples; a seeded random subset above.", low=2, high=5000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def long_tokens_read(
    activations, params: LongTokensReadParams = LongTokensReadParams(), rng=None, progress=no_progress
) -> Curve:
    """Attention paid to the longest tokens.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are tokens that read each other.

    Returns
    -------
    Curve
        A line over layers. Estimates: both numbers in the layer where the longest tokens get most, and each layer's.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.1 * f, doing)
    )
    refuse_few(tap.name, who.n, FEWEST, "sample(s)")
    lengths, paid = [], []
    for part, dump in who.dumps(BATCH, ("hidden", "attention")):
        progress(0.1 + 0.8 * part.start / who.n, "reading attention")
        for b in range(dump.n):
            one = read(dump, b, who.layers if who.is_network else 1)
            lengths.append(one[0])
            paid.append(one[1])
    progress(0.9, "comparing samples")
    found = measured(lengths, paid, params.longest)
    progress(1.0, "done")
    return _curve(who, found, (*notes, *_caveats(params)), params, tap.shape[1])


def read(dump, b: int, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """((L, t) lengths, (L, t) what is paid over an even share) of the tokens of a sample that are there."""
    there = np.flatnonzero(dump.layout.present[b])
    may = np.tri(len(there), dtype=bool) if dump.layout.causal else np.ones((len(there), len(there)), bool)
    even = even_rows(may[None])[0].sum(axis=0)
    lengths, paid = [], []
    for layer in range(layers):
        x = dump.recorded["hidden"][layer][b][there]
        rows = dump.recorded["attention"][layer][b].mean(axis=0)[np.ix_(there, there)].astype(np.float64)
        lengths.append(np.linalg.norm(x.astype(np.float64), axis=1))
        paid.append(rows.sum(axis=0) / np.maximum(even, 1e-12))
    return np.array(lengths), np.array(paid)


def measured(lengths: list, paid: list, share: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{what is shown: ((L, n) values, (L, n) of the same places in the next sample)}."""
    layers, n = len(lengths[0]), len(lengths)
    out = {name: (np.zeros((layers, n)), np.zeros((layers, n))) for name in (TIMES, RANKS)}
    for b in range(n):
        for layer in range(layers):
            size, got, other = lengths[b][layer], paid[b][layer], paid[(b + 1) % n][layer]
            top = np.argsort(-size, kind="stable")[: max(1, round(share * len(size)))]
            both = min(len(got), len(other))
            inside = top[top < both]
            out[TIMES][0][layer, b] = got[top].mean()
            out[TIMES][1][layer, b] = other[inside].mean() if len(inside) else 1.0
            out[RANKS][0][layer, b] = _ranked(size, got)
            out[RANKS][1][layer, b] = _ranked(size[:both], other[:both])
    return out


def _ranked(a: np.ndarray, b: np.ndarray) -> float:
    return 0.0 if np.ptp(a) <= 0 or np.ptp(b) <= 0 else float(spearman(a, b))


def _curve(who, found, caveats, params, d: int) -> Curve:
    value, other = found[params.show]
    bounds = (0.0, np.inf) if params.show == TIMES else (-1.0, 1.0)
    names = tuple(f"layer {i + 1}" for i in range(len(value))) if who.is_network else ("the rows",)
    ends = [mean_interval(x, *bounds) for x in value]
    most = int(found[TIMES][0].mean(axis=1).argmax())
    told = []
    for what, limits, unit in ((TIMES, (0.0, np.inf), "even shares"), (RANKS, (-1.0, 1.0), "")):
        x, chance = found[what]
        told.append(Estimate(f"{what}, {names[most]}", float(x[most].mean()),
                             **mean_interval(x[most], *limits, chosen_of=len(names)), null=float(chance[most].mean()),
                             null_method=NULL, n=who.n, d=d, unit=unit,
                             estimator="the layer where the longest get most"))  # fmt: skip
    for i, name in enumerate(names[:LISTED] if len(names) > 1 else ()):
        if i != most:
            told.append(Estimate(f"{params.show}, {name}", float(value[i].mean()), **ends[i],
                                 null=float(other[i].mean()), null_method=NULL, n=who.n, d=d,
                                 estimator="mean over samples"))  # fmt: skip
    return Curve(
        title=f"Attention to the longest tokens of {who.what}", estimates=tuple(told), caveats=caveats,
        reading=f"The longest tokens get {told[0].value:.2f} times an even share in {names[most]}, where they get most "
        f"(the same places in another sample: {told[0].null:.2f}); length and what is paid correlate there by "
        f"{told[1].value:+.2f} ({told[1].null:+.2f}).",
        x=np.arange(1.0, len(value) + 1), x_name="layer", y_name=params.show, x_labels=names,
        series={params.show: value.mean(axis=1)}, null={params.show: other.mean(axis=1)},
        low={params.show: np.array([e["low"] for e in ends])}, high={params.show: np.array([e["high"] for e in ends])},
    )  # fmt: skip


def _caveats(params) -> list[str]:
    return [f"The longest {params.longest:.0%} of a sample's tokens, one at least; heads of a layer are averaged.",
            "The layer that is named is the one with most; its interval holds for all layers together."]  # fmt: skip


def _cost(shapes, params: LongTokensReadParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    held = 8.0 * samples * (RUN + 1) * (5.0 * d + 2.5 * RUN) + 1e5
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(moved=8.0 * n * d + held, calls=400.0 * samples) + 2e-3 * passes, held, passes
    )


def _check() -> tuple[CheckLine, ...]:
    """One token in ten is five times as long and gets half of all attention, at places of its own in each sample: five
    times an even share, and no more than others at the same places elsewhere. Of a text read alike no word gets
    more than its share, the first included."""
    rng = np.random.default_rng(0)
    n, t = 40, 10
    at = rng.integers(0, t, n)
    lengths = [np.where(np.arange(t) == a, 5.0, 1.0)[None] for a in at]
    paid = [np.where(np.arange(t) == a, 5.0, 5 / 9)[None] for a in at]
    value, other = measured(lengths, paid, 0.1)[TIMES]
    ranks = measured(lengths, paid, 0.1)[RANKS][0]
    there = np.ones((1, t), bool)
    alike = SimpleNamespace(
        layout=SimpleNamespace(present=there, causal=True),
        recorded={
            "hidden": [rng.standard_normal((1, t, 3))],
            "attention": [even_rows(np.tri(t)[None])[:, None]],
        },
    )
    return (
        CheckLine("half of the attention on one in ten", 5.0, float(value.mean()), 1e-12),
        CheckLine("the same places elsewhere", 1.0, float(other.mean()), 0.5),
        CheckLine("length and what is paid", 1.0, float(ranks.mean()), 1e-12),
        CheckLine("a text read alike: its first word", 1.0, float(read(alike, 0, 1)[1][0, 0]), 1e-12),
    )


METHODS = (
    Method(
        id="long_tokens_read", family="tokens", network="attention", title="Attention to long tokens", version=1,
        function=long_tokens_read, summary="Whether the longest tokens are read more than others, layer by layer.",
        params=LongTokensReadParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one scale of all tokens",
        papers=("PLLaVA : Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
