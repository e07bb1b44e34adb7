"""The options of `loupe publish`."""

from __future__ import annotations

from pathlib import Path

from dashboard.commands.options import add_command, positive


def add(commands) -> None:
    """The options of the command."""
    p = add_command(commands, "publish", "write a workspace as a read-only site of plain files")
    p.add_argument("published", type=Path, metavar="WORKSPACE")
    p.add_argument("--out", type=Path, metavar="DIR", help="the folder to write: a new one")
    p.add_argument(
        "--taps",
        nargs="+",
        default=["*"],
        metavar="STORE:TAP",
        help="taps to show, also as patterns (default: all)",
    )
    p.add_argument(
        "--features",
        default="all",
        metavar="WHICH",
        help="all, starred, strongest:N, selection:NAME, or numbers such as 3-9,12 (default: all)",
    )
    p.add_argument(
        "--most",
        type=positive,
        default=5000,
        metavar="N",
        help="of one tap at most: those with the largest maximum (default: 5000)",
    )
    p.add_argument(
        "--maps",
        nargs="+",
        default=["kept"],
        metavar="METHOD",
        help="kept, none, or methods, computed where they are not kept (default: kept)",
    )
    p.add_argument(
        "--heatmaps", choices=("kept", "none"), default="kept", help="heat maps that are kept, or none"
    )
    p.add_argument(
        "--figures",
        nargs="+",
        default=["kept"],
        metavar="WHICH",
        help="kept, none, or some of: starred, tag:WORD, basket:NAME, recipe files (default: kept)",
    )
    p.add_argument(
        "--without-pictures",
        action="store_true",
        help="no pictures, texts and values of samples, only their ids and labels",
    )
    p.add_argument("--title", default="", help="of the site")
    p.add_argument("--authors", default="", help="as they are to be cited")
    p.add_argument("--about", default="", metavar="TEXT", help="paragraphs for the first page")
    p.add_argument(
        "--licence", default="", metavar="TEXT", help="what may be done with the data, pictures and notes"
    )
    p.add_argument("--note-authors", action="store_true", help="also say who wrote a note")
    p.add_argument("--replace", action="store_true", help="take the place of a bundle that is there")
    p.add_argument(
        "--dry-run", action="store_true", help="list what would go and stay out, with an estimated size"
    )
