"""Where in a sample is the answer decided: one way of saliency over the tokens of one sample or several.

A map gives each token u of a site (patches, places of a convolution's map, words; at the network's input pixels) a
number, by one way of `analysis.attribution.saliency`: slopes, Grad-CAM, NormGrad, integrated or expected gradients,
occlusion, RISE, Shapley values, DeepLIFT, guided slopes, relevance. Values are as the way gives them and on one scale
for all samples: for occlusion, Shapley values, DeepLIFT and integrated gradients in units of the explained number (a
difference of two logits of 0.3 is 0.3 in every picture), for lengths of slopes in units of their own. A tap of one
token a sample has no places: its units are mapped.

Null: maps of the same way of other samples, token by token, ties and ends of texts counted as they are; each of them
against the rest says how far the share varies, and how many independent tokens Wilson's interval may count. Ways whose
parts sum to the answer less that of the background tell what they miss.

When it lies: no map shows what the network would do without a token, but for occlusion and Shapley values, which show
what it does with the background there; another background or way is another question; several ways hardly look at the
weights (edges do as well); ways by random masks have errors, which are told; with few other samples the spread of their
shares is itself hardly known.

Cost: the passes of the way for every sample shown and for each of those that the null takes.

References: S.-A. Rebuffi, R. Fong, X. Ji & A. Vedaldi (2020), "There and back again: revisiting backpropagation
saliency methods"; and those of each way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution import backgrounds
from analysis.attribution.saliency.asked import (
    FEWEST,
    TAP,
    THE_INPUT,
    Asked,
    NulledParams,
    held_by,
    notes_of,
    residual_estimate,
    way_of,
)
from analysis.attribution.saliency.beyond_others import Beyond, beyond_estimate, beyond_others, padded
from analysis.attribution.saliency.way import SaliencyMap, Settings, checked_map
from analysis.attribution.saliency.ways import WAYS
from analysis.compute.machine import machine
from analysis.errors import LoupeError, NotEnoughData
from analysis.features.readers import PROBE
from analysis.results import Estimate, TokenMap
from analysis.sources.input_picture import picture_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OPENING = 5.0  # seconds


@dataclass(frozen=True)
class SaliencyMapParams(NulledParams):
    way: str = param("integrated gradients", "How the map is made.", choices=tuple(WAYS))
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    more: int = param(3, "Random other samples shown beside it.", low=0, high=11)
    site: str = param(TAP, "Whose tokens are mapped.", choices=(TAP, THE_INPUT))


def saliency_map(
    activations, params: SaliencyMapParams = SaliencyMapParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of some samples by one way.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A recorded tap, or one that a feature set encoded, of which the source is taken. Recorded means over tokens are
        no hindrance: the network is run again.

    Returns
    -------
    TokenMap
        (samples, tokens) on one scale. Estimates: tokens beyond the null, the residual, passes of a sample.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or output; fewer than eight samples; what the way
        itself refuses, by the module's name.
    """
    rng = rng or np.random.default_rng(0)
    asked, way = Asked(activations, params, params.site, rng, progress), way_of(params.way)
    own = asked.places(params.sample, params.more)
    own, questions, maps, refused = _own(asked, way, own, progress)
    sizes = [_size(q) if way.complete else 0.0 for q in questions]
    null, why = asked.other_maps([way], own, asked.draws([way], len(own)), progress, (0.5, 1.0))
    others = [m.values for (m,) in null if m is not None]
    ends = _ends(asked, own, maps, null)
    if len(others) < 2:
        raise NotEnoughData(
            f"{len(others)} other samples that have a map ({why})", "at least 2", "Choose another way"
        )
    if len(others) < len(null):
        refused.append(
            f"{len(null) - len(others)} other samples have no map and are left out of the null: {why}."
        )
    found = beyond_others([m.values for m in maps], others)
    progress(1.0, "done")
    estimates = _estimates(maps, sizes, found, questions[0].run.shape[1])
    run = questions[0].run
    pictures = [picture_of(q.run.inputs) for q in questions] if run.grid is not None else [None]
    words = [asked.samples.words(int(i)) for i in own] if run.grid is None and not asked.units else [()]
    return TokenMap(
        title=f"{way.name}: where the {params.number} of {asked.tap.name} is decided", estimates=estimates,
        reading=_reading(maps[0], questions[0], params, way, found),
        caveats=(*asked.notes, *refused, *_caveats(asked, way, questions, maps, found)),
        samples=asked.samples.samples[own], values=padded([m.values for m in maps]),
        value_name=_value_name(way, asked), grid=run.grid,
        leading=run.leading, names=_names(asked, own, questions),
        pictures=np.stack(pictures) if all(p is not None for p in pictures) else None,
        words=tuple(words) if all(words) else (), ends=ends,
    )  # fmt: skip


def _ends(asked: Asked, own: np.ndarray, maps, null) -> tuple[float, float] | None:
    """Both ends of the colours: what 99 % of the tokens of the same samples, whichever is explained, stay within."""
    known = dict(zip(own.tolist(), maps, strict=True))
    known |= {int(i): m for i, (m,) in zip(asked.others(own), null, strict=False) if m is not None}
    values = [known[i].values for i in asked.first_of_all(len(null)).tolist() if i in known]
    if not values:
        return None
    every = np.concatenate(values)
    every = every[np.isfinite(every)]
    most = float(np.quantile(np.abs(every), 0.99)) if len(every) else 0.0
    if most == 0:
        return None
    return (-most if (every < 0).any() else 0.0, most)


