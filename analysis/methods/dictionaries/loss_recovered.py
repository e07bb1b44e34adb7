"""Does what the network does survive when its activations are replaced by what a dictionary rebuilds of them?

The network is run on its own data with the rows of the tap exchanged: for the dictionary's reconstruction, for those of
its rivals, for the mean row, for zero, and untouched. On the scale of an ablation,

    loss recovered = 1 - Σ (L' - L) / Σ (L⁰ - L)        (sufficiency: 1 untouched, 0 as bad as the ablation)
    loss lost without its part = Σ (L'' - L) / Σ (L⁰ - L)        (necessity: x'' = x - (x' - mean); 1 all, 0 nothing)

with both ablations, since zero may lie far from the data and flatters every dictionary; the divergence of the answers
(KL, nats); and the squared error at later recorded taps as a share of what the mean ablation makes there. Beside the
dictionary, on the same samples: principal components, as many as it has active features; a random dictionary of its
size; the mean of each row's class (or token text), which is told. Padding is neither replaced nor counted. Nothing is
told on the scale of an ablation whose rise of the loss has an interval that reaches 0.

When it lies: a high share is easy where the ablation is catastrophic (the logarithm of a vocabulary): read the KL and
the loss in nats; reconstructions are off the data, and what the network does there is its own; a tap that a residual
path goes round is needed little; components, means and the random factor were fitted on these very rows; where the
network cannot be run a linear probe of labels stands in, which is said, and which sees only what is linear.

Cost: a forward pass of every sample for each of 12 replacements.

References: A. Makelov, G. Lange & N. Nanda (2024), "Towards principled evaluations of sparse autoencoders"; T. Bricken
et al. (2023); S. Rajamanoharan et al. (2024), "Improving dictionary learning with gated sparse autoencoders".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.streaming import Pass
from analysis.features.answers import CLEAN
from analysis.features.readers import AUTOMATIC, OPENING, READERS, reader_of
from analysis.features.recovery import LACKING, Recovery, recovery
from analysis.features.rivals import MEAN, OWN, RANDOM, ZERO, explained, rivals, row_classes, some_rows
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
BOUNDS = "95 % interval: bootstrap over samples."
HELP = {
    "replaced by": "What stands in the place of the tap's rows.",
    "loss": "Mean loss of a sample, in nats.",
    "loss recovered": "1: as with the untouched rows, 0: as with every row replaced by the mean row.",
    "low": BOUNDS,
    "high": BOUNDS,
    "against zero": "The same where the rows replaced by zero count as 0.",
    "zero low": BOUNDS,
    "zero high": BOUNDS,
    "lost without its part": "Share of what the mean ablation loses that is lost when only this part is taken out.",
    "lost low": BOUNDS,
    "lost high": BOUNDS,
    "KL": "Divergence of the answers from the untouched ones, in nats.",
    "KL low": "95 % interval: Student's t over samples.",
    "KL high": "95 % interval: Student's t over samples.",
    "explained variance": "1 - squared error over the variance about the mean, which by itself says nothing of use.",
}


@dataclass(frozen=True)
class LossRecoveredParams:
    column: str | None = param(
        None, "Labels for class means and for a probe; automatic: 'label' where there is one.", column=True
    )
    reader: str = param(AUTOMATIC, "What the tap is for.", choices=READERS)
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=8, high=100_000)


def loss_recovered(
    activations, params: LossRecoveredParams = LossRecoveredParams(), rng=None, progress=no_progress
) -> Table:
    """The loss with the tap's rows replaced, beside what costs nothing.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each replacement, see `HELP`; a column for each later tap; estimates of the dictionary.

    Raises
    ------
    NotFound, InputError
        No labels and no network; the tap holds means over tokens and there are no labels; neither ablation hurts.
    NotEnoughData
        Fewer than eight finite rows, or three samples.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    column = label_column(tap, params.column)
    known = rivals(made, row_classes(made.source, column), 2000, rng, seen, progress, (0.0, 0.1))
    reader, notes = reader_of(made.source, params.reader, params.column, params.maximum_samples, rng, progress,
                              (0.1, 0.2))  # fmt: skip
    rebuilt, ablated = known.rebuilt(), known.ablations()
    parts = {LACKING + name: known.without(f) for name, f in rebuilt.items()}
    found = recovery(reader.read({**rebuilt, **parts, **ablated}, progress, (0.2, 0.95)))
    rows = some_rows(made.source.shape[0], 20_000, rng)
    variance = explained(made.source, {**rebuilt, **ablated}, known.mean, rows)
    columns = _columns(found, [*rebuilt, *ablated, CLEAN], variance, rng)
    progress(1.0, "done")
    said = () if known.classes is None else known.classes.notes
    estimates = _estimates(columns, found, made.codes.shape[1])
    return Table(
        title=f"What {reader.what} keeps when {made.source.name} is replaced",
        reading=_reading(columns, found, made.features.name, reader.what),
        caveats=(*seen.notes, *notes, *found.notes, *made.notes, *made.fitted_note, *said,
                 "Components, means and the random dictionary's factor were fitted on these rows.",
                 "A catastrophic ablation makes every share look high: read the KL and the loss as well."),
        estimates=estimates, columns=columns, index="replaced by", help=_help(columns),
    )  # fmt: skip


