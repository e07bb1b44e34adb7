"""At which layer does the answer find its place: one way of saliency over all recorded layers, and all of them in one.

Each layer's map is made a distribution of sizes p_u = |v_u| / Σ |v| and shown as T p_u, how many times an even share a
token has: 1 is what it would have by chance, on every layer and grid. Grids of other sizes are carried to the finest by
bilinear interpolation. The last map combines them, every layer weighing the same:

    product   T Π_layers p_u / Σ Π_layers p_u       keeps what every layer points at
    average   T mean over layers of p_u

Null: maps of the same way of other samples, token by token, combined in the same way; each of them against the rest
says how far the share of tokens beyond varies, and how many independent tokens Wilson's interval may count. Beside it,
how far maps of layers agree with one another, over these samples, against layers whose maps are of different samples.

When it lies: slopes spread over the field of view as layers get deeper, so that late maps are coarse whatever the
network does; a product of many layers is sharp by arithmetic, and 0 wherever one layer is; sizes lose the sign, so that
what speaks against the answer counts as what speaks for it; tokens of one sample are not independent.

Cost: the passes of the way for every layer, of the sample and of those that the null takes.

References: S.-A. Rebuffi, R. Fong, X. Ji & A. Vedaldi (2020), "There and back again: revisiting backpropagation
saliency methods".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.attribution.saliency import cross_layer
from analysis.attribution.saliency.agreement import agreement_over_samples
from analysis.attribution.saliency.asked import (
    FEWEST,
    Asked,
    NulledParams,
    held_by,
    notes_of,
    way_of,
)
from analysis.attribution.saliency.beyond_others import Beyond, beyond_estimate, beyond_others
from analysis.attribution.saliency.cross_layer import Placed, combined, finest, shares
from analysis.attribution.saliency.way import SaliencyMap, Settings, checked_map
from analysis.attribution.saliency.ways import WAYS
from analysis.compute.machine import machine
from analysis.errors import InputError, LoupeError, NotEnoughData
from analysis.features.readers import PROBE
from analysis.results import Estimate, TokenMap
from analysis.sources.input_picture import picture_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OPENING, LAYERS = 5.0, 6  # seconds; layers of a network, for the estimate
SITE = "the tap"


@dataclass(frozen=True)
class SaliencyByLayerParams(NulledParams):
    way: str = param("NormGrad", "How each map is made.", choices=tuple(WAYS))
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    together: str = param(
        cross_layer.PRODUCT, "How the layers' maps are combined.", choices=cross_layer.KINDS
    )


def saliency_by_layer(
    activations, params: SaliencyByLayerParams = SaliencyByLayerParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Maps of one sample at every recorded layer, and their combination.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A recorded tap: all taps of its store are taken. Of a plain array there is one layer.

    Returns
    -------
    TokenMap
        (layers + 1, tokens), in even shares. Estimates: tokens of the combined map beyond the null, agreement of
        layers.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or output; fewer than eight samples; no layer whose
        maps can be made.
    """
    rng = rng or np.random.default_rng(0)
    asked, way = Asked(activations, params, SITE, rng, progress), way_of(params.way)
    (own,) = asked.places(params.sample, 0)
    targets.logit_target(
        asked.run(own).logits, params.number, params.answer
    )  # its refusal, before any layer's
    layers, refused, maps, placed = _own(asked, way, own, progress)
    draws = asked.draws([way], 1, len(layers))
    others = asked.others(np.array([own]))[:draws]
    grid, whole = finest(placed), combined(placed, params.together)
    chance, layerwise, dropped = [], [np.stack([shares(p, grid) for p in placed])], 0
    for k, i in enumerate(others):
        progress(0.5 + 0.5 * k / len(others), "maps of other samples")
        try:
            found = [_placed(asked, way, int(i), layer)[1] for layer in layers]
            values = combined(found, params.together)
            layerwise.append(np.stack([shares(p, grid) for p in found]))
            chance.append(values * len(values))
        except LoupeError:  # such as slopes of 0 everywhere, of that sample
            dropped += 1
    if len(chance) < 2:
        raise NotEnoughData(f"{len(chance)} other samples whose maps can be made", "at least 2")
    progress(1.0, "done")
    each, beyond = layerwise[0], beyond_others([whole * len(whole)], chance)
    estimates = _estimates(layerwise, beyond, rng, asked.first.shape[1])
    run = asked.run(own, layers[0])
    picture = picture_of(run.inputs) if grid is not None else None
    words = asked.samples.words(int(own)) if grid is None and not asked.units else ()
    names = (*(layer or asked.tap.name for layer in layers), f"all layers, {params.together}")
    return TokenMap(
        title=f"{way.name} of sample {params.sample} layer by layer", estimates=estimates,
        reading=_reading(names, each, whole, grid, beyond),
        caveats=(*asked.notes, *_caveats(asked, refused, dropped, maps)), samples=np.full(len(names), params.sample),
        values=np.r_[each, whole[None]] * len(whole), value_name="times an even share", grid=grid, names=names,
        pictures=None if picture is None else picture[None], words=(words,) if words else (),
    )  # fmt: skip


