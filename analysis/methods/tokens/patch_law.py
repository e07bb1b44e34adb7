"""How does the loss fall with smaller patches? Loss against patch size, and a + b p^c through it.

The taps are those of networks that differ in their patches, on the same samples. The loss of a sample is what the store
recorded, or the squared error of a linear probe on the mean token that did not see the sample. a is the loss that no
patch size goes below (b >= 0, c > 0, least squares: `analysis.tokens.pooling.patch_law`). A picture has (side / p)²
tokens, and attention between them costs p^-4.

Intervals: samples drawn again (percentiles), so that what the training of each network adds by chance is not in them.
Null: losses of each sample exchanged between the networks, which leaves no size better.

When it lies: three sizes fit three numbers exactly, whatever the law; a power law with a floor is nearly a line over a
factor of four, so that a and c go together (see their intervals); networks that differ in more than their patches
(width, training) put this into the curve; the probe's error is not the network's loss.

Cost: O(draws sizes) fits; a probe O(samples units²) for each tap.

Reference: F. Wang, Y. Yu, G. Wei, W. Shao, Y. Zhou, A. Yuille & C. Xie (2025), "Scaling laws in patchification: an
image is worth 50,176 tokens and more".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.common_samples import common_samples, shared_positions
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.nulls import add_one_p, null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.patch_law import PatchLaw, patch_law, tokens_of
from analysis.tokens.pooling.patch_pictures import UNKNOWN, patch_sizes

PAPER = "Scaling Laws in Patchification: An Image Is Worth 50,176 Tokens And More"
RECORDED, PROBE = "recorded, else a probe's", "a probe's"
MEASURED, LAW, FOLDS, PLACES = "measured", "a + b p^c", 5, 40


@dataclass(frozen=True)
class PatchLawParams:
    loss: str = param(RECORDED, "Whose loss of a sample.", choices=(RECORDED, PROBE))
    sizes: str = param(
        "", "Patch sizes in the order of the taps, with commas; empty: from the networks or grids."
    )
    side: int = param(224, "Pixels along a picture, where only grids are known.", low=1, high=100_000)
    column: str = param("label", "Classes that a probe is to tell.", column=True)
    draws: int = param(100, "Resamples, and draws of the null.", low=20, high=2000, late=True)
    maximum_samples: int = param(
        5000, "Most samples; a seeded random part above.", low=20, high=1_000_000, late=True
    )


def patch_law_of(*taps, params: PatchLawParams = PatchLawParams(), rng=None, progress=no_progress) -> Curve:
    """Loss by patch size.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units)
        One of each network, on the same samples.

    Returns
    -------
    Curve
        Mean losses with intervals, and the law through them. Estimates: a, c, and what the smallest patches save.

    Raises
    ------
    InputError, ParameterError, NotFound, NotEnoughData
        Sizes that are all the same, or do not fit the taps; no such column; fewer than 20 common samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    sizes, said = patch_sizes(taps, params.sizes, params.side)
    if len(np.unique(sizes)) < 3:
        raise InputError(
            f"patch sizes {', '.join(f'{s:g}' for s in sizes)}",
            "three different ones",
            "Choose taps of networks whose patches differ, or give the sizes",
        )
    loss, what, more = _losses(taps, params, rng, progress)
    order = np.argsort(sizes, kind="stable")
    sizes, loss = sizes[order], loss[:, order]
    own = patch_law(sizes, loss.mean(axis=0))
    again, chance = [], []
    for k in range(params.draws):
        progress(0.4 + 0.6 * k / params.draws, "drawing samples again")
        some = loss[rng.integers(len(loss), size=len(loss))].mean(axis=0)
        again.append(patch_law(sizes, some))
        chance.append(patch_law(sizes, rng.permuted(loss, axis=1).mean(axis=0)))
    progress(1.0, "done")
    unit = "place in the order of the taps" if UNKNOWN in said else "pixels"
    told = _estimates(own, sizes, loss, again, chance, unit, rng)
    return Curve(
        title=f"{what[0].upper()}{what[1:]} by patch size", **_lines(own, sizes, loss, again), estimates=told,
        caveats=(*said, *more, *_caveats(sizes, params.side, own, UNKNOWN in said)),
        x_name=f"patch size ({unit})", y_name=what, log_x=True, joined=True,
        reading=_reading(own, told, sizes, unit),
    )  # fmt: skip


