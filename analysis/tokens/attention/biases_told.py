"""What is told of the bias of attention: its size, parts of its variance, and what landmarks explain."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.results import Estimate
from analysis.tokens.attention.biases import (
    Biases,
    followed,
    parts_of,
    shuffled_shares,
)

DRAWS, ORDERS = 20, 3


def bias_estimates(tap, b, found: Biases, marks, rng) -> tuple[Estimate, ...]:
    """Size and shares of the bias b (n, T, T); with landmarks `marks` (n, 2 K) what they explain."""
    facts = {"n": len(b), "d": tap.shape[1]}
    size, parts = float(np.sqrt(np.square(b).mean())), parts_of(b, found.offset)
    groups = sample_groups(len(b), rng)
    left = [np.delete(b, g, axis=0) for g in groups] if len(groups) > 2 else []
    spread = np.array([np.sqrt(np.square(x).mean()) for x in left])
    small = size <= found.rounding  # what single precision leaves is no bias
    shares = np.zeros(3) if small else parts / parts.sum()
    without = [
        np.zeros(3) if small else (p := parts_of(x, found.offset)) / max(p.sum(), 1e-300) for x in left
    ]

    def ends(value, values, most):
        half = jackknife_half(np.asarray(values)) if len(values) else None
        if half is None:
            return {"interval": "none: too few samples"}
        return {"low": max(value - float(half), 0.0), "high": min(value + float(half), most),
                "interval": "jackknife over groups of samples"}  # fmt: skip

    none, order = "attention without a bias", f"pairs of each sample in random order, {ORDERS} draws"
    usual = np.zeros(3) if small else shuffled_shares(b, found.offset, ORDERS, rng)
    out = [Estimate("size of the bias", size, **ends(size, spread, np.inf), null=0.0, null_method=none,
                    unit="nats", estimator="root mean square of logits", rounding=found.rounding, **facts)]  # fmt: skip
    for k, name in enumerate(("relative to the query", "fixed otherwise", "of the sample")):
        out.append(Estimate(f"{name}: share", float(shares[k]), **ends(float(shares[k]), [w[k] for w in without], 1.0),
                            null=float(usual[k]), null_method=order, estimator="share of the sum of squares",
                            **facts))  # fmt: skip
    if marks is not None:
        own = followed(b, marks)
        chance = np.array([followed(b, marks[rng.permutation(len(b))]) for _ in range(DRAWS)])
        rest = [followed(x, np.delete(marks, g, axis=0)) for x, g in zip(left, groups, strict=False)]
        out.append(Estimate("of the sample's part, linear in landmarks", own, **ends(own, rest, 1.0),
                            **against(own, chance), null_method=f"landmarks of other samples, {DRAWS} draws",
                            estimator="R² of least squares", **facts))  # fmt: skip
    return tuple(out)


def bias_reading(told, of_rows: bool) -> str:
    """In words; `of_rows`: no network was run."""
    if of_rows:
        return (
            "No network was run: attention is made here of the rows of the tap, as the softmax of query times key, so "
            "that nothing is known of a bias. Choose a tap of a network that can be run, or one that recorded the bias."
        )
    size, relative, fixed, sample, *landmarks = told
    if not relative.value + fixed.value + sample.value > 0:
        return "Attention has no bias: it is the softmax of query times key and nothing else."
    text = (
        f"Attention adds a bias of {size.value:.2g} nats: {relative.value:.0%} of it depends on the offset between two "
        f"places alone, {fixed.value:.0%} is fixed otherwise and {sample.value:.0%} depends on the sample"
    )  # fmt: skip
    if not landmarks:
        return text + "."
    return (
        f"{text}. Landmarks explain {landmarks[0].value:.0%} of the sample's part (by chance "
        f"{landmarks[0].null:.0%})."
    )
