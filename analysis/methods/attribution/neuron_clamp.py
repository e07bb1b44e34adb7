"""What a neuron does: probabilities of the answer while one unit is held at a value, over a slider of values.

    p_t(v) = mean over samples of softmax(logits with unit j at v, at every token or at the last)_t

The unit is one of the tap, or of another module of its network (the activation inside an MLP block, to follow up a
passport of `neuron_passport`). Shown are the outputs whose probability moves most between the ends of the values that
the unit takes itself; values beyond these, where the network was never asked to answer, are marked. How far the whole
answer moves is the total variation distance between both ends.

Null: other units of the site, drawn at random, clamped at the same place of their own range; the output that moves most
is held against the one that moves most with them. Bands and interval:
Student's t over samples.

Verdict: the step from the 1st to the 99th percentile of its values is split into what is connected to the answer and
what is not, and checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: holding a unit still at all tokens is no input that the network ever sees, and later layers may repair it;
a unit that shares its work with others moves little alone; of a language model only the token after the last one is
read; where no network can be run, a linear probe answers, in which every unit acts along its weight.

Cost: for each sample (values + 2 x other units) forward passes, in batches of 32, and 12 for the verdict.

References: H. Davies (2025), "Decoding specialised feature neurons in LLMs with the final projection layer".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.clamping import EVERY, WHERE, Moved, moved, ranges, refuse_numbers
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.draw_ends import against_largest
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.interventions.clamp_verdict import clamp_verdict
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING = 8, 5.0
BEYOND = "beyond its own values"


@dataclass(frozen=True)
class NeuronClampParams:
    unit: int | None = param(None, "Unit that is held; automatic: the one that varies most.", low=0)
    module: str = param(
        "",
        "Module whose unit it is, such as transformer.h.2.mlp.act; empty: the tap's.",
        label="module of the unit",
    )
    where: str = param(EVERY, "Where it is held.", label="held at", choices=WHERE)
    values: int = param(15, "Places of the slider.", low=3, high=101)
    reach: float = param(
        0.5, "How far the slider goes beyond the unit's own values, in their range.", low=0.0, high=10.0
    )
    outputs: int = param(5, "Outputs that are drawn, those that move most.", low=1, high=20)
    others: int = param(8, "Other units that are clamped to compare.", low=2, high=100)
    reader: str = param(AUTOMATIC, "Who answers.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=8, high=5000)


def neuron_clamp(
    activations, params: NeuronClampParams = NeuronClampParams(), rng=None, progress=no_progress
) -> Curve:
    """Probabilities over the values of one unit.

    Parameters
    ----------
    activations : Activations
        A recorded tap whose network can be run, or one with labels.

    Returns
    -------
    Curve
        A line for each of the outputs that move most, with bands, null and the values beyond the unit's own marked.
        Estimates: how far the answer moves, and each output.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such unit or module; a unit that
        has one value.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    for _ in finite_blocks(tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(tap, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (0.05, 0.1), site=params.module)  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    refuse_numbers(samples)
    ends, unit = ranges(samples, params.unit, progress)
    low, high = ends[:, unit]
    grid = np.linspace(low - params.reach * (high - low), high + params.reach * (high - low), params.values)
    free = np.setdiff1d(np.flatnonzero(ends[1] > ends[0]), [unit])
    others = (
        np.sort(rng.choice(free, size=min(params.others, len(free)), replace=False)) if len(free) else free
    )
    found = moved(samples, unit, others, grid, ends, params.where, progress)
    order = np.argsort(-np.abs(found.effect.mean(axis=0)), kind="stable")[: params.outputs]
    verdict = clamp_verdict(samples, unit, int(order[0]), params.where, rng)
    progress(1.0, "done")
    names = _names(samples, order)
    half = stdtrit(found.n - 1, 0.975) / np.sqrt(found.n)
    beyond = grid[(grid < low - 1e-12 * abs(low)) | (grid > high + 1e-12 * abs(high))]

    def lines(values: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values[:, t] for name, t in zip(names, order, strict=True)}

    estimates = (*_estimates(found, order, names, ends.shape[1], samples), *verdict.estimates)
    return Curve(
        title=f"Answer with unit {unit} of {params.module or tap.name} held",
        reading=f"{_reading(estimates, unit, samples)} {verdict.sentence}",
        caveats=(*seen.notes, *notes, *_caveats(params, found, others), *verdict.caveats),
        estimates=estimates, x=grid, x_name=f"value of unit {unit}", y_name="probability",
        series=lines(found.mean), low=lines(np.maximum(found.mean - half * found.spread, 0)),
        high=lines(np.minimum(found.mean + half * found.spread, 1)), null=lines(found.null) if len(others) else {},
        marks=dict.fromkeys(names, beyond) if len(beyond) else {}, mark_name=BEYOND if len(beyond) else "",
    )  # fmt: skip


def _names(samples, order) -> list[str]:
    names = [samples.word(int(t)) for t in order]
    return [f"{name} ({t})" if names.count(name) > 1 else name for name, t in zip(names, order, strict=True)]


def _estimates(found: Moved, order, names, d: int, samples) -> tuple[Estimate, ...]:
    null, by_chance = {}, found.chance.mean(axis=1) if found.chance.size else np.empty(0)
    value = float(found.apart.mean())
    if len(by_chance):
        null = {"null": float(by_chance.mean()), "null_low": float(by_chance.min()),
                "null_high": float(by_chance.max()), "null_method": f"{len(by_chance)} other units, their extremes",
                "p_value": float(add_one_p(value, by_chance))}  # fmt: skip
    out = [
        Estimate(
            "how far the answer moves",
            value,
            **mean_interval(found.apart, 0.0, 1.0),
            n=found.n,
            d=d,
            **null,
            estimator="total variation between both ends of the unit's own values, mean over samples",
        )
    ]
    others = -np.sort(-np.abs(found.by_others), axis=1) if len(by_chance) else None
    for k, (name, t) in enumerate(zip(names, order, strict=True)):
        own, place = found.effect[:, t], "largest" if k == 0 else f"{k + 1}. largest"
        chance = {"null": 0.0, "null_method": "a unit that does nothing"} if others is None else {
            **against_largest(own.mean(), others[:, k]), "null_method": f"{place} change of any output by other units"
        }  # fmt: skip
        out.append(Estimate(f"probability of {name}", float(own.mean()), **mean_interval(own, -1.0, 1.0), **chance,
                            n=found.n, d=d,
                            estimator="change from the lowest to the highest of the unit's own values"))  # fmt: skip
    return tuple(out)


def _reading(estimates, unit: int, samples) -> str:
    first, most = estimates[:2]
    chance = "" if first.null is None else f" ({first.null:.1%} with other units)"
    beside = (
        ""
        if most.p_value is None
        else f" (the largest change by other units: {abs(most.null):.3f} on average)"
    )
    return (
        f"From the lowest to the highest value that unit {unit} takes, {first.value:.1%} of the answer of "
        f"{samples.what} moves{chance}; the {most.name} changes most, by {most.value:+.3f}{beside}."
    )


def _caveats(params, found: Moved, others) -> list[str]:
    said = [f"The unit was held at {params.where}, in {found.n} samples; nothing else was."]
    if not len(others):
        said.append("No other unit varies: there is nothing to compare with.")
    if params.reach > 0:
        said.append("Beyond the unit's own values, marked, the network answers what it was never asked.")
    return said


def _cost(shapes, params: NeuronClampParams) -> Cost:
    (n, d), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    passes = some * (14 + (1 + params.others) * -(-(params.values + 2) // 32))
    return Cost(
        OPENING + 2e-3 * passes + m.seconds(moved=8.0 * n * d), 18e3 * d + 3000.0 * params.values, passes
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: raising the unit that tells class 1 raises its probability, a unit of noise does little."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(80), 0.1 * rng.standard_normal((80, 5))])
    tap = ArrayActivations(x, "planted", {"label": label})
    params = {"reader": PROBE, "outputs": 2, "maximum_samples": 40}
    telling, noise = (neuron_clamp(tap, NeuronClampParams(unit=j, **params)) for j in (0, 3))
    up = telling.series["1"]
    return (
        CheckLine("the telling unit moves the answer", 0.8, telling.estimates[0].value, 0.0, "at least"),
        CheckLine("and rises with its value", 0.0, float(np.diff(up).min()), 0.0, "at least"),
        CheckLine("probabilities of both classes", 1.0, float((up + telling.series["0"]).mean()), 1e-12),
        CheckLine("a unit of noise", 0.2, noise.estimates[0].value, 0.0, "at most"),
    )


METHODS = (
    Method(
        id="neuron_clamp", family="attribution", title="Clamp a neuron", version=2, function=neuron_clamp,
        summary="Probabilities of the answer while one unit is held at a value, over a slider of values.",
        params=NeuronClampParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a constant added to all logits; order of the samples' tokens where the reader is a probe",
        papers=("Decoding specialised feature neurons in LLMs with the final projection layer",), libraries=("torch",),
    ),
)  # fmt: skip
