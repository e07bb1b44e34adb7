"""The verdict on a change of activations as estimates with their nulls, and as a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtri

from analysis.attribution.patches.patch_verdict import NOTHING
from analysis.compute.statistics.nulls import add_one_p, null_spread
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.interventions.move_verdict import CONNECTED, GIVEN, HELD, LEFT, MoveVerdict
from analysis.results import Estimate

SPLIT = "A change is split into the part that the slopes of the answer in natural samples span and the rest, each run "\
        "alone; ranges and slopes are of other samples. A faithful verdict means that nothing was found."  # fmt: skip
WHOLE = (
    "A site that is exchanged whole takes what another sample has there: no direction is moved that never moves, so "
    "that at this site no dormant way can be woken, and at the last layer, behind which nothing meets it, nowhere (a "
    "patch there copies the answer and says little). Elsewhere it meets tokens and parts of the other run, and what "
    "leaves its natural range behind it is what such a meeting can wake."
)


def verdict_numbers(found: Sequence[MoveVerdict], rng: np.random.Generator) -> tuple[Estimate, ...]:
    """Of each claim the connected share (where there is an effect), natural variance, and shares off the range."""
    return tuple(e for own in found for e in _numbers(own, rng))


def _numbers(v: MoveVerdict, rng: np.random.Generator):
    given, n, name = v.effects[GIVEN], v.effects[GIVEN].shape[0], v.claim.name
    if v.judged()[0] != NOTHING and given.sum() != 0:
        sign = np.sign(given.sum())
        ends = ratio_interval(sign * v.effects[CONNECTED], sign * given, rng)
        chance = v.random.sum(axis=1) / given.sum()
        yield Estimate(f"connected share, {name}", v.share(CONNECTED), *ends, interval="bootstrap over samples",
                       **null_spread(chance), null_method=f"{len(chance)} random spans of {v.rank} directions", n=n,
                       d=v.d, estimator="effect of the part in the span of slopes / effect")  # fmt: skip
    yield Estimate(f"natural variance moved, {name}", v.variance, **_variance_ends(v.variance, n),
                   **null_spread(v.random_variance),
                   p_value=float(add_one_p(-v.variance, -v.random_variance)), null_method="random directions", n=n,
                   d=v.d, estimator="variance of natural rows along the connected part")  # fmt: skip
    for words, off, natural in (
        ("off the natural range", v.off, v.off_natural), ("off the natural range behind", v.behind, v.behind_natural),
    ):  # fmt: skip
        if off is not None:
            yield Estimate(f"{words}, {name}", float(off.mean()), **mean_interval(off, 0.0, 1.0),
                           null=float(natural.mean()), null_method="natural samples exchanged whole", n=n, d=v.d,
                           estimator="share of the squared change beyond what natural samples have")  # fmt: skip


def _variance_ends(value: float, n: int) -> dict:
    """95 % interval of a variance over n samples of a bell curve."""
    if n < 2:
        return {"interval": "none: of one sample"}
    low, high = (value * (n - 1) / chdtri(n - 1, p) for p in (0.025, 0.975))
    return {"low": min(low, value), "high": max(high, value), "interval": "χ², one row a sample"}


def verdict_sentence(v: MoveVerdict) -> str:
    word, reasons = v.judged()
    why = f" ({'; '.join(reasons)})" if reasons else ""
    first = f"Verdict on {v.claim.name}: {word}{why}"
    low, high = np.percentile(v.random_variance, [2.5, 97.5])
    variance = f"natural variance along it {v.variance:.2g} (random directions {low:.2g} to {high:.2g})"
    off = f"{v.off.mean():.0%} off the natural range (exchanged samples {v.off_natural.mean():.0%})"
    if v.behind is not None:
        off += f", behind it {v.behind.mean():.0%} ({v.behind_natural.mean():.0%})"
    if word == NOTHING:
        return f"{first}; {variance}; {off}."
    held = "" if v.claim.whole else f", kept in range {v.share(HELD):.0%}"
    return (
        f"{first}; its connected part ({v.rank} of {v.d} directions) has {v.share(CONNECTED):.0%} of the effect, the "
        f"rest alone {v.share(LEFT):.0%}{held}; {variance}; {off}."
    )


def verdict_caveats(found: Sequence[MoveVerdict]) -> list[str]:
    said = [SPLIT] if found else []
    if any(v.rank >= v.d for v in found):
        said.append(
            "Slopes span all units of a site: there the split says nothing, and ranges and dormancy judge."
        )
    return [*said, WHOLE] if any(v.claim.whole for v in found) else said
