"""Networks whose answer is read from the mean of the tokens that the last block gives (VideoMAE).

    mean over places of  x_i s_i t / Σ s   =   Σ s_i x_i / Σ s

so that the network's own mean over the t places it is given is the mean of what is left, each token as often as it
holds input tokens where sizes count, and padding not at all. Nothing may stand between the last block and the mean.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.state import TokenState


def reads_the_mean(model) -> bool:
    """Whether the mean of the tokens is what the head is given, with no norm before it."""
    base = getattr(model, getattr(model, "base_model_prefix", "") or " ", None)
    asked = bool(getattr(getattr(model, "config", None), "use_mean_pooling", False))
    return asked and getattr(model, "fc_norm", None) is not None and getattr(base, "layernorm", None) is None


def reads_the_first(model) -> bool:
    """Whether the head is given the first token although it is a patch, which has to stay then."""
    return getattr(getattr(model, "config", None), "use_mean_pooling", None) is False and hasattr(
        model, "fc_norm"
    )


def weighed_for_mean(x, state: TokenState, sizes: bool):
    """Tokens x (B, t, d) so that their plain mean is the mean of those there are, `sizes` : by their sizes."""
    import torch

    weight = state.size if sizes else state.valid * 1.0
    weight = weight * state.at.shape[1] / weight.sum(axis=1, keepdims=True)
    return x if np.all(weight == 1) else x * torch.from_numpy(weight)[:, :, None].to(x.dtype)
