"""Singular values of the derivative of a recorded layer with respect to the network's input, sample by sample.

The network of the store is run again in double precision on its own data. What was recorded of the layer, pooled or by
token, is found by its values: the way of pooling that gives the stored numbers back is the one that is differentiated,
so nothing is assumed about axes or class tokens. torch is imported when a network is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, TooLarge
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import logits_of
from analysis.sources.rerun import rerun
from analysis.spec import Progress, no_progress

BATCH = 16
MOST_OUTPUTS = 1024  # backward passes for a batch
MOST_BYTES = 1 << 30  # of the Jacobians of a batch
MOST_LEADING = 8
RECORDED = 5e-3  # relative difference that half precision and another order of sums leave


@dataclass(frozen=True)
class LocalSpectra:
    """`values` (n, k) singular values of each sample's Jacobian (outputs, inputs), falling, k = min(outputs, inputs);
    `how`, in words, what was differentiated; `note`, of which samples."""

    values: np.ndarray
    outputs: int
    inputs: int
    how: str
    note: str


def local_spectra(
    tap, maximum: int, progress: Progress = no_progress, span: tuple[float, float] = (0.0, 1.0), rng=None
) -> LocalSpectra:
    """Of at most `maximum` samples of a stored tap, a random part above (`arrays.chosen_samples`). One backward
    pass for each output and batch.

    Raises
    ------
    InputError, NotFound
        The network or its data are not there or need code of their own; its input has no derivative (token ids); the
        module's output is not what was recorded.
    TooLarge
        More than 1,024 outputs a sample, or Jacobians of a batch over 1 GiB.
    """
    run = rerun(tap, maximum, rng=rng)
    module = run.loaded.module.double()
    parts, how, rows = [], "", tap.layout.offsets
    for start in range(0, run.n, BATCH):
        progress(span[0] + (span[1] - span[0]) * start / run.n, f"differentiating {tap.name}")
        stop = min(start + BATCH, run.n)
        inputs, x = _differentiable(run.loaded.prepare(run.data.items(start, stop)), tap.name)
        output = _output(module, run.loaded, tap.name.partition(":")[2] or tap.name, inputs)
        own = np.concatenate([np.arange(rows[i], rows[i + 1]) for i in run.samples[start:stop]])
        stored = np.asarray(tap.take(own), dtype=np.float64)
        kept, how = _as_recorded(output, stored.reshape(stop - start, -1), tap.name)
        _refuse_large(kept, x)
        parts.append(_singular_values(kept, x))
    return LocalSpectra(np.concatenate(parts), kept.shape[1], int(x[0].numel()), how, run.note)


def _differentiable(prepared, name: str):
    """The inputs in double precision, and the one tensor among them that has a derivative."""
    import torch

    given = dict(prepared) if hasattr(prepared, "items") else {"": prepared}
    real = [k for k, v in given.items() if isinstance(v, torch.Tensor) and v.is_floating_point()]
    if len(real) != 1:
        raise InputError(
            f"the network of {name} takes {len(real)} tensors of real numbers ({', '.join(given)})",
            "one, such as an image",
            "Token ids have no derivative: import Jacobians made elsewhere",
        )
    x = given[real[0]].detach().double().requires_grad_(True)
    given[real[0]] = x
    return (given if "" not in given else x), x


def _output(module, loaded, name: str, inputs):
    """What the module called `name` gives."""
    import torch

    if name == "outputs.logits":
        with torch.enable_grad():
            return logits_of(loaded.run(inputs))
    with hooked_run(module, [name], gradients=True) as caught:
        loaded.run(inputs)
    return caught[name]


def _as_recorded(output, stored: np.ndarray, name: str):
    """The output (b, k) in the way that gives the `stored` (b, k) numbers back."""
    b = len(output)
    for how, kept in _ways(output):
        if kept.shape == (b, stored.shape[1]):
            found = kept.detach().numpy()
            if np.abs(found - stored).max() <= RECORDED * max(np.abs(stored).max(), 1e-300):
                return kept, how
    raise InputError(
        f"the output {tuple(output.shape)} of {name} does not give the recorded numbers back in any known way",
        "a tap recorded as a mean over tokens or positions, one token, or all",
    )


def _ways(output):
    """(words, tensor (b, k)) of each way to pool an output (b, …)."""
    b = len(output)
    yield "all its values", output.reshape(b, -1)
    if output.ndim == 4:
        yield "its mean over positions", output.mean(dim=(2, 3))
        yield "all its values", output.flatten(2).transpose(1, 2).reshape(b, -1)
    if output.ndim == 3:
        yield "its first token", output[:, 0]
        yield "its last token", output[:, -1]
        for leading in range(min(MOST_LEADING, output.shape[1] - 1) + 1):
            said = f" without the first {leading}" if leading else ""
            yield f"its mean over tokens{said}", output[:, leading:].mean(dim=1)


def _refuse_large(kept, x) -> None:
    outputs, size = kept.shape[1], 8 * kept.numel() * x[0].numel()
    if outputs > MOST_OUTPUTS or size > MOST_BYTES:
        raise TooLarge(
            f"Jacobians of {outputs:,} outputs by {x[0].numel():,} inputs ({size / 2**30:.1f} GiB a batch)",
            f"at most {MOST_OUTPUTS:,} outputs and 1 GiB",
            "Choose a pooled tap",
        )


def _singular_values(kept, x) -> np.ndarray:
    """(b, k): samples do not see each other in eval mode, so the sum over a batch has the gradient of each."""
    import torch

    b, outputs = kept.shape
    rows = np.empty((b, outputs, x[0].numel()))
    for j in range(outputs):
        (grad,) = torch.autograd.grad(kept[:, j].sum(), x, retain_graph=j < outputs - 1, allow_unused=True)
        rows[:, j] = 0.0 if grad is None else grad.reshape(b, -1).numpy()
    return np.linalg.svd(rows, compute_uv=False)