def _own(asked: Asked, way, own: int, progress):
    """Layers whose maps can be made, why others cannot, and the maps."""
    layers, refused, maps, placed = [], {}, [], []
    names = asked.layers()
    for k, layer in enumerate(names):
        progress(0.1 + 0.4 * k / len(names), f"explaining at {layer or asked.tap.name}")
        try:
            if len(names) > 1 and not asked.has_places(own, layer):
                raise InputError("one token a sample, no places", "several")
            found, at = _placed(asked, way, own, layer)
            shares(at, at.grid)  # its refusal
        except LoupeError as why:
            refused[layer or asked.tap.name] = why.found
            continue
        layers.append(layer)
        maps.append(found)
        placed.append(at)
    if any(p.grid for p in placed):  # tokens in a row have no place on a grid
        for k in reversed([k for k, p in enumerate(placed) if p.grid is None]):
            refused[layers.pop(k) or asked.tap.name] = "tokens in a row among layers that have a grid"
            del maps[k], placed[k]
    if not layers:
        raise NotEnoughData(
            f"no layer of {len(names)} whose map can be made",
            "at least one",
            next(iter(refused.values()), ""),
        )
    return layers, refused, maps, placed


def _placed(asked: Asked, way, i: int, layer: str) -> tuple[SaliencyMap, Placed]:
    question = asked.question(i, layer)
    found, run = checked_map(way, question), question.run
    return found, Placed(np.nan_to_num(found.values), run.grid, run.leading)


def _estimates(layerwise, beyond: Beyond, rng, d: int) -> tuple[Estimate, ...]:
    """`layerwise`: of this sample and of the others (layers, tokens)."""
    found = [beyond_estimate(beyond, d)]
    if len(layerwise[0]) > 1:
        found.append(agreement_over_samples(layerwise, "agreement of layers", rng, d))
    return tuple(found)


def _reading(names, each, whole, grid, beyond: Beyond) -> str:
    best = int(whole.argmax())
    at = (
        f"token {best}"
        if grid is None
        else "row {}, column {}".format(*(v + 1 for v in divmod(best, grid[1])))
    )
    sharp = int((each.max(axis=1)).argmax())
    return (
        f"All {len(each)} layer(s) together point most at {at} ({whole[best] * len(whole):.3g} times an even share); "
        f"the sharpest layer is {names[sharp]}. {beyond.share:.0%} of the places lie outside what "
        f"{len(beyond.others)} other samples have there ({beyond.null:.0%} by chance)."
    )


def _caveats(asked: Asked, refused, dropped: int, maps) -> list[str]:
    said = [
        f"Explained is {asked.samples.what}.",
        "Sizes are shown: what speaks against the answer counts as for it.",
    ]
    if not asked.samples.is_network:
        said.append("Without the network there is one layer, the tap.")
    if asked.units:
        said.append("The tap has one token a sample, so that units are mapped.")
    said += [f"Left out, {name}: {why}." for name, why in refused.items()]
    if dropped:
        said.append(f"{dropped} other samples have no map in some layer and are left out of the null.")
    return said + notes_of(maps)


def _cost(shapes, params: SaliencyByLayerParams) -> Cost:
    (n, d), m = shapes[0], machine()
    settings = Settings(params.steps, params.window or 3, 1, params.masks, params.budget)
    passes = LAYERS * WAYS[params.way].passes(64, 1, settings) * (1 + params.null_samples)
    held = (
        50.0 * n * d + 4e5 + 8.0 * d * (params.null_samples + 40) + held_by([WAYS[params.way]], d, settings)
    )
    return Cost(
        OPENING + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * d) + 5e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of one planted unit; and maps of known product and average."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    noise = 0.3 * rng.standard_normal((40, 4))
    tap = ArrayActivations(
        noise + 4.0 * np.outer(label, np.eye(4)[2]), name="planted", samples={"label": label}
    )
    asked = SaliencyByLayerParams(sample=5, reader=PROBE, null_samples=3, way="integrated gradients")
    found = saliency_by_layer(tap, asked)
    two = [Placed(np.array([1.0, 3.0])), Placed(np.array([-3.0, 1.0]))]
    return (
        CheckLine("the planted unit is the largest", 2.0, float(found.values[-1].argmax()), 0.0),
        CheckLine("even shares", 1.0, float(found.values[0].mean()), 1e-12),
        CheckLine("product of (1, 3) and (3, 1)", 0.5, float(combined(two, cross_layer.PRODUCT)[0]), 1e-12),
        CheckLine("average of them", 0.5, float(combined(two, cross_layer.AVERAGE)[0]), 1e-12),
    )


METHODS = (
    Method(
        id="saliency_by_layer", family="attribution", title="Saliency layer by layer", version=2,
        function=saliency_by_layer,
        summary="One way of saliency at every recorded layer of a sample, and all layers combined in one map.",
        params=SaliencyByLayerParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="a factor on any layer's map; a constant added to all logits, where a difference is explained",
        papers=("There and Back Again: Revisiting Backpropagation Saliency Methods",), libraries=("torch", "captum"),
    ),
)  # fmt: skip
