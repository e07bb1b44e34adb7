"""Why this class and not that one? What each prototype adds to two logits of one sample, summing to them exactly.

A prototype speaks with its largest similarity over the patches of the sample, s_p = max log((d² + 1) / (d² + ε)), times
the last layer's weights. The lines sum to the logit, bias aside:

    logit_A - b_A = Σ_p W_Ap s_p,     difference_p = (W_Ap - W_Bp) s_p

Each line names the patch of the sample that it saw and the patch of the whole tap that the prototype is nearest to; at
d = 0, s = log(1 / ε), it *is* that patch. Beside it the same line over the samples that are not of class A: their mean
and the range of the middle 95 %. A large line that is as large there speaks for no class.

When it lies: a prototype that every image has somewhere adds to every logit; the largest similarity need not be large;
prototypes of one class that repeat each other share what one would say; the ledger explains the last layer, not the
features before it. Of a set that is not of prototypes the weights are fitted here (see the caveats).

Cost: one pass over the tap, O(rows × units × prototypes).

References: C. Chen et al. (2019), "This looks like that: deep learning for interpretable image recognition"; "Improving
prototypical parts abstraction for case-based reasoning explanations designed for the kidney stone type recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.features.planted_prototypes import planted_prototypes
from analysis.features.prototype_estimates import ledger_estimates
from analysis.features.prototype_evidence import Largest, place, place_inside
from analysis.features.prototype_question import FEWEST, QuestionParams, asked_question, rows_seen
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "prototype": "Number of the feature, or its name.",
    "of class": "The class it belongs to.",
    "similarity": "Its largest value over the patches of the sample.",
    "adds for": "Similarity times the weight to the class asked about.",
    "adds against": "Similarity times the weight to the class it is held against.",
    "difference": "For less against: positive speaks for the class asked about.",
    "running sum": "Of the differences so far; the last is the difference of the two logits, bias aside.",
    "elsewhere": "Mean difference of this line over samples that are not of the class asked about.",
    "low": "Lower end of the middle 95 % of those samples.",
    "high": "Upper end of the middle 95 % of those samples.",
    "unusual": "Whether the difference lies outside that range.",
    "sees": "Where in the sample it is largest.",
    "looks like": "The patch of the whole tap that is most similar to the prototype.",
    "how alike": "The similarity of that patch; log(1 / ε) where it is the prototype itself.",
}


@dataclass(frozen=True)
class PrototypeLedgerParams(QuestionParams):
    lines: int = param(30, "Lines shown; the rest are one line together.", low=1, high=1000)


def prototype_ledger(
    activations, params: PrototypeLedgerParams = PrototypeLedgerParams(), rng=None, progress=no_progress
) -> Table:
    """The ledger of one sample.

    Parameters
    ----------
    activations : Activations
        Best a tap that a set of prototypes encoded; any other with classes gets a fitted read-out.

    Returns
    -------
    Table
        A line for each prototype, see `HELP`. Estimates: the logit, its difference, whether ledgers name the class.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample, class or column; fewer than eight samples; over 4 GiB.
    """
    return ledger_of(
        tap_dictionary(as_activations(activations)), params, rng or np.random.default_rng(0), progress
    )


def ledger_of(made: TapDictionary, params: PrototypeLedgerParams, rng, progress=no_progress) -> Table:
    """As `prototype_ledger`, of codes, activations and features."""
    q = asked_question(made, params, rng, progress)
    found, read, at, a, b = q.found, q.read, q.at, q.a, q.b
    progress(0.85, "summing")
    columns = _columns(made, found, read, at, a, b, q.others, params.lines)
    progress(1.0, "done")
    return Table(
        title=f"What speaks for {read.names[a]} and against {read.names[b]} in {q.sample}",
        reading=_reading(columns, q.sample, read, q.logits[at], a, b), caveats=q.notes,
        estimates=ledger_estimates(q, rng),
        columns=columns, index="prototype", sort="", help=HELP,
    )  # fmt: skip


def _columns(made: TapDictionary, found: Largest, read, at: int, a: int, b: int, others, lines: int) -> dict:
    s, weight = found.values[at], read.weights[a] - read.weights[b]
    order = np.argsort(-np.abs(weight * s), kind="stable")
    shown, rest = order[:lines], order[lines:]
    usual = (
        found.values[others][:, shown] * weight[shown] if others.any() else np.full((1, len(shown)), np.nan)
    )
    low, high = np.percentile(usual, [2.5, 97.5], axis=0)
    names, where = np.array(made.codes.unit_names)[shown], _places(made, found.samples[at], shown)
    parts = {
        "prototype": names, "of class": np.array([read.names[c] if c >= 0 else "none" for c in read.owner[shown]]),
        "difference": (weight * s)[shown], "running sum": np.cumsum((weight * s)[shown]), "sees": where,
        "looks like": np.array([place(made.codes, int(r)) for r in found.row[shown]]), "similarity": s[shown],
        "adds for": (read.weights[a] * s)[shown], "adds against": (read.weights[b] * s)[shown],
        "how alike": found.best[shown], "elsewhere": usual.mean(axis=0), "low": low, "high": high,
        "unusual": np.where(((weight * s)[shown] < low) | ((weight * s)[shown] > high), "yes", "no"),
    }  # fmt: skip
    if not len(rest):
        return parts
    return _with_rest(parts, found.values, read.weights[[a, b]], at, others, rest)


def _with_rest(parts: dict, values, weights, at: int, others, rest) -> dict:
    """One line more, for all features that are not shown."""
    usual = values[others][:, rest] @ (weights[0] - weights[1])[rest] if others.any() else np.full(1, np.nan)
    low, high = np.percentile(usual, [2.5, 97.5])
    adds, against = weights[:, rest] @ values[at][rest]
    total = adds - against
    last = {
        "prototype": f"{len(rest):,} others", "of class": "", "difference": total,
        "running sum": float(parts["running sum"][-1]) + total, "sees": "", "looks like": "", "similarity": np.nan,
        "adds for": adds, "adds against": against, "how alike": np.nan, "elsewhere": usual.mean(), "low": low,
        "high": high, "unusual": "no" if low <= total <= high else "yes",
    }  # fmt: skip
    return {name: np.append(column, last[name]) for name, column in parts.items()}


def _places(made: TapDictionary, sample: int, shown: np.ndarray) -> np.ndarray:
    """Where in the sample each feature is largest."""
    return np.array([place_inside(made.codes, int(r)) for r in rows_seen(made, sample)[shown]])


def _reading(c, sample: str, read, logits, a: int, b: int) -> str:
    best = [i for i in range(len(c["prototype"])) if c["difference"][i] > 0 and c["sees"][i]][:3]
    said = (
        f"{sample}: logit {logits[a]:.3g} for {read.names[a]}, {logits[b]:.3g} for {read.names[b]}; the lines sum to "
        f"{c['running sum'][-1]:.3g} of the difference, the biases to {read.bias[a] - read.bias[b]:.3g}"
    )
    for i in best:
        said += f"; {c['prototype'][i]} adds {c['difference'][i]:.3g} (looks like {c['looks like'][i]})"
    return said + "."


def _cost(shapes, params: PrototypeLedgerParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    held = 8.0 * n * k * 4 + 8.0 * min(n, k) ** 2 * 2 + 8.0 * min(rows, 4096) * k * 3
    return Cost(
        m.seconds(flops64=2.0 * rows * k * 64 + 2.0 * n * k * min(n, k), moved=48.0 * rows * k) + 0.02, held
    )


def _check() -> tuple[CheckLine, ...]:
    """Planted prototypes: lines sum to the logits of the network, and a prototype that is a patch has log(1 / ε)."""
    made, of, logits = planted_prototypes(np.random.default_rng(0))
    found = ledger_of(made, PrototypeLedgerParams(sample="3", lines=4), np.random.default_rng(0))
    c, a, b = found.columns, *np.argsort(-logits[3])[:2]
    return (
        CheckLine("lines for the class sum to its logit", logits[3, a], float(c["adds for"].sum()), 1e-10),
        CheckLine("lines against sum to the other", logits[3, b], float(c["adds against"].sum()), 1e-10),
        CheckLine("the running sum ends at the difference", logits[3, a] - logits[3, b], float(c["running sum"][-1]),
                  1e-10),
        CheckLine("similarity at distance 0", np.log(1e4), float(np.nanmax(c["how alike"])), 1e-9),
        CheckLine("share of samples named rightly", float((logits.argmax(axis=1) == of).mean()),
                  found.estimates[-1].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="prototype_ledger", family="dictionaries", title="Evidence ledger of prototypes", version=1,
        function=prototype_ledger,
        summary="What each prototype adds to two logits of one sample, which patch it saw, and what is usual.",
        params=PrototypeLedgerParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering prototypes; one number added to the weights of a prototype to every class (differences)",
        papers=(
            "Improving Prototypical Parts Abstraction for Case-Based Reasoning Explanations Designed for the Kidney "
            "Stone Type Recognition",
        ),
    ),
)  # fmt: skip
