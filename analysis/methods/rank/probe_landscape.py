"""Objective landscape of a linear probe: how many random directions of its parameters suffice to read the classes?

A softmax probe on a tap (units standardised, one line a sample) has D = (units + 1) x classes parameters. It is trained
in random subspaces, θ = θ0 + P θ_d, of growing d; d_int90 is the smallest d whose held-out accuracy is 90 % of that of
the whole probe. A small d_int90 says that nearly any few directions of parameters hold a solution as good as the whole
probe's; units that repeat others change nothing, so taps of different widths are comparable. The loss is convex, so
that nothing depends on the optimiser but for its last steps: L-BFGS from θ0, weights 0 and the classes' log shares as
offsets, with a penalty of 1e-4 |W|² / 2 on the mean cross-entropy.

Null (dashed): the start, which names the largest class; a share that counts from there can be chosen. Each run draws
its own halves for training and testing, and its own subspaces. The same for a network of your own:
`analysis.compute.subspaces.landscape.landscape_dimension` with a function that trains.

When it lies: it is relative to the whole probe of the same tap, and 90 % of a poor accuracy are reached in fewer
directions than 90 % of a good one, so compare taps only where the whole probes are alike; the start alone has 90 %
where one class is that large; 90 % is a convention; with accuracies near chance the curve is noise; d_int rises with
the number of classes, each of which needs about a direction, and is at least that of reading them apart, which says
nothing of what the network does with them.

Cost: runs x dimensions x some 60 steps of O(n D + D d); memory O(D d).

References: C. Li, H. Farkhoor, R. Liu & J. Yosinski (2018), "Measuring the intrinsic dimension of objective
landscapes".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.subspaces.landscape import (
    OF_FULL,
    OF_WAY,
    RandomSubspace,
    landscape_dimension,
    random_subspace,
)
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10  # samples of a class
PENALTY, STEPS = 1e-4, 200


@dataclass(frozen=True)
class ProbeLandscapeParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    share: float = param(0.9, "Share of the performance that counts as reached.", low=0.5, high=1.0)
    counted: str = param(
        OF_FULL,
        "Share of the whole probe's accuracy, or of what it gains over the start.",
        choices=(OF_FULL, OF_WAY),
    )
    most: int = param(256, "Most dimensions trained in.", label="most dimensions", low=2, high=4096)
    runs: int = param(5, "Runs, each with its own halves and subspaces.", low=2, high=30)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def probe_landscape(
    activations, params: ProbeLandscapeParams = ProbeLandscapeParams(), rng=None, progress=no_progress
) -> Curve:
    """Accuracy of a probe trained in random subspaces.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Curve
        x = dimensions trained; held-out accuracy, mean over runs with its band. Estimates: d_int, the whole probe's
        accuracy.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes with ten samples; no unit that varies, or a probe that is no better than
        the start; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.1),
    )  # fmt: skip
    mean, spread = data.values.mean(axis=0), data.values.std(axis=0)
    used = is_varying(spread**2, mean)
    if not used.any():
        raise InputError(f"no unit of {activations.name} varies", "units that differ", "Choose another tap")
    probe = Probe((data.values[:, used] - mean[used]) / spread[used], data.of, len(data.names))
    found = landscape_dimension(
        probe.train, probe.start, probe.full, _dimensions(probe.size, params.most), seeds=params.runs,
        share=params.share, counted=params.counted, name=f"a probe of {activations.name} ({params.column})", rng=rng,
        progress=progress, span=(0.1, 1.0),
    )  # fmt: skip
    lost = int((~used).sum())
    notes = [f"{lost} constant unit(s) left out."] if lost else []
    notes.append(
        "The share is of this tap's own whole probe: compare d_int of taps whose whole probes are alike."
    )
    notes.append("Accuracy is on the half of the samples that was not trained on, drawn anew in each run.")
    low, high = (
        {name: np.clip(line, 0.0, 1.0) for name, line in side.items()} for side in (found.low, found.high)
    )
    estimates = tuple(_as_accuracy(e) if e.name == "full performance" else e for e in found.estimates)
    return replace(
        found,
        low=low,
        high=high,
        estimates=estimates,
        y_name="held-out accuracy",
        caveats=(*found.caveats, *notes, *data.notes),
    )


def _as_accuracy(e: Estimate) -> Estimate:
    """With an interval that stays where accuracies lie: of few runs, Student's does not."""
    return e if e.low is None else replace(e, low=max(e.low, 0.0), high=min(e.high, 1.0))


