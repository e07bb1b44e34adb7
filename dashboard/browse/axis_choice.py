"""An axis that a person names for a method: what the URL says of it, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.known_factors import NOT_FACTORS, factor_of
from analysis.compute.rows.packed_direction import pack_direction
from analysis.errors import LoupeError, ParameterError
from analysis.sources.weight_directions import ASKS, fitting_layers
from analysis.sources.weights import weights_of
from analysis.spec import Method, params_of
from dashboard.browse import naming
from dashboard.browse.cards import label_words
from dashboard.figures.text import plain, shorten

PARAMETERS = ("direction", "low", "high", "vector")
MADE, SAMPLES, UNIT, COMPONENT, PROBE, FEATURE = "", "samples", "unit", "pc", "probe", "feature"
WEIGHTS, ROW = "weights", "row"
KINDS = {
    MADE: "the attribute below",
    SAMPLES: "two samples, from one to the other",
    UNIT: "a unit of this tap",
    COMPONENT: "a principal axis",
    PROBE: "a probe of another column",
    FEATURE: "a feature of a set (SAE latent)",
    WEIGHTS: "weights of this network",
    ROW: "a row of another store (SAE, probe)",
}


@dataclass(frozen=True)
class Layer:
    """`count` directions of a layer; `text` without the number is how the axis is written."""

    name: str
    count: int
    asks: bool

    @property
    def words(self) -> str:
        what = "units that read this tap" if self.asks else "inputs that write into this tap"
        return f"{self.name} ({self.count:,} {what})"

    def text(self, number: int) -> str:
        return f"weights:{self.name}:{number}:{'asks' if self.asks else 'adds'}"


def whole(layer: Layer) -> str:
    """All directions of a layer, as a method reads them."""
    return f"{layer.name}:{'asks' if layer.asks else 'adds'}"


def adds_axes(method: Method) -> bool:
    """Whether a given axis stands beside those of columns, instead of in their place."""
    return "others" in {p.name for p in params_of(method.params)}


def takes_axis(method: Method) -> bool:
    """Whether an axis can be given to a method by name."""
    return {p.name for p in params_of(method.params)} >= set(PARAMETERS)


def kind_of(given: Mapping[str, str]) -> str:
    """What kind of axis the URL names; `given` its parameters by name."""
    if given.get("low") or given.get("high"):
        return SAMPLES
    kind = given.get("direction", "").partition(":")[0].strip()
    return kind if kind in KINDS else MADE


def layers(tap) -> tuple[list[Layer], str]:
    """Layers with a direction in the space of the tap, and why there are none."""
    try:
        found = [Layer(name, count, side == ASKS) for name, count, side in fitting_layers(tap)]
    except LoupeError as refusal:
        return [], f"{refusal.found}."
    return found, "" if found else "No layer of its checkpoint reads this tap or writes into it."


def network_layers(tap) -> dict[str, str]:
    """Layers of the tap's network by name, in words; first "", the one that was recorded, or without such one those
    that write into the tap. Empty where there are no weights."""
    try:
        network = weights_of(tap)
        writes = [name for name, _, side in fitting_layers(tap) if side != ASKS and name in network.layers]
        own = network.find(tap.tap) is not None
    except (LoupeError, AttributeError):  # an array has no network
        return {}
    named = {
        name: f"{name} ({network.units(name):,} units)" for name in dict.fromkeys([*writes, *network.layers])
    }
    return {"": "the one that was recorded", **named} if own else named


def fitting_sets(workspace, reference: str) -> dict[str, int]:
    """How many features each set with directions in the space of the tap has; first the sets made for such a tap."""
    tap, d = reference.partition(":")[2], workspace.activations(reference).shape[1]
    sets = [facts for facts in workspace.features.facts() if not facts.problem and facts.n_units == d]
    sets.sort(key=lambda facts: (facts.about.get("beside") or facts.about).get("tap") != tap)
    return {facts.name: facts.n_features for facts in sets}


def packed_feature(workspace, reference: str, name: str, number: int) -> str:
    """The direction of a feature as the parameter `vector`. Raises NotFound, StoreDamaged, ParameterError for one of
    another width, or that is 0 or not finite."""
    directions, d = workspace.features.open(name).directions, workspace.activations(reference).shape[1]
    if directions.shape[1] != d:
        raise ParameterError(
            f"features of {name} in {directions.shape[1]} units", f"one for each of {d} units"
        )
    return pack_direction(directions[number])


def feature_words(workspace, reference: str, name: str, number: int) -> str:
    """What the names kept for the set's features at this tap say of one; empty where there are none."""
    encoded = f"{reference}@{name}"
    if encoded.partition(":")[2] not in workspace.store(reference.partition(":")[0]).taps:
        return ""
    said, proposal = (
        naming.sentence(naming.kept(workspace, encoded), number),
        naming.proposed(workspace, encoded),
    )
    return (
        " ".join([said, naming.proposal_sentence(proposal[number])]).strip() if number in proposal else said
    )


def row_taps(workspace, reference: str, references: list[str]) -> list[str]:
    """Taps of other stores with as many units: a row of theirs may be a direction here."""
    store, d = reference.partition(":")[0], workspace.activations(reference).shape[1]
    others = [r for r in references if r.partition(":")[0] != store]
    return [r for r in others if workspace.activations(r).shape[1] == d]


def packed_row(workspace, reference: str, row: int) -> str:
    """A row of a tap as the parameter `vector`. Raises NotFound, ParameterError for one that is 0 or not finite."""
    return pack_direction(np.asarray(workspace.activations(reference).take(np.array([row])))[0])


def first_two(store) -> tuple[str, str]:
    """Ids of the first sample, and of the first with another label: something to begin with."""
    ids, n = store.samples["id"], store.n_samples
    other = 1 if n > 1 else 0
    if "label" in store.samples:
        labels = np.asarray(store.samples["label"])
        different = np.flatnonzero(labels != labels[0])
        other = int(different[0]) if len(different) else other
    return str(ids[0]), str(ids[other])


def place_of(store, id: str) -> int | None:
    """The sample of this id."""
    found = np.flatnonzero(np.asarray(store.samples["id"]).astype(str) == id)
    return int(found[0]) if len(found) else None


def sample_words(store, place: int) -> str:
    """ "17 · label 4": what a list of samples calls one."""
    words = [plain(store.samples["id"][place]), label_words(store, place)]
    if not words[1] and (tokens := store.tokens(place)):
        words[1] = shorten(plain("".join(tokens[:20])), 40)
    return " · ".join(word for word in words if word)


def probed(tap) -> list[str]:
    """What a probe can read of the sample columns: "size" of a number, "label=4" of every class."""
    found = []
    for name in tap.samples:
        factor = None if name in NOT_FACTORS else factor_of(name, np.asarray(tap.samples[name]))
        if factor is not None:
            found += [name] if factor.is_number else [f"{name}={c}" for c in factor.classes]
    return found
