"""How far has tuning moved the features of each layer? A frozen network against the adapted one, layer by layer.

    displacement  |a_i - f_i| / |f_i|, mean over samples

of the vectors f (frozen) and a (adapted; tokens pooled by their mean) of the same samples. Give the taps of both
networks; layers are paired by name where the names are the same in both stores, else in the order given, the first half
frozen. An adapter or prompt that starts at zero displaces nothing, 0, before it is trained. A file that holds only the
adapter is recorded over its base (`loupe adapt`), and its share of the base's numbers is told. Beside it what is no
common shift: the same after the mean displacement over samples has been taken out.

Interval: Student's t over samples. Null: another sample's frozen features in place of the adapted ones, the distance at
which the sample is no longer recognised.

When it lies: features are compared unit by unit, so that networks trained apart are far from each other without having
learned other things (compare these by their similarity); a late displacement contains all earlier ones; what moves far
may matter little to the answer.

Cost: O(n d) for each layer.

Reference: "DVPT: dynamic visual prompt tuning of large pre-trained models for medical image analysis".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData, ShapeError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 4
MOVED, APART = "displacement", "without the common shift"


@dataclass(frozen=True)
class AdaptedFeaturesParams:
    maximum_samples: int = param(20_000, "Most samples; a seeded random subset above.", low=4, high=1_000_000)


def adapted_features(
    *taps, params: AdaptedFeaturesParams = AdaptedFeaturesParams(), rng=None, progress=no_progress
) -> Curve:
    """Displacement of features by layer.

    Parameters
    ----------
    *taps : two, four, … Activations or arrays (rows, units)
        Taps of the frozen and of the adapted network, of the same samples.

    Returns
    -------
    Curve
        Both displacements over the layers, with intervals and nulls. Estimates: of each layer.

    Raises
    ------
    InputError, ShapeError, NotEnoughData
        An odd number of taps; layers of other widths; fewer than four samples that are not zero.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    _refuse_one_network(taps)
    pairs, found, notes = paired(taps), [], []
    for k, (frozen, adapted) in enumerate(pairs):
        if frozen.shape[1] != adapted.shape[1]:
            raise ShapeError(f"{adapted.name} has {adapted.shape[1]} units",
                             f"the {frozen.shape[1]} of {frozen.name}")  # fmt: skip
        span = (k / len(pairs), (k + 0.9) / len(pairs))
        got = common_samples(
            (frozen, adapted),
            rng,
            maximum=params.maximum_samples,
            minimum=FEWEST,
            progress=progress,
            span=span,
        )
        notes += got.notes
        found.append(displacements(*got.values, rng))
    progress(1.0, "done")
    names = tap_names([a.name for _, a in pairs])
    return _curve(taps, pairs, names, found, tuple(dict.fromkeys(notes)))


def _refuse_one_network(taps) -> None:
    """Two layers of one network lie apart without any tuning."""
    known = {((getattr(getattr(t, "store", None), "manifest", None) or {}).get("checkpoint") or {}).get("digest")
             for t in taps}  # fmt: skip
    if len(taps) > 1 and len(known) == 1 and None not in known:
        raise InputError(
            f"{len(taps)} taps of the same weights", "taps of a frozen network and of one tuned from it",
            "Record the other one as well, or choose its taps",
        )  # fmt: skip


def paired(taps) -> list[tuple]:
    """(frozen, adapted) of each layer. Raises InputError."""
    if len(taps) % 2:
        raise InputError(f"{len(taps)} taps", "as many of the frozen as of the adapted network")
    stores, layers = ([t.name.partition(":")[k] for t in taps] for k in (0, 2))
    both = list(dict.fromkeys(stores))
    if len(both) == 2 and all(layers):
        first = {name: t for name, s, t in zip(layers, stores, taps, strict=True) if s == both[0]}
        second = {name: t for name, s, t in zip(layers, stores, taps, strict=True) if s == both[1]}
        if first.keys() == second.keys() and 2 * len(first) == len(taps):
            return [(t, second[name]) for name, t in first.items()]
    half = len(taps) // 2
    return list(zip(taps[:half], taps[half:], strict=True))


def displacements(f: np.ndarray, a: np.ndarray, rng) -> dict[str, np.ndarray]:
    """By name (n,) of samples whose frozen features are not zero; "null" of another sample. Raises NotEnoughData."""
    size = np.linalg.norm(f, axis=1)
    good = size > 1e-12 * max(float(size.max(initial=0.0)), 1e-300)
    if good.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) with features that are not zero", f"at least {FEWEST}"
        )
    f, a, size = f[good], a[good], size[good]
    way, order = a - f, rng.permutation(len(f))
    other = f[np.roll(order, 1)[np.argsort(order)]]  # the next one round: never the sample itself
    shift = f - f.mean(axis=0)
    return {
        MOVED: np.linalg.norm(way, axis=1) / size,
        APART: np.linalg.norm(way - way.mean(axis=0), axis=1) / size,
        "null": np.linalg.norm(other - f, axis=1) / size,
        "null apart": np.linalg.norm(shift - shift[np.roll(order, 1)[np.argsort(order)]], axis=1) / size,
    }


