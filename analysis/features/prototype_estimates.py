"""The numbers beside an evidence ledger."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import bootstrap_mean, wilson
from analysis.features.prototype_question import Question
from analysis.results import Estimate


def ledger_estimates(q: Question, rng) -> tuple[Estimate, ...]:
    """The logit of the class and how far it is over the other, in this sample and in all, and what names classes."""
    logits, read, at, a, b, others = q.logits, q.read, q.at, q.a, q.b, q.others
    gap, common = logits[:, a] - logits[:, b], {"n": len(logits), "d": read.weights.shape[1]}
    named, out = logits.argmax(axis=1), []
    for name, values in (
        (f"logit of {read.names[a]}", logits[:, a]),
        (f"{read.names[a]} over {read.names[b]}", gap),
    ):
        if others.any():
            low, high = np.percentile(values[others], [2.5, 97.5])
            out.append(Estimate(
                f"{name}, this sample", float(values[at]), null=float(values[others].mean()), null_low=float(low),
                null_high=float(high), null_method=f"samples that are not of {read.names[a]}",
                estimator="sum of the ledger and the bias", **common,
            ))  # fmt: skip
    if q.own.sum() > 1:
        low, high = bootstrap_mean(gap[q.own], rng)
        out.append(Estimate(
            f"{read.names[a]} over {read.names[b]}, mean of its samples", float(gap[q.own].mean()), float(low),
            float(high), interval="bootstrap over samples", null=float(gap[others].mean()) if others.any() else None,
            null_method=f"samples that are not of {read.names[a]}" if others.any() else "", **common,
        ))  # fmt: skip
    known = read.of >= 0
    if known.any():
        right, share = int((named == read.of)[known].sum()), np.bincount(read.of[known]).max() / known.sum()
        low, high = wilson(right, int(known.sum()))
        out.append(Estimate(
            "largest logit is the class", right / known.sum(), low, high, interval="Wilson", null=float(share),
            null_method="always the most frequent class", n=int(known.sum()), d=common["d"],
        ))  # fmt: skip
    return tuple(out)
