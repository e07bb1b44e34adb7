"""Does adversarial training of a probe pay over several data sets? Linear probe, nearest neighbours and SeA in a table.

A row for each tap and column: held-out accuracy of a linear probe, of nearest neighbours, and of the probe trained
against itself (SeA, as in adversarial_augmentation), with Wilson's intervals, beside the majority rate; the gain of
SeA over the linear probe, sample by sample, with Newcombe's interval and McNemar's exact test, Holm's over the rows.

The mean gain over rows has Student's interval over rows: rows as draws from all the data sets one could have taken,
which taps of one network on the same samples are not.

When it lies: a gain of 2 % needs thousands of samples to be told from 0 in one row; ε, rate and epochs are the same for
all rows and not tuned; a probe at its ceiling gains nothing; taps of one network repeat one finding.

Cost: for each row 5 folds x 2 probes x epochs of O(n d (classes + batch)); memory O(n d).

References: Q. Qian, Y. Xu & J. Hu (2024), "SeA: semantic adversarial augmentation for last layer features from
unsupervised representation learning"; Q. McNemar (1947); S. Holm (1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.discordant import gains_over
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces import compared_probes as probes
from analysis.compute.subspaces.adversarial_features import ADVERSARIAL, PLAIN
from analysis.compute.subspaces.compared_probes import FEWEST, FOLDS, NEAREST, Training, accuracy_interval
from analysis.errors import InputError, LoupeError, NotEnoughData, ParameterError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_ESTIMATED = 8
LINEAR, SEA = "linear", "SeA"
KINDS = {PLAIN: LINEAR, ADVERSARIAL: SEA}
SAID = {LINEAR: "a linear probe", SEA: "the probe trained against itself", NEAREST: "nearest neighbours"}
HELP = {
    "data": "Tap, and column where there are several.",
    "samples": "How many were used.",
    "majority": "Share of the largest class.",
    **{name: f"Held-out accuracy of {said}." for name, said in SAID.items()},
    "gain": "SeA less the linear probe, sample by sample.",
    "p": "Exact test of samples that one of the two gets right (McNemar), Holm's over the rows.",
}


@dataclass(frozen=True)
class ProbeLabParams:
    columns: str = param("label", "Sample columns with classes, with commas between.")
    epsilon: float = param(0.1, "How far features are moved, in their own length.", low=0.0, high=2.0)
    batch: int = param(
        64, "Examples of a batch; each half is projected on the span of the other.", low=4, high=2048
    )
    epochs: int = param(30, "Passes over the samples.", low=1, high=500)
    rate: float = param(1.0, "First step size, falling to 0.", low=1e-4, high=20.0)
    neighbours: int = param(10, "Nearest training samples that vote.", low=1, high=100)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


@dataclass(frozen=True)
class Row:
    """A data set: `right` (n,) bool by probe, of `classes` classes."""

    name: str
    right: dict[str, np.ndarray]
    classes: int
    majority: float
    d: int

    @property
    def n(self) -> int:
        return len(self.right[LINEAR])


def probe_lab(*taps, params: ProbeLabParams = ProbeLabParams(), rng=None, progress=no_progress) -> Table:
    """Probes of several taps and columns.

    Parameters
    ----------
    *taps : Activations with the class columns, of any samples.

    Returns
    -------
    Table
        A row for each tap and column. Estimates: the mean gain over rows, and for the first rows each accuracy and the
        gain.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such column, none named; in every row fewer than 50 samples or two classes of five, or equal features.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    columns = [c.strip() for c in params.columns.split(",") if c.strip()]
    if not columns:
        raise ParameterError("no column", "at least one sample column with classes")
    names, rows, notes = tap_names([t.name for t in taps]), [], []
    jobs = [(tap, name, c) for tap, name in zip(taps, names, strict=True) for c in columns]
    for tap, _, column in jobs:
        sample_column(tap, column)
    seed = int(rng.integers(2**32))
    for i, (tap, name, column) in enumerate(jobs):
        span = (i / len(jobs), (i + 1) / len(jobs))
        label = f"{name}, {column}" if len(columns) > 1 else name
        try:
            row, said = _row(tap, label, column, params, np.random.default_rng(seed), progress, span)
        except (NotEnoughData, InputError) as error:
            if len(jobs) == 1:
                raise
            notes.append((label, error))
            continue
        rows.append(row)
        notes += [(label, note) for note in said]
    if not rows:
        raise notes[0][1]
    progress(1.0, "done")
    return _table(rows, notes, params)


def _row(tap, label: str, column: str, params, rng, progress, span) -> tuple[Row, tuple[str, ...]]:
    middle = span[0] + 0.1 * (span[1] - span[0])
    data = probes.probe_samples(tap, column, params, rng, progress, (span[0], middle))
    right = probes.right_by_probe(
        data.values, data.of, len(data.names), KINDS, _training(params), rng, progress, (middle, span[1])
    )
    majority = float(data.counts.max() / len(data.of))
    return Row(label, right, len(data.names), majority, tap.shape[1]), data.notes


def _training(params: ProbeLabParams) -> Training:
    return Training(params.epsilon, params.batch, params.epochs, params.rate, params.neighbours)


def _gains(rows: list[Row]) -> list[tuple[float, float, float, float]]:
    """(gain, low, high, p) of SeA by row, Holm's over the rows."""
    out = [gains_over({k: r.right[k] for k in (LINEAR, SEA)}, LINEAR)[SEA] for r in rows]
    running = 0.0
    for i, k in enumerate(sorted(range(len(out)), key=lambda k: out[k][3])):
        running = max(running, min(1.0, (len(out) - i) * out[k][3]))
        out[k] = (*out[k][:3], running)
    return out


