"""What does a token read through two attentions, along one axis and then along the other?

    C[(i, j), (k, l)] = S_j[i, k] F_k[j, l]

F goes along each line (a row of an image, the frames or bands of a patch), S across lines. Of one token (i, j), as
multiples of an even share: the first hop alone, the second alone, and both; drawn over both axes, or of both hops a map
on the image for each place of the first axis (each frame, each band). Where F and S are one for all lines, C is their
Kronecker product, space ⊗ spectrum.

One tap: the network's own pairs of attentions, found by their shapes; or else its rows, which attend along each axis.
Two taps: weights that were recorded of either attention (rows with a sum of 1 for each head), or rows of either axis.

Told: how many cells are read (exp of the entropy) after one hop and after two, over tokens; numbers that are kept
instead of (H W)²; row sums. Interval: Student's t over samples, the one
that is drawn and at most seven others; tokens of one are no independent draws. Null: reading all alike.

When it lies: between the hops there are values, shortcuts and norms, so that C says what could be carried, not what is;
heads are averaged before they are multiplied; pairs are told by their sizes: windows as many as they have tokens look
the same.

Cost: one pass of each of eight samples; O(H W (H + W)), and (H W)² for what is told.

References: J. Ho et al. (2019), "Axial attention in multidimensional transformers"; "LESS ViT".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.axes import ALL, Factored, reach
from analysis.tokens.mixers.axis_reading import Axes, AxisParams, axes_of, of_one_tap

OPENING, MOST_MAPS = 6.0, 12  # seconds; maps that are drawn
PLANE, MAPS = "both axes", "a map for each place of the first"
FIRST, SECOND, BOTH = "along the first axis", "along the second axis", "both in turn"


@dataclass(frozen=True)
class AxisAttentionParams(AxisParams):
    line: int | None = param(
        None, "The token's line (row, patch), from 1; automatic: the middle.", low=1, high=1_000_000
    )
    place: int | None = param(
        None, "Its place on the line (column, frame, band), from 1; automatic: the middle.", low=1,
        high=1_000_000,
    )  # fmt: skip
    draw: str = param(PLANE, "Over both axes, or on the image.", choices=(PLANE, MAPS))


def axis_attention(
    *taps, params: AxisAttentionParams = AxisAttentionParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of what one token reads along both axes.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        One tap, or one for each axis (first, second).

    Returns
    -------
    TokenMap
        See above. Estimates: cells read by either hop and by both, numbers kept, row sums.

    Raises
    ------
    NotFound, InputError, ParameterError, NotEnoughData
        No such sample, block or token; over 1,024 tokens; sizes that do not fit; fewer than two samples of two tokens.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    found = axes_of(taps, params, rng, lambda f, doing="": progress(0.8 * f, doing))
    h, w = found.factored.grid
    i, j = (size // 2 if at is None else at - 1 for at, size in ((params.line, h), (params.place, w)))
    if i >= h or j >= w:
        raise NotFound(
            f"line {i + 1}, place {j + 1}", f"lines 1 to {h}, places 1 to {w}", "Choose another, or none"
        )
    progress(0.9, "two hops")
    told = _estimates(found.all, rng, taps[0].shape[1])
    progress(1.0, "done")
    return _map(found, i, j, params, told)


def _map(found: Axes, i: int, j: int, params, told) -> TokenMap:
    own, (h, w) = found.factored, found.factored.grid
    both, notes = own.composed(i, j), list(found.notes)
    apart = params.draw == MAPS
    if apart:
        shown = np.argsort(-both.sum(axis=0), kind="stable")[:MOST_MAPS]
        shown.sort()
        values, names = both.T[shown], tuple(found.names[k] for k in shown)
        if len(shown) < w:
            notes.append(f"Drawn are the {len(shown)} of {w} places that are read most.")
    else:
        values = np.stack([x.ravel() for x in (own.along_first(i, j), own.along_second(i, j), both)])
        names = (FIRST, SECOND, BOTH)
    picture = found.picture if apart and found.inside else None
    if own.lost > 0:
        notes.append(f"{own.lost:.1%} of the second attention goes to tokens off the grid (class token).")
    cells = h * w
    if cells > ALL:
        notes.append(f"Means are over a random {ALL:,} of {cells:,} tokens.")
    return TokenMap(
        title=f"What line {i + 1}, {found.names[j] if found.unit == 'nm' else f'place {j + 1}'} reads: {own.name}",
        samples=np.full(len(values), params.sample), values=h * w * values, value_name="times an even share",
        grid=(found.inside or (1, h)) if apart else (h, w), names=names, estimates=told,
        pictures=None if picture is None else picture[None], reading=_reading(found, told, both, i, j),
        caveats=(*notes, "Values, shortcuts and norms between the two attentions are left out; heads are averaged."),
    )  # fmt: skip


def _estimates(samples: tuple[Factored, ...], rng, d: int) -> tuple[Estimate, ...]:
    own, n = samples[0], len(samples)
    (h, w), cells = own.grid, own.some(rng)
    made = {"d": d, "estimator": "exp of the entropy, mean over tokens and samples", "unit": "cells"}
    ways = (
        (FIRST, Factored.along_first, w),
        (SECOND, Factored.along_second, h),
        (BOTH, Factored.composed, h * w),
    )
    out, sums = [], np.zeros(n)
    for name, way, most in ways:
        maps = [[way(one, int(i), int(j)) for i, j in cells] for one in samples]
        each = np.array([np.mean([reach(m) for m in of]) for of in maps])
        sums = np.array([np.mean([m.sum() for m in of]) for of in maps])
        out.append(Estimate(f"cells read, {name}", float(each.mean()), n=n, null=float(most), **_ends(each),
                            null_method="all alike", **made))  # fmt: skip
    kept = (h * h + w * w) if own.shared else h * w * (h + w)
    out.append(Estimate("numbers kept, of all pairs", kept / (h * w) ** 2, null=1.0, n=h * w, d=d,
                        interval="none: counted", null_method="one attention over all",
                        estimator="closed form"))  # fmt: skip
    out.append(Estimate("sum of a row of both", float(np.mean(sums)), null=1.0, n=n, d=d, **_ends(sums),
                        null_method="products of shares", estimator="mean over tokens and samples"))  # fmt: skip
    return tuple(out)


def _ends(each: np.ndarray) -> dict:
    return mean_interval(each, 0.0) or {"interval": "none: one sample, whose tokens are no independent draws"}


def _reading(found: Axes, told, both: np.ndarray, i: int, j: int) -> str:
    k, l = np.unravel_index(int(both.argmax()), both.shape)  # noqa: E741
    h, w = both.shape
    kind = (
        "one matrix for all lines and one across them (Kronecker)"
        if found.factored.shared
        else "a matrix each"
    )
    places = [name if found.unit == "nm" else f"place {name}" for name in found.names]
    return (
        f"{h} lines of {w} places, {kind}. From line {i + 1}, {places[j]}, both attentions together read most of "
        f"line {k + 1}, {places[l]} ({h * w * both.max():.1f} times an even share). A token reads "
        f"{told[0].value:.1f} of {w} "
        f"cells along its line, {told[1].value:.1f} of {h} across, and {told[2].value:.1f} of {h * w} in both."
    )


def _cost(shapes, params: AxisAttentionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 26.0 * n * k + 9.0 * 17 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7, moved=8.0 * n * k), held, 1)


def _check() -> tuple[CheckLine, ...]:
    """Equal rows on 3 x 4 reach all alike in two hops; one identity leaves the other; Kronecker's product."""
    x = np.ones((24, 2))
    x[12:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 12, 24]), grid=(3, 4)))
    even = axis_attention(tap, params=AxisAttentionParams(line=2, place=3))
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet(np.ones(4), 4), rng.dirichlet(np.ones(3), 3)
    taps = [ArrayActivations(np.vstack([a, a]), name=name, layout=Layout(np.arange(0, 2 * len(a) + 1, len(a))))
            for name, a in (("spectrum", first), ("space", second))]  # fmt: skip
    both = axis_attention(*taps, params=AxisAttentionParams(line=3, place=2))
    alone = np.eye(3)
    taps[1] = ArrayActivations(np.vstack([alone, alone]), name="space", layout=Layout(np.array([0, 3, 6])))
    left = axis_attention(*taps, params=AxisAttentionParams(line=3, place=2))
    product = 12 * np.kron(second, first)[2 * 4 + 1]
    return (
        CheckLine("equal rows: every cell alike", 0.0, float(np.ptp(even.values[2])), 1e-12),
        CheckLine("the first hop stays on its line", 4.0, float((even.values[0] > 0).sum()), 0.0),
        CheckLine("Kronecker's product", 0.0, float(np.abs(both.values[2] - product).max()), 1e-12),
        CheckLine("its rows sum to 1", 1.0, both.estimates[4].value, 1e-12),
        CheckLine(
            "one identity leaves the other", 0.0, float(np.abs(left.values[2] - left.values[0]).max()), 1e-12
        ),
        CheckLine("numbers kept", 25 / 144, both.estimates[3].value, 1e-12),
    )


METHODS = (
    Method(
        id="axis_attention", family="tokens", asks=of_one_tap,
        title="Attention along two axes", version=5, function=axis_attention,
        summary="What a token reads along one axis, along the other, and through both: rows and columns, frames and "
        "patches, bands and patches.", params=AxisAttentionParams, result=TokenMap, check=_check, cost=_cost,
        more_inputs=True, most_inputs=2, minimum_rows=4, invariance="the order of heads",
        papers=("Axial Attention in Multidimensional Transformers",
                "LESS ViT: multi-modal & hyperspectral geospatial foundation model"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
