"""Does attention of an instance stay in its box, or leak into the boxes of others? By layer, or by recorded step.

    own_k = mass of box k in its own cells        leaked_k = mass of box k in cells of other boxes only

*What the tokens in a box read* is of the network's own attention, mean over heads and over the tokens in the box, for
every layer (of taps that belong to no network one head each, whose queries and keys are the rows). *A map for
each instance*: the taps are recorded attention maps over places, unit k that of the k-th box's caption, a tap for each
layer or step of a sampler; negative numbers count as nothing.

Boxes are a text column, several to a sample with ; between: rows and columns of patches, "2-4, 3-5", or left top right
bottom as shares of the picture. Told as well: what is lost of a region's features when it is put back and cut out again
(`analysis.tokens.sets.boxes`), 0 for boxes of whole patches.

Interval: Student's t over samples. Null: all tokens read alike, the share of tokens that a box holds; for the regions
the same features with places exchanged.

When it lies: attention prefers near tokens, and a box is near itself, so that more than an even share is no proof of
binding (the leak between neighbouring boxes tells more); overlapping boxes count as own; boxes in patches are coarse.

Cost: one pass of each sample; O(layers heads T²).

Reference: Y. Gu, Y. Zhou, Y. Ye, Y. Nie, L. Yu, P. Ma, K. Q. Lin & M. Z. Shou (2024), "ROICtrl: boosting instance
control for visual generation".
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import InputError
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import heads_of
from analysis.tokens.pooling.token_sets import RUN
from analysis.tokens.sets.boxes import align, boxes_in, unpool
from analysis.tokens.sets.boxes_told import LEAKED, OWN, box_estimates
from analysis.tokens.sets.instances import instances_of, of_heads, of_maps, texts_of, together
from analysis.tokens.sets.regions import placed, regions_lost
from analysis.tokens.subject import AUTOMATIC, SOURCES

TOKENS, MAPS = "what the tokens in a box read", "a map for each instance: units"
OPENING, LEVEL = 4.0, 0.05


@dataclass(frozen=True)
class BoxAttentionParams:
    reading: str = param(TOKENS, "Whose attention.", choices=(TOKENS, MAPS))
    show: str = param(OWN, "What is drawn.", choices=(OWN, LEAKED))
    boxes: str = param("", "Boxes of all samples, such as 1-3, 1-3; 5-7, 2-4; empty: those of the column.")
    column: str | None = param(
        None, "Boxes of each sample; automatic: 'boxes' or 'box', if there.", column=True
    )
    maximum_samples: int = param(
        24, "Most samples; a seeded random subset above.", low=2, high=2000, late=True
    )
    source: str = param(AUTOMATIC, "Whose heads.", choices=SOURCES, late=True)


def box_attention(
    *taps, params: BoxAttentionParams = BoxAttentionParams(), rng=None, progress=no_progress
) -> Matrix:
    """Layers x instances.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        One tap of the network; or recorded maps, one tap for each layer or step.

    Returns
    -------
    Matrix
        Mass of each instance's attention in its own box, or in others' boxes.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData
        No such column; boxes that are none or lie outside; tokens on no grid; fewer units than instances.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    _refuse_other_samples(taps)
    texts = texts_of(taps[0], params.column, params.boxes)
    progress(0.0, "reading")
    notes: list[str] = []
    if params.reading == MAPS:
        shares, names = _maps(taps, texts, params, rng, progress, notes)
    else:
        shares, names = _heads(taps, texts, params, rng, progress, notes)
    regions = regions_lost(taps[0], texts, params.maximum_samples, rng)
    progress(1.0, "done")
    return _matrix(taps[0], shares, names, regions, params, tuple(dict.fromkeys(notes)))


def _heads(taps, texts, params, rng, progress, notes) -> tuple[np.ndarray, list[str]]:
    """(layers, n, K, 4) of the network of the first tap, or of the rows of each; names of layers."""
    shares, names = [], []
    for i, tap in enumerate(taps):  # the same samples of every tap: a copy of rng draws the same
        at, step = i / len(taps), 0.5 / len(taps)
        reader = heads_of(tap, params.maximum_samples, deepcopy(rng), params.source,
                          lambda f, doing="", at=at, step=step: progress(at + step * f, doing))  # fmt: skip
        layout = reader.layout
        found = instances_of(texts, reader.samples, layout.cell, layout.free, layout.grid)
        reads = of_heads(
            reader, found, lambda f, doing="", at=at, step=step: progress(at + step * (1 + f), doing)
        )
        notes += [*found.notes, *reader.notes]
        if reader.who.is_network or reader.who.recorded:
            whose = "the network's own" if reader.who.is_network else "that of the dump"
            notes += [f"Attention is {whose}, layer by layer, whichever tap it is."] * (len(taps) > 1)
            return reads, [f"layer {k + 1}" for k in range(reader.layers)]
        shares.append((reader.samples, reads))
        names.append(_short(tap))
    return together(shares), names


def _maps(taps, texts, params, rng, progress, notes):
    """The same of recorded maps."""
    out = []
    for i, tap in enumerate(taps):
        span = (i / len(taps), (i + 1) / len(taps))
        sets, found = placed(tap, texts, params.maximum_samples, deepcopy(rng), progress, span)
        notes += [*sets.notes, *found.notes]
        notes += ["Negative numbers count as nothing: attention has none."] * bool((sets.x < 0).any())
        out.append((sets.samples, of_maps(sets, found)[None]))
    return together(out), [_short(t) for t in taps]


