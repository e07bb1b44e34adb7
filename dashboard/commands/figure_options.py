"""How a figure is printed, as `loupe render` and `loupe run --out` take it."""

from __future__ import annotations

import argparse

OPTIONS = ("width", "font_size", "font", "dpi", "greyscale", "title", "part")


def add(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("how the figure is printed (what is not given: as the recipe says)")
    group.add_argument(
        "--width", choices=("single", "double", "slide", "poster"), help="3.5, 7.2, 10 or 16 inches"
    )
    group.add_argument("--font-size", type=float, metavar="POINTS", help="of the text as printed")
    group.add_argument("--font", choices=("sans", "serif"))
    group.add_argument("--dpi", type=float, help="of PNG, and of what is an image inside PDF and SVG")
    switch = argparse.BooleanOptionalAction
    group.add_argument(
        "--greyscale", action=switch, default=None, help="no colours; marks and dashes instead"
    )
    group.add_argument("--title", action=switch, default=None, help="write the title above the figure")
    group.add_argument(
        "--part", choices=("figure", "estimates"), help="the figure, or its numbers with their nulls"
    )
    group.add_argument("--check-grey", action="store_true", help="say which series look the same in grey")


def of(given) -> dict:
    """The options that were given."""
    return {name: getattr(given, name) for name in OPTIONS if getattr(given, name, None) is not None}
