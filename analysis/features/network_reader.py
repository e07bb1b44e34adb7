"""The network itself as the reader of a tap: run on its own data with the rows of the tap replaced on the way.

Where a row of the store sits in the module's output is found by its values: what is replaced is what gave the recorded
numbers, so nothing is assumed about axes, class tokens or padding. Only taps whose rows are tokens of the output can be
replaced; a mean over tokens cannot be put back. torch is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError
from analysis.features.answers import CLEAN, Answers, Replacement, spread
from analysis.features.tap_places import rows_of
from analysis.sources.hooked_run import hooked_run, modules_of
from analysis.sources.loaded_model import logits_of
from analysis.sources.rerun import BATCH, rerun
from analysis.spec import Progress

MOST_LATER = 3  # taps behind this one whose errors are told


class NetworkReader:
    """A `Reader`: the network of a stored tap on at most `maximum` of its samples, a random part
    above (`analysis.arrays.chosen_samples`).

    Raises
    ------
    InputError, NotFound
        The network or its data are not there or need code of their own; the tap holds means over tokens.
    """

    is_network = True

    def __init__(self, tap: Activations, maximum: int, rng: np.random.Generator | None = None) -> None:
        self._name = tap.name.partition(":")[2] or tap.name
        tokens = getattr(getattr(tap, "spec", None), "tokens", "")
        pooled = tap.layout.is_pooled and tokens in ("mean", "spatial-mean")
        self._run = run = rerun(tap, maximum, partial=True, rng=rng)
        modules_of(run.loaded.module, [self._name])  # its refusal
        run.loaded.refuse_numbers(tap.name)
        self._tap, self._pooled = tap, pooled
        self._offsets = np.asarray(tap.layout.offsets)
        store, known = tap.store, dict(run.loaded.module.named_modules(remove_duplicate=False))
        self._others = [t for t in store.recorded if t != self._name and t in known]
        self.samples = run.samples
        self.classes = tuple(store.classes)
        self.of = np.full(run.n, -1) if run.labels is None else np.asarray(run.labels)
        self.what = f"the network ({type(run.loaded.module).__name__})"
        self.notes = (run.note,)

    # ------------------------------------------------------------------ running
    def read(self, replacements: Mapping[str, Replacement], progress: Progress, span, only=None):
        import torch

        parts: dict[str, list] = {name: [] for name in (CLEAN, *replacements)}
        starts = range(0, self._run.n, BATCH)
        with torch.inference_mode():
            for start in starts:
                progress(span[0] + (span[1] - span[0]) * start / self._run.n, "running the network")
                stop = min(start + BATCH, self._run.n)
                if only is not None and not only[start:stop].any():
                    continue
                keep = slice(None) if only is None else only[start:stop]
                for name, part in self._batch(replacements, start, stop).items():
                    parts[name].append((part, keep))
        return {name: _joined(found) for name, found in parts.items()}

    def _rows(self, samples: np.ndarray) -> np.ndarray:
        """Rows of the tap, sample by sample."""
        return np.concatenate([np.arange(self._offsets[i], self._offsets[i + 1]) for i in samples])

    def _batch(self, replacements, start: int, stop: int) -> dict[str, Answers]:
        run = self._run
        inputs = run.loaded.prepare(run.data.items(start, stop))
        labels = None if run.labels is None else run.labels[start:stop]
        mask = run.loaded.token_mask(inputs)
        rows = self._rows(self.samples[start:stop])
        stored = np.asarray(self._tap.take(rows), np.float64)
        before, clean = self._forward(inputs, labels, None, mask, stored, rows)
        found = {CLEAN: self._answers(clean, clean, before, before, mask, stop - start)}
        for name, replace in replacements.items():
            after, out = self._forward(inputs, labels, replace, mask, stored, rows)
            found[name] = self._answers(clean, out, before, after, mask, stop - start)
        return found

    def _forward(self, inputs, labels, replace, mask, stored, rows):
        """Later taps' outputs by name, and the `Outputs`, with this tap's rows replaced (None: checked only)."""

        def here(tensor):
            at = rows_of(tensor, mask, stored, self._tap.name, self._pooled)
            if replace is None:
                return None
            return at.put(tensor, np.asarray(replace(at.take(tensor), rows), np.float64))

        with hooked_run(self._run.loaded.module, self._others, {self._name: here}) as caught:
            out = self._run.loaded.forward(inputs, labels)
        return caught.after(self._name), out

    def _answers(self, clean, out, before, after, mask, n: int) -> Answers:
        none = np.full(n, np.nan)
        kl = none if clean.logits is None else _divergence(clean.logits, out.logits, mask)
        loss = none if out.loss is None else np.asarray(out.loss, np.float64)
        predicted = np.full(n, -1)
        if out.predicted is not None and out.token_predicted is None:
            predicted = np.asarray(out.predicted)
        names = list(before)[-MOST_LATER:]
        return Answers(loss, kl, predicted, {t: _apart(before[t], after[t], mask) for t in names})

    def probabilities(self, replacements: Mapping[str, Replacement], n: int, progress: Progress, span):
        """(n, outputs) of n samples spread over the data, by name: of the next token after the last one, or of the
        classes."""
        import torch

        at = spread(self._run.n, min(n, BATCH))
        inputs = self._run.loaded.prepare([self._run.data.items(i, i + 1)[0] for i in at.tolist()])
        rows = self._rows(self.samples[at])
        mask = self._run.loaded.token_mask(inputs)
        stored, found = np.asarray(self._tap.take(rows), np.float64), {}
        with torch.inference_mode():
            for i, (name, replace) in enumerate({CLEAN: None, **replacements}.items()):
                progress(span[0] + (span[1] - span[0]) * i / (len(replacements) + 1), "running the network")
                out = self._forward(inputs, None, replace, mask, stored, rows)[1]
                if out.logits is None:
                    raise InputError(f"{self.what} has no output layer", "one with logits")
                found[name] = _last(out.logits, mask)
        return found

    # ------------------------------------------------------------------ slopes
    def slopes(self, progress: Progress, span):
        rows, parts = [], []
        for start in range(0, self._run.n, BATCH):
            progress(span[0] + (span[1] - span[0]) * start / self._run.n, "differentiating the loss")
            stop = min(start + BATCH, self._run.n)
            own = self._rows(self.samples[start:stop])
            parts.append(self._slope(start, stop, own))
            rows.append(own)
        return np.concatenate(rows), np.concatenate(parts)

    def _slope(self, start: int, stop: int, rows: np.ndarray) -> np.ndarray:
        import torch

        run, caught = self._run, []
        inputs = run.loaded.prepare(run.data.items(start, stop))
        stored, mask = np.asarray(self._tap.take(rows), np.float64), run.loaded.token_mask(inputs)

        def here(output):
            tensor = output.detach().requires_grad_(True)
            caught.append((tensor, rows_of(tensor, mask, stored, self._tap.name, self._pooled)))
            return tensor

        with hooked_run(run.loaded.module, replace={self._name: here}, gradients=True):
            logits = logits_of(run.loaded.run(inputs))
            loss = _loss(logits, inputs, None if run.labels is None else run.labels[start:stop], mask)
            tensor, at = caught[-1]
            (grad,) = torch.autograd.grad(loss, tensor)
        return at.take(grad)


def _joined(found: list) -> Answers:
    join = lambda get: np.concatenate([np.asarray(get(a))[keep] for a, keep in found])  # noqa: E731
    names = list(found[0][0].later) if found else []
    return Answers(
        join(lambda a: a.loss), join(lambda a: a.kl), join(lambda a: a.predicted),
        {t: join(lambda a, t=t: a.later[t]) for t in names},
    )  # fmt: skip


def _divergence(clean, other, mask) -> np.ndarray:
    """KL (b,), mean over the tokens that are not padding, sample by sample."""
    import torch

    out = np.empty(len(clean))
    for i in range(len(clean)):
        p, q = (torch.log_softmax(x[i].double(), dim=-1) for x in (clean, other))
        kl = (p.exp() * (p - q)).sum(dim=-1).clamp(min=0)
        if mask is not None and kl.ndim == 1 and len(kl) == mask.shape[1]:
            kl = kl[mask[i]]
        out[i] = float(kl.mean())
    return out


def _last(logits, mask) -> np.ndarray:
    """(b, outputs) probabilities, of the last token that is not padding where there are tokens."""
    import torch

    if logits.ndim == 3:
        at = logits.shape[1] - 1 if mask is None else mask.long().cumsum(dim=1).argmax(dim=1)
        logits = logits[torch.arange(len(logits)), at]
    return torch.softmax(logits.double(), dim=-1).numpy()


def _apart(before, after, mask) -> np.ndarray:
    """Squared difference (b,) of two outputs, padding left out."""
    apart = (after.double() - before.double()) ** 2
    if mask is not None and apart.ndim == 3 and apart.shape[1] == mask.shape[1]:
        apart = apart * mask[:, :, None]
    return apart.flatten(1).sum(dim=1).numpy()


def _loss(logits, inputs, labels, mask):
    """Sum over the samples of a batch of each one's loss."""
    import torch

    logs = torch.log_softmax(logits.double(), dim=-1)
    if logits.ndim == 3:
        ids = inputs["input_ids"]
        each = -logs[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
        use = torch.ones_like(each, dtype=torch.bool) if mask is None else mask[:, 1:]
        return (torch.where(use, each, 0.0).sum(dim=1) / use.sum(dim=1).clamp(min=1)).sum()
    of = logs.argmax(dim=1) if labels is None else torch.as_tensor(np.asarray(labels)).long()
    known = of >= 0
    return -logs[known].gather(1, of[known, None]).sum()
