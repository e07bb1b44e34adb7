"""What does the answer, or the text, read once tokens are gone? Attention behind every removal, beside that of the same
layer with all tokens there.

A rule (PyramidDrop: at the ends of stages the share λ that the last word reads most is kept) removes tokens behind some
layers, really where the tap's network can be run. Of each layer that follows a removal,

    before_i, after_i    what the readers pay token i, mean over heads, with all tokens and with those left
    kept reading         Σ_{i left} before_i over all free tokens: how much of what would be read is still there
    moved                ½ Σ_{i left} |after_i - before_i / Σ_left before|: beyond mere renormalising
    read in effect       exp(entropy of after) over the tokens left

Drawn, in multiples of an even share over the tokens there: 1 is no more than any other. With two stages and share λ
each, λ of the tokens are left behind the first.

Interval: Student's t over samples. Null: as many tokens kept at random behind the same layers; of what is read in
effect all tokens, none removed.

When it lies: to be read is not to be used; the mean of heads hides heads; a rule that keeps what is read keeps, by
construction, much of what is read in the layer that it looked at, so that only later stages tell; of rows without a
network the weights cannot answer to what is gone, and nothing moves.

Cost: three passes of the network for each sample.

Reference: L. Xing, Q. Huang, X. Dong, J. Lu, P. Zhang, Y. Zang, Y. Cao, C. He, J. Wang, F. Wu & D. Lin (2025),
"PyramidDrop: accelerating your large vision-language models via pyramid visual redundancy reduction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import chosen_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenMap
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.chance import chance_of
from analysis.tokens.over_samples import plan_of
from analysis.tokens.read_after import (
    ANSWER,
    READERS,
    WORDS,
    Stage,
    behind,
    in_effect,
    kept_reading,
    moved,
    stages,
)
from analysis.tokens.rule import rules
from analysis.tokens.rule_settings import SETTINGS_HELP, rule_with
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject
from analysis.tokens.view import TEXT

OPENING, SHOWN = 6.0, 6  # seconds; stages that are drawn
DROPPING = ("pyramid_drop", *(k for k, one in rules().items() if not one.merges and k != "pyramid_drop"))
RANDOM = "as many tokens kept at random, mean over samples"


@dataclass(frozen=True)
class ReadingAfterDropsParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    rule: str = param("pyramid_drop", "Rule that drops tokens.", choices=DROPPING)
    share: float = param(0.25, "Share of the free tokens left after the last removal.", low=0.01, high=1.0)
    reader: str = param(ANSWER, "Who reads; without text, the token that answers.", choices=READERS)
    maximum_samples: int = param(
        24, "Samples that numbers are of, the drawn one among them.", low=2, high=2000
    )
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )
    settings: str = param("", SETTINGS_HELP, label="settings of the rule", late=True)


def reading_after_drops(
    activations, params: ReadingAfterDropsParams = ReadingAfterDropsParams(), rng=None, progress=no_progress
) -> TokenMap:
    """What is read behind every removal.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    TokenMap
        Two maps for each stage, all tokens and those left, in even shares of the tokens there; NaN where gone.
        Estimates of each stage drawn: reading kept, moved; of the last what is read in effect.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample; settings that the rule does not have; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(tap, tap.layout.n_samples, rng, params.source,
                         lambda f, doing="": progress(0.2 * f, doing))  # fmt: skip
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", f"one of 0 to {who.samples.max()}")
    one = rule_with(params.rule, params.settings)
    chance, plan = chance_of(one), plan_of(one, params.share, who.layers)
    shown, layout, given = stages(who, int(at[0]), one, plan, params.reader, rng)
    places = np.setdiff1d(chosen_samples(who.n, params.maximum_samples, rng), at)
    places = np.r_[at, places[: params.maximum_samples - 1]]
    found = []
    for k, place in enumerate(places):
        progress(0.2 + 0.8 * k / len(places), "layers behind removals")
        ours = shown if k == 0 else stages(who, int(place), one, plan, params.reader, rng)[0]
        others, own, _ = stages(who, int(place), chance, plan, params.reader, rng)
        found.append((ours, others, own.free[0]))
    progress(1.0, "done")
    told = _estimates(found, shown[:SHOWN], tap.shape[1])
    words = who.opened.words(int(at[0])) if who.is_network else ()
    return _map(params, one, shown, layout, told, words,
                picture_of(given) if who.is_network else None,
                (*of_one(notes, params.sample, len(places) - 1),
                 *_caveats(who, one, params, layout, len(shown), len(places))))  # fmt: skip


def _estimates(found, shown: list[Stage], d: int) -> tuple[Estimate, ...]:
    out = []
    for stage in shown[1:]:
        pairs = [(a, b, free) for ours, chance, free in found
                 if (a := behind(ours, stage.layer)) and (b := behind(chance, stage.layer))]  # fmt: skip
        facts = {"n": len(pairs), "d": d}
        for name, how, of, most in (
            ("reading kept", "share of the weight of the full network", kept_reading, 1.0),
            ("reading moved", "total variation beyond renormalising", lambda s, free: moved(s), 1.0),
        ):
            ours, chance = (np.array([of(pair[side], pair[2]) for pair in pairs]) for side in (0, 1))
            ends = mean_interval(ours, 0.0, most) or {"interval": "none: one sample"}
            out.append(Estimate(f"{name}, layer {stage.layer + 1}", float(ours.mean()), **ends,
                                null=float(chance.mean()), null_method=RANDOM, estimator=how, **facts))  # fmt: skip
    ends = [one for ours, _, _ in found if (one := behind(ours, shown[-1].layer))]
    after = np.array([in_effect(s.after, int(s.there.sum())) for s in ends])
    before = np.array([in_effect(s.before, len(s.there)) for s in ends])
    out.append(Estimate(f"read in effect, layer {shown[-1].layer + 1}", float(after.mean()),
                        **(mean_interval(after, 0.0, 1.0) or {"interval": "none: one sample"}),
                        null=float(before.mean()), null_method="all tokens there", n=len(ends), d=d,
                        estimator="exp of the entropy over the tokens there"))  # fmt: skip
    return tuple(out)


