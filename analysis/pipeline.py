"""run(): validate, look in the cache, execute, keep, return. The only way a page or a recipe runs a method."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from analysis import registry
from analysis.activations import Activations, as_activations
from analysis.attribution import network_cost
from analysis.compute.kept import keeping
from analysis.errors import InputError, LoupeError, NotEnoughData, NotFound, ParameterError
from analysis.installed import not_installed
from analysis.results import Origin, Result, digests_of
from analysis.sources.digests import file_digest
from analysis.spec import Cost, Method, Progress, make_params, no_progress
from analysis.store.cache import ResultCache


def run(
    method_id: str,
    inputs: Sequence,
    params: dict | None = None,
    *,
    seed: int = 0,
    cache: ResultCache | None = None,
    progress: Progress = no_progress,
) -> Result:
    """Run a method on activations (or arrays), or return the kept result of the same run.

    Parameters
    ----------
    method_id : str
        As listed by `registry.methods()`.
    inputs : sequence of Activations or arrays (rows, units)
        As many as the method takes.
    params : dict, optional
        Values (or text) by parameter name; the rest take their defaults.
    seed : int
        Seeds the only generator the method may use; part of the key.
    cache : ResultCache, optional
        Where results are kept.

    Raises
    ------
    ParameterError, NotFound, NotEnoughData, InputError
        Before anything is computed.
    """
    method = registry.method(method_id)
    if not 0 <= seed < 2**32:
        raise ParameterError(f"seed = {seed}", "a whole number from 0 to 2³² - 1")
    taps = [as_activations(x) for x in inputs]
    values = make_params(method.params, dict(params or {}))
    validate(method, taps)
    inputs = inputs_of(method, taps)
    name = key(method, digests_of(inputs), values, seed)
    if cache is not None and (kept := cache.get(name)) is not None:
        return kept
    estimated = method.cost(tuple(tap.shape for tap in taps), values)
    started = time.perf_counter()
    try:
        with keeping(cache):
            result = method.function(*taps, params=values, rng=np.random.default_rng(seed), progress=progress)
    except MemoryError:
        raise InputError(
            f"{method.title} ran out of memory on {taps[0].name}",
            f"about {estimated.bytes / 2**30:.1f} GiB free",
            "Use fewer rows or a pooled tap",
        ) from None
    except ModuleNotFoundError as error:
        raise not_installed(error) or error from None
    except OverflowError:
        raise InputError(
            f"{method.title} meets numbers on {taps[0].name} whose squares are too large for a computer",
            "activations below about 1e75 in size",
            "Rescale them, or look at the largest values of this tap",
        ) from None
    origin = _origin(method, inputs, values, seed, time.perf_counter() - started, estimated)
    result = dataclasses.replace(result, origin=origin)
    if cache is not None:
        cache.put(name, result)
        cache.timings.add(taps[0].name, method.id, estimated.passes, estimated.seconds, origin.seconds)
    return result


def validate(method: Method, taps: Sequence[Activations]) -> None:
    """Refuse what the method cannot use, with the reason."""
    if len(taps) < method.inputs or (len(taps) > method.inputs and not method.more_inputs):
        expected = f"{method.inputs} or more" if method.more_inputs else f"{method.inputs}"
        raise ParameterError(f"{method.id} was given {len(taps)} tap(s)", expected)
    for tap in taps:
        n, d = tap.shape
        if n < method.minimum_rows:
            raise NotEnoughData(
                f"{tap.name} has {n} row(s)",
                f"at least {method.minimum_rows} for '{method.title}'",
                "Record more samples",
            )
        if d < 1:
            raise InputError(f"{tap.name} has no unit", "at least one")
        for column in method.needs:
            if column not in tap.samples:
                raise NotFound(
                    f"{tap.name} has no sample column '{column}'",
                    "labels beside the activations",
                    "Record with labels (a class per sub-folder, a label column or a labels file)",
                )


def cost(method_id: str, shapes: Sequence[tuple[int, int]], params: dict | None = None) -> Cost:
    """Seconds on this machine and bytes beyond the input, before running."""
    method = registry.method(method_id)
    return method.cost(tuple(tuple(s) for s in shapes), make_params(method.params, dict(params or {})))


def cost_of(method_id: str, inputs: Sequence[Activations], params: dict | None = None) -> Cost:
    """The same of taps that may know the network they were recorded from, and how large it is."""
    method = registry.method(method_id)
    return network_cost.cost_of(method, inputs, make_params(method.params, dict(params or {})))


def key(method: Method, digests: Sequence[str], params: object, seed: int) -> str:
    """Digest of everything that can change a number: 32 hexadecimal characters."""
    parts = {
        "method": method.id,
        "version": method.version,
        "params": dataclasses.asdict(params),
        "inputs": list(digests),
        "seed": int(seed),
        "versions": versions(method.libraries),
    }
    files = [_content(name) for name in getattr(params, "files", tuple)() if name]
    if files:  # what they hold, not only what they are called
        parts["files"] = files
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=float).encode()).hexdigest()[:32]


def key_of(origin: Origin) -> str | None:
    """The key under which the result of this origin is kept; None where today's versions have another."""
    try:
        method = registry.method(origin.method)
        params = make_params(method.params, origin.params)
    except LoupeError:
        return None
    if method.version != origin.version or versions(method.libraries) != origin.versions:
        return None
    return key(method, digests_of(origin.inputs), params, origin.seed)


def inputs_of(method: Method, taps: Sequence[Activations]) -> tuple[dict, ...]:
    """What the origin of a result says of its inputs, with the digests of all taps that are read for it."""

    def told(tap):
        return {"name": tap.name, "digest": tap.digest}

    found = [{**told(tap), "shape": list(tap.shape)} for tap in taps]
    for one, tap in zip(found, taps, strict=True):
        if others := registry.beside(method, tap):
            one["beside"] = [told(other) for other in others]
    return tuple(found)


def _content(name: str) -> str:
    """Digest of a file that a parameter names; the method itself says that there is none."""
    path = Path(name).expanduser()
    return file_digest(path) if path.is_file() else "absent"


def check(method_id: str) -> dict:
    """Run the method's known-answer check: {"method", "passed", "seconds", "lines": [...], "error"}."""
    method = registry.method(method_id)
    started = time.perf_counter()
    try:
        lines = [_plain_line(line) for line in method.check()]
        error = "" if lines else "the check has no line"
    except LoupeError as refusal:
        lines, error = [], str(refusal)
    passed = bool(lines) and all(line["passed"] for line in lines)
    seconds = round(time.perf_counter() - started, 3)
    return {"method": method.id, "passed": passed, "seconds": seconds, "lines": lines, "error": error}


def _plain_line(line) -> dict:
    numbers = {name: float(getattr(line, name)) for name in ("expected", "got", "tolerance")}
    return {"name": line.name, **numbers, "relation": line.relation, "passed": bool(line.passed)}


@functools.cache
def versions(libraries: tuple[str, ...] = ()) -> dict[str, str]:
    """Installed versions of NumPy, SciPy and the given distributions, without importing them."""
    found = {}
    for name in ("numpy", "scipy", *libraries):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _origin(method: Method, inputs, params, seed: int, seconds: float, estimated: Cost) -> Origin:
    return Origin(
        method=method.id,
        version=method.version,
        params=dataclasses.asdict(params),
        inputs=inputs,
        seed=int(seed),
        versions=versions(method.libraries),
        seconds=round(seconds, 4),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        cost=dataclasses.asdict(estimated),
    )