def _losses(taps, params: PatchLawParams, rng, progress):
    """(losses (n, taps), what they are, notes)."""
    same = []
    if params.loss == RECORDED and all("loss" in t.samples for t in taps):
        at, said = shared_positions(taps, 20)
        chosen, more = random_part(at.shape[1], params.maximum_samples, rng)
        loss = np.array(
            [sample_column(t, "loss")[p] for t, p in zip(taps, at[:, chosen], strict=True)], float
        ).T
        good = np.isfinite(loss).all(axis=1)
        if good.sum() < 20:
            raise NotEnoughData(f"{int(good.sum())} sample(s) with a loss in all taps", "at least 20")
        left = [] if good.all() else [f"{int((~good).sum())} sample(s) without a loss left out."]
        if np.ptp(loss[good], axis=1).any():
            return loss[good], "loss", [*said, *more, *left]
        same = ["The taps have the same losses, as those of one network have: a probe stands for them."]
    data = common_samples(taps, rng, maximum=params.maximum_samples, minimum=20, progress=progress)
    ids = np.asarray(taps[0].samples["id"]).astype(str)
    order = np.argsort(ids)
    labels = np.asarray(sample_column(taps[0], params.column))
    codes = class_codes(labels[order[np.searchsorted(ids[order], data.ids)]], params.column, FOLDS)
    fold, hot = folds_of(codes.codes, FOLDS, rng), codes.one_hot()
    group = np.zeros(hot.shape[1], int)
    told = [
        held_out_predictions(np.asarray(x, np.float64)[codes.stay], hot, group, fold) for x in data.values
    ]
    loss = np.array([np.square(t - hot).sum(axis=1) for t in told]).T
    note = f"The error is that of a linear probe of '{params.column}' on the mean token."
    return loss, "squared error of a probe", [*same, note, *data.notes, *codes.notes]


def _lines(own: PatchLaw, sizes, loss, again) -> dict:
    dense = np.geomspace(sizes.min() / 2, sizes.max(), PLACES)
    x = np.unique(np.concatenate([sizes, dense]))
    at, blank = np.searchsorted(x, sizes), np.full(len(x), np.nan)
    measured, low, high = blank.copy(), blank.copy(), blank.copy()
    for k, place in enumerate(at):
        ends = mean_interval(loss[:, k])
        measured[place], low[place], high[place] = loss[:, k].mean(), ends["low"], ends["high"]
    band = np.quantile([one.at(x) for one in again], [0.025, 0.975], axis=0)
    return {"x": x, "series": {MEASURED: measured, LAW: own.at(x)},
            "low": {MEASURED: low, LAW: np.minimum(band[0], own.at(x))},
            "high": {MEASURED: high, LAW: np.maximum(band[1], own.at(x))},
            "null": {LAW: np.full(len(x), float(loss.mean()))}}  # fmt: skip


def _estimates(own: PatchLaw, sizes, loss, again, chance, unit: str, rng) -> tuple[Estimate, ...]:
    common = {"n": len(loss), "d": len(sizes)}
    by = f"losses exchanged between the networks, {len(chance)} draws"

    def fitted(name: str, of, estimator: str) -> Estimate:
        value, drawn = float(of(own)), np.array([of(one) for one in again])
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Estimate(name, value, min(low, value), max(high, value), interval="samples drawn again, percentiles",
                        **null_spread(np.array([of(one) for one in chance])), null_method=by, estimator=estimator,
                        **common)  # fmt: skip

    saved = loss[:, sizes == sizes.max()].mean(axis=1) - loss[:, sizes == sizes.min()].mean(axis=1)
    flips = rng.choice([-1.0, 1.0], size=(999, len(saved))) @ saved / len(saved)
    half = float(sizes.min() / 2)
    return (
        Estimate("saved by the smallest patches", float(saved.mean()), **mean_interval(saved), null=0.0,
                 null_method="largest and smallest exchanged, 999 draws",
                 p_value=float(add_one_p(abs(float(saved.mean())), np.abs(flips))), estimator="paired over samples",
                 **common),
        fitted("a: no patch goes below", lambda one: one.a, "least squares of a + b p^c"),
        fitted("c: exponent of the patch size", lambda one: one.c, "least squares of a + b p^c"),
        fitted(f"law at {half:g}{' pixels' * (unit == 'pixels')}", lambda one: float(one.at(half)),
               "run on to half the smallest patch"),
    )  # fmt: skip


