"""Would the last features be classified better by a probe that is trained against itself? A linear probe, nearest
neighbours, and the probe with semantic adversarial augmentation, on held-out samples.

SeA moves every feature by ε along the gradient of its loss, projected on the span of other examples of the batch
(`compute.subspaces.adversarial_features`), and trains on both copies. Features are centred and of unit length, ε in
lengths. Two controls have steps as long: the gradient as it is, and a random direction in the same span: what these
gain is not due to the projection, or not to the adversary.

All probes are tested on the same held-out samples in the same folds, and start from the same order of batches, so that
ε = 0 is the linear probe exactly.

Null: the majority rate for accuracies, 0 for a gain, with the exact test of discordant samples (McNemar), Holm's over
the gains. Intervals: Wilson's for accuracies, Newcombe's of paired shares for gains; training's own
chance (the seed of the batches) is in neither.

When it lies: gains of 2 % need thousands of samples to be told from 0; ε, rate and epochs were not tuned, and choosing
them by this table would be choosing on the test; a probe at its ceiling gains nothing; with a batch wider than twice
the units the span is everything, and SeA is the plain gradient.

Cost: 5 folds x 4 probes x epochs of O(n d (classes + batch)); memory O(n d).

References: Q. Qian, Y. Xu & J. Hu (2024), "SeA: semantic adversarial augmentation for last layer features from
unsupervised representation learning"; Q. McNemar (1947); S. Holm (1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.discordant import gains_over
from analysis.compute.subspaces.adversarial_features import (
    ADVERSARIAL,
    FREE,
    PLAIN,
    RANDOM,
    gradients,
    on_span,
)
from analysis.compute.subspaces.compared_probes import (
    FEWEST,
    FOLDS,
    NEAREST,
    Training,
    accuracy_interval,
    probe_samples,
    probes_cost,
    right_by_probe,
)
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

KINDS = {PLAIN: "linear probe", ADVERSARIAL: "probe with SeA", FREE: "probe, gradient not projected",
         RANDOM: "probe, random in the span"}  # fmt: skip
HELP = {
    "probe": "How held-out samples are classified.",
    "accuracy": "Share of held-out samples classified right.",
    "gain": "Accuracy less that of the linear probe, sample by sample.",
    "p": "Exact test of samples that one of the two classifies right (McNemar), Holm's over the gains.",
}


@dataclass(frozen=True)
class AdversarialAugmentationParams:
    column: str = param("label", "The sample column with the classes.", column=True)
    epsilon: float = param(0.1, "How far features are moved, in their own length.", low=0.0, high=2.0)
    batch: int = param(
        64, "Examples of a batch; each half is projected on the span of the other.", low=4, high=2048
    )
    epochs: int = param(30, "Passes over the samples.", low=1, high=500)
    rate: float = param(1.0, "First step size, falling to 0.", low=1e-4, high=20.0)
    neighbours: int = param(10, "Nearest training samples that vote.", low=1, high=100)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def adversarial_augmentation(
    activations,
    params: AdversarialAugmentationParams = AdversarialAugmentationParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """Probes of one tap on held-out samples.

    Parameters
    ----------
    activations : Activations with the class column

    Returns
    -------
    Table
        A row for each probe: accuracy, its gain over the linear probe, with intervals and p.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes of five samples, or 50 samples; features that are all equal.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = probe_samples(tap, params.column, params, rng, progress, (0.0, 0.1))
    right = right_by_probe(
        data.values, data.of, len(data.names), KINDS, _training(params), rng, progress, (0.1, 1.0)
    )
    progress(1.0, "done")
    majority = float(data.counts.max() / len(data.of))
    gains = gains_over(right, KINDS[PLAIN])
    return Table(
        title=f"Probes of {tap.name}", reading=_reading(right, gains, majority, params),
        caveats=(*_caveats(tap.shape[1], params), *data.notes),
        estimates=_estimates(right, gains, majority, tap.shape[1]), columns=_columns(right, gains), index="probe",
        help=HELP,
    )  # fmt: skip


def _training(params: AdversarialAugmentationParams) -> Training:
    return Training(params.epsilon, params.batch, params.epochs, params.rate, params.neighbours)


def _columns(right, gains) -> dict[str, np.ndarray]:
    ends = [accuracy_interval(r) for r in right.values()]
    none = (0.0, 0.0, 0.0, 1.0)
    rows = [gains.get(name, none) for name in right]
    return {
        "probe": np.array(list(right)), "accuracy": np.array([r.mean() for r in right.values()]),
        "accuracy low": np.array([e[0] for e in ends]), "accuracy high": np.array([e[1] for e in ends]),
        "gain": np.array([r[0] for r in rows]), "gain low": np.array([r[1] for r in rows]),
        "gain high": np.array([r[2] for r in rows]), "p": np.array([r[3] for r in rows]),
    }  # fmt: skip