def _map(params, one, shown, layout, told, words, picture, caveats) -> TokenMap:
    there = layout.present[0]
    cell, names, values = layout.cell[0], [], []
    for k, stage in enumerate(shown[:SHOWN]):
        kept = f"layer {stage.layer + 1}, {stage.left} left" if k else f"layer {stage.layer + 1}, before any"
        sides = [("all tokens", stage.before, there)] if k else []
        for said, share, here in [*sides, (kept, stage.after, stage.there & there)]:
            names.append(f"layer {stage.layer + 1}, {said}" if said == "all tokens" else said)
            values.append(np.where(here, share * max(int(here.sum()), 1), np.nan))
    values, grid = np.array(values), layout.grid if (cell >= 0).any() else None
    if grid is not None:
        on = np.full((len(values), grid[0] * grid[1]), np.nan)
        on[:, cell[cell >= 0]] = values[:, cell >= 0]
        values = on
    else:
        values = values[:, there]
    fits = grid is None and len(words) == values.shape[1]
    return TokenMap(
        title=f"What is read in sample {params.sample} behind the removals of {one.title}",
        samples=np.full(len(values), params.sample), values=values, value_name="times an even share", grid=grid,
        names=tuple(names), pictures=None if picture is None or grid is None else picture[None],
        words=(tuple(words),) * len(values) if fits else (), estimates=told, caveats=caveats,
        reading=_reading(one, shown, told),
    )  # fmt: skip


def _reading(one, shown: list[Stage], told) -> str:
    if len(shown) < 2:
        return f"{one.title} removes nothing that a later layer could miss; in layer 1 all {shown[0].left} are there."
    first, last = shown[0], shown[-1]
    kept, way = told[2 * (min(len(shown), SHOWN) - 1) - 2 :][:2]
    return (
        f"{len(shown) - 1} removal(s) leave {last.left} of {first.left} free tokens. In layer "
        f"{shown[:SHOWN][-1].layer + 1} those left hold {kept.value:.0%} of what the full network reads there of free "
        f"tokens (as many at random {kept.null:.0%}), and reading moves by {way.value:.2f} of its weight "
        f"({way.null:.2f})."
    )


def _caveats(who, one, params, layout, count: int, samples: int) -> list[str]:
    said = [f"Numbers are means of {samples} sample(s); drawn is one, mean of heads.", *one.notes]
    if one.trained:
        said.append(one.trained)
    if count > SHOWN:
        said.append(f"The first {SHOWN} of {count} stages are drawn and counted.")
    if params.reader == WORDS and not (layout.kinds == TEXT).any():
        said.append("There is no text: the token that answers reads.")
    if (layout.cell[0] < 0).any() and (layout.cell[0] >= 0).any():
        said.append("What is read of tokens off the picture (class token, text) is counted and not drawn.")
    if not who.is_network:
        said.append("No network answers: behind a removal the recorded weights are brought to the sum 1.")
    return said


def _cost(shapes, params: ReadingAfterDropsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = 3 * params.maximum_samples
    held = 20.0 * n * k + 300.0 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Eight equal tokens and a class token, three removals that leave one: before each is read 1/9, kept reading is the
    share that is left, by construction nothing moves, and all are read alike."""
    x = np.ones((32, 4))
    x[16:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 8, 16, 24, 32])))
    found = reading_after_drops(tap, ReadingAfterDropsParams(share=0.125))
    by = {e.name: e for e in found.estimates}
    return (
        CheckLine("four stages, seven maps", 7.0, float(len(found.values)), 0.0),
        CheckLine("kept reading behind λ = ½", 0.5, by["reading kept, layer 2"].value, 1e-12),
        CheckLine("behind three of them", 0.125, by["reading kept, layer 4"].value, 1e-12),
        CheckLine("as many at random", 0.125, by["reading kept, layer 4"].null, 1e-12),
        CheckLine("nothing moves", 0.0, by["reading moved, layer 4"].value, 1e-12),
        CheckLine("all left are read alike", 1.0, by["read in effect, layer 4"].value, 1e-12),
        CheckLine("tokens left in the last map", 1.0, float(np.isfinite(found.values[-1]).sum() - 1), 0.0),
    )


METHODS = (
    Method(
        id="reading_after_drops", family="tokens", network="blocks", title="What is read after a drop", version=2,
        function=reading_after_drops,
        summary="What the answer or the text reads behind every removal, beside the same layer with all tokens there.",
        params=ReadingAfterDropsParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=32,
        invariance="the order of samples",
        papers=("PyramidDrop: Accelerating Your Large Vision-Language Models via Pyramid Visual Redundancy Reduction",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
