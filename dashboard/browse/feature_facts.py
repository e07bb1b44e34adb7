"""What is said about one feature of an encoded tap beyond its examples: density, kin, energy, outputs, pursuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.firing import ABSORBED, ABSORBS, DOUBLE, SPLIT, Firing, pair_verdicts
from analysis.compute.statistics.nulls import wilson
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.logit_weights import Unembedding, unembedding_of
from analysis.features.prototype_evidence import place
from analysis.features.pursuit_trace import Trace, own_trace, pursuit_trace
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Scatter, Table
from dashboard.browse.cards import token_word
from dashboard.browse.kept import Kept
from dashboard.browse.unit import Unit
from dashboard.figures.text import plain

STEPS = 12  # of a pursuit
EVERYWHERE = 0.9  # share of the rows
LOOKED_AT = 8  # nearest directions that are looked at for suspects
WORDS = {
    DOUBLE: "fires in the same rows: the two may be one feature twice",
    SPLIT: "is near, fires about as often and in other rows: one concept may be split over the two",
    ABSORBED: "is near, rarer, and fires where this one is silent: it may absorb this one",
    ABSORBS: "is near, more frequent, and silent where this one fires: this one may absorb it",
}
_sets, _unembeddings = Kept(2), Kept(2)


@dataclass(frozen=True)
class Suspect:
    """A near direction whose rows say what it may be: `together` rows in which both fire, `expected` by chance."""

    feature: int
    cosine: float
    together: int
    expected: float
    verdict: str


def feature_set(unit: Unit) -> FeatureSet:
    """The set beside the encoded tap, kept by its digest. Raises NotFound, StoreDamaged."""
    return _sets.get(unit.activations.digest, lambda: tap_dictionary(unit.activations).features)


def is_prototype(unit: Unit) -> bool:
    """Whether the tap was encoded by prototypes, whose codes are similarities. Reads no weights."""
    tap = unit.tap
    return (
        tap not in unit.store.recorded and unit.store.entry(tap)["feature_set"].get("rule") == rules.PROTOTYPE
    )


def prototype(unit: Unit) -> tuple[str, list[tuple[str, float]]]:
    """Of a prototype: its class and nearest patch in a sentence, and (class, connection), the strongest first."""
    made = tap_dictionary(unit.activations)
    features, j = made.features, unit.number
    (row, *_), (value, *_) = unit.strongest
    largest = float(np.log(1 / features.epsilon))
    same = "it is that patch" if value > 0.99 * largest else f"{largest:.3g} would be the patch itself"
    said = f"Its nearest patch here: {place(unit.activations, int(row))}, similarity {value:.3g} ({same})."
    if features.connections is None:
        return said, []
    weight = features.connections[:, j].astype(float)
    classes = unit.store.classes
    names = classes if len(classes) == len(weight) else tuple(str(c) for c in range(len(weight)))
    own = (features.about.get("prototype_classes") or [-1] * features.n_features)[j]
    if own >= 0:
        said = (
            f"A prototype of class {names[own]} (by {features.about.get('classes_from', 'the file')}). {said}"
        )
    order = np.argsort(-weight, kind="stable")
    return said, [(names[c], float(weight[c])) for c in order]


def density(unit: Unit) -> str:
    """How often it is active, with an interval over samples, and how that compares with the other features."""
    layout, n = unit.activations.layout, unit.activations.shape[0] - len(unit.activations.gaps)
    samples, active = unit.index.active_samples(unit.number), unit.active
    low, high = wilson(samples, max(layout.n_samples, 1))
    rates = np.asarray(unit.index.table()["fraction_nonzero"], float)
    others = rates[rates > 0]
    more = float((others < rates[unit.number]).mean()) if len(others) else 0.0
    said = f"active in {samples:,} of {layout.n_samples:,} samples ({_share(low)} to {_share(high)}, 95 %)"
    if not layout.is_pooled:
        each = active / max(samples, 1)
        said = f"active on {_share(active / max(n, 1))} of the tokens and {said}, {each:.1f} tokens in each"
    return f"{said[0].upper()}{said[1:]}; denser than {_share(more)} of the features that fire."


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.1 or value == 0 else f"{100 * value:.2g} %"


def suspects(unit: Unit, near: list[tuple[int, float]], chance: float) -> list[Suspect]:
    """Of the nearest directions beyond chance, those whose rows make them suspects. Reads the entries of each."""
    found, n = [], unit.activations.shape[0] - len(unit.activations.gaps)
    own, _ = unit.entries
    for other, cosine in near[:LOOKED_AT]:
        if cosine <= chance:
            continue
        rows, _ = unit.activations.entries_of(other)
        if min(len(own), len(rows)) > EVERYWHERE * n:  # such rows are shared, whatever the features are
            continue
        both = len(np.intersect1d(own, rows, assume_unique=True))
        count = np.array([len(own), len(rows)])
        fired = Firing(n, count, count.astype(float), np.ones(2))
        verdict = pair_verdicts(fired, np.array([1, 0]), np.array([both, both]), np.array([True, True]))[0]
        if verdict in WORDS:
            found.append(Suspect(other, cosine, both, len(own) * len(rows) / max(n, 1), str(verdict)))
    return found


def partners(found: Table, name: str) -> list[dict]:
    """The lines of a feature in the table of features that fire together."""
    c = found.columns
    at = np.flatnonzero(c["feature"] == name)
    return [{key: column[i] for key, column in c.items()} for i in at]


def energy(found: Scatter, feature: int) -> tuple[float, float, tuple[float, float], str] | None:
    """(energy, error, range by chance, "12 of 48") of a feature; None where it has no direction."""
    at = np.flatnonzero(found.rows == feature)
    if not len(at):
        return None
    own = {name: column[at[0]] for name, column in found.columns.items()}
    ends = (float(own["by chance, low"]), float(own["by chance, high"]))
    of = f"{int(own['directions of the subspace']):,} of {int(own['units']):,}"
    return float(own["energy"]), float(own["error"]), ends, of


def unembedding(unit: Unit) -> Unembedding:
    """Of the network that the tap came from. Raises InputError, NotFound."""
    source = unit.activations.source()
    return _unembeddings.get(source.digest, lambda: unembedding_of(source, unit.store.classes))


def logit_weights(
    unit: Unit, many: int
) -> tuple[list[tuple[str, float]], list[tuple[str, float]], float, str]:
    """(output, weight) of those it raises most and lowers most, what the largest of a random direction of the same
    length stays below in 95 % of cases, and where the weights are from."""
    found, features = unembedding(unit), feature_set(unit)
    w = found.of(features.directions[unit.number])
    order = np.argsort(-w, kind="stable")
    many = min(many, len(order) // 2)
    up = [(found.names[i], float(w[i])) for i in order[:many]]
    down = [(found.names[i], float(w[i])) for i in order[::-1][:many]]
    return up, down, found.largest * float(features.lengths[unit.number]), found.said


def row_name(unit: Unit, row: int) -> str:
    """The sample's id, and which of its tokens a row is."""
    layout, spec = unit.activations.layout, unit.store.taps[unit.tap]
    sample = int(layout.sample_of(row))
    said = plain(unit.store.samples["id"][sample])
    if layout.is_pooled:
        return said
    token, tokens = int(layout.token_of(row)), unit.store.tokens(sample)
    shown = f" {tokens[token]!r}" if tokens is not None and token < len(tokens) else ""
    return f"{said}, {token_word(token, spec.leading, spec.grid)}{shown}"


def traces(unit: Unit, row: int) -> tuple[Trace, Trace]:
    """(by pursuit, by its own rule) of one row of the tap that was encoded."""
    features, x = feature_set(unit), unit.activations.source().take([row])[0]
    own = own_trace(features, x, STEPS)
    return pursuit_trace(features, x, max(len(own.features), 4)), own


def trace_lines(pursuit: Trace, own: Trace, names: tuple[str, ...]) -> list[dict]:
    """Both, step by step."""
    lines = []
    for step in range(max(len(pursuit.features), len(own.features))):
        line = {"Step": step + 1}
        for word, after, trace in (("Pursuit", "Left", pursuit), ("Own code", "Left after it", own)):
            here = step < len(trace.features)
            line[word] = names[trace.features[step]] if here else ""
            line[after] = f"{100 * trace.left[step]:.1f} %" if here else ""
        lines.append(line)
    return lines
