"""Which three parts act together beyond what their pairs explain? Third mixed differences of one sample's number.

Tokens, or features of a tap, are left out (their part of the background stands in their place), alone, by two and by
three:

    Δ_ijk = v - v_i - v_j - v_k + v_ij + v_ik + v_jk - v_ijk        v_A: without A

which is 0 where the number is a sum of functions of pairs. The share of the output's change that pairs cannot explain
is Σ Δ_ijk² / Σ (v - v_ijk)² over all triples; the share that single parts cannot explain stands beside it. Only the
strongest parts by slopes are looked at; all others stay.

Interval: over background samples, Student's t (a triple) or bootstrap (the share). Null: a number that is a sum over
pairs gives no more than rounding; of a triple, that its mean over backgrounds is 0, with false-discovery control.

When it lies: interactions depend on where they are taken, here at the whole sample; the softmax makes triples of sums,
so log-probabilities have them where logits have none; a background that cuts a sample in half makes interactions of its
own; parts that were not chosen may act in triples, too. Of a linear probe every logit is a sum: all is 0.

Cost: 1 + m + m (m - 1) / 2 + m (m - 1) (m - 2) / 6 runs for each background sample.

References: J. Alman & Z. Song (2023), "How to capture higher-order correlations? Generalizing matrix softmax attention
to Kronecker computation" (the question; no method is taken from it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.mixed_differences import (
    Differences,
    coalitions_without,
    differences,
    triple_columns,
    triple_estimates,
)
from analysis.attribution.one_sample.asked_sample import place_of
from analysis.attribution.path_gradients import path_values
from analysis.attribution.players import REST, Features, each_token
from analysis.attribution.tap_features import contributions_of
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError
from analysis.features.readers import AUTOMATIC, READERS
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEATURES, TOKENS = "features", "tokens"
OPENING, FEWEST, ROWS, FALSE = 5.0, 8, 256, 0.05
HELP = {
    "triple": "The three parts.",
    "beyond pairs": "Third mixed difference: what the three do together and no two of them.",
    "low": "95 % interval over background samples.",
    "high": "95 % interval over background samples.",
    "q": "False-discovery rate of its mean being 0.",
    "together": "What the number loses without all three.",
    "alone": "Sum of what it loses without each.",
    "of pairs": "Sum of the second mixed differences of its three pairs.",
}


@dataclass(frozen=True)
class TripleInteractionsParams:
    sample: int = param(0, "Which sample, by its place in the store, from 0.", low=0, high=100_000_000)
    players: str = param(FEATURES, "What is left out.", choices=(FEATURES, TOKENS))
    strongest: int = param(8, "Parts that are looked at, the strongest by slopes.", low=3, high=24)
    number: str = param(
        targets.DIFFERENCE, "Number that is looked at; a difference is to the second answer.",
        label="number explained", choices=targets.KINDS,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the likeliest.", low=0, high=1_000_000
    )
    background_samples: int = param(8, "Samples whose parts stand in for what is left out.", low=3, high=200)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)


def triple_interactions(
    activations, params: TripleInteractionsParams = TripleInteractionsParams(), rng=None, progress=no_progress
) -> Table:
    """Triples of one sample's tokens or features.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each triple, see `HELP`. Estimates: the shares that pairs and that single parts cannot explain.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such sample or output; fewer than eight samples, or than three
        parts that change anything.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, made.source.layout.n_samples, rng,
                                       progress, (0.05, 0.1))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    at = place_of(samples, params.sample, tap)
    others = rng.permutation(np.delete(np.arange(len(samples.samples)), at))[: params.background_samples]
    run = samples.run(at)
    asked = targets.number_wanted(samples, run.logits, params.number, params.answer)
    target = targets.logit_target(run.logits, *asked)
    behind = backgrounds.background(
        backgrounds.SAMPLES, run.clean, [samples.run(int(i)).clean for i in others]
    )
    who, chosen = _players(made, run, behind, target, params)
    found = _differences(run, who, chosen, behind, target, progress)
    progress(1.0, "done")
    columns = triple_columns(found, [who.names[k] for k in chosen])
    estimates = triple_estimates(
        found, float(np.finfo(run.clean.numpy().dtype).eps), made.source.shape[1], rng
    )
    words = targets.words_of(samples, target, run.logits)
    return Table(
        title=f"Triples of {params.players} in the {words} of sample {params.sample}",
        reading=_reading(columns, estimates, words, params), estimates=estimates,
        caveats=(*seen.notes, *notes, *_caveats(samples, found, who, len(chosen), params)),
        columns=columns, index="triple", sort="", help=HELP,
    )  # fmt: skip


