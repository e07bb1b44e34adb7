"""Which features is the answer owed to, and how much of it is owed to what no feature holds?

A number y of each answer (a logit, a difference of logits, a log-probability) is split over the features of a tap by
slopes along the straight way from a background to the sample (integrated gradients; with several background
samples, expected gradients):

    x - b = Σ_j δ_j d_j + left over ,   δ_j = z_j(x) - z_j(b)
    φ_j   = mean over b of ∫₀¹ <∇y(b + α (x - b)), δ_j d_j> dα

Σ_j φ_j and the part of what is left over make y(x) - mean y(b): the residual of this sum is the error of the integral,
and is told. The part left over says how much of the answer the dictionary does not hold.

Null: the same changes of features with the slopes of another sample; size and rate of a feature stay, only the match of
feature and slope goes. How many features carry more is told at a false-discovery rate of 5 %. Interval: Student's t
over samples. The background never holds the sample that is explained.

When it lies: the way from the background leads through activations that the network never sees; features that mean the
same share their part by how they are rebuilt; another background gives other values, as the question is "why this and
not that?"; a part that is owed is not an effect of removal, which interactions change.

Cost: for each sample and background row `steps` forward and backward passes, and O(tokens k d).

References: S. Lundberg & S.-I. Lee (2017), "A unified approach to interpreting model predictions"; M. Sundararajan,
A. Taly & Q. Yan (2017), "Axiomatic attribution for deep networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.exchanged_slopes import exchanged_parts
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.path_gradients import PathValues, path_values
from analysis.attribution.players import REST, Features
from analysis.attribution.tap_features import contributions_of
from analysis.compute.machine import machine
from analysis.compute.statistics.discoveries import FALSE, Q_HELP, discoveries, q_above_zero
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING, TOKENS = 8, 5.0, 20.0  # samples; seconds; tokens of a sample, for the estimates
HELP = {
    "feature": "The feature's name; the last player is what the dictionary leaves over.",
    "name": "Its number with the name that the tap or its feature set has for it.",
    "owed": "Mean over samples of the part of the answer's number that is owed to it.",
    "low": "95 % interval of it.",
    "high": "95 % interval of it.",
    "size": "Mean over samples of the part without its sign.",
    "by chance": "The same with the slopes of other samples.",
    "over chance": "Size less that by chance.",
    "over chance, low": "95 % interval of it, of the same samples both times.",
    "over chance, high": "95 % interval of it, of the same samples both times.",
    "q": Q_HELP,
    "changed in": "Share of samples in which it differs from the background.",
    "first in": "Share of samples in which no other part is as large.",
}


@dataclass(frozen=True)
class FeatureAttributionParams:
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is split; a difference is to the second answer.",
        label="number explained", choices=targets.KINDS,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the likeliest of each sample.", low=0, high=1_000_000
    )
    background: str = param(backgrounds.MEAN, "What a sample is held against.", choices=backgrounds.KINDS)
    background_samples: int = param(20, "Samples that the background is made of.", low=1, high=1000)
    steps: int = param(12, "Slopes along the way from the background.", low=1, high=500)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(60, "Most samples; a seeded random subset above.", low=8, high=10_000)


def feature_attribution(
    activations, params: FeatureAttributionParams = FeatureAttributionParams(), rng=None, progress=no_progress
) -> Table:
    """Parts of the answer owed to the features of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each feature that changes, and one for what is left over, see `HELP`. Estimates: the share left
        over, how much the largest part is of all, the residual of the sum.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such output; no slopes.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (0.05, 0.1))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    who = Features(
        contributions_of(made), made.features.decoder, np.arange(made.features.n_features), tap.unit_names
    )
    values, chance, changed, found = _parts(samples, who, params, rng, progress)
    if not np.abs(values).any():
        raise InputError(
            f"no part of the answer of {samples.what} is owed to {made.source.name}", "a tap that the answer hangs on",
            "Choose another tap, number or background",
        )  # fmt: skip
    columns = _columns(np.array(who.names), values, chance, changed, made)
    d = made.source.shape[1]
    passed = discoveries(columns["q"][:-1], "features", "slopes of other samples", d)
    estimates = (*_estimates(values, chance, found, d, rng), passed)
    progress(1.0, "done")
    return Table(
        title=f"What the answer owes to the features of {tap.name}",
        reading=_reading(columns, estimates, samples, params),
        caveats=(*seen.notes, *notes, *made.notes, *_caveats(params, samples, found)), estimates=estimates,
        columns=columns, index="feature", sort="size", help={k: v for k, v in HELP.items() if k in columns},
    )  # fmt: skip


def _parts(samples, who: Features, params, rng, progress):
    """Parts (n, players), the same with slopes of another sample, whether features changed (n, players - 1), and what
    `path_values` found."""
    n = len(samples.samples)
    others = backgrounds.Others(samples, params.background, params.background_samples, rng)
    runs, behind, found = [], [], []
    for i in range(n):
        progress(0.15 + 0.7 * i / n, "explaining samples")
        run = samples.run(i)
        asked = targets.number_wanted(samples, run.logits, params.number, params.answer)
        target = targets.logit_target(run.logits, *asked)
        behind.append(backgrounds.background(params.background, run.clean, others.without(i)))
        found.append(path_values(run, who, behind[-1], target, steps=params.steps))
        runs.append(run.clean)
    shift, chance, changed = rng.integers(1, n), [], []
    for i, (x, b) in enumerate(zip(runs, behind, strict=True)):
        progress(0.85 + 0.15 * i / n, "exchanging slopes")
        chance.append(exchanged_parts(x, who, b, [found[(i + shift) % n].slopes])[0])
        changed.append(np.any([who.differ(x, base) for base in b.rows], axis=0))
    return np.array([f.values for f in found]), np.array(chance), np.array(changed), found


