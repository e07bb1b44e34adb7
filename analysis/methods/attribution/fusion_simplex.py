"""How should the scores of several modalities be weighed, and what does each of them add?

The units of the tap are cut into modalities (by their names up to a ':', such as "sound:violent", else into equal
blocks). Each gives a score for every class: its units as they are, a unit for each class, or a linear probe of its
units, fitted to one half of the samples and read on the other. Fused scores are Σ w_m s_m with weights on the simplex.

    metric(w)   accuracy, or balanced accuracy, at every weighting of a grid; corners are single modalities
    φ_m         Shapley value of a modality in v(S) = metric of the equal weights of S, v(∅) = 1 / classes: exact, sums
                to v(all) - v(∅)

The best weighting, and the best single modality, are chosen on one half of the samples and measured on the other, both
ways: the best of several on the same samples is too good. Flat: how much the metric changes along the exchange of two
modalities that changes it least; 0 for copies. Null: labels shuffled; for the best weighting the best of the same grid.
Intervals: Poisson bootstrap over samples, scores held fixed.

When it lies: a grid misses what lies between its points; from four modalities on the picture lays several weightings on
one place; scores on different scales make equal weights unequal; the Shapley value is that of equal weights, not of
the best ones; modalities that say the same share their value.

Cost: O(points n modalities classes), and 2^modalities weightings.

References: L. S. Shapley (1953); the late fusion of J. Kittler et al. (1998), "On combining classifiers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.games.fusion import (
    ACCURACY,
    METRICS,
    blocks_of,
    corners,
    credits,
    sample_weights,
    simplex,
)
from analysis.compute.games.fusion_report import Fusion, fusion_estimates
from analysis.compute.machine import machine
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotFound
from analysis.features.probe_reader import ProbeReader, probe_of
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST, FEWEST = 10, 12  # modalities; samples


@dataclass(frozen=True)
class FusionSimplexParams:
    modalities: int = param(3, "Equal blocks of units, where their names do not tell.", low=2, high=MOST)
    given_scores: bool = param(
        False,
        "Units are the class scores, one for each class in order; else a probe of each modality gives them.",
    )
    metric: str = param(ACCURACY, "What a weighting is measured by.", choices=METRICS)
    points: int = param(300, "Most weightings on the grid.", low=20, high=5000)
    draws: int = param(200, "Resamples, and shuffles of the labels.", low=50, high=5000)
    column: str | None = param(None, "Labels; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random subset above.", low=FEWEST, high=100_000
    )


def fusion_simplex(
    activations, params: FusionSimplexParams = FusionSimplexParams(), rng=None, progress=no_progress
) -> Scatter:
    """The metric over all weightings of modalities.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        A point for each weighting, in the polygon of the modalities. Columns: the metric, the weights. Estimates: the
        best weighting, the equal one, each modality's Shapley value, the flattest exchange, disagreement.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No labels; fewer units than modalities; units that are not one for each class; more than ten modalities.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    for _ in finite_blocks(tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    column = label_column(tap, params.column)
    if column is None:
        raise NotFound(f"{tap.name} has no labels", "a column of classes", "Name one")
    own, names, how = blocks_of(tap.unit_names, tap.shape[1], params.modalities)
    if not 2 <= len(own) <= MOST:
        raise InputError(f"{len(own)} modalities {how}", f"2 … {MOST}", "Join some of them")
    reader = ProbeReader(tap, column, params.maximum_samples, rng, progress, (0.05, 0.3))
    scores = _scores(reader, own, names, params)
    progress(0.4, "weighing modalities")
    weights = simplex(len(own), params.points)
    found = credits(scores, weights, reader.of)
    progress(0.6, "resampling")
    data = Fusion(scores, found, weights, reader.of, reader.half, params.metric)
    estimates = fusion_estimates(data, names, tap.shape[1], params.draws, rng, progress, (0.6, 1.0))
    metric = found @ sample_weights(reader.of, params.metric, np.ones((1, len(reader.of))))[0]
    progress(1.0, "done")
    places = weights @ corners(len(own))
    return Scatter(
        title=f"{params.metric.capitalize()} of weighted modalities of {tap.name}",
        reading=_reading(metric, weights, names, estimates, params),
        caveats=(*seen.notes, *_notes(reader, params), *_caveats(names, how, params)), estimates=estimates,
        positions=places, rows=np.arange(len(places)), of="weightings", axes=("", ""), meaningful_axes=False,
        columns={params.metric: metric, **{f"weight of {n}": w for n, w in zip(names, weights.T, strict=True)}},
        colour=params.metric, corners=dict(zip(names, corners(len(names)), strict=True)),
    )  # fmt: skip


