"""What do the atoms of a patch dictionary look like? Each direction as the picture it is, the most used first.

Of a tap whose units are pixels (rows are patches of height × width × channels), the direction of an atom is a picture
of the same size. Drawn is its mean over channels; atoms are sorted by the share of rows in which they fire, then by
their mean |code|.

Are they pictures at all? The correlation of neighbouring pixels, over atoms, is near 1 for blobs and bars, and near 0
for noise; its null are the same atoms with their pixels in another order. How evenly atoms are used is the perplexity
of their shares of |code|, against all of them equally.

When it lies: nothing in a tap says that its units are pixels, nor in which order: with another height the pictures tear
(low neighbour correlation shows it); colours are averaged away; an atom of a dictionary that subtracts a mean is a
difference from it, so that its sign means brighter or darker; used often is not the same as useful.

Cost: one pass over the codes.

References: B. Olshausen & D. Field (1996), "Emergence of simple-cell receptive field properties by learning a sparse
code for natural images"; "Online unsupervised feature learning for visual tracking".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.firing import firing
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, bootstrap_mean
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, ShapeError
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FEWEST_PIXELS = 8, 4
LAST, FIRST = "channels last", "channels first"


@dataclass(frozen=True)
class AtomMosaicParams:
    height: int | None = param(None, "Of a patch, in pixels; automatic: square patches of one or three channels.",
                               low=1, high=4096)  # fmt: skip
    width: int | None = param(None, "Of a patch, in pixels.", low=1, high=4096)
    channels: int | None = param(None, "Numbers of a pixel.", low=1, high=512)
    order: str = param(LAST, "How a patch was written as one row.", choices=(LAST, FIRST))
    atoms: int = param(64, "Atoms shown.", low=1, high=1000)
    draws: int = param(50, "Orders of pixels for the null.", low=10, high=1000)


def atom_mosaic(
    activations, params: AtomMosaicParams = AtomMosaicParams(), rng=None, progress=no_progress
) -> TokenMap:
    """The atoms of a dictionary as pictures.

    Parameters
    ----------
    activations : Activations
        A tap of patches of pixels that a feature set encoded; of any other tap its units are the atoms.

    Returns
    -------
    TokenMap
        A picture for each atom, the most used first. Estimates: neighbour correlation, how many atoms are used.

    Raises
    ------
    ShapeError, InputError, NotEnoughData
        Height × width × channels is not the number of units; fewer than four pixels; fewer than eight rows.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made, seen = tap_dictionary(tap), Pass()
    h, w, c, notes = _shape(params, made.features.decoder.shape[1], tap.name)
    fired = firing(tap, seen, progress, (0.0, 0.7))
    refuse_few(tap.name, fired.n, FEWEST)
    share, mean = fired.count / max(fired.n, 1), np.abs(fired.total) / max(fired.n, 1)
    order = np.lexsort((np.arange(len(share)), -mean, -share))[: params.atoms]
    pixels = made.features.directions[order].astype(np.float64)
    pixels = (
        pixels.reshape(-1, h, w, c).mean(axis=3)
        if params.order == LAST
        else pixels.reshape(-1, c, h, w).mean(axis=1)
    )
    progress(0.8, "looking at neighbours")
    own = neighbour_correlation(pixels)
    chance = np.array([neighbour_correlation(_mixed(pixels, rng)).mean() for _ in range(params.draws)])
    progress(1.0, "done")
    names = tuple(f"{tap.unit_names[j]} · {share[j]:.1%}" for j in order)
    if c > 1:
        notes.append(f"Each pixel is the mean of its {c} channels.")
    return TokenMap(
        title=f"Atoms of {tap.name}", samples=order.astype(np.int64), values=pixels.reshape(len(order), h * w),
        value_name="direction", grid=(h, w), names=names, reading=_reading(own, chance, share, mean),
        caveats=(*seen.notes, *made.notes, *notes), estimates=_estimates(own, chance, mean, fired.n, h * w, rng),
    )  # fmt: skip


