"""Does a map hang on what the network has learned? Its layers are given other weights, one after the other, from the
output downwards, and every way's map is compared with its own from the trained network.

    likeness at stage s = mean over samples and draws of likeness(map as trained, map with the last s layers reset)

by Spearman's rank correlation of sizes or of values, or by structural similarity. Only layers behind the site are
reset: what stands at the site, and so every control, stays. Where a linear probe stands in the place of the network, it
is fitted again to the same samples with their labels permuted.

Bands and intervals are of the mean over samples and draws, as both could have been others: draws move all samples
together, so that three of them leave a wide band whatever the number of samples (Student's t, Satterthwaite's degrees
of freedom).

Null: maps of other samples by the same way, a line for each: a map that has lost the network may keep what the way
likes in any sample. Random maps have ρ = 0. A way keeps part of its map where the whole interval of its likeness in the
end lies above the interval of that of other samples, fails where it lies above 0.5, too, and loses it where it lies
below 0.5; wider ones tell nothing. A map that is the same everywhere for more than half of the samples has nothing to
lose: it gets no verdict. Edges ignore the weights and fail by construction.

When it lies: a way that multiplies by what stands at the site keeps its shape whatever the weights, and may still be
right about the trained network; a network at random is a network too, and edges are what random convolutions see; a
saturated network at random gives no map, which counts as no likeness. A map that passes may be wrong all the same.

Cost: the maps of all samples for each stage and draw, as their ways tell, and a copy of the weights that are reset.

References: J. Adebayo et al. (2018), "Sanity checks for saliency maps"; Z. Wang et al. (2004), "Image quality
assessment: from error visibility to structural similarity".
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.saliency.map_likeness import beside, rank_correlations, same_length, structure
from analysis.attribution.saliency_court import reset_layers
from analysis.attribution.saliency_court.asking import FEWEST, CurvesCourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.forgetting import reset_cases, stages_behind
from analysis.attribution.saliency_court.kept_maps import drawn_rng
from analysis.attribution.saliency_court.on_trial import opened_trial
from analysis.attribution.saliency_court.trial import Trial
from analysis.compute.statistics.crossed import crossed_ends
from analysis.compute.statistics.ring_pairs import ring_interval, ring_partners
from analysis.features.readers import PROBE
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param

SIZES, VALUES, STRUCTURE = "rank correlation of sizes", "rank correlation of values", "structural similarity"
MEASURES = (SIZES, VALUES, STRUCTURE)
FAILS = 0.5


@dataclass(frozen=True)
class CascadeRandomisationParams(CurvesCourtParams):
    budget: int = param(
        50, "Most passes through the network that one map of one way may take.", low=2, high=1_000_000,
        label="passes for a map", late=True,
    )  # fmt: skip
    samples: int = param(12, "Samples, drawn at random.", low=FEWEST, high=1000, late=True)
    measure: str = param(SIZES, "How alike two maps are.", choices=MEASURES)
    weights: str = param(reset_layers.DRAWN, "What layers get: normal values of the same mean and spread, or shuffled.",
                         choices=reset_layers.KINDS)  # fmt: skip
    stages: int = param(6, "Most stages; neighbouring layers are reset together.", low=1, high=200)
    draws: int = param(4, "Times that weights are drawn, or labels permuted.", low=3, high=100)


def cascade_randomisation(
    activations,
    params: CascadeRandomisationParams = CascadeRandomisationParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Likeness of maps to those of the trained network as its layers are reset.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        A line for each way over the stages, with bands over samples and draws, and its null. Estimates: likeness in
        the end.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; no layer behind the site.
    """
    rng = rng or np.random.default_rng(0)
    trial = opened_trial(activations, params, rng, progress)
    clean = trial.without_silent(trial.maps(progress, (0.1, 0.2)))
    names, stages = stages_behind(trial, params)
    partner = ring_partners(len(clean), rng)
    other = _likeness(trial, clean, beside(clean, partner), params.measure)
    found, total, done = [], params.draws * len(stages), 0
    for draw in range(params.draws):
        own = []
        # closed whatever happens: the weights come back also after an exception
        with closing(reset_cases(trial, stages, params, drawn_rng(trial.probe_seed, draw))) as every:
            for stage, cases in enumerate(every):
                span = (0.2 + 0.75 * done / total, 0.2 + 0.75 * (done + 1) / total)
                names_reset = [name for part in stages[: stage + 1] for name in part]
                reset = {"weights": params.weights, "draw": draw, "reset": names_reset}
                maps = trial.changed_maps(cases, reset, progress, span, "explaining with other weights")
                own.append(_likeness(trial, clean, maps, params.measure))
                done += 1
        found.append(own)
    likeness = _with_trained(np.array(found), trial, clean)
    value, (low, high) = likeness.mean(axis=(0, 1)), crossed_ends(likeness, -1.0, 1.0)
    progress(1.0, "done")
    lines = [dict(zip(trial.names, line, strict=True)) for line in (value, low, high)]
    null = [ring_interval(other[:, k], partner, -1.0, 1.0) for k in range(len(trial.names))]
    verdicts = _verdicts(trial, lines, null, _blank(clean))
    return Curve(
        title="Maps as the network forgets what it learned", reading=_reading(trial, verdicts),
        caveats=(*trial.caveats(), *_said(trial)), estimates=_estimates(trial, lines, other, null, params),
        x=np.arange(len(names), dtype=np.float64), x_name="reset, from the output down to", x_labels=names,
        y_name=params.measure, series=lines[0], low=lines[1], high=lines[2],
        null={name: np.full(len(names), other[:, k].mean()) for k, name in enumerate(trial.names)},
        controls=tuple(way.name for way in trial.ways if way.control),
    )  # fmt: skip


