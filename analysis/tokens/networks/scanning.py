"""The scan of one block, run as the block has it, and what each token takes of each other in it.

There is no attention here: no queries, no keys, no row of weights that sums to 1. What there is instead is the matrix M
of `analysis.tokens.mixers.scan_capture`, one for each channel, gated by g and read off what it mixes, u:

    influence of s on t    Σ_h |g_th| |M_h[t, s]| ‖u_hs‖,    each row divided by its sum

over at most 64 channels evenly spread. Without the filter before the scan, and without the skip D. Where tokens have
gone, filter and scan run over those that are left, which closes up the gaps between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError

CHANNELS, LEAST = 64, 1e-30


@dataclass
class Scanned:
    """Of one block: what its scan `mixer` was given and passed on (B, t, ...), `valid` (B, t) bool."""

    name: str
    mixer: object
    given: object
    passed: object
    valid: np.ndarray
    rotary: None = None

    def influence(self):
        """(B, t, t) tensor, rows sum to 1, 0 at padding. O(B t² N) for each of the channels.

        Raises InputError where the scan, unrolled, is not what the mixer gave.
        """
        import torch

        from analysis.tokens.mixers.scan_capture import captured_block

        out = np.zeros((*self.valid.shape, self.valid.shape[1]))
        for b, there in enumerate(self.valid):
            at = np.flatnonzero(there)
            rows = torch.from_numpy(at)
            found = captured_block(
                self.name, self.mixer, self.given[b : b + 1, rows], self.passed[b : b + 1, rows]
            )
            out[b, at[:, None], at] = _shares(found)
        return torch.from_numpy(out)


def _shares(found) -> np.ndarray:
    """(t, t) of one sample."""
    count = found.scan.channels
    some = np.unique(np.linspace(0, count - 1, min(count, CHANNELS)).round().astype(int))
    sizes = np.linalg.norm(found.values[:, some], axis=2)
    gates = np.abs(found.gate[:, some, 0])
    taken = np.einsum("hts,sh,th->ts", np.abs(found.matrices(some)), sizes, gates, optimize=True)
    return taken / np.maximum(taken.sum(axis=1, keepdims=True), LEAST)


def scan(block, x, facts: dict, valid: np.ndarray, watched: bool):
    """(what the scan of `block` gives for tokens x (B, t, d), `Scanned` or None unless `watched`)."""
    import torch

    from analysis.tokens.mixers.scan_capture import behind, is_scan

    facts = {k: v for k, v in facts.items() if k not in ("attention_mask", "cache_params")}
    if not valid.all():
        facts["attention_mask"] = torch.from_numpy(valid)
    given, kept, handle = block.norm1(x), [], None
    if watched and not is_scan(block.attention):
        raise InputError(
            f"the scan of {block.name} ({type(block.attention).__name__})", "a scan as Mamba and Mamba2 have it",
            "Choose a rule that does not look at what tokens take of each other",
        )  # fmt: skip
    if watched:
        handle = behind(block.attention).register_forward_pre_hook(
            lambda _module, args: kept.append(args[0].detach().clone())
        )
    try:
        out = block.attention(given, **facts)
    finally:
        if handle is not None:
            handle.remove()
    out = out[0] if isinstance(out, tuple) else out
    return out, Scanned(block.name, block.attention, given, kept[0], valid) if kept else None
