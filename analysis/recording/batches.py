"""One batch: data in, forward pass under the hooks, and out come the rows and columns to be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.recording.columns import sample_columns
from analysis.recording.hooks import Captured, Taps
from analysis.recording.layout import to_tokens
from analysis.recording.padding import Padding
from analysis.recording.plan import Plan
from analysis.recording.pooling import pool
from analysis.recording.tap_info import LOGITS
from analysis.store.writer import StoreWriter, TapBlock


@dataclass
class Batch:
    """What `StoreWriter.append` takes, for samples start … stop."""

    start: int
    stop: int
    samples: dict[str, Sequence]
    taps: dict[str, TapBlock]
    class_index: np.ndarray | None
    thumbnails: list[bytes] | None
    tokens: list[list[str]] | None

    def append_to(self, writer: StoreWriter) -> None:
        writer.append(
            self.samples, self.taps, class_index=self.class_index, thumbnails=self.thumbnails, tokens=self.tokens
        )  # fmt: skip

    @property
    def n_bytes(self) -> int:
        """Bytes of the sample columns, thumbnails and token texts, roughly as they are kept."""
        columns = sum(len(str(v)) for column in self.samples.values() for v in column)
        pictures = sum(len(t) for t in self.thumbnails or () if t)
        return columns + pictures + sum(len(w) + 3 for text in self.tokens or () for w in text)


def run_batch(loaded, data, plan: Plan, taps: Taps, start: int, stop: int, *, seed: int = 0) -> Batch:
    """Forward samples start … stop through the network whose hooks are `taps`.

    Randomness inside the network (there should be none in eval mode) is seeded per batch, so that a resumed
    recording draws what an uninterrupted one would have drawn.
    """
    import torch

    items = data.items(start, stop)
    inputs = loaded.prepare(items)
    labels = None if data.labels is None else plan.classes.classes(data.labels[start:stop])
    padding = Padding.of(loaded, inputs)
    taps.padding = padding
    with _seeded(loaded.module, seed + start), torch.inference_mode():
        outputs = _forward(loaded, inputs, labels, f"samples {start} to {stop - 1} ({data.ids[start]}, …)")
        captured = taps.take() | _from_outputs(plan, outputs, padding)
    texts = loaded.tokens(items) if data.kind == "text" else None
    return Batch(
        start, stop, sample_columns(loaded, data, plan.classes, outputs, items, start, stop),
        {name: _block(kept) for name, kept in captured.items()}, labels, data.thumbnails(start, stop), texts,
    )  # fmt: skip


@contextlib.contextmanager
def _seeded(module, seed: int) -> Iterator[None]:
    """Seed the generators that this network can draw from, and put them back as they were. (`torch.manual_seed` would
    seed every device, for good.)"""
    import torch

    devices = sorted({p.device.index for p in module.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        yield


def _forward(loaded, inputs, labels, which: str):
    """The forward pass; a refusal says which samples the network could not take."""
    try:
        return loaded.forward(inputs, labels)
    except InputError as refusal:
        raise InputError(f"{refusal.found}, {which}", refusal.expected, refusal.remedy) from refusal


def _from_outputs(plan: Plan, outputs, padding: Padding | None) -> dict[str, Captured]:
    """The taps that are made of the outputs. Token losses: position t holds the loss of token t + 1."""
    found = {}
    for want in plan.made:
        if want.name == LOGITS:
            x = to_tokens(outputs.logits, want.axes)
            mask = None if padding is None else padding.mask(*x.shape[:2])
        else:
            x = outputs.token_loss[:, 1:, None].float()
            mask = ~x[:, :, 0].isnan() if padding is None else padding.given[:, 1:]
        found[want.name] = Captured(*_pooled(x, want, mask))
    return found


def _pooled(x, want, mask):
    if x.shape[1] == 1 and want.axes.tokens and mask is not None:  # one position, perhaps padding
        return x[mask], mask.sum(1).cpu().numpy().astype(np.int64)
    return pool(x, want.tokens, mask=mask)


def _block(kept: Captured) -> TapBlock:
    import torch

    values = kept.values.cpu()
    if values.dtype not in (torch.float16, torch.float32, torch.float64):
        values = values.float()  # bfloat16 and the 8-bit floats, which NumPy does not know
    return TapBlock(values.numpy(), kept.counts)
