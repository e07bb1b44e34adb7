"""A workspace into one file (`container`): stores, feature sets, trainings, selections and notes, kept results; on
request the networks and data that its stores were recorded from, checked against their digests (`plan`).

Of the machine nothing travels but the names of whoever wrote notes, and the paths of inputs that were left out, as the
stores hold them. Memory: a block, the names of the files, the links of a store.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import InputError, TooLarge
from analysis.sharing.beside import beside
from analysis.sharing.container import PackWriter
from analysis.sharing.inputs import is_inside
from analysis.sharing.plan import Plan, planned
from analysis.spec import Progress, no_progress
from analysis.store.durable import room_for, sync_directory
from analysis.workspace import Workspace

__all__ = ["pack", "planned"]


@dataclass(frozen=True)
class Packed:
    """What was written: `digest` of the content, which the same content always has."""

    path: Path
    digest: str
    n_files: int
    n_bytes: int
    about: dict


def pack(
    workspace: Workspace,
    out: str | os.PathLike,
    *,
    networks: bool = False,
    data: bool = False,
    without: tuple[str, ...] = (),
    replace: bool = False,
    progress: Progress = no_progress,
) -> Packed:
    """Write `workspace` as the file `out`: beside it, then renamed.

    networks, data : also what stores were recorded from. without : parts that stay, of PARTS. replace : write over
    another file. The same content gives the same bytes.

    Raises
    ------
    InputError
        `out` is there, or lies in the workspace, or files changed meanwhile. TooLarge, DiskFull: no room.
    """
    out = Path(out)
    _refuse_place(out, workspace, replace)
    with planned(workspace, networks=networks, data=data, without=without) as plan:
        if plan.n_bytes > (free := shutil.disk_usage(out.parent).free):
            raise TooLarge(f"the pack takes {plan.n_bytes:,} bytes and {out.parent} has room for {free:,}",
                           "", "Free some space, or leave something out")  # fmt: skip
        with room_for(out.parent, "the pack"), beside(out) as made:
            with open(made, "wb") as file, PackWriter(file) as writer:
                written = _write(plan, writer, progress)
                file.flush()
                os.fsync(file.fileno())
            _refuse_place(out, workspace, replace)
            os.replace(made, out)
            sync_directory(out.parent)
    return Packed(out, written["digest"], len(plan.files), plan.n_bytes, plan.about)


def _write(plan: Plan, writer: PackWriter, progress: Progress) -> dict:
    done, total = 0, max(plan.n_bytes, 1)
    for name in sorted(plan.files, key=str.encode):

        def told(n: int, name=name) -> None:
            nonlocal done
            done += n
            progress(min(done / total, 1.0), f"{done / 2**20:,.0f} of {total / 2**20:,.0f} MiB, {name}")

        writer.add(name, plan.files[name], plan.sizes[name], told)
    return writer.finish(plan.about)


def _refuse_place(out: Path, workspace: Workspace, replace: bool) -> None:
    if is_inside(os.path.realpath(out), Path(os.path.realpath(workspace.path))):
        raise InputError(f"{out} lies in the workspace", "a place outside of it")
    if out.is_dir():
        raise InputError(f"{out} is a folder", "the name of the file to write")
    if not out.parent.is_dir():
        raise InputError(f"there is no folder {out.parent}", "one that is there", "Make it first")
    if os.path.lexists(out) and not replace:
        raise InputError(
            f"there is already a file {out}", "a new name", "Choose another, or replace it (--replace)"
        )
