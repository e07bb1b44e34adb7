"""Which features are quiet but loud: rarely or weakly active, and yet the loss hangs on them?

A point for each feature: mean activation against mean |e|, with e = z_i d_iᵀ g the first-order effect of the feature on
the loss of a sample, g the slope of that loss in the row (of the network where it can be run, else of a held-out linear
probe of labels). Both axes are logarithms to base 10. Over a row the effects sum to (x' - b)ᵀ g, the linearised effect
of the reconstruction: the residual is told and is rounding. For a few features the effect is measured as well: the
feature is removed from all rows and the loss is computed again; the correlation of both is told.

    quiet but loud    mean activation below the median, mean |e| in the highest quarter
    β                 a TopK by z + β z |dᵀg| (|dᵀg| over its mean): share of the chosen features that change

Null of the effect: slopes exchanged between rows, so that size and rate stay and only the match of feature and slope
goes. Of the correlation: 0.

When it lies: first order is exact for a linear reader only; a saturated softmax has almost no slope where it is most
sure, so that features of easy samples look silent; the loss of the true answer is one question among many; features
that are active together share their effect.

Cost: a forward and a backward pass of every sample, O(rows k d), and a forward pass for each feature measured.

References: M. Olmo et al. (2024), "Features that make a difference: leveraging gradients for improved dictionary
learning"; A. Syed, C. Rager & A. Conmy (2023), "Attribution patching outperforms automated circuit discovery".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import bootstrap, wilson
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError
from analysis.features.answers import CLEAN
from analysis.features.gradient_effects import Effects, gradient_effects
from analysis.features.readers import AUTOMATIC, OPENING, READERS, reader_of
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
QUIET_LOUD, LOUD, QUIET, REST = "quiet but loud", "loud", "quiet", "between"


@dataclass(frozen=True)
class GradientPlaneParams:
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    reader: str = param(AUTOMATIC, "Whose loss.", choices=READERS)
    beta: float = param(
        1.0, "Say of the slopes in a TopK; 0: none.", label="say of slopes (β)", low=0, high=100
    )
    measured: int = param(
        12, "Features that are removed to measure their effect.", label="features measured", low=3, high=200
    )
    maximum_samples: int = param(300, "Most samples; a seeded random subset above.", low=8, high=100_000)


def gradient_plane(
    activations, params: GradientPlaneParams = GradientPlaneParams(), rng=None, progress=no_progress
) -> Scatter:
    """Mean activation of every feature against its mean first-order effect on the loss.

    Parameters
    ----------
    activations : Activations or array (rows, units) with labels
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Scatter
        A point for each feature that fires and has an effect, of kind "units". Estimates: share quiet but loud,
        correlation of first-order and measured effects, residual of the sum, share changed by β.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        As `loss_recovered`; no feature has an effect.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    refuse_few(tap.name, seen.n_rows - seen.n_nonfinite, FEWEST)
    reader, notes = reader_of(made.source, params.reader, params.column, params.maximum_samples, rng, progress,
                              (0.05, 0.15))  # fmt: skip
    rows, slopes = reader.slopes(progress, (0.15, 0.4))
    found = gradient_effects(made, rows, slopes, params.beta, rng, progress, (0.4, 0.6))
    shown = np.flatnonzero((np.abs(found.active) > 0) & (found.loud > 0))
    if len(shown) < 2:
        raise InputError(
            f"{len(shown)} feature(s) of {tap.name} fire and have an effect on the loss of {reader.what}",
            "at least two", "Choose another tap, or more samples",
        )  # fmt: skip
    first, measured, some, n = _measured(made, reader, found, shown, params.measured, progress)
    x, y = np.log10(np.abs(found.active[shown])), np.log10(found.loud[shown])
    kinds, by_chance = _quadrant(x, y), _quadrant(x, np.log10(np.maximum(found.chance[shown], 1e-300)))
    ablated = np.full(len(shown), np.nan)  # of the others it is not known
    ablated[np.searchsorted(shown, some)] = measured
    estimates = _estimates(found, kinds, by_chance, first, measured, tap.shape[1], rng)
    progress(1.0, "done")
    return Scatter(
        title=f"Activation and effect of the features of {tap.name}",
        reading=_reading(made.features.name, reader.what, estimates, len(shown), kinds, shown, y, tap.unit_names),
        caveats=(*seen.notes, *notes, *made.notes, *_caveats(found, len(shown), tap.shape[1], len(some))),
        estimates=estimates, positions=np.column_stack([x, y]), rows=shown, of="units",
        axes=("log10 of the mean activation", "log10 of the mean |effect| on the loss"), colour="place",
        columns={"place": kinds, "firing rate": found.rate[shown],
                 "effect over chance": found.loud[shown] / np.maximum(found.chance[shown], 1e-300),
                 "loss when removed": ablated, "the same, first order": -found.signed[shown] / n,
                 "was removed": np.isin(shown, some).astype(np.int64)},
    )  # fmt: skip


def _quadrant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    quiet, loud = x < np.median(x), y >= np.quantile(y, 0.75)
    return np.select([quiet & loud, loud, quiet], [QUIET_LOUD, LOUD, QUIET], REST)


