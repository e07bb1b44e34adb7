"""Does each token mixer matter? One at a time is put out of work at run time, and what changes is charted.

A mixer is what lets tokens read each other: attention, a selective scan, a filter (`analysis.tokens.mixers.alone`). In
its place each token reads itself only (a scan gives its input: what is left is a gated filter), or all alike, or the
mixer gives nothing; shapes stay. Told for each:

    answer     |z' - z| / |z| of the logits, each less its mean (of no classifier: of the output)
    feature    |x' - x| / |x| of what the tap's module gives; 0 where the tap lies before the mixer

Interval: Student's t over samples. Null: the mixer at work, and to each token that it gives a random vector added that
is as long as what the ablation changed there. A mixer that does nothing changes nothing. Mixers count as mattering more
where they do over samples (paired t, one-sided, at 5 % false discoveries over mixers).

When it lies: later parts may make up for a mixer, and in training a network without it would have learned to; what is
left is a network that has never been trained so, which random changes as large show; two mixers may each stand in for
the other; a large change of logits need not be another answer.

Cost: (1 + 2 mixers) passes of every sample.

References: W. Yu & X. Wang (2025), "MambaOut: do we really need Mamba for vision?"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import larger, mean_interval, share_interval
from analysis.compute.streaming import refuse_few
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.alone import BLOCKS, NOTHING, WAYS, RowBlocks, mixer_subject, relative
from analysis.tokens.mixers.attention_calls import ITSELF
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 6.0  # seconds
ANSWER, FEATURE = "the answer", "the feature"


@dataclass(frozen=True)
class MixerAblationParams:
    instead: str = param(ITSELF, "What stands in the place of the mixer.", choices=WAYS)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC,
        "Whose mixers: the network's, or of random blocks over the rows.",
        choices=SOURCES,
        late=True,
    )


def mixer_ablation(
    activations, params: MixerAblationParams = MixerAblationParams(), rng=None, progress=no_progress
) -> Curve:
    """What changes without each mixer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; its own module is the feature.

    Returns
    -------
    Curve
        Over the mixers in their order: change of answer and feature. Estimates: the same of each mixer's answer, and
        how many answers change over all.

    Raises
    ------
    InputError, NotEnoughData
        Rows that are all alike; a token without a key of its own; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = mixer_subject(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    refuse_few(tap.name, who.n, 2, "sample(s)")
    found, null, other = ablated(
        who, params.instead, rng, lambda f: progress(0.2 + 0.75 * f, "mixers out of work")
    )
    progress(1.0, "done")
    names = tuple(p.name for p in who.parts)
    lines: tuple[dict, dict, dict, dict] = ({}, {}, {}, {})
    for c, name in enumerate((ANSWER, FEATURE)[: found.shape[2]]):
        ends = [mean_interval(found[:, p, c], 0.0) for p in range(len(names))]
        mean = found[:, :, c].mean(axis=0)
        of = (
            mean,
            np.array([e["low"] for e in ends]),
            np.array([e["high"] for e in ends]),
            null[:, :, c].mean(axis=0),
        )
        for line, values in zip(lines, of, strict=True):
            line[name] = values
    told = _estimates(names, found, null, other, tap.shape[1], who.classifies)
    kinds = ", ".join(
        f"{sum(p.kind == k for p in who.parts)} {k}" for k in dict.fromkeys(p.kind for p in who.parts)
    )
    said = [
        f"{who.n:,} samples; mixers: {kinds}.",
        "What is measured is the effect of an absence, one at a time.",
        "Which mixer changes most is chosen after looking.",
    ]
    if not who.tap:
        said.append(f"{tap.name} is no module of the network: there is no feature to look at.")
    return Curve(
        title=f"{who.what} without each of its mixers: {params.instead}", x=np.arange(len(names)), x_name="mixer",
        x_labels=_short(names), y_name="relative change", series=lines[0], low=lines[1], high=lines[2], null=lines[3],
        estimates=told, reading=_reading(names, found, null, other, who.classifies), caveats=(*notes, *said),
    )  # fmt: skip


def ablated(who, way: str, rng, progress=lambda f: None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """((n, P, 1 or 2) changes, the same by chance, (n, P, 2) bool: answers that are others, and by chance)."""
    found, null, other = [], [], []
    for k in range(who.n):
        plain = who.passed(k)
        rows = ([], [], [])
        for i, part in enumerate(who.parts):
            progress((k + i / len(who.parts)) / who.n)
            less = who.passed(k, alter=(part, way))
            gone = less.out[part.name] - plain.out[part.name]
            by_chance = who.passed(k, push=(part, _as_long(gone, rng)))
            for side, one in zip(rows, (less, by_chance), strict=False):
                side.append(_changes(plain, one, who.classifies))
            rows[2].append([plain.answer.argmax() != one.answer.argmax() for one in (less, by_chance)])
        for whole, side in zip((found, null, other), rows, strict=True):
            whole.append(side)
    return np.array(found), np.array(null), np.array(other)


def _as_long(gone: np.ndarray, rng) -> np.ndarray:
    noise = rng.standard_normal(gone.shape)
    length = np.linalg.norm(noise, axis=-1, keepdims=True)
    return noise / np.maximum(length, 1e-300) * np.linalg.norm(gone, axis=-1, keepdims=True)


def _changes(plain, less, classifies: bool) -> list[float]:
    z, other = plain.answer, less.answer
    if classifies:
        z, other = z - z.mean(), other - other.mean()
    out = [relative(z, other)]
    return out if plain.feature is None else [*out, relative(plain.feature, less.feature)]


def _estimates(names, found, null, other, d: int, classifies: bool) -> tuple[Estimate, ...]:
    n = len(found)
    made = {
        "n": n,
        "d": d,
        "estimator": "mean over samples",
        "null_method": "a random change as long is added",
    }
    out = [Estimate(f"change of the answer, {name}", float(found[:, p, 0].mean()), null=float(null[:, p, 0].mean()),
                    **mean_interval(found[:, p, 0], 0.0), **made) for p, name in enumerate(names)]  # fmt: skip
    if classifies:
        each, chance = other.mean(axis=1).T
        out.append(Estimate("answers that change, mean over mixers", float(each.mean()), null=float(chance.mean()),
                            **share_interval(each), **made))  # fmt: skip
    return tuple(out)


def _short(names) -> tuple[str, ...]:
    """Without the part that all end with, such as ".attention"."""
    ends = {n.rpartition(".")[2] for n in names}
    same = len(ends) == 1 < len(names) and all("." in n for n in names)
    return tuple(n.rpartition(".")[0] for n in names) if same else tuple(names)


def _reading(names, found, null, other, classifies: bool) -> str:
    mean, chance = found[:, :, 0].mean(axis=0), null[:, :, 0].mean(axis=0)
    most, least = int(mean.argmax()), int(mean.argmin())
    more = int(larger(found[:, :, 0], null[:, :, 0]).sum())
    said = (
        f"The answer changes most without {names[most]} ({mean[most]:.2g} of its size; a random change as long: "
        f"{chance[most]:.2g}) and least without {names[least]} ({mean[least]:.2g}; {chance[least]:.2g}). "
        f"{more} of {len(names)} mixers matter more than a random change as long"
    )
    if not classifies:
        return said + "."
    return (
        said + f"; without {names[most]} {other[:, most, 0].mean():.0%} of the answers are others "
        f"(by chance {other[:, most, 1].mean():.0%})."
    )


def _cost(shapes, params: MixerAblationParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = max(min(n // RUN + 1, params.maximum_samples), 1)
    passes = samples * (1 + 2 * BLOCKS)
    flops = passes * BLOCKS * (2.0 * RUN * k * k + 4.0 * RUN * RUN * k)
    held = 26.0 * samples * RUN * k + 8.0 * BLOCKS * k * k + 1e5
    return Cost(OPENING + m.seconds(flops64=flops + 1e6 * n, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A mixer that gives nothing anyway; one whose tokens are alike reads itself as well as all; nothing is given."""
    rng = np.random.default_rng(0)
    x = list(rng.standard_normal((4, 6, 8)))
    quiet = RowBlocks(x, np.arange(4), (), rng, mute=(1,))
    found, null, _ = ablated(quiet, ITSELF, rng)
    alike = RowBlocks([np.tile(one[:1], (6, 1)) for one in x], np.arange(4), (), rng)
    same, _, _ = ablated(alike, ITSELF, rng)
    gone, _, _ = ablated(alike, NOTHING, rng)
    return (
        CheckLine("a mixer that gives 0: change", 0.0, float(np.abs(found[:, 1]).max()), 0.0),
        CheckLine("and by chance", 0.0, float(np.abs(null[:, 1]).max()), 0.0),
        CheckLine("another mixer matters", 0.01, float(found[:, 0, 0].mean()), 0.0, "at least"),
        CheckLine("alike tokens: an identity changes nothing", 0.0, float(same.max()), 1e-12),
        CheckLine("but nothing does", 0.01, float(gone.min()), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="mixer_ablation", family="tokens", title="Each mixer out of work", version=3, function=mixer_ablation,
        summary="Attention, scans or filters replaced by an identity at run time, block by block: what the answer and "
        "the feature notice.", params=MixerAblationParams, result=Curve, check=_check, cost=_cost, minimum_rows=4,
        invariance="the order of samples; a constant added to all logits",
        papers=("MambaOut: Do We Really Need Mamba for Vision?",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
