"""Running the network of a store again on its data, with other weights: what a change of weights costs.

Only networks that need no code of their own are opened (Hugging Face directories, described networks), from the very
files and data that the store was recorded from, both verified by their digests. Where not all samples are run, a random
part of them is: the first ones of data sorted by class are of one class. torch is imported when a network is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.arrays import chosen_samples
from analysis.errors import InputError, NotFound
from analysis.sources.hooked_run import model_lock
from analysis.sources.weights import NetworkWeights, refuse_code, weights_of

BATCH = 32
RAN = "The network was run on "  # as every note on it begins


@dataclass(frozen=True)
class Measured:
    """`loss` (n,) of each sample, `correct` (n,) the share of right answers (0 or 1 for classes, of next tokens for
    language models); NaN where neither is known."""

    loss: np.ndarray
    correct: np.ndarray


@dataclass
class Rerun:
    """A network in memory with the samples it was recorded on: `samples` (n,) of the `total` of the store, rising.
    `labels` (n,) are theirs, and `data.items` counts them from 0. `seed` of their choice, where one says it."""

    loaded: object
    data: object
    labels: np.ndarray | None
    samples: np.ndarray
    total: int
    seed: int | None = None
    original: dict[str, np.ndarray] = field(repr=False, default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.samples)

    @property
    def note(self) -> str:
        """On how many samples it runs, in a sentence."""
        if self.n == self.total:
            return f"{RAN}all {self.n:,} samples that were recorded."
        seed = "" if self.seed is None else f" (seed {self.seed})"
        return f"{RAN}a random {self.n:,} of {self.total:,} samples that were recorded{seed}."

    @property
    def heads(self) -> int:
        """Attention heads of a layer, as config.json says; 0 where it does not."""
        config = getattr(self.loaded.module, "config", None)
        return int(getattr(config, "num_attention_heads", None) or getattr(config, "n_head", None) or 0)

    def weights(self) -> dict[str, np.ndarray]:
        """Every floating parameter and buffer by name, as the network has it in memory."""
        return {k: v.copy() for k, v in self.original.items()}

    def name_of(self, values: np.ndarray) -> tuple[str, bool]:
        """The one parameter that holds these values, and whether it holds them transposed. Names differ between a
        file and the network that transformers builds from it. Raises NotFound."""
        found = []
        for name, own in self.original.items():
            if own.ndim == values.ndim and sorted(own.shape) == sorted(values.shape):
                for turned in (False, True) if own.ndim == 2 else (False,):
                    other = values.T if turned else values
                    if own.shape == other.shape and np.array_equal(own, other.astype(own.dtype)):
                        found.append((name, turned))
        if len({name for name, _ in found}) != 1:
            raise NotFound(
                f"{len(found)} parameters of {type(self.loaded.module).__name__} hold this layer's weights",
                "one",
            )
        return found[0]

    def measure(self, changed: Mapping[str, np.ndarray] | None = None) -> Measured:
        """Loss and answers on all samples with some parameters changed; the network is as before afterwards."""
        import torch

        changed = dict(changed or {})
        with model_lock(self.loaded.module):
            try:
                self._put(changed)
                with torch.inference_mode():
                    parts = [self._batch(i, min(i + BATCH, self.n)) for i in range(0, self.n, BATCH)]
            finally:
                self._put({name: self.original[name] for name in changed})
        return Measured(*(np.concatenate(p) for p in zip(*parts, strict=True)))

    def _put(self, values: Mapping[str, np.ndarray]) -> None:
        import torch

        state = self.loaded.module.state_dict()
        with torch.no_grad():
            for name, value in values.items():
                state[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def _batch(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        inputs = self.loaded.prepare(self.data.items(start, stop))
        labels = None if self.labels is None else self.labels[start:stop]
        out = self.loaded.forward(inputs, labels)
        none = np.full(stop - start, np.nan)
        loss = none if out.loss is None else np.asarray(out.loss, dtype=np.float64)
        if out.token_predicted is not None:
            return loss, _right_tokens(out, inputs)
        if out.predicted is None or labels is None:
            return loss, none
        return loss, np.where(labels >= 0, np.asarray(out.predicted) == labels, np.nan)


@dataclass(frozen=True)
class SomeItems:
    """Some of the samples of a data source, `at` (n,) their places in it."""

    whole: object
    at: np.ndarray

    def items(self, start: int, stop: int) -> list:
        at, found = self.at[start:stop], []
        for part in np.split(at, np.flatnonzero(np.diff(at) != 1) + 1):  # neighbours in one reading
            found += self.whole.items(int(part[0]), int(part[-1]) + 1) if len(part) else []
        return found


def _told(rng: np.random.Generator) -> int | None:
    """The seed of `rng` where it is one that a person gave."""
    seed = rng.bit_generator.seed_seq
    small = isinstance(seed.entropy, int) and seed.entropy < 2**32 and not seed.spawn_key
    return int(seed.entropy) if small else None


def rerun(activations, maximum: int, partial: bool = False, rng: np.random.Generator | None = None) -> Rerun:
    """The network of a stored tap, with at most `maximum` of its samples: all, or a random part (`chosen_samples`; of
    seed 0 without `rng`).

    `partial`: a store that does not say how its data were opened may have been recorded from some of them, found by
    their ids and the digests of their files.

    Raises
    ------
    InputError, NotFound
        Not recorded from files that need no code; files or data that are gone or have changed.
    """
    network = weights_of(activations)
    store, entry = activations.store, activations.store.manifest.get("data") or {}
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    refuse_code(network, activations.name)

    if not entry.get("path"):
        raise InputError(f"{activations.name} does not say which data it was recorded on", "a path to them")
    data = open_data(entry["path"], **(entry.get("options") or {"kind": entry.get("kind")}))
    rng = rng or np.random.default_rng(0)
    samples = chosen_samples(store.n_samples, maximum, rng)
    at = _places(data, store, samples, entry.get("digest"), partial)
    if at is None:
        raise InputError(
            f"the data at {entry['path']} are not what {activations.name} was recorded on, or were opened with other "
            "settings",
            "the same samples in the same order",
        )  # fmt: skip
    loaded = open_checkpoint(network.path).load()
    loaded.module.eval()
    labels = None if store.class_index is None else np.asarray(store.class_index, dtype=np.int64)[samples]
    state = {k: v.detach().cpu().numpy().copy() for k, v in loaded.module.state_dict().items()
             if v.is_floating_point()}  # fmt: skip
    return Rerun(loaded, SomeItems(data, at), labels, samples, store.n_samples, _told(rng), state)


def _places(data, store, samples: np.ndarray, digest: str | None, partial: bool) -> np.ndarray | None:
    """Where these samples are in the data, (n,); None where one is missing, or is not known to be the same."""
    ids, given = np.asarray(store.samples["id"]).astype(str)[samples], np.asarray(data.ids).astype(str)
    if data.digest == digest and samples.max(initial=-1) < len(given) and np.array_equal(ids, given[samples]):
        return samples
    if not partial or "media_digest" not in store.samples:
        return None
    place, kept = {id: i for i, id in enumerate(given)}, np.asarray(store.samples["media_digest"])[samples]
    at = np.array([place.get(id, -1) for id in ids])
    if (at < 0).any() or any(not k or data.media_digest(int(i)) != k for i, k in zip(at, kept, strict=True)):
        return None
    return at


def of_one(notes: Iterable[str], sample: int, others: int = 0) -> tuple[str, ...]:
    """Notes on a network of which one sample was run, and so many `others`, though more were opened."""
    more = f", and on {others:,} other(s) for numbers over samples" if others else ""
    return tuple(f"{RAN}sample {sample}{more}." if n.startswith(RAN) else n for n in notes)


def reading_weight(run: Rerun, network: NetworkWeights, reader: str) -> tuple[str, np.ndarray, int]:
    """The parameter in memory that is the weight of a layer of the file, its values, and the axis of what it reads."""
    name, turned = run.name_of(network.tensor(f"{reader}.weight"))
    return name, run.original[name], network.input_axis(reader) ^ int(turned)


def _right_tokens(out, inputs) -> np.ndarray:
    """(b,) share of the tokens after the first that were guessed, padding left out."""
    given = np.asarray(inputs["input_ids"])[:, 1:]
    right = np.asarray(out.token_predicted)[:, :-1] == given
    counted = np.isfinite(np.asarray(out.token_loss, dtype=np.float64))[:, 1:]
    return (right & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
