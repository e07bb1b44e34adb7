"""`loupe features train` and `loupe features sweep`: learn dictionaries from a tap, all parameters by name."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable

from analysis.errors import Cancelled, ParameterError
from analysis.spec import params_of
from analysis.workspace import Workspace
from dashboard.commands.output import Bar, one_line, plain, print_json, workspace_of

OPTION = "given_"  # before the names of what the parameters set


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """An option for each parameter of each architecture and for each training setting."""
    from analysis.features.architectures import ARCHITECTURES
    from analysis.features.training_settings import Training

    group = parser.add_argument_group("how to train")
    taken = {p.name for p in params_of(Training)}
    for p in params_of(Training):
        _option(group, p, "")
    owners: dict[str, list] = {}
    for kind in ARCHITECTURES.values():
        for p in (p for p in params_of(kind.params) if p.name not in taken):
            owners.setdefault(p.name, []).append((kind.name, p))
    group = parser.add_argument_group("the architecture (" + ", ".join(ARCHITECTURES) + ")")
    for users in owners.values():
        names = [name for name, _ in users]
        only = "" if len(names) == len(ARCHITECTURES) else f" ({', '.join(names)})"
        _option(group, users[0][1], only)


def _option(group, p, only: str) -> None:
    default = "automatic" if p.default is None else p.default
    help = f"{p.help}{only}; default {default}".replace("%", "%%")
    group.add_argument("--" + p.name.replace("_", "-"), dest=OPTION + p.name, metavar="VALUE", help=help)


def train(given) -> int:
    workspace = workspace_of(given)
    arguments = _arguments(given)
    if given.estimate:
        return _estimate(given, workspace, arguments)
    from analysis.jobs import training

    done = _watched(given, training.train, workspace, arguments)
    facts = next(f for f in workspace.features.facts() if f.name == done["features"])
    if given.json:
        return print_json({"kind": "feature set", **plain(facts)})
    held = facts.about["held_out"]
    print(
        f"{one_line(facts.name)}: {facts.n_features:,} features of {facts.n_units:,} units, {_percent(held)} of the "
        f"held-out variance with {held['l0']:.3g} active in a row, {facts.about['dead']['latents']:,} dead"
    )
    for line in facts.about["caveats"]:
        print(f"  {line}")
    return 0


def sweep(given) -> int:
    from analysis.jobs import training

    workspace, arguments = workspace_of(given), _arguments(given)
    arguments |= {"values": given.values, "keep": given.keep}
    done = _watched(given, training.sweep, workspace, arguments)
    if given.json:
        return print_json(done)
    for point in done["points"]:
        kept = "kept" if point["name"] in done["kept"] else ""
        print(
            f"{'*' if point['on_front'] else ' '} {one_line(point['name']):<40} L0 {point['l0']:>8.3g}  "
            f"{point['explained_variance']:>6.1%} explained  {point['dead']:>5.0%} dead  {kept}".rstrip()
        )
    print("* no other set is at least as sparse and explains at least as much")
    return 0


def _arguments(given) -> dict:
    """What was given, as a job has it. Raises ParameterError for a parameter that the architecture does not have."""
    from analysis.features.architectures import architecture
    from analysis.features.training_settings import Training

    kind = architecture(given.architecture)
    said = {
        n.removeprefix(OPTION): v for n, v in vars(given).items() if n.startswith(OPTION) and v is not None
    }
    own, settings = ({p.name for p in params_of(cls)} for cls in (kind.params, Training))
    strange = sorted(set(said) - own - settings)
    if strange:
        names = ", ".join("--" + name.replace("_", "-") for name in sorted(own))
        raise ParameterError(
            f"--{strange[0].replace('_', '-')} is no parameter of {kind.name}", f"one of {names}"
        )
    tap = given.input.partition(":")[2]
    return {
        "input": given.input, "architecture": kind.name, "name": given.name or f"{kind.name} {tap}",
        "params": {n: v for n, v in said.items() if n in own},
        "training": {n: v for n, v in said.items() if n not in own}, "seed": given.seed, "resume": given.resume,
    }  # fmt: skip


def _watched(given, work: Callable, workspace: Workspace, arguments: dict) -> dict:
    """Run it with a progress line; the first Ctrl-C stops after this step and keeps a checkpoint."""
    bar, asked = Bar(given), []

    def progress(share: float, doing: str = "") -> None:
        if asked:
            raise Cancelled("stopped", "", f"Go on with --resume and the name {arguments['name']!r}")
        bar(share, doing)

    before = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        return work(workspace.path, arguments, progress)
    finally:
        signal.signal(signal.SIGINT, before)
        bar.end()


def _estimate(given, workspace: Workspace, arguments: dict) -> int:
    from analysis.jobs import training
    from dashboard.words import about, size

    found = training.training_cost(workspace.path, arguments, Bar(given))
    if given.json:
        return print_json(found)
    print(f"{found['steps']:,} steps: {about(found['seconds'])}, about {size(found['bytes'])} of memory")
    return 0


def _percent(held: dict) -> str:
    found = held["explained_variance"]
    return "an unknown share" if found is None else f"{found:.1%}"
