"""What the commands about hosting understand: serve, members, audit."""

from __future__ import annotations

from pathlib import Path

from dashboard.commands.options import add_command, add_workspace, port, positive

ACTIONS = {"list": "list the people of a workspace", "add": "give somebody a role, or another one",
           "remove": "take somebody's role away"}  # fmt: skip
WHAT = ("signed in", "signed out", "sign-in failed", "refused", "opened", "changed", "exported", "started")


def add(commands) -> None:
    """All of them."""
    _serve(commands)
    _members(commands)
    _audit(commands)


def _serve(commands) -> None:
    p = add_command(commands, "serve", "open the dashboard, for oneself or with --hosted for a team")
    p.add_argument("--hosted", action="store_true", help="sign-in, roles and limits as the environment says")
    p.add_argument(
        "--check", action="store_true", help="print how the host is set up, without secrets, and stop"
    )
    add_workspace(p, "the workspace (hosted: where LOUPE_WORKSPACES names none)")
    p.add_argument("--port", type=port, default=None, help="port to listen on")
    p.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def _members(commands) -> None:
    p = commands.add_parser("members", help="who may look at a workspace on a host, and who may change it")
    actions = p.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, help in ACTIONS.items():
        a = add_command(actions, name, help, f"members {name}")
        add_workspace(a, "the workspace", required=True)
        if name != "list":
            a.add_argument("email", metavar="E-MAIL")
        if name == "add":
            a.add_argument("role", choices=("viewer", "editor", "owner"), nargs="?", default="viewer")


def _audit(commands) -> None:
    p = add_command(commands, "audit", "show who did what on a host")
    p.add_argument(
        "--log", type=Path, help="directory of the log (default: LOUPE_AUDIT, else audit/ in the workspace)"
    )
    add_workspace(p, "the workspace whose audit/ is shown")
    p.add_argument("--who", default="", metavar="TEXT", help="only people whose e-mail holds this")
    p.add_argument(
        "--what", default="", choices=("", *WHAT), metavar="WHAT", help="only this: " + ", ".join(WHAT)
    )
    p.add_argument(
        "--in", dest="place", default="", metavar="NAME", help="only in the workspace of this name"
    )
    p.add_argument("--which", default="", metavar="TEXT", help="only lines about this")
    p.add_argument("--since", default="", metavar="DATE", help="only from this day or time on, as 2026-01-31")
    p.add_argument("--last", type=positive, default=None, metavar="N", help="only the newest N lines")
