"""How do the views of a set read each other, and which of them does the answer need? Views of an object, frames, words.

    A_ab = mean over heads and tokens of view a of what they pay to view b, rows made whole (without class tokens)
    effect of view v = distance of the answer without v from the answer with all
    change of order = distance of the answer when the views come in another order; 0 for a function of sets

distance: half the sum of differences of probabilities of a classifier, else length over the spread of answers between
sets. Views are the free tokens of a sample, so many to a view, or samples that a column groups into objects. Where no
network can be run the rows are queries and keys, softmax(x x' / √d), and the answer is their mean, which knows no
order.

Interval: Student's t over sets. Null: 1/V, which views that are all the same give exactly; of the
largest effect the largest after views have been exchanged inside each set. One other order is tried.

When it lies: a view may be paid much and not be needed, and the reverse (both are drawn); views that say the same stand
in for each other, so that each seems not to be needed; a network whose inputs have no axis of views is asked with the
view taken away behind the first attention, and its order is not tested; positions that a network adds make it depend
on order by design.

Cost: one pass of each set for attention, V + 2 for the effects.

Reference: H. Sun, Y. Wang, P. Wang, H. Deng, X. Cai & D. Li (2024), "VSFormer: mining correlations in flexible view set
for multi-view 3D shape understanding".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.clips import RUN
from analysis.tokens.sets.view_reading import read_views
from analysis.tokens.sets.views import sets_are_samples
from analysis.tokens.subject import AUTOMATIC, SOURCES

READ, NEEDED = "what views read of each other", "what leaving a view out changes"
OPENING, DRAWN, LEVEL, DRAWS = 4.0, 40, 0.05, 400


@dataclass(frozen=True)
class ViewSetsParams:
    show: str = param(READ, "What is drawn.", choices=(READ, NEEDED))
    layer: int | None = param(
        None, "Whose attention, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    object: str | None = param(
        None, "Samples with one value are the views of one object; automatic: 'object' or 'clip', if there.",
        column=True,
    )  # fmt: skip
    view: str | None = param(None, "Orders the views; automatic: 'view' or 'frame', if there.", column=True)
    views: int | None = param(
        None, "Of samples that are sets: views of a sample; automatic: each token is one.", low=2, high=200
    )
    maximum_samples: int = param(24, "Most sets; a seeded random subset above.", low=2, high=2000, late=True)
    source: str = param(AUTOMATIC, "Whose attention and answer.", choices=SOURCES, late=True)


def view_sets(
    activations, params: ViewSetsParams = ViewSetsParams(), rng=None, progress=no_progress
) -> Matrix:
    """Views x views, or sets x views.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Sets of views; of a tap without columns or tokens 16 samples in a row are a set.

    Returns
    -------
    Matrix
        Mean attention between views, or the effect of each view on each set's answer.

    Raises
    ------
    ParameterError, NotFound, NotEnoughData
        Views that do not divide the tokens; no such layer or column; fewer than two sets.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = read_views(tap, params, rng, progress)
    progress(1.0, "done")
    a, effect, moved, reader, notes = found.attention, found.effect, found.moved, found.reader, found.notes
    if moved is None:
        notes.append(
            "No input of the network has an axis of views, so that their order was not tested."
            if reader.who.is_network
            else "The answer of rows is their mean, which knows no order: it was not tested."
        )
    estimates = _estimates(a, effect, moved, tap.shape[1], rng)
    if params.show == NEEDED:
        return _needed(tap.name, effect, found.sets, estimates, notes, found.classifies)
    return _read(tap.name, a, found.layer, effect, estimates, notes, reader)


def _estimates(a, effect, moved, d: int, rng) -> tuple[Estimate, ...]:
    n, v = len(a), a.shape[1]
    own = np.trace(a, axis1=1, axis2=2) / v
    uneven = 0.5 * np.abs(a - 1 / v).sum(axis=2).mean(axis=1)
    best = int(effect.mean(axis=0).argmax())
    chance = np.array([rng.permuted(effect, axis=1).mean(axis=0).max() for _ in range(DRAWS)])
    found = [
        Estimate("what a view pays itself", float(own.mean()), **mean_interval(own, 0.0, 1.0), null=1 / v, n=n, d=d,
                 null_method="views that are all the same", estimator="mean over views"),
        Estimate("distance from an even reading", float(uneven.mean()), **mean_interval(uneven, 0.0, 1.0), null=0.0,
                 null_method="views that are all the same", n=n, d=d, estimator="mean total variation of rows"),
        Estimate(f"effect of view {best}, the most needed", float(effect[:, best].mean()),
                 **mean_interval(effect[:, best], 0.0), n=n, d=d,
                 **against(float(effect[:, best].mean()) - 1e-12, chance),
                 null_method=f"views of each set exchanged, the most needed, {DRAWS} draws",
                 estimator=f"mean distance of answers, the largest of {v} views"),
    ]  # fmt: skip
    if moved is not None:
        found.append(
            Estimate("change of order", float(moved.mean()), **mean_interval(moved, 0.0), null=0.0, n=n, d=d,
                     null_method="a function of sets", estimator="mean distance of answers, one other order")
        )  # fmt: skip
    return tuple(found)


