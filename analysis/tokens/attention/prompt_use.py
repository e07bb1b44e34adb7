"""Whether prompts that read patches are all in use, read unlike each other, and answer the image: attention (n, P, T).

use      exp of the entropy of how patches are shared out among prompts, over their number
differ   mean total variation of two prompts of one sample
answer   mean total variation of one prompt in two samples
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.statistics.sample_groups import FEWEST, jackknife_error, mean_interval, sample_groups
from analysis.results import Estimate


def attention(q: np.ndarray, k: np.ndarray, there: np.ndarray, sharpness: float = 1.0) -> np.ndarray:
    """(n, P, T) of prompts (n, P, d) over the patches (n, T, d) that are `there`; rows sum to 1."""
    scores = sharpness * (q @ k.transpose(0, 2, 1)) / np.sqrt(q.shape[2])
    scores = np.where(there[:, None], scores, -np.inf)
    w = np.exp(scores - scores.max(axis=2, keepdims=True))
    return w / w.sum(axis=2, keepdims=True)


def shuffled(a: np.ndarray, there: np.ndarray, rng) -> np.ndarray:
    """Each prompt's row of each sample shuffled over its patches."""
    out = a.copy()
    for i, here in enumerate(there):
        out[i][:, here] = rng.permuted(a[i][:, here], axis=1)
    return out


def used(a: np.ndarray, prompts: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(n,) exp entropy of the shares of prompts, each patch shared out by what prompts pay it, over their number."""
    own = np.where(prompts[:, :, None], a, 0.0)
    own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
    share = np.where(there[:, None], own, 0.0).sum(axis=2)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-300)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1)
    return np.exp(entropy) / prompts.sum(axis=1)


def differing(a: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """(n,) mean total variation between two prompts of a sample."""
    out = np.zeros(len(a))
    for i, here in enumerate(prompts):
        x = a[i][here]
        total = sum(0.5 * np.abs(x - row).sum() for row in x)
        out[i] = total / (len(x) * (len(x) - 1))
    return out


def answering(a: np.ndarray, prompts: np.ndarray, rng) -> tuple[float, dict]:
    """(mean total variation of one prompt in two samples, its interval), over a ring of pairs of samples: each sample
    is in two pairs, so that the interval leaves out samples with all of their pairs."""
    both = prompts & np.roll(prompts, 1, axis=0)
    apart = np.where(both, 0.5 * np.abs(a - np.roll(a, 1, axis=0)).sum(axis=2), 0.0).sum(axis=1)
    each, known = apart / np.maximum(both.sum(axis=1), 1), both.any(axis=1)
    if not known.any():
        return 0.0, {"interval": "none: no prompt of two samples"}
    value, without = float(each[known].mean()), []
    for g in sample_groups(len(a), rng):
        rest = known.copy()
        rest[np.r_[g, (g + 1) % len(a)]] = False
        if rest.any():
            without.append(each[rest].mean())
    if len(without) < FEWEST or known.sum() < 2:
        return value, {"interval": "none: too few samples"}
    # leaving a sample out takes two pairs, and so counts what is a pair's own twice
    own = float(each[known].var(ddof=1)) / int(known.sum())
    spread = max(float(jackknife_error(np.array(without))) ** 2 - own, own)
    half = float(stdtrit(len(without) - 1, 0.975)) * np.sqrt(spread)
    return value, {"low": max(value - half, 0.0), "high": min(value + half, 1.0),
                   "interval": "jackknife over groups of samples"}  # fmt: skip


def told_of(d: int, a, null, prompts, there, rng) -> tuple[Estimate, ...]:
    """Use, difference and, of two samples or more, answer of attention a (n, P, T) with what shuffling gives, of
    `prompts` (n, P) over patches that are `there` (n, T)."""
    facts = {"n": len(a), "d": d}
    how = "patches shuffled for each prompt"
    use, chance = used(a, prompts, there), used(null, prompts, there)
    differ, other = differing(a, prompts), differing(null, prompts)
    answer, around = answering(a, prompts, rng)
    found = (
        Estimate("prompts in use", float(use.mean()), **mean_interval(use, 0.0, 1.0), null=float(chance.mean()),
                 null_method=how, estimator="exp of the entropy over the number, mean over samples", **facts),
        Estimate("prompts differ", float(differ.mean()), **mean_interval(differ, 0.0, 1.0), null=float(other.mean()),
                 null_method=how, estimator="total variation of two prompts, mean over samples", **facts),
        Estimate("answers the image", answer, **around, null=0.0,
                 null_method="prompts that look at places only",
                 estimator="total variation of one prompt in two samples", **facts),
    )  # fmt: skip
    return found if len(a) > 1 else found[:2]
