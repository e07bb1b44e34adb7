"""Which pooling of tokens keeps the labels best? Generalised means over p against the mean, the maximum and the class
token, and a p for every group of channels or for every channel.

    f_c = (1/T Σ_i x_ic^p)^{1/p},    p = 0 the geometric mean, 1 the mean, ∞ the maximum

Pooled samples are told by a linear probe that did not see them, or by the labels of their nearest samples. "Mean" and
"maximum" are of the tokens as they are; generalised means need positive numbers, so tokens are clamped at ε or each
channel is shifted, and the share that was clamped is said. A p for each group (as heads are: equal runs of channels) is
chosen in the other folds by the variance between labels; the network of the paper learns it.

Interval: Wilson over samples, and of paired differences Newcombe's (of neighbours Student's t). Null: shuffled labels,
in closed form.

When it lies: tokens of transformers have both signs, and the clamp throws away about half of what they say: compare
with the shift; the best of many p on the same samples flatters itself (the estimate's p is chosen in other folds); a
network trained with one pooling favours it; folds share training samples, so that intervals are a little narrow.

Cost: time O(powers · n T d) for pooling and one probe for each power; memory n T d numbers.

References: B. Ko et al. (2022), "Group generalized mean pooling for vision transformer"; F. Radenović, G. Tolias &
O. Chum (2019), "Fine-tuning CNN image retrieval with no human annotation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.statistics.paired_gain import paired_ends
from analysis.compute.statistics.sample_groups import share_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.chosen_powers import chosen_powers, groups_of_channels, with_powers
from analysis.tokens.pooling.generalised_mean import CLAMP, SHIFT, WAYS, generalised_mean, made_positive
from analysis.tokens.pooling.judged import JUDGES, PROBE, judged
from analysis.tokens.pooling.token_sets import TokenSets, token_sets

POWERS = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, np.inf])
LABELS = ("0", "0.5", "1", "2", "3", "4", "6", "10", "20", "∞")
AXIS = "p (0 geometric mean, 1 mean, ∞ maximum)"
FOLDS, SMALLEST, FEWEST = 5, 5, 20
GEM, MEAN, MOST, FIRST = "generalised mean", "mean of tokens", "maximum of tokens", "class token"


@dataclass(frozen=True)
class PoolingCurveParams:
    column: str = param("label", "Labels that pooled samples are to keep.", column=True)
    judge: str = param(
        PROBE, "How well labels are kept: told by a probe, or shared by neighbours.", choices=JUDGES
    )
    positive: str = param(SHIFT, "How signed tokens become positive.", choices=WAYS)
    groups: int = param(4, "Groups of channels with a p of their own, such as heads.", low=1, high=4096)
    epsilon: float = param(1e-3, "ε, in root mean squares of the tokens.", low=1e-9, high=1.0)
    maximum_samples: int = param(400, "Most samples; a seeded random subset above.", low=20, high=20_000)


def pooling_curve(
    activations, params: PoolingCurveParams = PoolingCurveParams(), rng=None, progress=no_progress
) -> Curve:
    """Labels kept over p.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens; of a tap of one row a sample, four rows of one label stand for the tokens of a sample.

    Returns
    -------
    Curve
        The generalised mean over p, and as level lines the other poolings. Estimates: each of them, what generalised
        means gain over the mean with p from other folds, and how alike the groups of channels are.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than twenty samples of two tokens with a label, or than two classes of five.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, params.maximum_samples, rng, progress, column=params.column, minimum=FEWEST)
    classes = class_codes(sets.labels, params.column, SMALLEST)
    stay, codes = classes.stay, classes.codes
    fold = folds_of(codes, FOLDS, rng)
    progress(0.3, "pooling")
    positive, clamped, _ = made_positive(sets.x, sets.present, params.positive, params.epsilon)
    pooled = np.stack([generalised_mean(positive, p, sets.present) for p in POWERS])[:, stay]
    curve = []
    for i, values in enumerate(pooled):
        progress(0.4 + 0.3 * i / len(POWERS), "judging")
        curve.append(judged(values, codes, fold, params.judge))
    levels = {name: judged(values[stay], codes, fold, params.judge) for name, values in _plain(sets).items()}
    d = tap.shape[1]
    for name, groups in _groupings(params.groups, d).items():
        progress(0.75 + 0.05 * len(levels) / 6, "choosing p")
        levels[name] = _chosen(pooled, codes, fold, groups_of_channels(d, groups), params.judge)
    progress(1.0, "done")
    alike = _likeness(sets.mean[stay], groups_of_channels(d, params.groups), rng)
    notes = (*sets.notes, *classes.notes, *_caveats(params, clamped))
    return _curve(tap.name, curve, levels, alike, params, notes, d)


