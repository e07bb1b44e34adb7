"""A store's manifest with links that hold in a pack: to what travels with it, and to nothing else where a file would be
opened unchecked. The sample table stays as it is, because the store's digest knows it."""

from __future__ import annotations

from pathlib import Path

from analysis.sharing.inputs import Input, media_outside
from analysis.store import manifest
from analysis.store.reader import Store

UP = "../../"  # from stores/<name> to the workspace


def relinked(store: Store, inputs: dict[str, Input], root: Path, folder: Path) -> Path | None:
    """The store's manifest as it travels, written to `folder`; None where it needs no change.

    inputs : by the part of the manifest that names them. root : the workspace. Media outside of it that do not travel
    are forgotten, because nothing checks them when they are opened.
    """
    about = manifest.read(store.path)
    outside = next(media_outside(store, root), None) is not None
    if not inputs and not outside:
        return None
    if outside:
        before, data = about["data"].get("path", ""), inputs.get("data")
        about["media"] = {"from": before, "to": UP + data.place} if data else {"from": "", "to": ""}
    for part, found in inputs.items():
        about[part]["path"] = UP + found.main
    manifest.write(folder, about)
    return folder / manifest.FILE
