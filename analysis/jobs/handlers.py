"""What each kind of job does. Arguments and returned values are JSON; heavy results go to the workspace."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from analysis.jobs import training
from analysis.spec import Progress
from analysis.workspace import Workspace


def run_method(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"method", "inputs": ["store:tap"], "params", "seed"} → {"key"}; the Result is in the cache."""
    opened = Workspace.open(workspace)
    given = (arguments["method"], arguments["inputs"], arguments.get("params", {}))
    seed = int(arguments.get("seed", 0))
    opened.run(*given, seed=seed, progress=progress)
    return {"key": opened.key(*given, seed=seed)}


def run_check(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"method"} → the check's lines."""
    from analysis import pipeline

    return pipeline.check(arguments["method"])


def dry_run(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"checkpoint", "data", "model"?, "data_options"?} → {"taps": [...], "data": "...", "checkpoint": "..."}."""
    from analysis.recording.taps import dry_run as run

    progress(0.05, "opening the checkpoint")
    checkpoint, data = _open(arguments)
    progress(0.3, "loading the weights")
    loaded = checkpoint.load()
    progress(0.6, "one sample through the network")
    taps = [_plain(info) for info in run(loaded, data)]
    return {"taps": taps, "checkpoint": checkpoint.architecture, "samples": len(data), "data": data.describe(),
            "classes": list(data.classes), "skipped": list(data.skipped)}  # fmt: skip


def estimate(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """As for `record` → {"bytes", "seconds", "samples_per_second", …}; with "resume", of what is left of "name"."""
    from analysis.recording.estimate import estimate as run

    resume, directory = bool(arguments.get("resume")), Path(workspace)
    if resume:
        directory = Workspace.open(workspace).new_store_path(arguments["name"], resume=True)
    checkpoint, data = _open(arguments)
    given = {
        "directory": directory,
        "resume": resume,
        "seed": int(arguments.get("seed", 0)),
        **_settings(arguments),
    }
    cost = run(checkpoint.load(), data, tuple(arguments["taps"]), **given)
    return _plain(cost)


def record(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"checkpoint", "data", "name", "taps", "tokens", "batch", "limit", "dtype", "resume"} → {"store"}."""
    from analysis.recording.recorder import record as run

    opened = Workspace.open(workspace)
    progress(0.0, "opening the checkpoint")
    checkpoint, data = _open(arguments)
    directory = opened.new_store_path(arguments["name"], resume=bool(arguments.get("resume")))
    run(
        checkpoint,
        data,
        directory,
        name=arguments["name"],
        taps=tuple(arguments["taps"]),
        resume=bool(arguments.get("resume")),
        seed=int(arguments.get("seed", 0)),
        progress=progress,
        **_settings(arguments),
    )
    return {"store": arguments["name"]}


def import_dump(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"path", "name", "labels"?, "types"?, "resume"?} → {"store"}."""
    from analysis.recording.import_dump import import_dump as run
    from analysis.sources.dumps import open_dump

    opened = Workspace.open(workspace)
    dump = open_dump(
        arguments["path"], labels=arguments.get("labels") or None, types=arguments.get("types") or ""
    )
    resume = bool(arguments.get("resume"))
    directory = opened.new_store_path(arguments["name"], resume=resume)
    resume = resume and (directory / "manifest.json").exists()  # it may have died before the first byte
    run(dump, directory, name=arguments["name"], resume=resume, progress=progress)
    return {"store": arguments["name"]}


def erase(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"store", "tap", "column", "method", "k", "name", "first"?, "second"?, "inside"?, "outside"?} → {"store"}."""
    from analysis.recording.erased import erased_store

    asked = {
        name: arguments[name] for name in ("first", "second", "inside", "outside") if arguments.get(name)
    }
    made = erased_store(
        Workspace.open(workspace), arguments["store"], arguments["tap"], arguments["column"], arguments["method"],
        arguments.get("k"), arguments.get("name") or "", progress=progress, **asked,
    )  # fmt: skip
    return {"store": made.name}


def import_features(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"path", "name"?, "architecture"?, "k"?, "scale"?, "epsilon"?} → {"features": its name}."""
    from analysis.features.importing import import_feature_set

    shelf = Workspace.open(workspace).features
    shelf.refuse_taken(arguments.get("name") or Path(arguments["path"]).stem)
    progress(0.05, "reading the weights")
    found = import_feature_set(
        arguments["path"], name=arguments.get("name") or "", architecture=arguments.get("architecture") or "",
        k=arguments.get("k"), scale=arguments.get("scale"), epsilon=arguments.get("epsilon"),
    )  # fmt: skip
    progress(0.7, "keeping them")
    return {"features": shelf.add(found).name}


def encode(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "features", "name"?} → {"tap": "store:name"}."""
    opened = Workspace.open(workspace)
    given = (arguments["input"], arguments["features"], arguments.get("name") or "")
    return {"tap": opened.encode(*given, progress=progress)}


def make_features(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "kind", "name", "params"?, "seed"?} → {"features"}: a classical dictionary."""
    return {"features": make_classical(Workspace.open(workspace), arguments, progress).name}


def make_classical(opened: Workspace, arguments: dict, progress: Progress):
    """The kept FeatureSet that the arguments of `make_features` ask for."""
    from analysis.features.classical.making import make

    name, reference = arguments["name"], arguments["input"]
    opened.features.refuse_taken(name)
    opened.activations(reference)  # refuses what is no STORE:TAP
    store, _, tap = reference.partition(":")
    made = make(
        opened.store(store), tap, arguments["kind"], arguments.get("params"), name=name,
        seed=int(arguments.get("seed", 0)), selections=lambda said: opened.rows(said, reference), progress=progress,
    )  # fmt: skip
    return opened.features.add(made)


def certify(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "seeds": [...], "networks": [...], "seed"?} → {"tap"}; the table lies beside the tap."""
    from analysis.certificates import certify as run

    others = (arguments.get("seeds") or (), arguments.get("networks") or ())
    run(
        Workspace.open(workspace),
        arguments["input"],
        *others,
        seed=int(arguments.get("seed", 0)),
        progress=progress,
    )
    return {"tap": arguments["input"]}


