"""Whether the tokens of a sample become alike from stage to stage, on inputs as they are and on corrupted copies.

    effective rank    exp of the entropy of the singular values' shares of (T, d), not centred; of equal tokens 1
    mean cosine       of all pairs of tokens; of equal tokens 1

Stages are what stands in a network's lists of modules (blocks, stages). Corrupted copies are made of the prepared
inputs: noise, blur, less contrast; of a text tokens exchanged among its places. Without a network the rows of a sample
are read by attention without shortcuts again and again, which is known to make them alike. torch is imported when a
network is run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.spec import Progress
from analysis.tokens.mixers.own_grids import softmaxed
from analysis.tokens.mixers.reading import row_tokens
from analysis.tokens.subject import AUTOMATIC

NOISE, BLUR, CONTRAST = "noise", "blur", "less contrast"
KINDS = (NOISE, BLUR, CONTRAST)
READINGS, MOST = 3, 48  # of rows; stages
SIDE = 16.0  # of a picture's side, the width of a blur of strength 1


def effective_rank(x: np.ndarray) -> float:
    """exp of the entropy of the shares of the singular values of (T, d)."""
    values = np.linalg.svd(x, compute_uv=False)
    share = values / max(values.sum(), 1e-300)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def mean_cosine(x: np.ndarray) -> float:
    """Of all pairs of rows (T, d) that are not 0; 1 of a single one."""
    size = np.linalg.norm(x, axis=1)
    unit = x[size > 0] / size[size > 0, None]
    t = len(unit)
    return 1.0 if t < 2 else float((np.square(unit.sum(axis=0)).sum() - t) / (t * (t - 1)))


class NetworkStages:
    is_network = True

    def __init__(self, run) -> None:
        self.run, self.loaded, self.n = run, run.loaded, run.n
        self.what, self.notes = type(run.loaded.module).__name__, [run.note]
        listed = stages_of(run.loaded.module)
        found = self._ran(self._given(0), listed)
        listed = tuple(n for n, x in found.items() if min(x.shape) > 1)
        at = (
            np.unique(np.linspace(0, len(listed) - 1, min(MOST, len(listed))).round().astype(int))
            if listed
            else []
        )
        self.names = tuple(listed[i] for i in at)
        if len(self.names) < len(listed):
            self.notes.append(
                f"{MOST} of {len(listed)} stages are shown, evenly spread, the first and last of them."
            )
        self.of_words = only_words(self._given(0))
        if not self.names:
            raise InputError(f"{self.what} has no stages that give tokens", "lists of blocks or stages")

    def _given(self, k: int):
        return self.loaded.prepare(self.run.data.items(k, k + 1))

    def _ran(self, given, names) -> dict[str, np.ndarray]:
        """What these modules gave, in the order in which they ran."""
        from analysis.sources.hooked_run import hooked_run

        with hooked_run(self.loaded.module, names) as caught:
            self.loaded.call(self.loaded.module, given) if self.loaded.call else self.loaded.run(given)
        known = dict(self.loaded.module.named_modules())
        ran = sorted((n for n in names if n in caught), key=lambda n: caught.ran[n][0])
        return {n: tokens_of(caught[n], known[n]) for n in ran if caught[n].ndim in (3, 4)}

    def stages(self, k: int, kind: str, strength: float, rng) -> tuple[list, list]:
        """(L) arrays (T, d) of the k-th sample as it is, and of a corrupted copy."""
        given = self._given(k)
        copy = corrupted(given, kind, strength, rng)
        return tuple([found[n] for n in self.names] for found in
                     (self._ran(given, self.names), self._ran(copy, self.names)))  # fmt: skip


class RowStages:
    is_network = of_words = False

    def __init__(self, x: list[np.ndarray], name: str, notes) -> None:
        self.x, self.n, self.notes, self.what = x, len(x), list(notes), f"rows of {name}"
        self.names = ("rows", *(f"read {k + 1} x" for k in range(READINGS)))

    def stages(self, k: int, kind: str, strength: float, rng) -> tuple[list, list]:
        x = self.x[k]
        if kind == NOISE:
            other = x + strength * x.std() * rng.standard_normal(x.shape)
        elif kind == BLUR:
            other = (x + strength * np.roll(x, 1, axis=0)) / (1 + strength)
        else:
            other = x / (1 + strength)
        return _read(x), _read(other)


def _read(x: np.ndarray) -> list[np.ndarray]:
    out = [x]
    for _ in range(READINGS):
        y = out[-1]
        out.append(softmaxed(y @ y.T / np.sqrt(y.shape[1])) @ y)
    return out


def stages_of(module) -> list[str]:
    """Names of what stands in lists of modules, the outermost ones; of a network without lists its parts that have
    parts, or its layers."""
    import torch

    found: list[str] = []

    def walk(part, prefix: str, listed: bool) -> None:
        for name, child in part.named_children():
            own = f"{prefix}{name}"
            if isinstance(child, torch.nn.ModuleList):
                walk(child, f"{own}.", True)
            elif listed:
                found.append(own)
            else:
                walk(child, f"{own}.", False)

    walk(module, "", False)
    if not found:
        parts = [n for n, m in module.named_children() if next(m.children(), None) is not None]
        found = parts or [n for n, m in module.named_children() if next(m.parameters(), None) is not None]
    return found


def tokens_of(x, module) -> np.ndarray:
    """(T, d) of one sample's output (1, T, d), (1, C, H, W) or channels last, as its norms say."""
    import torch

    x = x.double().numpy()[0]
    if x.ndim == 3:
        norms = {m.normalized_shape[-1] for m in module.modules() if isinstance(m, torch.nn.LayerNorm)}
        filters = {m.out_channels for m in module.modules() if isinstance(m, torch.nn.Conv2d)}
        if x.shape[0] in filters or x.shape[-1] not in norms:
            x = np.moveaxis(x, 0, -1)
    return x.reshape(-1, x.shape[-1])