def _table(rows: list[Row], notes, params: ProbeLabParams) -> Table:
    gains = _gains(rows)
    columns = {
        "data": np.array([r.name for r in rows]), "samples": np.array([r.n for r in rows]),
        "classes": np.array([r.classes for r in rows]), "majority": np.array([r.majority for r in rows]),
    }  # fmt: skip
    for name in (LINEAR, NEAREST, SEA):
        ends = np.array([accuracy_interval(r.right[name]) for r in rows])
        columns[name] = np.array([r.right[name].mean() for r in rows])
        columns |= {f"{name} low": ends[:, 0], f"{name} high": ends[:, 1]}
    for i, name in enumerate(("gain", "gain low", "gain high", "p")):
        columns[name] = np.array([g[i] for g in gains])
    said = ["Step size, rate and epochs were not tuned, and are the same for all rows."]
    if len(rows) > 1:
        said.append(
            "Rows of the same samples are not independent; the interval of the mean gain takes them so."
        )
    said += [f"{label} left out: {n.found}." if isinstance(n, LoupeError) else n for label, n in notes]
    return Table(
        title="Probes of " + (rows[0].name if len(rows) == 1 else f"{len(rows)} data sets"),
        reading=_reading(rows, gains, params), caveats=tuple(dict.fromkeys(said)),
        estimates=_estimates(rows, gains), columns=columns, index="data", help=HELP,
    )  # fmt: skip


def _estimates(rows: list[Row], gains) -> tuple[Estimate, ...]:
    each, n = np.array([g[0] for g in gains]), sum(r.n for r in rows)
    out = []
    if len(rows) > 1:
        ends = {**mean_interval(each, -1.0, 1.0), "interval": "Student's t over rows"}
        out.append(
            Estimate("mean gain of SeA over rows", float(each.mean()), **ends, null=0.0,
                     null_method="either probe right as often", n=len(rows), estimator=f"{n:,} samples")
        )  # fmt: skip
    for r, (value, low, high, p) in list(zip(rows, gains, strict=True))[:MOST_ESTIMATED]:
        made = {"n": r.n, "d": r.d, "estimator": f"{FOLDS} folds, the same for all"}
        out += [
            Estimate(f"{r.name}: accuracy, {name}", float(r.right[name].mean()), *accuracy_interval(r.right[name]),
                     interval="Wilson, samples as draws", null=r.majority, null_method="majority rate", **made)
            for name in (LINEAR, NEAREST, SEA)
        ]  # fmt: skip
        out.append(
            Estimate(f"{r.name}: gain of SeA", value, low, high, interval="Newcombe's, of paired shares", null=0.0,
                     null_method="either probe right as often (McNemar, Holm)", p_value=p, **made)
        )  # fmt: skip
    return tuple(out)


def _reading(rows: list[Row], gains, params) -> str:
    best = [max((LINEAR, NEAREST, SEA), key=lambda k, r=r: float(r.right[k].mean())) for r in rows]
    sure = [g for g in gains if g[3] < 0.05]
    up = sum(g[0] > 0 for g in sure)
    mean = float(np.mean([g[0] for g in gains]))
    return (
        f"Training the probe against small steps towards its errors (SeA, ε = {params.epsilon:g}) changes its accuracy "
        f"by {mean:+.1%} on average of {len(rows)} row(s); "
        f"beyond chance in {len(sure)} ({up} up, {len(sure) - up} down). Highest accuracy: "
        + ", ".join(f"{SAID[k]} in {best.count(k)}" for k in (LINEAR, NEAREST, SEA) if k in best)
        + "."
    )


def _cost(shapes, params: ProbeLabParams) -> Cost:
    m, seconds, most, columns = machine(), 0.05, 0.0, max(1, params.columns.count(",") + 1)
    for rows, d in shapes:
        flops, calls, held = probes.probes_cost(
            min(rows, params.maximum_samples), d, _training(params), len(KINDS)
        )
        seconds += columns * m.seconds(flops64=flops, moved=24.0 * rows * d, calls=calls)
        most = max(most, held)
    return Cost(seconds, most)


def _check() -> tuple[CheckLine, ...]:
    """Separable classes, classes at random, and a column against majority; ε = 0 is the plain probe."""
    rng = np.random.default_rng(4)
    label = np.arange(150) % 3
    x = rng.standard_normal((150, 9)) + 5 * np.eye(9)[label]
    tap = ArrayActivations(x, "a", {"label": label, "noise": rng.permutation(label), "one": (label == 0) * 1})
    made = {"epochs": 5, "batch": 16}
    found = probe_lab(tap, params=ProbeLabParams(columns="label, noise, one", **made)).columns
    none = probe_lab(tap, params=ProbeLabParams(epsilon=0.0, **made)).columns
    return (
        CheckLine("rows", 3, len(found["data"]), 0.0),
        CheckLine("separable classes: linear", 0.97, float(found[LINEAR][0]), 0.0, "at least"),
        CheckLine("separable classes: SeA", 0.97, float(found[SEA][0]), 0.0, "at least"),
        CheckLine("separable classes: neighbours", 0.97, float(found[NEAREST][0]), 0.0, "at least"),
        CheckLine("classes at random", 1 / 3, float(found[LINEAR][1]), 0.17),
        CheckLine("majority of one against two", 2 / 3, float(found["majority"][2]), 1e-12),
        CheckLine("ε = 0: gain", 0.0, float(np.abs(none["gain"]).max()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="probe_lab", family="concepts", title="Probes of several data sets", version=1, function=probe_lab,
        summary="Linear probe, nearest neighbours and adversarial augmentation for several taps and columns.",
        params=ProbeLabParams, result=Table, check=_check, cost=_cost, inputs=1, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations of a tap alike changes nothing",
        papers=("SeA: semantic adversarial augmentation of last-layer features",),
    ),
)  # fmt: skip
