"""What would each criterion merge by itself? The picks of similarity, information and size, beside that of all three.

MCTF merges the pairs of largest W = W_sim W_info W_size (alike, read little, small: `analysis.tokens.rules.mctf`). It
runs, in the network of the tap where that can be run; behind one layer each criterion, the two others left out, picks
as many pairs from the very same tokens, and the groups that it would make are drawn beside the joint ones.

    J(A, B) = |A ∩ B| / |A ∪ B|

of the pairs that two ways bring together, mean over samples. Score drawn: W of the best pair of each token.

Interval: Student's t over samples. Null: likeness of random vectors between the same two halves, which picks as many
pairs.

When it lies: behind the first merge all sizes are 1, so that size ties everywhere and the first pairs are taken, which
is said; with few pairs a step J jumps; agreement with the joint pick follows the temperatures, and a small one speaks
loudest; that a pair differs says nothing of what it costs the answer.

Cost: one pass of the network for each sample, five decisions in each.

Reference: S. Lee, J. Choi & H. J. Kim (2024), "Multi-criteria token fusion with one-step-ahead attention for efficient
vision transformers".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import chosen_samples
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound, ParameterError
from analysis.results import Estimate, TokenFilm
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.criteria import CHANCE, CRITERIA, JOINT, Overheard, judged_by, owners, pairs, shared
from analysis.tokens.over_samples import plan_of
from analysis.tokens.rule import rule
from analysis.tokens.rules.mctf import MctfSettings
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject

OPENING = 6.0  # seconds
WAYS = (JOINT, *CRITERIA)


@dataclass(frozen=True)
class MergeCriteriaParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    share: float = param(0.25, "Share of the free tokens left after the last layer.", low=0.02, high=0.98)
    layer: int | None = param(
        None, "Behind which layer, from 1; automatic: the last that merges.", low=1, high=999
    )
    similarity: float = param(1.0, "Temperature of likeness; 0 leaves it out.", low=0.0, high=100.0)
    information: float = param(
        20.0, "Temperature of how little a token is read; 0 leaves it out.", low=0.0, high=100.0
    )
    size: float = param(40.0, "Temperature of how small a token is; 0 leaves it out.", low=0.0, high=100.0)
    maximum_samples: int = param(
        24, "Samples that numbers are of, the drawn one among them.", low=2, high=2000
    )
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def merge_criteria(
    activations, params: MergeCriteriaParams = MergeCriteriaParams(), rng=None, progress=no_progress
) -> TokenFilm:
    """The picks of each criterion of MCTF.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    TokenFilm
        The groups before the layer, then as each way would make them. Estimates: agreement of every two ways.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample; a layer that merges nothing; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(tap, tap.layout.n_samples, rng, params.source,
                         lambda f, doing="": progress(0.2 * f, doing))  # fmt: skip
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", f"one of 0 to {who.samples.max()}")
    plan, settings = plan_of(rule("mctf"), params.share, who.layers), _settings(params)
    given, dump = who.one(int(at[0]))
    layer = _layer(params.layer, plan(int(dump.layout.free[0].sum())).remove)
    drawn = overheard(who, given, layer, settings, plan, rng)
    places = np.setdiff1d(chosen_samples(who.n, params.maximum_samples, rng), at)
    found = [_agreement(drawn)]
    for k, place in enumerate(places[: params.maximum_samples - 1]):
        progress(0.3 + 0.7 * k / len(places), "picks of other samples")
        heard = overheard(who, who.one(int(place), ())[0], layer, settings, plan, rng)
        if heard.state is not None:
            found.append(_agreement(heard))
    progress(1.0, "done")
    told, ties = _estimates(found, tap.shape[1]), bool((drawn.state.size[drawn.state.valid] == 1).all())
    words = who.opened.words(int(at[0])) if who.is_network else ()
    return _film(params, layer, drawn, dump.layout, told, words, picture_of(given) if who.is_network else None,
                 (*of_one(notes, params.sample, len(found) - 1), *_caveats(len(found), ties)))  # fmt: skip


def _settings(params) -> MctfSettings:
    return MctfSettings(
        similarity=params.similarity, information=params.information, size=params.size, both_ways=True
    )


def _layer(asked: int | None, remove) -> int:
    """Which layer (0 the first), of those that merge."""
    merging = [i for i, r in enumerate(remove) if r]
    if not merging or (asked is not None and asked - 1 not in merging):
        raise ParameterError(
            "a share at which nothing is merged" if not merging else f"layer {asked}, behind which nothing is merged",
            "one of " + ", ".join(str(i + 1) for i in merging) if merging else "a smaller share",
        )  # fmt: skip
    return merging[-1] if asked is None else asked - 1


def overheard(who, given, layer: int, settings: MctfSettings, plan, rng) -> Overheard:
    """The picks of one sample."""
    heard = Overheard(layer, settings, rng)
    who.answer(given, heard.rule(), plan, settings, rng)
    return heard


