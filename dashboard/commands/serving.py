"""`loupe serve`: the dashboard for oneself, or with --hosted for a team."""

from __future__ import annotations

import os
import subprocess
import sys

from analysis.errors import ParameterError
from dashboard.commands import starting


def serve(given) -> int:
    """Serve one's own workspace as `loupe` does, or the workspaces that the environment names."""
    if not given.hosted:
        if given.check:
            raise ParameterError("--check without --hosted", "both", "--check prints how a host is set up")
        return starting.start(given)
    from analysis.jobs.limits import limits
    from dashboard.hosting import settings as hosting
    from dashboard.hosting import watching
    from dashboard.server import environment

    env = dict(os.environ)
    if given.workspace is not None:
        env.setdefault("LOUPE_WORKSPACE", str(given.workspace))
    if given.port is not None:
        env["LOUPE_PORT"] = str(given.port)
    settings = hosting.read(dict(env))  # refused here, in words; the server reads it again, with the secrets
    watched, jobs = watching.read(dict(env), settings.uploads_mb), limits(env)
    if given.check:
        print("\n".join([settings.described(), *watched.described(), f"jobs = {jobs}"]))
        return 0
    print(
        f"Feature Loupe on {settings.public_url}  (listening on {settings.listen}:{settings.port})",
        flush=True,
    )
    env = {**environment(settings.workspaces[0][1]), **env}
    env["PYTHONPATH"] = environment(settings.workspaces[0][1])["PYTHONPATH"]
    command = [sys.executable, "-m", "dashboard.hosting.asgi"]
    if os.name == "posix":
        os.execve(sys.executable, command, env)
    return subprocess.call(command, env=env)
