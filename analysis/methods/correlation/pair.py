"""Two units over the same samples: what lies behind one cell of a correlation map.

Pearson's r (a straight line), Spearman's (a rising curve), the bias-corrected distance correlation (any relation), and
how many of the samples that excite the one most are among those that excite the other most.

When it lies: one pair looked up because it was the strongest of a map was chosen for its r: the map's own null is the
largest of all pairs, this one is of a pair that was fixed beforehand; two units that are rarely active go together
through their zeros; tokens of one sample depend on each other, so tests count samples.

Cost: reads two units; O(n ln n), and O(m²) for the distance correlation of at most 1,000 rows.

References: R. A. Fisher (1915); D. Bonett & T. Wright (2000); G. Székely & M. Rizzo (2014); the overlap of two random
sets is hypergeometric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.correlation.correlations import correlation_p, fisher_interval, null_quantile
from analysis.compute.correlation.distance_correlation import (
    distance_band,
    distance_correlations,
    distance_p,
    signed_root,
)
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.rows.tap_rows import refuse_few_samples, tap_rows
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.set_overlap import shared_by_chance
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotFound
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DISTANCE_ROWS = 1000
BOTH = "both"


@dataclass(frozen=True)
class UnitPairParams:
    unit_a: int = param(0, "Number of the first unit, in the first tap.", low=0)
    unit_b: int = param(1, "Number of the second unit, in the last tap.", low=0)
    strongest: int = param(64, "How many of the strongest samples of each are compared.", low=1, high=1000)
    pooling: str = param(
        "mean", "How tokens become one value, where two taps do not have the same.", choices=("mean", "max")
    )
    maximum_points: int = param(20_000, "Most points; a seeded random subset above.", low=100, high=200_000)


def unit_pair(*taps, params: UnitPairParams = UnitPairParams(), rng=None, progress=no_progress) -> Scatter:
    """Two units of one tap, or one of each of two.

    Parameters
    ----------
    *taps : one or two Activations or arrays (rows, units)

    Returns
    -------
    Scatter
        A point per row of the first tap (per sample where two taps were matched by id), the values of the two units as
        coordinates; `columns`: "strongest of" (both, one of the units, neither), and the label where there is one.
        Estimates: Pearson's r, Spearman's r, distance correlation, shared strongest samples.

    Raises
    ------
    NotFound, NotEnoughData
        No such unit; fewer than four samples, or a unit that does not vary.
    ParameterError, InputError, TooLarge
        As `compute.rows.tap_rows.tap_rows` does.
    """
    taps = tuple(as_activations(t) for t in taps)
    rng = rng or np.random.default_rng(0)
    names = _names(taps, params)
    picked = zip((taps[0], taps[-1]), (params.unit_a, params.unit_b), names, strict=True)
    columns = tuple(_alone(tap, unit, name) for tap, unit, name in picked)
    progress(0.0, "reading two units")
    rows = tap_rows(columns, rng, maximum=10**9, pooling=params.pooling)
    seen, at, parts = Pass(), [], []
    for found, blocks in rows.blocks(progress, "reading two units", (0.1, 0.5), seen):
        at.append(found)
        parts.append(np.column_stack([np.asarray(block[:, 0], np.float64) for block in blocks]))
    samples = refuse_few_samples(rows, seen)
    at, values = np.concatenate(at), np.concatenate(parts)
    refuse_few(
        " and ".join(names), int((values.max(axis=0) > values.min(axis=0)).sum()), 2, "unit(s) that vary"
    )
    layout = rows.taps[0].layout
    of = layout.sample_of(at)
    estimates, sets = _estimates(values, of, samples, params, rng, progress)
    notes = [*rows.notes, *seen.notes, *_caveats(len(at), samples)]
    kept = np.arange(len(at))
    if len(at) > params.maximum_points:
        kept = np.sort(rng.choice(len(at), params.maximum_points, replace=False))
        notes.append(f"A random {len(kept):,} of {len(at):,} points drawn; the numbers are of all.")
    shown = {"strongest of": _membership(sets, of[kept], names)}
    matched = (
        rows.taps[0] is not columns[0]
    )  # by id: places among the samples in common, which the page cannot know
    if matched:
        of = _places(rows.taps[0].samples["id"], taps[0].samples["id"])[of]
        at = of
    if "label" in taps[0].samples:
        shown["label"] = np.asarray(taps[0].samples["label"])[of[kept]]
    return Scatter(
        title=_capital(f"{names[0]} and {names[1]}"), reading=_reading(estimates, params, names), caveats=tuple(notes),
        estimates=estimates, positions=values[kept], rows=at[kept].astype(np.int64), axes=names, columns=shown,
        of="samples" if matched and not taps[0].layout.is_pooled else "rows", colour="strongest of",
    )  # fmt: skip


def _places(ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where each of the `ids` stands among the `known` ones."""
    known = np.asarray(known).astype(str)
    order = np.argsort(known)
    return order[np.searchsorted(known, np.asarray(ids).astype(str), sorter=order)]


