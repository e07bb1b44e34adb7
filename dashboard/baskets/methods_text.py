"""The methods paragraph of a figure, out of the recipes and results of its panels: nothing in it is written by hand.

What was recorded from which checkpoint on which data; each analysis with its version, its papers, what it was run on,
the parameters that differ from the defaults, and the seed; how intervals and nulls were made, of how many samples and
units; and what it was all computed with.
"""

from __future__ import annotations

import importlib.metadata

from analysis import registry
from analysis.errors import LoupeError
from analysis.results import Estimate, Origin
from analysis.sharing.bibliography import entries, keys_of_library, keys_of_method, keys_of_titles
from analysis.spec import params_of
from dashboard.baskets.panels import Ready
from dashboard.baskets.prose import Cite, Code, Prose, as_markdown, as_tex, joined, words
from dashboard.figures.estimates import NONE
from dashboard.figures.text import number, plain

DIGEST = 12  # characters of a digest in a text; the recipes have all
LIBRARIES = {"numpy": "NumPy", "scipy": "SciPy", "scikit-learn": "scikit-learn", "torch": "PyTorch", "captum": "Captum",
             "transformers": "Transformers", "umap-learn": "umap-learn", "opentsne": "openTSNE", "numba": "Numba",
             "matplotlib": "Matplotlib"}  # fmt: skip


def methods_paragraphs(workspace, panels: list[Ready]) -> list[Prose]:
    """Paragraphs of sentences; `panels` must have their results."""
    made = [one for one in panels if one.result.origin is not None]
    found = [_recorded(workspace, made), _analyses(panels, made), _intervals(panels), _computed_with(made)]
    return [paragraph for paragraph in [*found, _unconfirmed(found)] if paragraph]


def _unconfirmed(paragraphs: list[Prose]) -> Prose:
    """Which of the entries are to be completed."""
    keys = tuple(key for key in cited(paragraphs) if entries()[key].unconfirmed)
    what = "this entry" if len(keys) == 1 else "these entries"
    return (
        [f"Authors, year or venue of {what} of the bibliography are not confirmed:", Cite(keys), "."]
        if keys
        else []
    )


def cited(paragraphs: list[Prose]) -> tuple[str, ...]:
    """Keys of all papers that are cited, in order of their first mention."""
    return tuple(
        dict.fromkeys(k for p in paragraphs for piece in p if isinstance(piece, Cite) for k in piece.keys)
    )


def methods_markdown(paragraphs: list[Prose]) -> str:
    return "\n\n".join(as_markdown(p) for p in paragraphs) + "\n"


def methods_tex(paragraphs: list[Prose]) -> str:
    return "\n\n".join(as_tex(p) for p in paragraphs) + "\n"


# ---------------------------------------------------------------------------- what was recorded
def _recorded(workspace, made: list[Ready]) -> Prose:
    """A sentence for each store, in order of the panels."""
    stores: dict[str, list[str]] = {}
    for one in made:
        for given in one.result.origin.inputs:
            name, _, tap = str(given.get("name", "")).partition(":")
            taps = stores.setdefault(name, [])
            if tap not in taps:
                taps.append(tap)
    return [piece for name, taps in stores.items() for piece in _store(workspace, name, taps)]


def _store(workspace, name: str, taps: list[str]) -> Prose:
    try:
        said = workspace.store(name).manifest
        network, data = said["checkpoint"], said["data"]
        digests = str(network.get("digest") or ""), str(data.get("digest") or "")
        count = int(data.get("n_samples") or said["n_samples"])
    except (LoupeError, KeyError, TypeError, ValueError):
        return [
            "The activations ",
            Code(name),
            " are not in this workspace; their digests are in the recipes. ",
        ]
    sort = str(network.get("architecture") or network.get("kind") or "network")
    found: Prose = [f"Activations of the checkpoint {plain(network.get('name') or name)} ({sort}", *_digest(digests[0]),
                    f") on the data set {plain(data.get('name') or 'given')} ({count:,} samples", *_digest(digests[1]),
                    ") were recorded as ", Code(name)]  # fmt: skip
    named = [[Code(tap)] for tap in taps if tap]
    if named:
        found += [f" at the tap{'s' * (len(named) > 1)} ", *joined(named, ", ", " and ")]
    return [*found, ". "]


