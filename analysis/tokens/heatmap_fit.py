"""Numbers on heat maps against their targets, with intervals over samples and what other samples' targets give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate
from analysis.spec import Progress
from analysis.tokens.gaussian_maps import Fits, fits, moved_peaks, peaks, told_flat
from analysis.tokens.heatmaps import soft_argmax
from analysis.tokens.landmark_targets import OWN, Targets
from analysis.tokens.paired_sets import CELLS, cells_of

MOST_SHUFFLED = 200  # maps
PLACES = ("largest cell", "a quarter cell on", "vertex of the logarithms", "soft-argmax", "fitted Gaussian")
OTHERS, SHUFFLED = "targets of other samples", "maps with their places shuffled"
PERFECT = "the Gaussian itself, read in the same way"


@dataclass(frozen=True)
class Seen:
    """Of the n L maps, `good` (n L,) those that are told of: `places` (n L, 2) by name; `own` the fits of good ones;
    `raw` and `alike` (n L,), shares explained by the target as it is and up to height and base, and `chance` the same
    two by other samples' targets; `aim` (n L, 2) where targets are and `other` (n L, 2) those of other samples;
    `perfect` (n L,) by name how far the target, read in that way, is from itself; `shuffled`, share and width of the
    Gaussians of shuffled maps; how many maps are `flat`."""

    good: np.ndarray
    places: dict[str, np.ndarray]
    own: Fits
    raw: np.ndarray
    alike: np.ndarray
    chance: tuple[np.ndarray, np.ndarray]
    aim: np.ndarray
    other: np.ndarray
    perfect: dict[str, np.ndarray]
    shuffled: tuple[float, float]
    flat: int

    def floor(self, name: str) -> float:
        """How far a perfect map is off when it is read in this way, in cells."""
        return float(self.perfect[name][self.good].mean())


def board_of(sets) -> tuple[int, int]:
    """Rows and columns of the places."""
    t = sets.x.shape[1]
    return tuple(sets.grid) if sets.grid else CELLS if sets.gathered and t == CELLS[0] * CELLS[1] else (1, t)


def by_map(x: np.ndarray) -> np.ndarray:
    """(n L, T) of (n, T, L)."""
    return x.transpose(0, 2, 1).reshape(-1, x.shape[1])


def seen(found: Targets, sharpness: float, rng, progress: Progress) -> Seen:
    """O(n L T) for each step of a fit."""
    sets, cells = found.sets, cells_of(found.sets)
    h, there = by_map(sets.x), np.repeat(sets.present, sets.x.shape[2], axis=0)
    flat = told_flat(h, there)
    good = ~flat & (found.known.ravel() | (found.named == OWN))
    at = np.flatnonzero(good)
    own = fits(h[at], there[at], cells, lambda f: progress(0.3 + 0.4 * f, "fitting Gaussians"))
    progress(0.7, "shuffling places")
    some = np.sort(rng.permutation(at)[:MOST_SHUFFLED])
    free = fits(_shuffled(h[some], there[some], rng), there[some], cells)
    progress(0.85, "comparing with targets")
    places = _read(sets.x, sets, at, sharpness)
    places[PLACES[4]][at] = own.centre
    aim = found.centre.reshape(-1, 2).copy()
    if found.named == OWN:
        aim[at] = own.centre
    turned = _next_known(found)
    g = by_map(found.maps)
    if found.named == OWN:
        g[at] = own.maps(cells)
    ideal = _read(g.reshape(len(sets.x), -1, g.shape[1]).transpose(0, 2, 1), sets, at, sharpness)
    perfect = {name: np.linalg.norm(place - aim, axis=1) for name, place in ideal.items()}
    perfect[PLACES[4]] = np.zeros(len(h))
    raw, alike = explained(h, g, there)
    chance = explained(h, g[turned], there)
    mean = (float(free.r2.mean()), float(free.width.mean())) if len(some) else (0.0, 0.0)
    return Seen(good, places, own, raw, alike, chance, aim, aim[turned], perfect, mean, int(flat.sum()))


def _read(x: np.ndarray, sets, at: np.ndarray, sharpness: float) -> dict[str, np.ndarray]:
    """(n L, 2) of maps (n, T, L) by every way but the fit; not a number but for those `at`."""
    cells, there = cells_of(sets), np.repeat(sets.present, x.shape[2], axis=0)[at]
    h = by_map(x)[at]
    found = {name: np.full((x.shape[0] * x.shape[2], 2), np.nan) for name in PLACES}
    found[PLACES[0]][at] = cells[peaks(h, there)]
    found[PLACES[1]][at], found[PLACES[2]][at] = moved_peaks(h, there, board_of(sets))
    found[PLACES[3]][at] = soft_argmax(x, sets.present, cells, sharpness).reshape(-1, 2)[at]
    return found


def _shuffled(h, there, rng) -> np.ndarray:
    out = h.copy()
    for row, known in zip(out, there, strict=True):
        row[known] = rng.permutation(row[known])
    return out


def _next_known(found: Targets) -> np.ndarray:
    """(n L,) the same landmark of the next sample that has it; its own where no other has."""
    n, landmarks = found.known.shape
    out = np.arange(n * landmarks).reshape(n, landmarks)
    for k in range(landmarks):
        at = np.flatnonzero(found.known[:, k])
        out[at, k] = out[np.roll(at, -1), k]
    return out.ravel()


def explained(h: np.ndarray, g: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 - Σ (h - g)² / Σ (g - mean g)², squared correlation where it is positive, else 0), each (m,), of maps h and
    targets g (m, T); 0 where one of them does not vary."""
    count = there.sum(axis=1)
    a, b = (np.where(there, x - (np.where(there, x, 0).sum(axis=1) / count)[:, None], 0.0) for x in (h, g))
    left = np.where(there, np.square(h - g), 0.0).sum(axis=1)
    aa, bb, ab = (x.sum(axis=1) for x in (a * a, b * b, a * b))
    fine, both = bb > 0, aa * bb > 0
    raw = np.where(fine, 1 - left / np.where(fine, bb, 1.0), 0.0)
    return raw, np.where(both & (ab > 0), ab**2 / np.where(both, aa * bb, 1.0), 0.0)