def _names(taps, params) -> tuple[str, str]:
    labels = tap_names([tap.name for tap in (taps[0], taps[-1])]) if len(taps) > 1 else ("", "")
    found = []
    for tap, unit, label in zip((taps[0], taps[-1]), (params.unit_a, params.unit_b), labels, strict=True):
        if unit >= tap.shape[1]:
            raise NotFound(f"{tap.name} has no unit {unit}", f"0 … {tap.shape[1] - 1}")
        found.append(f"{label} unit {tap.unit_names[unit]}".strip())
    return (found[0], found[1]) if found[0] != found[1] else (found[0], f"{found[1]} (again)")


def _alone(tap, unit: int, name: str) -> ArrayActivations:
    """One unit as a tap of its own; reads no other."""
    values = np.asarray(tap.unit(unit))[:, None]
    digest = f"{tap.digest} unit {unit}"
    return ArrayActivations(values, tap.name, tap.samples, tap.layout, (name,), digest)


def _estimates(values, of, samples: int, params, rng, progress):
    """The four estimates, and of either unit the samples that excite it most."""
    n, common = len(values), {"n": samples, "d": 2}
    progress(0.5, "ranking")
    found = []
    for name, x, ranks in (("Pearson r", values, False), ("Spearman r", midranks(values)[0], True)):
        z = x - x.mean(axis=0)
        r = float(np.clip(z[:, 0] @ z[:, 1] / np.sqrt((z[:, 0] @ z[:, 0]) * (z[:, 1] @ z[:, 1])), -1, 1))
        low, high = (float(v) for v in fisher_interval(np.array(r), samples, ranks=ranks))
        half = null_quantile(samples, 0.95)
        how = "Bonett and Wright" if ranks else "Fisher"
        found.append(Estimate(
            name, r, min(low, r), max(high, r), interval=f"{how}, samples as independent", null=0.0, null_low=-half,
            null_high=half, null_method="unrelated Gaussian units", p_value=float(correlation_p(np.array(r), samples)),
            estimator=name.split()[0].lower(), **common,
        ))  # fmt: skip
    progress(0.7, "comparing distances")
    part = np.sort(rng.choice(n, DISTANCE_ROWS, replace=False)) if n > DISTANCE_ROWS else np.arange(n)
    count = min(len(np.unique(of[part])), samples)
    if count >= 4:
        d = float(signed_root(distance_correlations(values[part]))[0, 1])
        low, high = distance_band(count)
        found.append(Estimate(
            "distance correlation", d, null=0.0, null_low=low, null_high=high, n=count, d=2,
            null_method="rows exchanged, chi-square bound", p_value=float(distance_p(np.array(d), count)),
            estimator="bias-corrected, root",
        ))  # fmt: skip
    progress(0.9, "comparing strongest samples")
    shared, sets = _shared(values, of, params.strongest)
    return (*found, shared), sets


