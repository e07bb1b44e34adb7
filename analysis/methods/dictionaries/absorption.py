"""Does a feature fail silently, because another one has absorbed what it stands for?

For every value of every attribute (sample columns of classes): the features that tell it best (a union of at most
eight, found on one half of the samples) are its main features. Among the samples of the other half that have the value
and that a linear probe of the tap recognises, those in which all main features are silent are misses. A miss is
*absorbed* where one other feature carries the value instead: its contribution z_j d_jᵀ u along the value's own
direction u is the largest and at least half of all positive ones, and d_j leans along u (cosine of at least 0.025).

    absorption rate = absorbed / samples that the probe recognises

Null: the same with directions u of exchanged labels, which no feature has a reason to carry.

When it lies: where a single feature is active in a sample it carries any direction that it leans to, half of the
exchanged ones among them, so read the share by chance; one large feature may carry everything that lies along u; u is
a difference of means, and whatever goes along with the value is in it; tokens are pooled; a value that the probe does
not recognise is not looked at; few samples of a value give wide intervals.

Cost: one search of features as in `concept_f1`, and O(n k) contributions for each value and exchange.

References: D. Chanin et al. (2024), "A is for absorption: studying feature splitting and absorption in sparse
autoencoders"; "OrtSAE: Orthogonal sparse autoencoders uncover atomic features" (2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.absorbed import Misses, misses_of
from analysis.compute.dictionaries.concept_scores import halves, judged
from analysis.compute.machine import machine
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.nulls import wilson
from analysis.errors import NotEnoughData
from analysis.features.attribute_values import AttributeParams, attribute_values
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress

FEWEST, SMALLEST = 20, 5  # samples; of a value that the probe recognises
HELP = {
    "value": "Attribute and value.",
    "recognised": "Samples that have it and that a held-out probe of the tap recognises.",
    "main features": "Found on one half of the samples; any of them firing is a hit.",
    "missed": "Share of these samples in which all main features are silent.",
    "absorbed": "Share in which, besides, one other feature carries the value.",
    "low": "95 % interval of the absorbed share (Wilson).",
    "high": "95 % interval of the absorbed share (Wilson).",
    "by chance": "The same with directions of exchanged labels.",
    "by": "The features that carry it most often.",
}


@dataclass(frozen=True)
class AbsorptionParams(AttributeParams):
    """As every view of the features of attributes."""


def absorption(
    activations, params: AbsorptionParams = AbsorptionParams(), rng=None, progress=no_progress
) -> Table:
    """Misses of the main features of every attribute value, and which of them another feature has absorbed.

    Parameters
    ----------
    activations : Activations with columns of classes
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each value, see `HELP`. Estimates: absorption rate, share missed.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        As `attribute_coverage`; no value that the probe recognises in five samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = attribute_values(tap, params, "max", rng, progress, (0.0, 0.2))
    made, first = tap_dictionary(tap), halves(data.keys, rng)
    mean, _, _ = pooled_samples(tap, "mean", data.samples, progress, (0.2, 0.3))
    mean, directions = mean[:, data.fires], made.features.decoder[data.fires].astype(np.float64)
    progress(0.4, "searching features")
    choices, _, several = judged(data.codes, data.hot, first)
    known = data.probe_says(first) & data.hot
    mixed = [rng.permutation(len(known)) for _ in range(params.draws)]
    found = []
    for v in range(data.hot.shape[1]):
        progress(0.5 + 0.5 * v / data.hot.shape[1], "looking for what carries it instead")
        main = [set(c.unions[v][0].tolist()) for c in choices]
        found.append(
            misses_of(
                mean, directions, data.x, data.hot[:, v], known[:, v], ~several[:, v], main, first, mixed
            )
        )
    progress(1.0, "done")
    kept = [v for v, m in enumerate(found) if m.recognised >= SMALLEST]
    if not kept:
        raise NotEnoughData(
            f"no value of an attribute is recognised by a linear probe of {made.source.name} in {SMALLEST} samples",
            "at least one", "Choose another tap or attribute",
        )  # fmt: skip
    columns = _columns([found[v] for v in kept], [data.names[v] for v in kept],
                       [[c.unions[v][0] for c in choices] for v in kept], data.feature_names)  # fmt: skip
    return Table(
        title=f"Absorption in {tap.name}", reading=_reading(columns),
        caveats=(*data.notes, "An absorbed miss is a suspicion: look at the samples of both features."),
        estimates=_estimates([found[v] for v in kept], tap.shape[1]), columns=columns, index="value",
        sort="absorbed", help=HELP,
    )  # fmt: skip


