"""Pixels again from what is left of tokens: a linear map from a token to the pixels of its own patch.

Every prediction is of a sample that was not fitted (ridge). A token that is masked is told by the mean of those left in
its sample and by its place, as a mask token with its position would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.sources.input_picture import image_of
from analysis.tokens.projected import KEPT, REST, means_left

WHOLE = "whole tokens"
MOST_SIDE = 64  # of a picture that is drawn, in pixels


@dataclass(frozen=True)
class Patches:
    """`y` (M, pixels) of the tokens `rows` (M,) among all, each at its `cell` (M,) of the `grid`; `shape` of a patch
    (height, width, channels)."""

    y: np.ndarray
    rows: np.ndarray
    cell: np.ndarray
    grid: tuple[int, int]
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Redrawn:
    """By source `errors` and `chance` (n,), squared errors of the samples' pixels, and of those told by the tokens of
    another sample; `spread` (n,) from the mean picture; `pictures` of the first sample, (height, width, channels)."""

    errors: dict[str, np.ndarray]
    chance: dict[str, np.ndarray]
    spread: np.ndarray
    pictures: dict[str, np.ndarray]


def patches_of(images: list[np.ndarray], cells: list[np.ndarray], grid) -> Patches | None:
    """Of `images` (channels, height, width), one for each sample, whose tokens lie at `cells`; None where they are of
    several sizes or the grid does not divide them."""
    if grid is None or len({i.shape for i in images}) != 1:
        return None
    c, high, wide = images[0].shape
    if high % grid[0] or wide % grid[1]:
        return None
    ph, pw = high // grid[0], wide // grid[1]
    of = np.concatenate(cells)
    rows = np.flatnonzero(of >= 0)
    y = []
    for image, cell in zip(images, cells, strict=True):
        cut = (
            image.reshape(c, grid[0], ph, grid[1], pw).transpose(1, 3, 2, 4, 0).reshape(grid[0] * grid[1], -1)
        )
        y.append(cut[cell[cell >= 0]])
    return Patches(np.concatenate(y).astype(np.float64), rows, of[rows], tuple(grid), (ph, pw, c))


def whole_picture(y: np.ndarray, cell: np.ndarray, patches: Patches) -> np.ndarray:
    """(height, width, channels) of the patches `y` (m, pixels) at `cell` (m,)."""
    (gh, gw), (ph, pw, c) = patches.grid, patches.shape
    laid = np.zeros((gh * gw, ph * pw * c))
    laid[cell] = y
    return laid.reshape(gh, gw, ph, pw, c).transpose(0, 2, 1, 3, 4).reshape(gh * ph, gw * pw, c)


def redrawn(
    x: np.ndarray, sample: np.ndarray, q: np.ndarray, left: Mapping[str, np.ndarray], patches: Patches, folds: int,
    rng: np.random.Generator, told=lambda f: None,
) -> Redrawn:  # fmt: skip
    """Of tokens x (N, d) of `sample` (N,), numbered from 0; `q` (d, k) orthonormal; `left` (N,) bool by way of masking.

    Cost: two ridge fits of every source and fold, O(M d (d + pixels))."""
    x = x - x.mean(axis=0)
    n, of = int(sample.max()) + 1, sample[patches.rows]
    fold = (rng.permutation(n) % folds)[of]
    own, y, inside = x[patches.rows], patches.y, x[patches.rows] @ q
    places = np.eye(patches.grid[0] * patches.grid[1])[patches.cell] * max(float(own.std()), 1e-300)
    other = _of_another(of, patches.cell)
    sources = {WHOLE: own, KEPT: inside, REST: own - inside @ q.T}
    found = {name: (_fitted(z, y, fold), _fitted(z[other], y, fold)) for name, z in sources.items()}
    told(0.5)
    for way, stays in left.items():
        stays = stays[patches.rows]
        mean = np.column_stack([means_left(x, sample, left[way])[of], places])
        strange = np.column_stack([mean[other][:, : x.shape[1]], places])
        both = []
        for kept, gone in ((found[WHOLE][0], mean), (found[WHOLE][1], strange)):
            made = kept.copy()
            if (~stays).any():
                made[~stays] = _fitted(gone[~stays], y[~stays], fold[~stays])
            both.append(made)
        found[way] = tuple(both)
    told(1.0)
    counts = np.bincount(patches.cell, minlength=places.shape[1])
    middle = np.zeros((len(counts), y.shape[1]))
    np.add.at(middle, patches.cell, y)
    middle /= np.maximum(counts, 1)[:, None]

    def errors(made: np.ndarray) -> np.ndarray:
        return np.bincount(of, np.square(y - made).sum(axis=1), n)

    first = of == 0
    pictures = {
        name: whole_picture(made[first], patches.cell[first], patches) for name, (made, _) in found.items()
    }
    return Redrawn(
        {name: errors(made) for name, (made, _) in found.items()},
        {name: errors(strange) for name, (_, strange) in found.items()},
        errors(middle[patches.cell]), {"": whole_picture(y[first], patches.cell[first], patches)} | pictures,
    )  # fmt: skip


def pixels_r2(found: Redrawn, source: str, at=slice(None), strange: bool = False) -> float:
    """Share of what pixels vary about the mean picture that a source gives, of samples `at`; `strange`: where they are
    told by the tokens of another sample."""
    whole = found.spread[at].sum()
    left = (found.chance if strange else found.errors)[source][at].sum()
    return float(1 - left / whole) if whole > 0 else 0.0


def pixels_of(who, places, known, x, sample, q, left, folds: int, rng, told) -> Redrawn | None:
    """`redrawn` of the pictures that a network reads; `known` (…, cells, grid) of each sample; None where it reads
    none that its grid divides."""
    if not who.is_network or known[0][2] is None or len(places) < 2:
        return None
    images = [image_of(who.alone(int(place))) for place in places]
    if any(i is None for i in images):
        return None
    patches = patches_of(images, [k[1] for k in known], known[0][2])
    return (
        None if patches is None else redrawn(x, sample, q, left, patches, min(folds, len(places)), rng, told)
    )


def _of_another(of: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(M,) the token of the next sample at the same place; its own where there is none."""
    keys = list(zip(of.tolist(), cell.tolist(), strict=True))
    at, n = {key: i for i, key in enumerate(keys)}, int(of.max()) + 1
    return np.array([at.get(((s + 1) % n, c), i) for i, (s, c) in enumerate(keys)])


