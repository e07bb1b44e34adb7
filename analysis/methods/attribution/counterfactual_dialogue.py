"""What is the least that would have to be different for another answer? The fewest flips of concepts that change it.

A concept is a group of samples or a feature. The sample is moved to what samples with the concept are like, or to what
those without it are like, until the wanted answer leads by `margin`. The fewest moves are searched greedily and, among
the strongest, exactly; every step was run through the network (`analysis.attribution.concepts`: `concept_moves`,
`counterfactual_search`). The last move is made only as far as it must, so of a linear head and units the length of a
single flip is margin / max |w_a - w_p|; the least move of all units together is margin / ‖w_a - w_p‖. A sample that is
answered as wanted needs no flip.

A line of the table is a turn of a dialogue: what is changed, what the network then says, and three samples that show
the concept, so that a person can guess before she reads on.

Null: moves in random directions, as long in natural deviations of units: how many of these it takes, and in how many
other samples of the same answer they lead to the wanted one. Interval: Wilson over these samples.

Verdict: all flips together, made in this sample and in others, are split into what is connected to the answer and what
is not, and checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: a moved sample may be like nothing that the network has seen; concepts that go together stand for each
other, so that another set of as many may do as well; a small set exists for almost any network and is no proof that the
network reasons by it.

Cost: 25 x 12 for the verdict, and runs of the sample: one for each move a step, for each random set too, 500 for the
least amounts, up to 300 for smaller sets.

References: A. Akula et al. (2022), "CX-ToM: counterfactual explanations with theory-of-mind for enhancing human trust
in image recognition models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import targets
from analysis.attribution.concepts import concepts as concept_kinds
from analysis.attribution.concepts.concept_moves import feature_levels, group_levels, random_like
from analysis.attribution.concepts.concept_slopes import sample_rows
from analysis.attribution.concepts.concepts import labels_of
from analysis.attribution.concepts.counterfactual_search import (
    Flips,
    Moves,
    fewest_flips,
    least_move,
    margin_of,
)
from analysis.attribution.concepts.dialogue_table import (
    HELP,
    dialogue_columns,
    dialogue_estimates,
    dialogue_reading,
)
from analysis.attribution.concepts.flips_elsewhere import flips_elsewhere
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.local_slopes import local_slope, logits_at, rows_at
from analysis.attribution.one_sample.asked_sample import answer_wanted, place_of
from analysis.attribution.patches.class_pairs import answer_of
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass, finite_blocks
from analysis.features.readers import AUTOMATIC, READERS
from analysis.features.tap_dictionary import tap_dictionary
from analysis.interventions.bench_verdict import Verdict
from analysis.interventions.moved_verdict import moved_verdict
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

AUTO, JUDGED = "automatic", 24  # samples of the verdict
OPENING, FEWEST, OTHERS = 5.0, 12, 16  # seconds; samples; of the same answer


@dataclass(frozen=True)
class CounterfactualDialogueParams:
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    wanted: str | None = param(
        None, "Answer that is wanted; automatic: the second likeliest.", label="wanted answer"
    )
    concepts: str = param(
        AUTO, "What may be flipped; automatic: features of a set, units that have names, else groups of samples.",
        choices=(AUTO, *concept_kinds.KINDS),
    )  # fmt: skip
    margin: float = param(0.0, "Lead that the wanted answer must have, in logits.", low=0.0, high=1000.0)
    most: int = param(6, "Most flips.", label="most flips", low=1, high=30)
    column: str | None = param(
        None, "Labels of the groups and of a probe; automatic: 'label', or the answers.", column=True
    )
    most_concepts: int = param(24, "Most concepts.", low=2, high=500)
    draws: int = param(5, "Random sets of moves.", label="random sets", low=3, high=200)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    maximum_samples: int = param(160, "Most samples that concepts are taken from.", low=12, high=20_000)


def counterfactual_dialogue(
    activations,
    params: CounterfactualDialogueParams = CounterfactualDialogueParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """The fewest flips of concepts that change the answer to a sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded, for its features; any other for groups or units.

    Returns
    -------
    Table
        A line for each flip, in order, see `HELP`; none where the answer is the wanted one already.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or answer; under twelve samples; no two groups.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, made.source.layout.n_samples, rng,
                                       progress, (0.05, 0.1))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    at = place_of(samples, params.sample, tap)
    others = rng.permutation(np.delete(np.arange(len(samples.samples)), at))[: params.maximum_samples]
    rows, said = sample_rows(samples, others, progress, (0.1, 0.4))
    run = samples.run(at)
    h, wanted = rows_at(run), answer_wanted(samples, run.logits, params.wanted)
    levels = _levels(
        made, params, rows, said, labels_of(made.source, samples.samples[others], params.column), len(h)
    )
    moves = levels.moves(h, made)
    progress(0.4, "searching flips")
    how = {"margin": params.margin, "most": params.most}
    found = fewest_flips(lambda x: logits_at(run, x), h, moves, wanted, **how)
    by_chance, drawn, deviation = [], [], np.concatenate(rows).std(axis=0)
    for k in range(params.draws):
        progress(0.5 + 0.3 * k / params.draws, "trying random moves")
        drawn.append(random_like(moves, deviation, rng))
        by_chance.append(fewest_flips(lambda x: logits_at(run, x), h, drawn[-1], wanted, **how))
    same = [i for i, s in zip(others, said, strict=True) if s == samples.word(answer_of(run))][:OTHERS]
    shares = flips_elsewhere(
        samples, same, made, levels, moves, found, wanted, params.margin, deviation, rng, progress
    )
    near = [np.linalg.norm(r - h) for r, s in zip(rows, said, strict=True)
            if s == samples.word(wanted) and r.shape == h.shape]  # fmt: skip
    estimates = dialogue_estimates(
        found, by_chance, shares, _least(run, h, wanted, params.margin), near, params, h.shape[1]
    )
    verdict = _verdict(samples, at, others, run, wanted, moves, found, rng)
    progress(1.0, "done")
    names = {"sample": params.sample, "now": samples.word(answer_of(run)), "wanted": samples.word(wanted)}
    return Table(
        title=f"From {names['now']} to {names['wanted']}: sample {params.sample} at {tap.name}",
        reading=f"{dialogue_reading(found, moves, levels, by_chance, names)} {verdict.sentence}".rstrip(),
        estimates=(*estimates, *verdict.estimates),
        caveats=(*seen.notes, *notes, *levels.concepts.notes, *_caveats(found, samples, by_chance), *verdict.caveats),
        columns=dialogue_columns(found, moves, levels, samples, others, wanted), index="step", help=HELP,
    )  # fmt: skip