def estimates(found: Targets, told: Seen, sharpness: float) -> tuple[Estimate, ...]:
    """How Gaussian maps are, what their targets explain, and how far each way to a place is from the target."""
    landmarks = found.known.shape[1]
    sample = np.arange(len(told.good)) // landmarks

    def one(name, values, null, how, least=0.0, most=np.inf, unit="", estimator="mean over samples"):
        each = _by_sample(values[told.good], sample[told.good])
        null = None if null is None else float(_by_sample(np.broadcast_to(null, values.shape)[told.good],
                                                          sample[told.good]).mean())  # fmt: skip
        return Estimate(name, float(each.mean()), **mean_interval(each, least, most), null=null, null_method=how,
                        n=len(each), d=landmarks, unit=unit, estimator=estimator)  # fmt: skip

    r2, width = (_laid(v, told.good) for v in (told.own.r2, told.own.width))
    out = [
        one("explained by a Gaussian of its own", r2, told.shuffled[0], SHUFFLED, 0.0, 1.0),
        one("width of that Gaussian", width, told.shuffled[1], SHUFFLED, unit="cells",
            estimator="standard deviation, mean over samples"),
    ]  # fmt: skip
    if found.named != OWN:
        how = {"how": OTHERS, "estimator": "1 - squared error over the target's variance, mean over samples"}
        out += [
            one("explained by the target as it is", told.raw, told.chance[0], least=-np.inf, most=1.0, **how),
            one("explained up to height and base", told.alike, told.chance[1], OTHERS, 0.0, 1.0,
                estimator="squared correlation, mean over samples"),
        ]  # fmt: skip
    for name in PLACES if found.named != OWN else PLACES[:4]:
        off = np.linalg.norm(told.places[name] - told.aim, axis=1)
        if found.named == OWN:
            null, how = told.perfect[name], PERFECT
        else:
            null, how = np.linalg.norm(told.places[name] - told.other, axis=1), OTHERS
        out.append(one(f"{name}: distance from the {'fit' if found.named == OWN else 'target'}", off, null, how,
                       unit="cells", estimator=_way(name, sharpness, told)))  # fmt: skip
    return tuple(out)


def _way(name: str, sharpness: float, told: Seen) -> str:
    more = f", β = {sharpness:g}" if name == PLACES[3] else ""
    return f"mean over samples{more}; a perfect map would leave {told.floor(name):.3f}"


def _laid(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    out = np.zeros(len(good))
    out[good] = values
    return out


def _by_sample(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    count = np.bincount(sample)
    return np.bincount(sample, values)[count > 0] / count[count > 0]