def _columns(found: Recovery, names: list[str], variance, rng) -> dict[str, np.ndarray]:
    lines = {key: [] for key in HELP}
    for name in names:
        left, total = variance.get(name, (np.zeros(1), np.ones(1)))
        numbers = (
            found.losses[name].mean(), *found.recovered(name, MEAN, rng), *found.recovered(name, ZERO, rng),
            *found.needed(name, rng), *found.divergence(name), 1 - left.sum() / total.sum(),
        )  # fmt: skip
        for key, value in zip(HELP, (name, *numbers), strict=True):
            lines[key].append(value)
    columns = {
        key: np.array(v, dtype=str if key == "replaced by" else np.float64) for key, v in lines.items()
    }
    for tap, shares in found.later(rng).items():
        columns[f"error at {tap}"] = np.array([shares[name][0] for name in names])
    return columns


def _help(columns) -> dict[str, str]:
    later = {
        c: "Squared error at this later tap, as a share of what the mean ablation makes there."
        for c in columns
        if c.startswith("error at ")
    }
    return HELP | later


def _estimates(c, found: Recovery, d: int) -> tuple[Estimate, ...]:
    at = {name: i for i, name in enumerate(c["replaced by"])}
    own, random = at[OWN], at[RANDOM]
    out, common = [], {"n": found.n, "d": d, "null_method": "one random dictionary of the same size"}
    over, student = "bootstrap over samples", "Student's t over samples"
    for said, column, low, high, how in (
        ("loss recovered against mean ablation", "loss recovered", "low", "high", over),
        ("loss recovered against zero ablation", "against zero", "zero low", "zero high", over),
        ("loss lost without the dictionary's part", "lost without its part", "lost low", "lost high", over),
        ("divergence of the answers", "KL", "KL low", "KL high", student),
    ):
        if np.isfinite(c[column][own]):
            out.append(Estimate(
                said, float(c[column][own]), float(c[low][own]), float(c[high][own]), interval=how,
                null=float(c[column][random]), null_low=float(c[low][random]), null_high=float(c[high][random]),
                estimator="mean" if column == "KL" else "ratio of sums over samples",
                unit="nats" if column == "KL" else "", **common,
            ))  # fmt: skip
    return tuple(out)


def _reading(c, found: Recovery, name: str, what: str) -> str:
    at = {n: i for i, n in enumerate(c["replaced by"])}
    column = "loss recovered" if np.isfinite(c["loss recovered"][at[OWN]]) else "against zero"
    ablation = MEAN if column == "loss recovered" else ZERO
    others = ", ".join(f"{n} {c[column][i]:.3f}" for n, i in at.items() if n not in (OWN, MEAN, ZERO, CLEAN))
    rise = found.scales[ablation][0]
    said = (
        f"Ablation to {ablation} raises the loss of {what} by {rise:.3g} nats; with the rows that {name} rebuilds "
        f"{c[column][at[OWN]]:.3f} of that is recovered (on the same scale: {others}). The answers diverge by "
        f"{c['KL'][at[OWN]]:.3g} nats."
    )
    lost = c["lost without its part"][at[OWN]]
    return said + (f" Without the part it rebuilds {lost:.3f} is lost." if np.isfinite(lost) else "")


def _cost(shapes, params: LossRecoveredParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, _), some = likely_size(k), min(n, 20_000)
    seconds = m.seconds(flops64=2.0 * n * d * d, flops32=60.0 * some * k * d, moved=300.0 * n * d)
    return Cost(seconds + OPENING, 8.0 * d * (min(n, 4096) * 4 + some * 3) + 8.0 * d * d * 4 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Units as features: untouched. The mean ablation is 0 and all of it; two classes 3 apart in one of six units."""
    rng = np.random.default_rng(0)
    of = np.arange(240) % 2
    x = rng.standard_normal((240, 6))
    x[:, 0] += 3 * of
    c = loss_recovered(ArrayActivations(x, "planted", {"label": of})).columns
    at = {name: i for i, name in enumerate(c["replaced by"])}
    return (
        CheckLine("units: recovered", 1.0, c["loss recovered"][at[OWN]], 0.0),
        CheckLine("units: lost without them", 1.0, c["lost without its part"][at[OWN]], 1e-9),
        CheckLine("units: KL", 0.0, c["KL"][at[OWN]], 0.0),
        CheckLine("mean ablation: recovered", 0.0, c["loss recovered"][at[MEAN]], 0.0),
        CheckLine("zero ablation: recovered against zero", 0.0, c["against zero"][at[ZERO]], 0.0),
        CheckLine("class means: recovered", 1.0, c["loss recovered"][at["class means"]], 0.5, "at least"),
    )


METHODS = (
    Method(
        id="loss_recovered", family="dictionaries", title="Loss recovered", version=2, function=loss_recovered,
        summary="What the network keeps when the tap is replaced by its reconstruction, beside ablations and rivals.",
        params=LossRecoveredParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; scaling a direction up and its codes down",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
                "Towards Principled Evaluations of Sparse Autoencoders"),
    ),
)  # fmt: skip
