"""Commands and jobs on bad input: refused in words with exit code 1 or 2, or a failed job in words.

Where a part of the data is bad (an unreadable image, NaN activations), the rest is recorded, and what was left
out is counted, listed and shown. The fixture `workspace` holds every refusal to leaving it as it was.
"""

from __future__ import annotations

from pathlib import Path

import bad_input_nets as nets
import torch

from analysis.jobs import queue, worker
from dashboard.cli import main

N = 40  # rows of the fixture `rows`


def loupe(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, output and messages of a command; never a traceback, never a fault of the program."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "unexpectedly" not in err, err
    return code, out, err


def refused(capsys, *arguments: object, code: int = 1, says=()) -> str:
    got, _, err = loupe(capsys, *arguments)
    assert got == code, err
    for words in (says,) if isinstance(says, str) else says:
        assert words in err, err
    return err


def accepted(capsys, *arguments: object) -> str:
    code, out, err = loupe(capsys, *arguments)
    assert code == 0, err
    return out


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a workspace but the record of its jobs."""
    files = (f for f in path.rglob("*") if f.is_file() and "jobs" not in f.relative_to(path).parts)
    return {str(f.relative_to(path)): f.read_bytes() for f in files}


def job(workspace: Path, kind: str, arguments: dict) -> queue.JobStatus:
    """A job run to its end in this process, as the worker does."""
    id = queue.submit(workspace, kind, arguments, start=False)
    worker.run_job(workspace, id)
    return queue.status(workspace, id)


def job_refused(workspace: Path, kind: str, arguments: dict, says: str = "") -> None:
    status = job(workspace, kind, arguments)
    assert status.state == "failed", status
    assert "id" not in status.error, status.error  # an id stands for a fault of the program
    assert says in " ".join(status.error.values()), status.error
    assert not (workspace / "jobs" / status.id / "log.txt").exists()


def weights(folder: Path, name: str = "plain") -> Path:
    path = folder / f"{name}.pt"
    torch.save(getattr(nets, name)().state_dict(), path)
    return path


def recording(checkpoint, data, workspace, *more: object, name: str = "new", model: str = "plain") -> list:
    given = ["record", checkpoint, data, "--workspace", workspace, "--name", name]
    return [*given, *(["--model", f"bad_input_nets:{model}"] if model else []), *more]


def refused_everywhere(capsys, workspace, checkpoint, data, says: str, model: str = "plain") -> None:
    """By the command line, by its dry run, and by both kinds of job."""
    for more in ((), ("--dry-run",)):
        refused(capsys, *recording(checkpoint, data, workspace, *more, model=model), says=says)
    given = {
        "checkpoint": str(checkpoint),
        "data": str(data),
        "name": "new",
        "taps": ["*"],
        "allow_code": True,
    }
    for kind in ("dry_run", "record"):
        job_refused(workspace, kind, given | ({"model": f"bad_input_nets:{model}"} if model else {}), says)