def _short(tap) -> str:
    return tap.name.partition(":")[2] or tap.name


def _refuse_other_samples(taps) -> None:
    ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    for tap, own in zip(taps, ids, strict=True):
        if not np.array_equal(own, ids[0]):
            raise InputError(
                f"{tap.name} holds other samples than {taps[0].name}", "layers or steps of one recording"
            )


def _matrix(tap, shares, names, regions, params, notes) -> Matrix:
    """`shares` (layers, n, K, 4)."""
    which = 0 if params.show == OWN else 1
    some = np.isfinite(shares[..., which])
    kept = some.any(axis=(0, 1))
    value, null = (_mean(shares[..., i]) for i in (which, which + 2))
    n = some.sum(axis=1)
    spread = np.sqrt(_mean(np.square(shares[..., which] - value[:, None])) * n / np.maximum(n - 1, 1))
    error = spread / np.sqrt(np.maximum(n, 1))
    off = shares[..., which] - shares[..., which + 2]
    wide = np.sqrt(_mean(np.square(off - _mean(off)[:, None])) * n / np.maximum(n - 1, 1) / np.maximum(n, 1))
    t = np.where((n > 1) & (np.abs(value - null) > 1e-12), (value - null) / np.maximum(wide, 1e-15), 0.0)
    half = stdtrit(np.maximum(n - 1, 1), 0.975) * error
    p = 2 * stdtr(np.maximum(n - 1, 1), -np.abs(t))
    of = tap.name.partition(":")[0] if len(names) > 1 else tap.name
    own, leaked = (np.nanmean(shares[..., i], axis=(1, 2)) for i in (0, 1))
    best = int(own.argmax())
    return Matrix(
        title=f"{params.show[0].upper()}{params.show[1:]} by layer and instance, {of}",
        reading=f"{names[best][0].upper()}{names[best][1:]} keeps most in the own box, {own[best]:.0%} (read alike "
                f"{np.nanmean(shares[best, :, :, 2]):.0%}), and lets {leaked[best]:.0%} leak to other boxes (read "
                f"alike {np.nanmean(shares[best, :, :, 3]):.0%}).",
        caveats=(*notes, "Near tokens are read more anyway: more than an even share is no proof of binding."),
        estimates=box_estimates(shares, best, names, regions, tap.shape[1]), values=value[:, kept],
        row_names=tuple(names), column_names=tuple(f"instance {k + 1}" for k in np.flatnonzero(kept)),
        value_name=params.show, limits=(0.0, 1.0), null=null[:, kept], low=np.maximum(value - half, 0.0)[:, kept],
        high=np.minimum(value + half, 1.0)[:, kept], few=(n < 2)[:, kept],
        significant=benjamini_hochberg(p)[:, kept] <= LEVEL,
    )  # fmt: skip


def _mean(x: np.ndarray) -> np.ndarray:
    """Over samples, (layers, n, K) -> (layers, K), 0 where there are none."""
    there = np.isfinite(x)
    return np.where(there, x, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def _cost(shapes, params: BoxAttentionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 2), params.maximum_samples)
    held = 30.0 * samples * (RUN + 1) * d + 8.0 * n + 1e5
    return Cost(OPENING + m.seconds(moved=held * 4, calls=100.0 * samples) + 1e-6 * n, held, samples)


def _check() -> tuple[CheckLine, ...]:
    """Tokens alike: the share of tokens. Maps inside and half outside their boxes. Regions put back and cut again."""
    rng = np.random.default_rng(0)
    layout = Layout(np.arange(5) * 16, grid=(4, 4))
    boxes = "1-2, 1-2; 3-4, 1-4"

    def found(x, **more):
        tap = ArrayActivations(x.reshape(-1, x.shape[-1]), name="planted", layout=layout)
        return box_attention(tap, params=BoxAttentionParams(boxes=boxes, **more))

    flat = found(np.full((4, 16, 3), 1.0) + 0.0)
    maps = np.zeros((4, 4, 4, 2))
    maps[:, :2, :2, 0] = 1.0
    maps[:, 1:3, :, 1] = 1.0
    own, leak = (found(maps, reading=MAPS, show=s) for s in (OWN, LEAKED))
    box, f = boxes_in("0.25 0.5 1 1", (4, 4))[0], rng.standard_normal((2, 3, 5))
    back = align(unpool(f, box, (4, 4)), box, (2, 3))
    return (
        CheckLine("tokens alike: share of the 17 with the mean", 4 / 17, float(flat.null[0, 0]), 1e-12),
        CheckLine("tokens alike: off it", 0.0, float(np.abs(flat.values - flat.null).max()), 0.02),
        CheckLine("a map in its box", 1.0, float(own.values[0, 0]), 0.0),
        CheckLine("a map half in its box", 0.5, float(own.values[0, 1]), 0.0),
        CheckLine("of it in the other box", 0.25, float(leak.values[0, 1]), 0.0),
        CheckLine("cut out, put back, cut out", 0.0, float(np.abs(back - f).max()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="box_attention", family="tokens", network="attention",
        title="Attention in boxes and leaked from them", version=4,
        summary="How much of each instance's attention stays in its box, by layer or recorded step.",
        function=box_attention, params=BoxAttentionParams, result=Matrix, check=_check, cost=_cost, more_inputs=True,
        minimum_rows=2 * RUN, invariance="the order of samples and of heads; of maps, the scale of each",
        papers=("ROICtrl: Boosting Instance Control for Visual Generation",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
