"""What appears only with small patches? Feature maps of networks with different patches, brought to one resolution.

Drawn for one sample: each network's tokens along one common component (leading component of all of them side by side
at the coarsest grid), on its own grid, each cell repeated to the finest; the last picture is what the finest has beyond
its own average over the coarsest cells. Of each tap, over samples:

- *CKA* with the coarsest, both averaged to its grid (unbiased; null: samples exchanged; jackknife over samples);
- *boundary sharpness*: squared difference of neighbouring cells over twice the variance (null: cells in random order);
- *lost detail*: share of the variance inside a picture that averaging to the coarsest grid takes away (same null);
- *small objects*: with a column of object sizes, a held-out linear probe's accuracy on the third with the smallest
  (mean and largest token; null: labels exchanged; the intervals are Wilson's).

When it lies: a component is common by construction, however little each network has of it; tokens of a deep layer mix
over the picture, so that a fine grid need not be fine; noise has much detail and is sharp (compare the nulls); an
object may be told small by its class alone.

Cost: O(samples cells Σ d²), and a Gram matrix of samples for each tap.

References: F. Wang, Y. Yu, G. Wei, W. Shao, Y. Zhou, A. Yuille & C. Xie (2025), "Scaling laws in patchification: an
image is worth 50,176 tokens and more"; S. Kornblith et al. (2019) for CKA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import against, null_spread
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, mean_interval, share_interval
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.patch_parts import cka, common_maps, detail, gram, sharpness
from analysis.tokens.pooling.patch_pictures import Pictures, averaging, pictures_of, repeated

PAPER = "Scaling Laws in Patchification: An Image Is Worth 50,176 Tokens And More"
BEYOND, FOLDS = "finest less coarsest", 5


@dataclass(frozen=True)
class PatchMapsParams:
    sample: int = param(0, "Sample that is drawn, counted from 0.", low=0)
    sizes: str = param(
        "", "Sample column with the size of the object; empty: no small-object probe.", column=True
    )
    column: str = param("label", "Classes of the small-object probe.", column=True)
    draws: int = param(50, "Draws of the nulls.", low=19, high=2000, late=True)
    maximum_samples: int = param(
        200, "Most samples; a seeded random part above.", low=8, high=5000, late=True
    )


def patch_maps(
    *taps, params: PatchMapsParams = PatchMapsParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Feature maps at matched resolution.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, units)
        Tokens of networks with different patches, on the same samples.

    Returns
    -------
    TokenMap
        A picture for each network, and what the finest has beyond the coarsest. Estimates as above.

    Raises
    ------
    NotFound, InputError, NotEnoughData, TooLarge
        No such sample or column; samples without one grid; fewer than eight common samples; over 2 GiB.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    found = pictures_of(taps, params.maximum_samples, 4, rng, progress, params.sample)
    at = np.flatnonzero(found.position == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample}", f"one of those in all taps, such as {found.position[0]}")
    cells = [h * w for h, w in found.grids]
    fine, coarse = found.grids[int(np.argmax(cells))], found.grids[int(np.argmin(cells))]
    names = tap_names([t.name for t in taps])
    progress(0.4, "a common component")
    maps = common_maps(found.values, found.grids, coarse)
    drawn = [m[at[0]][repeated(g, fine)] for m, g in zip(maps, found.grids, strict=True)]
    own = maps[int(np.argmax(cells))][at[0]]
    drawn.append(own - (averaging(fine, coarse) @ own)[repeated(coarse, fine)])
    progress(0.5, "comparing")
    told = [
        *_alike(found, names, coarse, params.draws, rng),
        *_shapes(found, names, coarse, params.draws, rng),
    ]
    progress(0.8, "small objects")
    more, said = _small(taps[0], found, names, params, rng)
    progress(1.0, "done")
    return TokenMap(
        title=f"Sample {params.sample} at {fine[0]} x {fine[1]} by {len(taps)} networks",
        samples=np.full(len(drawn), params.sample), values=np.array(drawn), value_name="common component", grid=fine,
        names=(*(f"{k + 1}: {h} x {w}" for k, (h, w) in enumerate(found.grids)), BEYOND),
        estimates=(*told, *more), reading=_reading(told, names, found.grids, fine, coarse),
        caveats=(*found.notes, *said, *_grids(found.grids, names),
                 "Tokens of deep layers mix over the picture: a fine grid need not be fine."),
    )  # fmt: skip


def _grids(grids, names) -> list[str]:
    said = ["The pictures: " + "; ".join(f"{k + 1} {name}" for k, name in enumerate(names)) + "."]
    if len(set(grids)) == 1:
        said.append("All taps have the same grid, so that nothing is finer than another.")
    return said


def _facts(found: Pictures, k: int, estimator: str) -> dict:
    return {"n": found.n, "d": found.values[k].shape[2], "estimator": estimator}


def _alike(found: Pictures, names, coarse, draws: int, rng) -> list[Estimate]:
    """CKA of each tap with the coarsest at its grid."""
    rough = [averaging(g, coarse) @ x for x, g in zip(found.values, found.grids, strict=True)]
    grams, groups = [gram(x) for x in rough], groups_of(found.n, rng)
    first, out = int(np.argmin([h * w for h, w in found.grids])), []
    for k, name in enumerate(names):
        if k == first:
            continue
        value = cka(grams[first], grams[k])
        left = [np.ix_(groups != g, groups != g) for g in range(groups.max() + 1)]
        half = jackknife_half(
            np.array([cka(grams[first][r], grams[k][r]) for r in left if len(r[0]) > 3] or [0.0])
        )
        ends = {"interval": "none: too few samples"} if half is None else {
            "low": value - float(half), "high": value + float(half), "interval": "jackknife over groups of samples"
        }  # fmt: skip
        orders = [rng.permutation(found.n) for _ in range(draws)]
        chance = np.array([cka(grams[first], grams[k][np.ix_(o, o)]) for o in orders])
        out.append(Estimate(f"CKA with {names[first]} at its grid, {name}", value, **ends, **against(value, chance),
                            null_method=f"samples exchanged, {draws} draws", 
                            **_facts(found, k, "unbiased, linear")))  # fmt: skip
    return out


def _shapes(found: Pictures, names, coarse, draws: int, rng) -> list[Estimate]:
    """Boundary sharpness and lost detail of each tap."""
    out = []
    few = max(min(draws, 20), 2)
    for k, (x, grid, name) in enumerate(zip(found.values, found.grids, names, strict=True)):
        moved = [x[:, rng.permutation(x.shape[1])] for _ in range(few)]
        for what, of, how in (
            ("boundary sharpness", lambda v, g=grid: sharpness(v, g), "neighbours over twice the variance"),
            ("lost detail", lambda v, g=grid: detail(v, g, coarse), "share of the variance inside a picture"),
        ):
            each = of(x)
            ends = mean_interval(each, 0.0)
            out.append(Estimate(f"{what}, {name}", float(each.mean()), **ends,
                                **null_spread(np.array([of(m).mean() for m in moved])),
                                null_method=f"cells in random order, {few} draws",
                                **_facts(found, k, how)))  # fmt: skip
    return out


def _small(tap, found: Pictures, names, params: PatchMapsParams, rng) -> tuple[list[Estimate], list[str]]:
    """Accuracy on the samples with the smallest objects."""
    labels = np.asarray(sample_column(tap, params.column)) if params.column else None
    if not params.sizes or labels is None or found.gathered:
        return [], ["Without a column of object sizes there is no small-object probe."]
    try:
        size = np.asarray(sample_column(tap, params.sizes)).astype(np.float64)[found.position]
    except ValueError:
        raise InputError(f"column '{params.sizes}' holds words", "the size of each sample's object") from None
    codes = class_codes(
        np.where(np.isfinite(size), labels[found.position].astype(str), ""), params.column, FOLDS
    )
    size, of = size[codes.stay], codes.codes
    small = size <= np.quantile(size, 1 / 3)
    fold, orders = folds_of(of, FOLDS, rng), [rng.permutation(len(of)) for _ in range(params.draws)]
    y = np.concatenate([codes.one_hot(), *(codes.one_hot()[o] for o in orders)], axis=1)
    c, out = len(codes.names), []
    group = np.repeat(np.arange(1 + len(orders)), c)
    for k, (x, name) in enumerate(zip(found.values, names, strict=True)):
        x = x[codes.stay]
        wide = np.concatenate([x.mean(axis=1), x.max(axis=1)], axis=1)
        told = held_out_predictions(wide, y, group, fold, np.ones(1 + len(orders), bool))
        top = told.reshape(len(of), -1, c).argmax(axis=2)
        right = (top[:, 0] == of)[small].astype(float)
        chance = np.array([(top[:, i + 1] == of[o])[small].mean() for i, o in enumerate(orders)])
        out.append(Estimate(f"small objects told right, {name}", float(right.mean()), **share_interval(right),
                            **against(float(right.mean()), chance), null_method="labels exchanged",
                            **(_facts(found, k, f"linear probe, {FOLDS} folds")
                               | {"n": int(small.sum())})))  # fmt: skip
    return out, list(codes.notes)


def _reading(told, names, grids, fine, coarse) -> str:
    best = names[int(np.argmax([h * w for h, w in grids]))]
    by = {e.name: e for e in told}
    alike = max(e.value for e in told if e.name.startswith("CKA"))
    lost, sharp = by[f"lost detail, {best}"], by[f"boundary sharpness, {best}"]
    return (
        f"Averaged from {fine[0]} x {fine[1]} to {coarse[0]} x {coarse[1]} cells, {best} loses {lost.value:.0%} of "
        f"what varies inside a picture (cells in random order: {lost.null:.0%}); neighbouring cells differ "
        f"{sharp.value:.2f} times as much as any two. The tap most like the coarsest has a CKA of {alike:.2f} with it."
    )


def _cost(shapes, params: PatchMapsParams) -> Cost:
    m, (n, d) = machine(), shapes[0]
    rows = min(n, params.maximum_samples * 4)
    work = len(shapes) * (4.0 * rows * d * d + 30.0 * params.draws * (rows / 4) ** 2)
    moved = 8.0 * len(shapes) * rows * d * 60
    return Cost(0.05 + m.seconds(flops64=work, moved=moved), rows * d * 8.0 * (len(shapes) + 24) + 2e5)


def _check() -> tuple[CheckLine, ...]:
    """A fine network that is the coarse one with every cell cut in four has CKA 1 with it and no detail."""
    rng = np.random.default_rng(0)
    rough = rng.standard_normal((24, 4, 3))
    cut = rough[:, repeated((2, 2), (4, 4))]
    noise = rng.standard_normal((24, 16, 3))
    taps = [ArrayActivations(x.reshape(-1, 3), name, layout=Layout(np.arange(25) * side * side, (side, side)))
            for x, name, side in ((rough, "rough", 2), (cut, "cut", 4), (noise, "noise", 4))]  # fmt: skip
    found = {
        e.name: e.value for e in patch_maps(*taps, params=PatchMapsParams(draws=19, column="")).estimates
    }
    return (
        CheckLine("cells cut in four: CKA", 1.0, found["CKA with rough at its grid, cut"], 1e-9),
        CheckLine("cells cut in four: lost detail", 0.0, found["lost detail, cut"], 1e-12),
        CheckLine("noise: lost detail, (16 - 4) / (16 - 1)", 0.8, found["lost detail, noise"], 0.06),
        CheckLine("noise: boundary sharpness 16 / 15", 16 / 15, found["boundary sharpness, noise"], 0.15),
    )


METHODS = (
    Method(
        id="patch_maps", family="tokens", title="Feature maps by patch size", version=1, function=patch_maps,
        summary="Feature maps of networks with different patches at one resolution, and what only small patches have.",
        params=PatchMapsParams, result=TokenMap, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=8,
        invariance="rotations and scale of the units of each tap, but for the sign of the common component",
        papers=(PAPER,),
    ),
)  # fmt: skip
