"""JumpReLU: every latent has a threshold of its own, and it is learned.

    c = p where p > θ, else 0;   loss = |z - ẑ|² + λ Σ H(p - θ),   H the step function
    with a target L0:  (mean L0 / target - 1)²  instead of the price

Neither jump has a gradient in θ, so both get one from the p that lie within ε / 2 of it (ε the bandwidth):

    ∂c/∂θ = -(θ/ε) [|p - θ| < ε/2],   ∂H/∂θ = -(1/ε) [|p - θ| < ε/2];   p has its gradient through c alone

Rajamanoharan et al. 2024, "Jumping ahead". θ itself is the parameter, held at 0 or above: its logarithm moves by one
learning rate a step whatever its size, which is next to nothing. Everything is float32: in bfloat16 a step is lost in
rounding. A latent whose threshold lies above all its p is dead and only the auxiliary loss can move it.

Adam moves θ by at most the learning rate a step, so that a short training cannot reach a target far from where it
started, while features form and their p change by as much. With a target all θ are, for the first fifth of the
training, where so many p of the batch lie above them, as in BatchTopK; then each learns its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, SparseDictionary
from analysis.spec import param

RISE = 0.1  # share of the training over which λ rises
FOLLOW = 0.2  # share of the training in which all thresholds follow a target
MISSED = 0.1  # of the target: as far off it is said


@dataclass(frozen=True)
class JumpReluParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    penalty: float = param(
        0.01,
        "λ: what an active code costs, where an unexplained row costs 1; larger is sparser",
        low=0.0,
        high=10.0,
    )
    target: float | None = param(
        None, "Active features in a row to aim at instead of a price for each; λ is then not used",
        label="target L0", low=0.1,
    )  # fmt: skip
    bandwidth: float = param(
        0.03, "ε: how near its threshold a pre-activation must be to move it (rows have length 1 on average)",
        low=1e-5, high=1.0,
    )  # fmt: skip
    threshold: float = param(0.01, "θ at the start", low=0.0, high=10.0)


def _functions():
    """JumpReLU and step with their gradients, made when torch is there."""
    import torch

    class Jump(torch.autograd.Function):
        @staticmethod
        def forward(context, p, threshold, bandwidth):
            context.save_for_backward(p, threshold)
            context.bandwidth = bandwidth
            return p * (p > threshold)

        @staticmethod
        def backward(context, above):
            p, threshold = context.saved_tensors
            near = ((p - threshold).abs() < context.bandwidth / 2).to(p.dtype)
            to_threshold = -(threshold / context.bandwidth) * (near * above).sum(dim=0)
            return above * (p > threshold), to_threshold, None

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(context, p, threshold, bandwidth):
            context.save_for_backward(p, threshold)
            context.bandwidth = bandwidth
            return (p > threshold).to(p.dtype)

        @staticmethod
        def backward(context, above):
            p, threshold = context.saved_tensors
            near = ((p - threshold).abs() < context.bandwidth / 2).to(p.dtype)
            return None, -(near * above).sum(dim=0) / context.bandwidth, None

    return Jump.apply, Step.apply


class JumpRelu(SparseDictionary):
    """The dictionary under training."""

    rule = rules.JUMP

    def __init__(self, params, n_units, rng) -> None:
        import torch

        super().__init__(params, n_units, rng)
        first = np.full(self.n_latents, params.threshold, np.float32)
        self.weights["threshold"] = torch.tensor(first, requires_grad=True)
        self._jump, self._step = _functions()
        self._next: float | None = None

    def begin(self, rows) -> None:
        import torch

        if self.params.target is not None:
            with torch.no_grad():
                self.weights["threshold"].fill_(self._asked_for(self.products(rows())))

    def _asked_for(self, p) -> float:
        """The threshold that as many of `p` (n, k) lie above as the target asks for."""
        flat = p.detach().numpy().ravel()
        most = min(flat.size - 1, round(self.params.target * len(p)))
        return max(0.0, float(np.partition(flat, flat.size - 1 - most)[flat.size - 1 - most]))

    def caveats(self, about) -> list[str]:
        target, l0 = self.params.target, about["held_out"]["l0"]
        if target is None or abs(l0 - target) <= MISSED * target:
            return []
        return [
            f"{l0:.1f} features are active in a held-out row, and {target:g} were asked for. A threshold moves by at "
            "most the learning rate a step: train for more steps, or with a higher rate."
        ]

    def codes(self, z, p):
        return self._jump(p, self.weights["threshold"], self.params.bandwidth)

    def penalties(self, p, codes, step, share):
        active = self._step(p, self.weights["threshold"], self.params.bandwidth).sum(dim=1).mean()
        rise, target = min(1.0, share / RISE), self.params.target
        self._next = self._asked_for(p) if target is not None and p.requires_grad and share < FOLLOW else None
        if target is not None:
            return {"penalty": rise * (active / target - 1) ** 2}
        return {"penalty": rise * self.params.penalty * active}

    def after_step(self, codes) -> None:
        import torch

        super().after_step(codes)
        with torch.no_grad():
            self.weights["threshold"].clamp_(min=0)
            if self._next is not None:
                self.weights["threshold"].fill_(self._next)

    def settings(self) -> dict:
        return {"threshold": self.array("threshold")}


ARCHITECTURE = Architecture(
    "jump_relu", "JumpReLU", "Every feature learns the threshold above which it speaks", JumpReluParams, JumpRelu,
    "penalty", 1, ("Jumping ahead: Improving reconstruction fidelity with JumpReLU sparse autoencoders",),
    words="A feature fires where its product with the row exceeds a threshold of its own, and then with its "
    "full size. What is made small is the squared distance plus λ for every feature that fires, whatever "
    "its size",
)  # fmt: skip
