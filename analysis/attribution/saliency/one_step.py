"""NormGrad after one step of learning: which places matter to a network that has just been taught this answer.

    θ' = θ - ε ∇_θ ℓ(x; θ) ,   ℓ = -log p of the explained answer,   then ‖g_u‖ ‖x_u‖ with the slopes g at θ'

The step teaches the very answer that the map is about, so that maps of two answers stand on two networks: the authors
found maps to hang more on the answer. As in their code the step itself is not derived (first order), and layers before
the site stay as they are, so that what stands at the site is the sample's own. All parameters behind the site take the
step, in a copy; the network keeps its own. Of a number that is no answer of a classifier the step raises that number.

ε is 0.01 for every map, and what the loss did is told. Where the network is already sure of the answer there is
nothing to learn and the map hardly moves; a longer step tells two answers better apart and explains a network that is
less and less the one that was trained.

Cost: five passes and a copy of the parameters.

References: S.-A. Rebuffi, R. Fong, X. Ji & A. Vedaldi (2020), "There and back again: revisiting backpropagation
saliency methods".
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from analysis.attribution.saliency.norm_grad import PAPER
from analysis.attribution.saliency.slopes import norm_grad
from analysis.attribution.saliency.way import Question, SaliencyMap, Way
from analysis.attribution.targets import LOSS, LogitTarget, Target
from analysis.errors import InputError

STEP = 0.01  # ε


@dataclass(frozen=True)
class Lowered:
    """A number that is no answer of a classifier, with its sign turned, as a loss."""

    target: Target

    @property
    def catch(self) -> tuple[str, ...]:
        return self.target.catch

    @property
    def words(self) -> str:
        return self.target.words

    def of(self, logits, caught):
        return -self.target.of(logits, caught)


def loss_of(target: Target) -> Target:
    return replace(target, kind=LOSS, against=None) if isinstance(target, LogitTarget) else Lowered(target)


def after_a_step(question: Question, length: float = STEP) -> tuple[Question, float, float]:
    """The question put to the network after one step of that length, and the loss before and after. Raises InputError
    where no parameter behind the site moves the loss."""
    import torch

    run, loss = question.run, loss_of(question.target)
    own = copy.deepcopy(run.loaded.module)
    taught = run.in_network(own)
    known = [p.requires_grad_(True) for p in own.parameters() if p.is_floating_point()]
    with torch.enable_grad():
        before = taught.values(run.clean[None], loss, gradients=True).sum()
        found = (
            torch.autograd.grad(before, known, allow_unused=True) if known and before.requires_grad else ()
        )
    moved = [(p, g) for p, g in zip(known, found, strict=bool(found)) if g is not None]
    size = sum(float((g.double() ** 2).sum()) for _, g in moved)
    if not (0 < size < float("inf")):
        raise InputError(
            f"no parameter behind {run.site} has a finite slope of {question.target.words or 'the answer'}",
            "layers that can learn behind the site", "Take NormGrad without a step, or an earlier site",
        )  # fmt: skip
    with torch.no_grad():
        for p, g in moved:
            p -= length * g
    after = float(taught.values(run.clean[None], loss).double().sum())
    return replace(question, run=taught), float(before.detach().double()), after


def norm_grad_after_a_step(question: Question) -> SaliencyMap:
    taught, before, after = after_a_step(question)
    note = f"One step of length {STEP:g} changed the loss of the answer from {before:.3g} to {after:.3g}."
    return SaliencyMap(norm_grad(taught).values, 5, notes=(note,))


WAYS = (
    Way("NormGrad after a step", "NormGrad of the network after one step of learning this answer.",
        norm_grad_after_a_step, lambda *_: 5, signed=False, paper=PAPER),
)  # fmt: skip
