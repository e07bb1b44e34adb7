"""Where do synthetic samples lie among the real ones of their class? A cloud for each class, synthetic ones as stars.

Real samples are laid out along their two principal axes, or along the two axes in which their classes' means differ
most; synthetic ones are put into the same plane and move no axis. An ellipse is the covariance of a class's real
samples in the plane. In all units together, not only in the plane, each synthetic sample is given to the class whose
real mean is nearest:

    own class     share of synthetic samples whose nearest real class mean is that of their own class
    offset        ‖mean of a class's synthetic samples - mean of its real ones‖ / spread of the real ones

Null: real samples in the place of synthetic ones, each held against class means without it; of the plane, a random one,
2 / units. Intervals: Wilson over synthetic samples; Student's t over classes.

When it lies: a plane hides all other units, so that stars inside an ellipse may lie far off in another direction, and
points that overlap may not be near (the share of variance shown says how much is left out); samples made to be extreme
examples lie outside on purpose; nearest means know no spread.

Cost: O((n + m) d min(n, d)).

References: M.-T. Tran et al. (2025), "Enhancing dataset distillation via non-critical region refinement".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import known_labels, pooled_samples
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData, ShapeError
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FEW = 8, 3  # samples; real samples of a class
OF_SAMPLES, OF_MEANS = "where real samples differ most", "where class means differ most"
NO_CLASS = "no class"


@dataclass(frozen=True)
class SyntheticCloudParams:
    column: str = param("label", "Sample column with classes, in both.", column=True)
    axes: str = param(OF_SAMPLES, "The plane that is shown.", choices=(OF_SAMPLES, OF_MEANS))
    deviations: float = param(2.0, "How many standard deviations an ellipse reaches.", low=0.1, high=5.0)
    maximum_samples: int = param(
        2000, "Most samples of each; a seeded random subset above.", low=20, high=20_000
    )


def synthetic_cloud(
    real, synthetic, params: SyntheticCloudParams = SyntheticCloudParams(), rng=None, progress=no_progress
) -> Scatter:
    """Real and synthetic samples in one plane.

    Parameters
    ----------
    real, synthetic : Activations of one tap of one network (equally many units) on real and on synthetic samples.

    Returns
    -------
    Scatter
        Real samples, then synthetic ones as stars; an ellipse for each class. Estimates: synthetic samples nearest to
        their own class, offset of the classes' means, variance of each sort in the plane.

    Raises
    ------
    ShapeError, NotFound, NotEnoughData, InputError
        Other numbers of units, or one; no such column; fewer than eight finite samples, or no class with three real
        and one synthetic sample; real samples that do not vary.
    """
    taps, rng = [as_activations(t) for t in (real, synthetic)], rng or np.random.default_rng(0)
    if taps[0].shape[1] != taps[1].shape[1] or taps[0].shape[1] < 2:
        raise ShapeError(
            f"taps of {taps[0].shape[1]} and {taps[1].shape[1]} units", "equally many, at least two"
        )
    x, labels, numbers, notes = zip(
        *(_read(t, params, rng, progress, i) for i, t in enumerate(taps)), strict=True
    )
    classes = _classes(labels)
    middle, axes, shares = _plane(x[0], labels[0], classes, params.axes)
    if not shares.any():
        raise InputError(
            f"all samples of {taps[0].name} are equal", "samples that differ", "Choose another tap"
        )
    progress(0.8, "measuring")
    estimates = _estimates(x, labels, classes, middle, axes)
    both, sort = np.concatenate(labels), np.repeat(["real", "synthetic"], [len(v) for v in x])
    progress(1.0, "done")
    return Scatter(
        title=f"{taps[1].name} among {taps[0].name}, class by class", reading=_reading(estimates, classes, x),
        caveats=tuple(dict.fromkeys([*notes[0], *notes[1], *_caveats(labels, classes)])), estimates=estimates,
        positions=(np.concatenate(x) - middle) @ axes, rows=np.arange(len(both)), of="samples",
        axes=tuple(f"axis {i + 1} ({s:.0%})" for i, s in enumerate(shares)), colour="class",
        columns={"class": np.where(both == "", NO_CLASS, both), "sort": sort, "sample": np.concatenate(numbers),
                 "nearest class": _nearest(np.concatenate(x), x[0], labels[0], classes)},
        ellipses=_ellipses(x[0], labels[0], classes, middle, axes, params.deviations),
        ellipse_name=f"the real samples of a class, {params.deviations:g} deviations wide",
        ellipse_columns={"class": np.array(classes)}, stars=sort == "synthetic", star_name="synthetic samples",
    )  # fmt: skip


def _read(tap, params, rng, progress, i: int):
    """Values (n, d), classes (n,) "" where unknown, numbers in the store, notes."""
    column = sample_column(tap, params.column)
    chosen, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    x, kept, said = pooled_samples(tap, "mean", chosen, progress, (0.35 * i, 0.35 * (i + 1)))
    if len(x) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(x)} finite sample(s)", f"at least {FEWEST}", "Record more samples"
        )
    labels = np.where(known_labels(column), column.astype(str), "")[chosen[kept]]
    return x, labels, chosen[kept], [*said, *notes]


def _classes(labels) -> list[str]:
    """Those with three real samples and a synthetic one. Raises NotEnoughData."""
    found = [c for c in sorted(set(labels[0]) & set(labels[1]) - {""}) if (labels[0] == c).sum() >= FEW]
    if not found:
        raise NotEnoughData(
            "no class with three real samples and a synthetic one", "one at least", "Choose another column"
        )
    return found


def _plane(x, labels, classes, kind: str):
    middle = x.mean(axis=0)
    rows = x - middle
    whole = float((rows**2).sum())
    if kind == OF_MEANS and len(classes) > 2:
        rows = np.stack([x[labels == c].mean(axis=0) for c in classes]) - middle
    _, _, base = np.linalg.svd(rows, full_matrices=False)
    axes = base[:2].T
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(2)] < 0, -1.0, 1.0)
    along = (((x - middle) @ axes) ** 2).sum(axis=0)
    return middle, axes, along / whole if whole > 0 else np.zeros(2)


def _ellipses(x, labels, classes, middle, axes, deviations: float) -> np.ndarray:
    out = np.empty((len(classes), 5))
    for i, c in enumerate(classes):
        z = (x[labels == c] - middle) @ axes
        values, vectors = np.linalg.eigh(np.cov(z.T, bias=True))
        out[i] = [
            *z.mean(axis=0),
            *deviations * np.sqrt(np.maximum(values[::-1], 0)),
            np.arctan2(*vectors[::-1, 1]),
        ]
    return out


def _squares(x, means) -> np.ndarray:
    """(n, C) squared distances."""
    shift = means.mean(axis=0)
    x, means = x - shift, means - shift
    return (x**2).sum(axis=1)[:, None] + (means**2).sum(axis=1) - 2 * x @ means.T


def _nearest(x, real, labels, classes) -> np.ndarray:
    """(n,) the class whose real mean is nearest."""
    means = np.stack([real[labels == c].mean(axis=0) for c in classes])
    return np.array(classes)[_squares(x, means).argmin(axis=1)]


def _estimates(x, labels, classes, middle, axes) -> tuple[Estimate, ...]:
    d, of = (
        x[0].shape[1],
        [np.array([classes.index(v) if v in classes else -1 for v in own]) for own in labels],
    )
    means = np.stack([x[0][of[0] == c].mean(axis=0) for c in range(len(classes))])
    own = of[1] >= 0
    hits = _squares(x[1][own], means).argmin(axis=1) == of[1][own]
    found = [Estimate(
        "synthetic samples nearest to their own class", float(hits.mean()), *wilson(int(hits.sum()), len(hits)),
        interval="Wilson over synthetic samples", null=_held_out(x[0], of[0], means),
        null_method="real samples, each against class means without it", n=len(hits), d=d,
        estimator="share whose nearest mean of real samples is that of their class",
    )]  # fmt: skip
    pairs = [(x[0][of[0] == c], x[1][of[1] == c]) for c in range(len(classes))]
    spread = np.array([np.sqrt(a.var(axis=0, ddof=1).sum()) for a, _ in pairs])
    off = np.array([np.linalg.norm(b.mean(axis=0) - a.mean(axis=0)) for a, b in pairs])
    told = spread > 0
    if told.any():
        ratio = off[told] / spread[told]
        chance = np.mean([np.sqrt(1 / len(a) + 1 / len(b)) for a, b in pairs])
        found.append(Estimate(
            "offset of a class", float(ratio.mean()), **mean_interval(ratio, 0.0), null=float(chance),
            null_method="as many real samples: root of 1 / real + 1 / synthetic", n=int(told.sum()), d=d,
            estimator="distance of the two means over the spread of the real samples, mean over classes",
        ))  # fmt: skip
    for name, rows in zip(("real", "synthetic"), x, strict=True):
        away = rows - middle
        whole = float((away**2).sum())
        share = float(((away @ axes) ** 2).sum()) / whole if whole > 0 else 0.0
        found.append(Estimate(f"variance in the plane, {name}", share, null=min(1.0, 2 / d),
                              null_method="a random plane", n=len(rows), d=d,
                              estimator="share of squared distances from the real mean"))  # fmt: skip
    return tuple(found)


def _held_out(x, of, means) -> float:
    """Share of real samples nearest to their own class's mean without them."""
    at = np.flatnonzero(of >= 0)
    squares, count = _squares(x[at], means), np.bincount(of[at])[of[at]]
    i = np.arange(len(at))
    squares[i, of[at]] *= (count / (count - 1)) ** 2  # x - mean without x = (x - mean) n / (n - 1)
    return float((squares.argmin(axis=1) == of[at]).mean())


