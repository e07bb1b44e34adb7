"""From logits to a loss, a prediction and a confidence per sample."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.errors import ShapeError
from analysis.sources.loaded_model import Outputs


def read_classes(logits, labels=None) -> Outputs:
    """Cross entropy (nats), class and softmax probability of (b, c) logits.

    One output column is a regression or a single score: neither class nor probability can be read off it.
    Outputs with more axes (b, t, v) are returned as they are: what they mean, only their author knows.
    """
    import torch

    if logits.ndim != 2 or logits.shape[1] < 2:
        return Outputs(logits=logits)
    logs = torch.log_softmax(logits.double(), dim=1)
    confidence, predicted = logs.max(dim=1)
    loss = None
    if labels is not None:
        labels = torch.as_tensor(labels).long()
        if len(labels) != len(logits):
            raise ShapeError(f"{len(labels)} labels for {len(logits)} outputs", "one label per sample")
        known = (labels >= 0) & (labels < logits.shape[1])
        picked = logs.gather(1, labels.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        loss = torch.where(known, -picked, torch.nan)
    return Outputs(logits, loss, predicted, confidence.exp())


def read_language(logits, inputs) -> Outputs:
    """Next-token loss of (b, t, v) logits; padding (right) never counts. One-token texts have loss NaN.

    Sample by sample, since a float64 copy of the whole (b, t, v) block would double the memory of a batch.
    """
    import torch

    ids = inputs["input_ids"] if isinstance(inputs, Mapping) else inputs
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    if ids.shape != logits.shape[:2]:
        return Outputs(logits=logits)
    token_loss = torch.full(ids.shape, torch.nan, dtype=torch.float64)
    last = mask.sum(dim=1).clamp(min=1) - 1
    confidence = torch.empty(len(ids), dtype=torch.float64)
    for i in range(len(ids)):
        logs = torch.log_softmax(logits[i].double(), dim=1)
        token_loss[i, 1:] = -logs[:-1].gather(1, ids[i, 1:, None])[:, 0]
        confidence[i] = logs[last[i]].max().exp()
    token_loss[~mask] = torch.nan
    token_predicted = logits.argmax(dim=2)
    predicted = token_predicted.gather(1, last[:, None])[:, 0]
    return Outputs(logits, token_loss.nanmean(dim=1), predicted, confidence, token_loss, token_predicted)


def read_own_loss(own_loss, raw, logits, labels) -> Outputs:
    """The loss that the module itself defines: `loss(outputs, labels)` -> (b,) or one number for the batch.

    A single number cannot be shared out among samples, so it is refused.
    """
    import torch

    labels = torch.as_tensor(labels)
    loss = torch.as_tensor(own_loss(raw, labels))
    if loss.ndim != 1 or len(loss) != len(labels):
        raise ShapeError(
            f"the module's loss(outputs, labels) returned shape {tuple(loss.shape)} for {len(labels)} samples",
            "one loss per sample",
            "Use reduction='none' in it",
        )
    plain = read_classes(logits) if logits is not None else Outputs()
    return Outputs(logits, loss, plain.predicted, plain.confidence)
