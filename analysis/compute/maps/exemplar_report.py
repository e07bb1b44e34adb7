"""What a map between exemplars says of itself: how much it holds, against the best flat and against luck, in numbers
and in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.barycentric import (
    Flat,
    PrincipalCloud,
    instead,
    is_outside,
    past_mean,
    principal_nested,
    regular_simplex,
    unexplained,
)
from analysis.compute.maps.exemplar_luck import Luck, gaussian_exemplars, loneliness, random_exemplars
from analysis.compute.maps.exemplars import short
from analysis.compute.statistics.nulls import add_one_p, against
from analysis.compute.statistics.ratios import ratio_interval, sample_sums
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

LETTERS = "ABCD"
RANDOM = 200  # draws of random corners
NEARLY = 0.01  # of the unexplained variance
ROOM = 12  # characters of a name on an axis
LONELY = 2.0  # times the usual distance from the nearest sample
THIN = 0.1  # height of the triangle over its longest side
SHAPES = {1: ("line", "segment"), 2: ("plane", "triangle"), 3: ("space", "tetrahedron")}


@dataclass(frozen=True)
class Corners:
    """`places` of the exemplars in the cloud, their `names` and classes `of` ("" for none); `how` they were chosen, in
    words; `choose` does it again on other points, None where it cannot. `word`: "samples" or "tokens"."""

    places: list[int]
    names: list[str]
    of: list[str]
    how: str
    choose: Callable[[PrincipalCloud], list[int]] | None
    word: str = "samples"

    def name(self, j: int) -> str:
        """Such as "A is 17 (cat)"."""
        return f"{LETTERS[j]} is {self.names[j]}" + (f" ({self.of[j]})" if self.of[j] else "")


@dataclass(frozen=True)
class Fit:
    """Points on the flat of their corners: coordinates `places` (n, k), `weights` (n, k + 1), `residual` (n,), and the
    `sample` (n,) of each point."""

    flat: Flat
    places: np.ndarray
    weights: np.ndarray
    residual: np.ndarray
    sample: np.ndarray


def fitted(cloud: PrincipalCloud, flat: Flat, sample: np.ndarray) -> Fit:
    """Every point of the cloud on the flat. O(n r k)."""
    places = flat.coordinates(cloud.z)
    return Fit(flat, places, flat.weights(places), flat.residuals(cloud.z), sample)


def placed(corners: Corners, fit: Fit, components: int, equal: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions (n, components), in the flat or (`equal`) with the corners at distance 1 from each other, and names of
    the axes that say who the corners are."""
    k = fit.places.shape[1]
    who = [f"{LETTERS[j]} = {_bare(name, corners.of[j])}" for j, name in enumerate(corners.names)]
    to = [f"{who[0]} to {who[1]}", *(f"towards {w}" for w in who[2:]), "empty", "empty"]
    positions = fit.weights @ regular_simplex(k) if equal else fit.places
    axes = tuple(f"{'weights' if equal else 'exemplar axis'} {i + 1} ({to[i]})" for i in range(components))
    return np.pad(positions, ((0, 0), (0, components - k))), axes


def _bare(name: str, of: str) -> str:
    """A short name, after its class where there is room and the name does not say it, without brackets: figures tell
    axes of one scale by what stands outside brackets."""
    roomy = len(of) + len(name) < ROOM and not name.startswith(of)
    text = f"{of} {name}" if roomy else name
    return short(text.replace("(", "").replace(")", ""), ROOM)


def exemplar_columns(corners: Corners, fit: Fit) -> dict[str, np.ndarray]:
    """By point (n,): "distance to plane", the share of its squared distance from the mean's place on the flat that lies
    across it; "residual", the distance across; "weight A" …; "exemplar", who a corner is and "" elsewhere."""
    across, along = fit.residual**2, _along(fit)
    share = np.divide(across, across + along, out=np.zeros_like(across), where=across + along > 0)
    who = np.full(len(across), "", dtype=f"<U{4 + max(map(len, corners.names))}")
    for letter, place, name in zip(LETTERS, corners.places, corners.names, strict=False):
        who[place] = f"{letter}: {name}"
    weights = {f"weight {LETTERS[j]}": w.astype(np.float32) for j, w in enumerate(fit.weights.T)}
    return {
        "distance to plane": share.astype(np.float32), "residual": fit.residual.astype(np.float32), **weights,
        "exemplar": who,
    }  # fmt: skip


