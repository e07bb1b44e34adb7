"""Do synthetic samples stand for the real ones? Coverage, density, precision and recall in a feature space, by class.

    coverage     share of real samples whose ball of k nearest real neighbours has a synthetic one in it
    density      real balls that a synthetic sample is in, over k, on average
    precision    share of synthetic samples that are in some real ball
    recall       share of real samples that are in some ball of synthetic neighbours

Balls are made within a class, and once for all. *Spread* is the variance of the synthetic samples over that of the real
ones, all units together. Where the synthetic samples are some of the real ones, precision is 1.

Null: real against real. As many real samples as there are synthetic ones (at most half) are drawn and taken for
synthetic, and the others are the real ones. Intervals: Wilson's over real or synthetic samples, the others held fixed.

When it lies: distances say what the tap says, so that a network that looks at texture calls images alike that are not;
in high dimension a few hubs are in many balls and density grows with outliers among the real; few synthetic samples
cannot cover many real ones however good they are: the null has as few; classes of fewer than `k + 2` are left out.

Cost: O((n + m)² d) for each class and draw; memory O((n + m)²).

References: M. Naeem et al. (2020), "Reliable fidelity and diversity metrics for generative models"; T. Kynkäänniemi et
al. (2019); M.-T. Tran et al. (2025), "Enhancing dataset distillation via non-critical region refinement".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.neighbours.ball_coverage import Balls, balls_of
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import known_labels, pooled_samples
from analysis.compute.statistics.nulls import null_spread, wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData, ShapeError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, ALL = 8, "all"
NUMBERS = ("coverage", "density", "precision", "recall")
HELP = {
    "class": "Class, or all samples at once.",
    "real": "Real samples.",
    "synthetic": "Synthetic samples.",
    "coverage": "Share of real samples with a synthetic one among their nearest.",
    "density": "How many real balls a synthetic sample is in, over k: above 1 in dense places.",
    "precision": "Share of synthetic samples that lie where real ones do.",
    "recall": "Share of real samples that lie where synthetic ones do.",
    **{
        f"{name}, real": f"{name.capitalize()} of real samples in the place of synthetic ones."
        for name in NUMBERS
    },
    "coverage, low": "95 % interval of coverage.",
    "coverage, high": "95 % interval of coverage.",
    "spread": "Variance of the synthetic samples over that of the real ones.",
}


@dataclass(frozen=True)
class SyntheticCoverageParams:
    column: str = param("label", "Sample column with classes, in both; empty: no classes.", column=True)
    neighbours: int = param(5, "Nearest neighbours that a ball reaches to.", low=1, high=100)
    draws: int = param(10, "Draws of real samples in the place of synthetic ones.", low=3, high=200)
    maximum_samples: int = param(
        1500, "Most samples of each; a seeded random subset above.", low=20, high=6000
    )


def synthetic_coverage(
    real,
    synthetic,
    params: SyntheticCoverageParams = SyntheticCoverageParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """Coverage of real by synthetic samples.

    Parameters
    ----------
    real, synthetic : Activations of one tap of one network (equally many units) on real and on synthetic samples.

    Returns
    -------
    Table
        A line for all samples and one for each class, see `HELP`. Estimates: the four numbers of all samples.

    Raises
    ------
    ShapeError, NotFound, NotEnoughData, InputError
        Other numbers of units; no such column; fewer than eight finite samples; real samples that do not vary.
    """
    taps, rng = [as_activations(t) for t in (real, synthetic)], rng or np.random.default_rng(0)
    if taps[0].shape[1] != taps[1].shape[1]:
        raise ShapeError(
            f"{taps[1].name} has {taps[1].shape[1]} units", f"{taps[0].shape[1]}, as {taps[0].name}"
        )
    x, labels, notes = zip(*(_read(t, params, rng, progress, i) for i, t in enumerate(taps)), strict=True)
    if (x[0] == x[0][0]).all():
        raise InputError(
            f"all samples of {taps[0].name} are equal", "samples that differ", "Choose another tap"
        )
    groups = {ALL: tuple(np.ones(len(v), bool) for v in x)}
    shared, said = _classes(labels, params.neighbours)
    groups |= {name: tuple(own == name for own in labels) for name in shared}
    lines, found = [], {}
    for i, (name, members) in enumerate(groups.items()):
        progress(0.2 + 0.8 * i / len(groups), f"measuring {name}")
        own = tuple(v[member] for v, member in zip(x, members, strict=True))
        found[name] = balls_of(*own, params.neighbours), _by_chance(*own, params, rng)
        lines.append(_line(name, own, *found[name]))
    progress(1.0, "done")
    return Table(
        title=f"{taps[1].name} in the place of {taps[0].name}", reading=_reading(lines),
        caveats=tuple(dict.fromkeys([*notes[0], *notes[1], *said, *_caveats(x)])),
        estimates=_estimates(*found[ALL], x), index="class", help=HELP,
        columns={name: np.array([line[name] for line in lines]) for name in HELP},
    )  # fmt: skip


def _read(tap, params, rng, progress, i: int):
    column = sample_column(tap, params.column) if params.column else np.array([ALL] * tap.layout.n_samples)
    chosen, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    x, kept, said = pooled_samples(tap, "mean", chosen, progress, (0.1 * i, 0.1 * (i + 1)))
    if len(x) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(x)} finite sample(s)", f"at least {FEWEST}", "Record more samples"
        )
    labels = np.where(known_labels(column), column.astype(str), "")[chosen[kept]]
    return x, labels, [*said, *notes]


def _classes(labels, k: int) -> tuple[list[str], list[str]]:
    """Classes that both have enough of, and a note on the others."""
    every = sorted((set(labels[0]) | set(labels[1])) - {""})
    if every == [ALL]:
        return [], []
    good = [c for c in every if min((own == c).sum() for own in labels) >= k + 2]
    few = [c for c in every if c not in good]
    said = f"{len(few)} class(es) with fewer than {k + 2} real or synthetic samples have no line: {', '.join(few[:5])}."
    return good, [said] if few else []


def _by_chance(real, synthetic, params, rng) -> np.ndarray:
    """(draws, 4) numbers of real samples in the place of synthetic ones, as many of both sorts in proportion: coverage
    hangs on that."""
    n = len(real)
    m = min(max(round(n * len(synthetic) / (n + len(synthetic))), 1), n - params.neighbours - 1)
    out = []
    for _ in range(params.draws):
        order = rng.permutation(n)
        out.append(balls_of(real[order[m:]], real[order[:m]], params.neighbours).numbers)
    return np.array(out)


def _line(name: str, own, balls: Balls, chance: np.ndarray) -> dict:
    n = len(own[0])
    low, high = wilson(balls.covered.sum(), n)
    spread = [float(v.var(axis=0).sum()) for v in own]
    return {
        "class": name, "real": n, "synthetic": len(own[1]), **dict(zip(NUMBERS, balls.numbers.tolist(), strict=True)),
        **{f"{k}, real": float(v) for k, v in zip(NUMBERS, chance.mean(axis=0), strict=True)},
        "coverage, low": low, "coverage, high": high, "spread": spread[1] / spread[0] if spread[0] > 0 else 0.0,
    }  # fmt: skip


def _estimates(balls: Balls, chance: np.ndarray, x) -> tuple[Estimate, ...]:
    out = []
    each = (balls.covered, balls.inside, balls.precise, balls.recalled)
    for i, (name, values) in enumerate(zip(NUMBERS, each, strict=True)):
        value, ends = float(values.mean()), mean_interval(values, 0.0)
        if values.dtype == bool:
            low, high = wilson(values.sum(), len(values))
            ends = {
                "low": min(low, value),
                "high": max(high, value),
                "interval": "Wilson, the other samples held fixed",
            }
        out.append(Estimate(name, value, **ends, **null_spread(chance[:, i]),
                            null_method="real samples in the place of synthetic ones", n=len(values),
                            d=x[0].shape[1]))  # fmt: skip
    return tuple(out)


def _reading(lines: list[dict]) -> str:
    one = lines[0]
    said = (
        f"Synthetic samples cover {one['coverage']:.0%} of the real ones ({one['coverage, real']:.0%} were they real) "
        f"and {one['precision']:.0%} of them lie where real ones do ({one['precision, real']:.0%}); they spread "
        f"{one['spread']:.2f} times as far"
    )
    if len(lines) < 2:
        return said + "."
    worst = min(lines[1:], key=lambda line: line["coverage"])
    return f"{said}. Class {worst['class']} is covered least, {worst['coverage']:.0%}."


def _caveats(x) -> list[str]:
    said = ["Distances are those of this tap: another one may judge otherwise."]
    if len(x[1]) > len(x[0]) // 2:
        said.append(
            "There are more synthetic samples than half of the real ones: the null has fewer than there are."
        )
    return said


def _cost(shapes, params: SyntheticCoverageParams) -> Cost:
    m, (n, k), d = machine(), [min(r, params.maximum_samples) for r, _ in shapes], shapes[0][1]
    pairs = float((n + k) ** 2) * (2 + params.draws * 0.5)
    seconds = m.seconds(flops64=2 * pairs * d, moved=60.0 * pairs)
    return Cost(seconds + 0.02, 8.0 * max(n, k) ** 2 * 3.5 + 8.0 * (n + k) * d * 2)


def _check() -> tuple[CheckLine, ...]:
    """Some of the real samples: precision 1; all of them: coverage and recall 1; far away: nothing."""
    rng = np.random.default_rng(0)
    of = np.arange(120) % 2
    x = rng.standard_normal((120, 4)) + 6.0 * of[:, None]
    tap = lambda v, y: ArrayActivations(v, samples={"label": y})  # noqa: E731
    params = SyntheticCoverageParams(draws=3)
    some, same, far, real = (
        {e.name: e.value for e in synthetic_coverage(tap(x, of), tap(v, y), params).estimates}
        for v, y in ((x[:40], of[:40]), (x, of), (x + 100, of), (x + 0.0, of))
    )
    return (
        CheckLine("some of the real ones: precision", 1.0, some["precision"], 0.0),
        CheckLine("all of the real ones: coverage", 1.0, same["coverage"], 0.0),
        CheckLine("and recall", 1.0, same["recall"], 0.0),
        CheckLine("density of the same points: (k + 1) / k", 1.2, real["density"], 1e-9),
        CheckLine("far away: coverage", 0.0, far["coverage"], 0.0),
        CheckLine("and precision", 0.0, far["precision"], 0.0),
    )


METHODS = (
    Method(
        id="synthetic_coverage", family="similarity", title="Synthetic for real: coverage", version=1,
        function=synthetic_coverage,
        summary="Coverage, density, precision and recall of synthetic samples, by class, against real ones.",
        params=SyntheticCoverageParams, result=Table, check=_check, cost=_cost, inputs=2, matches="nothing",
        same_units=True, roles=("real", "synthetic"), minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all units of both alike",
        papers=("Enhancing Dataset Distillation via Non-Critical Region Refinement",),
    ),
)  # fmt: skip