def _dimensions(size: int, most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, … up to `most`, or to all `size` parameters."""
    last, line, step = min(size, most), [], 1
    while step <= last:
        line += [step, step * 3 // 2]
        step *= 2
    return sorted({d for d in line if 1 <= d <= last} | {last})


@dataclass(frozen=True)
class Probe:
    """Softmax regression of classes `of` (n,), numbered below `classes`, on standardised `x` (n, units)."""

    x: np.ndarray
    of: np.ndarray
    classes: int

    @property
    def size(self) -> int:
        return (self.x.shape[1] + 1) * self.classes

    def halves(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Samples to train on and to test on: of each class one half, drawn at random."""
        order = rng.permutation(len(self.of))
        order = order[np.argsort(self.of[order], kind="stable")]
        return order[::2], order[1::2]

    def start(self, rng: np.random.Generator) -> np.ndarray:
        theta = np.zeros((self.x.shape[1] + 1, self.classes))
        theta[-1] = np.log(np.bincount(self.of[self.halves(rng)[0]], minlength=self.classes))
        return theta.ravel()

    def train(self, space: RandomSubspace, rng: np.random.Generator) -> float:
        """Held-out accuracy after training in the subspace."""
        from scipy.optimize import minimize

        some, others = self.halves(rng)
        inside = np.zeros(space.d)
        if space.d:
            inside = minimize(
                lambda t: self._loss(t, space, some),
                inside,
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": STEPS},
            ).x
        return self._accuracy(space.place(inside), others)

    def full(self, rng: np.random.Generator) -> float:
        """Held-out accuracy after training all parameters."""
        state = rng.bit_generator.state
        theta = self.start(rng)
        rng.bit_generator.state = state
        return self.train(RandomSubspace(theta, _Identity(len(theta))), rng)

    def _loss(self, inside, space: RandomSubspace, some: np.ndarray) -> tuple[float, np.ndarray]:
        theta = space.place(inside).reshape(-1, self.classes)
        x, of = self.x[some], self.of[some]
        logits = x @ theta[:-1] + theta[-1]
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        loss = -logs[np.arange(len(of)), of].mean() + PENALTY / 2 * (theta[:-1] ** 2).sum()
        slope = np.exp(logs)
        slope[np.arange(len(of)), of] -= 1
        slope /= len(of)
        gradient = np.vstack([x.T @ slope + PENALTY * theta[:-1], slope.sum(axis=0)])
        return float(loss), space.pull(gradient.ravel())

    def _accuracy(self, theta: np.ndarray, some: np.ndarray) -> float:
        theta = theta.reshape(-1, self.classes)
        told = (self.x[some] @ theta[:-1] + theta[-1]).argmax(axis=1)
        return float((told == self.of[some]).mean())


class _Identity:
    """All parameters as they are, without a matrix."""

    def __init__(self, size: int) -> None:
        self.shape = (size, size)
        self.T = self

    def __matmul__(self, theta: np.ndarray) -> np.ndarray:
        return theta


def _cost(shapes, params: ProbeLandscapeParams) -> Cost:
    (rows, d), m, classes = shapes[0], machine(), 10  # ten classes are usual
    n, size = min(rows, params.maximum_samples), (d + 1) * classes
    dims = _dimensions(size, params.most)
    steps = params.runs * 60
    flops = sum(4.0 * n / 2 * size + 4.0 * size * k for k in (*dims, 0))
    moved = steps * 8.0 * (n * d + sum(dims) * size / 4)
    seconds = m.seconds(flops64=steps * flops, moved=moved, calls=steps * len(dims) * 60)
    return Cost(seconds + 0.05, 8.0 * rows * d + 8.0 * n * d * 3 + 8.0 * size * 0.3 * dims[-1] * 2)


def _check() -> tuple[CheckLine, ...]:
    """The block-sum toy of the paper: 1,000 parameters, 10 constraints, solved from d = 10 on and not at 9. A probe of
    two far classes needs few directions."""
    rng = np.random.default_rng(0)
    wanted = np.arange(1.0, 11)

    def residual(d: int) -> float:
        space = random_subspace(np.zeros(1000), d, rng)
        sums = np.add.reduceat(np.asarray(space.columns), np.arange(0, 1000, 100))
        return float(((sums @ np.linalg.lstsq(sums, wanted, rcond=None)[0] - wanted) ** 2).sum())

    label = np.repeat([0, 1], 100)
    x = rng.standard_normal((200, 20)) + 6.0 * (label[:, None] == 1) * (np.arange(20) < 10)
    found = probe_landscape(ArrayActivations(x, samples={"label": label}))
    return (
        CheckLine("10 constraints in 10 dimensions: residual", 0.0, residual(10), 1e-10),
        CheckLine("in 9 dimensions: not solved", 1e-6, residual(9), 0.0, "at least"),
        CheckLine("two far classes: accuracy of the whole probe", 1.0, found.estimates[1].value, 0.02),
        CheckLine("at d = 0 the largest class", 0.5, float(found.series["performance"][0]), 0.0),
        CheckLine("directions that suffice", 8.0, found.estimates[0].value, 0.0, "at most"),
    )


METHODS = (
    Method(
        id="probe_landscape", family="rank", title="Objective landscape of a probe", version=1,
        function=probe_landscape,
        summary="In how few random directions of its parameters a linear probe can learn to tell the classes apart.",
        params=ProbeLandscapeParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * FEWEST,
        invariance="rescaling or shifting each unit",
        papers=("Measuring the Intrinsic Dimension of Objective Landscapes",),
    ),
)  # fmt: skip
