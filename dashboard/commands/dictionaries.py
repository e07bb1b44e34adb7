"""`loupe features`: dictionaries in and out of a workspace, and taps encoded with them."""

from __future__ import annotations

from pathlib import Path

from analysis.workspace import Workspace
from dashboard.commands.output import Bar, one_line, plain, print_json, workspace_of


def import_(given) -> int:
    from analysis.features.importing import import_feature_set

    shelf = workspace_of(given).features
    shelf.refuse_taken(given.name or Path(given.path).stem)
    found = import_feature_set(
        given.path, name=given.name, architecture=given.architecture, k=given.k, scale=given.scale,
        epsilon=given.epsilon,
    )  # fmt: skip
    shelf.add(found)
    facts = next(f for f in shelf.facts() if f.name == found.name)
    if given.json:
        return print_json({"kind": "feature set", **plain(facts)})
    print(_line(facts))
    return 0


def make(given) -> int:
    """A classical dictionary of a tap."""
    from analysis.jobs.handlers import make_classical
    from dashboard.commands.analyses import settings

    workspace, bar = workspace_of(given), Bar(given)
    name = given.name or f"{given.kind} {given.input.partition(':')[2]}"
    asked = {"input": given.input, "kind": given.kind, "name": name, "params": settings(given.set)}
    made = make_classical(workspace, {**asked, "seed": given.seed}, bar)
    bar.end()
    facts = next(f for f in workspace.features.facts() if f.name == made.name)
    if given.json:
        return print_json({"kind": "feature set", **plain(facts)})
    print(_line(facts))
    explained = made.about["held_out"]["explained_variance"]
    if explained is not None:
        print(
            f"  {explained:.1%} of the variance of {made.about['rows']['held_out']:,} held-out rows explained"
        )
    for line in made.about["caveats"]:
        print(f"  {one_line(line)}")
    return 0


def list_(given) -> int:
    workspace = workspace_of(given)
    found, encoded = workspace.features.facts(), _encoded(workspace)
    if given.json:
        return print_json({"feature_sets": [plain(f) for f in found], "encoded": encoded})
    for facts in found:
        print(_line(facts))
    for one in encoded:
        print(f"  {one_line(one['tap'])}: {one['of']} encoded with {one_line(one['set'])}")
    if not found:
        print("no feature sets yet: `loupe features train STORE:TAP` or `loupe features import PATH`")
    return 0


def encode(given) -> int:
    workspace, bar = workspace_of(given), Bar(given)
    reference = workspace.encode(given.input, given.set, given.name, progress=bar)
    bar.end()
    facts = next(one for one in _encoded(workspace) if one["tap"] == reference)
    if given.json:
        return print_json(facts)
    mean = f", {facts['active']['mean']:.3g} active in a row" if facts["active"] else ""
    print(f"tap {one_line(reference)}: {facts['rows']:,} rows x {facts['features']:,} features{mean}")
    return 0


def certify(given) -> int:
    from analysis import certificates
    from analysis.certificates.questions import TESTS

    workspace, bar = workspace_of(given), Bar(given)
    seeds, networks = given.seeds, given.networks
    if seeds is None or networks is None:
        likely = certificates.likely_others(workspace, given.input)
        seeds = likely[0] if seeds is None else seeds
        networks = likely[1] if networks is None else networks
    made = certificates.certify(workspace, given.input, seeds, networks, seed=given.seed, progress=bar)
    bar.end()
    counts = {t: {w: int((made.columns[t] == w).sum()) for w in ("yes", "open", "no")} for t in TESTS}
    if given.json:
        about = {
            "tap": given.input,
            "seeds": list(seeds),
            "networks": list(networks),
            "reading": made.reading,
        }
        return print_json({"kind": "certificate", **about, "tests": counts, "caveats": list(made.caveats)})
    print(one_line(made.reading))
    for test, (words, *_) in TESTS.items():
        if any(counts[test].values()):
            print(
                f"  {test}: " + ", ".join(f"{n:,} {word}" for word, n in counts[test].items()) + f" ({words})"
            )
    for caveat in made.caveats:
        print(f"  {one_line(caveat)}")
    return 0


def remove(given) -> int:
    from analysis.store.encoded import remove_encoded

    workspace = workspace_of(given)
    store, colon, tap = given.what.partition(":")  # the name of a set has no colon
    if colon:
        remove_encoded(workspace.store(store), tap)
    else:
        workspace.features.delete(given.what)
    if given.json:
        return print_json({"removed": given.what})
    print(f"removed {one_line(given.what)}")
    return 0


def _encoded(workspace: Workspace) -> list[dict]:
    """Every encoded tap: its name, what it was made of, and how many features are active in a row."""
    found = []
    for store in (entry.store for entry in workspace.stores() if entry.store is not None):
        for tap in (tap for tap in store.taps if tap not in store.recorded):
            entry = store.entry(tap)
            rows, features = store.activations(tap).shape
            found.append(
                {"tap": f"{store.path.name}:{tap}", "of": entry["of"], "set": entry["feature_set"].get("name", ""),
                 "digest": entry["feature_set"].get("digest", ""), "rows": rows, "features": features,
                 "active": entry.get("active") or {}}
            )  # fmt: skip
    return found


def _line(facts) -> str:
    if facts.problem:
        return f"{one_line(facts.name)}: {one_line(facts.problem)}"
    k = f", k = {facts.active}" if facts.active else ""
    return (
        f"{one_line(facts.name)}: {facts.rule}, {facts.n_features:,} features of {facts.n_units:,} units{k}"
    )