def _plain(sets: TokenSets) -> dict[str, np.ndarray]:
    most = np.where(sets.present[..., None], sets.x, -np.inf).max(axis=1)
    found = {MEAN: sets.mean, MOST: most}
    return found if sets.first is None else found | {FIRST: sets.first}


def _groupings(groups: int, d: int) -> dict[str, int]:
    found = {"one p, from other folds": 1}
    if 1 < groups < d:
        found[f"a p for each of {groups} groups"] = groups
    return found | ({"a p for each channel": d} if d > 1 else {})


def _chosen(pooled, codes, fold, group, judge: str):
    """Judged with powers that were chosen without the fold that is asked."""
    score, chance, total = np.empty(len(codes)), 0.0, len(codes)
    for f in range(int(fold.max()) + 1):
        train = fold != f
        which = chosen_powers(pooled[:, train], codes[train], group)
        found = judged(with_powers(pooled, which), codes, np.where(train, -1, 0), judge)
        score[~train] = found.score
        chance += found.chance * (~train).sum() / total
    return type(found)(score, chance)


def _likeness(x: np.ndarray, group: np.ndarray, rng) -> Estimate | None:
    """Mean squared correlation between channels of different groups."""
    spread = x.std(axis=0)
    good = spread > 1e-12 * np.abs(x).max(axis=0)
    if len(np.unique(group[good])) < 2:
        return None
    z = (x[:, good] - x[:, good].mean(axis=0)) / spread[good]
    square = np.square(z.T @ z / len(z))
    other = group[good][:, None] != group[good][None, :]
    shuffled = rng.permuted(z, axis=0)
    chance = np.square(shuffled.T @ shuffled / len(z))[other]
    return Estimate(
        "squared correlation between groups of channels", float(square[other].mean()),
        interval="none: pairs of channels share samples", null=float(chance.mean()),
        null_method="each channel shuffled over samples", n=len(z), d=int(good.sum()),
        estimator="mean over pairs of channels of different groups",
    )  # fmt: skip


def _curve(name, curve, levels, alike, params, notes, d) -> Curve:
    score = np.array([j.mean for j in curve])
    ends = [share_interval(j.score) for j in curve]
    flat = {k: np.full(len(score), j.mean) for k, j in levels.items()}
    mean, one = levels[MEAN], levels["one p, from other folds"]
    best = max(levels, key=lambda k: levels[k].mean)
    what = "Samples told right" if params.judge == PROBE else "Nearest samples of the same label"
    reading = (
        f"{what}: {mean.mean:.1%} by the mean of tokens, {one.mean:.1%} by a generalised mean with one p; shuffled "
        f"labels {mean.chance:.1%}. Highest is {best} with {levels[best].mean:.1%}."
    )
    estimates = [_estimate(k, j, params.judge, d) for k, j in levels.items()]
    estimates.insert(0, _gain(mean.score, one.score, d))
    return Curve(
        title=f"Labels kept by pooling the tokens of {name}", reading=reading, caveats=notes,
        estimates=(*estimates, *([alike] if alike else [])), x=np.arange(len(POWERS), dtype=float), x_labels=LABELS,
        x_name=AXIS,
        y_name="share told right" if params.judge == PROBE else "share of neighbours of the same label",
        series={GEM: score, **flat}, low={GEM: np.array([e["low"] for e in ends])},
        high={GEM: np.array([e["high"] for e in ends])}, null={GEM: np.array([j.chance for j in curve])},
        controls=tuple(k for k in flat if k in (MEAN, MOST, FIRST)),
    )  # fmt: skip


def _estimate(name: str, found, judge: str, d: int) -> Estimate:
    return Estimate(
        f"labels kept, {name}", found.mean, **share_interval(found.score), null=found.chance,
        null_method="shuffled labels, closed form", n=len(found.score), d=d, estimator=judge,
    )  # fmt: skip