def _scores(reader: ProbeReader, own, names, params) -> np.ndarray:
    """(modalities, n, classes)."""
    x, of, classes = reader.pooled, reader.of, len(reader.classes)
    if params.given_scores:
        wrong = next((k for k, o in enumerate(own) if len(o) != classes), None)
        if wrong is not None:
            raise InputError(
                f"modality '{names[wrong]}' has {len(own[wrong])} unit(s), and there are {classes} classes",
                "a unit for each class, in the order of the classes' names", "Take a probe of its units",
            )  # fmt: skip
        return np.stack([x[:, o] for o in own])
    out = np.empty((len(own), len(of), classes))
    for k, o in enumerate(own):
        for half in (0, 1):
            read = reader.half == half
            out[k, read] = np.exp(probe_of(x[~read][:, o], of[~read], classes).scores(x[read][:, o]))
    return out


def _notes(reader: ProbeReader, params) -> tuple[str, ...]:
    return reader.notes[:-1] if params.given_scores else reader.notes


def _caveats(names, how: str, params) -> list[str]:
    said = [f"{len(names)} modalities, told apart {how}: {', '.join(names)}."]
    if len(names) > 3:
        said.append("Different weightings lie on one place of the picture; the columns tell them apart.")
    if params.given_scores:
        said.append("Scores are taken as they are: where their scales differ, so does what a weight means.")
    return said


def _reading(metric, weights, names, estimates, params) -> str:
    best = int(metric.argmax())
    told = ", ".join(f"{w:.0%} {n}" for w, n in zip(weights[best], names, strict=True) if w > 0)
    return (
        f"The best {params.metric} on the grid is {metric[best]:.3f} at {told}, on the samples that it was chosen by. "
        f"Chosen on one half and measured on the other, the best weighting has {estimates[0].value:.3f} and the best "
        f"single modality {estimates[2].value:.3f}; equal weights have {estimates[1].value:.3f}."
    )


def _cost(shapes, params: FusionSimplexParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    work = samples * (params.points + params.draws * (40 + 2.0**params.modalities)) * params.modalities * 8.0
    held = 8.0 * samples * (2.0 * d + params.points + 2 * params.draws + 60) + 8.0 * n * d
    calls = 30.0 * params.draws * (40 + 2.0**params.modalities)
    return Cost(0.2 + m.seconds(flops64=8.0 * work, moved=8.0 * work + 8.0 * n * d, calls=calls), held)


def _check() -> tuple[CheckLine, ...]:
    """Scores that are right, a copy of them, and scores of noise: exact sums, a flat exchange, corners."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    good = np.eye(2)[label] + 0.6 * rng.standard_normal((60, 2))
    x = np.concatenate([good, good, rng.standard_normal((60, 2))], axis=1)
    names = [f"{m}:{c}" for m in ("sound", "copy", "noise") for c in (0, 1)]
    tap = ArrayActivations(x, name="planted", samples={"label": label}, unit_names=tuple(names))
    found = fusion_simplex(tap, FusionSimplexParams(given_scores=True, points=60, draws=50))
    told = {e.name: e.value for e in found.estimates}
    shared = [told[f"Shapley value of {m}"] for m in ("sound", "copy", "noise")]
    alone = float((good.argmax(axis=1) == label).mean())
    corner = found.columns["accuracy"][found.columns["weight of sound"] == 1]
    return (
        CheckLine("Shapley values sum to all less none", told["equal weights"] - 0.5, sum(shared), 1e-12),
        CheckLine("copies have one value", 0.0, shared[0] - shared[1], 1e-12),
        CheckLine("exchange of copies", 0.0, told["flattest exchange: sound for copy"], 1e-12),
        CheckLine("a corner is the modality alone", alone, float(corner[0]), 1e-12),
    )


METHODS = (
    Method(
        id="fusion_simplex",
        family="attribution",
        title="Weighing modalities",
        summary="How good every weighting of several modalities' scores is, and what each modality adds.",
        version=2,
        function=fusion_simplex,
        params=FusionSimplexParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all scores of a sample; one positive scale for all modalities",
        papers=("Violence Detection in Videos",),
    ),
)