def try_input(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "feature", "text"? or "picture"? (base64)} → what the feature does on it."""
    import base64
    import binascii

    from analysis.errors import InputError
    from analysis.recording.live import try_input as run

    name, _, tap = arguments["input"].partition(":")
    try:
        picture = base64.b64decode(arguments.get("picture") or "", validate=True)
    except (binascii.Error, ValueError):
        raise InputError("a picture that is not base64", "the bytes of a PNG or JPEG file") from None
    found = run(
        Workspace.open(workspace).store(name), tap, int(arguments["feature"]), text=arguments.get("text") or "",
        picture=picture, progress=progress,
    )  # fmt: skip
    return {**_plain(found), "values": found.values.tolist(), "input": arguments["input"],
            "feature": int(arguments["feature"]), "picture": arguments.get("picture") or ""}  # fmt: skip


def what_if(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "sample", "moved": [[feature, value], ...], "shown"?: [feature, ...]} → the answer. The
    network that was asked last stays open in this process."""
    from analysis.attribution.what_if import WhatIf

    tap = Workspace.open(workspace).activations(arguments["input"])
    key = (str(workspace), arguments["input"], tap.digest)
    if key not in _open_networks:
        made = WhatIf(tap, progress=progress)
        _open_networks.clear()
        _open_networks[key] = made
    moved = {int(number): float(value) for number, value in arguments.get("moved") or ()}
    shown = [int(number) for number in arguments.get("shown") or ()]
    found = _open_networks[key].ask(int(arguments["sample"]), moved, shown)
    return {**_plain(found), "input": arguments["input"], "sample": int(arguments["sample"])}


_open_networks: dict = {}  # of this worker, at most one


def token_dump(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "digest", "sample"} → {"file"}: what rules look at, of one sample, in the workspace's
    cache."""
    from analysis.tokens.kept_dump import keep, place_of
    from analysis.tokens.recorded_dump import digest_of

    desk, tap = _token_desk(workspace, arguments, progress)
    path = place_of(workspace, digest_of(tap), int(arguments["sample"]))
    if not path.exists():
        keep(desk.dump(int(arguments["sample"])), path)
    return {"file": path.name}


def token_run(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "digest", "sample", "rule", "share", "settings"?} → the answer with the tokens left."""
    desk, _ = _token_desk(workspace, arguments, progress)
    found = desk.applied(int(arguments["sample"]), arguments["rule"], float(arguments["share"]),
                         arguments.get("settings"))  # fmt: skip
    return {**_plain(found), "owners": found.owners.tolist()}


def _token_desk(workspace: Path, arguments: dict, progress: Progress):
    """The network of a tap, open in this process for the next question."""
    from analysis.tokens.asking import TokenDesk
    from analysis.tokens.recorded_dump import digest_of

    tap = Workspace.open(workspace).activations(arguments["input"])
    key = ("tokens", str(workspace), arguments["input"], digest_of(tap))
    if key not in _open_networks:
        progress(0.1, "opening the network")
        made = TokenDesk(tap)
        _open_networks.clear()
        _open_networks[key] = made
    return _open_networks[key], tap


def name_features(workspace: Path, arguments: dict, progress: Progress) -> dict:
    """{"input": "store:tap", "features": [...], "shown": who was shown to be asked} → {"input", "named": [...],
    "beyond", "scored", "without": {feature: why}}; names are kept in the workspace."""
    from analysis.naming.proposing import propose

    given = (arguments["input"], arguments["features"])
    found = propose(Workspace.open(workspace), *given, shown=str(arguments["shown"]), progress=progress)
    scores = [p.score for p in found.found if p.score is not None]
    return {
        "input": arguments["input"], "named": [p.unit for p in found.found], "scored": len(scores),
        "beyond": sum(s.beyond_chance for s in scores), "without": {str(k): v for k, v in found.without.items()},
    }  # fmt: skip


HANDLERS = {
    "method": run_method,
    "check": run_check,
    "dry_run": dry_run,
    "estimate": estimate,
    "record": record,
    "import": import_dump,
    "erase": erase,
    "import_features": import_features,
    "encode": encode,
    "train": training.train,
    "sweep": training.sweep,
    "training_cost": training.training_cost,
    "make_features": make_features,
    "certify": certify,
    "try_input": try_input,
    "what_if": what_if,
    "token_dump": token_dump,
    "token_run": token_run,
    "name_features": name_features,
}


def _open(arguments: dict):
    """Checkpoint and data by path. A model class may only come from the user's own command line, so a job
    that names one says who asked: `allow_code` is set by `loupe record` and never by a page."""
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    allowed = bool(arguments.get("allow_code"))
    checkpoint = open_checkpoint(arguments["checkpoint"], model=arguments.get("model"), allow_code=allowed)
    return checkpoint, open_data(arguments["data"], **(arguments.get("data_options") or {}))


def _settings(arguments: dict) -> dict:
    limit = arguments.get("limit")
    return {
        "tokens": arguments.get("tokens") or "mean",
        "batch": int(arguments.get("batch") or 32),
        "limit": None if limit in (None, "") else int(limit),
        "dtype": arguments.get("dtype") or "float16",
    }


def _plain(record) -> dict:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(record).items()}
