"""`loupe record` and `loupe import`: into a new store."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from analysis.workspace import Workspace
from dashboard.commands.describing import hint
from dashboard.commands.information import print_store
from dashboard.commands.output import Bar, checkpoint_options, data_options, plain, print_json, say


def record(given) -> int:
    from analysis.recording.recorder import record as run
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    sys.path.insert(0, os.getcwd())  # the user's own factory, asked for on the user's own command line
    checkpoint = open_checkpoint(given.checkpoint, **checkpoint_options(given))
    data = open_data(given.data, **data_options(given))
    say(given, data.describe())
    for line in data.skipped[:5]:
        say(given, f"skipped: {line}")
    settings = {"tokens": given.tokens, "batch": given.batch, "limit": given.limit, "dtype": given.dtype}
    if given.dry_run:
        return _dry_run(given, checkpoint, data, settings)
    workspace = Workspace.create(given.workspace)
    directory = workspace.new_store_path(given.name, resume=given.resume)
    bar = Bar(given)
    extra = {"taps": tuple(given.taps)} if given.taps else {}

    def announce(cost) -> None:
        bar.end()
        say(given, f"to record: {cost.words}")

    loaded = checkpoint.load()
    run(
        checkpoint,
        data,
        directory,
        loaded=loaded,
        name=given.name,
        resume=given.resume,
        seed=given.seed,
        progress=bar,
        announce=announce,
        **settings,
        **extra,
    )
    bar.end()
    hint(given, loaded)
    return print_store(given, Workspace.open(given.workspace).store(given.name))


def _dry_run(given, checkpoint, data, settings: dict) -> int:
    from analysis.recording.choosing import DEFAULT, choose_taps
    from analysis.recording.estimate import estimate
    from analysis.recording.taps import dry_run

    loaded = checkpoint.load()
    infos = dry_run(loaded, data)
    globs = tuple(given.taps or DEFAULT)
    names = {t.name for t in choose_taps(infos, globs)}
    directory = Path(given.workspace)
    resume = given.resume and (directory / "workspace.json").exists()
    if resume:
        directory = Workspace.open(directory).new_store_path(given.name, resume=True)
    cost = estimate(loaded, data, globs, directory=directory, resume=resume, seed=given.seed, **settings)
    if given.json:
        taps = [plain(t) | {"chosen": t.name in names} for t in infos]
        return print_json({"taps": taps, "cost": plain(cost)})
    for t in infos:
        print(f"{'*' if t.name in names else ' '} {t.name:<48} {t.type:<24} {t.shape}  {t.problem or t.note}")
    print(f"{len(names)} tap(s) marked *: {cost.words}")
    if cost.warning:
        print(cost.warning)
    return 0


def import_(given) -> int:
    from analysis.recording.import_dump import import_dump
    from analysis.sources.dumps import open_dump

    workspace = Workspace.create(given.workspace)
    bar = Bar(given)
    dump = open_dump(given.dump, labels=given.labels, types=given.types)
    directory = workspace.new_store_path(given.name, resume=given.resume)
    resume = given.resume and (directory / "manifest.json").exists()
    import_dump(dump, directory, name=given.name, resume=resume, progress=bar)
    bar.end()
    return print_store(given, Workspace.open(given.workspace).store(given.name))