def _digest(digest: str) -> Prose:
    return [", digest ", Code(digest[:DIGEST])] if digest else []


# ---------------------------------------------------------------------------- the analyses
def _analyses(panels: list[Ready], made: list[Ready]) -> Prose:
    groups: dict[tuple[str, int], list[Ready]] = {}
    for one in made:
        groups.setdefault((one.result.origin.method, one.result.origin.version), []).append(one)
    found = [piece for (id, version), mine in groups.items() for piece in _analysis(id, version, mine)]
    bare = [one.named for one in panels if one.result.origin is None]
    if bare:
        found.append(f"{_panels(bare, 'show')} what was recorded, drawn without an analysis. ")
    return found


def _analysis(id: str, version: int, mine: list[Ready]) -> Prose:
    """One analysis and all panels that show it."""
    method = registry.methods().get(id)
    title = method.title if method is not None else id
    found: Prose = [f"{_panels([one.named for one in mine], 'show')} “{plain(title)}” (", Code(id),
                    f", version {version})", Cite(keys_of_method(id))]  # fmt: skip
    settings = [_settings(one.result.origin) for one in mine]
    if len(mine) == 1 or all(one == settings[0] for one in settings):
        whole = [_inputs(one.result.origin) for one in mine]
        if all(one == whole[0] for one in whole):
            return [*found, " of ", *whole[0], ", with ", *settings[0], ". ", *_rules(mine)]
        each = [[*said, f" in panel {one.named}"] for one, said in zip(mine, whole, strict=True)]
        return [*found, " of ", *joined(each, ", ", " and "), ", with ", *settings[0], ". ", *_rules(mine)]
    each = [[f"panel {one.named} of ", *_inputs(one.result.origin), " with ", *said]
            for one, said in zip(mine, settings, strict=True)]  # fmt: skip
    return [*found, ": ", *joined(each), ". ", *_rules(mine)]


def _rules(mine: list[Ready]) -> Prose:
    """The rules for tokens that these panels ask for, each with its papers."""
    from analysis.tokens.over_samples import asked_rules

    asked = {}
    for one in mine:
        params = one.result.origin.params
        text = params.get("rules", params.get("rule"))
        try:
            asked |= {rule.id: rule for rule in asked_rules(text)} if isinstance(text, str) else {}
        except LoupeError:
            continue  # a recipe of another version
    each = [[rule.title, Cite(keys_of_titles(rule.papers))] for rule in asked.values()]
    if not each:
        return []
    return [f"The rule{'s are' if len(each) > 1 else ' is'} ", *joined(each, ", ", " and "), ". "]


def _panels(named: list[str], does: str) -> str:
    return f"Panel {named[0]} {does}s" if len(named) == 1 else f"Panels {words(named)} {does}"


def _inputs(origin: Origin) -> Prose:
    return joined([_input(given) for given in origin.inputs], ", ", " and ") or ["no recorded activations"]


def _input(given: dict) -> Prose:
    shape = given.get("shape") or ()
    size = f"n = {shape[0]:,} rows, d = {shape[1]:,} units" if len(shape) == 2 else ""
    digest = str(given.get("digest") or "")[:DIGEST]
    said: Prose = [Code(str(given.get("name", "")))]
    if size or digest:
        said += [
            " (",
            size,
            ", " * bool(size and digest),
            *(["digest ", Code(digest)] if digest else []),
            ")",
        ]
    return said


def _settings(origin: Origin) -> Prose:
    """Parameters that differ from the defaults, and the seed."""
    method = registry.methods().get(origin.method)
    defaults = {p.name: p.default for p in params_of(method.params)} if method is not None else {}
    other = {n: v for n, v in origin.params.items() if n not in defaults or defaults[n] != v}
    said = [[Code(name), f" = {_value(value)}", *_usual(name, defaults)] for name, value in other.items()]
    seed = f"seed {origin.seed}"
    if not said:
        return [f"default parameters and {seed}"]
    rest = ", all other parameters at their defaults," if len(other) < len(origin.params) else ""
    return [*joined(said, ", ", ", "), f"{rest} and {seed}"]


