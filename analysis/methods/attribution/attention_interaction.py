"""Is attention interaction? Who looks at whom, beside what the two do together for the answer.

Players are the tokens at a tap (fields, patches, words). For each sample and pair of players

    attention     a_jk = (A_jk + A_kj) / 2, A the attention of one head, read off a run of the network
    interaction   |I_jk|, of the Shapley interaction index, or of leaving both out: y - y(-j) - y(-k) + y(-j, -k)

and the two are ranked against each other over the pairs of a sample. Attention can be large where nothing interacts (a
network that adds up what it attends to has no interaction at all), and pairs interact through other layers without
attending to each other. Null: the players of the attention exchanged at random (both of its sides together), which
keeps all attention and breaks only who is who; p by that, Benjamini-Hochberg over heads. Interval: Student's t over
samples.

Where no network can be run the answer is a linear probe's, which only adds up, and the attention is that of a layer
with identity weights on the fields of the tap: the case in which attention is there and interaction is not.

When it lies: a rank correlation says nothing of size; sampled interactions are noisy, which pulls correlations to 0;
absent players come from the background, unlike anything the network has seen; attention before the tap does not see
what is exchanged there; neighbouring tokens may share both attention and interaction because they are alike.

Cost: for each sample 2^M passes up to ten players, else about 2 M² a round (Shapley), or M (M + 1) / 2 (left out).

References: W. Song et al. (2019), "AutoInt: automatic feature interaction learning via self-attentive neural networks";
S. Jain & B. Wallace (2019), "Attention is not explanation"; N. Mantel (1967) for the null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.attention_pairs import (
    LEFT_OUT,
    SHAPLEY_PAIRS,
    PairsOfSample,
    pairs_of_samples,
    square,
    standard_ranks,
)
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError
from analysis.features.readers import AUTOMATIC, PROBE, READERS
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, OPENING = 8, 5.0  # samples; seconds
HELP = {
    "head": "The head whose attention it is; first the mean over all of them.",
    "layer": "Its layer, counted from 0; -1 for the mean over all.",
    "rank correlation": "Of attention and interaction over the pairs of a sample, mean over samples.",
    "low": "95 % interval of it, Student's t over samples.",
    "high": "95 % interval of it.",
    "by chance, low": "Lower end of 95 % of it with the players of the attention exchanged.",
    "by chance, high": "Upper end of that.",
    "p": "Chance of as much, either way, with players exchanged.",
    "beyond chance": "Whether p holds for all heads together (Benjamini-Hochberg, 5 %).",
    "attention off the even share": "How far a player's attention is from equal shares, 0 to 1, mean.",
}


@dataclass(frozen=True)
class AttentionInteractionParams:
    interaction: str = param(
        SHAPLEY_PAIRS, "What two players do together.", choices=(SHAPLEY_PAIRS, LEFT_OUT)
    )
    number: str = param(
        targets.LOGIT, "Number of the answer.", label="number explained", choices=targets.KINDS
    )
    answer: int | None = param(
        None, "Output whose number it is; automatic: the likeliest of each sample.", low=0, high=1_000_000
    )
    background: str = param(
        backgrounds.MEAN, "What stands where a player is absent.", choices=backgrounds.KINDS
    )
    background_samples: int = param(20, "Samples that the background is made of.", low=1, high=1000)
    samples_asked: int = param(16, "Samples that are asked, drawn at random.", low=8, high=2000)
    players: int = param(
        20, "Most players; of longer samples neighbouring tokens play as one.", low=3, high=64
    )
    fields: int = param(4, "Fields that units are cut into where samples have one token.", low=3, high=64)
    rounds: int = param(4, "Rounds of sampled Shapley interactions.", low=2, high=200)
    draws: int = param(200, "Exchanges of players.", low=100, high=5000)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)


def attention_interaction(
    activations, params: AttentionInteractionParams = AttentionInteractionParams(), rng=None, progress=no_progress
) -> Table:  # fmt: skip
    """Attention of every head beside interactions.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap at whose tokens the network is exchanged.

    Returns
    -------
    Table
        A line for each head and one for their mean, see `HELP`. Estimates: what pairs do together as a share of the
        answer, the rank correlation of the mean attention, how uneven attention is.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; a network without attention or of other tokens; fewer than eight
        samples or three players.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    for _ in finite_blocks(tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(tap, params.reader, params.column, tap.layout.n_samples, rng, progress,
                                       (0.05, 0.15))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    found = pairs_of_samples(samples, params, rng, progress, (0.15, 0.8))
    if not found.change.any():
        raise InputError(
            f"the {params.number} of {samples.what} is the same for the background and for every sample",
            "a tap that the answer hangs on", "Choose another tap or number",
        )  # fmt: skip
    columns, each, chance = _columns(found, params.draws, rng, progress)
    d = tap.shape[1]
    estimates = _estimates(found, each, chance, columns, d, params, rng)
    progress(1.0, "done")
    return Table(
        title=f"Attention beside interaction at {tap.name}", reading=_reading(columns, found, estimates),
        caveats=(*seen.notes, *notes, *found.notes), estimates=estimates, columns=columns, index="head",
        sort="rank correlation", help=HELP,
    )  # fmt: skip


def _columns(found: PairsOfSample, draws: int, rng, progress):
    """Columns; rank correlations (heads, samples) with those by chance (draws, heads), means over samples."""
    heads, n = len(found.names), len(found.interaction)
    each, chance = np.zeros((heads, n)), np.zeros((draws, heads))
    for i, (attention, strength) in enumerate(zip(found.attention, found.interaction, strict=True)):
        progress(0.8 + 0.2 * i / n, "exchanging players")
        m = len(strength)
        upper = np.triu_indices(m, 1)
        ranked = standard_ranks(strength[upper])
        ranks = np.stack([square(standard_ranks(a[upper]), m, upper) for a in attention])
        each[:, i] = ranks[:, *upper] @ ranked
        for k in range(draws):
            moved = rng.permutation(m)
            chance[k] += ranks[:, moved[upper[0]], moved[upper[1]]] @ ranked / n
    mean = each.mean(axis=1)
    ends = [mean_interval(own, -1.0, 1.0) for own in each]
    band = np.percentile(chance, [2.5, 97.5], axis=0)
    p = (1 + (np.abs(chance) >= np.abs(mean) - 1e-12).sum(axis=0)) / (1 + draws)
    columns = {
        "head": np.array(found.names), "layer": found.layers, "rank correlation": mean,
        "low": np.array([e["low"] for e in ends]), "high": np.array([e["high"] for e in ends]),
        "by chance, low": band[0], "by chance, high": band[1], "p": p,
        "beyond chance": benjamini_hochberg(p) <= 0.05, "attention off the even share": found.uneven.mean(axis=0),
    }  # fmt: skip
    return columns, each, chance


def _estimates(found: PairsOfSample, each, chance, columns, d: int, params, rng) -> tuple[Estimate, ...]:
    n = len(found.interaction)
    size = np.array([np.triu(s, 1).max() for s in found.interaction])
    low, high = ratio_interval(size, found.change, rng)
    share = float(size.sum() / found.change.sum())
    band = [float(columns[f"by chance, {end}"][0]) for end in ("low", "high")]
    uneven = found.uneven[:, 0]
    return (
        Estimate("strongest interaction of the answer's change", share, min(low, share), max(high, share),
                 interval="bootstrap over samples", null=0.0, null_method="a network that adds up its players", n=n,
                 d=d, estimator=f"largest {params.interaction} / |answer - background|, means over samples"),
        Estimate("mean attention and interaction", float(columns["rank correlation"][0]),
                 **mean_interval(each[0], -1.0, 1.0), null=float(chance[:, 0].mean()), null_low=band[0],
                 null_high=band[1], null_method="players of the attention exchanged", p_value=float(columns["p"][0]),
                 n=n, d=d, estimator="Spearman's correlation over pairs, mean over samples"),
        Estimate("attention off the even share", float(uneven.mean()), **mean_interval(uneven, 0.0, 1.0), n=n, d=d,
                 null=0.0, null_method="even attention, exactly",
                 estimator="mean over players of half the sum of |attention - 1 / players|"),
    )  # fmt: skip


def _reading(columns, found: PairsOfSample, estimates) -> str:
    if max(s.max() for s in found.interaction) == 0:
        return (
            f"{found.what[0].upper()}{found.what[1:]} adds up its players: no two of them interact, though their "
            f"attention is {estimates[2].value:.0%} off equal shares."
        )
    r, beyond, heads = columns["rank correlation"], columns["beyond chance"], len(found.names) - 1
    best = int(np.argmax(np.abs(r[1:]))) + 1 if heads else 0
    return (
        f"Mean attention ranks pairs as their interaction does at {r[0]:.2f} (1 would be the same order); of "
        f"{heads:,} heads {int(beyond[1:].sum()):,} are beyond chance, the furthest from 0 {columns['head'][best]} at "
        f"{r[best]:.2f}. The strongest pair moves the answer by {estimates[0].value:.0%} of its change."
    )


def _cost(shapes, params: AttentionInteractionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    samples, players = min(n, params.samples_asked), params.players
    passes = samples * rows * min(2.0**players, 2.0 * players**2 * params.rounds)
    held = 30.0 * n * d + 60.0 * samples * players**2
    return Cost(
        OPENING + m.seconds(flops64=2e5 * passes, moved=24.0 * n * d) + 1e-4 * passes, held, int(passes)
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of three fields adds up: no interaction, though attention is uneven, by both measures."""
    rng = np.random.default_rng(0)
    label = np.arange(32) % 2
    x = rng.standard_normal((32, 12)) + label[:, None]
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    lines = []
    for way in (SHAPLEY_PAIRS, LEFT_OUT):
        params = AttentionInteractionParams(
            reader=PROBE, interaction=way, samples_asked=8, draws=100, fields=3
        )
        told = attention_interaction(tap, params).estimates
        lines += [
            CheckLine(f"interaction, {way}", 0.0, told[0].value, 1e-12),
            CheckLine("attention off the even share", 0.05, told[2].value, 0.0, "at least"),
        ]
    return tuple(lines)


METHODS = (
    Method(
        id="attention_interaction",
        family="attribution",
        title="Attention is not interaction",
        summary="Each head's attention beside what pairs of tokens do together for the answer.",
        version=1,
        function=attention_interaction,
        params=AttentionInteractionParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="the order of tokens, where the network ignores it; a rising change of attention or interaction",
        papers=(
            "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
            "AutoInt: self-attentive feature interaction",
        ),
        libraries=("torch", "transformers"),
    ),
)
