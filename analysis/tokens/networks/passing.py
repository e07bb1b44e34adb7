"""One pass through the blocks of a network: what each block does in the place of its own forward pass."""

from __future__ import annotations

import inspect
import time
from functools import partial

import numpy as np

from analysis.errors import InputError
from analysis.tokens.dump import allowed, means_inside, removals
from analysis.tokens.networks.attending import FAR, Attending
from analysis.tokens.networks.divided import NOTE as DIVIDED
from analysis.tokens.networks.divided import crossing, divided
from analysis.tokens.networks.mean_head import weighed_for_mean
from analysis.tokens.networks.scanning import scan
from analysis.tokens.rebuilding import made_from, rebuilds
from analysis.tokens.rule import AFTER, BETWEEN
from analysis.tokens.state import GONE, TokenState, after, goes_to, shares, survivors
from analysis.tokens.view import View

RECORDABLE = ("hidden", "between", "keys", "queries", "values", "attention", "mean keys", "mean attention",
              "plain keys", "plain queries", "mean influence")  # fmt: skip
WEIGHTS = frozenset(
    {"attention", "mean attention", "mean influence"}
)  # what makes the weights of attention wanted
OF_SCANS = ("hidden", "between", "mean influence")  # what there is without attention


class Passing:
    """The state of one pass; see `TokenNetwork.run` for what is given."""

    def __init__(
        self, network, inputs, rule, schedule, settings, rng, record, repack, given, altered=None, change=None,
        only=None,
    ) -> None:  # fmt: skip
        self.altered, self.change, self.only = dict(altered or {}), change, only
        unknown = set(record) - set(RECORDABLE)
        if unknown:
            raise InputError(f"recording {sorted(unknown)}", "names among " + ", ".join(RECORDABLE))
        self.network, self.inputs, self.rule, self.schedule = network, inputs, rule, schedule
        self.settings = settings if settings is not None or rule is None else rule.settings()
        self.rng, self.record, self.repack, self.given = rng, tuple(record), repack, dict(given or {})
        self.states: list[TokenState] = []
        self.steps: list = []
        self.layout, self.deciding, self.notes = None, 0.0, []
        self.recorded: dict[str, list] = {name: [] for name in record if name in network.has}
        self._remove = np.zeros((0, network.layers), int)

    @property
    def state(self) -> TokenState:
        return self.states[-1]

    def forward_of(self, number: int, block, active):
        """The forward pass of this block while tokens are followed."""
        theirs = inspect.signature(type(block.module).forward)
        takes = inspect.signature(type(block.called).forward).parameters
        every = any(p.kind is p.VAR_KEYWORD for p in takes.values())

        def forward(hidden_states, *given, **named):
            x = hidden_states
            self._begin(number, x)
            if number in self.altered and self.altered[number] is None:
                return self._passed_by(number, x)
            bound = theirs.bind(block.module, x, *given, **named).arguments
            others = {**bound, **bound.get("kwargs", {})}
            facts = {k: v for k, v in others.items() if v is not None and (every or k in takes)
                     and k not in ("self", "hidden_states", "x", "kwargs", "use_cache", "past_key_values")}  # fmt: skip
            x = x + self._attend(number, block, x, facts, active)
            self._keep("between", x)
            if self._acts(number, BETWEEN):
                x = self._reduced(number, x, facts, active)
            if block.mlp is not None:
                added = block.mlp(block.norm2(x))
                x = x + (added if block.scale2 is None else block.scale2(added))
            if number in self.altered:
                x = self.altered[number](hidden_states, x)
            if self._acts(number, AFTER):
                x = self._reduced(number, x, facts, active)
            if not self._acts(number, BETWEEN) and not self._acts(number, AFTER):
                self.states.append(self.state)
                self.steps.append(None)
            self._keep("hidden", x)
            return self._given_on(number, x)

        return forward

    def _given_on(self, number: int, x):
        """What the network is given behind a block, as the block itself would give it."""
        x = self._left(x) if number == self.network.layers - 1 else x
        return (x,) if number in self.network.in_tuples else x

    def _passed_by(self, number: int, x):
        """What a block that is left out gives: what it was given."""
        self._keep("between", x)
        self._keep("hidden", x)
        self.states.append(self.state)
        self.steps.append(None)
        return self._given_on(number, x)

    def _begin(self, number: int, x) -> None:
        if number == 0:
            self.layout = self.network.layout(self.inputs, x.shape[1])
            self.states, self.steps = [TokenState.start(self.layout.present)], []
            self._remove = self._removals()
            for name in self.recorded:
                self.recorded[name].clear()
            self._keep("hidden", x)
        if x.shape[1] != self.state.at.shape[1]:
            raise InputError(
                f"{x.shape[1]} tokens before block {number}, and {self.state.at.shape[1]} behind the one before it",
                "blocks that follow each other directly", "Networks that pool tokens between blocks are not followed",
            )  # fmt: skip

    def _removals(self) -> np.ndarray:
        """(B, L) tokens to remove from each sample behind each block."""
        if self.rule is None or self.schedule is None:
            return np.zeros((len(self.layout.kinds), self.network.layers), int)
        return removals(self.layout, self.schedule, self.network.layers)

    def _acts(self, number: int, place: str) -> bool:
        return self.rule is not None and self.rule.place == place and bool(self._remove[:, number].any())

    def _attend(self, number: int, block, x, facts, active):
        if block.scans:
            out, self._attended = scan(block, x, facts, self.state.valid, self._wanted(number))
            self._keep("mean influence", self._attended and of_attention(self._attended, "mean influence"))
            return out
        change = self.change and partial(self.change, number)
        if block.divided:
            out, done = self._divided(block, x, self._wanted(number), change)
        else:
            attend = Attending(self._bias, self._wanted(number), change)
            out = self._through(block, x, facts, active, attend)
            done = attend.done
        done.rotary = self._sliced(facts).get("position_embeddings")
        self._attended = done
        for name in (self.recorded.keys() - {"hidden", "between"}) if self.only in (None, number) else ():
            self._keep(name, of_attention(done, name))
        return out if block.scale1 is None else block.scale1(out)

    def _wanted(self, number: int) -> bool:
        """Whether the weights of attention of this block are looked at."""
        if WEIGHTS & set(self.record) and self.only in (None, number):
            return True
        if self.rule is None or not self._remove[:, number].any():
            return False
        last = number == self.network.layers - 1  # nothing behind it: a rule that looks ahead looks at itself
        return bool(WEIGHTS & {n.removeprefix("next ") if last else n for n in self.rule.needs})

    def _divided(self, block, x, wanted: bool, change=None):
        return divided(block, x, crossing(self.layout, self.state), self._sizes(), wanted, change)

    def _through(self, block, x, facts, active, attend):
        active[id(block.attention)] = attend
        try:
            out = block.called(block.norm1(x), **self._sliced(facts))
        finally:
            active.pop(id(block.attention), None)
        if attend.done is None:
            raise InputError(
                f"attention of block {block.name} that does not ask the library for its kernel",
                "attention through transformers' registry, or with the parts 'qkv' and 'proj'",
                "Update transformers, or give the module these parts",
            )  # fmt: skip
        return out[0] if isinstance(out, tuple) else out

    def _sliced(self, facts: dict) -> dict:
        """What the network says about all its tokens (rotary positions), for those that are left."""
        import torch

        t = self.state.at.shape[1]
        at = torch.from_numpy(np.maximum(self.state.at, 0))
        if self.repack:
            at = torch.arange(t).expand(len(at), t)
        out = dict(facts)
        if "position_ids" in facts:
            ids = facts["position_ids"].expand(len(at), -1)
            out["position_ids"] = ids.gather(1, at)
        if "position_embeddings" in facts:
            out["position_embeddings"] = tuple(
                p.expand(len(at), *p.shape[1:]).gather(1, at[:, :, None].expand(-1, -1, p.shape[2]))
                for p in facts["position_embeddings"]
            )
        return out

    def _bias(self, mask, query):
        """(B, 1, t, t) or (B, 1, 1, t) added to the logits, or None."""
        import torch

        state, layout = self.state, self.layout
        bias = None
        if mask is not None:
            bias = _of_current(mask, state, query.dtype)
        elif layout.causal:
            at = torch.from_numpy(state.at)
            bias = torch.where(at[:, None, None, :] > at[:, None, :, None], FAR, 0.0).to(query.dtype)
        own = self._sizes()
        if own.any():
            sizes = torch.from_numpy(own)[:, None, None, :].to(query.dtype)
            bias = sizes if bias is None else (bias + sizes).clamp(min=FAR)
        return bias

    def _sizes(self) -> np.ndarray:
        """(B, t) added to the logits of each key: the log of its size where sizes count, no weight at padding."""
        if self.rule is None or not self.rule.proportional:
            return np.where(self.state.valid, 0.0, FAR)
        return np.where(self.state.valid, np.log(np.maximum(self.state.size, 1e-12)), FAR)

    def _keep(self, name: str, values) -> None:
        if name in self.recorded:
            self.recorded[name].append(None if values is None else values.float().numpy().copy())

    def _left(self, x):
        """What the network is given behind the last block: the tokens that are left; in text, or where a step says of
        what tokens are made again, all places."""
        import torch

        if rebuilds(self.steps):
            made = made_from(self.states, self.steps)
            return torch.from_numpy(made).to(x.dtype) @ x
        if self.network.means:
            return weighed_for_mean(x, self.state, self.rule is not None and self.rule.proportional)
        return self._spread(x) if self.layout.causal else x

    def _spread(self, x):
        """(B, T, d) every token that is left at its own place again, so that readouts of text find their positions;
        zeros where it is gone."""
        import torch

        at, valid = torch.from_numpy(self.state.at), torch.from_numpy(self.state.valid)
        out = x.new_zeros(len(x), self.layout.kinds.shape[1], x.shape[2])
        rows, places = torch.nonzero(valid, as_tuple=True)
        out[rows, at[rows, places]] = x[rows, places]
        return out

    def _reduced(self, number: int, x, facts, active):
        """The tokens x (B, t, d) after the rule has acted."""
        import torch

        start = time.perf_counter()
        state = self.state
        view = View(number, self.network.layers, state, self.layout,
                    lambda name: self._asked(name, number, x, facts, active))  # fmt: skip
        start_count, free = self.layout.free.sum(axis=1), view.free.sum(axis=1)
        now, said = allowed(self.rule, self._remove, number, start_count, free)
        self.notes += said
        step = self.rule.decide(view, now, self.settings, self.rng)
        new = after(state, step)
        out = _merged(x, state, step, torch)
        self.states.append(new)
        self.steps.append(step)
        self.notes += [*view.notes, *([DIVIDED] if self.network.blocks[number].divided else [])]
        self.deciding += time.perf_counter() - start
        return out

    def _asked(self, name: str, number: int, x, facts, active) -> np.ndarray:
        done = self._attended
        if name in self.given:
            return means_inside(np.asarray(self.given[name]), self.state)
        if name == "hidden":
            return x.float().numpy()
        if name.startswith("next "):
            ahead = self._next(number, x, facts, active)
            return of_attention(ahead, name.removeprefix("next ")).float().numpy()
        values = of_attention(done, name)
        if values is None:
            raise InputError(f"'{name}' of a network", "what the rule says that it needs")
        return values.float().numpy()

    def _next(self, number: int, x, facts, active):
        """The attention of the block behind this one on its current tokens; asked for by rules that look ahead."""
        if self.rule.place != AFTER or number + 1 >= self.network.layers:
            raise InputError(
                "the attention of the next block, asked for inside a block or behind the last",
                "a rule behind a block that another follows",
            )  # fmt: skip
        block, attend = self.network.blocks[number + 1], Attending(self._bias, wanted=True)
        if block.divided:
            return self._divided(block, x, True)[1]
        self._through(block, x, facts, active, attend)
        return attend.done


