"""A feature set to disk and back.

    weights.safetensors   the arrays
    feature_set.json      everything else: name, rule, settings, origin, digest

Both are read without running anything. The weights are written first: without the JSON no set is there.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from analysis.errors import NotFound, StoreDamaged
from analysis.features.feature_set import ARRAYS, FeatureSet
from analysis.store.durable import made_directory, write_file

WEIGHTS, ABOUT = "weights.safetensors", "feature_set.json"
SCHEMA = 1


def save(features: FeatureSet, directory: Path) -> None:
    """Write it under `directory`, weights first. Raises OSError (disk full)."""
    from safetensors.numpy import save as packed

    directory = made_directory(Path(directory))
    arrays = {n: getattr(features, n) for n in ARRAYS if getattr(features, n) is not None}
    write_file(directory / WEIGHTS, packed(arrays))
    about = {
        "schema": SCHEMA, "name": features.name, **features.settings, "about": features.about,
        "digest": features.digest,
    }  # fmt: skip
    write_file(directory / ABOUT, json.dumps(about, indent=1).encode())


def read(directory: Path) -> FeatureSet:
    """Read what `save` wrote. Raises NotFound, StoreDamaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    directory = Path(directory)
    try:
        about = json.loads((directory / ABOUT).read_text())
        arrays = load((directory / WEIGHTS).read_bytes())
        settings = {
            f.name: about[f.name] for f in fields(FeatureSet) if f.name in about and f.name not in ARRAYS
        }
        found = FeatureSet(**settings | {"levels": tuple(about["levels"])}, **arrays)
    except FileNotFoundError as error:
        raise NotFound(f"no feature set at {directory} ({Path(error.filename).name} is missing)") from None
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise StoreDamaged(
            f"the feature set at {directory} cannot be read ({error})", "", "Import or train it again"
        ) from None
    if found.digest != about["digest"]:
        raise StoreDamaged(f"the weights at {directory} have changed", "", "Import or train it again")
    return found