def _reading(estimates, classes, x) -> str:
    near = estimates[0]
    offset = next((e for e in estimates if e.name == "offset of a class"), None)
    said = (
        f"{near.value:.0%} of {near.n:,} synthetic samples are nearest to the real mean of their own class "
        f"({near.null:.0%} of the real ones are)"
    )
    if offset is not None:
        said += (
            f"; a class's synthetic mean is {offset.value:.2f} spreads off ({offset.null:.2f} were they real)"
        )
    return f"{said}. The plane shows {estimates[-2].value:.0%} of the real variance."


def _caveats(labels, classes) -> list[str]:
    said = ["A plane hides all other units: stars inside an ellipse may lie far off in another direction."]
    lost = len(set(np.concatenate(labels)) - {""}) - len(classes)
    if lost:
        said.append(f"{lost} class(es) without three real samples and a synthetic one have no ellipse.")
    return said


def _cost(shapes, params: SyntheticCloudParams) -> Cost:
    m, (n, k), d = machine(), [min(r, params.maximum_samples) for r, _ in shapes], shapes[0][1]
    return Cost(0.02 + m.seconds(flops64=12.0 * (n + k) * d * min(n, d), moved=80.0 * (n + k) * d),
                8.0 * (n + k) * d * 4)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Stars on the class means are nearest to them; a plane of two units shows all; an ellipse has the planted axes."""
    rng = np.random.default_rng(0)
    of = np.arange(80) % 2
    x = rng.standard_normal((80, 2)) * [3.0, 0.5] + np.outer(of, [0.0, 20.0])
    for c in (0, 1):
        own = x[of == c] - x[of == c].mean(axis=0)
        own -= np.outer(own[:, 0], [0, (own[:, 0] @ own[:, 1]) / (own[:, 0] @ own[:, 0])])
        x[of == c] = own / own.std(axis=0) * [3.0, 0.5] + [0.0, 20.0 * c]
    made = np.array([[0.0, 20.0 * c] for c in of[:8]])
    found = synthetic_cloud(
        ArrayActivations(x, "real", {"label": of}), ArrayActivations(made, "made", {"label": of[:8]})
    )
    told = {e.name: e for e in found.estimates}
    return (
        CheckLine("nearest to their own class", 1.0, found.estimates[0].value, 0.0),
        CheckLine("offset", 0.0, told["offset of a class"].value, 1e-9),
        CheckLine("two units in a plane", 1.0, told["variance in the plane, real"].value, 1e-12),
        CheckLine("longer half axis of an ellipse", 6.0, float(found.ellipses[0, 2]), 1e-9),
        CheckLine("stars", 8.0, float(found.stars.sum()), 0.0),
    )


METHODS = (
    Method(
        id="synthetic_cloud", family="similarity", title="Synthetic samples among real classes", version=1,
        function=synthetic_cloud,
        summary="Real samples class by class in one plane, and synthetic ones among them as stars.",
        params=SyntheticCloudParams, result=Scatter, check=_check, cost=_cost, inputs=2, matches="nothing",
        same_units=True, roles=("real", "synthetic"), minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all units of both alike",
        papers=("Enhancing Dataset Distillation via Non-Critical Region Refinement",),
    ),
)  # fmt: skip
