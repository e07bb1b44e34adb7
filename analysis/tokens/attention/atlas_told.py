"""What is told of a measure of all heads: its ends, what places alone give, and heads beyond it."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.statistics.skewed_means import skewed_mean
from analysis.results import Estimate
from analysis.tokens.attention.isotropic import ISOTROPIC, MEANING
from analysis.tokens.attention.measures import AVERAGES, MEANS, UNITS
from analysis.tokens.attention.position_null import others_interval

FEW = 8  # samples with which the null is still rough

PLACES = "mean attention of other samples at the same places"
PAIRED = "keys of the same place in another sample"


def atlas_reading(reader, found, measure, value, null, more) -> str:
    """What the measure is, its least and largest head, and how many go beyond places."""
    means = f"{measure[0].upper()}{measure[1:]} is {MEANS.get(measure, MEANING)}."
    return f"{means} {_compared(reader, found, measure, value, null, more)}"


def _compared(reader, found, measure, value, null, more) -> str:
    low, high = (np.unravel_index(f(value), value.shape) for f in (np.argmin, np.argmax))
    said = (
        f"It runs from {_apart(value[low], value[high])} (layer {low[0] + 1}, head {low[1] + 1}) to "
        f"{_apart(value[high], value[low])} (layer {high[0] + 1}, head {high[1] + 1})"
        if value.size > 1 else f"Here it is {value[0, 0]:.3g}"
    )  # fmt: skip
    if measure == ISOTROPIC:
        return f"{said}; independent weights give 1/d² = {1 / reader.width**2:.2g}, keys of others {null.mean():.2g}."
    said += f"; reading all alike gives {found.even.mean():.4g}."
    if more is None:
        lone = np.abs(found.value - found.null).mean()
        return (
            f"{said} Single samples lie {lone:.3g} from what places alone give them, on average over heads."
        )
    return (
        f"{said} {more.sum()} of {more.size} "
        f"{'heads go' if more.size > 1 else 'head goes'} beyond what places alone give (on average {null.mean():.3g})."
    )


def _apart(value: float, other: float) -> str:
    """A number with as many digits as tell it from another, three at least."""
    return next((text for k in range(3, 8) if (text := f"{value:.{k}g}") != f"{other:.{k}g}"), f"{value:.3g}")


def atlas_estimates(reader, found, measure, more, rng) -> tuple[Estimate, ...]:
    """Over all heads: the measure, paired with even attention and with what places alone give."""
    n, d = reader.n, reader.width
    each, places = (x.mean(axis=(0, 1)) for x in (found.value, found.null))
    facts = {"n": n, "d": d, "unit": UNITS.get(measure, "")}
    how = PAIRED if measure == ISOTROPIC else PLACES

    def interval(x):
        return skewed_mean(x, rng) if measure == ISOTROPIC else mean_interval(x)

    even = "independent Gaussian weights: 1/d²" if measure == ISOTROPIC else "all keys read alike"
    first = (
        Estimate(f"{measure}, mean over heads", float(each.mean()), **interval(each), null=float(places.mean()),
                 null_method=how, estimator="mean over samples", **facts),
        Estimate("apart from even attention", float((each - found.even).mean()), **interval(each - found.even),
                 null=0.0, null_method=even, estimator="paired mean over samples", **facts),
    )  # fmt: skip
    if more is None:
        lone = np.abs(found.value - found.null).mean(axis=(0, 1))
        return (*first, Estimate("single samples from places alone", float(lone.mean()), **others_interval(lone, 0.0),
                                 null=0.0, null_method="heads that go by places alone",
                                 estimator="mean size over heads and samples", **facts))  # fmt: skip
    shared = more.reshape(-1).astype(np.float64)
    return (
        *first,
        Estimate("apart from places alone", float((each - places).mean()), **interval(each - places), null=0.0,
                 null_method=how, estimator="paired mean over samples", **facts),
        Estimate("heads beyond places", float(shared.mean()), interval="none: these are all heads", null=0.0,
                 null_method="heads that go by places alone, at 5 % false discoveries", n=shared.size, d=d,
                 estimator="share of heads, Benjamini-Hochberg"),
    )  # fmt: skip


def atlas_caveats(reader, measure) -> list[str]:
    """Of the null, and of this measure."""
    said = [
        f"Means over {reader.n} samples; the null of each is the mean of the other {reader.n - 1}, which is not yet "
        f"{'at all ' if reader.n < FEW else ''}free of what these show.",
        "What a head looks at is not what it matters for.",
    ]
    if measure in AVERAGES:
        said.append("The mean of this is that of places alone by construction: no head can go beyond.")
    if measure == ISOTROPIC:
        said.append(
            "From queries and keys: tokens weigh as they occur; equal to tr(W)² / (d |W|²) for white tokens."
        )
    if reader.heads * reader.layers > 1 and reader.layout.causal:
        said.append("Queries early in a text have few keys; the null has them as well.")
    return said
