"""`loupe info`: what a path holds, without running any of its code."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import NotFound, ParameterError
from analysis.workspace import Workspace
from dashboard.commands.output import Bar, data_options, one_line, plain, print_json


def info(given) -> int:
    path = given.path
    if not path.exists():
        raise NotFound(f"{path} does not exist", "a workspace, a store, a checkpoint or data")
    if (path / "workspace.json").exists():
        workspace = Workspace.open(path)
        if given.rebuild_index:
            raise ParameterError(
                f"--rebuild-index with {path}", "a store", f"Name one under {path / 'stores'}"
            )
        return _verify_all(given, workspace) if given.verify else _info_workspace(given, workspace)
    if (path / "manifest.json").exists() and (path / "taps").exists():
        from analysis.store.reader import Store

        if given.rebuild_index:
            _rebuild(given, Store.open(path))
        store = Store.open(path)
        return _verify(given, store) if given.verify else print_store(given, store)
    if given.verify:
        raise ParameterError(f"--verify with {path}", "a store or a workspace")
    if given.rebuild_index:
        raise ParameterError(f"--rebuild-index with {path}", "a store")
    from analysis.sources.declared.description import description_at

    weights = path.suffix in (".safetensors", ".pt", ".pth")
    if weights or description_at(path) or (path / "config.json").exists():
        return _info_checkpoint(given, path)
    return _info_data(given, path)


def _info_workspace(given, workspace: Workspace) -> int:
    entries = workspace.stores()
    stores = [_store_facts(e.store) if e.store else {"name": e.name, "problem": e.problem} for e in entries]
    selections = [
        {"name": s.name, "of": s.of, "store": s.store, "size": len(s)} for s in workspace.selections()
    ]
    if given.json:
        return print_json(
            {"kind": "workspace", "path": str(workspace.path), "stores": stores, "selections": selections}
        )
    print(f"workspace {workspace.path}: {len(stores)} store(s), {len(selections)} selection(s)")
    for s in stores:
        if s.get("problem"):
            print(f"  {s['name']}: {s['problem']}")
        else:
            print(
                f"  {s['name']}: {s['samples']} samples, {len(s['taps'])} taps, {s['bytes'] / 2**20:.1f} MiB"
            )
    return 0


def _verify_all(given, workspace: Workspace) -> int:
    """Check every store of a workspace."""
    bad = {}
    for entry in workspace.stores():
        bad[entry.name] = _damage(given, entry.store) if entry.store else [entry.problem]
    return _print_damage(given, bad)


def _verify(given, store) -> int:
    return _print_damage(given, {store.name: _damage(given, store)})


def _rebuild(given, store) -> None:
    from analysis.store.rebuilding import rebuild_index

    bar = Bar(given)
    rebuild_index(store, bar)
    bar.end()


def _damage(given, store) -> list[str]:
    bar = Bar(given)
    bad = store.verify(bar)
    bar.end()
    return bad


def _print_damage(given, bad: dict[str, list[str]]) -> int:
    """The damaged chunks of each store; 1 where there is any."""
    if given.json:
        print_json({"kind": "verification", "sound": not any(bad.values()), "damaged": bad})
    for name, chunks in {} if given.json else bad.items():
        print(
            f"store {name}: " + (f"{len(chunks)} damaged part(s)" if chunks else "every byte is as written")
        )
        for line in chunks:
            print(f"  {one_line(line)}")
        if chunks:
            print("  Restore these files from a copy, or record the store again.")
    return 1 if any(bad.values()) else 0


def _info_checkpoint(given, path: Path) -> int:
    from analysis.sources.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(path)
    lines = [plain(line) for line in checkpoint.tree()]
    facts = {
        k: getattr(checkpoint, k)
        for k in ("kind", "architecture", "n_parameters", "modality", "digest", "facts")
    }
    if given.json:
        return print_json(
            {**facts, "kind": "checkpoint", "format": facts["kind"], "path": str(path), "modules": lines}
        )
    print(
        f"checkpoint {path}: {facts['architecture']}, {facts['n_parameters']:,} parameters, digest {facts['digest']}"
    )
    for key, value in facts["facts"].items():
        print(f"  {key}: {value}")
    for line in lines:
        print("  " + "  ".join(str(v) for v in line.values() if v not in ("", None, [], {})))
    return 0


def _info_data(given, path: Path) -> int:
    from analysis.sources.data import open_data

    data = open_data(path, **data_options(given))
    facts = {"kind": "data", "data_kind": data.kind, "path": str(path), "samples": len(data), "digest": data.digest,
             "classes": list(data.classes), "columns": list(data.columns), "skipped": list(data.skipped)}  # fmt: skip
    if given.json:
        return print_json(facts)
    print(one_line(data.describe()))
    for line in facts["skipped"]:
        print(f"  skipped: {one_line(line)}")
    return 0


def _store_facts(store) -> dict:
    return {"name": store.name, "samples": store.n_samples, "complete": store.complete, "bytes": store.n_bytes,
            "digest": store.digest, "classes": list(store.classes), "problems": list(store.problems),
            "checkpoint": store.manifest.get("checkpoint", {}), "data": store.manifest.get("data", {}),
            "taps": [plain(t) | {"rows": store.activations(t.name).shape[0]} for t in store.taps.values()]}  # fmt: skip


def print_store(given, store) -> int:
    facts = _store_facts(store)
    if given.json:
        return print_json({"kind": "store", "path": str(store.path), **facts})
    print(
        f"store {facts['name']}: {facts['samples']} samples, {facts['bytes'] / 2**20:.1f} MiB, digest {facts['digest']}"
    )
    for t in facts["taps"]:
        size = f"{t['rows']:>9,} rows x {t['n_units']:,} units"
        print(f"  {one_line(t['name']):<40} {size}  {t['dtype']} tokens={t['tokens']}")
    for line in facts["problems"]:
        print(f"  note: {one_line(line)}")
    for line in facts["data"].get("skipped_items", ()):
        print(f"  skipped: {one_line(line)}")
    return 0
