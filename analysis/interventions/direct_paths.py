"""What each part of a transformer writes straight to the logits, with the scale of the last norm held as it is.

    stream = embedding + Σ_l (attention_l + MLP_l) ,   attention_l = Σ_h z_h W_h + bias
    norm(stream) = (stream - mean) / σ * γ + β   (no mean and no β for RMS norms), σ held
    logits = norm(stream) W + b

so that with σ held every logit is a sum over parts. Each step is compared with what the network gives, and a network
that is not built so is refused in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import (
    ATTENTION,
    HEADS,
    INPUT,
    MLPS,
    Component,
    NetworkParts,
    Place,
    Site,
)
from analysis.interventions.interventions import Cell
from analysis.interventions.many_targets import ManyTargets
from analysis.sources.hooked_run import modules_of

CLOSE = 2e-4  # of the largest value: what float32 leaves
EMBEDDING, BIASES = "embedding", "biases"


@dataclass(frozen=True)
class DirectPaths:
    """Of a run of n samples: `names` (m,) of parts, `written` (m, n, width) what each brings behind the norm, where the
    read-out reads; `weight` (classes, width). Sums of `written` times `weight` are the logits."""

    names: tuple[str, ...]
    written: object
    weight: object
    bias: object
    _reader: object

    def values(self, target: ManyTargets) -> np.ndarray:
        """(m, n): what each part adds to a logit, or a difference of two."""
        found = (self.written * self._asked(target)).sum(dim=-1)
        if self.bias is not None:
            found[-1] += self.bias[target.answer]
            if target.against is not None:
                found[-1] -= self.bias[target.against]
        return found.numpy()

    def removed(self, cell: Cell, caught, target: ManyTargets) -> np.ndarray:
        """(n,): what a cell takes from that number on the straight way; `caught` of the run as it is."""
        total = 0.0
        for e in cell:
            x = caught[e.site]
            change = self._reader.after(e.site, x) - self._reader.after(e.site, e.applied(x))
            total = total + (change * self._asked(target)).sum(dim=-1)
        return total.numpy()

    def _asked(self, target: ManyTargets):
        way = self.weight[target.answer]
        return way if target.against is None else way - self.weight[target.against]


def direct_parts(parts: NetworkParts) -> list[Component]:
    """Heads (attention where they are unknown) and MLPs, in the order in which they run."""
    found = parts.components(*(k for k in (HEADS if parts.heads else ATTENTION, MLPS) if k in parts.kinds))
    return sorted(found, key=lambda c: (c.layer, c.kind == MLPS, c.number))


def direct_paths(run: BatchRun, parts: NetworkParts, position: np.ndarray) -> DirectPaths:
    """Of the answers after token `position` (n,). Raises InputError where the network is not such a sum."""
    import torch

    if not parts.blocks or parts.read_out is None:
        raise InputError(
            f"{type(run.loaded.module).__name__} has no stream that blocks add to and a linear map reads",
            "a transformer with a linear head",
        )
    first = Component("", EMBEDDING, (Place(Site(parts.blocks[0], INPUT)),))
    own = [first, *direct_parts(parts)]
    ends = [Site(m, side) for m in (parts.norm, parts.read_out) if m for side in (INPUT, "output")]
    added = [Site(m) for m in (*parts.attention, *parts.mlps) if m]
    caught = run.caught([*(s for c in own for s in c.sites), *ends, *added, Site(parts.blocks[-1])])
    reader = _Reader(run, parts, caught, position)
    stream = caught[first.sites[0]].double() + sum(caught[s].double() for s in added)
    _refuse_other(stream, reader.stream, run.real(stream.shape[1]), "what the blocks pass on", "the sum of what its "
                  "embedding, attention and MLPs give")  # fmt: skip
    written = [reader.after(c.places[0].site, _only(caught[c.places[0].site], c.places[0])) for c in own]
    written.append(reader.shifts(caught))
    names = (EMBEDDING, *(c.name for c in own[1:]), BIASES)
    return DirectPaths(names, torch.stack(written), reader.weight, reader.bias, reader)


def _only(x, place: Place):
    """x with nothing but the units of a place."""
    import torch

    kept = torch.zeros_like(x)
    kept[..., place.start : place.stop] = x[..., place.start : place.stop]
    return kept


class _Reader:
    """The last norm with its scale held, where the read-out reads it."""

    def __init__(self, run: BatchRun, parts: NetworkParts, caught, position: np.ndarray) -> None:
        self._modules = modules_of(
            run.loaded.module, [m for m in (*parts.attention, parts.norm, parts.read_out) if m]
        )
        self._attention = {m for m in parts.attention if m}
        last = caught[Site(parts.blocks[-1])].double()
        normed = caught[Site(parts.norm, INPUT)].double() if parts.norm else last
        early = normed.shape[1] == 1 < last.shape[1]  # one token is taken, or a mean, and then the norm
        self.stream = last if early else normed
        given = caught[Site(parts.norm)].double() if parts.norm else last
        self._norm(parts, normed, given, run.real(given.shape[1]))
        read_out = self._modules[parts.read_out]
        self.weight = read_out.weight.detach().double()
        bias = getattr(read_out, "bias", None)
        self.bias = None if bias is None else bias.detach().double()
        read = caught[Site(parts.read_out, INPUT)].double()
        answers = read @ self.weight.T + (0.0 if self.bias is None else self.bias)
        logits = run.logits.double() if run.logits.ndim == 3 else run.logits.double()[:, None]
        _refuse_other(
            answers, logits, run.real(answers.shape[1]), "the logits", "what its last linear map gives"
        )
        if early:
            _refuse_other(
                read, given, run.real(1), "what the last linear map reads", "what the last norm gives"
            )
        self._at = _weights(*((last, normed) if early else (given, read)), run, position)

    def _norm(self, parts: NetworkParts, x, given, real) -> None:
        import torch

        module = self._modules.get(parts.norm)
        if module is None:
            self._centred, self._scale = False, torch.ones_like(x[..., :1])
            self._gain, self._shift = torch.ones(x.shape[-1], dtype=x.dtype), None
            return
        eps = float(getattr(module, "eps", None) or getattr(module, "variance_epsilon", None) or 0.0)
        self._gain, shift = module.weight.detach().double(), getattr(module, "bias", None)
        self._shift = None if shift is None else shift.detach().double()
        for self._centred in (True, False):
            y = x - x.mean(dim=-1, keepdim=True) if self._centred else x
            self._scale = ((y**2).mean(dim=-1, keepdim=True) + eps).sqrt()
            found = y / self._scale * self._gain + (0.0 if self._shift is None else self._shift)
            if _apart(found, given, real) <= CLOSE:
                return
        raise InputError(
            f"module '{parts.norm}' ({type(module).__name__}) is neither a layer norm nor an RMS norm",
            "one of them behind the blocks",
        )

    def after(self, site: Site, x):
        """(n, width): what x (n, tokens, units) at a site brings to where the read-out reads."""
        x = x.double()
        if site.side == INPUT and site.module in self._attention:
            x = x @ _matrix(self._modules[site.module])
        x = x - x.mean(dim=-1, keepdim=True) if self._centred else x
        return (x / self._scale * self._at[..., None]).sum(dim=1) * self._gain

    def shifts(self, caught):
        """The same of the biases behind attention heads, and of the norm's own."""
        import torch

        total = torch.zeros_like(self.stream)
        for name in sorted(self._attention):
            bias = getattr(self._modules[name], "bias", None)
            if bias is not None and Site(name, INPUT) in caught:
                total += bias.detach().double()
        found = self.after(Site(""), total)
        return found if self._shift is None else found + self._shift


