"""Do ways of saliency say the same of a sample? All of them side by side, each with the
passes that it takes, controls among them.

Each map is divided by its largest size, since a length of a slope, a logit and a relevance have no common unit: places
can be compared between maps, heights cannot. Ways that a network has no rules for are left out, with their reason.
Controls (random, edges) look at no weights: what looks like them may have told of the picture and not of the network.

Agreement is the mean rank correlation of sizes over pairs of explaining maps (Spearman), and its mean over this sample
and random others, which are also what the interval resamples. Null: every map dealt to these samples anew, so that maps
are compared that stay as smooth as they are, and keep the places that their way likes, but are of different samples.

When it lies: ways that are the same thing by another name (slope times input and LRP in a network of ReLUs) agree
without adding anything; agreement is not being right, and disagreement not being wrong: ways answer different
questions. A way without a map of some other sample counts as no agreement there.

Cost: the sum of what the ways cost, each told in its name, for this sample and each of the others; Shapley values, RISE
and occlusion cost most.

References: S.-A. Rebuffi, R. Fong, X. Ji & A. Vedaldi (2020), "There and back again: revisiting backpropagation
saliency methods"; and those of each way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution import backgrounds
from analysis.attribution.saliency.agreement import agreement_over_samples
from analysis.attribution.saliency.asked import (
    FEWEST,
    TAP,
    THE_INPUT,
    Asked,
    AskedParams,
    held_by,
    notes_of,
)
from analysis.attribution.saliency.map_likeness import rank_correlation_table
from analysis.attribution.saliency.way import SaliencyMap, Settings, checked_map
from analysis.attribution.saliency.ways import CONTROLS, EXPLAINING, OF_PLACES, WAYS
from analysis.compute.machine import machine
from analysis.errors import LoupeError, NotEnoughData
from analysis.features.readers import PROBE
from analysis.results import Estimate, TokenMap
from analysis.sources.input_picture import picture_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OPENING = 5.0  # seconds


@dataclass(frozen=True)
class SaliencyWaysParams(AskedParams):
    null_samples: int = param(
        5,
        "Other samples whose maps say how far ways agree, and what chance gives.",
        low=2,
        high=200,
        late=True,
    )
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    site: str = param(TAP, "Whose tokens are mapped.", choices=(TAP, THE_INPUT))


def saliency_ways(
    activations, params: SaliencyWaysParams = SaliencyWaysParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of one sample by every way.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A recorded tap, or one that a feature set encoded, of which the source is taken.

    Returns
    -------
    TokenMap
        (ways, tokens), each divided by its largest size. Estimates: agreement of explaining maps, passes of all.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or output; fewer than eight samples; no map.
    """
    rng = rng or np.random.default_rng(0)
    asked = Asked(activations, params, params.site, rng, progress)
    (own,) = asked.places(params.sample, 0)
    question = asked.question(own)
    maps, refused = _own(asked, question, progress)
    explaining = [n for n in EXPLAINING if n in maps]
    if len(explaining) < 2:
        raise NotEnoughData(
            f"{len(explaining)} way(s) that this network allows",
            "at least 2",
            next(iter(refused.values()), ""),
        )
    asking = [WAYS[name] for name in explaining]
    others, why = asked.other_maps(asking, np.array([own]), asked.draws(asking, 1), progress, (0.3, 1.0))
    progress(1.0, "done")
    values = np.stack([_scaled(m.values) for m in maps.values()])
    run = question.run
    picture = picture_of(run.inputs) if run.grid is not None else None
    words = asked.samples.words(int(own)) if run.grid is None and not asked.units else ()
    estimates = _estimates(maps, explaining, others, rng, run.shape[1])
    return TokenMap(
        title=f"Ways of saliency for the {question.target.words} of sample {params.sample} (passes in brackets)",
        values=values,
        reading=_reading(maps, explaining, estimates), estimates=estimates,
        caveats=(*asked.notes, *_caveats(asked, question, maps, refused, _lost(others, why))),
        samples=np.full(len(maps), params.sample),
        value_name="share of the map's largest value", grid=run.grid, leading=run.leading,
        names=tuple(_name(n, m) for n, m in maps.items()), pictures=None if picture is None else picture[None],
        words=(words,) if words else (),
    )  # fmt: skip


def _own(asked: Asked, question, progress) -> tuple[dict[str, SaliencyMap], dict[str, str]]:
    """Maps of the sample by name, and why other ways give none."""
    left_out, maps = OF_PLACES if asked.units else (), {}
    refused = dict.fromkeys(left_out, "it needs places, and units have none")
    for k, name in enumerate(n for n in WAYS if n not in left_out):
        progress(0.1 + 0.2 * k / len(WAYS), name)
        try:
            maps[name] = checked_map(WAYS[name], question)
        except LoupeError as why:
            refused[name] = why.found
    return maps, refused


