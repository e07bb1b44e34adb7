"""Heat maps as a linear mix of channels: weights, what each channel adds to peaks, soft-argmax, attention of channels.

Arrays are (n samples, T places, channels or maps), `there` (n, T) which places are known.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups

FOLDS = 5


def mix(f: np.ndarray, h: np.ndarray, there: np.ndarray):
    """(weights (d, L), offsets (L,)) of least squares over all places, smallest weights where many fit alike."""
    x, y = f[there], h[there]
    middle, aim = x.mean(axis=0), y.mean(axis=0)
    weight = np.linalg.lstsq(x - middle, y - aim, rcond=1e-10)[0]
    return weight, aim - middle @ weight


def peak_shares(f, h, there, weight, rng):
    """((L, d) shares of channels in peaks, half widths, (L,) whether a landmark's peaks stand above their mean)."""
    n = len(f)
    masked = np.where(there[:, :, None], h, -np.inf)
    peak = masked.argmax(axis=1)  # (n, L)
    count = there.sum(axis=1)[:, None]
    middle = np.where(there[:, :, None], f, 0.0).sum(axis=1) / count
    above = np.stack([f[np.arange(n), peak[:, p]] - middle for p in range(h.shape[2])], axis=1)  # (n, L, d)
    parts = above * weight.T
    total = parts.sum(axis=0)
    whole = total.sum(axis=1, keepdims=True)
    good = np.abs(whole) > 1e-12 * max(float(np.abs(total).max()), 1e-300)
    safe = np.where(good, whole, 1.0)
    values = np.where(good, total / safe, 0.0)
    left = []
    for g in sample_groups(n, rng):
        rest = total - parts[g].sum(axis=0)
        size = rest.sum(axis=1, keepdims=True)
        fine = np.abs(size) > 1e-12 * max(float(np.abs(rest).max()), 1e-300)
        left.append(np.where(fine & good, rest / np.where(fine, size, 1.0), 0.0))
    half = jackknife_half(np.array(left))
    return values, np.zeros_like(values) if half is None else half, good[:, 0]


def channel_attention(f: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(d, d) mean over samples of softmax(f f' / √T) of channels standardised over the places of a sample."""
    out = np.zeros((f.shape[2], f.shape[2]))
    for x, here in zip(f, there, strict=True):
        x = x[here] - x[here].mean(axis=0)
        sd = x.std(axis=0)
        x = x / np.where(sd > 0, sd, 1.0)
        scores = x.T @ x / np.sqrt(len(x))
        w = np.exp(scores - scores.max(axis=1, keepdims=True))
        out += w / w.sum(axis=1, keepdims=True)
    return out / len(f)


def soft_argmax(h: np.ndarray, there: np.ndarray, cells: np.ndarray, sharpness: float) -> np.ndarray:
    """(n, L, 2) of maps (n, T, L) over places `cells` (T, 2)."""
    count = there.sum(axis=1)[:, None]
    middle = np.where(there[:, :, None], h, 0.0).sum(axis=1) / count
    away = np.where(there[:, :, None], h - middle[:, None], 0.0)
    sd = np.sqrt(np.square(away).sum(axis=1) / count)
    z = np.where(there[:, :, None], sharpness * away / np.where(sd > 0, sd, 1.0)[:, None], -np.inf)
    w = np.exp(z - z.max(axis=1, keepdims=True))
    return np.einsum("ntl,tc->nlc", w / w.sum(axis=1, keepdims=True), cells)


def held_out(f, h, there, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """((n,) what each sample says of R² by weights of other samples, whose mean is R² and whose spread is that of the
    ratio; the same of the maps of the sample before; the maps (n, T, L) made by those weights). Every sample is left
    out once."""
    fold = rng.permutation(np.arange(len(f)) % min(FOLDS, len(f)))
    made, aim = np.zeros(h.shape), np.zeros((len(f), 1, h.shape[2]))
    for k in range(fold.max() + 1):
        rest, g = fold != k, fold == k
        weight, offset = mix(f[rest], h[rest], there[rest])
        made[g], aim[g] = f[g] @ weight + offset, h[rest][there[rest]].mean(axis=0)

    def each(maps, known):
        left, whole = (
            np.where(known[:, :, None], np.square(maps - m), 0.0).sum(axis=(1, 2)) for m in (made, aim)
        )
        if not whole.sum() > 0:
            return np.zeros(len(f))
        ratio = left.sum() / whole.sum()
        return 1 - ratio - (left - ratio * whole) / whole.mean()

    return each(h, there), each(np.roll(h, 1, axis=0), there & np.roll(there, 1, axis=0)), made


def shuffled_places(f: np.ndarray, there: np.ndarray, rng) -> np.ndarray:
    """Every channel of every sample with its places in an order of its own: channels that have nothing to do with each
    other, but still attend to themselves."""
    out = f.copy()
    for i, here in enumerate(there):
        out[i][here] = rng.permuted(f[i][here], axis=0)
    return out
