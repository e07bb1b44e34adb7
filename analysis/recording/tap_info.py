"""What one module of a network would give if it were recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from analysis.errors import ParameterError
from analysis.recording.hooks import Want
from analysis.recording.layout import Axes
from analysis.recording.pooling import check_choice

MODEL = "(model)"  # the name of the whole network's own output, where it has no modules inside
OUTPUTS = "outputs."  # taps made from the network's outputs rather than from a module
LOGITS, TOKEN_LOSS = OUTPUTS + "logits", OUTPUTS + "token_loss"


@dataclass(frozen=True)
class TapInfo:
    """What one module would give for one sample.

    name : module name. type : its class. shape : of its output, without the batch. axes : a name for each axis,
    the batch among them. n_tokens, n_units, grid, leading : as in `TapSpec`; grid and leading where derivable.
    class_token : why 'cls' means something here, "" where it does not. bytes_per_sample : all tokens kept, in
    float16. is_block : one of the repeated blocks. is_default : recorded when nothing is said. calls : how often
    it ran in one forward pass. note : how its output was taken, in words. problem : why it cannot be recorded,
    "" if it can. tokens, call : the user's own choice for this tap, from `choose_taps`. order : places of its tokens
    as they are kept, where that is another order than the network's.
    """

    name: str
    type: str
    shape: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()
    n_tokens: int = 0
    n_units: int = 0
    grid: tuple[int, int] | None = None
    leading: int = 0
    class_token: str = ""
    bytes_per_sample: int = 0
    is_block: bool = False
    is_default: bool = False
    calls: int = 0
    note: str = ""
    problem: str = ""
    tokens: str = ""
    call: int = -1
    layout: Axes | None = None
    order: tuple[int, ...] = ()
    types: str = ""

    @property
    def has_tokens(self) -> bool:
        """Whether there is a choice of tokens at all (a map pooled to one position has none)."""
        single = self.n_tokens == 1 and self.grid is not None
        return self.layout is not None and bool(self.layout.tokens) and not single

    def kept(self, tokens: str) -> str:
        """What is really kept when `tokens` is asked for. Raises ParameterError, with the reason, if it cannot be.

        A tap without tokens keeps its one row: "all".
        """
        tokens = check_choice(self.tokens or tokens)
        if not self.has_tokens:
            return "all"
        reason = ""
        if tokens == "cls" and not self.class_token:
            reason = "no class token is known there"
        elif tokens == "spatial-mean" and self.grid is None:
            reason = "its tokens are not positions of an image"
        elif tokens == "last" and len(self.layout.tokens) > 1:
            reason = "positions of an image have no last one"
        if reason:
            raise ParameterError(
                f"tokens = '{tokens}' for tap '{self.name}' {self.shape}: {reason}",
                "all or mean",
                f"Say it for this tap alone, '{self.name}@tokens=mean', or leave the tap out",
            )
        return tokens

    def want(self, tokens: str) -> Want:
        """The hook's instruction for this tap."""
        module = "" if self.name == MODEL else self.name
        return Want(
            self.name, module, self.layout, self.kept(tokens), self.leading, self.call, order=self.order
        )


def sized(info: TapInfo, shape, axes: Axes, note: str) -> TapInfo:
    """With the numbers of tokens and units; `shape` from here on is without the batch."""
    n_tokens = 1
    for i in axes.tokens:
        n_tokens *= shape[i]
    n_units = 1 if axes.unit is None else shape[axes.unit]
    problem = "" if n_tokens and n_units else f"its output {shape} is empty"
    return replace(
        info, shape=tuple(s for i, s in enumerate(shape) if i != axes.batch), axes=axes.words, layout=axes,
        n_tokens=n_tokens, n_units=n_units, bytes_per_sample=2 * n_tokens * n_units, problem=problem,
        note="; ".join(filter(None, (info.note, note))),
    )  # fmt: skip
