"""A result's origin as Python that makes it again."""

from __future__ import annotations

from pathlib import Path

from analysis.results import Result
from analysis.spec import Method, params_of


def python_lines(result: Result, workspace: str) -> str:
    """The lines that run the same method on the same taps and save the figure."""
    origin = result.origin
    if origin is None:
        return "# This picture was not made by a method: there is nothing to run."
    inputs = [str(given.get("name", "")) for given in origin.inputs]
    call = f"{origin.method!r}, {inputs!r}, {changed(origin.method, origin.params)!r}, seed={origin.seed}"
    return "\n".join(
        [
            "import analysis",
            "from dashboard import figures",
            "",
            f"workspace = analysis.open_workspace({str(Path(workspace))!r})",
            f"result = workspace.run({call})",
            f"open({origin.method + '.pdf'!r}, 'wb').write(figures.export(result, 'pdf', width='single'))",
        ]
    )


def changed(method: str, params: dict) -> dict:
    """The parameters that differ from the method's defaults (all of them for a method that is gone)."""
    from analysis import registry

    found: Method | None = registry.methods().get(method)
    if found is None:
        return dict(params)
    defaults = {p.name: p.default for p in params_of(found.params)}
    return {name: value for name, value in params.items() if name not in defaults or defaults[name] != value}