def _players(made, run, behind, target, params):
    """The players, and the numbers of those that are left out in turn."""
    if params.players == TOKENS and run.shape[0] >= 3:
        who = each_token(run.shape[0])
    else:
        k, names = made.features.n_features, made.called
        who = Features(contributions_of(made), made.features.decoder, np.arange(k), names)
    rough = np.abs(path_values(run, who, behind, target, steps=4).values)
    rough[[name == REST for name in who.names]] = 0.0
    best = np.sort(np.argsort(-rough, kind="stable")[: params.strongest])
    best = best[rough[best] > 0]
    if len(best) < 3:
        raise InputError(
            f"{len(best)} {params.players} that change the answer", "at least three", "Choose another tap or players"
        )  # fmt: skip
    if isinstance(who, Features) and len(best) < made.features.n_features:
        who = Features(contributions_of(made), made.features.decoder, best, [who.names[j] for j in best])
        best = np.arange(len(best))
    return who, best.tolist()


def _differences(run, who, chosen, behind, target, progress) -> Differences:
    import torch

    asked, sets = coalitions_without(len(who.names), chosen)
    asked, values = torch.as_tensor(asked), []
    for i, base in enumerate(behind.rows):
        progress(0.2 + 0.8 * i / behind.size, "leaving parts out")
        mixed = who.mixed(asked, run.clean, base)
        values.append(torch.cat([run.values(m, target).double() for m in mixed.split(ROWS)]).numpy())
    return differences(np.array(values), sets)


def _reading(columns, estimates, words: str, params) -> str:
    beyond = int((columns["q"] <= FALSE).sum())
    shares = "; ".join(f"{e.name}: {e.value:.2%}" for e in estimates)
    first = f" The largest: {columns['triple'][0]} ({columns['beyond pairs'][0]:+.3g})." if beyond else ""
    return (
        f"{beyond:,} of {len(columns['q']):,} triples of {params.players} act on the {words} beyond their pairs (5 % "
        f"false discoveries).{first} Of the squared change without three parts: {shares}."
    )


def _caveats(samples, found: Differences, who, chosen: int, params) -> list[str]:
    said = [
        f"Looked at is {samples.what}; what is left out is taken from {len(found.full):,} other samples in turn.",
        f"The {chosen} strongest parts are left out in turn; all others stay.",
    ]
    if params.players == TOKENS and isinstance(who, Features):
        said.append("The sample has fewer than three tokens: its features are left out instead.")
    if not samples.is_network and params.number in (targets.LOGIT, targets.DIFFERENCE):
        said.append("The logits of a linear probe are sums: no parts of it act together.")
    return said


def _cost(shapes, params: TripleInteractionsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    s = params.strongest
    sets = 1 + s + s * (s - 1) / 2 + s * (s - 1) * (s - 2) / 6
    passes = params.background_samples * (sets + 6)
    held = 40.0 * n * k + 24.0 * sets * k + 16.0 * k * min(k, 4096)
    return Cost(
        OPENING + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * k) + 2e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A sum over pairs has no triples, to the last bit but rounding; x y z has exactly one, as large as it is."""
    rng = np.random.default_rng(0)
    asked, sets = coalitions_without(5, [0, 1, 2, 3])
    w, x = rng.standard_normal((5, 5)), rng.standard_normal(5)
    of_pairs = [np.einsum("mi,ij,mj->m", asked * x, w, asked * x)]
    product = [(asked[:, :3] * x[:3]).prod(axis=1) + asked @ x]
    one, two = (differences(np.array(v), sets) for v in (of_pairs, product))
    return (
        CheckLine("triples of a sum over pairs", 0.0, float(np.abs(one.triple).max()), 1e-12),
        CheckLine(
            "pairs of it", 2 * 0.5 * float((w + w.T)[0, 1] * x[0] * x[1]), float(one.pair[0, 0]), 1e-12
        ),
        CheckLine("the triple of x y z", float(x[:3].prod()), float(two.triple[0, 0]), 1e-12),
        CheckLine("its other triples", 0.0, float(np.abs(two.triple[0, 1:]).max()), 1e-12),
    )


METHODS = (
    Method(
        id="triple_interactions",
        family="attribution",
        title="Which three parts act together?",
        summary="What triples of tokens or features do to an answer that no pair of them explains.",
        version=1,
        function=triple_interactions,
        params=TripleInteractionsParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="order of the parts; a constant added to all logits, where a difference is explained",
        papers=(
            "How to Capture Higher-order Correlations? Generalizing Matrix Softmax Attention to Kronecker Computation",
        ),
        libraries=("torch",),
    ),
)
