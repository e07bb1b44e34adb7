"""What a trial costs, told before it."""

from __future__ import annotations

from analysis.attribution.saliency.asked import held_by
from analysis.attribution.saliency.way import Settings, Way
from analysis.attribution.saliency_court.asking import (
    OPENING,
    PASS_SECONDS,
    PASS_WORK,
    THE_INPUT,
    CourtParams,
)
from analysis.attribution.saliency_court.on_trial import FITTED, asked_ways, open_ways, settings_of
from analysis.compute.machine import machine
from analysis.spec import Cost

TOKENS = 64  # of a sample, where only rows and units are known


def passes_of(params: CourtParams, tokens: int) -> int:
    """Passes that one map by each of the ways takes together."""
    settings = settings_of(params, tokens)
    return sum(way.passes(tokens, 1, settings) for way in _within(params, tokens, settings))


def _within(params: CourtParams, tokens: int, settings: Settings) -> list[Way]:
    asked = asked_ways(params.ways)
    every = asked or open_ways(params.ways)
    return [w for w in every if asked is not None or w.passes(tokens, 1, settings) <= params.budget]


def court_cost(shapes, params: CourtParams, maps: float, others: float = 0.0) -> Cost:
    """`maps` of each way for a sample, and `others`: passes for a sample beside them."""
    (n, d), m = shapes[0], machine()
    tokens, samples = min(d, TOKENS), min(n, params.samples)
    passes = samples * (maps * passes_of(params, tokens) + others + 2) + params.background_samples
    fitted = min(n, FITTED)
    work = passes * PASS_WORK + 400.0 * fitted * d
    held = 60.0 * fitted * d + 200.0 * TOKENS * d
    settings = settings_of(params, tokens)
    held += held_by(_within(params, tokens, settings), d, settings, params.site == THE_INPUT)
    return Cost(
        OPENING + m.seconds(flops64=work, moved=16.0 * n * d) + PASS_SECONDS * passes, held, round(passes)
    )
