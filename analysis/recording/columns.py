"""The columns of the sample table for one batch: label, prediction, loss, and whatever the data brings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.recording.labels import ClassMap

CUT = "cut_tokens"
OWN = ("id", "label", "predicted", "correct", "confidence", "loss", "text", "media_path", "media_digest", CUT)


def renamed(names: Iterable[str]) -> dict[str, str]:
    """Under which name each of the data's own columns is kept: those that would hide one of ours become "data_…"."""
    names = list(names)
    taken, kept = {*OWN, *names}, {}
    for name in names:
        new = name
        while new in OWN or (new != name and new in taken):
            new = f"data_{new}"
        taken.add(new)
        kept[name] = new
    return kept


def sample_columns(loaded, data, classes: ClassMap, outputs, items: list, start: int, stop: int) -> dict:
    """Columns of samples start … stop, each of length stop - start.

    label, predicted : class names (text), numbers where no names are known; `predicted` is a number for
    regressions and the most likely next token for language models. correct : bool, None without a label.
    confidence : softmax probability of the prediction. loss : nats (cross entropy; for language models the mean
    over the next tokens). cut_tokens : of a text that is longer than the network takes, the tokens left out; empty for
    others, and not there in a batch without any.
    """
    n = stop - start
    columns: dict = {"id": [str(i) for i in data.ids[start:stop]]}
    labels = None if data.labels is None else classes.classes(data.labels[start:stop])
    if labels is not None:
        columns["label"] = classes.words(labels)
    columns.update(_predictions(loaded, classes, outputs, labels))
    for name, kept in renamed(data.columns).items():
        columns[kept] = np.asarray(data.columns[name])[start:stop]
    if data.kind == "text":
        columns["text"] = [str(item) for item in items]
        left_out = loaded.text_inputs.left_out if loaded.text_inputs is not None else []
        if any(left_out):
            columns[CUT] = [k or None for k in left_out]
    paths = [data.media_path(i) for i in range(start, stop)]
    if any(paths):
        columns["media_path"] = np.array(["" if p is None else str(p) for p in paths], dtype=str)
        digests = [data.media_digest(i) for i in range(start, stop)]
        columns["media_digest"] = np.array([d or "" for d in digests], dtype=str)
    wrong = [name for name, values in columns.items() if len(values) != n]
    if wrong:
        raise ValueError(f"column '{wrong[0]}' has {len(columns[wrong[0]])} entries for {n} samples")
    return columns


def _predictions(loaded, classes: ClassMap, outputs, labels) -> dict:
    columns: dict = {}
    if outputs.predicted is not None:
        predicted = outputs.predicted.cpu().numpy()
        if loaded.causal:
            decode = loaded.decode or str
            columns["predicted"] = np.array([decode(int(token)) for token in predicted], dtype=str)
        else:
            columns["predicted"] = classes.words(predicted)
            if labels is not None:
                right = (predicted == labels).tolist()
                columns["correct"] = [r if c >= 0 else None for r, c in zip(right, labels, strict=True)]
    elif outputs.logits is not None and outputs.logits.ndim == 2 and outputs.logits.shape[1] == 1:
        columns["predicted"] = outputs.logits[:, 0].float().cpu().numpy()
    for name in ("confidence", "loss"):
        values = getattr(outputs, name)
        if values is not None:
            columns[name] = values.detach().float().cpu().numpy()
    return columns
