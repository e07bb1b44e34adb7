"""How complex is each feature, and do the important ones come early? Complexity against importance.

    K(z) = 1 - 1/n Σ_l R²_l(z)        R²_l: held-out, of a ridge probe that reads z from layer l, no less than 0

The V-information of a feature for linear Gaussian predictors, in its bounded form (share of variance): 0 where every
layer tells the feature as it is, 1 where none does, 1 - 1/n where the last one alone does. The first tap has the
features; the layers are the other taps and the features' own. Importance is the mean |z dᵀg| of a feature, g the slope
of the loss (of the network where it can be run, else of a probe of labels); without either, how much the feature
writes: its deviation times its direction's length.

Null: features moved to other samples and probed anew, for K, for whether a layer tells a feature at all, and for the
correlation (Spearman) of complexity and importance. Intervals: jackknife over groups of samples (K), bootstrap over
features.

When it lies: K is relative to the layers that are listed, and to pooling by sample: a place that is lost by the mean
counts as complexity; a probe of few samples in many units reads little, and everything looks complex; a feature that is
hardly ever active is hard to read for that reason alone; a nonlinear code of a linear direction is not linear.

Cost: for each layer 5 fits, O(n d min(n, d) + n d features draws); a forward and a backward pass of every sample.

References: T. Fel et al. (2024), "Understanding visual feature reliance through the lens of complexity"; Y. Xu et al.
(2020), "A theory of usable information under computational constraints".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import against, bootstrap_mean, share_over
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.compute.subspaces.probe_r2 import Held, held_errors
from analysis.errors import Cancelled, InputError, LoupeError
from analysis.features.gradient_effects import gradient_effects
from analysis.features.readers import AUTOMATIC, PROBE, READERS, reader_of
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

NETWORK, FEWEST, FOLDS, ACTIVE, RESAMPLED = 5.0, 20, 5, 8, 400


@dataclass(frozen=True)
class FeatureComplexityParams:
    features: int = param(96, "Most features, those that vary most.", low=2, high=4096)
    own: bool = param(True, "Count the features' own tap as a layer.", label="own tap counts")
    reader: str = param(AUTOMATIC, "Whose loss importance is for.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    draws: int = param(5, "Times features are moved to other samples.", low=2, high=50)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def feature_complexity(
    *taps, params: FeatureComplexityParams = FeatureComplexityParams(), rng=None, progress=no_progress
) -> Scatter:
    """Complexity and importance of every feature of the first tap.

    Parameters
    ----------
    *taps : Activations
        The tap with the features (an encoded one, or any other: then its units), and the layers, in their order.

    Returns
    -------
    Scatter
        A point for each feature, of kind "units"; columns R² by layer. Estimates: mean complexity, its correlation with
        importance, share that the first layer tells.

    Raises
    ------
    InputError, NotEnoughData
        Fewer than twenty common samples; no feature that varies in enough of them; a layer whose samples are equal.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    made, layers = tap_dictionary(taps[0]), taps[1:]
    if params.own and made.source.name not in [t.name for t in layers]:
        layers = [*layers, made.source]
    data = common_samples([taps[0], *layers], rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress,
                          pooling=params.pooling, span=(0.0, 0.2))  # fmt: skip
    z, n = np.asarray(data.values[0], np.float64), len(data.ids)
    shown = _chosen(z, params.features, taps[0].name)
    fold, groups = folds_of(np.zeros(n), FOLDS, rng), groups_of(n, rng)
    moves = np.array([rng.permutation(n) for _ in range(params.draws)])
    told = []
    for i, x in enumerate(data.values[1:]):
        at = 0.2 + 0.5 * i / len(layers)
        held = held_errors(x, z[:, shown], fold, moves, progress, (at, at + 0.5 / len(layers)))
        told.append(_r2(held, groups))
    r2 = np.clip(np.array(told), 0, 1)  # (layers, groups + 1, features, 1 + draws)
    k = 1 - r2.mean(axis=0)
    important, how, notes = _importance(made, z, shown, params, rng, progress)
    names = tap_names([t.name for t in layers])
    half = jackknife_half(k[1:, :, 0])
    columns = {f"R² from {name}": r2[i, 0, :, 0] for i, name in enumerate(names)}
    columns |= {"interval ±": half, "by chance": k[0, :, 1:].mean(axis=1)}
    progress(1.0, "done")
    estimates = _estimates(k[0], np.array(r2)[:, 0], important, names, n, rng)
    return Scatter(
        title=f"Complexity and importance of the features of {taps[0].name}",
        reading=_reading(estimates, k[0, :, 0], important, shown, taps[0].unit_names, len(layers)),
        caveats=(*data.notes, *notes, *made.notes, *_caveats(names, len(shown), z.shape[1])), estimates=estimates,
        positions=np.column_stack([k[0, :, 0], np.log10(important)]), rows=shown, of="units",
        axes=("complexity K", f"log10 of {how}"), columns=columns, colour=f"R² from {names[0]}",
    )  # fmt: skip


