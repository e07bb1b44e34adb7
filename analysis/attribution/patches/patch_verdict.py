"""Is a patch along some directions what it seems? The verdict that every patching claim carries.

A patch along orthonormal V puts h + V Vᵀ (h_src - h) in the place of h. Its effect may come about by a way that the
network never takes: a part of V that the answer does not hear follows the sample, and by it the patch pushes a part
that the answer hears and that never moves by nature (A. Makelov, G. Lange & N. Nanda 2023). What is looked at:

    connected part      V projected on the span of the slopes of the answer; the disconnected part is what is left
    held in range       the same patch, but no unit may leave the range that it has by nature (or that h already left)
    held in axes        the same along the principal axes of natural rows, where there are rows enough to know them
    dormancy            natural variance along each part against random directions

    illusory            the connected part alone, or the patch held in range, has less than half of the effect
    suspicious          less than 80 %; or less than a third in axes; or the connected part is dormant; or much more of
                        the change lies outside the natural range than where whole samples are exchanged
    no effect           the interval of the effect holds 0, or it is under 5 % of that of exchanging everything

With one answer whose slope is the same everywhere the connected part always works: there, range and dormancy judge.
Pure NumPy; whoever runs the network hands in a function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.spec import Progress, no_progress

FAITHFUL, SUSPICIOUS, ILLUSORY, NOTHING = "faithful", "suspicious", "illusory", "no effect"
WHOLE, PATCH, CONNECTED, DISCONNECTED = (
    "everything",
    "the direction",
    "its connected part",
    "its disconnected part",
)
HELD, IN_AXES, RANDOM = "held in the range of units", "held in the range of axes", "random directions"
HALF, MOST, THIRD, LITTLE, OUTSIDE = 0.5, 0.8, 1 / 3, 0.05, 0.1
TAIL, ROWS_PER_UNIT, ALONE, DRAWS = (
    0.5,
    5,
    1e-6,
    200,
)  # percent; rows; length of a part that is none; directions

Answers = Callable[[int, np.ndarray], np.ndarray]  # pair, (m, tokens, d) at its base's site -> (m,)


@dataclass(frozen=True)
class Natural:
    """What rows are like by nature: `mean`, `low`, `high` (d,), `covariance` (d, d); `axes` (d, d) columns with
    `axis_low`, `axis_high` (d,) of the centred rows, or None where there are too few rows."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    covariance: np.ndarray
    axes: np.ndarray | None
    axis_low: np.ndarray | None = None
    axis_high: np.ndarray | None = None

    def variance(self, frame: np.ndarray) -> float:
        """Mean natural variance along the columns of `frame` (d, k)."""
        return float(np.einsum("dk,de,ek->k", frame, self.covariance, frame).mean()) if frame.size else 0.0


@dataclass(frozen=True)
class PatchVerdict:
    """`word` with its `reasons`; by part: `effects` (pairs,), `outside` (pairs,) share of the change beyond the natural
    range, `variance`; `frames` (d, k); `random_effects` (draws,) means over pairs, `random_variance` (200,);
    `alignment` of the direction with the difference of means, `random_alignment` (200,)."""

    word: str
    reasons: tuple[str, ...]
    effects: dict[str, np.ndarray]
    outside: dict[str, np.ndarray]
    variance: dict[str, float]
    frames: dict[str, np.ndarray]
    random_effects: np.ndarray
    random_variance: np.ndarray
    alignment: float
    random_alignment: np.ndarray

    def share(self, part: str, of: str = PATCH) -> float:
        """Effect of a part over that of another, means over pairs."""
        below = float(self.effects[of].mean())
        return float(self.effects[part].mean()) / below if below else 0.0

    def interval(self, part: str) -> tuple[float, float, float]:
        """Mean effect, low, high: Student's t over pairs."""
        x = self.effects[part]
        mean = float(x.mean())
        half = stdtrit(len(x) - 1, 0.975) * float(x.std(ddof=1)) / np.sqrt(len(x)) if len(x) > 1 else 0.0
        return mean, mean - half, mean + half


def natural_of(rows: np.ndarray) -> Natural:
    """Of natural rows (n, d). O(n d² + d³)."""
    rows = np.asarray(rows, np.float64)
    n, d = rows.shape
    mean = rows.mean(axis=0)
    centred = rows - mean
    low, high = np.percentile(rows, [TAIL, 100 - TAIL], axis=0)
    covariance = centred.T @ centred / max(n - 1, 1)
    if n < ROWS_PER_UNIT * d:
        return Natural(mean, low, high, covariance, None)
    axes = np.linalg.eigh(covariance)[1]
    ends = np.percentile(centred @ axes, [TAIL, 100 - TAIL], axis=0)
    return Natural(mean, low, high, covariance, axes, *ends)


def orthonormal(columns: np.ndarray) -> np.ndarray:
    """(d, k) orthonormal columns of the same span; what is shorter than a millionth is nothing."""
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, s > ALONE]


def connected_span(slopes: np.ndarray, energy: float = 0.99) -> np.ndarray:
    """(d, r): the fewest directions that hold this share of the squared length of slopes (n, d)."""
    values, vectors = np.linalg.eigh(slopes.T @ slopes)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = values.sum()
    if total == 0:
        return np.zeros((slopes.shape[1], 0))
    return vectors[:, : int(np.searchsorted(np.cumsum(values), energy * total * (1 - 1e-12))) + 1]


