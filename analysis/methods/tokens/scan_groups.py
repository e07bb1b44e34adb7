"""Do base and novel classes scan differently? Steps Δ of a selective scan in two groups of classes, layer by layer.

    Δ_tc     the step that token t takes in channel c, made of the input: large forgets what was before and takes the
             token in, small passes it by
    AUROC    share of pairs of a novel and a base sample in which the novel one has the larger mean ln Δ; ½ where the
             groups scan alike

captured at run time, of every token and channel, as Δ is nothing that could be read from weights. A network whose Δ
does not depend on the input is refused; of a tap that belongs to no network of scans the rows stand for Δ (their
logarithm where all are positive). Besides the mean over channels the channel that tells the groups apart best is told.

Interval: DeLong's. Null: ½; p by the normal law of ranks, of the best of many channels the best after labels have been
exchanged between samples. The grey line of the histogram is what the novel classes would have if they scanned as all
samples do.

When it lies: groups that differ in brightness or length differ in Δ without any adaptation (compare with groups of base
classes alone); tokens of one sample are alike, so that the histogram holds fewer independent numbers than it counts; a
layer that scans alike may still read unlike things; one channel of many is the best by chance, which its null says.

Cost: one pass of each sample; O(n T channels).

References: X. Li et al. (2024), "Mamba-FSCIL: dynamic adaptation with selective state space model for few-shot
class-incremental learning"; E. DeLong, D. DeLong & D. Clarke-Pearson (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.two_groups import two_groups
from analysis.compute.statistics.auroc import class_auroc, delong_interval, midranks, null_sd, two_sided_p
from analysis.compute.statistics.nulls import against
from analysis.errors import InputError
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.scan_steps import FEWEST, Steps, steps_of
from analysis.tokens.subject import AUTOMATIC, SOURCES

BINS, LISTED = 40, 24  # of the histogram; layers told
BASE, NOVEL = "base classes", "novel classes"


@dataclass(frozen=True)
class ScanGroupsParams:
    novel: str = param("", "The novel classes, with commas; empty: the later half of all in order.")
    column: str = param("label", "Sample column of classes.", column=True)
    exchanges: int = param(200, "Exchanges of labels, for the best channel.", low=19, high=5000, late=True)
    maximum_samples: int = param(
        64, "Most samples; a seeded random subset above.", low=6, high=5000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose steps: captured of the network, or the recorded rows.", choices=SOURCES, late=True
    )


def scan_groups(
    activations, params: ScanGroupsParams = ScanGroupsParams(), rng=None, progress=no_progress
) -> Distribution:
    """Steps of base and novel classes.

    Parameters
    ----------
    activations : Activations with the class column
        Any tap of a network of selective scans that can be run again; otherwise its rows are the steps.

    Returns
    -------
    Distribution
        log10 Δ of both groups. Estimates: AUROC of the mean step by layer, and of the best channel.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such column or class; fewer than three samples of a group; steps that are all the same.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sample_column(tap, params.column)
    found = steps_of(tap, params.maximum_samples, params.source, rng, progress)
    groups = two_groups(tap, params.column, params.novel, found.samples)
    novel = groups.second
    means = {name: x[groups.stay] for name, x in found.means.items()}
    some = [x for x, stay in zip(found.some, groups.stay, strict=True) if stay]
    if all(np.ptp(x, axis=0).max() < 1e-9 for x in means.values()):
        raise InputError(
            f"steps of {found.what} that are the same in all samples", "Δ that depends on the input"
        )
    progress(0.8, "comparing groups")
    told = estimates(means, novel, params.exchanges, rng)
    progress(1.0, "done")
    named = ", ".join(groups.names)
    return _drawn(found, told, some, novel, (*found.notes, *groups.notes, f"Novel classes: {named}."))