def _verdict(samples, at: int, others, run, wanted: int, moves: Moves, found: Flips, rng) -> Verdict:
    if not found.chosen:
        return Verdict((), "", ())
    change = sum(a * moves.rows[k] for k, a in zip(found.chosen, found.amounts, strict=True))
    places = [at, *map(int, others[:JUDGED])]
    return moved_verdict(samples, places, "these flips together", change, wanted, answer_of(run), rng)


def _levels(made, params, rows, said, labels, tokens: int):
    kind = params.concepts
    if kind == AUTO:
        named = any(not str(name).isdecimal() for name in made.codes.unit_names)
        kind = concept_kinds.FEATURES if named or not made.of_units else concept_kinds.GROUPS
    if kind == concept_kinds.FEATURES:
        return feature_levels(rows, made, tokens, params.most_concepts)
    return group_levels(rows, said if labels is None else labels, tokens, params.most_concepts)


def _least(run, h, wanted: int, margin: float) -> float | None:
    """Length of the least move of everything together; None where it is not found."""

    def ask(x):
        z = logits_at(run, x[None])[0]
        z[wanted] = -np.inf
        target = targets.LogitTarget(targets.DIFFERENCE, wanted, int(z.argmax()))
        return float(margin_of(logits_at(run, x[None]), wanted)[0]), local_slope(run, target, x)

    found = least_move(ask, h, margin)
    return None if found is None else float(np.linalg.norm(found))


def _caveats(found: Flips, samples, by_chance) -> list[str]:
    rows = found.tried + sum(f.tried for f in by_chance)
    return [
        f"{rows:,} rows went through {samples.what}. A moved sample may be unlike anything that it has seen.",
        "Other sets of as many flips may do as well: this one is an example, not the reason.",
    ]


def _cost(shapes, params: CounterfactualDialogueParams) -> Cost:
    (n, k), m = shapes[0], machine()
    concepts = 2 * min(params.most_concepts, k)
    rows = (1 + params.draws) * concepts * params.most + 800 + 12 * JUDGED
    held = (
        24.0 * n * k
        + 16.0 * min(n, params.maximum_samples) * k
        + 32.0 * concepts * k
        + 16.0 * min(k, 4096) ** 2
    )
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear head of two answers: the shortest single unit, the least move, and no flip where none is needed."""
    rng = np.random.default_rng(0)
    w, h = rng.standard_normal((6, 2)), rng.standard_normal((1, 6))
    ask = lambda x: x[:, 0] @ w  # noqa: E731
    now = int((h @ w)[0].argmax())
    apart, gap = w[:, 1 - now] - w[:, now], 0.5 - float((h @ (w[:, 1 - now] - w[:, now]))[0])
    both = np.concatenate([np.eye(6), -np.eye(6)])[:, None] * 100
    moves = Moves(both, np.tile(np.arange(6), 2), np.arange(12) < 6)
    found = fewest_flips(ask, h, moves, 1 - now, margin=0.5)
    least = least_move(lambda x: (float((x @ apart)[0]), apart[None]), h, 0.5)
    label = np.arange(60) % 3
    x = 3 * np.eye(6)[label] + 0.3 * rng.standard_normal((60, 6))
    table = counterfactual_dialogue(ArrayActivations(x, name="planted", samples={"label": label}))
    return (
        CheckLine("flips of a linear head", 1.0, len(found.chosen), 0.0),
        CheckLine("length of the flip", gap / np.abs(apart).max(), 100 * found.amounts[0], 1e-5),
        CheckLine("least move of all units", gap / np.linalg.norm(apart), float(np.linalg.norm(least)), 1e-9),
        CheckLine("already the answer", 0.0, len(fewest_flips(ask, h, moves, now).chosen), 0.0),
        CheckLine("the wanted answer leads", 0.0, float(table.columns["lead"][-1]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="counterfactual_dialogue",
        family="attribution",
        title="What would change this answer?",
        summary="The fewest flips of concepts that give a sample another answer, turn by turn.",
        version=2,
        function=counterfactual_dialogue,
        params=CounterfactualDialogueParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits; the order of concepts",
        papers=(
            "CX-ToM: Counterfactual Explanations with Theory-of-Mind for Enhancing Human Trust in Image Recognition "
            "Models",
        ),
        libraries=("torch",),
    ),
)
