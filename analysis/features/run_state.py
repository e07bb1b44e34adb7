"""Where a training stands, as arrays and plain values: all that it takes to go on from there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from analysis.features.checkpoints import changed_since
from analysis.features.row_stream import Place

if TYPE_CHECKING:
    from analysis.features.training_run import Run

MOMENTS = ("first", "second")  # of Adam


def is_finite(run: Run) -> bool:
    """Whether all weights are numbers."""
    import torch

    return all(bool(torch.isfinite(w).all()) for w in run.dictionary.weights.values())


def state_of(run: Run) -> tuple[dict[str, np.ndarray], dict]:
    """What `analysis.features.checkpoints.save_checkpoint` keeps."""
    arrays = {f"weight.{n}": w.detach().numpy() for n, w in run.dictionary.weights.items()}
    for key in MOMENTS:
        arrays |= {f"{key}.{n}": m.numpy() for n, m in getattr(run.adam, key).items()}
    arrays |= {f"kept.{n}": v for n, v in run.dictionary.kept.items()}
    arrays["quiet"] = run.quiet.numpy()
    about = {
        "step": run.step, "tokens": run.tokens, "place": dataclasses.asdict(run.place), "curve": run.curve,
        "best": run.best, "stale": run.stale, "stopped": run.stopped, "what": run.what, "changed": run.changed,
        "started": run.started,
    }  # fmt: skip
    return arrays, about


def restore(run: Run, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Put a new run where a kept one stood. Raises InputError where that was another training."""
    import torch

    changed = changed_since(about["what"], run.what, run.directory)
    run.changed = [*about.get("changed", []), *([{"step": about["step"], **changed}] if changed else [])]
    for name, w in run.dictionary.weights.items():
        with torch.no_grad():
            w.copy_(torch.from_numpy(arrays[f"weight.{name}"].copy()))
    for key in MOMENTS:
        for name, moment in getattr(run.adam, key).items():
            moment.copy_(torch.from_numpy(arrays[f"{key}.{name}"].copy()))
    run.dictionary.kept = {n: arrays[f"kept.{n}"].copy() for n in run.dictionary.kept}
    run.quiet = torch.from_numpy(arrays["quiet"].copy())
    run.step, run.tokens, run.place = about["step"], about["tokens"], Place(**about["place"])
    run.curve, run.stale, run.stopped = about["curve"], about["stale"], about["stopped"]
    run.best, run.saved, run.started = about["best"], run.step, about.get("started", {})
    run.loss = run.curve[-1]["loss"] if run.curve else float("nan")
