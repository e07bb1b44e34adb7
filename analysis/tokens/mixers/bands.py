"""A network whose input bands (channels of an image, columns of a table) are taken away one at a time.

A band is taken away by putting its mean over the samples in its place, or what another sample has. Many bands go in
groups of neighbours. Without a network the units of a tap are bands, and what is left of a row is its embedding.
torch is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.spec import Progress
from analysis.tokens.mixers.alone import answer_of
from analysis.tokens.mixers.reading import row_tokens
from analysis.tokens.subject import AUTOMATIC

MEAN, OTHER = "its mean over samples", "what another sample has"
WAYS = (MEAN, OTHER)


class NetworkBands:
    """`values` (n, bands, …) prepared inputs of all samples; `facts` of the network's configuration."""

    is_network, feature_name = True, "the feature"

    def __init__(self, run, tap: str) -> None:
        import torch

        self.run, self.loaded, self.n = run, run.loaded, run.n
        self.what, self.notes = type(run.loaded.module).__name__, (run.note,)
        config = getattr(run.loaded.module, "config", None)
        self.facts = vars(config) if config is not None else {}
        self.tap = tap if tap in dict(run.loaded.module.named_modules()) else ""
        given = [run.loaded.prepare(run.data.items(k, k + 1)) for k in range(run.n)]
        self.given = given
        self.key = _key(given[0])
        found = [g if self.key is None else g[self.key] for g in given]
        if len({tuple(x.shape) for x in found}) != 1:
            raise InputError("inputs of different sizes", "inputs of one size, whose bands can be averaged")
        self.values = torch.cat(found).double().numpy()
        self.classifies = run.loaded.classifies

    def passed(self, k: int, values: np.ndarray) -> list[np.ndarray]:
        """[answer, feature] of the k-th sample with other input values."""
        import torch

        from analysis.sources.hooked_run import hooked_run

        own = self.given[k] if self.key is None else self.given[k][self.key]
        x = torch.from_numpy(np.ascontiguousarray(values[None])).to(own.dtype)
        given = x if self.key is None else {**self.given[k], self.key: x}
        names = [self.tap] if self.tap else []
        with hooked_run(self.loaded.module, names) as caught:
            raw = self.loaded.call(self.loaded.module, given) if self.loaded.call else self.loaded.run(given)
        answer = answer_of(self.loaded, raw)
        out = [answer - answer.mean() if self.classifies else answer]
        return [*out, caught[self.tap].double().numpy()] if self.tap else out


def _key(given) -> str | None:
    """Which of the prepared inputs has bands. Raises InputError where none has two."""
    import torch

    if isinstance(given, Mapping):
        for name, x in given.items():
            if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim in (2, 4) and x.shape[1] > 1:
                return name
    elif given.is_floating_point() and given.ndim in (2, 4) and given.shape[1] > 1:
        return None
    raise InputError(
        "inputs of a single channel, or of words", "images of two channels or more, or a table",
        "Ask it of a network that reads several bands",
    )  # fmt: skip


class RowBands:
    is_network, classifies, feature_name, tap, facts = False, False, "the row", "rows", {}

    def __init__(self, values: np.ndarray, name: str, notes=()) -> None:
        self.values, self.n, self.notes, self.what = values, len(values), notes, f"rows of {name}"

    def passed(self, k: int, values: np.ndarray) -> list[np.ndarray]:
        return [values]


def groups(count: int, most: int) -> list[np.ndarray]:
    """Bands in at most so many groups of neighbours."""
    return np.array_split(np.arange(count), min(count, most))


def without(values: np.ndarray, k: int, bands: np.ndarray, way: str, other: int) -> np.ndarray:
    """Of the k-th sample of (n, bands, …) with some bands taken away."""
    out = values[k].copy()
    if way == OTHER:
        out[bands] = values[other][bands]
    else:
        out[bands] = values[:, bands].mean(axis=(0, *range(2, values.ndim)), keepdims=True)[0]
    return out


def as_much(own: np.ndarray, less: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`own` with random numbers added in all bands, together as long as what was taken away."""
    noise = rng.standard_normal(own.shape)
    return own + noise / np.linalg.norm(noise) * np.linalg.norm(less - own)


def bands_of(
    tap: Activations, maximum: int, rng: np.random.Generator, source: str, progress: Progress
) -> tuple[NetworkBands | RowBands, tuple[str, ...]]:
    """Raises NotEnoughData, InputError: too few samples; a single band; rows that are all alike."""
    why = ()
    if source == AUTOMATIC:
        from analysis.sources.rerun import rerun

        try:
            own = getattr(tap, "source", None)
            own = tap if own is None else own()
            found = NetworkBands(
                rerun(own, maximum, partial=True, rng=rng), own.name.partition(":")[2] or own.name
            )
            return found, found.notes
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    rows = row_tokens(tap, maximum, rng, progress)
    x = np.stack([one.mean(axis=0) for one in rows.x]) if not tap.layout.is_pooled else np.vstack(rows.x)
    if x.shape[1] < 2 or not np.abs(x - x.mean(axis=0)).max() > 0:
        raise InputError(f"rows of {tap.name} of one unit, or all alike", "two units or more that differ")
    said = ("The units of the tap stand for bands, and the row for its embedding; no network is in it.",)
    return RowBands(x, tap.name), (*why, *rows.notes, *said)
