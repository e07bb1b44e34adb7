"""What is asked of a training, looked at before anything starts: parameters, settings, and whether the tap can be
trained on. Costs nothing: no row is read and no weight is made."""

from __future__ import annotations

import dataclasses

from analysis.errors import InputError, NotEnoughData
from analysis.features.architectures import architecture as find_architecture
from analysis.features.architectures.architecture import Architecture, refuse_more_active
from analysis.features.row_stream import MINIMUM_ROWS
from analysis.features.training_settings import Training
from analysis.spec import make_params
from analysis.store.reader import Store


def asked(
    architecture: str, params: dict | object | None, training: dict | Training | None
) -> tuple[Architecture, object, Training]:
    """The architecture, its parameters and the training settings as dataclasses. Raises NotFound, ParameterError."""
    kind = find_architecture(architecture)
    made = as_params(kind.params, params)
    refuse_more_active(made)
    return kind, made, as_params(Training, training)


def as_params(cls: type, given):
    """`given`, a dataclass or plain values, as a `cls` whose values are in range. Raises ParameterError."""
    if isinstance(given, cls):
        given = dataclasses.asdict(given)
    return make_params(cls, dict(given or {}))


def refuse_tap(store: Store, tap: str) -> None:
    """Raises NotFound, InputError (unfinished store, encoded tap), NotEnoughData where a training would refuse the tap
    whatever its rows hold."""
    activations = store.activations(tap)
    if not store.complete:
        raise InputError(f"store '{store.name}' is unfinished", "a finished one", "Resume it first")
    if tap not in store.recorded:
        raise InputError(
            f"'{tap}' is encoded itself", "a recorded tap: " + ", ".join(store.recorded),
            f"Train on {store.entry(tap)['of']}",
        )  # fmt: skip
    rows, samples = activations.shape[0], activations.layout.n_samples
    if samples < 2 or rows <= MINIMUM_ROWS:
        raise NotEnoughData(
            f"{tap} has {rows:,} rows of {samples:,} samples",
            f"more than {MINIMUM_ROWS} rows of at least 2 samples: some are held out to judge by",
            "Record more samples",
        )  # fmt: skip
