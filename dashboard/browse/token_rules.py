"""Rules that take tokens away, run on the dump of one sample: films, what they cost, and the answer in words."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.results import Curve, Table, TokenFilm
from analysis.tokens.arithmetic import multiply_adds
from analysis.tokens.dump import looked_at, simulate
from analysis.tokens.film import film
from analysis.tokens.kept_dump import KeptDump, load
from analysis.tokens.rule import Rule, rule, rules
from analysis.tokens.rule_settings import with_settings
from analysis.tokens.schedule import schedule
from dashboard.figures.text import number
from dashboard.words import count

NONE = "none"
LEAST_NATS = 0.001  # that are told as a number
FEW = 3  # rules that are named
MILLION, WHOLE, FULL = 1e6, "without removal", "full"
MEANINGS = {
    "tokens": "That the attention of the layer reads; full: without removal.",
    "linear": "Queries, keys, values, output and MLP: t (2 d e + 2 d f) + t' g d m, in millions.",
    "quadratic": "Scores and the mean of values: 2 t² e, in millions.",
}
NEEDS_NETWORK = (
    "Only the network itself can tell what removal does to the answer, its accuracy and its time, what deeper layers "
    "make of the tokens that are left, and whether removed tokens are still computed."
)
ABOUT_RUNS = (
    "Films are run on what the network had without any removal; the answer is the network's own with the tokens gone. "
    "Up to the first removal both decide alike."
)
ABOUT_ROWS = "Films are run on what was recorded; multiply-adds are of blocks as wide as its rows."
Settings = tuple[tuple[str, object], ...]  # name and value of what is not a rule's default


@dataclass(frozen=True)
class Shown:
    """A rule on a sample: its film, tokens before each layer and after the last, and multiply-adds (L,) of each layer,
    linear and quadratic, beside those without removal."""

    rule: Rule
    film: TokenFilm
    counts: tuple[int, ...]
    linear: np.ndarray
    quadratic: np.ndarray
    share: float
    notes: tuple[str, ...]


@functools.lru_cache(maxsize=32)
def opened(path: str) -> KeptDump:
    """The dump of one sample; its file is named by its content."""
    return load(Path(path))


def titles(path: str) -> dict[str, str]:
    """Rules that the dump in a file has enough for, by id as a person reads them, baselines last."""
    has = set(opened(path).dump.recorded)
    return {
        id: one.title + (" (baseline)" if one.baseline else "")
        for id, one in rules().items() if looked_at(one) <= has
    }  # fmt: skip


def pictured(path: str) -> bool:
    """Whether the tokens of a dump lie on a picture."""
    return opened(path).dump.layout.grid is not None


def left_out(path: str) -> str:
    """That rules are not offered, in a sentence; "" where all are."""
    missing = [one.title for id, one in rules().items() if id not in titles(path)]
    if not missing:
        return ""
    why = "were not recorded" if opened(path).note else "this network does not have"
    named = f" ({', '.join(missing)})" if len(missing) <= FEW else ""
    many = count(len(missing), "rule")
    return f"Left out: {many}{named} that would look at attention, keys, queries or values, which {why}."


@functools.lru_cache(maxsize=256)
def shown(path: str, name: str, share: float, sample: int, settings: Settings = ()) -> Shown:
    """A rule on the dump in a file. Raises InputError where the dump lacks what it looks at, ParameterError of settings
    that the rule does not have."""
    kept, one = opened(path), with_settings(rule(name), dict(settings))
    layers = kept.dump.layers
    found = simulate(kept.dump, one, lambda n: schedule(one.schedule, share, layers, n))
    counts = tuple(int(s.counts[0]) for s in found.states)
    whole, less = (multiply_adds(kept.shape, c, one.place) for c in ([counts[0]] * (layers + 1), counts))
    made = film(found.states, found.steps, kept.dump.layout, one, picture=kept.picture, words=kept.words,
                title=f"{one.title}, sample {sample}")  # fmt: skip
    return Shown(one, made, counts, less.linear, less.quadratic, less.total / whole.total, found.notes)


def text_of(settings: Settings) -> str:
    """Settings as a method takes them."""
    return ", ".join(f"{name}={value}" for name, value in settings)


def staircase(found: list[Shown], kept: KeptDump) -> Curve:
    """Multiply-adds of each layer under each rule, beside those of the network as it is."""
    full = multiply_adds(kept.shape, [found[0].counts[0]] * (kept.dump.layers + 1))
    series = {WHOLE: (full.linear + full.quadratic) / MILLION}
    for one in found:
        series[one.rule.title] = (one.linear + one.quadratic) / MILLION
    layers = np.arange(1, kept.dump.layers + 1, dtype=float)
    return Curve(title="Multiply-adds of each layer", x=layers, x_name="layer", y_name="multiply-adds (millions)",
                 series=series)  # fmt: skip


def layer_table(found: list[Shown], kept: KeptDump) -> Table:
    """Tokens and multiply-adds of each layer, those linear and those quadratic in the tokens apart."""
    full = multiply_adds(kept.shape, [found[0].counts[0]] * (kept.dump.layers + 1))
    columns, help = {"layer": np.arange(1, kept.dump.layers + 1)}, {}
    every = [(one.rule.title, one.counts[:-1], one.linear, one.quadratic) for one in found]
    every.append((FULL, [found[0].counts[0]] * kept.dump.layers, full.linear, full.quadratic))
    for name, tokens, linear, quadratic in every:
        of = {"tokens": np.array(tokens), "linear": linear / MILLION, "quadratic": quadratic / MILLION}
        columns |= {f"{what}, {name}": values for what, values in of.items()}
        help |= {f"{what}, {name}": MEANINGS[what] for what in of}
    outside = f"Outside the layers (embedding and readout): {kept.shape.fixed / MILLION:.3g} million, whatever goes."
    return Table(title="Layer by layer: tokens, and millions of multiply-adds", columns=columns, index="layer",
                 help=help, caveats=(outside,))  # fmt: skip


def sentence(one: Shown) -> str:
    """Tokens and cost of a rule in a sentence."""
    quadratic = one.quadratic.sum() / max((one.linear + one.quadratic).sum(), 1e-300)
    return (
        f"**{one.rule.title}** leaves {one.counts[-1]} of {one.counts[0]} tokens: {one.share:.0%} of the multiply-adds "
        f"({quadratic:.0%} of them quadratic in the tokens)."
    )


def _nats(value: float) -> str:
    """A divergence as a person reads it: what is next to nothing needs no power of ten."""
    return f"{number(value)} nats" if value >= LEAST_NATS else f"less than {LEAST_NATS} nats"


def answer_sentence(answer: Mapping, title: str) -> str:
    """What the network says with the tokens really removed; of rows, how near their mean stays."""
    if not answer["seconds"]:
        return (
            f"The mean of the tokens that {title} leaves has cosine {number(answer['cosine'])} to that of all"
            f"{_by_chance(answer, 0)}."
        )
    said = "its output moves"
    if answer["answers"]:
        name, before, _ = max(answer["answers"], key=lambda a: a[1])
        now, was, after = max(answer["answers"], key=lambda a: a[2])
        said = (
            f"the network still says **{now}** ({after:.1%}, before {before:.1%})"
            if now == name
            else f"the network no longer says {name} but **{now}** ({after:.1%}, before {was:.1%})"
        )
    slower = answer["seconds"] > _most(answer, "seconds_before")
    near = f"cosine to the full output {number(answer['cosine'])}{_by_chance(answer, 0)}"
    apart = f"divergence {_nats(answer['nats'])}{_by_chance(answer, 1)}"
    return (
        f"With the tokens of {title} really removed, {said}; {near}, {apart}. A pass of this one sample takes "
        f"{_milliseconds(answer, 'seconds')} instead of {_milliseconds(answer, 'seconds_before')}"
        + (": with so few tokens, deciding costs more than it saves." if slower else ".")
    )


def _most(answer: Mapping, which: str) -> float:
    return max(answer.get(f"most_{which}") or 0.0, answer[which])


def _milliseconds(answer: Mapping, which: str) -> str:
    """Of the passes that were timed, the quickest to the slowest."""
    low, high = (f"{1000 * seconds:.1f}" for seconds in (answer[which], _most(answer, which)))
    return f"{low} ms" if low == high else f"{low} to {high} ms"


def _by_chance(answer: Mapping, which: int) -> str:
    """The same of as many tokens at random: the mean of the draws, of the cosine with their range."""
    drawn = [one[which] for one in answer.get("by_chance") or ()]
    if not drawn:
        return ""
    mean = sum(drawn) / len(drawn)
    if which:
        return f" (at random {_nats(mean)})"
    span = f"{number(min(drawn))} to {number(max(drawn))} in {len(drawn)} draws"
    return f" (as many tokens at random: {number(mean)}, {span})"


def agreement_sentence(answer: Mapping, one: Shown) -> str:
    """How far the film, run on what was recorded, and the run of the network have the same tokens left in the end."""
    if not answer.get("seconds") or not answer.get("owners"):
        return ""
    film, run = (np.asarray(x[-1]) for x in (one.film.owner, answer["owners"]))
    if film.shape != run.shape:
        return ""
    places = np.arange(len(run))
    here, there = film == places, run == places
    both, either = int((here & there).sum()), int((here | there).sum())
    if both == either and (film == run).all():
        return "The network left exactly the tokens of the film."
    return (
        f"The network itself left {int(there.sum())} tokens, {both} of them as in the film (Jaccard index "
        f"{both / max(either, 1):.2f}): behind the first removal it decides by what is left."
    )