def _fitted(z: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    known = np.unique(fold, return_inverse=True)[1]
    if known.max() == 0:
        return np.tile(y.mean(axis=0), (len(y), 1))
    return held_out_predictions(z, y, np.zeros(y.shape[1], np.int64), known)


def drawn_pictures(found: Redrawn) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, tuple[int, int]]:
    """(sources, "" first for the picture itself; values (k, places) from 0 to 1 of the picture's own range; colours
    (k, places, 3) uint8; the grid of pixels, at most 64 a side: neighbours are averaged above)."""
    names, original = tuple(found.pictures), found.pictures[""]
    low, high = float(original.min()), float(original.max())
    step = -(-max(original.shape[:2]) // MOST_SIDE)
    laid = []
    for name in names:
        p = np.clip((found.pictures[name] - low) / ((high - low) or 1.0), 0, 1)
        p = p[: p.shape[0] // step * step, : p.shape[1] // step * step]
        laid.append(p.reshape(p.shape[0] // step, step, p.shape[1] // step, step, -1).mean(axis=(1, 3)))
    grid = laid[0].shape[:2]
    flat = np.stack(laid).reshape(len(names), grid[0] * grid[1], -1)
    colours = np.broadcast_to(flat, (*flat.shape[:2], 3)) if flat.shape[2] == 1 else flat
    return names, flat.mean(axis=2), np.round(255 * colours).astype(np.uint8), grid
