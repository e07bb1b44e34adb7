"""What a network says while it is pushed: a causal language model goes on with a text, greedily; any other answers.

A row is a push (units,) that is added at all tokens of the site, those of the text and those that are written. All rows
of a text go on together. torch is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.attribution.sample_run import as_site, as_tokens
from analysis.errors import InputError
from analysis.interventions.bench import Bench
from analysis.interventions.components import Site
from analysis.interventions.interventions import steered
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel, logits_of


@dataclass(frozen=True)
class Said:
    """Of n samples and m pushes: `written` (n, m, length) answers, `fluency` (n, m) mean log-probability (nats) of each
    of them in the untouched network, `prompts` (n,) words before them. `decode` makes words of a row of `written`."""

    written: np.ndarray
    fluency: np.ndarray
    prompts: tuple[str, ...]

    @property
    def turned(self) -> np.ndarray:
        """(n, m): share of what is written that is another than without a push, which is the first."""
        return (self.written != self.written[:, :1]).mean(axis=2)


def said(bench: Bench, pushes: np.ndarray, prompt: int, length: int, progress, span) -> Said:
    """`pushes` (m, units), the first of zeros; of a language model `prompt` tokens of each text and `length` more."""
    loaded = bench.samples.loaded(0)
    if not (bench.samples.is_network and loaded.causal):
        return _answered(bench, pushes, progress, span)
    found, prompts = [], []
    for i in range(len(bench.samples.samples)):
        progress(span[0] + (span[1] - span[0]) * i / len(bench.samples.samples), "writing on")
        ids = _prompt(loaded, bench.samples.item(i), prompt, length)
        found.append(continued(loaded, ids, bench.site, pushes, length))
        prompts.append(_words(loaded, ids))
    written, fluency = (np.array(v) for v in zip(*found, strict=True))
    return Said(written, fluency, tuple(prompts))


def _prompt(loaded: LoadedModel, item, prompt: int, length: int) -> np.ndarray:
    inputs = loaded.prepare([item])
    mask = loaded.token_mask(inputs)
    ids = inputs["input_ids"][0]
    ids = (ids if mask is None else ids[mask[0]]).numpy()
    limit = getattr(loaded.text_inputs, "limit", None)
    room = prompt if limit is None else min(prompt, limit - length)
    if room < 1:
        raise InputError(f"a text of {length} more tokens", f"at most {limit - 1}", "Write fewer tokens")
    return ids[:room]


def continued(loaded: LoadedModel, ids: np.ndarray, site: Site, pushes: np.ndarray, length: int):
    """The likeliest next tokens (m, length), one after the other, behind `ids` (tokens,) with each of `pushes` (m,
    units) at the site, and the mean log-probability (m,) of these in the network without any."""
    import torch

    added = torch.as_tensor(pushes)[:, None]
    rows = torch.as_tensor(np.tile(ids, (len(pushes), 1)))

    def push(tensor):
        x = as_tokens(tensor)
        return as_site(x + added.to(x.dtype), tuple(tensor.shape))

    for _ in range(length):
        with hooked_run(loaded.module, (), {site.module: push}):
            z = logits_of(_run(loaded, rows))
        rows = torch.cat([rows, z[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    with hooked_run(loaded.module):
        log_p = torch.log_softmax(logits_of(_run(loaded, rows)).double(), dim=-1)
    own = log_p[:, -length - 1 : -1].gather(2, rows[:, -length:, None])[..., 0]
    return rows[:, -length:].numpy(), own.mean(dim=1).numpy()


def _run(loaded: LoadedModel, rows):
    import torch

    inputs = {"input_ids": rows, "attention_mask": torch.ones_like(rows)}
    return loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)


def _words(loaded: LoadedModel, ids: Sequence[int]) -> str:
    """The text, ends of lines as a sign: it stands in one line of a table."""
    text = "".join(loaded.decode(int(i)) if loaded.decode else f" {int(i)}" for i in ids)
    return text.replace("\n", "⏎")


def words_of(bench: Bench, written: np.ndarray) -> str:
    """What was written (length,), in words."""
    loaded = bench.samples.loaded(0)
    if bench.samples.is_network and loaded.causal:
        return _words(loaded, written)
    return bench.samples.word(int(written[0]))


def _answered(bench: Bench, pushes: np.ndarray, progress, span) -> Said:
    import torch

    parts, at = [], []
    for k, (batch, target) in enumerate(zip(bench.batches, bench.targets, strict=True)):
        progress(span[0] + (span[1] - span[0]) * k / len(bench.batches), "pushing")
        clean = torch.log_softmax(target.read(batch.run.logits), dim=-1)

        def read(logits, target=target, clean=clean):
            answer = target.read(logits).argmax(dim=-1)
            own = clean.expand(len(answer), *clean.shape).gather(2, answer[..., None])[..., 0]
            return torch.stack([answer.double(), own], dim=-1)

        parts.append(batch.run.answers([steered(bench.site, p, 1.0) for p in pushes], read))
        at.append(batch.at)
    found = np.concatenate(parts, axis=1).transpose(1, 0, 2)[np.argsort(np.concatenate(at))]
    names = tuple(f"sample {i}" for i in bench.samples.samples)
    return Said(found[..., :1].astype(np.int64), found[..., 1], names)
