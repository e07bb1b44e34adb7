"""Feature sets and the taps that were encoded with them, as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.errors import NotFound
from analysis.features import rules
from analysis.features.encoding import EncodingCost, encoding_cost
from analysis.features.neighbours import decoder_neighbours, largest_cosine_by_chance, unit_directions
from analysis.features.shelf import SetFacts
from analysis.workspace import Workspace
from dashboard.browse.kept import Kept

ARCHITECTURES = {  # as the import takes them, in words
    "": "as the file says",
    "standard": "ReLU",
    "topk": "TopK",
    "batchtopk": "BatchTopK (a threshold)",
    "jumprelu": "JumpReLU (thresholds)",
    "gated": "gated",
    "matching pursuit": "matching pursuit",
}
_costs, _directions, _near = Kept(64), Kept(2), Kept(512)


@dataclass(frozen=True)
class Encoded:
    """A tap that a set has encoded: where, from which tap, with which set. `active`: how many features are not 0 in a
    row, as `analysis.store.encoded.active_facts`."""

    store: str
    tap: str
    of: str
    set_name: str
    digest: str
    rows: int
    n_features: int
    active: dict = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return f"{self.store}:{self.tap}"

    @property
    def of_reference(self) -> str:
        return f"{self.store}:{self.of}"


def architecture(facts: SetFacts) -> str:
    """ "TopK, at most 8 active"."""
    said = str(facts.about.get("architecture") or "")
    if "latents" in facts.about and facts.rule == rules.LINEAR:
        return f"autoencoder ({said.replace('_', ' ')}), ordered latents"
    words = {
        rules.LINEAR: f"linear ({said})" if said and said != rules.LINEAR else "linear",
        rules.TOPK: f"TopK, at most {facts.active} active",
        rules.JUMP: "BatchTopK as a threshold" if "batch" in said.lower() else "JumpReLU, thresholds",
        rules.PURSUIT: f"matching pursuit, {facts.active} steps",
        rules.NEAREST: "nearest centre (k-means)",
        rules.PROTOTYPE: "prototypes (ProtoPNet)",
        rules.BY_STAGE: f"residual codebook of {len(facts.levels)} stages",
    }.get(facts.rule, facts.rule)
    nested = facts.levels and facts.rule != rules.BY_STAGE
    more = [f"Matryoshka of {len(facts.levels)} levels"] if nested else []
    return ", ".join([words, *more])


def of_its_kind(facts: SetFacts) -> dict[str, str]:
    """What only some kinds of set have to say: shares by the number of ordered latents, and of factor models."""
    about, said = facts.about, {}
    latents = about.get("latents") or {}
    if "explained_by_first" in latents:
        said["First k latents"] = "explain " + ", ".join(
            f"{v:.0%}" for v in latents["explained_by_first"][1:9]
        )
        said["Deviations"] = ", ".join(f"{v:.2g}" for v in latents["deviations"][:8])
    if "energy_scores" in latents:
        said["Energy score"] = (
            ", ".join(f"{v:.2g}" for v in latents["energy_scores"][:9]) + " with 0, 1, 2 … told"
        )
        said["Latents that tell"] = f"the first {latents['telling']}"
    if "explained_by_model" in about:
        said["Profiles explain"] = (
            f"{about['explained_by_model']:.0%} of the samples fitted ({about['explained_of_mixed_samples']:.0%} of "
            "samples mixed unit by unit)"
        )
    if "prototype_classes" in about:
        each = np.bincount([c for c in about["prototype_classes"] if c >= 0] or [0])
        few, many = int(each[each > 0].min(initial=each.max())), int(each.max())
        said["Classes"] = (
            f"{int((each > 0).sum())}, with {few if few == many else f'{few} to {many}'} prototypes each"
        )
        said["Classes by"] = str(about.get("classes_from", ""))
    if "core_consistency" in about:
        said["Core consistency"] = f"{about['core_consistency']:.0f} of 100"
    return said


def origin(facts: SetFacts) -> str:
    """Where it comes from: format and file of an imported one, whatever else it says."""
    parts = (str(facts.about.get(name) or "") for name in ("format", "file", "tap"))
    return " · ".join(part for part in parts if part)


def encoded_taps(workspace: Workspace) -> list[Encoded]:
    """Every encoded tap of the workspace."""
    found = []
    for store in (entry.store for entry in workspace.stores() if entry.store is not None):
        for tap in (tap for tap in store.taps if tap not in store.recorded):
            entry, (rows, k) = store.entry(tap), store.activations(tap).shape
            made_with = entry["feature_set"]
            found.append(
                Encoded(store.path.name, tap, entry["of"], str(made_with.get("name", "")),
                        str(made_with.get("digest", "")), rows, k, entry.get("active") or {})
            )  # fmt: skip
    return found


def fitting(workspace: Workspace, width: int) -> list[str]:
    """The recorded taps with so many units."""
    stores = [entry.store for entry in workspace.stores() if entry.store is not None]
    return [
        f"{store.path.name}:{name}"
        for store in stores
        for name, spec in store.recorded.items()
        if spec.n_units == width
    ]


def recorded_among(workspace: Workspace, references: list[str]) -> list[str]:
    """Those of these taps that were recorded, not encoded."""
    parts = ((r, *r.partition(":")[::2]) for r in references)
    return [r for r, store, tap in parts if tap in workspace.store(store).recorded]


def source_of(store, tap: str) -> str:
    """The recorded tap that an encoded one was made of; a recorded one itself."""
    return tap if tap in store.recorded else str(store.entry(tap)["of"])


def cost(workspace: Workspace, reference: str, facts: SetFacts) -> EncodingCost:
    """What encoding a tap will take, measured once on a few rows. Raises LoupeError."""
    activations = workspace.activations(reference)
    key = (activations.digest, facts.digest)
    return _costs.get(key, lambda: encoding_cost(activations, workspace.features.open(facts.name)))


def ever_active(store, tap: str) -> int:
    """How many features of an encoded tap are not 0 somewhere."""
    return int((store.index(tap).table()["fraction_nonzero"] > 0).sum())


def neighbours(workspace: Workspace, store, tap: str, feature: int) -> tuple[list[tuple[int, float]], float]:
    """(feature, cosine) of the directions next to a feature's own, and what the nearest of as many random directions
    reaches in 1 of 20 cases. Raises NotFound where the set is not in the workspace any more."""
    digest = store.entry(tap)["feature_set"].get("digest")
    name = next((f.name for f in workspace.features.facts() if f.digest and f.digest == digest), None)
    if name is None:
        raise NotFound(
            "The set that encoded this tap is not in the workspace any more", "",
            "Import it again to see its directions"
        )  # fmt: skip
    directions: np.ndarray = _directions.get(digest, lambda: unit_directions(workspace.features.open(name)))
    k, d = directions.shape
    near = _near.get((digest, feature), lambda: decoder_neighbours(directions, feature))
    return near, largest_cosine_by_chance(k - 1, d)