def _lost(others, why: str) -> list[str]:
    """A caveat where a way has no map of some other sample."""
    lost = sum(one is None for found in others for one in found)
    return (
        [f"{lost:,} maps of other samples could not be made, and count as no agreement: {why}."]
        if lost
        else []
    )


def _scaled(values: np.ndarray) -> np.ndarray:
    top = float(np.nanmax(np.abs(values), initial=0.0))
    return values / top if top > 0 else values


def _name(name: str, found: SaliencyMap) -> str:
    return f"{name} (control)" if WAYS[name].control else f"{name} ({found.passes:,})"


def _estimates(maps, explaining, others, rng, d: int) -> tuple[Estimate, ...]:
    """`others`: of each other sample the maps by the explaining ways, or None."""
    each = [np.stack([maps[n].values for n in explaining])]
    for found in (found for found in others if any(found)):
        tokens = len(next(one for one in found if one).values)
        each.append(np.stack([one.values if one else np.zeros(tokens) for one in found]))
    total = sum(m.passes for m in maps.values())
    return (
        *([agreement_over_samples(each, "agreement of explaining maps", rng, d)] if len(each) > 1 else []),
        Estimate("passes of all ways", float(total), n=len(maps), d=d, interval="none: counted",
                 null_method="none: counted",
                 estimator="through the network, forward and backward counted as two"),
    )  # fmt: skip


def _reading(maps, explaining, estimates) -> str:
    names = [*explaining, *(c for c in CONTROLS if c in maps)]
    sizes = np.nan_to_num(np.abs([maps[n].values for n in names]))
    each, k = rank_correlation_table(sizes, sizes), len(explaining)
    own = each[:k, :k][np.triu_indices(k, 1)].mean()
    said = f"{k} ways were asked; the sizes of their maps agree at a rank correlation of {own:.2f} on average"
    for e in estimates[:-1]:
        said += f", over {e.n} samples {e.value:.2f} ({e.null:.2f} between maps of different samples)"
    said += "."
    if "edges" in names[k:]:
        edges = each[:k, names.index("edges")]
        said += (
            f" Most like edges, which know no network, is {names[int(edges.argmax())]} ({edges.max():.2f})."
        )
    return said


def _caveats(asked: Asked, question, maps, refused, lost) -> list[str]:
    said = [f"Explained is {asked.samples.what}, over {asked.where()}."]
    said.append(f"What stands where something is taken away: {question.background.words}.")
    if asked.params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    if asked.units:
        said.append("The tap has one token a sample, so that units are mapped.")
    said += [f"Left out, {name}: {why}." for name, why in refused.items()]
    said += [*lost, *notes_of(list(maps.values()))]
    said.append("Each map is divided by its own largest size: heights of different maps cannot be compared.")
    return said


def _cost(shapes, params: SaliencyWaysParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    settings = Settings(params.steps, params.window or 3, 1, params.masks, params.budget)
    passes = sum(way.passes(64, rows, settings) for way in WAYS.values()) * (1 + params.null_samples)
    held = 50.0 * n * d + 1e6 + 8.0 * d * 40 * rows
    held += held_by(tuple(WAYS.values()), d, settings, params.site == THE_INPUT)
    return Cost(
        OPENING + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * d) + 5e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of one planted unit: ways that look at what stands there point at it (slopes alone do not know how
    far a unit moves), and those that add up agree."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    noise = 0.3 * rng.standard_normal((40, 5))
    tap = ArrayActivations(
        noise + 4.0 * np.outer(label, np.eye(5)[2]), name="planted", samples={"label": label}
    )
    found = saliency_ways(tap, SaliencyWaysParams(sample=5, reader=PROBE))
    ways = {
        n.rsplit(" (", 1)[0]: v for n, v in zip(found.names, found.values, strict=True) if "control" not in n
    }
    slopes_alone = ("gradient", "guided backpropagation")
    elsewhere = sum(np.abs(v).argmax() != 2 for name, v in ways.items() if name not in slopes_alone)
    apart = ways["occlusion"] - ways["DeepLIFT"]
    return (
        CheckLine("ways that point elsewhere", 0.0, float(elsewhere), 0.0),
        CheckLine("ways that were asked", 10.0, float(len(ways)), 0.0, "at least"),
        CheckLine("occlusion and DeepLIFT of a linear network", 0.0, float(np.abs(apart).max()), 1e-9),
    )


METHODS = (
    Method(
        id="saliency_ways", family="attribution", title="Ways of saliency side by side", version=2,
        function=saliency_ways,
        summary="One sample's maps by every way, what each costs, controls among them, and how far they agree.",
        params=SaliencyWaysParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference is explained",
        papers=("There and Back Again: Revisiting Backpropagation Saliency Methods",), libraries=("torch", "captum"),
    ),
)  # fmt: skip
