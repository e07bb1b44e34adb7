"""Which number of a network's answer is explained: of its logits, or of what one of its modules gives.

logit               z_a
logit difference    z_a - z_b
readout score       σ(z_a - z_b), which is p_a / (p_a + p_b)
log probability     z_a - log Σ_c exp z_c
loss                the same with the sign turned

cosine, dot product, distance     of a module's mean over tokens, or of one token, to a fixed vector
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from analysis.errors import InputError, NotFinite, NotFound, ParameterError

LOGIT, DIFFERENCE, LOG_PROBABILITY, LOSS = "logit", "logit difference", "log probability", "loss"
SCORE = "readout score"
KINDS = (LOGIT, DIFFERENCE, SCORE, LOG_PROBABILITY, LOSS)
OF_TWO = (DIFFERENCE, SCORE)
COSINE, DOT, DISTANCE = "cosine", "dot product", "distance"
CLOSENESS = (COSINE, DOT, DISTANCE)


class Target(Protocol):
    """`catch`: modules whose output it reads; `words`: what it is, for a title."""

    catch: tuple[str, ...]
    words: str

    def of(self, logits, caught):
        """(b,) tensor, differentiable, of logits (b, classes) or (b, tokens, words), or of what was caught."""
        ...


def number_wanted(samples, logits, number: str, answer: int | None) -> tuple[str, int | None]:
    """What is explained of outputs that are no classes, or of the only one: the output itself, the first where none is
    named. Of classes what was asked for. Raises InputError: a number that only classes have."""
    one = at_position(logits, -1).shape[-1] == 1
    if not (samples.number or one):
        return number, answer
    if number not in (LOGIT, DIFFERENCE):
        gives = f"gives {samples.number}, which is no class" if samples.number else "has one output"
        raise InputError(
            f"the {number} of a network that {gives}", "the number itself", f"Explain its {LOGIT}"
        )
    return LOGIT, answer or 0


def words_of(samples, target: LogitTarget, logits) -> str:
    """What is explained, in words: of classes which, of other outputs their name."""
    outputs = at_position(logits, -1).shape[-1]
    if samples.number or outputs == 1:
        return (samples.number or "output") + (f", output {target.answer}" if outputs > 1 else "")
    asked = [c for c in (target.answer, target.against) if c is not None]
    return f"{target.kind} of " + " less ".join(map(samples.word, asked))


@dataclass(frozen=True)
class LogitTarget:
    """Of class `answer`, for "logit difference" and "readout score" against class `against`; where there are logits for
    every token, of those after token `position`."""

    kind: str
    answer: int
    against: int | None = None
    position: int = -1
    words: str = ""
    catch: tuple[str, ...] = ()

    def of(self, logits, caught):
        import torch

        z = at_position(logits, self.position)
        own = z[:, self.answer]
        if self.kind == LOGIT:
            return own
        if self.kind in OF_TWO:
            apart = own - z[:, self.against]
            return torch.sigmoid(apart) if self.kind == SCORE else apart
        log_p = own - torch.logsumexp(z, dim=1)
        return log_p if self.kind == LOG_PROBABILITY else -log_p


@dataclass(frozen=True)
class EmbeddingTarget:
    """How near what `module` gives is to `reference` (units,): its mean over tokens, or token `position` of it."""

    module: str
    reference: object
    kind: str = COSINE
    position: int | None = None
    words: str = ""

    @property
    def catch(self) -> tuple[str, ...]:
        return (self.module,)

    def of(self, logits, caught):
        import torch

        from analysis.attribution.sample_run import as_tokens

        x = as_tokens(caught[self.module])
        x = x.mean(dim=1) if self.position is None else x[:, self.position]
        other = torch.as_tensor(self.reference, dtype=x.dtype)
        if other.shape != x.shape[1:]:
            raise InputError(
                f"a reference of shape {tuple(other.shape)} for module '{self.module}'",
                f"({x.shape[1]},), its units",
            )
        if self.kind == DOT:
            return x @ other
        if self.kind == DISTANCE:
            return torch.linalg.vector_norm(x - other, dim=1)
        return torch.nn.functional.cosine_similarity(x, other[None], dim=1)


def at_position(logits, position: int):
    """(b, classes) of logits (b, classes) or (b, tokens, words). Raises NotFound."""
    if logits is None:
        raise InputError(
            "the network gives no logits",
            "a network with a head",
            "Explain what one of its modules gives instead",
        )
    if logits.ndim == 2:
        return logits
    if not -logits.shape[1] <= position < logits.shape[1]:
        raise NotFound(
            f"token {position} of a sample of {logits.shape[1]} tokens", f"0 … {logits.shape[1] - 1}"
        )
    return logits[:, position]


def logit_target(
    logits, kind: str = LOGIT, answer: int | None = None, against: int | None = None, position: int = -1,
    names: Sequence[str] = (),
) -> LogitTarget:  # fmt: skip
    """The target for the clean `logits` (1, classes) or (1, tokens, words) of a sample; None: the likeliest answer, and
    the likeliest other one.

    Raises
    ------
    ParameterError
        No such kind.
    NotFound
        No such class or token.
    InputError
        No logits, or NaN among them; a difference of a class to itself.
    """
    if kind not in KINDS:
        raise ParameterError(f"an explained number {kind!r}", "one of " + ", ".join(KINDS))
    z = at_position(logits, position)[0].detach().double().clone()
    for asked in (answer, against):
        if asked is not None and not 0 <= asked < len(z):
            raise NotFound(f"class {asked}", f"0 … {len(z) - 1}, the outputs of the network")
    if not bool(z.isfinite().any()) or bool(
        z.isnan().any()
    ):  # single ones may be -∞: answers that are shut out
        raise NotFinite(
            f"{int(z.isnan().sum())} of {len(z)} logits are NaN and {int(z.isinf().sum())} infinite",
            "finite logits", "Look for weights or inputs that are not finite",
        )  # fmt: skip
    answer = int(z.argmax()) if answer is None else int(answer)
    if kind in OF_TWO and against is None:
        z[answer] = -float("inf")
        against = int(z.argmax())
    if kind in OF_TWO and against == answer:
        one = f"The network has one output: explain its {LOGIT}" if len(z) == 1 else ""
        raise InputError(f"the {kind} of class {answer} to itself", "two classes", one)
    named = [names[c] if c is not None and c < len(names) else str(c) for c in (answer, against)]
    beside = {DIFFERENCE: f" less {named[1]}", SCORE: f" against {named[1]}"}.get(kind, "")
    words = f"{kind} of {named[0]}{beside}"
    return LogitTarget(kind, answer, against if kind in OF_TWO else None, position, words)
