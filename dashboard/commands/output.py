"""What the commands share: the workspace asked for, the bar, JSON, figures to files."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from analysis.errors import InputError, LoupeError, ParameterError
from analysis.workspace import Workspace
from dashboard.commands.starting import workspace_path


class Bar:
    """Progress on standard error: a line that is rewritten on a terminal, nothing in a pipe."""

    def __init__(self, given) -> None:
        self.shown = sys.stderr.isatty() and not given.json

    def __call__(self, fraction: float, doing: str = "") -> None:
        if self.shown:
            filled = int(30 * fraction)
            print(
                f"\r[{'#' * filled}{'.' * (30 - filled)}] {fraction:4.0%} {doing[:70]:<70}",
                end="",
                file=sys.stderr,
            )

    def end(self) -> None:
        if self.shown:
            print(file=sys.stderr)


def workspace_of(given) -> Workspace:
    """The workspace asked for, or the sample workspace."""
    return Workspace.open(workspace_path(given))


def format_of(out: Path) -> str:
    """The figure's format by the file's suffix. Raises ParameterError."""
    format = out.suffix.lstrip(".").lower()
    known = ("pdf", "svg", "png", "csv", "parquet", "tex", "json")
    if format not in known:
        raise ParameterError(f"{out} ends in {out.suffix or 'nothing'!r}", "one of ." + " .".join(known))
    return format


def write_figure(given, result, options: dict) -> None:
    """To `given.out`, printed as the recipe's options say and as was asked beyond them."""
    from dashboard import figures
    from dashboard.commands import figure_options

    out, options = given.out, {**options, **figure_options.of(given)}
    data = figures.export(result, format_of(out), **options)
    if given.check_grey:
        for sentence in figures.grey_check(result, **options):
            print(one_line(sentence), file=sys.stderr)
    write_whole(data, out)


def write_whole(data: bytes, out: Path) -> None:
    """One file, whole or not at all. Raises InputError, NotFound; DiskFull."""
    from analysis.sharing.beside import beside
    from analysis.store.durable import FULL, DiskFull

    try:
        with beside(out) as place:
            place.write_bytes(data)
            place.chmod(0o644)
            place.replace(out)
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(
                f"the disk is full: {out} could not be written", "free space", "Free some"
            ) from None
        raise InputError(f"{out} cannot be written ({error.strerror})", "a writable path") from None


def data_options(given) -> dict:
    names = ("kind", "label", "text", "array", "labels", "missing", "delimiter", "encoding")
    return {name: getattr(given, name) for name in names if getattr(given, name, None)}


def checkpoint_options(given) -> dict:
    names = ("model", "state_key", "strip")
    found = {name: getattr(given, name) for name in names if getattr(given, name, None)}
    if given.input_size:
        found["input_size"] = tuple(given.input_size)
    return found


def say(given, text: str) -> None:
    if not given.json:
        print(one_line(text), file=sys.stderr)


def one_line(text: str) -> str:
    """Text of unknown origin (file and tap names) for a terminal: control characters as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain(record) -> dict:
    return dataclasses.asdict(record)


def print_json(value) -> int:
    print(json.dumps(value, indent=1, default=_jsonable))
    return 0


def _jsonable(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise LoupeError(f"cannot print a {type(value).__name__} as JSON")
