"""A dump: what a network had for its tokens, layer by layer, recorded once without any removal, and a rule run on it.

The rule sees what was recorded of the tokens that it has left: of a merged token the mean over what is inside it, and
attention among the tokens that are left, with rows that sum to 1 again. The network does not answer to what is removed:
up to the first removal that is exact, behind it a simulation, and what it costs the answer needs the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.tokens.oracle import read_in_the_end
from analysis.tokens.rule import AFTER, Rule, rules
from analysis.tokens.schedule import Schedule
from analysis.tokens.state import GONE, Step, TokenState, after
from analysis.tokens.view import TokenLayout, View

LEDGER = ("hidden", "between", "mean keys", "mean attention")  # what most rules ask for
AMONG = ("attention", "influence")  # what is recorded between tokens, not of each
LEAST = 1e-30


@dataclass(frozen=True)
class TokenDump:
    """Of n samples, L blocks, T tokens: `recorded` by name a list over blocks of arrays (n, …): "hidden" (n, T, d) has
    L + 1, what stands before each block and behind the last; "between" stands between attention and MLP; the others
    are as a View has them."""

    layout: TokenLayout
    recorded: dict[str, list[np.ndarray]]

    def __post_init__(self) -> None:
        tokens = self.layout.kinds.shape[1]
        for name, values in self.recorded.items():
            sides = 2 if name.endswith(AMONG) else 1
            for i, x in enumerate(v for v in values if v is not None):
                found = x.shape[-2:] if sides == 2 else x.shape[-2:-1]
                if found != (tokens,) * sides or len(x) != len(self.layout.kinds):
                    raise ShapeError(
                        f"'{name}' of layer {i + 1} has shape {x.shape}",
                        f"{len(self.layout.kinds)} samples and {' x '.join([str(tokens)] * sides)} tokens: each token "
                        + ("asks and is read" if sides == 2 else "has a row"),
                        "Attention to pooled keys or to another sequence is not followed",
                    )  # fmt: skip

    @property
    def n(self) -> int:
        return len(self.layout.kinds)

    @property
    def layers(self) -> int:
        return len(next(values for name, values in self.recorded.items() if name != "hidden"))

    def rows(self, at) -> TokenDump:
        """The same of some of the samples: a slice, or places."""
        return TokenDump(self.layout.rows(at), {k: [x[at] for x in v] for k, v in self.recorded.items()})

    def blocks(self, samples: int = 50) -> Iterator[tuple[slice, TokenDump]]:
        """The samples in parts of `samples`."""
        for start in range(0, self.n, samples):
            part = slice(start, min(start + samples, self.n))
            yield part, self.rows(part)


@dataclass(frozen=True)
class Simulated:
    """`states` (L + 1) before each block and after the last, `steps` (L), None where nothing was to be done."""

    states: list[TokenState]
    steps: list[Step | None]
    notes: tuple[str, ...] = field(default=())

    @property
    def owners(self) -> np.ndarray:
        """(L + 1, n, T) the input token by which the survivor of each is named, -1 where it is gone."""
        return np.stack([s.owner for s in self.states])

    @property
    def counts(self) -> np.ndarray:
        """(L + 1, n) tokens."""
        return np.stack([s.counts for s in self.states])


def looked_at(rule: Rule) -> set[str]:
    """What a dump has to have for this rule. "oracle" is found from the mean attention."""
    asked = {name.removeprefix("next ") for name in rule.needs}
    return (asked - {"oracle"}) | ({"mean attention"} if "oracle" in asked else set())


def _without_attention() -> list[str]:
    """Titles of rules that go by tokens or places alone."""
    return [one.title for one in rules().values() if one.place == AFTER and looked_at(one) <= {"hidden"}]


def needed(chosen: Sequence[Rule]) -> tuple[str, ...]:
    """What has to be recorded for these rules, beside what most look at."""
    asked = {name for one in chosen for name in looked_at(one)}
    return (*LEDGER, *sorted(asked - set(LEDGER)))


def record(network, items: Sequence, names: Sequence[str] = LEDGER) -> TokenDump:
    """The dump of some items of a `TokenNetwork`, in one pass, held in memory."""
    run = network.run(network.loaded.prepare(list(items)), record=tuple(names))
    return TokenDump(run.layout, run.recorded)


def simulate(
    dump: TokenDump, rule: Rule, plan, settings=None, rng: np.random.Generator | None = None
) -> Simulated:
    """A rule on a dump. `plan` : a Schedule, or a function from the number of free tokens of a sample to one.

    Raises InputError where the dump lacks what the rule looks at, or the plan is of other tokens.
    """
    settings = rule.settings() if settings is None else settings
    rng = rng or np.random.default_rng(0)
    remove = removals(dump.layout, plan, dump.layers)
    states, steps, notes = [TokenState.start(dump.layout.present)], [], []
    for layer in range(dump.layers):
        state = states[-1]
        if not remove[:, layer].any():
            states.append(state)
            steps.append(None)
            continue
        view = View(layer, dump.layers, state, dump.layout, _Asked(dump, layer, state, rule))
        now, said = allowed(rule, remove, layer, dump.layout.free.sum(axis=1), view.free.sum(axis=1))
        notes += said
        step = rule.decide(view, now, settings, rng)
        states.append(after(state, step))
        steps.append(step)
        notes += view.notes
    return Simulated(states, steps, tuple(dict.fromkeys(notes)))


def removals(layout: TokenLayout, plan, layers: int) -> np.ndarray:
    """(B, L) tokens to remove from each sample behind each layer. Raises InputError where the plan is of others."""
    free, whole = layout.free.sum(axis=1), layout.present.sum(axis=1)
    plans: dict[int, Schedule] = {n: plan(n) if callable(plan) else plan for n in set(free.tolist())}
    for n, one in plans.items():
        if one.tokens != n or len(one.remove) != layers:
            raise InputError(
                f"a schedule of {one.tokens} free tokens over {len(one.remove)} layers",
                f"one of {n} over {layers}", "Make it for this network and these samples",
            )  # fmt: skip
    for n, present in zip(free.tolist(), whole.tolist(), strict=True):
        if n and n == present and sum(plans[n].remove) >= n:
            raise InputError(
                f"a schedule that takes all {n} tokens of a sample", "one that leaves a token at least",
                "Keep a larger share",
            )  # fmt: skip
    return np.array([plans[n].remove for n in free.tolist()], int).reshape(len(free), layers)


def allowed(
    rule: Rule, remove: np.ndarray, layer: int, start: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """((B,) tokens to remove behind a layer, what the rule cannot do as asked), of the plan `remove` (B, L) and the
    `free` (B,) tokens that are there, `start` (B,) at the beginning."""
    wanted, most = remove[:, layer], np.floor(rule.most * free).astype(int)
    if rule.own_count:  # it may have taken more or fewer than planned before
        left = start - remove[:, : layer + 1].sum(axis=1)
        wanted = np.where(wanted > 0, np.maximum(free - left, 0), 0)
    said = [too_many(rule, wanted, most, free, layer)] if (wanted > most).any() else []
    return np.minimum(wanted, most), said


def too_many(rule: Rule, wanted: np.ndarray, most: np.ndarray, free: np.ndarray, layer: int) -> str:
    """That a rule cannot take away as many tokens at once, in a sentence."""
    row = int((wanted > most).argmax())
    return (
        f"{rule.title} takes at most {rule.most:.0%} of the free tokens at once: {most[row]} instead of {wanted[row]} "
        f"of {free[row]} behind layer {layer + 1}."
    )


def briefly(notes) -> tuple[str, ...]:
    """Notes without those that differ from one before in the numbers of a limit only."""
    found: dict[str, str] = {}
    for note in notes:
        found.setdefault(note.partition(" at once:")[0], note)
    return tuple(found.values())


class _Asked:
    """What a view asks a dump for. Where no "oracle" was recorded it is what the answer reads in the last layer."""

    def __init__(self, dump: TokenDump, layer: int, state: TokenState, rule: Rule) -> None:
        self.dump, self.layer, self.state, self.rule = dump, layer, state, rule
        self.whole = state.at.shape == dump.layout.kinds.shape and bool((state.size <= 1).all())

    def __call__(self, name: str) -> np.ndarray:
        layer, name = (
            (self.layer + 1, name.removeprefix("next ")) if name.startswith("next ") else (self.layer, name)
        )
        if name == "hidden":
            name, layer = ("hidden", layer + 1) if self.rule.place == AFTER else ("between", layer)
        values = self.dump.recorded.get(name)
        if name == "oracle" and values is None and "mean attention" in self.dump.recorded:
            scores = read_in_the_end(self.dump.recorded["mean attention"][-1], self.dump.layout)
            return means_inside(scores, self.state)
        if values is None or layer >= len(values):
            raise InputError(
                f"nothing is known of the {name} of tokens" + ("" if values is None else f" behind layer {layer + 1}"),
                f"what {self.rule.title} goes by",
                "Networks of scans have no attention: choose a rule that goes by the tokens or their places alone "
                f"({', '.join(_without_attention())})",
            )  # fmt: skip
        x = values[layer]
        if self.whole:
            return x
        return attention_inside(x, self.state) if name.endswith(AMONG) else means_inside(x, self.state)


def attention_inside(x: np.ndarray, state: TokenState) -> np.ndarray:
    """(B, …, t, t) attention (B, …, T, T) among the current tokens: means over the rows inside a token, sums over the
    columns, each row to the sum 1."""
    if (state.size <= 1).all():
        out = rows_and_columns(x, np.maximum(state.at, 0))
    else:
        heads, inside = (x if x.ndim == 4 else x[:, None]), _inside(state, x.dtype)
        b, t = state.at.shape
        rows = inside @ _tokens_first(heads)  # sums do: each row is brought to the sum 1 in the end
        turned = rows.reshape(b, t, *heads.shape[1::2]).transpose(0, 3, 1, 2)  # (B, T, t, H)
        columns = inside @ turned.reshape(b * turned.shape[1], -1)
        out = np.ascontiguousarray(columns.reshape(b, t, t, -1).transpose(0, 3, 2, 1))
        out = out if x.ndim == 4 else out[:, 0]
    if not state.valid.all():
        out *= state.valid[:, None, :] if x.ndim == 3 else state.valid[:, None, None, :]
    out /= np.maximum(out.sum(axis=-1, keepdims=True), LEAST)
    return out


def rows_and_columns(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(B, …, t, t) the rows and columns `at` (B, t) of matrices (B, …, T, T), in one reading."""
    b, size, t = len(x), x.shape[-1], at.shape[1]
    cells = (at[:, :, None] * size + at[:, None, :])[:, None]
    start = np.arange(x.size // size**2).reshape(b, -1) * size**2
    found = x.reshape(-1).take(cells + start[:, :, None, None])
    return found.reshape(*x.shape[:-2], t, t)


def means_inside(x: np.ndarray, state: TokenState) -> np.ndarray:
    """(B, …, t, d) means of rows (B, …, T, d) of the input tokens over what is inside each current token."""
    if (state.size <= 1).all():
        at, b = np.maximum(state.at, 0), np.arange(len(x))[:, None]
        return x[b, at] if x.ndim == 3 else x[b[:, :, None], np.arange(x.shape[1])[:, None], at[:, None]]
    made = _inside(state, x.dtype) @ _tokens_first(x if x.ndim == 4 else x[:, None])
    made /= np.maximum(state.size, 1).reshape(-1, 1)
    if x.ndim == 3:
        return made.reshape(*state.at.shape, -1)
    return made.reshape(*state.at.shape, *x.shape[1::2]).transpose(0, 2, 1, 3)


def _tokens_first(x: np.ndarray) -> np.ndarray:
    """(B T, H d) of (B, H, T, d)."""
    return x.transpose(0, 2, 1, 3).reshape(len(x) * x.shape[2], -1)


def _inside(state: TokenState, dtype):
    """(B t, B T) sparse: 1 where an input token is inside a current one."""
    from scipy.sparse import csr_array

    (b, t), whole = state.at.shape, state.place.shape[1]
    sample, token = np.nonzero(state.place != GONE)
    row = sample * t + state.place[sample, token]
    order = np.argsort(row, kind="stable")
    starts = np.zeros(b * t + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=b * t), out=starts[1:])
    columns = (sample * whole + token)[order].astype(np.int32)
    return csr_array((np.ones(len(row), dtype), columns, starts), shape=(b * t, b * whole))