def _chosen(z: np.ndarray, most: int, name: str) -> np.ndarray:
    usual = np.sort(z, axis=0)[len(z) // 2]
    often = (z != usual).sum(axis=0) >= min(ACTIVE, len(z) // 3)
    spread = np.where(often, z.std(axis=0) / max(float(np.abs(z).max()), 1e-300), 0.0)
    found = np.flatnonzero(spread > 1e-9)
    if len(found) < 2:
        raise InputError(
            f"{len(found)} feature(s) of {name} vary in {ACTIVE} samples", "two or more", "Take more samples"
        )
    return np.sort(found[np.argsort(-spread[found], kind="stable")[:most]])


def _r2(held: Held, groups: np.ndarray) -> np.ndarray:
    """(1 + groups, features, 1 + draws): on all samples, then without each group."""
    left, whole = held.left.sum(axis=0), held.whole.sum(axis=0)
    out = [1 - left / whole]
    for g in range(int(groups.max()) + 1):
        own = groups == g
        out.append(
            1
            - (left - held.left[own].sum(axis=0))
            / np.maximum(whole - held.whole[own].sum(axis=0), 1e-12 * whole)
        )
    return np.array(out)


def _importance(made, z, shown, params, rng, progress):
    """Above 0 for each feature (m,), what it is, and notes."""
    found, notes, how = None, (), "mean |effect| on the loss"
    for asked, begin in ((params.reader, 0.7), (PROBE, 0.85)):
        try:
            reader, more = reader_of(made.source, asked, params.column, params.maximum_samples, rng, progress,
                                     (begin, begin + 0.05))  # fmt: skip
            slopes = reader.slopes(progress, (begin + 0.05, begin + 0.1))
            found = gradient_effects(made, *slopes, 0.0, rng, progress, (begin + 0.1, begin + 0.15)).loud[
                shown
            ]
            notes = (*notes, *more)
            break
        except LoupeError as refusal:
            if isinstance(refusal, Cancelled):
                raise
            notes = (f"The network's loss cannot be had ({refusal.found}).",)
    if found is None:
        found, how = z[:, shown].std(axis=0) * made.features.lengths[shown], "deviation times length"
    least = found[found > 0].min() if (found > 0).any() else 1e-300
    if not (found > 0).all():
        notes = (
            *notes,
            f"{int((found <= 0).sum())} feature(s) without any effect are drawn at the least one.",
        )
    return np.maximum(found, least), how, notes


def _ranks(values: np.ndarray) -> np.ndarray:
    """Midranks, of mean 0 and length 1; 0 where all are equal."""
    from scipy.stats import rankdata

    r = rankdata(values)
    r = r - r.mean()
    return r / max(float(np.linalg.norm(r)), 1e-300)


def _estimates(k, r2, important, names, n: int, rng) -> tuple[Estimate, ...]:
    m, value = len(k), float(k[:, 0].mean())
    low, high = bootstrap_mean(k[:, 0], rng)
    a, b = _ranks(k[:, 0]), _ranks(important)
    rho, picks = float(a @ b), rng.integers(m, size=(RESAMPLED // 4, m))
    again = [float(_ranks(k[p, 0]) @ _ranks(important[p])) for p in picks]
    moved = np.array([a @ rng.permutation(b) for _ in range(RESAMPLED)])
    beyond = {
        **against(rho, moved),
        "p_value": float((1 + (np.abs(moved) >= abs(rho)).sum()) / (1 + RESAMPLED)),
    }
    first = r2[0, :, 0]
    early = share_over(first > np.percentile(r2[0, :, 1:], 95), "features")
    out = [
        Estimate("mean complexity", value, min(float(low), value), max(float(high), value), n=n, d=m,
                 interval="bootstrap over features", null=float(k[:, 1:].mean()), estimator="1 - mean held-out R²",
                 null_method="features moved to other samples"),
        Estimate("correlation of complexity and importance", rho, min(float(np.percentile(again, 2.5)), rho),
                 max(float(np.percentile(again, 97.5)), rho), interval="bootstrap over features", n=m, d=len(r2),
                 estimator="Spearman", null_method=f"importance exchanged, {RESAMPLED} times",
                 **beyond),
        Estimate(f"share that {names[0]} tells", **early, null=0.05, null_method="features moved to other samples", n=n,
                 d=m, estimator="R² above 95 % of moved features"),
    ]  # fmt: skip
    return tuple(out)


def _reading(estimates, k, important, shown, names, layers: int) -> str:
    mean, rho, early = estimates
    said = "more complex features matter less" if rho.value < 0 else "more complex features matter more"
    if rho.p_value > 0.05:
        said = "complexity and importance are not shown to go together"
    counted = f"{layers} layers" if layers > 1 else "one layer alone"
    simple, hard = shown[k.argmin()], shown[k.argmax()]
    return (
        f"Over {counted}, complexity is {mean.value:.2f} on average ({mean.null:.2f} by chance); the first tells "
        f"{early.value:.0%} of features beyond chance. Simplest: {names[simple]} ({k.min():.2f}); most complex: "
        f"{names[hard]} ({k.max():.2f}). Spearman {rho.value:+.2f} (p = {rho.p_value:.2g}): {said}."
    )


def _caveats(names, shown: int, k: int) -> list[str]:
    said = [f"K is relative to these layers: {', '.join(names)}."]
    if len(names) == 1:
        said.append("With one layer early and late cannot be told apart: record earlier layers and add them.")
    if shown < k:
        said.append(
            f"{shown} of {k:,} features: those that vary most, in at least {ACTIVE} samples or a third of them."
        )
    return said


def _cost(shapes, params: FeatureComplexityParams) -> Cost:
    m = machine()
    n = min(min(s[0] for s in shapes), params.maximum_samples)
    wide, k = [s[1] for s in shapes], min(shapes[0][1], params.features)
    targets = k * (1 + params.draws)
    flops = sum(FOLDS * (4.0 * n * d * min(n, d) + 6.0 * n * min(n, d) * targets) for d in wide)
    held = 8.0 * n * (sum(wide) * 1.5 + targets * 6.0) + 4.0 * shapes[0][1] ** 2
    return Cost(m.seconds(flops64=flops, moved=40.0 * n * targets * len(wide)) + NETWORK, held)


def _check() -> tuple[CheckLine, ...]:
    """Read by all layers: 0. By none: 1. By the last of three alone: 2/3. The simple one tells the label."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.standard_normal((3, 240, 3))
    z = np.column_stack([a[:, 0], b[:, 0], noise[:, 0]])
    label = (a[:, 0] > 0).astype(int)
    taps = [ArrayActivations(x, name, {"label": label}) for name, x in (
        ("z", z), ("first", a), ("second", a @ rng.standard_normal((3, 3))), ("third", np.hstack([a, b])))]  # fmt: skip
    found = feature_complexity(*taps, params=FeatureComplexityParams(own=False, draws=4))
    with_own = feature_complexity(*taps, params=FeatureComplexityParams(draws=2))
    return (
        CheckLine("told by every layer", 0.0, float(found.positions[0, 0]), 0.01),
        CheckLine("told by the last alone", 2 / 3, float(found.positions[1, 0]), 0.02),
        CheckLine("told by none", 1.0, float(found.positions[2, 0]), 0.02),
        CheckLine("told by its own tap alone", 3 / 4, float(with_own.positions[2, 0]), 0.02),
        CheckLine("the simple feature is the important one", 0.0, float(found.positions[:, 1].argmax()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_complexity", family="dictionaries", title="Complexity of features", version=2,
        function=feature_complexity,
        summary="How early in the network each feature can be read off, against how much the loss hangs on it.",
        params=FeatureComplexityParams, result=Scatter, check=_check, cost=_cost, inputs=2, more_inputs=True,
        others="layers",
        minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting any layer; scaling a feature; any order of the layers but the first",
        papers=("Understanding Visual Feature Reliance through the Lens of Complexity",
                "Understanding Visual Feature Reliance through Complexity"),
    ),
)  # fmt: skip
