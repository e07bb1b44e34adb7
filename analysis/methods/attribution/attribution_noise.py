"""How much does a map move when the sample hardly does?

Noise of a given size is added to what stands at the site, the same answer is explained again, and the map is compared
with that of the sample as it is; both are brought to length 1, so that a factor does not count:

    change of a map  = ‖m(x + ε) / ‖m(x + ε)‖ - m(x) / ‖m(x)‖‖      ε ~ N(0, s² v) ,  v mean square of x - b
    change of answer = |y(x + ε) - y(x)| / mean |y(x) - y(b)|

Both are 0 for s = 0. A map whose change over the noise's is large where the answer's is small tells of the noise: the
ratio at the smallest noise is a local Lipschitz-like number, which is told for each way beside that of the answer.

Null: the change between the maps of two samples by the same way, a line for each: at that height nothing of this sample
is left. Random maps lie there at once.

When it lies: noise at a deep site may be unlike anything that the layer gives; of an answer that moves, a map ought to
move; a way that does not look at the sample at all, or at a straight line only, does not move and is best of all here;
sampled ways (masks) move by their own draws.

Cost: the maps of all samples for each size of noise and draw, as their ways tell.

References: D. Alvarez-Melis & T. Jaakkola (2018), "On the robustness of interpretability methods"; C.-K. Yeh et al.
(2019), "On the (in)fidelity and sensitivity of explanations"; A. Ghorbani et al. (2019), "Interpretation of neural
networks is fragile".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.saliency.map_likeness import beside, same_length
from analysis.attribution.saliency_court.asking import FEWEST, CurvesCourtParams
from analysis.attribution.saliency_court.bands import mean_band, ratio_of_means
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.kept_maps import drawn_rng
from analysis.attribution.saliency_court.on_trial import opened_trial
from analysis.attribution.saliency_court.trial import Case, Trial
from analysis.compute.statistics.ring_pairs import ring_interval, ring_partners
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param

ANSWER = "the answer itself"


@dataclass(frozen=True)
class AttributionNoiseParams(CurvesCourtParams):
    budget: int = param(
        50, "Most passes through the network that one map of one way may take.", low=2, high=1_000_000,
        label="passes for a map", late=True,
    )  # fmt: skip
    samples: int = param(12, "Samples, drawn at random.", low=FEWEST, high=1000, late=True)
    smallest: float = param(
        0.02, "Smallest noise, over the distance of sample and background.", low=1e-4, high=1.0
    )
    largest: float = param(0.5, "Largest noise, over the same.", low=1e-3, high=10.0)
    sizes: int = param(3, "Sizes of noise, equal factors apart.", low=2, high=30)
    draws: int = param(2, "Draws of noise of each size.", low=1, high=100)


def attribution_noise(
    activations, params: AttributionNoiseParams = AttributionNoiseParams(), rng=None, progress=no_progress
) -> Curve:
    """Change of maps under noise, beside that of the answer.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Curve
        A line for each way, and one for the answer, over the size of the noise, with bands over samples. Estimates:
        change over noise at the smallest noise.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; a largest noise below the
        smallest.
    """
    if params.largest <= params.smallest:
        raise InputError(
            f"noise up to {params.largest} from {params.smallest}", "a largest above the smallest"
        )
    rng = rng or np.random.default_rng(0)
    trial = opened_trial(activations, params, rng, progress)
    clean = trial.without_silent(trial.maps(progress, (0.1, 0.2)))
    sizes = np.geomspace(params.smallest, params.largest, params.sizes)
    partner = ring_partners(len(clean), rng)
    other = _changes(clean, beside(clean, partner))
    moved, answer = _moved(trial, clean, sizes, params, progress)
    lines = mean_band(moved, rng)
    answers = mean_band(answer, rng)
    progress(1.0, "done")
    names = (*trial.names, ANSWER)
    each = [dict(zip(names, (*way, own), strict=True)) for way, own in zip(lines, answers, strict=True)]
    estimates = _estimates(trial, moved[:, :, 0], answer[:, 0], other, partner, sizes[0], rng)
    return Curve(
        title="How far maps move under noise", reading=_reading(trial, moved, answer, other, sizes),
        caveats=(*trial.caveats(), *_said(trial, moved)), estimates=estimates, x=sizes,
        x_name="noise, over the distance of sample and background", y_name="change of the map, of length 1",
        series=each[0], low=each[1], high=each[2], log_x=True,
        null={name: np.full(len(sizes), other[:, k].mean()) for k, name in enumerate(trial.names)},
        controls=tuple(way.name for way in trial.ways if way.control),
    )  # fmt: skip


def _moved(trial: Trial, clean, sizes: np.ndarray, params, progress):
    """Change of maps (n, ways, sizes) and of the answer (n, sizes), means over draws."""
    n, total, done = len(trial.cases), len(sizes) * params.draws, 0
    moved, answer = np.zeros((len(sizes), n, len(trial.ways))), np.zeros((len(sizes), n))
    own = np.array([_number(case) for case in trial.cases])
    whole = own - np.array([_number(case, case.background.rows[0]) for case in trial.cases])
    for draw in range(params.draws):
        drawn = drawn_rng(trial.probe_seed, draw)
        noise = [drawn.standard_normal(case.run.shape) for case in trial.cases]
        for k, size in enumerate(sizes):
            cases = [_noisy(case, size * e) for case, e in zip(trial.cases, noise, strict=True)]
            span = (0.2 + 0.75 * done / total, 0.2 + 0.75 * (done + 1) / total)
            noisy = {"noise": float(size), "draw": draw}
            maps = trial.changed_maps(cases, noisy, progress, span, "explaining noisy samples")
            moved[k] += _changes(clean, maps) / params.draws
            there = [_number(case, new.run.clean) for case, new in zip(trial.cases, cases, strict=True)]
            answer[k] += np.abs(np.array(there) - own) / params.draws
            done += 1
    trial.passes += n * (2 + 2 * total)
    return moved.transpose(1, 2, 0), answer.T / max(float(np.abs(whole).mean()), 1e-300)


def _number(case: Case, x=None) -> float:
    x = case.run.clean if x is None else x
    return float(case.run.values(x[None], case.target).double()[0])


def _noisy(case: Case, e: np.ndarray) -> Case:
    import torch

    x = case.run.clean
    apart = (x.double() - case.background.rows[0].double()).pow(2)
    # each unit by its own distance: columns of a table have units of measure
    size = apart.sqrt() if isinstance(case.run, ByUnit) else apart.mean(dim=0).sqrt()
    new = (x.double() + size * torch.as_tensor(e)).to(x.dtype)
    return dataclasses.replace(case, run=case.run.holding(new))


def _changes(a, b) -> np.ndarray:
    """(n, ways) distances of maps of length 1; between a map of zeros and another one 1, and none between two."""
    out = []
    for x, y in zip(a, b, strict=True):
        x, y = (_of_length_1(m) for m in same_length(np.array(x), np.array(y)))
        out.append(np.linalg.norm(x - y, axis=1))
    return np.array(out)


def _of_length_1(maps: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(maps, axis=1, keepdims=True)
    return maps / np.where(size > 0, size, 1.0)


def _estimates(trial: Trial, moved, answer, other, partner, size: float, rng) -> tuple[Estimate, ...]:
    n, d = len(answer), int(np.median(trial.tokens))
    found = [
        Estimate(f"change over noise, {name}", float(moved[:, k].mean() / size),
                 **mean_interval(moved[:, k] / size, 0.0), null=float(other[:, k].mean() / size),
                 null_method="maps of two samples, over the same noise", n=n, d=d,
                 estimator=f"mean change of the map / noise, at noise {size:.3g}")
        for k, name in enumerate(trial.names)
    ]  # fmt: skip
    if answer.mean() > 0:
        for k, name in enumerate(trial.names):
            if trial.explaining[k]:
                value, low, high = ratio_of_means(moved[:, k], answer, rng)
                ends = ring_interval(other[:, k] / answer.mean(), partner, 0.0)
                found.append(
                    Estimate(f"change over the answer's, {name}", float(value), float(low), float(high),
                             interval="bootstrap over samples", null=float(other[:, k].mean() / answer.mean()),
                             null_low=ends["low"], null_high=ends["high"], null_method="maps of two samples", n=n, d=d,
                             estimator=f"mean change of the map / mean change of the answer, at noise {size:.3g}")
                )  # fmt: skip
    return tuple(found)


def _reading(trial: Trial, moved, answer, other, sizes) -> str:
    own = np.flatnonzero(trial.explaining)
    first = moved[:, own, 0].mean(axis=0)
    most, least = own[np.argmax(first)], own[np.argmin(first)]
    lost = [trial.names[k] for k in own if moved[:, k, 0].mean() > other[:, k].mean() / 2]
    said = lambda k: f"{trial.names[k]} ({moved[:, k, 0].mean():.2g})"  # noqa: E731
    told = (
        f"With noise of {sizes[0]:.2g} of the distance to the background the answer of {trial.what} moves by "
        f"{answer[:, 0].mean():.2g} of its own; of maps that of {said(most)} moves most and of {said(least)} least, "
        f"and those of two samples are {other[:, own].mean():.2g} apart"
    )
    return told + (f". Half lost already: {', '.join(lost)}." if lost else ".")


def _said(trial: Trial, moved: np.ndarray) -> tuple[str, ...]:
    still = [w.name for k, w in enumerate(trial.ways) if not w.control and not moved[:, k].any()]
    if not still:
        return ()
    return (
        f"{', '.join(still)} gave the same map whatever the noise: it does not look at what stands there.",
    )


def _cost(shapes, params: AttributionNoiseParams):
    times = params.sizes * params.draws
    return court_cost(shapes, params, 1 + times, 2 + 2 * times)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: its slopes never move, and what they owe to units moves as the sample does, by a known amount."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = rng.standard_normal((60, 30)) + 1.0 * label[:, None]
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = AttributionNoiseParams(
        ways="gradient, gradient x input", reader=PROBE, sizes=2, draws=3, background="zero"
    )
    found = attribution_noise(tap, params)
    size = {name: float(values[0]) for name, values in found.series.items()}
    return (
        CheckLine("slopes of a straight line", 0.0, size["gradient"], 1e-7),
        CheckLine("slopes times what is there move as the noise", params.smallest, size["gradient x input"], 0.01),
        CheckLine("random maps do not stay", float(found.null["random"][0]), size["random"], 0.2),
        CheckLine("more noise, more change", size["gradient x input"], float(found.series["gradient x input"][1]), 0.0,
                  "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="attribution_noise",
        family="attribution",
        title="Maps under noise",
        summary="How far each way's map moves when the sample hardly does, beside the answer's own change.",
        version=2,
        function=attribution_noise,
        params=AttributionNoiseParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a factor of a map",
        papers=("Causal Analysis for Robust Interpretability of Neural Networks",),
        libraries=("torch",),
    ),
)
