"""The note `loupe_manifest.json` that lies beside every sample checkpoint."""

import json
import platform
from importlib.metadata import version

FILE_NAME = "loupe_manifest.json"


def library_versions(*packages):
    """Return the versions of Python and of the named packages."""
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def write_manifest(folder, **fields):
    """Write the fields, in the order given, as the manifest of a checkpoint folder."""
    (folder / FILE_NAME).write_text(json.dumps(fields, indent=2) + "\n")


def read_manifest(folder):
    """Return the manifest of a checkpoint folder."""
    return json.loads((folder / FILE_NAME).read_text())
