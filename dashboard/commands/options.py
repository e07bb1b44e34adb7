"""What commands share: a parser that can print JSON, the workspace, whole numbers in a range."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_command(commands, name: str, help: str, command: str = "") -> argparse.ArgumentParser:
    p = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    p.set_defaults(command=command or name)
    p.add_argument("--json", action="store_true", help="print JSON")
    return p


def add_workspace(p: argparse.ArgumentParser, help: str, *, required: bool = False) -> None:
    # SUPPRESS: a sub-command's default must not overwrite what was given before the sub-command
    default = None if p.prog == "loupe" else argparse.SUPPRESS
    p.add_argument("--workspace", type=Path, default=default, help=help, required=required)


def positive(text: str) -> int:
    return _whole(text, 1, None)


def port(text: str) -> int:
    return _whole(text, 1, 65535)


def seed(text: str) -> int:
    return _whole(text, 0, 2**32 - 1)


def _whole(text: str, low: int, high: int | None) -> int:
    limits = f"at least {low}" if high is None else f"between {low} and {high}"
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, {limits}") from None
    if value < low or (high is not None and value > high):
        raise argparse.ArgumentTypeError(f"{text} must be {limits}")
    return value
