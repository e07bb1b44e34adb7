"""An environment of its own for a peer that cannot be installed beside the project: made once, outside the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def peer_python(given: str | None, name: str, packages: list[str], unwanted: tuple[str, ...] = ()) -> str:
    """The interpreter of the environment: `given`, or one in the temporary directory, made where it is not there.
    `unwanted`: packages that come along and do not import."""
    if given:
        return given
    folder = Path(tempfile.gettempdir()) / name
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        if unwanted:
            subprocess.run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *unwanted], check=True)
        (folder / "done").touch()
    return str(python)


def last_line(python: str, script: str, arguments: list[str], threads: int) -> str:
    """Run a script in it; the last line that it prints."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    clean |= {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    command = [python, script, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=clean)
    return done.stdout.strip().splitlines()[-1]