def _own(asked: Asked, way, own: np.ndarray, progress):
    """Samples that have a map, what was asked of them, their maps, and why others have none. Raises InputError where
    the first has none."""
    questions, maps, kept, refused = [], [], [], []
    for k, i in enumerate(own):
        progress(0.1 + 0.4 * k / len(own), "explaining samples")
        question = asked.question(i)
        try:
            maps.append(checked_map(way, question))
        except LoupeError as why:
            if k == 0:
                raise
            refused.append(f"Sample {asked.samples.samples[i]} has no map and is left out: {why.found}.")
            continue
        questions.append(question)
        kept.append(i)
    return np.array(kept), questions, maps, refused


def _size(question) -> float:
    run, target = question.run, question.target
    empty = run.values(question.background.rows, target).double().mean()
    return float(run.values(run.clean[None], target).double()[0] - empty)


def _names(asked: Asked, own, questions) -> tuple[str, ...]:
    return tuple(
        f"sample {asked.samples.samples[i]}: {asked.samples.word(q.target.answer)}"
        for i, q in zip(own, questions, strict=True)
    )


def _value_name(way, asked: Asked) -> str:
    return f"{way.name}, by unit" if asked.units else way.name


def _estimates(maps: list[SaliencyMap], sizes, found: Beyond, d: int) -> tuple[Estimate, ...]:
    passes = Estimate("passes for a sample", float(np.mean([m.passes for m in maps])), n=len(maps), d=d,
                      interval="none: counted", null_method="none: counted",
                      estimator="through the network, forward and backward counted as two")  # fmt: skip
    missed = residual_estimate(maps, sizes, d)
    return (beyond_estimate(found, d), *((missed,) if missed else ()), passes)


def _reading(one: SaliencyMap, question, params, way, found: Beyond) -> str:
    beyond = (
        f"{int(found.found.sum()):,} of {len(found.found):,} tokens shown lie outside what {len(found.others)} other "
        f"samples have there ({found.null * len(found.found):,.0f} by chance)."
    )
    if not np.nan_to_num(one.values).any():
        return f"{way.name} gives no token of sample {params.sample} anything: it is 0 everywhere. {beyond}"
    best = int(np.nanargmax(np.abs(one.values)))
    run, part = question.run, "unit" if question.run.shape[1] == 1 and question.run.grid is None else "token"
    at = f"{part} {best}"
    if run.grid is not None and best >= run.leading:
        row, column = divmod(best - run.leading, run.grid[1])
        at = f"row {row + 1}, column {column + 1}"
    return (
        f"{way.name} gives the {question.target.words} of sample {params.sample} most to {at} "
        f"({one.values[best]:+.3g}); {beyond}"
    )


def _caveats(asked: Asked, way, questions, maps, found: Beyond) -> list[str]:
    said = [f"Explained is {asked.samples.what}, over {asked.where()}."]
    if way.control:
        said.append(f"{way.name.capitalize()} is a control: it looks at no weights.")
    said.append(f"What stands where something is taken away: {questions[0].background.words}.")
    if asked.params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    if asked.units:
        said.append(
            "The tap has one token a sample, so that units are mapped; Grad-CAM has no meaning there."
        )
    if maps[0].errors is not None and np.isfinite(maps[0].errors).any():
        said.append(f"Standard error of a token: {np.nanmedian(maps[0].errors):.2g} (median).")
    if found.left_out:
        said.append(f"{found.left_out:,} tokens lie behind the end of all other samples and are not judged.")
    said += notes_of(maps)
    said.append("One scale for all samples, in " + ("units of the explained number."
                if way.signed else "units of the way, not of the answer."))  # fmt: skip
    return said


def _cost(shapes, params: SaliencyMapParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    settings = Settings(params.steps, params.window or 3, 1, params.masks, params.budget)
    passes = WAYS[params.way].passes(64, rows, settings) * (1 + params.more + params.null_samples)
    held = 50.0 * n * d + 4e5 + 8.0 * d * (params.null_samples + 40 * rows)
    held += held_by([WAYS[params.way]], d, settings, params.site == THE_INPUT)
    return Cost(
        OPENING + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * d) + 5e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of one planted unit: the map is its weight times the difference to the mean, and nothing else."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    ask = {"sample": 5, "more": 0, "reader": PROBE, "null_samples": 3}
    one, two = (
        saliency_map(tap, SaliencyMapParams(way=w, **ask)) for w in ("integrated gradients", "occlusion")
    )
    missed = {e.name: e.value for e in one.estimates}["residual"]
    return (
        CheckLine("residual", 0.0, missed, 1e-9),
        CheckLine("covering one unit says the same", 0.0, float(np.abs(one.values - two.values).max()), 1e-9),
        CheckLine("a constant unit has nothing", 0.0, float(one.values[0, 1]), 1e-12),
        CheckLine("the planted unit is the largest", 0.0, float(np.abs(one.values[0]).argmax()), 0.0),
    )


METHODS = (
    Method(
        id="saliency_map", family="attribution", title="Where the answer is decided", version=3,
        function=saliency_map,
        summary="A map over the tokens of samples by one way of saliency, beside maps of other samples.",
        params=SaliencyMapParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference is explained",
        papers=("There and Back Again: Revisiting Backpropagation Saliency Methods",), libraries=("torch", "captum"),
    ),
)  # fmt: skip
