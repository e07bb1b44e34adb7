"""What is said of fragile samples: the list, its estimates, and the samples that a failing feature is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ranking_axes import spearman, spearman_estimate
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.compared_probes import FOLDS, Training, accuracy_interval, probe_samples
from analysis.compute.subspaces.fragile import Fragile, fragile, fragile_cost
from analysis.results import Estimate
from analysis.spec import Cost, param

NAMED = 3  # samples on either side


@dataclass(frozen=True)
class FragileParams:
    """What every view of fragile samples asks."""

    column: str = param("label", "The sample column with the classes.", column=True)
    others: int | None = param(
        None, "Other samples whose span the direction is projected on; empty: half as many as units, at most 64.",
        low=2, high=2048, late=True,
    )  # fmt: skip
    epsilon: float = param(
        0.1, "A step that counts as small, in feature lengths.", low=0.0, high=2.0, late=True
    )
    epochs: int = param(30, "Passes over the samples.", low=1, high=500, late=True)
    batch: int = param(64, "Examples of a batch in training.", low=4, high=2048, late=True)
    rate: float = param(1.0, "First step size, falling to 0.", low=1e-4, high=20.0, late=True)
    pooling: str = param(
        "mean", "How the tokens of a sample become one value.", choices=("mean", "max"), late=True
    )
    maximum_samples: int = param(
        2000, "Most samples; a seeded random subset above.", low=50, high=20_000, late=True
    )


HELP = {
    "sample": "Its id.",
    "class": "What it is.",
    "margin": "Distance to the nearest boundary of a probe that did not see it; negative: classified wrong.",
    "margin least": "Least of the refits.",
    "margin most": "Most of the refits.",
    "across": "The class beyond the nearest boundary.",
    "fails at": "How far along the direction that other samples span another class leads; empty: never.",
    "fails as": "The class that leads there.",
    "in the span": "Share of the gradient's square that lies in the span of the other samples.",
    "towards": "Samples with the largest positive coefficients in the feature that fails (or in one step, if none "
    "does), with their classes.",
    "away from": "Samples with the most negative coefficients.",
}


@dataclass(frozen=True)
class FragileData:
    """What was `found` of samples of class `of` (n,) among `names`, with their `ids` (n,), `samples` (n,) positions in
    the tap, its `d` units and `notes`."""

    found: Fragile
    of: np.ndarray
    names: tuple[str, ...]
    ids: np.ndarray
    samples: np.ndarray
    d: int
    notes: tuple[str, ...]

    def order(self) -> np.ndarray:
        """(n,) places of the samples, the smallest margin first."""
        return np.argsort(self.found.margins[0], kind="stable")

    def coefficients(self, i: int, epsilon: float) -> np.ndarray:
        """(m,) of the batch's samples in the feature of sample i that fails, or in one step of ε where none does."""
        at = float(self.found.fails_at[i])
        return (at if np.isfinite(at) and at > 0 else epsilon) * self.found.weights[i]

    def leading(self, i: int, epsilon: float, count: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
        """Places and coefficients of the `count` samples with the most positive (`sign` 1) or negative (-1) ones."""
        c = self.coefficients(i, epsilon)
        first = np.argsort(-sign * c, kind="stable")[:count]
        first = first[sign * c[first] > 0]
        return self.found.batch[i, first], c[first]


def fragile_data(tap, params: FragileParams, refits: int, rng, progress) -> FragileData:
    """The samples of a tap with margins, directions and what these are made of."""
    data = probe_samples(tap, params.column, params, rng, progress, (0.0, 0.1))
    others = others_of(params.others, tap.shape[1])
    found = fragile(
        data.values, data.of, len(data.names), training(params), others, refits, rng, progress, (0.1, 0.95),
    )  # fmt: skip
    ids = np.asarray(tap.samples["id"]).astype(str)[data.samples]
    return FragileData(found, data.of, data.names, ids, data.samples, tap.shape[1], data.notes)


def others_of(asked: int | None, d: int) -> int:
    """How many other samples make the span: as asked, or so few that they cannot span everything."""
    return asked or min(64, max(2, d // 2))


def training(params: FragileParams) -> Training:
    return Training(0.0, params.batch, params.epochs, params.rate)


def fragile_data_cost(shapes, params: FragileParams, refits: int) -> Cost:
    """Of `fragile_data`."""
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    flops, calls, held = fragile_cost(n, d, training(params), others_of(params.others, d), refits)
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d, calls=calls) + 0.05, held)


def fragile_columns(data: FragileData, shown: int, epsilon: float) -> dict[str, np.ndarray]:
    f, chosen = data.found, data.order()[:shown]
    names = np.array([*data.names, "never"])
    return {
        "sample": data.ids[chosen], "class": names[data.of[chosen]], "margin": f.margins[0, chosen],
        "margin least": f.margins[:, chosen].min(axis=0), "margin most": f.margins[:, chosen].max(axis=0),
        "across": names[f.rival[chosen]],
        "fails at": np.where(np.isfinite(f.fails_at[chosen]), f.fails_at[chosen], np.nan),
        "fails as": names[f.becomes[chosen]], "in the span": f.kept[chosen],
        "towards": np.array([_made_of(data, int(i), epsilon, 1) for i in chosen]),
        "away from": np.array([_made_of(data, int(i), epsilon, -1) for i in chosen]),
    }  # fmt: skip


def _made_of(data: FragileData, i: int, epsilon: float, sign: int) -> str:
    places, c = data.leading(i, epsilon, NAMED, sign)
    return ", ".join(
        f"{v:+.2g} × {data.ids[j]} ({data.names[data.of[j]]})" for j, v in zip(places, c, strict=True)
    )


def toward_own_end(data: FragileData) -> tuple[np.ndarray, np.ndarray]:
    """Of the samples that fail somewhere: the share of positive weights on samples of the class they fail as, and the
    share of the batch that this class has."""
    f = data.found
    some = np.flatnonzero((f.becomes >= 0) & (f.weights > 0).any(axis=1))
    up = np.maximum(f.weights[some], 0.0)
    same = data.of[f.batch[some]] == f.becomes[some][:, None]
    return (up * same).sum(axis=1) / up.sum(axis=1), same.mean(axis=1)


def fragile_estimates(data: FragileData, epsilon: float) -> tuple[Estimate, ...]:
    f, n = data.found, len(data.of)
    made = {"n": n, "d": data.d}
    right = f.margins[0] > 0
    majority = float(np.bincount(data.of).max() / n)
    span = min(f.batch.shape[1], data.d)
    out = [
        Estimate("accuracy of the probe", float(right.mean()), *accuracy_interval(right),
                 interval="Wilson, samples as draws", null=majority, null_method="majority rate",
                 estimator=f"{FOLDS} folds", **made),
        spearman_estimate("agreement of two refits on the order of margins", spearman(f.margins[0], f.margins[1]), n,
                          data.d, "Spearman"),
    ]  # fmt: skip
    if right.any():
        near, chance = f.fails_at[right] <= epsilon, f.random_fails_at[right] <= epsilon
        out.append(
            Estimate(f"share that a step of {epsilon:g} makes fail", float(near.mean()), *accuracy_interval(near),
                     interval="Wilson, samples as draws", null=float(chance.mean()),
                     null_method="a random direction of the same span", n=int(right.sum()), d=data.d,
                     estimator="of those classified right")
        )  # fmt: skip
    out.append(
        Estimate("share of the gradient in the span of other samples", float(f.kept.mean()),
                 **mean_interval(f.kept, 0.0, 1.0), null=span / data.d,
                 null_method="a random span of as many dimensions, exact mean", estimator="squares", **made)
    )  # fmt: skip
    share, chance = toward_own_end(data)
    if len(share):
        out.append(
            Estimate("positive weights on samples of the class it fails as", float(share.mean()),
                     **mean_interval(share, 0.0, 1.0), null=float(chance.mean()),
                     null_method="that class's share of the batch", n=len(share), d=data.d,
                     estimator="mean over samples that fail")
        )  # fmt: skip
    return tuple(out)


def fragile_reading(data: FragileData, estimates: tuple[Estimate, ...], epsilon: float) -> str:
    first = int(data.order()[0])
    margin, by_name = data.found.margins[0], {e.name: e for e in estimates}
    said = (
        f"The probe is right in {estimates[0].value:.1%} of held-out samples (majority {estimates[0].null:.1%}). The "
        f"smallest margin is {margin[first]:.2g}, of sample {data.ids[first]} "
        f"({data.names[data.of[first]]}); the median is {np.median(margin):.2g}."
    )
    step = by_name.get(f"share that a step of {epsilon:g} makes fail")
    if step is not None:
        said += (
            f" Of those it has right a step of {epsilon:g} along the span of other samples makes {step.value:.1%} fail "
            f"(a random one {step.null:.1%})."
        )
    order = estimates[1]
    return said + (
        f" Two refits order the samples alike with ρ = {order.value:.2f}."
        if order.low > 0
        else f" Two refits do not agree on the order (ρ = {order.value:.2f}): the list is of no use."
    )


def fragile_caveats(data: FragileData) -> tuple[str, ...]:
    m, f = data.found.batch.shape[1], data.found
    notes = [
        "Ranges of margins are over refits, not 95 % intervals; distances are in lengths of a feature.",
        f"Directions are made of {m} other samples drawn at random, the same for all samples of a fold.",
    ]
    if m >= data.d:
        notes.append(
            "As many other samples as units, or more: they can span everything, projecting then changes nothing, and "
            "the coefficients shown are those of least length of many."
        )
    never = int((~np.isfinite(f.fails_at)).sum())
    if never:
        notes.append(f"{never:,} sample(s) never fail along their direction.")
    return (*notes, *data.notes)
