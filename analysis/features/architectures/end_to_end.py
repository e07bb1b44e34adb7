"""End to end: features that keep what the network answers, not what the activations were.

    c = max(p, 0);   ẑ is put into the network in the place of z, which then answers q̂ and at later taps has â
    local                     loss = |z - ẑ|² + λ Σ c
    end to end                loss = KL(q ‖ q̂) + λ Σ c
    end to end + downstream   loss = KL(q ‖ q̂) + λ Σ c + δ mean over later taps of |a - â|² / |a - mean a|²

Braun et al. 2024, "Identifying functionally important features with end-to-end sparse dictionary learning". KL in
nats, of a sample or of a token that is not padding, on average. Needs the network itself, opened again from the files
and data that the store names, or handed over from Python, and a tap that was recorded token by token. Costs two runs
of the network and one backward for every batch.

End to end may go another way through the network: little KL beside later taps that are far off. Always read both:
`end_to_end` in the description has, on held-out samples, the KL, that with every row replaced by the mean (the KL of
knowing nothing of the tap), and the unexplained share of every later tap. Explained variance of the tap itself may
be low: nothing but the first objective asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.moments import UnitMoments
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, Parts, SparseDictionary
from analysis.features.architectures.relu import RISE
from analysis.spec import param

LOCAL, ANSWERS, DOWNSTREAM = "local", "end to end", "end to end + downstream"


@dataclass(frozen=True)
class EndToEndParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    penalty: float = param(
        0.05, "λ: what a code of 1 costs, beside nats of divergence; larger is sparser", low=0.0, high=1e3
    )
    objective: str = param(
        DOWNSTREAM, "What must be kept: the tap, the answers, or the answers and what later taps have",
        choices=(LOCAL, ANSWERS, DOWNSTREAM), label="must keep",
    )  # fmt: skip
    downstream: float = param(1.0, "δ: what an unexplained later tap costs", low=0.0, high=1e3)
    later: str = param(
        "", "Later taps, with commas between them; empty: all that the store recorded after this one",
        label="later taps",
    )  # fmt: skip


def later_names(params: EndToEndParams) -> list[str]:
    return [name.strip() for name in params.later.split(",") if name.strip()]


class EndToEnd(SparseDictionary):
    """The dictionary under training: a batch is of sample numbers, whose rows the network gives."""

    rule = rules.RELU

    def attach(self, stream, live) -> None:
        """`live` : analysis.sources.live_tap.LiveTap; `stream` knows the mean and scale of the tap."""
        import torch

        live.refuse_others(stream.activations)
        self.live, self.scale = live, stream.scale
        self.mean = torch.from_numpy(stream.mean.astype(np.float32))
        if self.params.objective == DOWNSTREAM and self.params.downstream:
            later = live.clean(stream.held_at[:1])[1].later
            if not later:
                raise InputError(
                    f"no tap after '{live.module}' to compare", "later taps that run after it",
                    "Name some, or choose 'end to end'",
                )  # fmt: skip

    def codes(self, z, p):
        return p.relu()

    def rows_of(self, clean):
        """z (n, d) of what the network gave."""
        return (clean.rows.float() - self.mean) * self.scale

    def spliced(self, inputs, z_hat):
        """What the network gives with ẑ (n, d) in place."""
        return self.live.spliced(inputs, z_hat / self.scale + self.mean)

    def loss(self, samples, dead=None, auxiliary=0.0, step=0, share=1.0):
        inputs, clean = self.live.clean(samples.numpy())
        z = self.rows_of(clean)
        p = self.products(z)
        codes = self.codes(z, p)
        rebuilt = self.decoded(codes)
        left = z - rebuilt
        price = self.params.penalty * min(1.0, share / RISE) * codes.sum(dim=1).mean()
        parts = {"unexplained": (left**2).sum(dim=1).mean(), "penalty": price}
        kept = ["unexplained"]
        if self.params.objective != LOCAL:
            spliced = self.spliced(inputs, rebuilt)
            parts["divergence"], kept = divergence(clean.logits, spliced.logits), ["divergence"]
            if self.params.objective == DOWNSTREAM and self.params.downstream:
                off = unexplained(clean.later, spliced.later)
                parts["downstream"] = self.params.downstream * sum(off.values()) / len(off)
                kept.append("downstream")
        total = sum(parts[name] for name in (*kept, "penalty"))
        if dead is not None and auxiliary and bool(dead.any()):
            parts["auxiliary"] = self._auxiliary(p, left.detach(), dead)
            total = total + auxiliary * parts["auxiliary"]
        return Parts(total, parts, codes.detach())

    def facts(self, parts: Sequence) -> dict:
        import torch

        n, sums, off = 0, np.zeros(2), LaterErrors()
        with torch.no_grad():
            for samples in parts:
                inputs, clean = self.live.clean(samples.numpy())
                z = self.rows_of(clean)
                spliced = self.spliced(inputs, self.decoded(self.codes(z, self.products(z))))
                mean = self.spliced(inputs, torch.zeros_like(z))
                m = len(clean.logits)
                sums += [m * float(divergence(clean.logits, one.logits)) for one in (spliced, mean)]
                off.add(clean.later, spliced.later)
                n += m
        kl, of_mean = (sums / n).tolist()
        found = {"divergence": kl, "divergence_of_mean": of_mean, "later_unexplained": off.shares}
        return {"end_to_end": found}


class LaterErrors:
    """|a - â|² / |a - mean a|² of later taps over all batches, the mean being that of all: not a mean of ratios."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}
        self._seen: dict[str, UnitMoments] = {}

    def add(self, clean: dict, spliced: dict) -> None:
        """Rows (n, e) of each later module, by name."""
        for name, a in clean.items():
            part = UnitMoments.of(a.detach().numpy())
            self._seen[name] = self._seen[name].merge(part) if name in self._seen else part
            left = float(((a.detach().double() - spliced[name].double()) ** 2).sum())
            self._left[name] = self._left.get(name, 0.0) + left

    @property
    def shares(self) -> dict[str, float]:
        return {n: left / max(float(self._seen[n].m2.sum()), 1e-300) for n, left in self._left.items()}


def divergence(logits, others):
    """KL(q ‖ q̂) in nats of logits (n, c), a row on average."""
    import torch

    right, found = (torch.log_softmax(one.float(), dim=1) for one in (logits, others))
    return (right.exp() * (right - found)).sum(dim=1).mean()


def unexplained(clean: dict, spliced: dict) -> dict:
    """|a - â|² / |a - mean a|² of the rows of each later module, by name."""
    found = {}
    for name, a in clean.items():
        a = a.detach().float()
        size = ((a - a.mean(dim=0)) ** 2).sum().clamp_min(1e-30)
        found[name] = ((a - spliced[name].float()) ** 2).sum() / size
    return found


ARCHITECTURE = Architecture(
    "end_to_end", "End to end", "Features that keep what the network answers", EndToEndParams, EndToEnd, "penalty", 1,
    ("End-to-end sparse dictionary learning (e2e SAE)",), live=True,
    words="The sum of the features is put into the network in the place of the row. What is made small is how far its "
    "answers, and where asked its later taps, go from what they were, plus λ times the sum of the codes",
)  # fmt: skip
