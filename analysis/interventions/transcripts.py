"""What a language model writes while a direction is added at a site, token by token, always the likeliest one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.interventions.components import Site
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel, logits_of
from analysis.spec import Progress, no_progress

ROWS = 128  # texts in the network at once


@dataclass(frozen=True)
class Transcripts:
    """`tokens` (pushes, prompts, length) that were written; `log_p` (pushes, prompts) what the network as it is gives
    to them, mean over tokens; `passes` rows that went through the network."""

    tokens: np.ndarray
    log_p: np.ndarray
    passes: int


def transcripts(
    loaded: LoadedModel,
    prompts,
    site: Site,
    pushes: np.ndarray,
    length: int,
    progress: Progress = no_progress,
) -> Transcripts:
    """Of `prompts` (n, tokens) of token numbers, with each of `pushes` (c, units) added to every token at the site,
    those that were written among them.

    Raises InputError: the network does not take "input_ids", or gives no logits for every token."""
    import torch

    c, n = len(pushes), len(prompts)
    found, log_p, passes = [], [], 0
    owner = np.repeat(np.arange(c), n)
    ids = torch.as_tensor(np.asarray(prompts)).repeat(c, 1)
    vectors = torch.as_tensor(np.asarray(pushes, np.float64))[owner]
    groups = torch.arange(c * n).split(ROWS)
    for g, at in enumerate(groups):
        own = ids[at]
        push = vectors[at][:, None]
        for step in range(length):
            progress((g + step / length) / len(groups), "writing")
            z = _logits(loaded, own, {site.module: lambda x, push=push: x + push.to(x.dtype)})
            own = torch.cat([own, z[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
        written = own[:, ids.shape[1] :]
        logs = torch.log_softmax(_logits(loaded, own, {})[:, ids.shape[1] - 1 : -1].double(), dim=-1)
        log_p.append(logs.gather(2, written[..., None])[..., 0].mean(dim=1).numpy())
        found.append(written.numpy())
        passes += len(at) * (length + 1)
    return Transcripts(
        np.concatenate(found).reshape(c, n, length), np.concatenate(log_p).reshape(c, n), passes
    )  # fmt: skip


def _logits(loaded: LoadedModel, ids, change):
    """(b, tokens, words). Raises InputError."""
    import torch

    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with hooked_run(loaded.module, (), change):
        raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
    z = logits_of(raw)
    if z is None or z.ndim != 3:
        raise InputError(
            "a network that gives no logits for every token", "a causal language model", "Choose another tap"
        )
    return z.detach()