def _curve(taps, pairs, names, found, notes) -> Curve:
    series = {m: np.array([f[m].mean() for f in found]) for m in (MOVED, APART)}
    ends = {m: [mean_interval(f[m], 0.0) for f in found] for m in series}
    low, high = ({m: np.array([x[side] for x in e]) for m, e in ends.items()} for side in ("low", "high"))
    null = {MOVED: np.array([f["null"].mean() for f in found]),
            APART: np.array([f["null apart"].mean() for f in found])}  # fmt: skip
    told = tuple(
        Estimate(f"{MOVED}, {name}", float(f[MOVED].mean()), **e, null=float(f["null"].mean()),
                 null_method="another sample's frozen features", n=len(f[MOVED]), d=p[0].shape[1],
                 estimator="mean over samples")
        for name, f, e, p in zip(names, found, ends[MOVED], pairs, strict=True)
    )  # fmt: skip
    worst = int(series[MOVED].argmax())
    reading = (
        "Nothing has moved: features are those of the frozen network." if not series[MOVED].any() else
        f"{names[worst]} moved most, by {series[MOVED][worst]:.1%} of the size of its features (another sample "
        f"is {null[MOVED][worst]:.0%} away); {series[APART][worst]:.1%} are left without the shift that all "
        "samples share."
    )  # fmt: skip
    return Curve(
        title=f"How far features moved: {len(pairs)} layer(s)", x=np.arange(1.0, len(pairs) + 1), x_name="layer",
        y_name="share of the features' size", series=series, low=low, high=high, null=null, x_labels=tuple(names),
        estimates=told, reading=reading,
        caveats=(*notes, *_trained(taps), "Pairs: " + "; ".join(f"{f.name} → {a.name}" for f, a in pairs) + ".",
                 "Units are compared one by one: of networks trained apart this says nothing."),
    )  # fmt: skip


def _trained(taps) -> list[str]:
    """How small the adapters are whose networks were recorded, in sentences."""
    said = {}
    for tap in taps:
        manifest = getattr(getattr(tap, "store", None), "manifest", None) or {}
        told = ((manifest.get("checkpoint") or {}).get("facts") or {}).get("adapter")
        if isinstance(told, dict) and told.get("of"):
            name = tap.name.partition(":")[0]
            said[name] = (f"{name} is an adapter over {told['base']}: {told['numbers']:,} numbers, "
                          f"{told['numbers'] / told['of']:.2%} of the base's.")  # fmt: skip
    return list(said.values())


def _cost(shapes, params: AdaptedFeaturesParams) -> Cost:
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), max(d for _, d in shapes)
    return Cost(0.02 + machine().seconds(moved=12 * sum(8.0 * r * w for r, w in shapes)), 8.0 * n * d * 7.0)


def _check() -> tuple[CheckLine, ...]:
    """The same features have not moved; features a tenth as large again have by 0.1; a shift of all is a common one."""
    rng = np.random.default_rng(0)
    x, way = rng.standard_normal((50, 8)), np.ones(8)
    frozen = ArrayActivations(x, "frozen")

    def found(y):
        return adapted_features(frozen, ArrayActivations(y, "adapted"))

    return (
        CheckLine("an adapter that is zero", 0.0, float(found(x).series[MOVED][0]), 0.0),
        CheckLine("a tenth larger", 0.1, float(found(1.1 * x).series[MOVED][0]), 1e-12),
        CheckLine("a shift of all: without it", 0.0, float(found(x + way).series[APART][0]), 1e-12),
        CheckLine("a shift of all: with it", float((np.sqrt(8) / np.linalg.norm(x, axis=1)).mean()),
                  float(found(x + way).series[MOVED][0]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="adapted_features", family="tokens", title="Displacement by tuning", version=2, function=adapted_features,
        summary="How far the features of each layer moved from the frozen to the adapted network.",
        params=AdaptedFeaturesParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        begins="the same two", checkpoints=True,
        most_inputs=200, minimum_rows=FEWEST,
        invariance="the order of samples; one rotation and scale of both networks",
        papers=("DVPT: Dynamic Visual Prompt Tuning of Large Pre-trained Models for Medical Image Analysis",
            "Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
            "Learning",),
    ),
)  # fmt: skip