def estimates(means: dict, novel: np.ndarray, exchanges: int, rng) -> list[Estimate]:
    """AUROC of each layer's mean step, and of the best channel of all layers."""
    facts = {"n": len(novel), "null_method": "groups that scan alike"}
    told = []
    for name, x in list(means.items())[:LISTED]:
        score = x.mean(axis=1)
        value, p = _auroc(score[:, None], novel)
        low, high = delong_interval(score, novel) if np.ptp(score) > 0 else (0.5, 0.5)
        told.append(Estimate(f"AUROC of the mean step, {name}", float(value[0]), min(low, float(value[0])),
                             max(high, float(value[0])), interval="DeLong", null=0.5, p_value=float(p[0]),
                             d=x.shape[1], estimator="novel above base, over samples", **facts))  # fmt: skip
    every = np.concatenate(list(means.values()), axis=1)
    apart = np.abs(_auroc(every, novel)[0] - 0.5)
    drawn = np.array([np.abs(_auroc(every, rng.permutation(novel))[0] - 0.5).max() for _ in range(exchanges)])
    told.append(Estimate("largest distance of a channel's AUROC from ½", float(apart.max()),
                         interval="none: the best of all channels", **against(float(apart.max()), drawn),
                         n=len(novel), d=every.shape[1], null_method=f"labels exchanged {exchanges} times",
                         estimator="over channels of all layers"))  # fmt: skip
    return told


def _auroc(x: np.ndarray, novel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((u,) of each column of x (n, u), (u,) two-sided p)."""
    ranks, ties = midranks(x)
    counts = np.array([(~novel).sum(), novel.sum()])
    value = class_auroc(ranks, novel.astype(int), counts)
    return value[1], two_sided_p(value, null_sd(counts, ties, len(x)), counts, len(x))[1]


def _drawn(found: Steps, told, some, novel: np.ndarray, notes) -> Distribution:
    sides = {BASE: np.concatenate([x for x, m in zip(some, novel, strict=True) if not m]),
             NOVEL: np.concatenate([x for x, m in zip(some, novel, strict=True) if m])}  # fmt: skip
    every = np.concatenate(list(sides.values()))
    edges = np.linspace(every.min() - 0.01, every.max() + 0.01, BINS + 1)
    counts = {name: np.histogram(x, edges)[0].astype(float) for name, x in sides.items()}
    layers, best = told[:-1], told[-1]
    most = max(layers, key=lambda e: abs(e.value - 0.5))
    where = most.name.removeprefix("AUROC of the mean step, ")
    return Distribution(
        title=f"Steps of two groups of classes, {found.what}", edges=edges, counts=counts, value_name="log10 Δ",
        null=np.histogram(every, edges)[0] * (len(sides[NOVEL]) / len(every)), estimates=tuple(told),
        reading=f"The mean step tells novel from base classes best in {where}: AUROC {most.value:.2f} (½ where they "
        f"scan alike; p = {most.p_value:.2g}, of {len(layers)} layers). The best channel lies {best.value:.2f} from ½, "
        f"by chance {best.null:.2f} (p = {best.p_value:.2g}).",
        caveats=(*notes, "The layer that is named is the best of those told."),
    )  # fmt: skip


def _cost(shapes, params: ScanGroupsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples)
    draws = m.seconds(moved=60.0 * rows * d * params.exchanges, calls=30.0 * params.exchanges)
    return Cost(0.3 + m.seconds(moved=30.0 * n * d) + draws, 8.0 * rows * d * 12 + 9.0 * n + 1e5, rows)


def _check() -> tuple[CheckLine, ...]:
    """Twice the step for the novel classes in one channel of four: that channel tells them apart, exchanged labels do
    not; the same steps for all have AUROC ½ in the mean over draws."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 4
    step = np.exp(rng.standard_normal((40, 6, 4)) * 0.3)
    alike = step.copy()
    step[label >= 2, :, 1] *= 4.0

    def found(x, of=label):
        tap = ArrayActivations(x.reshape(-1, 4), "steps", {"label": of}, Layout(np.arange(41) * 6))
        return scan_groups(tap, ScanGroupsParams(exchanges=99)).estimates

    free = np.mean([found(alike, rng.permutation(label))[0].value for _ in range(20)])
    own, none = found(step), found(alike)
    return (
        CheckLine("a channel that tells: from ½", 0.5, own[1].value, 0.0),
        CheckLine("and its p", 0.01, own[1].p_value, 1e-9),
        CheckLine("the mean over channels", 0.9, own[0].value, 0.0, "at least"),
        CheckLine("steps of all alike: p of the best", 0.05, none[1].p_value, 0.0, "at least"),
        CheckLine("labels exchanged: mean AUROC", 0.5, float(free), 0.08),
    )


METHODS = (
    Method(
        id="scan_groups", family="tokens", title="Steps of base and novel classes", version=1, function=scan_groups,
        summary="Whether the steps of a selective scan differ between two groups of classes, layer by layer.",
        params=ScanGroupsParams, result=Distribution, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of samples; one factor of all steps",
        papers=("Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
                "Learning",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