def _caveats(sizes: np.ndarray, most: int, own: PatchLaw, unknown: bool) -> list[str]:
    words = ", ".join(f"{s:g}: {tokens_of(most, max(int(s), 1)):,}" for s in sizes)
    cost = (sizes.max() / sizes.min()) ** 4
    said = [] if unknown else [
        f"Tokens of a picture of {most} pixels by patch size: {words}. Attention of the smallest costs {cost:,.0f} "
        "times that of the largest.",
    ]  # fmt: skip
    said.append("The training of each network by chance is in none of the intervals.")
    if own.b <= 0:
        said.append("The loss does not fall with smaller patches here, so that the exponent c means nothing.")
    if len(sizes) == 3:
        said.append("Three sizes are fitted exactly by three numbers, so that nothing tests the law.")
    return said


def _reading(own: PatchLaw, told, sizes, unit: str) -> str:
    saved, a, c, _ = told
    way = f"From patches of {sizes.max():g} to {sizes.min():g} ({unit})"
    if own.b <= 0:
        return (
            f"{way} the loss does not fall (difference "
            f"{-saved.value:+.3g}, {-saved.high:+.2g} to {-saved.low:+.2g}): there is no law a + b p^c with b > 0."
        )
    return (
        f"{way} the loss falls by {saved.value:.3g} ({saved.low:.2g} to "
        f"{saved.high:.2g}). The law is {own.a:.3g} + {own.b:.3g} p^{own.c:.2f}, with a between {a.low:.2g} and "
        f"{a.high:.2g} and c between {c.low:.2g} and {c.high:.2g}."
    )


def _cost(shapes, params: PatchLawParams) -> Cost:
    m, k = machine(), len(shapes)
    n, d = shapes[0]
    some = min(n, params.maximum_samples)
    work = 2.0 * FOLDS * k * some * d * min(some, d)
    seconds = m.seconds(flops64=work, moved=8.0 * k * n * d) + params.draws * 2 * 0.006
    return Cost(0.05 + seconds, some * d * 8.0 * (k + 3) + some * 999 * 9.0 + 1e5)


def _check() -> tuple[CheckLine, ...]:
    """A law with noise that is the same for all sizes is found again; a picture of 224 pixels has 50,176 of one."""
    sizes, rng = np.array([2.0, 4.0, 8.0, 16.0]), np.random.default_rng(0)
    noise = rng.standard_normal((40, 1)) * 0.01
    loss = 0.3 + 0.02 * sizes**0.8 + noise - noise.mean()
    taps = [ArrayActivations(rng.standard_normal((40, 2)), f"patch {s:g}", {"loss": loss[:, k]})
            for k, s in enumerate(sizes)]  # fmt: skip
    found = patch_law_of(*taps, params=PatchLawParams(sizes="2, 4, 8, 16", draws=20))
    return (
        CheckLine("a", 0.3, found.estimates[1].value, 1e-3),
        CheckLine("c", 0.8, found.estimates[2].value, 1e-3),
        CheckLine("saved from 16 to 2", 0.02 * (16**0.8 - 2**0.8), found.estimates[0].value, 1e-12),
        CheckLine("tokens of one pixel", 50_176.0, float(tokens_of(224, 1)), 0.0),
    )


METHODS = (
    Method(
        id="patch_law", family="tokens", title="Loss by patch size", version=2, function=patch_law_of,
        summary="Loss of networks with different patches, the law a + b p^c through it, and where it would end.",
        params=PatchLawParams, result=Curve, check=_check, cost=_cost, inputs=3, more_inputs=True, minimum_rows=20,
        invariance="the order of the taps, where sizes are known; scale of the loss, but for a and b", papers=(PAPER,),
    ),
)  # fmt: skip
