"""What would the network say at every layer and every place of one sample? The first words of the logit lens.

    answer_lj = readout(h_lj)        h_lj the state behind layer l at token j, the readout the network's own

Of a text the answer at a place is the token that comes next; of a network of classes each token's state is put in the
place of all tokens, so that a patch is read as if it were the whole picture (it was never asked to be). Cells hold the
first words with their probabilities. With the norm *frozen* each state is divided by the size of the last layer's
instead of its own: answers are then sums of what layers add, and early ones are as timid as they are small.

Told, for each layer drawn: at how many places its first word is that of the last layer. Null: the last layer's first
word at another place of the sample, exact mean over all pairs. Of one sample there are no intervals; half way through
the depth the same is told of a few others, with Wilson's interval, samples as draws.

When it lies: early layers need not speak the basis of the readout; one sample is an anecdote (`logit_lens` has many);
a patch by itself is nothing that the network was trained to name; small probabilities of a large vocabulary still have
a first word.

Cost: of a text as many passes of the sample as there are layers, else one of the last layer for each place and layer.

References: nostalgebraist (2020), "Interpreting GPT: the logit lens"; R. Csordás, C. Manning & C. Potts (2025), "Do
language models use their depth efficiently?"; J. Ba, J. Kiros & G. Hinton (2016), "Layer normalization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.lens import settled
from analysis.tokens.lens_places import Said, agreeing, said_at
from analysis.tokens.readouts import NORMS, OWN, linear
from analysis.tokens.stream import BLOCKS, RandomStream, stream
from analysis.tokens.stream_cost import OPENING, SOURCE_HELP
from analysis.tokens.subject import AUTOMATIC, SOURCES

PLACE, SETTLES = "place", "settles behind"
HELP = {
    PLACE: "Token of the sample, 1 the first.",
    SETTLES: "From which layer drawn on the first word is the last layer's.",
}


@dataclass(frozen=True)
class LensWordsParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    words: int = param(1, "Words in a cell, the likeliest first.", low=1, high=5)
    layers: int = param(8, "Most layers drawn, spread over the depth, the last among them.", low=2, high=200)
    places: int = param(40, "Most places drawn, the first ones.", low=2, high=1000)
    others: int = param(8, "Other samples that are looked at half way, for an interval.", low=2, high=200)
    norm: str = param(OWN, "Whose size the norm before the readout divides by.", choices=NORMS)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def lens_words(
    activations, params: LensWordsParams = LensWordsParams(), rng=None, progress=no_progress
) -> Table:
    """First words at every layer and place of one sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer of classes or of text that can be run again; otherwise its rows go through random
        blocks.

    Returns
    -------
    Table
        A row for each place, a column for each layer.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample; outputs that are no classes; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, tap.layout.n_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    if not who.classifies:
        raise InputError(f"outputs of {who.what} that are no classes", "words to read", "Choose a network that "
                         "classifies or one of text")  # fmt: skip
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", f"one of 0 to {who.samples.max()}")
    said = said_at(who, int(at[0]), params, lambda f: progress(0.2 + 0.4 * f, "reading layers out"))
    half = _half_way(who, int(at[0]), params, rng, lambda f: progress(0.6 + 0.4 * f, "other samples"))
    progress(1.0, "done")
    names = ("input", *who.names)
    columns = {PLACE: np.array([f"{j + 1}: {w}" for j, w in enumerate(said.names)])}
    for i, layer in enumerate(said.layers):
        columns[names[layer]] = np.array(
            [_cell(who, t, p) for t, p in zip(said.top[i], said.chance[i], strict=True)]
        )
    depth = settled(said.top[:, :, 0])
    columns[SETTLES] = np.array([names[said.layers[k]] for k in depth])
    told = (
        *_estimates(said, names, tap.shape[1]),
        _over_samples(half, names[len(who.names) // 2], tap.shape[1]),
    )
    return Table(
        title=f"Words of {who.what} at every layer, sample {params.sample}", columns=columns, index=PLACE, help=HELP,
        estimates=told, reading=_reading(said, told, who),
        caveats=(*_run(who, notes, len(half)), *said.notes,
                 "What a layer's own basis hides from the readout may still be there."),
    )  # fmt: skip


def _run(who, notes, samples: int) -> tuple[str, ...]:
    """Notes, with how many samples were run in the place of how many could have been."""
    if not who.is_network:
        return tuple(notes)
    told = f"The network was run on this sample, and on {samples - 1} others for the number over samples."
    return (told, *(note for note in notes if note != who.opened.run.note))


def _cell(who, answers, chances) -> str:
    return ", ".join(f"{who.word(int(a))} ({c:.0%})" for a, c in zip(answers, chances, strict=True))


def _estimates(said: Said, names, d: int) -> tuple[Estimate, ...]:
    out, t = [], said.top.shape[1]
    for layer, (own, others) in zip(said.layers, agreeing(said.top[:, :, 0]), strict=True):
        known = {"null": others, "null_method": "other places of the sample, exact mean"} if t > 1 else {}
        out.append(Estimate(f"places that say the last layer's word, {names[layer]}", own, **known, n=1, d=d,
                            interval="none: places of one sample", estimator=f"share of {t} places"))  # fmt: skip
    return tuple(out)


def _half_way(who, place: int, params: LensWordsParams, rng, progress) -> np.ndarray:
    """(n, 2) shares of places that say their last word half way, and those of other places, of some samples."""
    rest = rng.permutation(np.delete(np.arange(who.n), place))[: params.others]
    samples, found = np.append(place, rest), []
    for i, one in enumerate(samples):
        progress(i / len(samples))
        p = who.passed(who.alone(int(one)))
        there = np.flatnonzero(p.present[0])[: params.places]
        ends = [x[0][there] for x in (p.states[len(who.names) // 2], p.states[-1])]
        top = np.stack([who.read(int(one), rows).argmax(axis=1) for rows in ends])
        found.append(agreeing(top)[0])
    return np.array(found)


def _over_samples(half: np.ndarray, layer: str, d: int) -> Estimate:
    own, others = half.T
    others = others[np.isfinite(others)]  # a sample of one token has no other place
    known = (
        {"null": float(others.mean()), "null_method": "other places of each sample, exact mean"}
        if len(others)
        else {}
    )
    return Estimate(f"the same half way ({layer}), over samples", float(own.mean()), **share_interval(own),
                    **known, n=len(own), d=d, estimator="mean over samples")  # fmt: skip


def _reading(said: Said, told, who) -> str:
    half = told[-1]
    first, last = (who.word(int(said.top[i, -1, 0])) for i in (0, -1))
    null = "" if half.null is None else f" (other places: {half.null:.0%})"
    return (
        f"Half way through the depth {half.value:.0%} of the places say the word that they say behind the last layer, "
        f"in {half.n} samples{null}. At {said.names[-1]} it is {first} at the input and {last} at last."
    )


def _cost(shapes, params: LensWordsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    work = 6.0 * BLOCKS * (params.others + 1) * params.places * k * k
    return Cost(OPENING + m.seconds(flops64=work, moved=40.0 * n * k), 30.0 * n * k + 24.0 * BLOCKS * k * k,
                (params.others + 1) * params.places)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Layers that add nothing say the same everywhere; at the last layer the words are the answer's; frozen answers add
    up, and the last one stays."""
    rng = np.random.default_rng(0)
    x, there = rng.standard_normal((3, 6, 8)), np.ones((3, 6), bool)
    who, still = (RandomStream(x, there, np.random.default_rng(1), 4, mute=m) for m in ((), (0, 1, 2, 3)))
    plain, same = (said_at(w, 1, LensWordsParams()) for w in (who, still))
    states = who.passed(who.alone(1)).states
    own = who.read(1, states[-1][0]).argmax(axis=1)
    held = linear(lambda rows: who.read(1, rows), states[0][0], states[-1][0])
    z = [held.frozen(who.read(1, s[0]), s[0], states[-1][0]) for s in states]
    added = held.frozen(who.read(1, states[2][0] - states[1][0]), states[2][0] - states[1][0], states[-1][0])
    return (
        CheckLine(
            "layers that add nothing: places alike",
            1.0,
            agreeing(same.top[:, :, 0])[0][0],
            0.0,
        ),
        CheckLine("words of the last layer", 6, int((plain.top[-1, :, 0] == own).sum()), 0.0),
        CheckLine("places that say it at the input", 1.0, agreeing(plain.top[:, :, 0])[0][0], 0.5, "at most"),
        CheckLine(
            "frozen: what a layer adds", 0.0, float(np.abs(z[2] - z[1] - (added - held.zero)).max()), 1e-9
        ),
        CheckLine(
            "frozen: the last answer", 0.0, float(np.abs(z[-1] - who.read(1, states[-1][0])).max()), 1e-9
        ),
    )


METHODS = (
    Method(
        id="lens_words", family="tokens", network="blocks",
        title="Words at every layer and place", version=4, function=lens_words,
        summary="One sample's first words at each layer and token, by the network's own readout (logit lens).",
        params=LensWordsParams, result=Table, check=_check, minimum_rows=2,
        cost=_cost,
        invariance="a constant added to all logits", libraries=("torch", "transformers"),
        papers=("Do Language Models Use Their Depth Efficiently?", "Layer Normalization"),
    ),
)  # fmt: skip