def judge_patch(
    answers: Answers, base: Sequence[np.ndarray], source: Sequence[np.ndarray], directions: np.ndarray,
    slopes: np.ndarray, natural: Natural, difference: np.ndarray, rng: np.random.Generator, *, energy: float = 0.99,
    draws: int = 20, progress: Progress = no_progress,
) -> PatchVerdict:  # fmt: skip
    """The verdict on patching `directions` (k, d), rows of any length but independent.

    Parameters
    ----------
    answers : the number explained, of pair i with rows (m, tokens, d) where its base stands; positive effects are
        towards the source.
    base, source : [(tokens, d)] of each pair, at least two.
    slopes : (n, d) of that number in natural rows. `natural` of rows, best of other samples than the pairs.
    difference : (d,) natural difference of means between sources and bases.
    energy : share of the squared length of slopes that the connected span holds.
    draws : random subspaces of as many dimensions, whose effects are the null.

    Cost: (7 + draws) forward passes a pair.
    """
    d = natural.mean.shape[0]
    v = orthonormal(np.atleast_2d(directions).T.astype(np.float64))
    span = connected_span(slopes, energy)
    along = span @ (span.T @ v)
    frames = {PATCH: v, CONNECTED: orthonormal(along), DISCONNECTED: orthonormal(v - along)}
    chance = [np.linalg.qr(rng.standard_normal((d, v.shape[1])))[0] for _ in range(DRAWS)]
    effects, outside, by_chance = [], [], []
    for i, (h, s) in enumerate(zip(base, source, strict=True)):
        progress(i / len(base), "patching pairs")
        parts = _parts(h, s, frames, natural)
        delta = s - h
        other = [h + delta @ q @ q.T for q in chance[:draws]]
        y = answers(i, np.stack([h, *parts.values(), *other]))
        effects.append(y[1 : 1 + len(parts)] - y[0])
        by_chance.append(y[1 + len(parts) :] - y[0])
        outside.append([_outside(h, x, natural) for x in parts.values()])
    names = list(parts)
    length = max(float(np.linalg.norm(difference)), 1e-300)
    found = PatchVerdict(
        "", (), dict(zip(names, np.array(effects).T, strict=True)), dict(zip(names, np.array(outside).T, strict=True)),
        {WHOLE: float(np.trace(natural.covariance)) / d} | {k: natural.variance(q) for k, q in frames.items()}, frames,
        np.array(by_chance).mean(axis=0), np.array([natural.variance(q) for q in _frames(d, frames[CONNECTED], rng)]),
        float(np.linalg.norm(v.T @ difference)) / length,
        np.array([np.linalg.norm(q.T @ difference) for q in chance]) / length,
    )  # fmt: skip
    word, reasons = _judged(found)
    return PatchVerdict(word, reasons, *(getattr(found, f) for f in list(found.__dataclass_fields__)[2:]))


def _frames(d: int, like: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Random subspaces of as many dimensions as `like`, at least one."""
    return [np.linalg.qr(rng.standard_normal((d, max(like.shape[1], 1))))[0] for _ in range(DRAWS)]


def _parts(h: np.ndarray, s: np.ndarray, frames, natural: Natural) -> dict[str, np.ndarray]:
    patched = {name: h + (s - h) @ q @ q.T for name, q in frames.items()}
    x = patched[PATCH]
    parts = {WHOLE: s, **patched, HELD: _held(h, x, natural.low, natural.high)}
    if natural.axes is not None:
        a = natural.axes
        moved = _held((h - natural.mean) @ a, (x - natural.mean) @ a, natural.axis_low, natural.axis_high)
        parts[IN_AXES] = h + (moved - (h - natural.mean) @ a) @ a.T
    return parts


def _held(h, x, low, high) -> np.ndarray:
    """`x` inside the range, or inside what `h` has already taken of it."""
    return np.clip(x, np.minimum(low, h), np.maximum(high, h))


def _outside(h, x, natural: Natural) -> float:
    """Share of the squared change that lies in units which left their range."""
    change = (x - h) ** 2
    kept = _held(h, x, natural.low, natural.high)
    total = float(change.sum())
    return float(change[kept != x].sum()) / total if total > 0 else 0.0


def _judged(found: PatchVerdict) -> tuple[str, tuple[str, ...]]:
    mean, low, high = found.interval(PATCH)
    whole = abs(float(found.effects[WHOLE].mean()))
    if low <= 0 <= high or abs(mean) <= LITTLE * whole:
        said = f"its effect is {mean:.3g} [{low:.3g}, {high:.3g}], that of exchanging everything {whole:.3g}"
        return NOTHING, (said,)
    bad, doubtful = [], []
    kept, alone = found.share(HELD), found.share(CONNECTED)
    for share, said in (
        (kept, "held in the natural range of each unit it keeps"),
        (alone, "its connected part has"),
    ):
        words = f"{said} {share:.0%} of the effect"
        (bad if share < HALF else doubtful if share < MOST else []).append(words)
    if IN_AXES in found.effects and found.share(IN_AXES) < THIRD:
        doubtful.append(f"held in the natural range along principal axes it keeps {found.share(IN_AXES):.0%}")
    floor = float(np.percentile(found.random_variance, 5))
    if found.variance[CONNECTED] < floor:
        doubtful.append(
            f"its connected part is dormant: natural variance {found.variance[CONNECTED]:.3g}, and 95 % of random "
            f"directions have more than {floor:.3g}"
        )
    away, natural = (float(found.outside[k].mean()) for k in (PATCH, WHOLE))
    if away > natural + OUTSIDE:
        doubtful.append(
            f"{away:.0%} of the change lies beyond the natural range ({natural:.0%} of exchanged samples)"
        )
    if bad or doubtful:
        return (ILLUSORY if bad else SUSPICIOUS), (*bad, *doubtful)
    return FAITHFUL, (
        f"its connected part has {alone:.0%} of the effect and the patch held in the natural range {kept:.0%}, and it "
        "is not dormant",
    )
