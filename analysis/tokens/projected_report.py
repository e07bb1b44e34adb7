"""Numbers on tokens that lose a share of what they are: energy, what is rebuilt of them and of pixels, the answer."""

from __future__ import annotations

import numpy as np

from analysis.compute.networks.random_projections import energy_kept, energy_variance
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval, sample_groups
from analysis.results import Estimate
from analysis.tokens.lens import cosines
from analysis.tokens.projected import KEPT, MASKS, REST, WAYS, Rebuilt, changes
from analysis.tokens.projected_pixels import WHOLE, Redrawn, pixels_r2


def answers_by_way(who, places, seen, layer, q, left, free, middle, progress) -> dict[str, np.ndarray]:
    """(n, C) answers as they are, "", and by way."""
    out = {"": np.concatenate([s.answer for s in seen])}
    rows = {way: [] for way in WAYS}
    for k, place in enumerate(places):
        progress(k / len(places))
        present = seen[k].present[0]
        stays, may = {way: np.ones(len(present), bool) for way in left}, np.zeros(len(present), bool)
        may[present] = free[k]
        for way, own in left.items():
            stays[way][present] = own[k]
        for way, change in changes(q, stays, may, middle).items():
            rows[way].append(who.passed(who.alone(int(place)), {layer: change}, states=False).answer)
    out |= {way: np.concatenate(v) for way, v in rows.items()}
    if who.classifies:
        out = {way: z - z.mean(axis=1, keepdims=True) for way, z in out.items()}
    return out


def r2(made: Rebuilt, way: str, at=slice(None)) -> float:
    """Share of what tokens vary that is rebuilt."""
    whole = made.spread[at].sum()
    return float(1 - made.errors[way][at].sum() / whole) if whole > 0 else 0.0


def estimates(
    x, sample, q, made: Rebuilt, answers, drawn: Redrawn | None, n: int, rng
) -> tuple[Estimate, ...]:
    d, k = q.shape
    kept, counts = energy_kept(x, q), np.bincount(sample)
    by_sample = np.bincount(sample, kept) / counts
    reach = 1.96 * np.sqrt(energy_variance(k, d))
    share = {KEPT: k / d, REST: 1 - k / d} | dict.fromkeys(MASKS, k / d)
    facts, out = {"n": n, "d": d}, []
    for way, each in ((KEPT, by_sample), (REST, 1 - by_sample)):
        null = share[way]
        out.append(Estimate(f"energy kept by {way}", float(each.mean()), **mean_interval(each, 0.0, 1.0), null=null,
                            null_low=max(null - reach, 0.0), null_high=min(null + reach, 1.0),
                            null_method="share of dimensions; band of one vector, Beta",
                            estimator="mean over tokens and samples", **facts))  # fmt: skip
    groups = sample_groups(n, rng)
    for way in WAYS:
        value = r2(made, way)
        half = jackknife_half(np.array([r2(made, way, ~np.isin(sample, g)) for g in groups]))
        ends = {"interval": "none: too few samples"} if half is None else {
            "low": value - float(half), "high": min(value + float(half), 1.0),
            "interval": "jackknife over samples"}  # fmt: skip
        out.append(Estimate(f"R² from {way}", value, **ends, null=share[way], null_method="units without correlation",
                            estimator="linear, on samples that were not fitted", **facts))  # fmt: skip
    for way in WAYS:
        own, other = cosines(answers[""], answers[way])
        out.append(Estimate(f"answer with {way}", float(own.mean()), **mean_interval(own, -1.0, 1.0), null=other,
                            null_method="other samples, exact mean", estimator="cosine, mean over samples",
                            **facts))  # fmt: skip
    if drawn is not None:
        out += _of_pixels(drawn, groups, facts)
    return tuple(out)


def _of_pixels(drawn: Redrawn, groups, facts) -> list[Estimate]:
    out, every = [], np.arange(len(drawn.spread))
    for source in drawn.errors:
        value = pixels_r2(drawn, source)
        half = jackknife_half(np.array([pixels_r2(drawn, source, ~np.isin(every, g)) for g in groups]))
        ends = {"interval": "none: too few samples"} if half is None else {
            "low": value - float(half), "high": min(value + float(half), 1.0),
            "interval": "jackknife over samples"}  # fmt: skip
        out.append(Estimate(f"R² of pixels from {source}", value, **ends, null=pixels_r2(drawn, source, strange=True),
                            null_method="tokens of another sample at the same places",
                            estimator="linear, on samples that were not fitted, beyond the mean picture",
                            **facts))  # fmt: skip
    return out


def reading(told, q: np.ndarray, drawn: Redrawn | None) -> str:
    by = {e.name: e.value for e in told}

    def each(what: str, form: str) -> str:
        p, rest, masked, block = (format(by[f"{what} {way}"], form) for way in WAYS)
        return f"{p} from P, {rest} from its complement, {masked} with random tokens and {block} with a block masked"

    text = (
        f"P keeps {by[f'energy kept by {KEPT}']:.0%} of the energy of tokens ({q.shape[1] / q.shape[0]:.0%} of the "
        f"dimensions). A linear map rebuilds of what tokens vary {each('R² from', '.0%')}; the cosine of the answer is "
        f"{each('answer with', '.2f')}."
    )
    if drawn is None:
        return text
    whole = by[f"R² of pixels from {WHOLE}"]
    return (
        f"{text} Of pixels, beyond the mean picture, whole tokens give {whole:.0%}; "
        f"{each('R² of pixels from', '.0%')}."
    )