def exemplar_estimates(
    cloud: PrincipalCloud,
    corners: Corners,
    fit: Fit,
    null_draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 0.7),
) -> tuple[Estimate, ...]:
    """Four estimates: variance share of the flat, that over principal components', AUV over theirs, and the share of
    points outside. Intervals keep the tokens of a sample together and hold the corners fixed."""
    progress(span[0], "random corners")
    random = random_exemplars(cloud, len(corners.places), RANDOM, rng)
    luck, word = random, f"random samples as corners, {RANDOM} draws"
    if corners.choose is not None:
        luck = gaussian_exemplars(cloud, corners.choose, null_draws, rng, progress, span)
        word = f"Gaussian points of the same covariance, chosen in the same way, {null_draws} draws"
    more = {
        "interval": "bootstrap over samples, corners held fixed",
        "n": len(cloud.z),
        "d": cloud.z.shape[1],
    }
    by_chance = {**more, "null_method": f"random samples as corners, {RANDOM} draws"}
    return (
        _share(cloud, fit, random, rng, by_chance),
        *_over_principal(cloud, fit, luck, rng, {**more, "null_method": word}),
        _outside(fit, random, rng, by_chance),
    )


def _share(cloud: PrincipalCloud, fit: Fit, random: Luck, rng, more: dict) -> Estimate:
    held = sample_sums(_along(fit), fit.sample)
    whole = sample_sums(np.einsum("ij,ij->i", cloud.z, cloud.z), fit.sample)
    value = float(held.sum() / whole.sum())
    return Estimate(
        "variance share of the picture", value, *ratio_interval(held, whole, rng), **against(value, random.inside),
        **more, estimator="share of the sum of squares",
    )  # fmt: skip


def _over_principal(
    cloud: PrincipalCloud, fit: Fit, luck: Luck, rng, more: dict
) -> tuple[Estimate, Estimate]:
    """The share and the AUV as ratios to those of principal components, summed over points and steps."""
    k = fit.places.shape[1]
    best = principal_nested(cloud.variances, k) / cloud.total
    pairs = (_along(fit), (cloud.z[:, :k] ** 2).sum(axis=1)), _accumulated(cloud, fit)
    sums = [[sample_sums(v, fit.sample) for v in pair] for pair in pairs]
    share, auv = (float(a.sum() / b.sum()) for a, b in sums)
    reached, added = luck.inside / (1 - best[-1]), luck.accumulated / best.sum()
    return (
        Estimate(
            "variance share over PCA's", share, *ratio_interval(*sums[0], rng),
            **against(share, reached), **more, estimator="variance shares of two flats of as many dimensions",
        ),
        Estimate(
            "accumulated unexplained variance over PCA's", auv, *ratio_interval(*sums[1], rng),
            **{**against(auv, added), "p_value": float(add_one_p(-auv, -added))}, **more,
            estimator=f"Σ σ²_out over dimensions 0 to {k}, over Σ min(j, {k + 1}) λ_j",
        ),
    )  # fmt: skip


def _along(fit: Fit) -> np.ndarray:
    """(n,) squared distances of the points' places from that of the mean."""
    return ((fit.places - fit.places.mean(axis=0)) ** 2).sum(axis=1)