def _gain(mean: np.ndarray, one: np.ndarray, d: int) -> Estimate:
    gain = one - mean
    n, value = len(gain), float(gain.mean())
    half = float(1.96 * np.sqrt(np.square(gain).sum()) / n)  # exactly the spread when signs are exchanged
    return Estimate(
        "gain of one p over the mean", value, null=0.0, null_low=-half, null_high=half,
        **paired_ends(mean, one),
        null_method="signs of the differences exchanged, normal", n=n, d=d, estimator="paired difference",
    )  # fmt: skip


def _caveats(params: PoolingCurveParams, clamped: float) -> list[str]:
    said = [f"{clamped:.0%} of the numbers lay below ε and were clamped."] if params.positive == CLAMP else [
        "Each channel was shifted by its smallest value, which all p except 1 and ∞ hang on; nothing is clamped."
    ]  # fmt: skip
    return [
        *said,
        "A p for groups or channels is chosen by the variance between labels, not learned with the network.",
    ]


def _cost(shapes, params: PoolingCurveParams) -> Cost:
    """Rows may be tokens or samples: as many rows as allowed are held."""
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * 256)
    samples = max(min(n / 4, params.maximum_samples), 1)
    held = 8.0 * rows * d * 5.0
    probes = len(POWERS) + 3 + 3 * FOLDS
    flops = probes * FOLDS * 2.0 * (samples * d * min(samples, d) + 4.0 * min(samples, d) ** 3)
    return Cost(0.02 + m.seconds(flops64=flops, moved=held * 4 * len(POWERS), calls=100.0 * probes), held)


def _check() -> tuple[CheckLine, ...]:
    """Tokens that say the label by their largest alone: the maximum tells it, the mean hardly. By their mean: the
    mean does. Labels that mean nothing: chance. Shifted, p = 1 is the mean, whatever was added."""
    rng = np.random.default_rng(0)
    label = np.arange(120) % 2
    x = rng.uniform(0, 1, (120, 20, 3))
    x[np.arange(120), rng.integers(0, 20, 120), label] = 1.6
    noise = rng.standard_normal((120, 20, 3))

    def found(x, **more):
        tap = ArrayActivations(x.reshape(-1, 3), samples={"label": label}, layout=Layout(np.arange(121) * 20))
        return pooling_curve(tap, PoolingCurveParams(groups=1, **more))

    top, even = found(x).series, found(noise + 1.5 * np.eye(3)[label][:, None]).series
    nothing = found(noise)
    two = np.array([[1.0], [7.0]])
    return (
        CheckLine("told by the largest token: maximum", 1.0, float(top[MOST][0]), 0.02),
        CheckLine("p = ∞ is the maximum", float(top[MOST][0]), float(top[GEM][-1]), 1e-12),
        CheckLine("told by the largest token: the mean", 0.85, float(top[MEAN][0]), 0.0, "at most"),
        CheckLine("told by the mean: p = 1", float(even[MEAN][0]), float(even[GEM][2]), 1e-12),
        CheckLine("told by the mean: the mean", 1.0, float(even[MEAN][0]), 0.02),
        CheckLine("labels that mean nothing", 0.5, float(nothing.series[GEM].mean()), 0.12),
        CheckLine("chance of two labels", 0.5, float(nothing.null[GEM].mean()), 0.01),
        CheckLine("one p finds the largest", 0.95, float(top["one p, from other folds"][0]), 0.0, "at least"),
        CheckLine("p = 2 of 1 and 7", 5.0, float(generalised_mean(two, 2.0)[0]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="pooling_curve", family="tokens", title="Which pooling keeps the labels", version=3, function=pooling_curve,
        summary="Generalised means over p against the mean, the maximum and the class token.",
        params=PoolingCurveParams, result=Curve, check=_check, cost=_cost, minimum_rows=4 * FEWEST,
        invariance="the order of tokens and of samples; one positive scale for all units",
        papers=(
            "Group Generalized Mean Pooling for Vision Transformer",
            "Global Features are All You Need for Image Retrieval and Reranking",
        ),
    ),
)  # fmt: skip
