"""`loupe methods`, `run`, `check` and `render`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from analysis.errors import InputError, NotFound, ParameterError
from analysis.sharing import recipes
from analysis.sharing.baskets.basket import sound_recipe
from dashboard.commands.output import Bar, format_of, print_json, say, workspace_of, write_figure
from dashboard.figures.plurals import counted


def read_recipe(path: Path) -> dict:
    """The recipe in a file, its parts of the right type."""
    try:
        recipe = json.loads(path.read_text())
        sound = isinstance(recipe, dict) and (
            sound_recipe(recipe)
            if recipes.PLOTTED not in recipe
            else isinstance(recipe.get("figure", {}), dict)
        )
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "a recipe file") from None
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise InputError(f"{path} is not a recipe", "JSON with method, inputs, params and seed")
    return recipe


def render(given) -> int:
    """Make the figure of a recipe again; refuses inputs that have changed since."""
    if given.recipe.is_dir():
        from dashboard.commands.baskets import render_basket

        return render_basket(given)
    format_of(given.out)
    recipe = read_recipe(given.recipe)
    result, other = recipes.numbers_in(recipe), ""
    options = dict(recipe.get("figure") or {})
    if result is None:
        result, other = _made(given, recipe)
        if options.get("colour"):
            result = _coloured(workspace_of(given), result, str(options["colour"]))
            options["colour"] = result.colour
    if options.pop("pictures", False):
        from dashboard.browse.pictured import looks

        options["pictures"] = looks(workspace_of(given), result)
    write_figure(given, result, options)
    if given.json:
        return print_json({"written": str(given.out), "said": [other] if other else []})
    if other:
        say(given, f"{given.out} was {other}")
    return 0


def _made(given, recipe: dict):
    """(The result of a recipe's method, what is said of it)."""
    workspace = workspace_of(given)
    names, bar = recipes.usable(workspace, recipe), Bar(given)
    result = workspace.run(
        recipe["method"], names, recipe.get("params") or {}, seed=recipe.get("seed", 0), progress=bar
    )
    bar.end()
    return result, recipes.remade(recipe, result)


def _coloured(workspace, result, colour: str):
    from dashboard.colouring import coloured

    found = coloured(result, workspace, colour)
    if found is result:
        raise NotFound(
            f"the recipe's colour {colour[:60]!r}, by which this {result.kind} cannot be coloured",
            "a column of the samples, or a unit such as 'Unit 3'",
            'Correct or remove "colour" under "figure" of the recipe',
        )
    return found


def methods(given) -> int:
    """List the analyses with their parameters."""
    from analysis import registry
    from analysis.spec import params_of

    found = registry.methods().values()
    if given.json:
        return print_json([_method_facts(m, params_of(m.params)) for m in found])
    for m in found:
        print(f"{m.id:<24} {m.family:<14} {m.summary}")
        for p in params_of(m.params):
            limits = (
                ", ".join(map(str, p.choices))
                or f"{p.low if p.low is not None else ''}..{p.high if p.high is not None else ''}"
            )
            print(
                f"    --set {p.name}={p.default!s:<12} {p.kind} {limits if limits != '..' else ''}  {p.help}"
            )
    return 0


EXAMPLE = (10_000, 512)  # rows and units for which `loupe methods --json` states the cost


def _method_facts(m, params) -> dict:
    return {"id": m.id, "family": m.family, "title": m.title, "summary": m.summary, "version": m.version,
            "parameters": [dataclasses.asdict(p) for p in params], "result": m.result.kind, "inputs": m.inputs,
            "needs": list(m.needs), "minimum_rows": m.minimum_rows, "invariance": m.invariance,
            "worker": m.worker, "cost": _cost(m), "papers": list(m.papers)}  # fmt: skip


def _cost(m) -> dict:
    cost = m.cost((EXAMPLE,) * m.inputs, m.params())
    return {"rows": EXAMPLE[0], "units": EXAMPLE[1], "seconds": cost.seconds, "bytes": cost.bytes}


def run(given) -> int:
    """Run one analysis and print its numbers with intervals and nulls."""
    from analysis import registry

    registry.method(given.method)
    if given.out:
        format_of(given.out)
    workspace = workspace_of(given)
    params = settings(given.set)
    bar = Bar(given)
    result = workspace.run(given.method, given.inputs, params, seed=given.seed, progress=bar)
    bar.end()
    if given.out:
        write_figure(given, result, {})
    estimates = [dataclasses.asdict(e) for e in result.estimates]
    if given.json:
        return print_json(
            {
                "title": result.title,
                "kind": result.kind,
                "reading": result.reading,
                "caveats": list(result.caveats),
                "estimates": estimates,
                "recipe": result.origin.recipe(),
            }
        )
    print(result.title)
    print(counted(result.reading))
    for e in result.estimates:
        interval = f" [{e.low:.4g}, {e.high:.4g}]" if e.low is not None else ""
        null = f"  null {e.null:.4g}" if e.null is not None else ""
        print(f"  {e.name}: {e.value:.4g}{interval}{null}  (n = {e.n}, d = {e.d})")
    for caveat in result.caveats:
        print(f"  note: {caveat}")
    return 0


def check(given) -> int:
    """Run known-answer checks; 1 when one of them fails."""
    from analysis import pipeline, registry

    chosen = [registry.method(id).id for id in given.methods] or list(registry.methods())
    reports = []
    for id in chosen:
        report = pipeline.check(id)
        reports.append(report)
        if not given.json:
            print(
                f"{'ok    ' if report['passed'] else 'FAILED'} {id} ({report['seconds']} s) {report['error']}"
            )
            for line in report["lines"]:
                bound = f"{line['relation']} {line['tolerance']:.2g}"
                print(f"    {line['name']}: expected {line['expected']:.6g}, got {line['got']:.6g}, {bound}")
    if given.json:
        print_json(reports)
    return 0 if all(r["passed"] for r in reports) else 1


def settings(texts: list[str]) -> dict[str, str]:
    """Parameters as they are written after --set. Raises ParameterError."""
    return dict(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ParameterError(f"--set {text}", "KEY=VALUE")
    return key, value