def _read(name, a, layer, effect, estimates, notes, reader) -> Matrix:
    n, v = len(a), a.shape[1]
    mean, error = a.mean(axis=0), a.std(axis=0, ddof=1) / np.sqrt(n)
    t = np.where(np.abs(mean - 1 / v) > 1e-9, (mean - 1 / v) / np.maximum(error, 1e-12), 0.0)
    off = mean - 1 / v
    np.fill_diagonal(off, -1.0)
    i, j = np.unravel_index(off.argmax(), off.shape)
    around = stats_half(n) * error
    return Matrix(
        title=f"What views read of each other: layer {layer + 1} of {reader.what}, {name}",
        reading=f"View {i} reads view {j} most of all others, {mean[i, j]:.0%} (read alike {1 / v:.0%}); the answer "
                f"needs view {int(effect.mean(axis=0).argmax())} most.",
        caveats=(*notes, "What a view is paid is not what it matters for."), estimates=estimates, values=mean,
        row_names=tuple(f"view {k} reads" for k in range(v)), column_names=tuple(f"view {k}" for k in range(v)),
        value_name="share of what a view pays", null=np.full((v, v), 1 / v),
        low=np.maximum(mean - around, 0.0), high=np.minimum(mean + around, 1.0),
        significant=benjamini_hochberg(2 * stdtr(n - 1, -np.abs(t))) <= LEVEL,
    )  # fmt: skip


def stats_half(n: int) -> float:
    """Student's t of 95 % of n sets."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975))


def _needed(name, effect, samples, estimates, notes, classifies) -> Matrix:
    shown = effect[:DRAWN]
    if len(effect) > DRAWN:
        notes.append(f"The first {DRAWN} of {len(effect)} sets are drawn.")
    measure = "share of the probability that moves" if classifies else "length over the spread between sets"
    best = int(effect.mean(axis=0).argmax())
    return Matrix(
        title=f"What leaving a view out changes in the answer, {name}",
        reading=f"View {best} is needed most, {effect[:, best].mean():.2g} ({measure}); the mean view "
                f"{effect.mean():.2g}.",
        caveats=(*notes, "Views that say the same stand in for each other."), estimates=estimates, values=shown,
        row_names=tuple(f"set {int(s)}" for s in samples[:DRAWN]),
        column_names=tuple(f"without view {k}" for k in range(effect.shape[1])), value_name=measure,
        null=np.repeat(shown.mean(axis=1, keepdims=True), effect.shape[1], axis=1),
    )  # fmt: skip


def _cost(shapes, params: ViewSetsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    sets = min(max(n // RUN, 2), params.maximum_samples)
    held = 20.0 * sets * (RUN + 1) * d + 8.0 * n + 8.0 * sets * RUN * RUN * 6 + 1e5
    return Cost(
        OPENING + m.seconds(moved=held * RUN, calls=400.0 * sets * RUN) + 1e-6 * n, held, sets * (RUN + 2)
    )


def _check() -> tuple[CheckLine, ...]:
    """Views that are the same read each other alike; one view less in closed form; a doubled view is not needed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 5, 300))
    x[:, 4] = x[:, 3]
    layout = Layout(np.arange(7) * 5)

    def found(x, show=READ):
        return view_sets(ArrayActivations(x.reshape(-1, 300), layout=layout), ViewSetsParams(show=show))

    same, apart, needed = found(np.repeat(x[:, :1], 5, axis=1)), found(x), found(x, NEEDED)
    order = np.array([2, 0, 4, 1, 3])
    turned = found(x[:, order]).values - apart.values[np.ix_(order, order)]
    mean = x.mean(axis=1)
    spread = np.sqrt(np.square(mean - mean.mean(axis=0)).sum(axis=1).mean())
    one = np.linalg.norm(x[:, 0] - mean, axis=1) / 4 / spread
    return (
        CheckLine("the same views: even", 0.0, float(np.abs(same.values - 0.2).max()), 1e-12),
        CheckLine("views far apart: read themselves", 1.0, float(apart.values[0, 0]), 1e-3),
        CheckLine("a doubled view: reads itself", 0.5, float(apart.values[3, 3]), 1e-3),
        CheckLine("effect of a view in closed form", 0.0, float(np.abs(needed.values[:, 0] - one).max()), 1e-9),
        CheckLine("views in another order: rows and columns too", 0.0, float(np.abs(turned).max()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="view_sets", family="tokens", network="attention", asks=sets_are_samples,
        title="Views that read each other", version=5, function=view_sets,
        summary="Attention between the views of a set, what leaving each out changes, and whether order matters.",
        params=ViewSetsParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of sets; the order of the samples' views, up to the order of rows and columns",
        papers=("VSFormer: Mining Correlations in Flexible View Set for Multi-view 3D Shape Understanding",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
