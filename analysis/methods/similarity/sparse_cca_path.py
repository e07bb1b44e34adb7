"""Sparse CCA against its penalty: how few units do as well as many, and where does fitting to chance begin?

The first pair of sparse canonical weights (see `sparse_cca`) along falling penalties μ, five times without a fifth of
the samples: the correlation of the samples that made the weights, of those that did not, and the share of all units
that has a weight. In-sample rises to 1 as the penalty falls; held-out turns where new units only fit chance.

Null: 0 held out. In-sample, the same path after exchanging all samples, which rises as well.

When it lies: the best held-out point was chosen on these folds, so its value is a little too high (`sparse_cca` holds
a further fifth out). Bands are standard errors over folds that share samples. Left of the lowest penalty drawn, 1 /
√n, any unit enters.

Cost: second moments O(n (p + q)²), then for each penalty, fold and exchange some tens of lassos over the chosen
units: the low penalties take nearly all of it. Memory O(n (p + q) + 8 (p + q)²).

References: D. Hardoon & J. Shawe-Taylor (2011), "Sparse canonical correlation analysis"; I. Wilms & C. Croux (2015);
L. Breiman et al. (1984) for the choice within one standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.sparse_canonical_fit import FEWEST
from analysis.compute.similarity.sparse_canonical_path import (
    FOLDS,
    Cohort,
    Path,
    cohort_bytes,
    followed,
    penalties_of,
)
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MADE, HELD, SHARE = "in-sample correlation", "held-out correlation", "share of units with a weight"


@dataclass(frozen=True)
class SparseCcaPathParams:
    steps: int = param(10, "Penalties along the path.", low=3, high=50)
    shuffles: int = param(
        1, "Paths of exchanged samples, for the null of the in-sample line.", low=1, high=50
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def sparse_cca_path(
    x, y, params: SparseCcaPathParams = SparseCcaPathParams(), rng=None, progress=no_progress
) -> Curve:
    """In-sample and held-out correlation of the first sparse canonical pair against the penalty.

    Parameters
    ----------
    x, y : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Curve
        `x` penalties, rising; three series, two of them with bands and nulls. Estimates: the held-out correlation at
        the best penalty and at the chosen one, and the in-sample correlation there.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        An id twice; nothing varies; fewer than 50 common samples; over 4 GiB.
    """
    taps, rng = [as_activations(x), as_activations(y)], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n = len(data.ids)
    cohort, fold = Cohort(*data.values), rng.permutation(np.arange(n) % FOLDS)
    penalties = penalties_of(cohort.covariances(np.zeros(n, bool))[0], n, params.steps)
    runs, span = 1 + params.shuffles, 0.7 / (1 + params.shuffles)
    path = followed(cohort, penalties, fold, progress=progress, span=(0.3, 0.3 + span))
    nulls = [
        followed(
            cohort.exchanged(rng),
            penalties,
            fold,
            progress=progress,
            span=(0.3 + i * span, 0.3 + (i + 1) * span),
        )
        for i in range(1, runs)
    ]
    units = sum(v.shape[1] for v in data.values)
    made = np.mean([p.made.mean(axis=1) for p in nulls], axis=0)
    return Curve(
        title=f"Sparse CCA of {names[0]} and {names[1]} along its penalty", reading=_reading(path, names, made),
        caveats=(*_notes(path, cohort, nulls), *data.notes), estimates=_estimates(path, nulls, n),
        x=penalties[::-1].copy(), x_name="penalty μ, in units of correlation",
        y_name="correlation, or share of units", log_x=True, **_lines(path, made, units),
    )  # fmt: skip


def _lines(path: Path, made_null: np.ndarray, units: int) -> dict:
    """Series, bands and nulls by rising penalty."""
    out: dict[str, dict[str, np.ndarray]] = {"series": {}, "low": {}, "high": {}, "null": {}}
    for name, values, null in ((MADE, path.made, made_null), (HELD, path.held, np.zeros(len(made_null)))):
        mean, reach = values.mean(axis=1), _reach(values)
        out["series"][name] = mean[::-1].copy()
        out["low"][name], out["high"][name] = np.clip([mean - reach, mean + reach], -1.0, 1.0)[:, ::-1].copy()
        out["null"][name] = null[::-1].copy()
    out["series"][SHARE] = path.counts.mean(axis=1)[::-1] / units
    return out


def _reach(values: np.ndarray) -> np.ndarray:
    """(s,) half-width of the interval of the mean over folds (s, folds)."""
    folds = values.shape[1]
    return stdtrit(folds - 1, 0.975) * values.std(axis=1, ddof=1) / np.sqrt(folds)


def _estimates(path: Path, nulls: list[Path], n: int) -> tuple[Estimate, ...]:
    mean, reach = path.mean(), _reach(path.held)
    made, how = path.made.mean(axis=1), "t over folds, which share samples"
    found = []
    for word, at in (("best", int(mean.argmax())), ("chosen", path.chosen())):
        d, value = round(float(path.counts[at].mean())), float(mean[at])
        by = f"correlation of held-out scores, {FOLDS} folds"
        found.append(
            Estimate(f"held-out correlation, {word} penalty {path.penalties[at]:.2g}", value,
                     max(value - float(reach[at]), -1.0), min(value + float(reach[at]), 1.0), interval=how,
                     null=0.0, n=n, d=d, estimator=by, null_method="samples exchanged, exact mean")
        )  # fmt: skip
    drawn = [float(p.made[at].mean()) for p in nulls]
    found.append(
        Estimate("in-sample correlation, chosen penalty", float(made[at]), null=float(np.mean(drawn)), n=n, d=d,
                 null_method=f"samples exchanged {len(drawn)} time(s) and fitted again",
                 estimator="correlation of the scores of the samples that made the weights")
    )  # fmt: skip
    return tuple(found)


def _reading(path: Path, names, made_null: np.ndarray) -> str:
    at, best = path.chosen(), int(path.mean().argmax())
    counts, made = path.counts.mean(axis=1), path.made.mean(axis=1)
    return (
        f"About {counts[at]:.0f} units of {names[0]} and {names[1]} together (penalty {path.penalties[at]:.2g}) "
        f"correlate {path.mean()[at]:.2f} on held-out samples, within one standard error of the best "
        f"({path.mean()[best]:.2f}, {counts[best]:.0f} units). In-sample they reach {made[at]:.2f} there and "
        f"{made[-1]:.2f} at the lowest penalty, where exchanged samples reach {made_null[-1]:.2f}."
    )


def _notes(path: Path, cohort: Cohort, nulls: list[Path]) -> list[str]:
    notes = [
        "The best and the chosen penalty were found on these folds: their held-out values are a little too high.",
        f"Null of the in-sample line: {len(nulls)} exchange(s) of all samples.",
    ]
    constant = int((~cohort.varies).sum())
    if constant:
        notes.append(f"{constant} constant unit(s) left out.")
    return notes


def _cost(shapes, params: SparseCcaPathParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    p, q = (units for _, units in shapes)
    fits = FOLDS * params.steps * (1 + params.shuffles)
    flops = 4.0 * n * (p + q) ** 2 + fits * (2.0 * min(p, q) ** 3 + 4000.0 * (p * p + q * q))
    held = 8.0 * 2 * n * (p + q) + cohort_bytes(n, p, q)
    return Cost(machine().seconds(flops64=flops, calls=fits * 20 * (p + q)) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Three units on each side that hold one thing among thirty others: held out, six units do as well as can be, and
    more only raise the in-sample line, which rises as much for exchanged samples."""
    rng = np.random.default_rng(13)
    z = rng.standard_normal((250, 1))
    x, y = rng.standard_normal((250, 30)), rng.standard_normal((250, 30))
    x[:, :3] += 1.5 * z
    y[:, 10:13] += 1.5 * z
    found = sparse_cca_path(ArrayActivations(x), ArrayActivations(y), SparseCcaPathParams(steps=6))
    nothing = sparse_cca_path(
        ArrayActivations(x), ArrayActivations(y[rng.permutation(250)]), SparseCcaPathParams(steps=4)
    )
    lowest = float(nothing.series[MADE][0])
    return (
        CheckLine("units at the chosen penalty", 6.0, float(found.estimates[1].d), 0.0),
        CheckLine("their held-out correlation", 6.75 / 7.75, found.estimates[1].value, 0.05),
        CheckLine("exchanged samples: held out", 0.0, float(nothing.series[HELD].mean()), 0.15),
        CheckLine("exchanged samples: in-sample at the lowest penalty", 0.4, lowest, 0.0, "at least"),
        CheckLine("and its null says so", lowest, float(nothing.null[MADE][0]), 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="sparse_cca_path", family="similarity", title="Sparse CCA along its penalty", version=1,
        function=sparse_cca_path, params=SparseCcaPathParams, result=Curve, check=_check, cost=_cost, inputs=2,
        summary="How few units of two layers or networks carry what they share, and where fitting to chance begins.",
        minimum_rows=FEWEST, papers=("Sparse Canonical Correlation Analysis",),
        invariance="shifting or scaling any single unit changes nothing; mixing units changes everything",
    ),
)  # fmt: skip