def of_attention(done, name: str):
    """What is called `name` of an `Attended`; None where it was not made."""
    if name.startswith("plain "):
        return _turned_back(of_attention(done, name.removeprefix("plain ")), done.rotary)
    if name == "mean influence":
        return done.influence()
    whole = name.removeprefix("mean ")
    values = {
        "keys": done.keys,
        "queries": done.queries,
        "values": done.values,
        "attention": done.weights,
    }.get(whole)
    return values.mean(dim=1) if values is not None and whole != name else values


def _of_current(mask, state: TokenState, dtype):
    """The rows and columns of the current tokens of a mask (B or 1, heads or 1, T, T), as numbers to be added."""
    import torch

    if mask.dtype == torch.bool:
        mask = torch.where(mask, 0.0, FAR)
    mask = mask.to(dtype).clamp(min=FAR)
    b, t = state.at.shape
    if t == mask.shape[-1] and (state.at == np.arange(t)).all():
        return mask
    at = torch.from_numpy(np.maximum(state.at, 0))
    mask = mask.expand(b, -1, -1, -1)
    rows = mask.gather(2, at[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[3]))
    return rows.gather(3, at[:, None, None, :].expand(-1, mask.shape[1], t, -1))


def _merged(x, state: TokenState, step, torch):
    """As `analysis.tokens.state.merged`, of a tensor."""
    keep, share = survivors(step), shares(state, step)
    rows, tokens = np.nonzero((step.into != GONE) & ~step.kept)
    at = torch.from_numpy(np.maximum(keep, 0))
    if step.values is not None:
        made = np.take_along_axis(step.values, np.maximum(keep, 0)[:, :, None], axis=1)
        return torch.from_numpy(np.where((keep == GONE)[:, :, None], 0, made)).to(x.dtype)
    out = x.gather(1, at[:, :, None].expand(-1, -1, x.shape[2]))
    weight = np.where(keep == GONE, 0.0, np.take_along_axis(share, np.maximum(keep, 0), axis=1))
    if (weight != 1).any():
        out = out * torch.from_numpy(weight)[:, :, None].to(x.dtype)
    if len(rows):
        goes = torch.from_numpy(rows * out.shape[1] + goes_to(step)[rows, tokens])
        add = x[torch.from_numpy(rows), torch.from_numpy(tokens)]
        add = add * torch.from_numpy(share[rows, tokens])[:, None].to(x.dtype)
        out = out.contiguous()
        out.view(-1, x.shape[2]).index_add_(0, goes, add)
    return out


def _turned_back(x, rotary):
    """Queries or keys (B, h, t, e) without their rotary positions (halves turned together)."""
    import torch

    if rotary is None:
        return x
    cos, sin = (p[:, None] for p in rotary)
    first, second = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return x * cos - torch.cat((-second, first), dim=-1) * sin