def _columns(found: list[Misses], names, main, features: np.ndarray) -> dict[str, np.ndarray]:
    bounds = np.array([wilson(m.absorbed, m.recognised) for m in found])
    return {
        "value": np.array(names), "recognised": np.array([m.recognised for m in found]),
        "main features": np.array([" or ".join(dict.fromkeys(", ".join(features[np.sort(f)]) for f in pair))
                                   for pair in main], dtype=str),
        "missed": np.array([m.missed / m.recognised for m in found]),
        "absorbed": np.array([m.absorbed / m.recognised for m in found]), "low": bounds[:, 0], "high": bounds[:, 1],
        "by chance": np.array([m.chance / m.recognised for m in found]),
        "by": np.array([", ".join(features[m.by[:3]]) for m in found], dtype=str),
    }  # fmt: skip


def _estimates(found: list[Misses], d: int) -> tuple[Estimate, ...]:
    n = sum(m.recognised for m in found)
    out = []
    for name, hits, chance in (
        ("absorption rate", sum(m.absorbed for m in found), sum(m.chance for m in found) / n),
        ("share missed by the main features", sum(m.missed for m in found), None),
    ):
        low, high = wilson(hits, n)
        null = {} if chance is None else {"null": chance, "null_method": "directions of exchanged labels"}
        out.append(Estimate(name, hits / n, low, high, interval="Wilson over samples and values", n=n, d=d,
                            estimator="share of recognised samples", **null))  # fmt: skip
    return tuple(out)


def _reading(c) -> str:
    worst, total = (
        int(c["absorbed"].argmax()),
        float((c["absorbed"] * c["recognised"]).sum() / c["recognised"].sum()),
    )
    said = (
        f"Of the samples whose value a linear probe recognises, main features miss "
        f"{float((c['missed'] * c['recognised']).sum() / c['recognised'].sum()):.1%}; in {total:.1%} another feature "
        "carries the value instead."
    )
    if c["absorbed"][worst] > 0:
        said += f" Most for {c['value'][worst]}: {c['absorbed'][worst]:.0%}, by feature {c['by'][worst].split(',')[0]}."
    return said


def _cost(shapes, params: AbsorptionParams) -> Cost:
    (n, k), m, c = shapes[0], machine(), 10  # ten values are usual
    some = min(n, params.maximum_samples)
    seconds = m.seconds(
        moved=16.0 * n * k + 4.0 * k * some * (24.0 * c + 700) + params.draws * c * some * k * 4.0
    )
    return Cost(seconds + 0.1, some * k * 8.0 * 5.0 + 300.0 * k * c / 10)


def planted_absorption(rng, n: int = 400) -> tuple[np.ndarray, dict]:
    """Feature 0 stands for b = 1 except where a special case (a twelfth of them) is carried by feature 1 alone."""
    b, special = rng.random(n) < 0.5, np.arange(n) % 12 == 0
    x = 0.01 * np.abs(rng.standard_normal((n, 6)))
    x[:, 0] += b & ~special
    x[:, 1] += b & special
    x[:, 4] += rng.random(n) < 0.5
    return x, {"b": b.astype(np.int64)}


def _check() -> tuple[CheckLine, ...]:
    """A special case carried by another unit is absorbed by that; a value in one unit is never missed."""
    x, columns = planted_absorption(np.random.default_rng(0))
    special = float((x[columns["b"] == 1, 1] > 0.5).mean())
    gone = absorption(ArrayActivations(x, "planted", columns)).columns
    there = list(gone["value"]).index("b = 1")
    whole = x.copy()
    whole[:, 0] = 0.01 * x[:, 0] + columns["b"]
    plain = absorption(ArrayActivations(whole, "planted", columns)).columns
    at = list(plain["value"]).index("b = 1")
    return (
        CheckLine("one feature: missed", 0.0, float(plain["missed"][at]), 0.0),
        CheckLine("one feature: absorbed", 0.0, float(plain["absorbed"][at]), 0.0),
        CheckLine("special case: absorbed", special, float(gone["absorbed"][there]), 0.0),
        CheckLine(
            "special case: half of exchanged directions lean to it",
            special / 2,
            float(gone["by chance"][there]),
            special / 3,
        ),
        CheckLine("special case: by feature 1", 1.0, float(gone["by"][there] == "1"), 0.0),
        CheckLine("recognised", float(columns["b"].sum()), float(plain["recognised"][at]), 0.0),
    )


METHODS = (
    Method(
        id="absorption", family="dictionaries", title="Absorption", version=1, function=absorption,
        summary="Where main features of a value are silent because another feature carries it.",
        params=AbsorptionParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; scaling a direction up and its codes down",
        papers=("OrtSAE: Orthogonal Sparse Autoencoders Uncover Atomic Features",),
    ),
)  # fmt: skip