def _estimates(right, gains, majority: float, d: int) -> tuple[Estimate, ...]:
    n = len(next(iter(right.values())))
    made = {"n": n, "d": d, "estimator": f"{FOLDS} folds, the same for all"}
    out = [
        Estimate(f"accuracy, {name}", float(r.mean()), *accuracy_interval(r), interval="Wilson, samples as draws",
            null=majority,
                 null_method="majority rate", **made)
        for name, r in right.items()
    ]  # fmt: skip
    for name, (value, low, high, p) in gains.items():
        out.append(Estimate(
            f"gain over the linear probe, {name}", value, low, high, interval="Newcombe's, of paired shares",
            null=0.0,
            null_method="either probe right as often (McNemar, Holm)", p_value=p, **made,
        ))  # fmt: skip
    return tuple(out)


def _reading(right, gains, majority: float, params) -> str:
    name = KINDS[ADVERSARIAL]
    value, low, high, p = gains[name]
    verdict = "beyond chance" if p < 0.05 else "not told from 0"
    return (
        f"The linear probe is right in {right[KINDS[PLAIN]].mean():.1%} of held-out samples, nearest neighbours in "
        f"{right[NEAREST].mean():.1%} (majority {majority:.1%}). SeA with ε = {params.epsilon:g} changes the probe "
        f"by {value:+.1%} [{low:+.1%}, {high:+.1%}], {verdict}; random steps in the same span by "
        f"{gains[KINDS[RANDOM]][0]:+.1%}."
    )


def _caveats(d: int, params) -> list[str]:
    notes = [
        "Step size, rate and epochs were not tuned; choosing them by this table would be choosing on the test."
    ]
    if params.batch >= 2 * d:
        notes.append(
            "Half a batch has as many examples as there are units: it can span everything, and projecting then changes "
            "nothing."
        )
    return notes


def _cost(shapes, params: AdversarialAugmentationParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    flops, calls, held = probes_cost(min(rows, params.maximum_samples), d, _training(params), len(KINDS))
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d, calls=calls) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """The projected gradient lies in the span and is no longer; a span of everything changes nothing; ε = 0 is the
    linear probe; the gradient is that of finite differences; separable classes are told, labels at random are not."""
    rng = np.random.default_rng(4)
    n, d, c = 300, 12, 3
    label = np.arange(n) % c
    x = rng.standard_normal((n, d)) + 4 * np.eye(d)[label]
    weights, bias, onehot = rng.standard_normal((d, c)), rng.standard_normal(c), np.eye(c)[label]
    g = gradients(x, onehot, weights, bias)
    part, others = on_span(g[:20], x[20:26]), x[20:26]
    left = part - others.T.dot(np.linalg.lstsq(others.T, part.T, rcond=None)[0]).T
    wide = on_span(g[:20], x[20:60])
    small = 1e-6 * np.eye(d)[0]

    def loss(z) -> float:
        s = z @ weights + bias
        return float(np.log(np.exp(s).sum()) - s[label[0]])

    slope = (loss(x[0] + small) - loss(x[0] - small)) / 2e-6
    made = {"epochs": 10, "batch": 16}
    none = adversarial_augmentation(ArrayActivations(x, samples={"label": label}),
                                    AdversarialAugmentationParams(epsilon=0.0, **made))  # fmt: skip
    noise = adversarial_augmentation(ArrayActivations(x, samples={"label": rng.permutation(label)}),
                                     AdversarialAugmentationParams(**made))  # fmt: skip
    lengths = np.linalg.norm(part, axis=1) / np.linalg.norm(g[:20], axis=1)
    return (
        CheckLine("projected gradient: residual outside the span", 0.0, float(np.abs(left).max()), 1e-10),
        CheckLine("projected gradient over the gradient: longest", 1.0, float(lengths.max()), 1e-12, "at most"),
        CheckLine("a span of six: shortened", 0.95, float(lengths.mean()), 0.0, "at most"),
        CheckLine("a span of everything: no change", 0.0, float(np.abs(wide - g[:20]).max()), 1e-10),
        CheckLine("gradient by finite differences", slope, float(g[0, 0]), 1e-6),
        CheckLine("ε = 0: gains", 0.0, float(np.abs(none.columns["gain"][:4]).max()), 0.0),
        CheckLine("separable classes", 0.97, float(none.columns["accuracy"][0]), 0.0, "at least"),
        CheckLine("classes at random", 1 / 3, float(noise.columns["accuracy"][0]), 0.12),
    )  # fmt: skip


METHODS = (
    Method(
        id="adversarial_augmentation", family="concepts", title="Probes with adversarial augmentation", version=1,
        function=adversarial_augmentation,
        summary="A linear probe, nearest neighbours and a probe trained against itself, on held-out samples.",
        params=AdversarialAugmentationParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing but the random control",
        papers=("SeA: semantic adversarial augmentation of last-layer features",),
    ),
)  # fmt: skip