def _with_trained(found: np.ndarray, trial: Trial, clean) -> np.ndarray:
    """(n, draws, ways, stages + 1) of `found` (draws, stages, n, ways): first the likeness of each map to itself, 1, or
    0 of one that is the same everywhere."""
    own = np.array([[float(np.ptp(one) > 0) for one in maps] for maps in clean])
    own = np.broadcast_to(own, (len(found), 1, *own.shape))
    return np.concatenate([own, found], axis=1).transpose(2, 0, 3, 1)


def _blank(maps) -> np.ndarray:
    """(ways,) bool: the same everywhere for more than half of the samples."""
    return np.mean([[np.ptp(one) == 0 for one in every] for every in maps], axis=0) > 0.5


def _likeness(trial: Trial, a, b, measure: str) -> np.ndarray:
    """(n, ways) of maps of as many cases, up to the end of the shorter one."""
    out = np.empty((len(a), len(trial.ways)))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        x, y = same_length(np.array(x), np.array(y))
        if measure == STRUCTURE:
            grid, leading = trial.grid_of(trial.cases[i])
            out[i] = [structure(p[leading:], q[leading:], grid) for p, q in zip(x, y, strict=True)]
        else:
            out[i] = rank_correlations(*((np.abs(x), np.abs(y)) if measure == SIZES else (x, y)))
    return out


def _verdicts(trial: Trial, lines, null: list[dict], blank: np.ndarray) -> dict[str, list[str]]:
    """Names of the ways by what the ends of their likeness say."""
    said = {"fails": [], "keeps part": [], "loses it": [], "unsure": [], "blank": []}
    for k, name in enumerate(trial.names):
        low, high = (float(line[name][-1]) for line in lines[1:])
        if blank[k]:
            verdict = "blank"
        elif low > max(null[k]["high"], 0.0):
            verdict = "fails" if low > FAILS else "keeps part"
        else:
            verdict = "loses it" if high < FAILS else "unsure"
        said[verdict].append(name)
    return said


def _estimates(trial: Trial, lines, other: np.ndarray, null: list[dict], params) -> tuple[Estimate, ...]:
    d, n = int(np.median(trial.tokens)), len(other)
    value, low, high = ([float(line[name][-1]) for name in trial.names] for line in lines)
    return tuple(
        Estimate(f"likeness in the end, {name}", value[k], low[k], high[k],
                 interval="Student's t over samples and draws (Satterthwaite)", null=float(other[:, k].mean()),
                 null_low=null[k]["low"], null_high=null[k]["high"],
                 null_method="maps of other samples by the same way", n=n, d=d,
                 estimator=f"mean {params.measure} over samples and {params.draws} draws")
        for k, name in enumerate(trial.names)
    )  # fmt: skip


def _reading(trial: Trial, verdicts: dict[str, list[str]]) -> str:
    done = "all layers behind the site reset" if trial.is_network else "the probe fitted to permuted labels"
    told = []
    for verdict, words in (
        ("fails", f"the maps stay (above {FAILS} with the whole interval): FAIL"),
        ("keeps part", "keep part of the map"), ("loses it", "lose the map"),
        ("unsure", "cannot be told (a wide interval: ask for more draws)"),
        ("blank", "have no map to lose, as it is the same everywhere"),
    ):  # fmt: skip
        if verdicts[verdict]:
            told.append(f"{words}: {', '.join(verdicts[verdict])}")
    return f"With {done}, " + "; ".join(told) + "."


def _said(trial: Trial) -> tuple[str, ...]:
    if trial.is_network:
        return ("Running means of normalisations stay, and only layers behind the site are reset.",)
    return (
        "The probe has one layer: its labels are permuted instead, which leaves nothing for it to have learned.",
    )


def _cost(shapes, params: CascadeRandomisationParams):
    return court_cost(shapes, params, 1 + params.stages * params.draws)


def _check() -> tuple[CheckLine, ...]:
    """A probe of one strong unit of many: edges stay whatever the labels say, slopes do not."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    x = rng.standard_normal((80, 20)) + 6.0 * label[:, None] * (np.arange(20) == 3)
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = cascade_randomisation(
        tap, CascadeRandomisationParams(ways="gradient", reader=PROBE, draws=5, steps=1)
    )
    last = {name: float(values[-1]) for name, values in found.series.items()}
    return (
        CheckLine("edges ignore the labels", 1.0, last["edges"], 1e-9),
        CheckLine("slopes do not", FAILS, last["gradient"], 0.0, "at most"),
        CheckLine("random maps are alike by chance only", 0.0, last["random"], 0.3),
        CheckLine("edges are named", 1.0, float("FAIL: edges" in found.reading), 0.0),
    )


METHODS = (
    Method(
        id="cascade_randomisation",
        family="attribution",
        title="Cascade randomisation",
        summary="Whether each way's map changes as the network's layers lose what they learned.",
        version=2,
        function=cascade_randomisation,
        params=CascadeRandomisationParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="any rising function of a map, of rank correlations",
        papers=tuple(
            f"There and Back Again: Revisiting Backpropagation Saliency Methods (same text as {row})"
            for row in ("003 #40", "002 #51")
        ),
        libraries=("torch",),
    ),
)
