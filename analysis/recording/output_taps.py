"""Taps made of the network's outputs rather than of a module, as a dry run lists them."""

from __future__ import annotations

import dataclasses

from analysis.recording.layout import Axes
from analysis.recording.tap_info import LOGITS, TOKEN_LOSS, TapInfo, sized

MOST_LOGITS = 2048  # classes up to which the logits are recorded unasked


def output_infos(outputs) -> list[TapInfo]:
    """The logits, and the loss at every token of a language model."""
    infos = []
    x = outputs.logits
    if x is not None and x.ndim in (2, 3):
        per_token = x.ndim == 3
        axes = Axes(0, x.ndim - 1, (1,) if per_token else ())
        info = sized(TapInfo(LOGITS, "logits", calls=1), tuple(x.shape), axes, "")
        infos.append(dataclasses.replace(info, is_default=not per_token and x.shape[1] <= MOST_LOGITS))
    if outputs.token_loss is not None and outputs.token_loss.shape[1] > 1:
        shape = (len(outputs.token_loss), outputs.token_loss.shape[1] - 1, 1)
        note = "-ln p of the next token, at the position that predicts it; the last token of a text has none"
        infos.append(
            dataclasses.replace(
                sized(TapInfo(TOKEN_LOSS, "token loss", calls=1), shape, Axes(0, 2, (1,)), note),
                is_default=True,
            )
        )
    return infos
