"""Faults that are seen in attention: sinks, a missing log-size term, rows that no longer sum to 1."""

from __future__ import annotations

import numpy as np

from analysis.tokens.dump import TokenDump
from analysis.tokens.fault import Fault, judged, unseen
from analysis.tokens.rule import Rule
from analysis.tokens.rules.received_attention import received_mass, uniform_attention

SINK = 0.3  # share of all attention from which a token is called a sink
ROWS, SLOPE = 1e-3, 0.05  # sums of rows; of log size


def first_token_sink(dump: TokenDump, run) -> Fault:
    """The share of all attention that the first token is paid, in the layers where the rule acts."""
    name, layers = "first-token sink", [i for i, step in enumerate(run.steps) if step is not None]
    if "mean attention" not in dump.recorded or not layers:
        return unseen(name, "No attention was recorded where the rule acts.")
    present = dump.layout.present
    even = received_mass(uniform_attention(present, dump.layout.causal), present)
    first = present.argmax(axis=1)[:, None]
    null = float((np.take_along_axis(even, first, 1)[:, 0] / even.sum(axis=1)).mean())
    found = []
    for layer in layers:
        mass_ = received_mass(dump.recorded["mean attention"][layer], present)
        found.append(np.take_along_axis(mass_, first, 1)[:, 0] / np.maximum(mass_.sum(axis=1), 1e-30))
    share, layer = max((float(f.mean()), i) for f, i in zip(found, layers, strict=True))
    last = float((even[:, 0] / np.where(present, even, np.inf).min(axis=1)).mean())
    by_place = (
        f" Uniform attention alone favours it {last:.0f} to 1 over the last." if dump.layout.causal else ""
    )
    return judged(
        name, share, null, share > SINK and share > 2 * null,
        f"The first token is paid {share:.0%} of all attention in layer {layer + 1}, by uniform attention {null:.1%}: "
        f"attention says little about the others.{by_place}",
        f"The first token is paid {share:.1%} of all attention, by uniform attention {null:.1%}.{by_place}",
    )  # fmt: skip


def first_token_score(dump: TokenDump, rule: Rule, run) -> Fault:
    """The share of the score of a dropping rule that falls on the first token, where scores are shares of something."""
    name, found, null = "first-token sink of the score", [], []
    for step, state in zip(run.steps, run.states, strict=False):
        if step is None or rule.merges or rule.baseline:
            continue
        first = state.valid.argmax(axis=1)[:, None]  # padding may stand before it
        score = np.where(np.isfinite(step.score) & state.valid, step.score, 0.0)
        if (score < 0).any() or not score.any():
            continue
        total = np.maximum(score.sum(axis=1), 1e-30)
        found.append(float((np.take_along_axis(score, first, axis=1)[:, 0] / total).mean()))
        null.append(float((1 / np.maximum(state.counts, 1)).mean()))
    if not found:
        return unseen(name, f"{rule.title} has no score that is a share of something.")
    at = int(np.argmax(found))
    return judged(
        name, found[at], null[at], found[at] > SINK and found[at] > 2 * null[at],
        f"{found[at]:.0%} of the score lies on the first token (alike: {null[at]:.1%}); little is left for others.",
        f"{found[at]:.1%} of the score lies on the first token (alike: {null[at]:.1%}).",
    )  # fmt: skip


def log_size(rule: Rule, run) -> Fault:
    """How much the logits of attention rise with the logarithm of a key's size: 1 where copies stay lossless."""
    name = "log-size term missing"
    merged = [i for i, s in enumerate(run.states[:-1]) if (s.size > 1).any()]
    if not merged:
        return unseen(name, "No layer reads merged tokens.")
    recorded = getattr(run, "recorded", {})
    slope = float(rule.proportional)
    seen = {"attention", "queries", "keys"} <= set(recorded)
    if seen:
        slope = _slope(
            run.states[merged[0]], *(recorded[n][merged[0]] for n in ("attention", "queries", "keys"))
        )
    how = f"measured in layer {merged[0] + 1}" if seen else "as the rule declares it"
    return judged(
        name, slope, 1.0, not abs(slope - 1) <= SLOPE,
        f"Logits rise by {abs(slope):.2f} log s ({how}): merged tokens are read as one, copies are not lossless.",
        f"Logits rise by log s ({how}).",
    )  # fmt: skip


def _slope(state, attention, queries, keys) -> float:
    """Of log attention less query by key, on log size, row by row."""
    over = over_self = 0.0
    for b in range(len(attention)):
        at = np.flatnonzero(state.valid[b])
        a = attention[b][:, at[:, None], at].astype(np.float64)
        logits = queries[b][:, at].astype(np.float64) @ keys[b][:, at].astype(np.float64).transpose(0, 2, 1)
        left = np.log(np.maximum(a, 1e-30)) - logits / np.sqrt(queries.shape[-1])
        size = np.broadcast_to(np.log(np.maximum(state.size[b, at], 1e-12)), a.shape)
        read = (a > 1e-9) * 1.0
        count = np.maximum(read.sum(axis=-1, keepdims=True), 1)
        size = (size - (size * read).sum(axis=-1, keepdims=True) / count) * read
        over += float((left * size).sum())
        over_self += float(np.square(size).sum())
    return over / over_self if over_self > 0 else 1.0


def rows_of_attention(dump: TokenDump, run) -> Fault:
    """The row whose sum is farthest from 1, of all attention that is there."""
    worst, name = 1.0, "rows of attention"
    found = [
        (a, dump.layout.present)
        for key in ("attention", "mean attention")
        for a in dump.recorded.get(key, ())
    ]
    recorded = getattr(run, "recorded", {})
    for key in ("attention", "mean attention"):
        found += [(a, s.valid) for a, s in zip(recorded.get(key, ()), run.states, strict=False)]
    if not found:
        return unseen(name, "No attention was recorded.")
    for a, valid in found:
        sums = a.sum(axis=-1)
        there = valid if sums.ndim == 2 else np.broadcast_to(valid[:, None], sums.shape)
        off = sums[there]
        at = np.abs(off - 1).argmax() if len(off) else None  # the first NaN where there is one
        if at is not None and not abs(off[at] - 1) <= abs(worst - 1):
            worst = float(off[at])
        if np.isnan(worst):
            break
    return judged(
        name, worst, 1.0, not abs(worst - 1) <= ROWS,
        f"A row of attention sums to {worst:.4g}: weights were taken away or added without making rows whole again.",
        "Rows of attention sum to 1.",
    )  # fmt: skip
