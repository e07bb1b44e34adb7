"""Why are these two samples alike? Their cosine at a tap as a ledger of tokens, units or features that sums exactly.

With tokens x_p (p = 1 … P), y_q (q = 1 … Q) and their means f and g,

    cos(f, g) = Σ_p <x_p, g> / (P |f| |g|) = Σ_j f_j g_j / (|f| |g|) ,

so each token of one sample, or each unit, has a share, and no rest is left. Features of a dictionary share by half from
either side, and what no feature holds is a line of its own (`analysis.compute.similarity.pair_evidence`). The matrix of
both samples' tokens is the sibling *Which patches are alike*.

Through a layer W of the network the same is told of the bilinear score f' WᵀW g / (|W f| |W g|): its bars are tokens,
features, or the layer's outputs.

Centred, the mean sample is taken off first: of activations that all share a large mean any two are alike, for no reason
that is theirs. Null: the same bars with other partners in place of the second sample, their middle 95 %. Interval: of
the cosine by redrawing the tokens of both samples; the bars are exact.

When it lies: the bars say which parts of the *activations* agree, and a token holds what attention has carried into it
from others; a token's bar is what it shares with the other sample's mean, not with one token of it; centred or not are
two questions; bars of opposite sign hide in a small sum.

Cost: one pass over at most so many samples, O(rows d), and O(partners k d).

Reference: K. Habel, F. Deuser & N. Oswald (2022), "CLIP-ReIdent: Contrastive training for player re-identification".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.pairs.similar_pair import FEWEST, MEAN, PairParams, asked_pair, pair_caveats
from analysis.attribution.tap_features import contributions_of
from analysis.compute.machine import machine
from analysis.compute.rows.token_names import token_names
from analysis.compute.similarity.pair_evidence import features_against, tokens_against, units_against
from analysis.compute.similarity.pair_report import EXACT, beyond_estimate, outside, score_estimates
from analysis.compute.statistics.draw_ends import band
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Ledger
from analysis.spec import CheckLine, Cost, Method, no_progress, param

AUTOMATIC, FIRST, SECOND, FEATURES = "automatic", "tokens of the first", "tokens of the second", "features"
REST = "not explained by the dictionary"


@dataclass(frozen=True)
class WhySimilarParams(PairParams):
    parts: str = param(
        AUTOMATIC, "What has a share; automatic: tokens where there are several, else features, of a plain tap units.",
        choices=(AUTOMATIC, FIRST, SECOND, FEATURES),
    )  # fmt: skip
    through: str = param(
        "",
        "Layer that both go through first, a bilinear score (W f)·(W g); empty: none.",
        layer=True,
        empty="none",
        late=True,
    )


def why_similar(
    activations, params: WhySimilarParams = WhySimilarParams(), rng=None, progress=no_progress
) -> Ledger:
    """The ledger of two samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap, or one that a feature set encoded; the cosine is that of the tap itself.

    Returns
    -------
    Ledger
        From 0 to their cosine. Estimates: the cosine, the share of other pairs that are less alike, the share of parts
        beyond the null.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample or token; fewer than eight samples; a sample without a direction.
    """
    made, rng = tap_dictionary(as_activations(activations)), rng or np.random.default_rng(0)
    pair = asked_pair(made.source, params, rng, progress, (0.0, 0.6), params.through)
    progress(0.6, "splitting the score")
    asked = _asked(pair, params)
    names, values, draws = _parts(made, pair, asked, params, progress)
    null = band(draws)
    tokens = (pair.x, pair.y) if params.pooling == MEAN else None
    partners = (pair.others @ pair.f) / (np.linalg.norm(pair.others, axis=1) * np.linalg.norm(pair.f))
    estimates = (
        *score_estimates(pair.score, partners, pair.pooled, (pair.i, pair.j), rng, tokens),
        beyond_estimate(values, null, len(draws), made.source.shape[1]),
    )
    progress(1.0, "done")
    which = asked if asked != FEATURES else "units" if made.of_units else "features"
    notes = made.notes if asked == FEATURES else ()
    if params.through:
        notes = (*notes, f"Both went through {params.through}, without its bias: f' WᵀW g over both lengths.")
    return Ledger(
        title=f"Why samples {params.first} and {params.second} are alike, by {which}",
        reading=_reading(pair.score, names, values, null, estimates, params), estimates=estimates,
        caveats=(*pair.notes, *pair_caveats(params, pair), *notes, f"Parts have no interval: {EXACT}."),
        names=names, values=values,
        start=0.0, end=pair.score, residual=pair.score - float(values.sum()), null_low=null[0], null_high=null[1],
        value_name="cosine", start_name="nothing in common", end_name="their cosine",
    )  # fmt: skip


def _asked(pair, params: WhySimilarParams) -> str:
    if params.parts != AUTOMATIC:
        return params.parts
    return FIRST if len(pair.x) > 1 else SECOND if len(pair.y) > 1 else FEATURES


def _parts(made, pair, asked: str, params, progress):
    """Names and values of the parts, and the same (m, parts) with other partners."""
    if asked in (FIRST, SECOND):
        own, other, at, sample = (
            (pair.x, pair.g, pair.i, params.first)
            if asked == FIRST
            else (pair.y, pair.f, pair.j, params.second)
        )
        numbers = pair.sets.tokens_of(at)
        names = token_names(made.source, sample, numbers if len(own) == len(numbers) else np.zeros(1, int))
        if len(own) != len(numbers):
            names = (f"token {params.token}",)
        every = np.vstack([other, pair.others])
        found = tokens_against(own, every)
        return names, found[0], found[1:]
    names = made.called
    if made.of_units and pair.through is not None:
        names = tuple(f"{params.through} {k}" for k in range(len(pair.through)))
    elif made.of_units:
        names = tuple(names[u] for u in pair.units)
    every = np.vstack([pair.g, pair.others])
    if made.of_units:
        found = units_against(pair.f, every)
        return names, found[0], found[1:]
    codes = _pooled_codes(made, pair, params, progress)
    directions = np.asarray(made.features.decoder, np.float64)[:, pair.units]
    if pair.through is not None:
        directions = directions @ pair.through.T
    found = features_against(codes[0], codes[1:], directions, pair.f, every)
    return (*names, REST), found[0], found[1:]


def _pooled_codes(made, pair, params, progress) -> np.ndarray:
    """(2 + m, k): of both samples and the partners, pooled as they are, less the mean of these where centred."""
    give, sets, found = contributions_of(made), pair.sets, []
    wanted = [pair.i, pair.j, *pair.partners]
    for count, at in enumerate(wanted):
        progress(0.6 + 0.35 * count / len(wanted), "encoding")
        rows = sets.of(at) if params.pooling == MEAN else sets.token(params.token)[[at]]
        found.append(give(rows).mean(axis=0))
    codes = np.array(found)
    return codes - codes.mean(axis=0) if params.centred else codes


def _reading(score, names, values, null, estimates, params) -> str:
    best = np.argsort(-np.abs(values), kind="stable")[:3]
    told = ", ".join(f"{names[b]} ({values[b]:+.3g})" for b in best)
    beyond = outside(values, null)
    return (
        f"Samples {params.first} and {params.second} have a cosine of {score:.3g}; {estimates[1].value:.0%} of other "
        f"pairs are less alike. Most of it comes from {told}; {beyond:,} of {len(values):,} parts lie outside what "
        "random partners of the first sample give."
    )


def _cost(shapes, params: WhySimilarParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, params.maximum_samples)
    held = 24.0 * rows * k + 40.0 * min(n, params.null_samples) * k + 2e5
    work = 4.0 * n * k + 10.0 * min(n, params.null_samples) * k
    return Cost(0.05 + m.seconds(flops64=work, moved=16.0 * n * k), held)


def _check() -> tuple[CheckLine, ...]:
    """Bars sum to the score; a sample with itself is all of it; swapped samples swap whose tokens are asked."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12 * 5, 6)) + np.repeat(rng.standard_normal((12, 6)), 5, axis=0)
    tap = ArrayActivations(x, layout=Layout(np.arange(13, dtype=np.int64) * 5))
    here = why_similar(tap, WhySimilarParams(first=2, second=7))
    swapped = why_similar(tap, WhySimilarParams(first=7, second=2, parts=SECOND))
    units = why_similar(tap, WhySimilarParams(first=2, second=7, parts=FEATURES))
    same = why_similar(tap, WhySimilarParams(first=3, second=3, centred=False))
    f, g = (x[5 * i : 5 * i + 5].mean(axis=0) - x.mean(axis=0) for i in (2, 7))
    return (
        CheckLine(
            "cosine of the means", float(f @ g / np.linalg.norm(f) / np.linalg.norm(g)), here.end, 1e-12
        ),
        CheckLine("tokens sum to it", here.end, float(here.values.sum()), 1e-12),
        CheckLine("units sum to it", here.end, float(units.values.sum()), 1e-12),
        CheckLine("swapped samples", 0.0, float(np.abs(here.values - swapped.values).max()), 1e-12),
        CheckLine("a sample with itself", 1.0, float(same.values.sum()), 1e-12),
    )


METHODS = (
    Method(
        id="why_similar",
        family="attribution",
        title="Why these two are alike",
        summary="The cosine of two samples as bars of tokens, units or features that sum to it exactly.",
        version=2,
        function=why_similar,
        params=WhySimilarParams,
        result=Ledger,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating all units together (bars of tokens), rescaling all units together; order of the tokens",
        papers=("CLIP-ReIdent: Contrastive Training for Player Re-Identification",),
    ),
)
