"""How what is shown was made: networks, data, settings, versions and digests, as lines of text."""

from __future__ import annotations

from analysis.workspace import Workspace
from dashboard.figures.text import plain
from dashboard.publishing.plan import Plan

SETTINGS = {
    "tokens": "tokens",
    "seed": "seed",
    "dtype": "kept as",
    "limit": "first samples only",
    "device": "device",
}


def of_store(workspace: Workspace, name: str, plan: Plan) -> list[tuple[str, str]]:
    """(what, words) of one store."""
    store = workspace.store(name)
    about, network, data = store.manifest, store.manifest["checkpoint"], store.manifest["data"]
    shown = [tap for tap in plan.taps if tap.reference.partition(":")[0] == name]
    lines = [
        ("Network", _network(network)),
        ("Data", _data(data, store.n_samples)),
        (
            "Classes",
            ", ".join(plain(c) for c in store.classes[:20]) + (" …" if len(store.classes) > 20 else ""),
        ),
        ("Recorded with", _settings(about.get("settings") or {})),
        (
            "Versions",
            ", ".join(f"{plain(k)} {plain(v)}" for k, v in sorted((about.get("versions") or {}).items())),
        ),
        ("Digest of the activations", store.digest),
        ("Shown", f"{sum(len(t.units) for t in shown):,} feature cards of {len(shown)} taps"),
    ]
    lines += [
        (f"Feature set {plain(set_name)}", f"digest {digest}") for set_name, digest in _sets(store, shown)
    ]
    return [(what, words) for what, words in lines if words]


def _network(about: dict) -> str:
    said = [plain(about.get("name") or ""), plain(about.get("architecture") or about.get("kind") or "")]
    if about.get("n_parameters"):
        said.append(f"{int(about['n_parameters']):,} parameters")
    facts = about.get("facts") or {}
    said += [f"{name} {facts[name]}" for name in ("seed", "step") if isinstance(facts.get(name), int)]
    said.append(f"digest {about['digest']}" if about.get("digest") else "")
    return ", ".join(part for part in said if part)


def _data(about: dict, n: int) -> str:
    said = [
        plain(about.get("name") or ""),
        f"{n:,} samples",
        f"digest {about['digest']}" if about.get("digest") else "",
    ]
    return ", ".join(part for part in said if part)


def _settings(given: dict) -> str:
    return ", ".join(
        f"{word} {plain(given[k])}" for k, word in SETTINGS.items() if given.get(k) not in (None, "")
    )


def _sets(store, shown) -> list[tuple[str, str]]:
    taps = [t.reference.partition(":")[2] for t in shown]
    made = [store.entry(tap)["feature_set"] for tap in taps if tap not in store.recorded]
    return sorted({(str(one.get("name", "")), str(one.get("digest", ""))) for one in made})
