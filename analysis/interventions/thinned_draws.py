"""Logits of samples with shares of what is attended to, drawn several times."""

from __future__ import annotations

import numpy as np

from analysis.attribution.local_slopes import logits_at, rows_at
from analysis.attribution.sample_run import repeated
from analysis.errors import InputError
from analysis.interventions.many_samples import batches
from analysis.interventions.many_targets import many_targets
from analysis.interventions.thinned_attention import thinned
from analysis.sources.loaded_model import logits_of


def of_network(samples, shares: np.ndarray, draws: int, rng, progress) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, C) with all keys, and (shares, draws, n, C). Raises InputError where attention cannot be thinned."""
    clean, drawn, found = [], [], list(batches(samples))
    for b, batch in enumerate(found):
        run, target = batch.run, many_targets(batch.run)
        clean.append(target.read(run.logits).numpy())
        parts = np.empty((len(shares), draws, *clean[-1].shape))
        for s, share in enumerate(shares):
            for t in range(draws):
                progress(0.1 + 0.9 * (b + (s + t / draws) / len(shares)) / len(found), "thinning attention")
                if share == 1 and t:
                    parts[s, t] = parts[s, 0]
                    continue
                with thinned(run.loaded, float(share), int(rng.integers(2**31))):
                    inputs = repeated(run.inputs, 1)  # a copy: the network may work in place
                    raw = (
                        run.loaded.call(run.loaded.module, inputs)
                        if run.loaded.call
                        else run.loaded.run(inputs)
                    )
                parts[s, t] = target.read(logits_of(raw).detach()).numpy()
        _refuse_other(clean[-1], parts[-1, 0])
        drawn.append(parts)
    return np.concatenate(clean), np.concatenate(drawn, axis=2)


def _refuse_other(clean: np.ndarray, whole: np.ndarray) -> None:
    if not np.abs(clean - whole).max() <= 1e-3 * max(float(np.abs(clean).max()), 1e-300):
        raise InputError(
            "attention that does more than softmax over its keys", "one that can be thinned", "Choose another network"
        )  # fmt: skip


def of_probe(samples, shares: np.ndarray, draws: int, rng, progress) -> tuple[np.ndarray, np.ndarray]:
    """The same of a probe, shares of a sample's tokens being kept."""
    clean, drawn, n = [], [], len(samples.samples)
    for i in range(n):
        progress(0.1 + 0.9 * i / n, "leaving out tokens")
        run = samples.run(i)
        x = rows_at(run)
        m = len(x)
        order = rng.random((len(shares), draws, m)).argsort(axis=2).argsort(axis=2)
        keep = order < np.ceil(shares * m - 1e-9)[:, None, None]
        means = np.einsum("stm,md->std", keep, x) / keep.sum(axis=2, keepdims=True)
        put = np.repeat(
            np.concatenate([x.mean(axis=0)[None], means.reshape(-1, x.shape[1])])[:, None], m, axis=1
        )
        z = logits_at(run, put)
        clean.append(z[0])
        drawn.append(z[1:].reshape(len(shares), draws, -1))
    return np.array(clean), np.stack(drawn, axis=2)
