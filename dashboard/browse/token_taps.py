"""Which taps the views of the page Tokens are made for, by what a store says of itself; no network is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.activations import Activations
from analysis.attribution.network_cost import can_be_run, network_of
from analysis.sources.network_facts import ATTENTION, BLOCKS, MIXTURE, is_of
from analysis.sources.tensor_names import has_tensor
from analysis.spec import Method
from analysis.tokens.kan.reading import COEFFICIENTS
from analysis.tokens.recorded_dump import parts_of
from analysis.tokens.routing.routed import like_gates, named_gates
from analysis.tokens.sets.clips import CLIP_COLUMNS


@dataclass(frozen=True)
class Need:
    """`fits` says whether a tap has it; `without` what is said of a tap that has it not; `which` taps do, in words;
    `closely`: the same by the numbers of the tap that is looked at; `kind` of network, where the
    sentence is only about questions that run one of it."""

    fits: Callable[[Activations], bool]
    without: str
    which: str
    closely: Callable[[Activations], bool] | None = None
    kind: str = ""

    def concerns(self, method: Method) -> bool:
        """Whether a question that this method answers needs it."""
        return not self.kind or method.network == self.kind

    def missing(self, tap: Activations) -> bool:
        """Whether the tap that is looked at has it not."""
        return not self.fits(tap) and not (self.closely and self.closely(tap))


def _runs(tap: Activations, kind: str) -> bool:
    return can_be_run(tap) and is_of(kind, network_of(tap))


def has_heads(tap: Activations) -> bool:
    """Whether its network attends and can be run."""
    return _runs(tap, ATTENTION)


def shows_heads(tap: Activations) -> bool:
    """The same, or it is of a dump in which attention, or queries and keys, were recorded."""
    recorded = set(parts_of(tap))
    return "attention" in recorded or {"queries", "keys"} <= recorded or has_heads(tap)


def has_blocks(tap: Activations) -> bool:
    """Whether its network is a stack of attention or of scans that can be run."""
    return _runs(tap, BLOCKS)


def has_edges(tap: Activations) -> bool:
    """Whether its checkpoint has layers of learned functions, by the names of its tensors."""
    path = network_of(tap).get("path")
    return bool(path) and has_tensor(Path(str(path)), COEFFICIENTS)


def has_experts(tap: Activations) -> bool:
    """Whether its network is a mixture of experts that can be run, or it is named as gates are."""
    return named_gates(tap) or _runs(tap, MIXTURE)


def has_clips(tap: Activations) -> bool:
    """Whether a column says which samples belong together."""
    return any(column in tap.samples for column in CLIP_COLUMNS)


def has_frames(tap: Activations) -> bool:
    """Whether a sample is a row of tokens without a grid: questions then take it for a clip, and these for frames."""
    return not tap.layout.is_pooled and tap.layout.grid is None


def has_tokens(tap: Activations) -> bool:
    """Whether it keeps the tokens of its samples."""
    return not tap.layout.is_pooled


_ATTENDS = Need(
    shows_heads,
    "No network with attention is known here that can be run for this tap. The rows of the tap stand in for tokens, "
    "queries and keys: what is shown is about these rows, and says nothing of heads.",
    "Taps of networks with attention",
)
NEEDS = {  # by view; those that any tap answers are not here
    "rules": Need(
        has_heads,
        "No network with attention is known here that can be run for this tap. Rules that go by attention or keys "
        "refuse, or run on the rows of the tap, which stand in for tokens.",
        "Taps of networks with attention",
    ),
    "attention": _ATTENDS,
    "cache": replace(_ATTENDS, fits=has_heads, kind=ATTENTION),  # others code any rows
    "depth": Need(
        has_blocks,
        "No network of attention and MLPs, or of scans, is known here that can be run for this tap. Most questions "
        "then send the rows of the tap through blocks of random weights, which says nothing of a network.",
        "Taps of networks with attention or scans",
    ),
    "pooling": Need(
        has_tokens,
        "This tap has one row of each sample, no tokens: what reads rows of a tap takes neighbouring samples for "
        "tokens of one, which means little. Choose a tap that keeps its tokens.",
        "Taps with tokens",
    ),
    "sets": Need(
        has_clips,
        "Nothing here says which samples belong together: the store has no column 'clip', 'video' or 'object'. Where "
        "a question needs clips, 16 samples in a row stand for one, which means little.",
        "Taps of clips",
        has_frames,
    ),
    "routers": Need(
        has_experts,
        "This tap is not of a mixture of experts, and nothing says that its units are gates. Most questions here "
        "need one of these.",
        "Taps with experts or gates",
        like_gates,
    ),
    "functions": Need(
        has_edges,
        "No layer of learned functions (Kolmogorov-Arnold) is known in the network of this tap, and its numbers are no "
        "gates. The first two questions then fit functions of its units to classes, which is no part of the network; "
        "the others need the taps of two streams.",
        "Taps of Kolmogorov-Arnold networks",
        like_gates,
    ),
}
