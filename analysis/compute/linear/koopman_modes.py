"""The modes of the linear map that carries sequences one step on, with their errors and what shuffled time gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear.koopman import KoopmanParams, Sequences, StepMap, sequences_of, step_map
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_error, sample_groups
from analysis.results import Estimate
from analysis.spec import Cost, Progress

DRAWS = 10


@dataclass(frozen=True)
class Modes:
    """Eigenvalues `values` (m,) by falling magnitude, of pairs the one above the real axis; `energy` (m,) of sum 1;
    `error` (m,) of the magnitudes; `null` (draws,) largest magnitudes of shuffled time; of the map `model`."""

    values: np.ndarray
    energy: np.ndarray
    error: np.ndarray
    null: np.ndarray
    model: StepMap

    @property
    def beyond(self) -> np.ndarray:
        """(m,) whether the magnitude exceeds the largest of every shuffled draw."""
        return np.abs(self.values) > np.max(self.null)


def tap_modes(
    tap, params: KoopmanParams, rng: np.random.Generator, progress: Progress
) -> tuple[Sequences, Modes]:
    """The sequences of a tap and the modes of their map. Raises as `sequences_of`."""
    data = sequences_of(tap, params.maximum_rows, rng, progress)
    return data, modes_of(data, params.share, rng, progress)


def modes_of(data: Sequences, share: float, rng: np.random.Generator, progress: Progress) -> Modes:
    """Of sequences, on axes that hold this share of the variance. O(m d²) for ten groups and ten draws."""
    model = step_map(data, share)
    values, energy = eigenmodes(data, model)
    null = []
    for i in range(DRAWS):
        progress(0.2 + 0.04 * i, "shuffling time")
        null.append(np.abs(step_map(data.shuffled(rng), share).eigenvalues()).max())
    nearest = []
    for left in sample_groups(data.groups, rng):
        progress(0.6, "leaving sequences out")
        other = step_map(data.only(~np.isin(data.group, left)), share).eigenvalues()
        nearest.append(np.abs(other[np.abs(values[:, None] - other).argmin(axis=1)]))
    return Modes(values, energy, jackknife_error(np.array(nearest)), np.array(null), model)


def mode_estimates(found: Modes, n: int, d: int) -> tuple[Estimate, Estimate]:
    """The largest magnitude and the condition number, of `n` sequences of `d` units."""
    size, error = float(np.abs(found.values[0])), float(found.error[0])
    return (
        Estimate(
            "largest magnitude", size, max(size - 1.96 * error, 0.0), size + 1.96 * error,
            interval="jackknife over groups of sequences", n=n, d=d,
            null_method=f"rows of each sequence in random order, {DRAWS} draws", estimator="least squares",
            **against(size, found.null),
        ),
        Estimate("condition number of the eigenvectors", found.model.condition(), n=n, d=d, null=1.0,
                 null_method="a normal map", estimator="unit eigenvectors"),
    )  # fmt: skip


def mode_caveats(found: Modes, d: int) -> list[str]:
    """What holds for every picture of these modes."""
    notes = [
        f"The map lives on {len(found.model.basis)} of {d} principal axes.",
        "Noise pulls eigenvalues towards 0: a persistent mode in noise seems to decay.",
    ]
    if found.model.condition() > 100:
        notes.append(
            "The eigenvectors are far from orthogonal: single eigenvalues and energies mean little here, and errors "
            "can grow for some steps although all modes decay."
        )
    return notes


def eigenmodes(data: Sequences, model: StepMap) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (modes,), of pairs the one above the real axis, by falling magnitude; energies (modes,) of sum 1."""
    values, vectors = np.linalg.eig(model.matrix)
    amplitude = np.linalg.pinv(vectors) @ ((data.x - model.mean) @ model.basis.T).T
    energy = (np.abs(amplitude) ** 2).mean(axis=1)
    tiny = 1e-12 * np.abs(values).max()
    upper = values.imag >= -tiny
    energy = np.where(np.abs(values.imag) > tiny, 2.0, 1.0) * energy
    values, energy = values[upper], energy[upper]
    order = np.argsort(-np.abs(values), kind="stable")
    return values[order], (energy / max(energy.sum(), 1e-300))[order]


def modes_cost(shapes, params: KoopmanParams) -> Cost:
    """Of `tap_modes`."""
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    side = min(n, d)
    flops = (DRAWS + 12) * (8.0 * n * d * side + 60.0 * side**3)
    return Cost(m.seconds(flops64=flops, moved=n * d * 8.0 * 100) + 0.02, 8.0 * (6.0 * n * d + 6 * d * d))


def planted_sequences(kappa: np.ndarray, rng: np.random.Generator) -> ArrayActivations:
    """Forty sequences of fifteen steps in five units, mixed at random, that the two turns and the one line with the
    eigenvalues `kappa` (3,) make without noise."""
    start = rng.standard_normal((40, 3)) + 1j * rng.standard_normal((40, 3)) * [1, 1, 0]
    z = start[:, None] * kappa ** np.arange(15)[:, None]
    x = np.concatenate([z[..., :2].real, z[..., :2].imag, z[..., 2:].real], axis=2).reshape(600, 5)
    return ArrayActivations(x @ rng.standard_normal((5, 5)), layout=Layout(np.arange(41) * 15))