def _accumulated(cloud: PrincipalCloud, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """(n,) squared distances of each point, summed over the flats of the corners and of principal components."""
    k = fit.places.shape[1]
    steps = np.arange(k, 0, -1)  # coordinate i is taken off in k - i of the k + 1 flats
    from_first = ((cloud.z - fit.flat.origin) ** 2).sum(axis=1)
    mine = (k + 1) * from_first - fit.places**2 @ steps
    norms = np.einsum("ij,ij->i", cloud.z, cloud.z)
    return mine, (k + 1) * norms - cloud.z[:, :k] ** 2 @ steps


def _outside(fit: Fit, random: Luck, rng, more: dict) -> Estimate:
    out = sample_sums(is_outside(fit.weights).astype(float), fit.sample)
    every = np.bincount(fit.sample).astype(float)
    value = float(out.sum() / every.sum())
    return Estimate(
        f"points outside the {SHAPES[fit.places.shape[1]][1]}", value, *ratio_interval(out, every, rng),
        **against(value, random.outside), **more, estimator="share of points with a negative weight",
    )  # fmt: skip


# ---------------------------------------------------------------------------- in words
def exemplar_reading(cloud: PrincipalCloud, corners: Corners, found: tuple[Estimate, ...]) -> str:
    """The sentences for under the map."""
    share, over, _, outside = found
    k = len(corners.places) - 1
    flat, shape = SHAPES[k]
    best = principal_nested(cloud.variances, k) / cloud.total
    past = past_mean(cloud, cloud.z[corners.places]) / cloud.total
    who = ", ".join(corners.name(j) for j in range(k + 1))
    return (
        f"The corners are {corners.word}{corners.how}: {who}. Their {flat} holds {share.value:.1%} of the variance "
        f"(that of random {corners.word} {share.null:.1%}), the best {flat} (principal components) {1 - best[-1]:.1%}. "
        f"It reaches {over.value:.0%} of the best, {_against_luck(corners, over)}. That it passes the mean at a "
        f"distance leaves {past:.1%} more unexplained. {outside.value:.0%} of the points lie outside the {shape}; "
        f"there a weight is negative, and weights are no shares of a mixture."
    )


def _against_luck(corners: Corners, over: Estimate) -> str:
    if corners.choose is None:
        return f"random {corners.word} as corners {over.null:.0%}"
    luck = "corners chosen among Gaussian points of the same covariance"
    reach = f"({over.null_low:.0%} to {over.null_high:.0%})"
    if over.value > over.null_high:
        return f"more than {luck} {reach}: some {corners.word} stand out along the main directions"
    if over.value < over.null_low:
        return f"less than {luck} {reach}: no {corners.word} stand out along the main directions"
    return f"as {luck} do {reach}: every cloud has such extremes"


def runners_up(cloud: PrincipalCloud, corners: Corners, name_of) -> str:
    """Who else could stand there, and how much more that would leave unexplained."""
    now, parts = unexplained(cloud, cloud.z[corners.places]), []
    for j in range(len(corners.places)):
        left = instead(cloud, corners.places, j)
        other = int(np.argmin(left))
        if not np.isfinite(left[other]) or now <= 1e-9 * cloud.total:
            continue
        word = f"{abs(left[other] / now - 1):.1%} {'more' if left[other] >= now else 'less'}"
        many = int((left <= (1 + NEARLY) * now).sum())
        few = f"{many:,} {corners.word}" + ("" if parts else f" would leave less than {NEARLY:.0%} more")
        parts.append(f"{name_of(other)} in the place of {LETTERS[j]} leaves {word} unexplained ({few})")
    return (
        f"The next best: {'; '.join(parts)}."
        if parts
        else "Others in their flat would do as well as corners."
    )


def exemplar_caveats(cloud: PrincipalCloud, corners: Corners, fit: Fit, components: int) -> list[str]:
    """What cannot be concluded from these corners."""
    notes, k = [], fit.places.shape[1]
    for j, times in enumerate(loneliness(cloud, corners.places)):
        if times > LONELY:
            notes.append(
                f"Corner {LETTERS[j]} ({corners.names[j]}) lies {times:.1f} times as far from its nearest sample as "
                "samples usually do: an outlier makes a good-looking corner, so look at it first."
            )
    heights, sides = np.diag(fit.flat.corners[1:]), np.linalg.norm(fit.flat.corners[1:], axis=1)
    if k > 1 and heights[1:].min() < THIN * sides.max():
        notes.append(
            f"The {SHAPES[k][1]} is thin: weights far from it are large, and change much with small moves."
        )
    if k < components:
        notes.append(
            f"The points lie in {k} dimension(s): there are {k + 1} corners, and the last axis is empty."
        )
    return notes
