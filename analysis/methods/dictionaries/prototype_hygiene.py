"""Which prototypes are broken: said twice, silent, at home in another class, or of no class at all?

Four questions for each prototype (or any other feature):

    duplicate        the nearest other direction has cosine 1; of prototypes also the distance, which decides
    never fires      nowhere nearer than a given distance (of other sets: nowhere above 0)
    wrong class      most of its k strongest samples are of one other class
    purity           share of its own class among its k strongest samples, each sample by its strongest patch

Null of purity: the share of the class among all samples; p by the hypergeometric tail, false-discovery rate 5 %. Its
interval is Wilson's. A prototype's class is the network's; a feature without one gets the class of most of its
strongest samples on one half of the data and is judged on the other.

When it lies: prototypes are moved onto training patches, so that on the training data the first sample is pure by
construction; a large class is pure by prevalence; samples that copy each other count as many; two directions of cosine
1 and different lengths are different prototypes (their distance says so); near duplicates are not flagged.

Cost: one pass over the tap, O(rows × units × prototypes), and O(prototypes²) for twins.

References: C. Chen et al. (2019), "This looks like that: deep learning for interpretable image recognition"; "Improving
prototypical parts abstraction for case-based reasoning explanations designed for the kidney stone type recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.coherence import nearest, nearest_by_chance
from analysis.compute.dictionaries.purity import owner_by_half, purity_of
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.nulls import bootstrap_mean, wilson
from analysis.errors import NotEnoughData
from analysis.features import rules
from analysis.features.planted_prototypes import planted_prototypes
from analysis.features.prototype_evidence import class_codes_of, largest_of, place
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, SAME, LEVEL = 8, 1e-5, 0.05
HELP = {
    "prototype": "Number of the feature, or its name.",
    "of class": "The class it belongs to.",
    "verdict": "The first that holds: duplicate, never fires, fires on another class, not purer than chance, fine.",
    "twin": "The other direction nearest to its own.",
    "cosine": "With that one.",
    "distance": "To that one; 0 with cosine 1: the same prototype twice.",
    "fires in": "Share of samples in which it fires.",
    "purity": "Share of its own class among its strongest samples.",
    "low": "95 % interval (Wilson).",
    "high": "95 % interval (Wilson).",
    "by chance": "Share of its class among all samples.",
    "q": "Of the purity against chance, after false-discovery control over prototypes.",
    "mostly": "The commonest class among its strongest samples.",
    "looks like": "The patch of the tap that is most similar to it.",
}


@dataclass(frozen=True)
class PrototypeHygieneParams:
    strongest: int = param(10, "How many of its strongest samples purity is told of.", low=3, high=500)
    within: float = param(
        1.0, "A prototype fires where its squared distance is below this (other features: above 0).", low=1e-6,
        high=1e6, label="fires within",
    )  # fmt: skip
    column: str | None = param(None, "Sample column of classes; automatic: 'label'.", column=True)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=20, high=100_000)


def prototype_hygiene(
    activations, params: PrototypeHygieneParams = PrototypeHygieneParams(), rng=None, progress=no_progress
) -> Table:
    """A line for each prototype, broken ones first, see `HELP`.

    Parameters
    ----------
    activations : Activations
        Best a tap that a set of prototypes encoded; of any other with classes, its features.

    Returns
    -------
    Table
        Estimates: mean purity, shares of duplicates, silent ones and those at home elsewhere.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No column of classes; fewer than eight samples; over 4 GiB.
    """
    return hygiene_of(
        tap_dictionary(as_activations(activations)), params, rng or np.random.default_rng(0), progress
    )


def hygiene_of(made: TapDictionary, params: PrototypeHygieneParams, rng, progress=no_progress) -> Table:
    """As `prototype_hygiene`, of codes, activations and features."""
    tap, features = made.codes, made.features
    samples, said = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    found = largest_of(made, samples, progress, (0.0, 0.7))
    if len(found.samples) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(found.samples)} sample(s) with finite rows", f"at least {FEWEST}"
        )
    names, of, owner, notes = class_codes_of(made, found.samples, params.column)
    judged, more = of >= 0, []
    if owner is None:
        owner, judged = owner_by_half(found.values, of, len(names), params.strongest, rng)
        more.append("The class of a feature was found on one half of the samples and judged on the other.")
    progress(0.8, "looking for twins")
    c = purity_of(found.values[judged], of[judged], owner, names, params.strongest)
    c |= _twins(features.directions, tap.unit_names)
    least = rules.similarity(np.float64(params.within), features.epsilon) if features.epsilon else 0.0
    fires = found.values > least
    verdict = _verdicts(c, fires.any(axis=0), owner, names, features.epsilon is not None)
    columns = {
        "prototype": np.array(tap.unit_names), "of class": np.array([names[o] if o >= 0 else "none" for o in owner]),
        "verdict": verdict, "twin": c["twin"], "cosine": c["cosine"], "distance": c["distance"],
        "fires in": fires.mean(axis=0), "purity": c["purity"], "low": c["low"], "high": c["high"],
        "by chance": c["chance"], "q": c["q"], "mostly": c["mostly"],
        "looks like": np.array([place(tap, int(r)) for r in found.row]),
    }  # fmt: skip
    worst = np.argsort(verdict == "fine", kind="stable")
    columns = {name: column[worst] for name, column in columns.items()}
    progress(1.0, "done")
    return Table(
        title=f"Hygiene of the prototypes of {tap.name}", reading=_reading(verdict),
        caveats=(*found.notes, *said, *notes, *more, *made.notes), index="prototype", sort="", help=HELP,
        estimates=_estimates(columns, features.directions.shape, int(judged.sum()), rng), columns=columns,
    )  # fmt: skip


def _twins(directions: np.ndarray, names) -> dict[str, np.ndarray]:
    found = nearest(directions)
    other = np.where(found.of >= 0, found.of, np.arange(len(directions)))
    d = directions.astype(np.float64)
    distance = np.where(found.of >= 0, np.sqrt(((d - d[other]) ** 2).sum(axis=1)), np.nan)
    twin = np.where(found.of >= 0, np.array(names, dtype=str)[other], "")
    return {"twin": twin, "cosine": found.cosine.astype(np.float64), "distance": distance}


def _verdicts(c, fires, owner, names, prototypes: bool) -> np.ndarray:
    out = []
    for j in range(len(owner)):
        if c["twin"][j] and c["cosine"][j] >= 1 - SAME:
            same = not prototypes or c["distance"][j] <= SAME
            out.append(
                f"duplicate of {c['twin'][j]}" if same else f"direction of {c['twin'][j]}, other length"
            )
        elif not fires[j]:
            out.append("never fires")
        elif "share" not in c or owner[j] < 0:
            out.append("no class to compare with")
        elif c["other"][j] != owner[j] and c["share"][j] > 0.5:
            out.append(f"fires on {names[c['other'][j]]}")
        else:
            out.append("fine" if c["q"][j] < LEVEL else "not purer than chance")
    return np.array(out, dtype=str)


def _estimates(c, shape, n: int, rng) -> tuple[Estimate, ...]:
    (k, d), out, good = shape, [], np.isfinite(c["purity"])
    if good.any():
        low, high = bootstrap_mean(c["purity"][good], rng)
        value, by = float(c["purity"][good].mean()), float(c["by chance"][good].mean())
        out.append(Estimate("mean purity", value, min(float(low), value), max(float(high), value), null=by,
                            interval="bootstrap over prototypes", null_method="share of the class among all samples",
                            estimator="strongest samples", n=n or k, d=k))  # fmt: skip
    for name, hit, null, how in (
        ("duplicates", np.char.startswith(c["verdict"], "duplicate"), 0.0,
         f"random directions: the nearest of {k} in {d} units has cosine {nearest_by_chance(k, d):.2f}"),
        ("never fire", c["verdict"] == "never fires", None, ""),
        ("fire on another class", np.char.startswith(c["verdict"], "fires on"), None, ""),
    ):  # fmt: skip
        low, high = wilson(int(hit.sum()), k)
        out.append(Estimate(f"share that {name}" if " " in name else f"share of {name}", float(hit.mean()), low, high,
                            interval="Wilson, prototypes as draws", null=null, null_method=how, n=k, d=d))  # fmt: skip
    return tuple(out)


def _reading(verdict: np.ndarray) -> str:
    words = {"fine": "fine", "duplicate": "duplicates", "never": "never fire", "fires": "fire on another class",
             "not": "no purer than chance", "direction": "along another one", "no": "without a class"}  # fmt: skip
    first = np.array([v.split()[0] for v in verdict])
    said = [f"{int((first == w).sum())} {text}" for w, text in words.items() if (first == w).any()]
    return f"Of {len(verdict):,} prototypes: " + ", ".join(said) + "."


def _cost(shapes, params: PrototypeHygieneParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    held = 8.0 * n * k * 4 + 8.0 * k * k + 8.0 * min(rows, 4096) * k * 3
    return Cost(m.seconds(flops64=2.0 * rows * k * 64 + 2.0 * k**3, moved=48.0 * rows * k) + 0.3, held)


def _check() -> tuple[CheckLine, ...]:
    """Planted prototypes: pure ones are fine, one said twice is flagged, one far away never fires, and one whose class
    was exchanged fires on another."""
    made, _, _ = planted_prototypes(np.random.default_rng(0))
    clean = hygiene_of(made, PrototypeHygieneParams(), np.random.default_rng(0)).columns
    rng = np.random.default_rng(0)
    spoilt = hygiene_of(planted_prototypes(rng, spoilt=True)[0], PrototypeHygieneParams(), rng).columns[
        "verdict"
    ]
    return (
        CheckLine("clean prototypes that are fine", 6.0, float((clean["verdict"] == "fine").sum()), 0.0),
        CheckLine("prevalence as chance", 1 / 3, float(clean["by chance"][0]), 1e-12),
        CheckLine(
            "one said twice: both flagged", 2.0, float(np.char.startswith(spoilt, "duplicate").sum()), 0.0
        ),
        CheckLine("one far away", 1.0, float((spoilt == "never fires").sum()), 0.0),
        CheckLine("one of an exchanged class", 1.0, float(np.char.startswith(spoilt, "fires on").sum()), 0.0),
    )


METHODS = (
    Method(
        id="prototype_hygiene", family="dictionaries", title="Hygiene of prototypes", version=1,
        function=prototype_hygiene,
        summary="Prototypes said twice, silent, at home in another class, or no purer than chance.",
        params=PrototypeHygieneParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering prototypes or samples; renaming classes",
        papers=(
            "Improving Prototypical Parts Abstraction for Case-Based Reasoning Explanations Designed for the Kidney "
            "Stone Type Recognition",
        ),
    ),
)  # fmt: skip
