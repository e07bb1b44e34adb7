"""Do ways to a map agree, and by more than the places that maps of any sample like?

For every sample i the maps of two ways a and b are compared by Spearman's rank correlation over its tokens,

    ρ_ab = mean over i of ρ(map_a(x_i), map_b(x_i))

by the size of the values, or as they stand.

Null: map_a of one sample against map_b of others, place by place. Maps of the middle of a picture, or of the first
word, agree for samples that have nothing in common: only what goes beyond is agreement about this sample. On the
diagonal the null says how much the maps of one way are the same for every sample. Significant are pairs whose agreement
lies beyond that of other samples, by random signs over samples, at 5 % false discoveries over all pairs. The band that
is told is how far the mean over as many pairs of different samples lies from its own mean: maps are smooth, and vary
more than tokens in any order would.

When it lies: ways that share a step (a slope, the size of what stands at the site) agree for that reason; agreement is
no sign of being right, as all may follow edges, which is why the controls are in the matrix. Of texts of unequal length
the places are counted from the beginning, and the null uses the common ones. A map with the same value everywhere
counts as no agreement.

Cost: for every sample the maps, as their ways tell; O(samples ways² tokens) beside them.

References: C. Spearman (1904); Y. Benjamini & Y. Hochberg (1995); S. Krishna et al. (2022), "The disagreement problem
in explainable machine learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations
from analysis.attribution.saliency.map_likeness import NORMAL, rank_correlation_table, same_length
from analysis.attribution.saliency_court.asking import FEWEST, CourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.on_trial import opened_trial
from analysis.attribution.saliency_court.trial import Trial
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.paired_gain import gain_p
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Method, Progress, no_progress, param

SIZE, SIGNED = "by size", "as they are"
OTHERS = 5  # other samples that each one is held against


@dataclass(frozen=True)
class WayAgreementParams(CourtParams):
    values: str = param(
        SIZE, "Whether a value that speaks against the answer counts by its size.", choices=(SIZE, SIGNED)
    )


def way_agreement(
    activations, params: WayAgreementParams = WayAgreementParams(), rng=None, progress=no_progress
) -> Matrix:
    """Rank correlation between the maps of all ways.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        Mean rank correlation (ways, ways), its interval, and that between maps of different samples. Estimates: the
        mean over pairs of ways, and with edges.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; no map of any way.
    """
    rng = rng or np.random.default_rng(0)
    trial = opened_trial(activations, params, rng, progress)
    maps = trial.without_silent(trial.maps(progress, (0.1, 0.9)))
    maps = [np.array(one) if params.values == SIGNED else np.abs(one) for one in maps]
    own = np.array([rank_correlation_table(one, one) for one in maps])
    other, spread = of_other_samples(maps, rng, progress, (0.9, 0.95))
    value, null, n = own.mean(axis=0), other.mean(axis=0), len(own)
    value = np.where(np.eye(len(value), dtype=bool), np.round(value, 12), value)
    half = stdtrit(n - 1, 0.975) * own.std(axis=0, ddof=1) / np.sqrt(n)
    band = float(NORMAL * spread / np.sqrt(n))
    progress(1.0, "done")
    return Matrix(
        title="Rank correlation of the maps of ways", reading=_reading(trial, value, null),
        caveats=trial.caveats(), estimates=_estimates(trial, own, other), values=value, row_names=trial.names,
        column_names=trial.names, value_name="rank correlation", null_band=(-band, band),
        significant=_significant(own - other, rng), limits=(-1.0, 1.0), diverging=True, null=null,
        low=np.maximum(value - half, -1), high=np.minimum(value + half, 1),
    )  # fmt: skip


def of_other_samples(maps: list[np.ndarray], rng, progress: Progress, span) -> tuple[np.ndarray, float]:
    """(n, ways, ways): the mean correlation of maps of each sample with those of a few others; and the standard
    deviation of such a correlation of two ways, over pairs of samples."""
    n, squares, times = len(maps), 0.0, 0
    shifts = np.sort(rng.choice(np.arange(1, n), size=min(OTHERS, n - 1), replace=False))
    found = []
    for i in range(n):
        progress(span[0] + (span[1] - span[0]) * i / n, "comparing maps of different samples")
        tables = [rank_correlation_table(*same_length(maps[i], maps[(i + s) % n])) for s in shifts]
        found.append(np.mean([(t + t.T) / 2 for t in tables], axis=0))
        squares, times = squares + np.sum([t**2 for t in tables], axis=0), times + len(tables)
    found, apart = np.array(found), ~np.eye(len(maps[0]), dtype=bool)
    mean = np.mean(found, axis=0)
    return found, float(np.sqrt(np.maximum(squares / times - mean**2, 0.0)[apart].mean()))


def _significant(apart: np.ndarray, rng) -> np.ndarray:
    """(ways, ways) bool: agreement beyond that with other samples; the diagonal is no test."""
    k = apart.shape[1]
    upper = np.triu_indices(k, 1)
    p = np.array([gain_p(apart[:, a, b], rng) for a, b in zip(*upper, strict=True)])
    out = np.zeros((k, k), bool)
    out[upper] = benjamini_hochberg(p) < 0.05
    return out | out.T


def _estimates(trial: Trial, own: np.ndarray, other: np.ndarray) -> tuple[Estimate, ...]:
    explaining, n, d = trial.explaining, len(own), int(np.median(trial.tokens))
    both = np.triu(np.outer(explaining, explaining), 1)
    asked = {"agreement of ways that look at the network": both}
    for k in np.flatnonzero(~explaining):
        one = np.zeros_like(both)
        one[k, explaining] = True
        asked[f"agreement with {trial.names[k]}"] = one
    return tuple(
        Estimate(name, float(values.mean()), **mean_interval(values, -1.0, 1.0), null=float(other[:, which].mean()),
                 null_method="maps of other samples", n=n, d=d, estimator="mean rank correlation")
        for name, which in asked.items() if which.any()
        for values in (own[:, which].mean(axis=1),)
    )  # fmt: skip


def _reading(trial: Trial, value: np.ndarray, null: np.ndarray) -> str:
    own = np.flatnonzero(trial.explaining)
    if len(own) < 2:
        return f"One way looks at the network; on other samples it agrees by {null[own[0], own[0]]:.2f} with itself."
    a, b = np.array(np.triu_indices(len(own), 1))
    pairs = value[own[a], own[b]]
    least, most = (own[[a[k], b[k]]] for k in (np.argmin(pairs), np.argmax(pairs)))
    said = lambda pair: f"{trial.names[pair[0]]} and {trial.names[pair[1]]} ({value[tuple(pair)]:.2f})"  # noqa: E731
    return (
        f"Maps of {trial.what} agree by {pairs.mean():.2f} in the mean over pairs of ways, most of all {said(most)}, "
        f"least {said(least)}; maps of different samples agree by {null[own[a], own[b]].mean():.2f}."
    )


def _cost(shapes, params: WayAgreementParams):
    return court_cost(shapes, params, 1)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe, a background of 0: gradient x input and integrated gradients are the same map."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = rng.standard_normal((60, 8)) + 2.0 * label[:, None] * (np.arange(8) < 3)
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = WayAgreementParams(
        ways="gradient x input, integrated gradients", background="zero", reader=PROBE, samples=40, steps=1
    )
    found = way_agreement(tap, params)
    at = found.row_names.index
    same = found.values[at("gradient x input"), at("integrated gradients")]
    return (
        CheckLine("the same map by two ways", 1.0, float(same), 1e-9),
        CheckLine(
            "random maps",
            0.0,
            float(found.values[at("gradient x input"), at("random")]),
            3 * found.null_band[1],
        ),
        CheckLine("a way with itself", 1.0, float(found.values[0, 0]), 1e-9),
        CheckLine("other samples agree less", float(same), float(found.null[0, 1]), 0.0, "at most"),
    )


METHODS = (
    Method(
        id="way_agreement",
        family="attribution",
        title="Agreement of ways to a map",
        summary="Rank correlation between the maps of all ways, against maps of other samples and random ones.",
        version=2,
        function=way_agreement,
        params=WayAgreementParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="any rising function of the sizes of a map",
        papers=(
            "There and Back Again: Revisiting Backpropagation Saliency Methods (same text as 003 #40)",
            "SHAP: a unified approach",
        ),
        libraries=("torch",),
    ),
)