def _shape(params, d: int, name: str) -> tuple[int, int, int, list[str]]:
    """Height, width, channels, and notes."""
    if d < FEWEST_PIXELS:
        raise InputError(f"{name} has {d} units", f"patches of {FEWEST_PIXELS} pixels or more")
    given = [params.height, params.width, params.channels]
    if given == [None] * 3:
        for c in (1, 3):
            side = round((d / c) ** 0.5)
            if side * side * c == d and side > 1:
                return side, side, c, [f"Taken as patches of {side} × {side} pixels of {c} channel(s)."]
        return 1, d, 1, [
            f"{d} units are neither s × s nor s × s × 3: they are drawn as one line. Give height, width and channels."
        ]  # fmt: skip
    if given.count(None) == 1:
        known = int(np.prod([g for g in given if g is not None]))
        given = [g if g is not None else max(d // known, 1) for g in given]
    given = [1 if g is None else g for g in given] if given[2] is None and None not in given[:2] else given
    if None in given or int(np.prod(given)) != d:
        said = " × ".join("?" if g is None else str(g) for g in given)
        raise ShapeError(f"patches of {said} (height, width, channels)", f"{d} numbers, as {name} has units")
    return *given, []


def neighbour_correlation(pixels: np.ndarray) -> np.ndarray:
    """(n,) correlation of each picture (n, h, w) with its right and lower neighbours, 0 where it is even."""
    z = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    down, along = z[:, 1:] * z[:, :-1], z[:, :, 1:] * z[:, :, :-1]
    pairs = down.shape[1] * down.shape[2] + along.shape[1] * along.shape[2]
    size = (z**2).mean(axis=(1, 2))
    both = (down.sum(axis=(1, 2)) + along.sum(axis=(1, 2))) / max(pairs, 1)
    return np.where(size > 0, both / np.where(size > 0, size, 1), 0.0)


def _mixed(pixels: np.ndarray, rng) -> np.ndarray:
    """All pictures with their pixels in one other order."""
    flat = pixels.reshape(len(pixels), -1)
    return flat[:, rng.permutation(flat.shape[1])].reshape(pixels.shape)


def _estimates(own, chance, mean, rows: int, pixels: int, rng) -> tuple[Estimate, ...]:
    value, (low, high) = float(own.mean()), bootstrap_mean(own, rng)
    even = mean / max(float(mean.sum()), 1e-300)
    used = float(np.exp(-(even[even > 0] * np.log(even[even > 0])).sum()))
    return (
        Estimate("correlation of neighbouring pixels", value, min(float(low), value), max(float(high), value),
                 interval="bootstrap over atoms", null_method="pixels in another order", n=rows, d=pixels,
                 **against(value, chance)),
        Estimate("atoms used, as many equal ones", used, null=float(len(mean)), null_method="all equally",
                 estimator="perplexity of mean |code|", n=rows, d=len(mean)),
    )  # fmt: skip


def _reading(own, chance, share, mean) -> str:
    silent = int((share == 0).sum())
    return (
        f"Neighbouring pixels of an atom correlate at {own.mean():.2f} ({chance.mean():.2f} with pixels in another "
        f"order); {silent:,} of {len(share):,} atoms never fire, the most used in {share.max():.1%} of the rows."
    )


def _cost(shapes, params: AtomMosaicParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    d = k if k <= 1024 else k / 8
    held = 8.0 * min(rows, 4096) * k * 4 + 16.0 * k * d + 8.0 * min(params.atoms, k) * d * 6
    return Cost(
        m.seconds(moved=40.0 * rows * k + params.draws * 60.0 * min(params.atoms, k) * d) + 0.02, held
    )


def _check() -> tuple[CheckLine, ...]:
    """Units of a 3 × 3 patch as atoms: pictures with one white pixel, sorted by use; bars correlate, noise does not."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((400, 9)) - np.linspace(0, 2, 9), 0)
    found = atom_mosaic(ArrayActivations(x, "patches"), AtomMosaicParams(draws=10))
    bars = np.repeat(np.repeat(rng.standard_normal((50, 1, 4)), 16, axis=1), 4, axis=2)
    return (
        CheckLine("most used first", 0.0, float(np.abs(found.samples - np.arange(9)).sum()), 0.0),
        CheckLine("atom 4 is the middle pixel", 1.0, float(found.values[4].reshape(3, 3)[1, 1]), 0.0),
        CheckLine(
            "bars: neighbours correlate", 0.7, float(neighbour_correlation(bars).mean()), 0.0, "at least"
        ),
        CheckLine(
            "noise: they do not",
            0.0,
            float(neighbour_correlation(rng.standard_normal((200, 9, 9))).mean()),
            0.05,
        ),
    )


METHODS = (
    Method(
        id="atom_mosaic", family="dictionaries", title="Atoms as pictures", version=1, function=atom_mosaic,
        summary="The directions of a dictionary of pixel patches as pictures, the most used first.",
        params=AtomMosaicParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering atoms; one scale for all directions",
        papers=("Online Unsupervised Feature Learning for Visual Tracking",),
    ),
)  # fmt: skip
