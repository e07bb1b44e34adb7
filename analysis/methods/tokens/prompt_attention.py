"""What does each prompt look at in a sample, and are all of them used? Prompts as queries, patches as keys.

    A_pt = softmax_t(q_p · k_t / √d)

for the rows q of the first tap (prompts, or what is projected from them) and k of the second (patches, in the same
space: the keys where they were recorded). In multiples of an even share, so that 1 is no more than any other.

    prompts in use     exp of the entropy of how patches are shared out: each patch goes to the prompts by what these
                       pay it; as a share of all prompts, 1 where all pay alike
    prompts differ     mean total variation of two prompts of one sample: 0 where all look at the same
    answers the image  mean total variation of one prompt in two samples: 0 where prompts look at places only

Intervals: Student's t over samples, of the answer a jackknife, as each sample is in two pairs. Nulls: of use and
difference patches shuffled for each prompt by itself; of the answer to the image keys of one sample for all, 0.

Of a network in which a few latent codes read many places (Perceiver, Dynamic Perceiver, learned queries) its own
cross-attention can be watched while it runs instead, mean over heads or one of them, of up to eight samples: the first
tap says which network.

When it lies: without the network's projections these are the attention of raw vectors, and of a network with several
heads that of none; to look is not to take; a prompt in use may be of none to the answer.

Cost: O(n P T d).

Reference: "DVPT: dynamic visual prompt tuning of large pre-trained models for medical image analysis".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.errors import InputError
from analysis.results import TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.latents import latent_attention_of
from analysis.tokens.attention.prompt_use import attention, shuffled, told_of, used
from analysis.tokens.paired_sets import paired_sets, place_of
from analysis.tokens.pooling.token_sets import RUN
from analysis.tokens.subject import ROWS

SHOWN = 12
NETWORK = "the network's own cross-attention"
SOURCES = (ROWS, NETWORK)


@dataclass(frozen=True)
class PromptAttentionParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    sharpness: float = param(1.0, "What scores are multiplied by, beside 1 / √d.", low=0.0, high=1000.0)
    maximum_samples: int = param(200, "Most samples; a seeded random subset above.", low=2, high=20_000)
    source: str = param(
        ROWS, "Whose attention: of the rows, or the network's own.", choices=SOURCES, late=True
    )
    layer: int | None = param(
        None,
        "Of the network: which cross-attention, from 1; automatic: the first.",
        low=1,
        high=999,
        late=True,
    )
    head: int | None = param(
        None, "Of the network: which head, from 1; automatic: their mean.", low=1, high=999, late=True
    )


def prompt_attention(
    prompts, patches, params: PromptAttentionParams = PromptAttentionParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Attention of prompts to patches.

    Parameters
    ----------
    prompts, patches : Activations or arrays (rows, units)
        Tokens of the same samples in one space: a row for each prompt, a row for each patch.

    Returns
    -------
    TokenMap
        (prompts, patches) of one sample in even shares, the first twelve. Estimates: use, difference, answer.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample; taps with tokens and without; fewer than two samples of two tokens; of the network no such layer
        or head.
    """
    taps, rng = [as_activations(t) for t in (prompts, patches)], rng or np.random.default_rng(0)
    why = ()
    if params.source == NETWORK:
        try:
            return _of_network(taps[0], params, rng, progress)
        except InputError as error:
            why = (f"{error} Shown is the attention of the rows.",)
    (q, k), notes = paired_sets(taps, params.maximum_samples, rng, progress, also=params.sample)
    at = place_of(q, taps[0], params.sample)
    progress(0.4, "attention of prompts")
    a = attention(q.x, k.x, k.present, params.sharpness)
    progress(0.7, "shuffling patches")
    told = told_of(taps[0].shape[1], a, shuffled(a, k.present, rng), q.present, k.present, rng)
    progress(1.0, "done")
    asked = np.flatnonzero(q.present[at])[:SHOWN]
    share = np.where(k.present[at], a[at, asked] * k.present[at].sum(), np.nan)
    lead = k.leading if k.grid else 0
    said = [] if len(asked) == q.present[at].sum() else [f"The first {SHOWN} prompts are drawn."]
    share = np.pad(share, ((0, 0), (lead, 0)), constant_values=np.nan)
    title = f"What the prompts {taps[0].name} look at in {taps[1].name}: sample {params.sample}"
    return _drawn(title, share, asked, params.sample, (k.grid, lead), told, (*why, *notes, *said))


