"""What the commands about hosting understand."""

from __future__ import annotations

from dashboard.commands.options import add_command, add_workspace, port


def add(commands) -> None:
    """`loupe serve`."""
    p = add_command(commands, "serve", "open the dashboard, for oneself or with --hosted for a team")
    p.add_argument("--hosted", action="store_true", help="sign-in, roles and limits as the environment says")
    p.add_argument(
        "--check", action="store_true", help="print how the host is set up, without secrets, and stop"
    )
    add_workspace(p, "the workspace (hosted: where LOUPE_WORKSPACES names none)")
    p.add_argument("--port", type=port, default=None, help="port to listen on")
    p.add_argument("--no-browser", action="store_true", help="do not open a browser window")