def _columns(names, values, chance, changed, made) -> dict[str, np.ndarray]:
    size, n = np.abs(values), len(values)
    over, reach = size - np.abs(chance), stdtrit(n - 1, 0.975) / np.sqrt(n)
    half, apart = (reach * a.std(axis=0, ddof=1) for a in (values, over))
    shown = np.append(changed.any(axis=0), True)
    q = np.full(len(names), np.nan)
    own = np.append(shown[:-1], False)  # features that change; what is left over is none
    q[own] = q_above_zero(over.mean(axis=0)[own], over.std(axis=0, ddof=1)[own] / np.sqrt(n), n - 1)
    mean, first = values.mean(axis=0), np.bincount(size.argmax(axis=1), minlength=len(names)) / n
    columns = {
        "feature": names, "owed": mean, "low": mean - half, "high": mean + half, "size": size.mean(axis=0),
        "by chance": np.abs(chance).mean(axis=0), "over chance": over.mean(axis=0),
        "over chance, low": over.mean(axis=0) - apart, "over chance, high": over.mean(axis=0) + apart,
        "q": q, "changed in": np.r_[changed.mean(axis=0), 1.0], "first in": first,
    }  # fmt: skip
    if any(made.given_names):
        columns["name"] = np.array([*made.called, REST])
    return {name: column[shown] for name, column in columns.items()}


def _estimates(values, chance, found: list[PathValues], d: int, rng) -> tuple[Estimate, ...]:
    whole = np.array([f.full - f.empty for f in found])
    left, n = np.abs(values[:, -1]), len(values)
    size = max(float(np.abs(whole).mean()), 1e-300)
    most, by_chance = (
        (np.abs(v).max(axis=1) / np.maximum(np.abs(v).sum(axis=1), 1e-300)) for v in (values, chance)
    )
    share, ends = float(left.mean() / size), ratio_interval(left, np.maximum(np.abs(whole), 1e-300), rng)
    missed = np.abs([f.residual for f in found]) / size
    return (
        Estimate("left over by the dictionary", share, *ends, interval="bootstrap over samples", null=1.0,
                 null_method="a dictionary without features: everything is left over", n=n, d=d,
                 estimator="mean |part left over| / mean |answer - background|"),
        Estimate("share of the largest part", float(most.mean()), **mean_interval(most, 0.0, 1.0),
                 null=float(by_chance.mean()), null_method="slopes of other samples", n=n, d=d,
                 estimator="largest |part| / sum of |parts|, mean over samples"),
        Estimate("residual of the sum", float(missed.mean()), **mean_interval(missed, 0.0), n=n, d=d,
                 null=0.0, null_method="parts that add up, exactly",
                 estimator="mean |sum of parts - (answer - background)| / mean |answer - background|"),
    )  # fmt: skip


def _reading(columns, estimates, samples, params) -> str:
    beyond = int((columns["q"] <= FALSE).sum())
    own = np.argsort(-columns["size"][:-1], kind="stable")[:1]
    first = f", most of all to {columns['feature'][own[0]]}" if len(own) else ""
    left = estimates[0]
    return (
        f"The {samples.number or params.number} of {samples.what} is owed to {len(columns['feature']) - 1:,} "
        f"features{first}; "
        f"{beyond:,} of them carry more than with the slopes of other samples (5 % false discoveries), and "
        f"{left.value:.1%} of its size is left over."
    )


def _caveats(params, samples, found: list[PathValues]) -> list[str]:
    said = [
        "What is owed is a share of a difference to the background, not the effect of removing a feature."
    ]
    rows = sum(f.rows for f in found)
    said.append(f"{rows:,} rows went through {samples.what}.")
    if params.background == backgrounds.ZERO:
        said.append("Zeros may be unlike anything that the network has seen.")
    else:
        many = min(params.background_samples, len(samples.samples) - 1)
        said.append(f"The background is made of {many:,} other samples, drawn at random.")
    return said


def _cost(shapes, params: FeatureAttributionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    passes = samples * rows * (params.steps + 2)
    work = passes * 2.0e6 + 6.0 * samples * rows * TOKENS * k * min(k, 4096)
    held = 60.0 * samples * k + 200.0 * TOKENS * k + 8.0 * k * min(k, 4096)
    return Cost(OPENING + m.seconds(flops64=work, moved=8.0 * n * k) + 1e-3 * passes, held, 2 * passes)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: parts are w (x - mean), and a unit without weight has none."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(60), np.zeros(60), rng.standard_normal(60)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    table = feature_attribution(tap, params=FeatureAttributionParams(reader=PROBE, steps=1))
    size = dict(zip(table.columns["feature"], table.columns["size"], strict=True))
    left = {e.name: e.value for e in table.estimates}
    return (
        CheckLine("sum of the parts", 0.0, left["residual of the sum"], 1e-9),
        CheckLine("left over by units", 0.0, left["left over by the dictionary"], 1e-9),
        CheckLine("the planted unit is the largest", 1.0, float(size["0"] == max(size.values())), 0.0),
        CheckLine("a constant unit is not listed", 1.0, float("1" not in size), 0.0),
        CheckLine("what is left over", 0.0, size[REST], 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_attribution",
        family="attribution",
        title="What the answer owes to features",
        summary="Splits the network's answer over the features of a tap, and says how much no feature holds.",
        version=3,
        function=feature_attribution,
        params=FeatureAttributionParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="order of the samples' tokens where the reader is a probe; a constant added to all logits",
        papers=("SHAP: a unified approach",),
        libraries=("torch",),
    ),
)
