"""The set that a training made, with everything to cite it by and what a reader should mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.features.feature_set import FeatureSet
from analysis.features.held_out import judged

if TYPE_CHECKING:
    from analysis.features.training_run import Run


def finished_set(run: Run, name: str) -> FeatureSet:
    """Judged on the held-out rows by its own rule."""
    dead = run.quiet >= run.training.dead_rows
    about = {
        **run.what, "tokens": run.tokens, "steps": run.step, "curve": run.curve, "stopped": run.stopped,
        "rows": {"trained_on": run.stream.n_rows, "not_finite": run.stream.n_nonfinite,
                 "held_out": len(run.stream.held), "held_out_samples": run.stream.held_samples},
        "dead": {"latents": int(dead.sum()), "share": float(dead.double().mean()),
                 "rows_without": run.training.dead_rows},
        **({"changed": run.changed} if run.changed else {}), **run.started,
    }  # fmt: skip
    run.dictionary.settle(run.first_rows)
    made = run.dictionary.finish(name, run.stream.mean, run.stream.scale, about)
    target = run.rebuilt.held if run.dictionary.rebuilds_beside else None
    about["held_out"] = judged(made, run.stream.held, target)
    about |= run.dictionary.facts(run.held_parts())
    about["caveats"] = _caveats(run, about)
    return made


def _caveats(run: Run, about: dict) -> list[str]:
    said, dead = [], about["dead"]
    if about["rows"]["not_finite"]:
        said.append(f"{about['rows']['not_finite']:,} rows hold NaN or infinity and were left out.")
    if dead["latents"] == run.dictionary.n_latents:
        said.append("Every latent is dead: the set explains nothing. Lower the penalty or the learning rate.")
    elif dead["share"] > 0.5:
        said.append(
            f"{dead['share']:.0%} of the latents are dead, not active in {dead['rows_without']:,} rows."
        )
    if (about["held_out"]["explained_variance"] or 0) < 0:
        said.append("It rebuilds held-out samples worse than their mean does. Lower the learning rate.")
    if run.tokens < dead["rows_without"]:
        said.append("Too few rows were seen to call any latent dead.")
    said += [
        f"From step {c['step']:,} on the learning rate was {c['learning_rate'][1]:g} instead of "
        f"{c['learning_rate'][0]:g}." for c in run.changed
    ]  # fmt: skip
    if run.stopped:
        said.append(run.stopped.capitalize() + ".")
    return said + run.dictionary.caveats(about)
