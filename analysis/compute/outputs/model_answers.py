"""The answers of several models to the same samples: from a sample column, or as the top class of their outputs."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.outputs.model_outputs import refuse_single_class
from analysis.errors import InputError, NotEnoughData, ParameterError


def split_halves(taps: list[Activations]) -> tuple[list[Activations], list[Activations]]:
    """Models and their outputs, from taps of the one and then as many of the other.

    Raises ParameterError (an odd number) and InputError (outputs of one class).
    """
    if len(taps) % 2:
        raise ParameterError(
            f"{len(taps)} taps without a column of answers",
            "the models' taps and then as many outputs, or a 'predicted' column in every tap",
        )
    half = len(taps) // 2
    for tap in taps[half:]:
        refuse_single_class(tap)
    return taps[:half], taps[half:]


def answers_of(models, outputs, column: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answer (M, m) of each model as numbers that are equal where answers are, and the places (m,) among the samples
    `ids` (n,) where every model has a finite one.

    Raises NotFound (no such column), InputError (samples that a tap lacks), NotEnoughData (fewer than two places).
    """
    found = []
    for tap in outputs or models:
        own = np.asarray(tap.samples["id"]).astype(str)
        order = np.argsort(own, kind="stable")
        at = order[np.minimum(np.searchsorted(own, ids, sorter=order), len(own) - 1)]
        missing = int((own[at] != ids).sum())
        if missing:
            raise InputError(f"{tap.name} lacks {missing} of the samples", "outputs of the same samples")
        found.append(sample_column(tap, column)[at].astype(str) if outputs is None else _top(tap, at))
    texts = np.array(found)
    good = np.flatnonzero((texts != "").all(axis=0))
    if len(good) < 2:
        raise NotEnoughData(f"{len(good)} sample(s) have an answer of every model", "at least 2")
    texts = texts[:, good]
    return np.unique(texts, return_inverse=True)[1].reshape(texts.shape), good


def _top(tap: Activations, at: np.ndarray) -> np.ndarray:
    """Top class of the mean output of each sample, by name; empty where it is not finite."""
    offsets, names = tap.layout.offsets, np.array([*tap.unit_names, ""])
    rows = [np.asarray(tap.take(np.arange(offsets[s], offsets[s + 1])), np.float64) for s in at]
    means = np.array([r.mean(axis=0) if len(r) else np.full(tap.shape[1], np.nan) for r in rows])
    top = np.where(np.isfinite(means).all(axis=1), np.nan_to_num(means).argmax(axis=1), len(names) - 1)
    return names[top]
