"""Where do two modalities put each class? Samples of two taps and an ellipse for each class of each, in one plane.

With images in the first tap and class attributes in the second, both encoded into one latent space, the question is
whether attributes of a class, one that was never seen above all, land where its images are. The plane is spanned by the
two axes in which the classes' means of both taps differ most, or all samples do. An ellipse is the class's covariance
in that plane, at one or two deviations; solid for the first tap, dashed for the second. A class of a variational
encoder has the spread of its samples' means and their posterior variance: a map of means alone would leave that out.

Beside: W₂ of each class to itself in the other tap, in all dimensions, with diagonal covariances, and what sampling
alone gives two equal Gaussians, about sqrt(Σ σ² (1/n + 1/m) 3/2); accuracy by the nearest class of the other tap, and
its harmonic mean over seen and unseen classes. The confusion of classes is the other question on two taps' classes.

Null: as there, classes of the second tap exchanged. *Shown in the plane*: the share of the squared distance of a
class's two means that lies in it; a random plane shows 2 / d.

When it lies: what is apart in other dimensions lies together here, as the share shown says; axes are made of the very
means they show, so that many classes of few samples are spread by noise; an ellipse is a Gaussian's, whatever the
class is; two deviations hold 86 % of a plane Gaussian.

Cost: O(n d) for Gaussians, 10 times for intervals; O(min(C, d)² d), or O(n d min(n, d)), for the plane. Memory O(n d).

References: E. Schönfeld et al. (2019), "Generalized zero- and few-shot learning via aligned variational autoencoders";
D. Dowson & B. Landau (1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.gaussian_classes import wasserstein
from analysis.compute.subspaces.gaussian_plane import ellipses_in, plane_of, sampling_floor, share_in_plane
from analysis.compute.subspaces.gaussian_report import accuracies, mean_distance, unseen_of
from analysis.compute.subspaces.gaussian_sides import (
    FEWEST,
    POSTERIORS,
    SAMPLES,
    GaussianParams,
    Side,
    nearest_mean,
    two_sides,
)
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MEANS, POINTS = "class means", "all samples"
SEEN = ("seen", "unseen")


@dataclass(frozen=True)
class GaussianMapParams(GaussianParams):
    only: str = param("", "Classes to draw, with commas between; empty: the twelve largest.")
    plane: str = param(MEANS, "What the two axes show most of.", choices=(MEANS, POINTS))
    deviations: float = param(2.0, "How many standard deviations an ellipse reaches.", low=0.1, high=5.0)
    maximum_samples: int = param(
        2000, "Most samples of a tap; a seeded random subset above.", low=50, high=100_000, late=True
    )


def gaussian_map(
    images, attributes, params: GaussianMapParams = GaussianMapParams(), rng=None, progress=no_progress
) -> Scatter:
    """Samples and class ellipses of two taps in one plane.

    Parameters
    ----------
    images, attributes : Activations with the class column, of one width

    Returns
    -------
    Scatter
        Samples of the classes drawn, of the first tap, then of the second; `ellipses` of each class in the first tap,
        then in the second (dashed), with W₂ to the class in the other tap. Estimates are those of all common classes.

    Raises
    ------
    InputError, ParameterError, NotFound, NotEnoughData, TooLarge
        Different or odd widths; a class that is not there; fewer than two common classes of five samples.
    """
    taps, rng = [as_activations(t) for t in (images, attributes)], rng or np.random.default_rng(0)
    data = two_sides(taps, params, rng, progress, 0.5)
    sides, names = data.sides, data.names
    c, (unseen, only) = len(names), (unseen_of(t, names) for t in (params.unseen, params.only))
    whole = data.gaussians()
    middle, axes, shares = plane_of(sides, [g.means for g in whole], params.plane == MEANS)
    distance, groups, without = wasserstein(*whole), [folds_of(s.of, GROUPS, rng) for s in sides], []
    for g in range(GROUPS):
        progress(0.5 + 0.04 * g, "leaving samples out")
        parts = data.gaussians([group != g for group in groups])
        without.append((wasserstein(*parts), share_in_plane(parts, axes)))
    near = nearest_mean(sides[0].x, whole[1].means)
    apart = np.array([w for w, _ in without])
    estimates = (
        mean_distance(distance, apart, sides, rng), *accuracies(data.counts(near), unseen, sides, rng),
        _shown(whole, axes, np.array([s for _, s in without]), sides),
    )  # fmt: skip
    progress(1.0, "done")
    drawn = _drawn(only, sides, c)
    beside = tap_names([t.name for t in taps])
    made = np.concatenate([
        ellipses_in(s, g.means, drawn, axes, middle, params.deviations) for s, g in zip(sides, whole, strict=True)
    ])  # fmt: skip
    half, own = np.diag(jackknife_half(apart)), np.diag(distance)
    said = {"W₂ to the other tap": own, "W₂ low": np.maximum(own - half, 0.0), "W₂ high": own + half,
            "W₂ by sampling alone": sampling_floor(sides, whole)}  # fmt: skip
    return Scatter(
        title=f"Classes of {beside[0]} and {beside[1]} in one plane", reading=_reading(estimates, said, names, drawn),
        caveats=(*_caveats(params, drawn, names), *data.notes, *data.read),
        estimates=estimates, **_points(sides, near, names, beside, unseen, drawn, (middle, axes)), of="points",
        axes=tuple(f"axis {i + 1} ({s:.0%} of what differs)" for i, s in enumerate(shares)), colour="class",
        ellipses=made, ellipse_dashed=np.arange(len(made)) >= len(drawn),
        ellipse_name=f"a class in {beside[0]} (solid) or {beside[1]} (dashed), {params.deviations:g} deviations wide",
        ellipse_columns={
            "class": np.array(names)[drawn].repeat(2).reshape(-1, 2).T.ravel(),
            "tap": np.array(beside).repeat(len(drawn)), **{k: np.tile(v[drawn], 2) for k, v in said.items()},
            **({} if unseen is None else {"split": np.tile(np.array(SEEN)[unseen[drawn].astype(int)], 2)}),
        },
    )  # fmt: skip


def _drawn(only, sides: list[Side], classes: int) -> np.ndarray:
    """Numbers of the classes to draw, rising."""
    if only is not None:
        return np.flatnonzero(only)
    size = sum(np.bincount(s.of, minlength=classes) for s in sides)
    return np.sort(np.argsort(-size, kind="stable")[:12])


def _points(sides, near, names, beside, unseen, drawn, plane) -> dict:
    of = np.concatenate([s.of for s in sides])
    x = (np.vstack([s.x for s in sides]) - plane[0]) @ plane[1]
    side = np.repeat([0, 1], [len(s.x) for s in sides])
    stay = np.isin(of, drawn)
    names = np.array(names)
    nearest = np.concatenate([names[near], np.full(len(sides[1].x), "")])
    columns = {"class": names[of], "tap": np.array(beside)[side], "nearest class of the other tap": nearest}
    if unseen is not None:
        columns["split"] = np.array(SEEN)[unseen[of].astype(int)]
    return {
        "positions": x[stay], "rows": np.arange(int(stay.sum())), "columns": {k: v[stay] for k, v in columns.items()}
    }  # fmt: skip


def _shown(whole, axes, without: np.ndarray, sides) -> Estimate:
    value, d = min(share_in_plane(whole, axes), 1.0), len(axes)
    half = float(jackknife_half(without[:, None])[0])
    return Estimate(
        "share of the distance of a class to itself that the plane shows", value, max(value - half, 0.0),
        min(value + half, 1.0), interval="jackknife over groups of samples, plane fixed, t", null=min(2 / d, 1.0),
        null_method="a random plane, exact mean", n=sum(len(s.x) for s in sides), d=d, estimator="squared, of means",
    )  # fmt: skip


def _reading(estimates, said: dict, names, drawn) -> str:
    own, accuracy, shown = estimates[0], estimates[1], estimates[-1]
    apart = said["W₂ to the other tap"]
    far = drawn[int(apart[drawn].argmax())]
    text = (
        f"A class lies {own.value:.3g} from itself in the other tap, {own.null:.3g} from any class; farthest is "
        f"{names[far]} ({apart[far]:.3g}; sampling alone {said['W₂ by sampling alone'][far]:.3g}). The nearest class "
        f"is right for {accuracy.value:.0%} of samples ({accuracy.null:.0%} by chance), averaged over classes. "
    )
    if len(estimates) > 3:
        text += "Seen {:.0%}, unseen {:.0%}, harmonic mean {:.0%}. ".format(
            *(e.value for e in estimates[2:5])
        )
    return text + f"The plane shows {shown.value:.0%} of the squared distance between a class's two means."


def _caveats(params: GaussianMapParams, drawn, names) -> list[str]:
    notes = [
        "The plane leaves dimensions out: classes that overlap here need not overlap, W₂ counts them all."
    ]
    if len(drawn) < len(names):
        notes.append(f"{len(drawn)} of {len(names)} common classes are drawn; the numbers are those of all.")
    if params.holds == SAMPLES:
        notes.append("Where samples are means of posteriors, ellipses lack the posterior variance ('holds').")
    if not params.unseen.strip():
        notes.append("Without the names of unseen classes there is no harmonic mean.")
    return notes


def _cost(shapes, params: GaussianMapParams) -> Cost:
    m, d = machine(), shapes[0][1]
    n = sum(min(rows, params.maximum_samples) for rows, _ in shapes)
    return Cost(
        m.seconds(flops64=14 * 2.0 * n * d * 12, moved=14 * 8.0 * n * d * 4) + 0.03, 8.0 * n * d * 3.5
    )


def _check() -> tuple[CheckLine, ...]:
    """W₂ of planted Gaussians both ways; an ellipse has the half axes that were planted, posterior variance too."""
    rng = np.random.default_rng(3)
    label = np.repeat([0, 1], 40)
    means = np.array([[0.0, 0, 0], [8.0, 0, 0]])
    spread = np.array([3.0, 1.0, 0.0])
    corner = np.tile(np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]]), (20, 1)) * spread
    other = means + np.array([0.0, 2.0, 0.0])

    def asked(first, second, **how) -> Scatter:
        taps = [ArrayActivations(x, samples={"label": label}) for x in (first, second)]
        return gaussian_map(*taps, params=GaussianMapParams(deviations=1.0, **how))

    one, two = means[label] + corner, other[label] + 0.5 * corner
    found, back = asked(one, two, unseen="1"), asked(two, one)
    logs = np.log(np.array([4.0, 0.25, 1e-12])) * np.ones((80, 1))
    still = [np.hstack([m[label] + 1e-9 * rng.standard_normal((80, 3)), logs]) for m in (means, other)]
    posterior = asked(*still, holds=POSTERIORS)
    expected = np.sqrt(2.0**2 + 1.5**2 + 0.5**2)
    seen, unseen, both = (e.value for e in found.estimates[2:5])
    return (
        CheckLine("W₂ of planted Gaussians", expected, float(found.ellipse_columns["W₂ to the other tap"][0]), 1e-9),
        CheckLine("the other way round", expected, float(back.ellipse_columns["W₂ to the other tap"][0]), 1e-9),
        CheckLine("half axes of the class", 3.0, float(found.ellipses[0, 2]), 1e-9),
        CheckLine("and the shorter one", 1.0, float(found.ellipses[0, 3]), 1e-9),
        CheckLine("posterior variance alone: half axis", 2.0, float(posterior.ellipses[0, 2]), 1e-6),
        CheckLine("share that the plane shows", 1.0, found.estimates[-1].value, 1e-9),
        CheckLine("harmonic mean", 2 * seen * unseen / (seen + unseen), both, 1e-12),
        CheckLine("over twice the smaller", 2 * min(seen, unseen), both, 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="gaussian_map", family="concepts", title="Classes of two taps as ellipses", version=1, function=gaussian_map,
        summary="Samples of two taps of one space, and an ellipse for each class of each: images and attributes, say.",
        params=GaussianMapParams, result=Scatter, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="shifting both taps alike; rotating both turns the map, and changes W₂ by its diagonal covariances",
        papers=("Generalized Zero- and Few-Shot Learning via Aligned Variational Autoencoders",),
    ),
)  # fmt: skip
