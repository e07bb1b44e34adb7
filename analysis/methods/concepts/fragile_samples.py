"""Which samples does a probe hold by a thread, which way do they fail most easily, and which real samples lead there?

A linear probe on frozen features, judged on samples that it did not see (five folds). For each sample: its margin, the
distance to the nearest boundary (negative where it is classified wrong); the direction of easiest failure, the gradient
of its loss projected on the span of a batch of other samples (`compute.subspaces.fragile`); how far along it the probe
fails and as which class; and of which samples the feature there is made: x + Σ c_j x_j. Features are centred and of
unit length, so that distances are in feature lengths (opposite features are 2 apart). The list begins with the
smallest margin.

The range of a margin is over refits with other folds and batches; Spearman's ρ between refits says how far the order
can be trusted. Null of failing within ε: a random direction of the same span. Null of the class that positive weights
have: its share of the batch. Null of the share of the gradient inside the span: (dimensions of the span) / units.

When it lies: the margin is of this probe, not of the network; it reads linearly, and a large margin can be a wrong
label nobody looked at; with a batch wider than the units the span is everything and the weights are one choice of many,
those of least length; other batches give other samples of the same direction; a point on the way is no feature of any
sample.

Cost: 5 x refits probes, epochs of O(n d classes) each; memory O(n (d + batch)).

Reference: Q. Qian, Y. Xu & J. Hu (2024), "SeA: semantic adversarial augmentation for last layer features from
unsupervised representation learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.subspaces.adversarial_features import gradients
from analysis.compute.subspaces.compared_probes import FEWEST
from analysis.compute.subspaces.fragile import composed, failing, margins_of
from analysis.compute.subspaces.fragile_report import (
    HELP,
    FragileParams,
    fragile_caveats,
    fragile_columns,
    fragile_data,
    fragile_data_cost,
    fragile_estimates,
    fragile_reading,
)
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class FragileSamplesParams(FragileParams):
    shown: int = param(50, "Samples in the list, the smallest margins first.", low=1, high=5000)
    refits: int = param(3, "Times that all probes are trained, with other folds and batches.", low=2, high=20)


def fragile_samples(
    activations, params: FragileSamplesParams = FragileSamplesParams(), rng=None, progress=no_progress
) -> Table:
    """The samples that a probe holds by the smallest margins.

    Parameters
    ----------
    activations : Activations with the class column

    Returns
    -------
    Table
        A row for each sample, the smallest margin first, see `fragile_report.HELP`. Estimates: accuracy, agreement of
        two refits on the order, shares that fail within ε, the share of the gradient that other samples span, and
        whether the positive weights are of the class that samples fail into.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes of five samples, or 50 samples; features that are all equal.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = fragile_data(tap, params, params.refits, rng, progress)
    progress(1.0, "done")
    estimates = fragile_estimates(data, params.epsilon)
    return Table(
        title=f"Fragile samples of {tap.name} ({params.column})",
        reading=fragile_reading(data, estimates, params.epsilon),
        caveats=fragile_caveats(data), estimates=estimates, columns=fragile_columns(data, params.shown, params.epsilon),
        index="sample", help=HELP,
    )  # fmt: skip


def _cost(shapes, params: FragileSamplesParams) -> Cost:
    return fragile_data_cost(shapes, params, params.refits)


def planted_fragile(rng, n: int = 200, d: int = 10) -> ArrayActivations:
    """Two far classes along unit 0; the first sample of class 0 stands between them, a little on its own side."""
    label = np.arange(n) % 2
    x = 0.05 * rng.standard_normal((n, d))
    x[:, 0] += np.where(label, 1.0, -1.0)
    x[0, :2] = -0.05, 1.0
    return ArrayActivations(x, "planted", {"label": label, "id": np.array([f"s{i}" for i in range(n)])})


def _check() -> tuple[CheckLine, ...]:
    """Margins and the way to failure of a probe in closed form; projections in the span, no longer than the gradient;
    a planted sample between two classes comes first."""
    rng = np.random.default_rng(4)
    w, b = np.array([[3.0, -3.0], [4.0, -4.0]]), np.array([1.0, 0.0])
    x, of = np.array([[1.0, 2.0]]), np.array([0])
    margin = float(margins_of(x, of, w, b)[0][0])  # (6, 8) · (1, 2) + 1 = 23 over ‖(6, 8)‖ = 10
    g = gradients(x, np.eye(2)[of], w, b)
    along = g / np.linalg.norm(g)
    at = float(failing(x, of, w, b, along)[0][0])
    g, others = rng.standard_normal((20, 12)), rng.standard_normal((6, 12))
    inside, a = composed(g, others)
    wide = composed(g, rng.standard_normal((40, 12)))[0]
    ratio = np.linalg.norm(inside, axis=1) / np.linalg.norm(g, axis=1)
    found = fragile_samples(planted_fragile(rng, 100), FragileSamplesParams(epochs=5, refits=2))
    return (
        CheckLine("margin: 23 / 10", 2.3, margin, 1e-12),
        CheckLine("the free gradient fails at the margin", 2.3, at, 1e-9),
        CheckLine("projected gradient less Σ a_j x_j", 0.0, float(np.abs(inside - a @ others).max()), 1e-10),
        CheckLine("projected over free gradient: longest", 1.0, float(ratio.max()), 1e-12, "at most"),
        CheckLine("a span of six: shortened", 0.95, float(ratio.mean()), 0.0, "at most"),
        CheckLine("a span of everything: no change", 0.0, float(np.abs(wide - g).max()), 1e-10),
        CheckLine("planted sample leads the list", 1.0, float(found.columns["sample"][0] == "s0"), 0.0),
        CheckLine("its margin over the median of the list", 0.3,
                  float(found.columns["margin"][0] / np.median(found.columns["margin"])), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="fragile_samples", family="concepts", title="Fragile samples of a probe", version=1,
        function=fragile_samples,
        summary="The samples a linear probe holds by the smallest margins, and which real samples lead to failure.",
        params=FragileSamplesParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing but the random control",
        papers=("SeA: semantic adversarial augmentation of last-layer features",),
    ),
)  # fmt: skip
