"""What a model says with what confidence, and what came true: one case for each sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from analysis.activations import Activations, load_matrix, sample_column
from analysis.compute.outputs.model_outputs import (
    labels_of,
    log_probabilities,
    refuse_no_label,
    refuse_single_class,
)
from analysis.errors import InputError, NotFound

OUTPUTS = "outputs."
LOGITS = OUTPUTS + "logits"


@dataclass(frozen=True)
class Cases:
    """`confidence` (n,), what came true `right` (n,) in [0, 1], `classes` judged, and `notes`."""

    confidence: np.ndarray
    right: np.ndarray
    classes: int
    notes: tuple[str, ...]


def _sample_means(tap: Activations, outputs: str, maximum: int, rng, given=None):
    """Probabilities (n, C) of each sample, the mean over its tokens, its position (n,), and notes. `given` (rows, C)
    -> probabilities replaces the softmax."""
    loaded, said = load_matrix(tap, maximum_rows=maximum, minimum_rows=1, rng=rng), []
    values = np.asarray(loaded.values, dtype=np.float64)
    p = np.exp(log_probabilities(values, outputs, tap.name, said)) if given is None else given(values)
    position, of = np.unique(tap.layout.sample_of(loaded.rows), return_inverse=True)
    if loaded.note:
        said.append(loaded.note[0].upper() + loaded.note[1:] + ".")
    if len(position) == len(p):
        return p, position, said
    said.append("Each sample counts once, by the mean of its tokens' probabilities.")
    total = np.zeros((len(position), p.shape[1]))
    np.add.at(total, of.reshape(-1), p)
    return total / np.bincount(of.reshape(-1))[:, None], position, said


def answers(
    tap: Activations, *, column: str, outputs: str, maximum: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """((n,) top class, (n,) right class, notes) of the samples with a label. Raises as `top_class`."""
    p, label, said = _labelled(tap, column, outputs, maximum, rng)
    return p.argmax(axis=1), label, said


def top_class(
    tap: Activations, *, column: str, outputs: str, maximum: int, rng: np.random.Generator
) -> Cases:
    """How sure of its top class the model is, and whether that is right. O(n C).

    Raises NotFound (no such column, no label) and InputError (one class, labels that name no class).
    """
    p, label, said = _labelled(tap, column, outputs, maximum, rng)
    top = p.argmax(axis=1)
    confidence = np.minimum(p[np.arange(len(p)), top], 1.0)
    return Cases(confidence, (top == label).astype(np.float64), tap.shape[1], said)


def _labelled(tap: Activations, column: str, outputs: str, maximum: int, rng: np.random.Generator):
    """(probabilities (n, C), right class (n,), notes) of the samples that have one."""
    refuse_single_class(tap)
    _refuse_hidden(tap)
    sample_column(tap, column)
    p, position, said = _sample_means(tap, outputs, maximum, rng)
    label = labels_of(tap, column, tap.unit_names, position)
    refuse_no_label(label, column, tap.name)
    known = label >= 0
    if not known.all():
        said.append(f"{int((~known).sum())} sample(s) without a label left out.")
    return p[known], label[known], tuple(said)


def _refuse_hidden(tap: Activations) -> None:
    """Units of a hidden layer are numbered, as classes may be: their softmax would be taken for answers."""
    store, where = getattr(tap, "store", None), str(getattr(tap, "tap", ""))
    recorded = getattr(store, "recorded", {})
    given = recorded.get(LOGITS)
    if where.startswith(OUTPUTS) or not any(name.startswith(OUTPUTS) for name in recorded):
        return  # an output, or nothing is known of which taps are
    if given is not None and given.n_units == tap.shape[1]:
        return
    raise InputError(
        f"{tap.name}, {tap.shape[1]:,} units of a layer inside the network",
        "its answers, one unit for each class",
        f"Choose the tap {LOGITS} of the same store"
        if given
        else f"Record the network with the tap {LOGITS}",
    )


def one_output(
    tap: Activations, output: str, *, column: str, outputs: str, maximum: int, rng: np.random.Generator
) -> Cases:
    """The probability that the unit called `output` gives, and its target in `column`. O(n).

    Raises NotFound (no such column or unit) and InputError (targets that are no numbers from 0 to 1).
    """
    if output not in tap.unit_names:
        shown = ", ".join(tap.unit_names[:8])
        raise NotFound(f"{tap.name} has no unit {output!r}", f"one of {shown}", "Name a unit of the tap")
    at = tap.unit_names.index(output)
    target = sample_column(tap, column)
    if target.dtype.kind not in "fiub":
        raise InputError(f"column '{column}' holds text", "numbers from 0 to 1, the targets of the output")

    def given(values: np.ndarray) -> np.ndarray:
        mine = values[:, [at]]
        return mine if outputs == "auto" and ((mine >= 0) & (mine <= 1)).all() else expit(mine)

    p, position, said = _sample_means(tap, outputs, maximum, rng, given)
    target = target[position].astype(np.float64)
    known = np.isfinite(target)
    if not ((target[known] >= 0) & (target[known] <= 1)).all():
        raise InputError(f"column '{column}' holds numbers outside 0 to 1", "targets of the output")
    if not known.all():
        said.append(f"{int((~known).sum())} sample(s) without a target left out.")
    return Cases(p[known, 0], target[known], 1, tuple(said))