def only_words(given) -> bool:
    """Whether prepared inputs have nothing but numbers of words that could be corrupted."""
    import torch

    if not isinstance(given, Mapping):
        return not given.is_floating_point()
    return not any(isinstance(x, torch.Tensor) and x.is_floating_point() for x in given.values())


def corrupted(given, kind: str, strength: float, rng: np.random.Generator):
    """A copy of prepared inputs of one sample."""
    import torch

    if not isinstance(given, Mapping):
        return _worse(given, kind, strength, rng)
    out = dict(given)
    for name, x in given.items():
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            out[name] = _worse(x, kind, strength, rng)
        elif name == "input_ids":
            out[name] = _exchanged(x, strength, rng)
    return out


def _worse(x, kind: str, strength: float, rng):
    import torch
    from scipy.ndimage import gaussian_filter

    values = x.double().numpy()
    if kind == NOISE:
        values = values + strength * values.std() * rng.standard_normal(values.shape)
    elif kind == BLUR:
        flat = 2 if values.ndim >= 4 else 1
        wide = [0.0] * (values.ndim - flat) + [
            strength * s / SIDE for s in values.shape[values.ndim - flat :]
        ]
        values = gaussian_filter(values, wide)
    else:
        values = values.mean() + (values - values.mean()) / (1 + strength)
    return torch.from_numpy(np.ascontiguousarray(values)).to(x.dtype)


def _exchanged(ids, strength: float, rng):
    t = ids.shape[1]
    at = np.flatnonzero(rng.random(t) < min(0.25 * strength, 1.0))
    out = ids.clone()
    out[:, at.tolist()] = ids[:, rng.permutation(at).tolist()]
    return out


def stages(
    tap: Activations, maximum: int, rng: np.random.Generator, source: str, progress: Progress
) -> tuple[NetworkStages | RowStages, tuple[str, ...]]:
    """Raises NotEnoughData, InputError: too few samples; rows that are all alike."""
    why = ()
    if source == AUTOMATIC:
        from analysis.sources.rerun import rerun

        try:
            own = getattr(tap, "source", None)
            found = NetworkStages(rerun(tap if own is None else own(), maximum, partial=True, rng=rng))
            return found, tuple(found.notes)
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    rows = row_tokens(tap, maximum, rng, progress)
    if not max(np.abs(x).max() for x in rows.x) > 0:
        raise InputError(f"rows of {tap.name} that are all alike", "rows that differ")
    said = (
        f"The rows are read by attention without shortcuts {READINGS} times, which is known to make them alike.",
    )
    return RowStages(rows.x, tap.name, ()), (*why, *rows.notes, *said)