def _of_network(tap, params, rng, progress) -> TokenMap:
    """Of its latents and what they read."""
    found = latent_attention_of(tap, params.sample, params.layer, params.head, rng)
    a, picture = found.weights, found.picture
    progress(0.7, "shuffling patches")
    there, latents = np.ones((len(a), a.shape[2]), bool), np.ones(a.shape[:2], bool)
    told = told_of(a.shape[1], a, shuffled(a, there, rng), latents, there, rng)
    progress(1.0, "done")
    asked = np.arange(min(a.shape[1], SHOWN))
    said = [] if len(asked) == a.shape[1] else [f"The first {SHOWN} of {a.shape[1]} latents are drawn."]
    if params.sharpness != 1:
        said.append("The sharpness is left aside: the network has its own.")
    title = f"What the latents of {found.name} read: sample {params.sample}"
    drawn = _drawn(title, a[0, asked] * a.shape[2], asked, params.sample, (found.grid, found.leading), told,
                   (*found.notes, *said))  # fmt: skip
    return replace(drawn, pictures=None if picture is None else picture[None])


def _drawn(title: str, share, asked, sample: int, lies, told, notes) -> TokenMap:
    use, differ, *answer = told
    return TokenMap(
        title=title, samples=np.full(len(asked), sample), values=share, value_name="times an even share", grid=lies[0],
        leading=lies[1], names=tuple(f"prompt {p}" for p in asked), estimates=told,
        caveats=(*notes, "To look at a patch is not to take anything from it."),
        reading=(
            f"{use.value:.0%} of the prompts are in use (patches shuffled {use.null:.0%}); two prompts differ by "
            f"{differ.value:.2f} of their mass (shuffled {differ.null:.2f}), and one prompt in two samples "
            + (f"by {answer[0].value:.2f}." if answer else "cannot be compared: there is one.")
        ),
    )  # fmt: skip


def _cost(shapes, params: PromptAttentionParams) -> Cost:
    samples, d = min(shapes[0][0] / RUN, params.maximum_samples), shapes[0][1]
    held = 8.0 * samples * RUN * (2.0 * d + 5.0 * RUN) + 8.0 * RUN * d
    moved = 8.0 * d * sum(n for n, _ in shapes)
    return Cost(0.02 + machine().seconds(flops64=2.0 * samples * RUN**2 * d, moved=moved + 10 * held), held)


def _check() -> tuple[CheckLine, ...]:
    """Prompts that are zero look at all patches alike and are all in use; one that is a patch looks at it; one prompt
    for all: 1 / P in use would need the others to pay nothing."""
    rng = np.random.default_rng(0)
    layout = Layout(np.arange(9) * 6)
    patches = 5 * rng.standard_normal((48, 30))

    def found(x, **more):
        taps = [ArrayActivations(v, n, layout=layout) for v, n in ((x, "prompts"), (patches, "patches"))]
        return prompt_attention(*taps, PromptAttentionParams(**more))

    even, own = found(np.zeros((48, 30))), found(patches, sharpness=3.0)
    one = np.zeros((1, 4, 6))
    one[:, 0] = 1 / 6
    return (
        CheckLine("zero prompts: times an even share", 1.0, float(even.values.max()), 1e-12),
        CheckLine("zero prompts: all in use", 1.0, even.estimates[0].value, 1e-12),
        CheckLine("zero prompts: do not differ", 0.0, even.estimates[1].value, 1e-12),
        CheckLine("prompts that are patches look at them", 6.0, float(own.values[2, 2]), 1e-6),
        CheckLine("and differ wholly", 1.0, own.estimates[1].value, 1e-6),
        CheckLine("rows sum to the patches", 6.0, float(own.values[1].sum()), 1e-9),
        CheckLine("one of four pays at all", 0.25,
                  float(used(one, np.ones((1, 4), bool), np.ones((1, 6), bool))[0]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="prompt_attention", family="tokens", title="What prompts look at", version=3, function=prompt_attention,
        summary="Attention of prompts to the patches of a sample, how many are in use, and whether they answer it.",
        params=PromptAttentionParams, result=TokenMap, check=_check, cost=_cost, inputs=2, same_units=True,
        roles=("prompts", "patches"), minimum_rows=2 * RUN, invariance="one rotation of the units of both taps",
        papers=("DVPT: Dynamic Visual Prompt Tuning of Large Pre-trained Models for Medical Image Analysis",
            "Dynamic Perceiver for Efficient Visual Recognition",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
