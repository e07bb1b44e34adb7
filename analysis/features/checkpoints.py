"""Checkpoints of a training: everything that is needed to go on with the same bits.

    step-NNNNNNNN.safetensors   weights, Adam's two moments, what is kept beside, tokens since each latent was active
    checkpoint.json             which file that is, step, place in the stream, curve, what is trained on what

Each is written beside and renamed, the JSON last: what it names is there whole. Random numbers need no state: each
generator follows from the seed and from what it is for.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np

from analysis.errors import InputError, StoreDamaged
from analysis.store.durable import made_directory, room_for, write_file

ABOUT, CURVE = "checkpoint.json", "curve.json"
MAY_CHANGE = ("learning_rate",)  # of how to train, when a training goes on


def save_checkpoint(directory: Path, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Write a checkpoint and remove the one before. Raises DiskFull."""
    from safetensors.numpy import save

    directory = made_directory(Path(directory))
    name = f"step-{about['step']:08d}.safetensors"
    with room_for(directory, "a checkpoint"):
        write_file(directory / name, save({n: np.asarray(v, order="C") for n, v in arrays.items()}))
        write_file(directory / ABOUT, json.dumps({**about, "file": name}).encode())
    for old in directory.glob("step-*.safetensors"):
        if old.name != name:
            with contextlib.suppress(OSError):
                old.unlink()


def drop_checkpoint(directory: Path) -> None:
    """Of a training that is finished; its curve stays."""
    for path in [Path(directory) / ABOUT, *Path(directory).glob("step-*.safetensors")]:
        path.unlink(missing_ok=True)


def has_checkpoint(directory: Path) -> bool:
    return (Path(directory) / ABOUT).exists()


def load_checkpoint(directory: Path) -> tuple[dict[str, np.ndarray], dict]:
    """(arrays, about) of the last checkpoint. Raises StoreDamaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    directory = Path(directory)
    try:
        about = json.loads((directory / ABOUT).read_text())
        return load((directory / about["file"]).read_bytes()), about
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise StoreDamaged(
            f"the checkpoint in {directory} cannot be read ({error})", "", "Remove the folder and train anew"
        ) from None


def changed_since(before: dict, now: dict, directory: Path) -> dict:
    """What is asked of a training `now` that was otherwise `before`, {name: [then, now]}: only the learning rate may
    differ, or nothing that diverged could ever go on. Raises InputError for a training of something else."""
    then, new = before.get("training") or {}, now["training"]
    differ = [key for key in now if key != "training" and before.get(key) != now[key]]
    others = [key for key in new if key not in MAY_CHANGE and then.get(key) != new[key]]
    if differ or others:
        raise InputError(
            f"the checkpoint in {directory} is of another training (other {', '.join([*differ, *others])})",
            "the same tap, parameters and seed", "Train in another folder, or remove this one",
        )  # fmt: skip
    return {key: [then[key], new[key]] for key in MAY_CHANGE if then[key] != new[key]}


def write_curve(directory: Path, curve: list[dict]) -> None:
    """The curve so far, for whoever watches."""
    write_file(made_directory(Path(directory)) / CURVE, json.dumps(curve).encode(), sync_folder=False)


def read_curve(directory: Path) -> list[dict]:
    """The curve of a training that runs or ran there; empty where there is none yet."""
    try:
        return json.loads((Path(directory) / CURVE).read_text())
    except (OSError, ValueError):
        return []