def _measured(made, reader, found: Effects, shown, count: int, progress):
    """First-order and measured rise of the mean loss when a feature is removed, of features spread over the range;
    which these are, and of how many samples."""
    order = shown[np.argsort(found.loud[shown], kind="stable")]
    some = np.unique(order[np.round(np.linspace(0, len(order) - 1, min(count, len(order)))).astype(np.int64)])
    features, directions = made.features, made.features.decoder.astype(np.float64)

    def without(i):
        def replace(x, rows):
            code = x[:, i] if made.of_units else features.encode(x.astype(np.float32))[:, i]
            return x - code[:, None].astype(np.float64) * features.row_sizes(x) * directions[i]

        return replace

    answers = reader.read({str(i): without(i) for i in some.tolist()}, progress, (0.6, 1.0))
    clean = answers[CLEAN].loss
    known = np.isfinite(clean)
    rise = [
        float((answers[str(i)].loss - clean)[known].mean()) if known.any() else 0.0 for i in some.tolist()
    ]
    n = max(int(known.sum()), 1)
    return -found.signed[some] / n, np.array(rise), some, n


def _estimates(found: Effects, kinds, by_chance, first, measured, d: int, rng) -> tuple[Estimate, ...]:
    n, hits = len(kinds), int((kinds == QUIET_LOUD).sum())
    low, high = wilson(hits, n)
    out = [
        Estimate("share of features quiet but loud", hits / n, low, high, interval="Wilson over features",
                 null=float((by_chance == QUIET_LOUD).mean()), null_method="slopes exchanged between rows", n=n, d=d,
                 estimator="below the median of activation, highest quarter of effect"),
        Estimate("attributions less the effect of the reconstruction", found.residual, n=found.rows, d=d,
                 estimator="largest |Σ e - (x' - b)ᵀ g|, relative"),
    ]  # fmt: skip
    if len(first) >= 3 and np.ptp(first) > 0 and np.ptp(measured) > 0:
        pairs = np.arange(len(first))
        value = float(_correlation(first, measured))
        low, high = bootstrap(pairs, lambda at: _correlation(first[at], measured[at]), rng)
        out.append(Estimate("correlation of first-order and measured effects", value,
                            None if low is None else min(low, value), None if low is None else max(high, value),
                            interval="bootstrap over features", null=0.0, null_method="no relation", n=len(first), d=d,
                            estimator="Pearson"))  # fmt: skip
    if found.slots.any():
        has = found.slots > 0
        value = float(found.swapped[has].sum() / found.slots[has].sum())
        low, high = ratio_interval(found.swapped[has], found.slots[has], rng)
        out.append(Estimate("share of the TopK changed by slopes (β)", value, low, high, interval="bootstrap over rows",
                            null=0.0, null_method="β = 0, exact", n=int(has.sum()), d=d))  # fmt: skip
    return tuple(out)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    size = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.where(size > 0, (a * b).sum(axis=-1) / np.where(size > 0, size, 1.0), 0.0)


def _reading(name: str, what: str, estimates, n: int, kinds, shown, y, names) -> str:
    e = {x.name: x for x in estimates}
    quiet = e["share of features quiet but loud"]
    said = (
        f"Of {n:,} features of {name} that fire, {int((kinds == QUIET_LOUD).sum()):,} are quiet but loud for {what} "
        f"({quiet.value:.1%}; with slopes exchanged {quiet.null:.1%})."
    )
    there = np.flatnonzero(kinds == QUIET_LOUD)
    if len(there):
        top = there[np.argsort(-y[there], kind="stable")[:3]]
        said += f" The loudest of them: {', '.join(str(names[shown[i]]) for i in top)}."
    if "correlation of first-order and measured effects" in e:
        c = e["correlation of first-order and measured effects"]
        said += f" First-order effects and those measured by removal of {c.n} features correlate at {c.value:.2f}."
    return said


def _caveats(found: Effects, shown: int, k: int, measured: int) -> tuple[str, ...]:
    said = [
        "First order is exact for a linear reader only; sure answers have almost no slope.",
        f"Effects were measured by removal for {measured} features, spread over the range.",
    ]
    if shown < k:
        said.append(f"{k - shown:,} feature(s) that never fired, or without any effect, are not drawn.")
    return tuple(said)


def _cost(shapes, params: GradientPlaneParams) -> Cost:
    (n, k), m = shapes[0], machine()
    d, _ = likely_size(k)
    some = min(n, params.maximum_samples)
    seconds = (
        m.seconds(flops64=8.0 * some * k * d, moved=20.0 * n * d + params.measured * some * k * 40.0)
        + OPENING
    )
    return Cost(
        seconds, 8.0 * some * d * 4 + 8.0 * min(some, 4096) * k * 6 + 8.0 * k * d + 4.0 * min(n, 4096) * d
    )


def _check() -> tuple[CheckLine, ...]:
    """Attributions sum to the effect of the reconstruction; the unit that tells the classes is the loudest."""
    rng = np.random.default_rng(0)
    of = np.arange(200) % 2
    x = rng.standard_normal((200, 8)) * np.array([0.5, 1, 1, 1, 1, 1, 1, 4.0]) + 3
    x[:, 0] += 1.5 * of
    found = gradient_plane(ArrayActivations(x, "planted", {"label": of}))
    e = {x.name: x.value for x in found.estimates}
    return (
        CheckLine("sum of attributions", 0.0, e["attributions less the effect of the reconstruction"], 1e-12),
        CheckLine("the telling unit is the loudest", 0.0, float(found.rows[found.positions[:, 1].argmax()]), 0.0),
        CheckLine("first order and measured", 0.5, e["correlation of first-order and measured effects"], 0.0,
                  "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="gradient_plane", family="dictionaries", title="Activation against effect on the loss", version=3,
        function=gradient_plane,
        summary="Which features are quiet but loud: mean activation against first-order effect on the loss.",
        params=GradientPlaneParams, result=Scatter, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; scaling a direction up and its codes down moves points sideways only",
        papers=("Features that Make a Difference: Leveraging Gradients for Improved Dictionary Learning",),
    ),
)  # fmt: skip