def _matrix(module):
    """(in, out) of a linear map, whichever way it keeps its weight."""
    import torch

    weight = module.weight.detach().double()
    return weight.T if isinstance(module, torch.nn.Linear) else weight


def _weights(given, read, run: BatchRun, position: np.ndarray):
    """(n, tokens): how much of each token of `given`, the norm's output or the stream, is in `read`. Raises
    InputError."""
    import torch

    n, tokens = given.shape[:2]
    weights = torch.zeros((n, tokens), dtype=torch.float64)
    if read.shape == given.shape and run.logits.ndim == 3:
        weights[np.arange(n), position] = 1.0
        return weights
    for t in range(tokens):
        if read.shape[1] == 1 and _apart(given[:, t : t + 1], read, np.ones((n, 1), bool)) <= CLOSE:
            weights[:, t] = 1.0
            return weights
    real = torch.as_tensor(run.real(tokens)).double()
    mean = (given * real[..., None]).sum(dim=1, keepdim=True) / real.sum(dim=1)[:, None, None]
    if read.shape == mean.shape and _apart(mean, read, np.ones((n, 1), bool)) <= CLOSE:
        return real / real.sum(dim=1, keepdim=True)
    raise InputError(
        "what the last linear map reads is neither one token behind the last block nor their mean",
        "a head that reads the stream in a straight line",
    )


def _apart(a, b, real) -> float:
    if a.shape != b.shape:
        return float("inf")
    a, b = a[real], b[real]
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-300))


def _refuse_other(a, b, real, what: str, known: str) -> None:
    if _apart(a, b, real) > CLOSE:
        raise InputError(
            f"{what} is not {known}", "a transformer whose parts add up", "Use ablation or patching"
        )