def _usual(name: str, defaults: dict) -> Prose:
    return [f" (default {_value(defaults[name])})"] if name in defaults else []


def _value(value) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return number(value, 6)
    return f"“{plain(value)}”" if str(value) else "empty"


# ---------------------------------------------------------------------------- intervals and nulls
def _intervals(panels: list[Ready]) -> Prose:
    """How the numbers were bounded and what they were compared with, panels that say the same together."""
    groups: dict[tuple, tuple[Prose, list[str]]] = {}
    for one in panels:
        said = _bounds(one.result.estimates)
        groups.setdefault(tuple(map(str, said)), (said, []))[1].append(one.named)
    found: Prose = []
    for said, named in groups.values():
        whose = f"In panel{'s' * (len(named) > 1)} {words(named)}"
        found += [f"{whose}, ", *said, ". "]
    return found


def _bounds(estimates: tuple[Estimate, ...]) -> Prose:
    if not estimates:
        return ["values are shown without interval and null"]
    intervals, nulls = _by_level(estimates), _listed(_null(e) for e in estimates)
    sizes = _listed(_size(e) for e in estimates)
    parts = [f"numbers are of {words(sizes)}"] if sizes else []
    parts += intervals
    parts += [f"{'nulls are' if len(nulls) > 1 else 'the null is'} {_either(nulls)}"] if nulls else []
    return ["; ".join(parts) or "values are shown without interval and null"]


def _either(ways: list[str]) -> str:
    """Several, each in quotes: they hold commas themselves."""
    return ways[0] if len(ways) == 1 else " or ".join(f"“{one}”" for one in ways)


def _listed(said) -> list[str]:
    return [text for text in dict.fromkeys(said) if text]


def _by_level(estimates: tuple[Estimate, ...]) -> list[str]:
    """How intervals were made, those of one level together; why there is none."""
    ways: dict[str, list[str]] = {}
    for e in estimates:
        if e.interval.startswith(NONE):
            ways.setdefault("no interval", []).append(plain(e.interval.removeprefix(NONE)))
        elif e.low is not None and e.high is not None:
            ways.setdefault(f"{number(100 * e.level)} % intervals", []).append(plain(e.interval))
    found = []
    for what, how in ways.items():
        said = _either(_listed(how))
        found.append(
            f"{what}: {said}" if said and what == "no interval" else f"{what} ({said})" if said else what
        )
    return found


def _null(e: Estimate) -> str:
    if e.null_method.startswith(NONE):
        return f"none ({plain(e.null_method.removeprefix(NONE))})"
    return plain(e.null_method)


def _size(e: Estimate) -> str:
    parts = [f"n = {e.n:,}"] if e.n else []
    return ", ".join([*parts, *([f"d = {e.d:,}"] if e.d else [])])


# ---------------------------------------------------------------------------- what it was computed with
def _computed_with(made: list[Ready]) -> Prose:
    """The program and the libraries, with versions; those of the results, not of this machine."""
    said: dict[str, dict[str, list[str]]] = {}
    for one in made:
        for library, version in one.result.origin.versions.items():
            said.setdefault(library, {}).setdefault(version, []).append(one.named)
    libraries = [_library(name, versions) for name, versions in said.items()]
    libraries = [one for one in libraries if one]
    found: Prose = [f"All figures were made with Feature Loupe {_version('feature-loupe')}",
                    Cite(keys_of_library("feature-loupe"))]  # fmt: skip
    if libraries:
        found += ["; the analyses used ", *joined(libraries, ", ", " and ")]
    return [
        *found,
        "; drawings are by Matplotlib ",
        _version("matplotlib"),
        Cite(keys_of_library("matplotlib")),
        ".",
    ]


def _library(name: str, versions: dict[str, list[str]]) -> Prose:
    known = {v: named for v, named in versions.items() if v != "absent"}
    if not known:
        return []
    if len(known) == 1:
        text = f"{LIBRARIES.get(name.lower(), name)} {next(iter(known))}"
    else:
        each = " and ".join(f"{v} (panel{'s' * (len(n) > 1)} {words(n)})" for v, n in known.items())
        text = f"{LIBRARIES.get(name.lower(), name)} {each}"
    return [text, Cite(keys_of_library(name))]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "from its source"