def _shared(values: np.ndarray, of: np.ndarray, most: int) -> tuple[Estimate, list[np.ndarray]]:
    """How many samples are among the k strongest of both units, a sample by its largest value."""
    kinds, inverse = np.unique(of, return_inverse=True)
    n, best = len(kinds), np.full((len(kinds), 2), -np.inf)
    np.maximum.at(best, inverse, values)
    k = max(1, min(most, n // 2))
    sets = [kinds[np.argsort(-best[:, i], kind="stable")[:k]] for i in (0, 1)]
    value = len(np.intersect1d(*sets))
    m, chance = shared_by_chance(k, k, n)
    below = np.cumsum(chance)
    low, high = (float(m[np.searchsorted(below, level)]) for level in (0.025, 0.975))
    return Estimate(
        f"samples shared by the {k} strongest of each", float(value), null=k * k / n, null_low=low, null_high=high,
        null_method="two random sets, hypergeometric", p_value=float(min(1.0, chance[m >= value].sum())), n=n, d=2,
        estimator="overlap", unit="samples",
    ), sets  # fmt: skip


def _membership(sets, of: np.ndarray, names) -> np.ndarray:
    first, second = (np.isin(of, part) for part in sets)
    return np.select([first & second, first, second], [BOTH, names[0], names[1]], "neither")


def _reading(estimates, params, names) -> str:
    r, rank, shared = estimates[0], estimates[1], estimates[-1]
    beyond = "beyond" if r.p_value < 0.05 else "not beyond"
    text = _capital(
        f"{names[0]} and {names[1]} have r = {r.value:.2f} ({r.low:.2f} to {r.high:.2f}), {beyond} what one pair of "
        f"unrelated units shows (±{r.null_high:.2f}); in ranks {rank.value:.2f}."
    )
    if len(estimates) == 4 and estimates[2].p_value < 0.05 <= min(r.p_value, rank.p_value):
        text += " Their distances go together although neither a line nor a rising curve shows it: look at the shape."
    return text + f" They share {shared.value:.0f} of their strongest samples ({shared.null:.1f} by chance)."


def _capital(text: str) -> str:
    """A unit without a tap's name begins in lower case."""
    return f"U{text[1:]}" if text.startswith("unit ") else text


def _caveats(n: int, samples: int) -> list[str]:
    notes = [
        "A pair that was picked for its r is stronger than its own interval says: see the largest of the map."
    ]
    if samples < n:
        notes.append(f"Tests and intervals count {samples:,} samples, not {n:,} dependent rows.")
    return notes


def _cost(shapes, params: UnitPairParams) -> Cost:
    n = min(rows for rows, _ in shapes)
    m = min(n, DISTANCE_ROWS)
    return Cost(0.01 + 4e-7 * n + 2e-8 * m**2, n * 200.0 + 10.0 * m**2 + 5e5)


def _check() -> tuple[CheckLine, ...]:
    """A planted line, a parabola that has no r, a unit of another tap in another order of samples, and noise."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((900, 4))
    x[:, 1] = 0.6 * x[:, 0] + 0.8 * x[:, 1]
    x[:, 2] = x[:, 0] ** 2 + 0.1 * x[:, 2]
    ids, order = np.arange(900).astype(str), rng.permutation(900)
    one = ArrayActivations(x, "one", {"id": ids})
    other = ArrayActivations(x[order] * -1, "other", {"id": ids[order]})

    def found(*taps, **units):
        return unit_pair(*taps, params=UnitPairParams(**units)).estimates

    line, curve, noise = found(x), found(x, unit_b=2), found(x, unit_b=3)
    across = found(one, other, unit_a=1, unit_b=1)
    return (
        CheckLine("planted r", 0.6, line[0].value, 0.06),
        CheckLine("r from numpy", np.corrcoef(x[:, 0], x[:, 1])[0, 1], line[0].value, 1e-12),
        CheckLine("parabola: |r| at most", 0.15, abs(curve[0].value), 0.0, "at most"),
        CheckLine("parabola: distance correlation at least", 0.4, curve[2].value, 0.0, "at least"),
        CheckLine("noise: distance correlation", 0.0, noise[2].value, 0.09),
        CheckLine("noise: shared of 64 strongest", 64 * 64 / 900, noise[3].value, 7.0),
        CheckLine("a unit and its opposite, matched by id", -1.0, across[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="unit_pair",
        family="correlation",
        title="Two units",
        summary="The values of two units over the samples, how they go together, and the strongest samples they share.",
        version=1,
        function=unit_pair,
        params=UnitPairParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        more_inputs=True,
        minimum_rows=4,
        invariance="shifting or rescaling a unit changes at most the sign of r; ranks ignore any rising function",
    ),
)
