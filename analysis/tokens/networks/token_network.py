"""A network run block by block, with tokens really taken away inside it: a transformer, or one of scans (Mamba).

The network's own forward pass does everything outside the blocks. Inside, the parts of a block are called one by one,
so that a rule can act between attention and MLP or behind the block; the tokens it takes away are gone, and later
blocks compute on fewer. That our way through the blocks is the network's own is tested on every network when it is
opened: without a rule both give the same answers. torch is imported when a network is run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.sources.hooked_run import model_lock
from analysis.sources.loaded_model import FORWARD_FAILURES, LoadedModel, logits_of, shapes_of
from analysis.tokens.networks.attending import followed
from analysis.tokens.networks.block_parts import blocks_of
from analysis.tokens.networks.layouts import layout_of
from analysis.tokens.networks.mean_head import reads_the_mean
from analysis.tokens.networks.passing import OF_SCANS, RECORDABLE, Passing
from analysis.tokens.oracle import read_in_the_end
from analysis.tokens.rule import Rule
from analysis.tokens.schedule import Schedule
from analysis.tokens.state import Step, TokenState
from analysis.tokens.view import TokenLayout

ORACLE = "attention in the last layer"
SAME = 2e-4  # of the largest logit: our way through the blocks is the network's own


@dataclass
class TokenRun:
    """Of B samples through L blocks. `states` (L + 1) before each block and after the last, `steps` (L) what was done
    or None, `logits` (B, C) or (B, t, V) tensor, `layout`, `recorded` by name a list over blocks ("hidden" has L + 1),
    `seconds` of the pass, of them `deciding`; `notes` what the rule could not do as asked."""

    states: list[TokenState]
    steps: list[Step | None]
    logits: object
    layout: TokenLayout
    recorded: dict[str, list] = field(default_factory=dict)
    seconds: float = 0.0
    deciding: float = 0.0
    notes: tuple[str, ...] = ()


class TokenNetwork:
    """Parameters
    ----------
    loaded : LoadedModel
    items : some items of its data, on which the way through its blocks is compared with its own; not kept
    stack : name of the list of blocks, where there are several
    types : token-type maps that were said of its taps (`types_said`)

    Raises
    ------
    InputError
        No known blocks, attention that cannot be taken apart, or another answer than the network's own.
    """

    def __init__(
        self, loaded: LoadedModel, items, stack: str | None = None, types: tuple[str, ...] = ()
    ) -> None:
        self.loaded, self.types = loaded, types
        self.stack, self.blocks = blocks_of(loaded.module, stack)
        self.attends = not any(b.scans for b in self.blocks)
        self.has = RECORDABLE if self.attends else OF_SCANS
        self.means = reads_the_mean(loaded.module)
        self.in_tuples: frozenset[int] = frozenset()  # blocks that give their tokens as the first of a tuple
        self._refuse_other(loaded.prepare(list(items)))

    @property
    def layers(self) -> int:
        return len(self.blocks)

    def run(
        self, inputs, rule: Rule | None = None, schedule: Schedule | None = None, settings=None,
        rng: np.random.Generator | None = None, record: tuple[str, ...] = (), repack: bool = False,
        given: Mapping[str, np.ndarray] | None = None, altered: Mapping[int, object] | None = None,
        change: Callable | None = None, only: int | None = None,
    ) -> TokenRun:  # fmt: skip
        """One pass of prepared `inputs`. `record` : names of `passing.RECORDABLE`. `repack` : rotary positions are
        numbered anew after each removal, instead of staying. `given` : (B, T, …) arrays by name that the rule may ask
        for; a rule that wants an "oracle" and is given none is told what the answer reads in the last layer of a pass
        before this one; a network of scans has OF_SCANS alone, and what else is asked for is not among what was
        recorded. `altered` : by number of a block, None where it is left out, or a function of what stands
        before and behind it (tensors) that says what stands behind it instead; without a rule. `change(layer,
        keys, values)` : of tensors (B, heads, t, e), what attention reads in their place. `only` : the one block of
        which attention is recorded.

        Raises InputError with the network's own words where it cannot take these inputs.
        """
        import torch

        if altered and rule is not None:
            raise InputError("a rule together with altered blocks", "one of the two")
        self._refuse_rule(rule, set(given or ()))
        if rule is not None and schedule is not None and "oracle" in rule.needs - set(given or ()):
            before = self.run(inputs, record=("mean attention",))
            scores = read_in_the_end(before.recorded["mean attention"][-1], before.layout)
            given = {**(given or {}), "oracle": scores}
        passing = Passing(
            self,
            inputs,
            rule,
            schedule,
            settings,
            rng or np.random.default_rng(0),
            record,
            repack,
            given,
            altered,
            change,
            only,
        )
        start = time.perf_counter()
        with self._followed(passing), torch.inference_mode():
            raw = self._own(inputs)
        return TokenRun(
            passing.states, passing.steps, answer_tensor(raw), passing.layout, passing.recorded,
            time.perf_counter() - start, passing.deciding, tuple(dict.fromkeys(passing.notes)),
        )  # fmt: skip

    def refused(self, rule: Rule, given: set[str] = frozenset()) -> tuple[str, ...]:
        """What the rule looks at that this network does not have, nor is `given`."""
        needs = {n.removeprefix("next ") for n in rule.needs} - given
        return tuple(sorted(needs - set(self.has) - ({"oracle"} if self.attends else set())))

    def _refuse_rule(self, rule: Rule | None, given: set[str]) -> None:
        missing = () if rule is None else self.refused(rule, given)
        if missing:
            asked = ", ".join(ORACLE if name == "oracle" else name for name in missing)
            raise InputError(
                f"{rule.title} looks at {asked}, and {type(self.loaded.module).__name__} mixes its tokens "
                "by scans: it has no attention",
                "a rule that looks at the tokens or at what they take of each other",
                "Choose token norm, received influence, pooling, or random or even keep",
            )  # fmt: skip

    def layout(self, inputs, tokens: int) -> TokenLayout:
        """What the `tokens` of the prepared inputs are."""
        return layout_of(self.loaded.module, self.stack, inputs, tokens, self.types)

    @contextmanager
    def _followed(self, passing: Passing):
        module = self.loaded.module
        with model_lock(module):
            training = [m for m in module.modules() if m.training]
            for m in training:
                m.training = False
            try:
                attention = {
                    i: b.attention for i, b in enumerate(self.blocks) if not b.scans and not b.divided
                }
                with followed(module, attention) as active:
                    for i, block in enumerate(self.blocks):
                        block.module.forward = passing.forward_of(i, block, active)
                    yield
            finally:
                for block in self.blocks:
                    vars(block.module).pop("forward", None)
                for m in training:
                    m.training = True

    def _own(self, inputs):
        """The raw output of the network's own forward pass; no cache of keys is kept."""
        module, loaded = self.loaded.module, self.loaded
        configs = [
            c for c in (getattr(m, "config", None) for m in module.modules()) if hasattr(c, "use_cache")
        ]
        before = [c.use_cache for c in configs]
        try:
            for c in configs:
                c.use_cache = False
            return loaded.call(module, inputs) if loaded.call else loaded.run(inputs)
        except FORWARD_FAILURES as error:
            if isinstance(error, InputError):
                raise
            said = (str(error).strip().splitlines() or [""])[0][:200]
            raise InputError(
                f"{type(module).__name__} failed on inputs of {shapes_of(inputs)} ({type(error).__name__}: {said})",
                "inputs that the network can take, and blocks that pass tokens on alone",
                "Look at the network without a rule first",
            ) from error
        finally:
            for c, was in zip(configs, before, strict=True):
                c.use_cache = was

    def _own_answer(self, inputs):
        """By the network's own forward pass; notes which blocks give tuples."""
        module, seen = self.loaded.module, set()

        def noted(number: int):
            def note(_module, _inputs, out) -> None:
                if isinstance(out, tuple):
                    seen.add(number)

            return note

        training = [m for m in module.modules() if m.training]
        for m in training:
            m.training = False
        handles = [b.module.register_forward_hook(noted(i)) for i, b in enumerate(self.blocks)]
        try:
            return answer_tensor(self._own(inputs))
        finally:
            self.in_tuples = frozenset(seen)
            for handle in handles:
                handle.remove()
            for m in training:
                m.training = True

    def _refuse_other(self, inputs) -> None:
        import torch

        with model_lock(self.loaded.module), torch.inference_mode():
            own = self._own_answer(inputs)
            run = self.run(inputs)
        ours, there = run.logits, torch.from_numpy(run.layout.present)
        if own.shape[:2] == there.shape == ours.shape[:2]:  # what stands at padding is nobody's answer
            own, ours = own[there], ours[there]
        size = float(own.abs().max())
        if own.shape != ours.shape or not float((own - ours).abs().max()) <= SAME * max(size, 1e-6):
            raise InputError(
                f"run block by block, {type(self.loaded.module).__name__} gives other answers than by itself",
                "blocks that are norm, attention, norm and MLP with two shortcuts and nothing else",
                "Its tokens cannot be taken away; the rows of its taps stand for tokens instead",
            )  # fmt: skip


def answer_tensor(raw):
    """Logits of a raw output, or its embedding. Raises InputError where it has neither."""
    found = logits_of(raw)
    found = getattr(raw, "image_embeds", None) if found is None else found
    found = getattr(raw, "pooler_output", None) if found is None else found
    if found is None:
        raise InputError(
            f"an output of {type(raw).__name__} with no logits and no embedding", "a network with an answer",
            "Load the network with its head",
        )  # fmt: skip
    return found