def _agreement(heard: Overheard) -> np.ndarray:
    """(ways and chance, ways and chance) Jaccard index."""
    picks = [pairs(heard.state, heard.steps[w]) for w in (*WAYS, CHANCE)]
    return np.array([[shared(a, b) for b in picks] for a in picks])


def _estimates(found: list[np.ndarray], d: int) -> tuple[Estimate, ...]:
    each, out = np.array(found), []
    for a, b in combinations(range(len(WAYS)), 2):
        ours = each[:, a, b]
        ends = mean_interval(ours, 0.0, 1.0) or {"interval": "none: one sample"}
        out.append(Estimate(f"same pairs: {WAYS[a]}, {WAYS[b]}", float(ours.mean()), **ends,
                            null=float(each[:, a, -1].mean()), n=len(ours), d=d,
                            null_method=f"{WAYS[a]} and pairs by random likeness",
                            estimator="Jaccard index of pairs, mean over samples"))  # fmt: skip
    return tuple(out)


def _film(params, layer, heard: Overheard, layout, told, words, picture, caveats) -> TokenFilm:
    there = layout.present[0]
    new = np.full(len(there) + 1, -1)
    new[np.flatnonzero(there)] = np.arange(int(there.sum()))
    owner = np.stack([heard.state.owner[0], *(owners(heard.state, heard.steps[w]) for w in WAYS)])[:, there]
    score = np.stack([np.full(len(there), np.nan), *(judged_by(heard.state, heard.steps[w]) for w in WAYS)])
    judged, cell = np.isfinite(score)[:, there], layout.cell[0][there]
    on = layout.grid is not None and (cell >= 0).any()
    alone = told[:3]
    best = max(alone, key=lambda e: e.value)
    gone = len(pairs(heard.state, heard.steps[JOINT]))
    return TokenFilm(
        title=f"What each criterion would merge behind layer {layer + 1}: sample {params.sample}",
        names=("before", *(JOINT if w == JOINT else f"{w} alone" for w in WAYS)), owner=new[owner],
        score=np.nan_to_num(score, posinf=0, neginf=0)[:, there], judged=judged,
        score_name="W of the best pair of a token", grid=layout.grid if on else None, cell=cell if on else None,
        picture=picture, words=words if len(words) == int(there.sum()) else (), estimates=told, caveats=caveats,
        reading=(
            f"All three merge {gone} pair(s) of this sample behind layer {layer + 1}. Alone, "
            f"{best.name.rsplit(', ', 1)[1]} comes nearest to what they pick. Jaccard index over samples: "
            + ", ".join(f"{e.name.rsplit(', ', 1)[1]} {e.value:.2f} (random pairs {e.null:.2f})" for e in alone) + "."
        ),
    )  # fmt: skip


def _caveats(samples: int, ties: bool) -> list[str]:
    said = [f"Agreement is the mean of {samples} sample(s); drawn is one."]
    if ties:
        said.append(
            "All tokens are of size 1 here: size ties everywhere, and alone it takes the first pairs there are."
        )
    return said


def _cost(shapes, params: MergeCriteriaParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 20.0 * n * k + 300.0 * n + 1e5  # of a network its own memory comes on top
    passes = params.maximum_samples
    return Cost(OPENING + m.seconds(flops64=3e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Twelve tokens, two neighbours copies each: likeness alone merges copies. With the others left out the
    joint pick is likeness's. Before the first merge sizes are all 1."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((24, 8)), 2, axis=0)
    tap = ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 49, 12)))
    only = merge_criteria(tap, MergeCriteriaParams(information=0.0, size=0.0, share=0.34, layer=1))
    film = {n: o for n, o in zip(only.names, only.owner, strict=True)}
    copies = sum(
        int(np.flatnonzero(film["similarity alone"] == o).size == 2)
        for o in np.unique(film["similarity alone"][1:])
    )
    both = {e.name: e for e in only.estimates}
    return (
        CheckLine("likeness only: the joint pick is its", 1.0, both["same pairs: all three, similarity"].value, 0.0),
        CheckLine("copies that go together", 2.0, float(copies), 0.0),
        CheckLine("as pairs by random likeness", 0.1, both["same pairs: all three, similarity"].null, 0.2),
        CheckLine("sizes of 1 are said to tie", 1.0, float(any("size ties" in c for c in only.caveats)), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="merge_criteria", family="tokens", network="blocks", title="What each merging criterion picks", version=2,
        function=merge_criteria,
        summary="Similarity, information and size alone, beside the three together: whose pairs does MCTF merge?",
        params=MergeCriteriaParams, result=TokenFilm, check=_check, cost=_cost, minimum_rows=32,
        invariance="the order of samples, and a factor of all rows",
        papers=("Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
