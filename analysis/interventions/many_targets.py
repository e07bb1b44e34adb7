"""The number of each sample's answer that is looked at, of many samples at once: as `analysis.attribution.targets`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.attribution import targets
from analysis.errors import InputError
from analysis.interventions.batch_run import BatchRun


@dataclass(frozen=True)
class ManyTargets:
    """Of n samples `answer` (n,), for a difference or score `against` (n,); where there are logits `by_token`, those
    after token `position` (n,)."""

    kind: str
    answer: np.ndarray
    against: np.ndarray | None
    position: np.ndarray
    words: str = ""
    by_token: bool = False

    def some(self, at: np.ndarray) -> ManyTargets:
        """Of the samples at these places."""
        against = None if self.against is None else self.against[at]
        return replace(self, answer=self.answer[at], against=against, position=self.position[at])

    def read(self, logits):
        """(…, n, classes) float64 of the same, after each sample's token."""
        z = logits[..., np.arange(len(self.answer)), self.position, :] if self.by_token else logits
        return z.double()

    def of(self, logits):
        """(…, n) float64 tensor of logits (…, n, classes) or (…, n, tokens, words)."""
        import torch

        z, each = self.read(logits), np.arange(len(self.answer))
        own = z[..., each, self.answer]
        if self.kind == targets.LOGIT:
            return own
        if self.kind in targets.OF_TWO:
            apart = own - z[..., each, self.against]
            return apart if self.kind == targets.DIFFERENCE else torch.sigmoid(apart)
        log_p = own - torch.logsumexp(z, dim=-1)
        return log_p if self.kind == targets.LOG_PROBABILITY else -log_p


def many_targets(
    run: BatchRun, kind: str = targets.LOGIT, answer: int | np.ndarray | None = None,
    against: int | np.ndarray | None = None, names=(),
) -> ManyTargets:  # fmt: skip
    """Of each sample of the run as it is, at its last token where there are tokens. Without `answer`, `against` the
    likeliest, and the likeliest other one. Raises as `analysis.attribution.targets.logit_target`."""
    if run.logits is None:
        raise InputError("the network gives no logits", "a network with a head")
    n, last, logits = run.n, run.last, run.logits
    given = [np.broadcast_to(np.asarray(-1 if a is None else a), (n,)) for a in (answer, against)]
    own = [
        targets.logit_target(logits[i : i + 1], kind, *(None if g[i] < 0 and a is None else int(g[i])
               for g, a in zip(given, (answer, against), strict=True)), int(last[i]), names)
        for i in range(n)
    ]  # fmt: skip
    answers = np.array([t.answer for t in own])
    others = np.array([t.against for t in own]) if kind in targets.OF_TWO else None
    words = own[0].words if n == 1 else kind
    return ManyTargets(kind, answers, others, last, words, logits.ndim == 3)
