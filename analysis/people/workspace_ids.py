"""How a database of many workspaces knows one of them: by the id in its hidden file."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from pathlib import Path

from analysis.errors import InputError, StoreDamaged

ID_FILE = ".people-id"
ID = re.compile(r"[0-9a-f]{32}")


def known(folder: Path) -> str | None:
    """The id of the workspace in this folder, None where it has none. Raises StoreDamaged."""
    try:
        text = (folder / ID_FILE).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not ID.fullmatch(text):
        raise StoreDamaged(f"{folder / ID_FILE} holds no id", "32 hexadecimal digits", "Restore it")
    return text


def given(folder: Path) -> str:
    """Its id, made where there is none: whole or not at all, and once. Whoever is second takes the first one's."""
    there = known(folder)
    if there is not None:
        return there
    file = folder / ID_FILE
    beside = file.with_name(f"{ID_FILE}.{uuid.uuid4().hex}.tmp")
    try:
        beside.write_text(uuid.uuid4().hex, encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(beside, file)
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror})", "a writable workspace",
                         "What the database calls it is kept in its folder") from None  # fmt: skip
    finally:
        beside.unlink(missing_ok=True)
    return known(folder)
