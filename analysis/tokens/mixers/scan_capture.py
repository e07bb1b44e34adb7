"""Δ, B and C of selective scans, which depend on the input, read off one pass of a network.

What a mixer of the transformers library (Mamba, Mamba2) is given is caught, and its own projections and filter are
asked again for Δ, B and C. That this is what it does is checked on what it then passes on: M u + D u, gated as the
mixer gates, has to be that to 1e-4 of the largest M u. torch is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.sources.hooked_run import model_lock
from analysis.tokens.mixers.hidden_attention import Selective, hidden_attention

SAME, ROUNDING = 1e-4, 1e-6  # of the largest mixed value; of the largest output
COMMON = ("in_proj", "conv1d", "A_log", "D", "out_proj")


@dataclass(frozen=True)
class Captured:
    """`scan` of H channels (of Mamba2: heads), `values` (T, H, P) what is mixed, `gate` (T, H, 1) and `said` (T, H, P)
    what the mixer passed on."""

    name: str
    scan: Selective
    values: np.ndarray
    gate: np.ndarray
    said: np.ndarray

    def matrices(self, channels: np.ndarray) -> np.ndarray:
        """(len(channels), T, T). Raises InputError where they are not what the mixer did."""
        found = hidden_attention(self.scan, channels)
        values = self.values[:, channels]
        gate, past = self.gate[:, channels], self.scan.skip[channels][:, None] * values
        mixed = np.einsum("hts,shp->thp", found, values) * gate
        off = np.abs(mixed + past * gate - self.said[:, channels]).max()
        # of what is mixed, not of what the skip adds, which is often larger by far and known to single precision
        if not off <= SAME * np.abs(mixed).max() + ROUNDING * np.abs(self.said).max():
            raise InputError(
                f"the scan of {self.name}, unrolled, is {off:.3g} off what the mixer gives (largest "
                f"{np.abs(self.said).max():.3g})",
                "in_proj, conv1d, x_proj, dt_proj and a scan, as Mamba and Mamba2 have them",
                "Its matrix is not shown: this mixer does something else besides",
            )
        return found


def scan_modules(module) -> dict[str, object]:
    """Mixers of a network that are selective scans, by name."""
    return {name: m for name, m in module.named_modules() if is_scan(m)}


def _is_first(m) -> bool:
    return hasattr(m, "x_proj") and hasattr(m, "dt_proj")


def _is_second(m) -> bool:
    return all(hasattr(m, k) for k in ("dt_bias", "norm", "num_heads", "n_groups"))


def is_scan(module) -> bool:
    """Whether a mixer is one of those that can be unrolled."""
    return all(hasattr(module, k) for k in COMMON) and (_is_first(module) or _is_second(module))


def behind(module):
    """The part of a mixer that is given what it has mixed."""
    return module.out_proj if _is_first(module) else module.norm


def captured_block(name: str, module, given, passed) -> Captured:
    """Of one sample: what the mixer was given and what it passed on to `behind`, (1, T, ...) each."""
    return (_first if _is_first(module) else _second)(name, module, given, passed)


def captured(loaded, inputs) -> list[Captured]:
    """Of one sample, prepared as `inputs`, every scan in order. Raises InputError where one did not run."""
    import torch

    found = scan_modules(loaded.module)
    given, passed, handles = {}, {}, []

    def keep(into: dict, name: str):
        def hook(_module, args, kwargs):
            into[name] = (args[0] if args else kwargs["hidden_states"]).detach().clone()

        return hook

    with model_lock(loaded.module), torch.no_grad():
        training = [m for m in loaded.module.modules() if m.training]
        loaded.module.eval()
        try:
            for name, m in found.items():
                handles += [m.register_forward_pre_hook(keep(given, name), with_kwargs=True),
                            behind(m).register_forward_pre_hook(keep(passed, name), with_kwargs=True)]  # fmt: skip
            copy = {**inputs} if isinstance(inputs, Mapping) else inputs.clone()
            loaded.call(loaded.module, copy) if loaded.call else loaded.run(copy)
        finally:
            for handle in handles:
                handle.remove()
            for m in training:
                m.training = True
        idle = [name for name in found if name not in given or name not in passed]
        if idle or not found:
            raise InputError(
                f"{len(found)} scans, of which {len(idle)} did not run", "scans that run on the input"
            )
        return [captured_block(name, m, given[name][:1], passed[name][:1]) for name, m in found.items()]


def _plain(x) -> np.ndarray:
    return x.detach().double().cpu().numpy()


def _first(name: str, m, x, passed) -> Captured:
    """Mamba: each channel its own Δ and rates, B and C shared."""
    import torch

    u, gate = m.in_proj(x).transpose(1, 2).chunk(2, dim=1)
    u = m.act(m.conv1d(u)[..., : x.shape[1]]).transpose(1, 2)
    n = m.A_log.shape[1]
    dt, b, c = torch.split(m.x_proj(u), [m.x_proj.out_features - 2 * n, n, n], dim=-1)
    step = torch.nn.functional.softplus(m.dt_proj(dt))
    u = _plain(u[0])
    scan = Selective(u, _plain(step[0]), -np.exp(_plain(m.A_log)), _plain(b[0]), _plain(c[0]), _plain(m.D))
    gate = torch.nn.functional.silu(gate).transpose(1, 2)
    return Captured(name, scan, u[:, :, None], _plain(gate[0])[:, :, None], _plain(passed[0])[:, :, None])


def _second(name: str, m, x, passed) -> Captured:
    """Mamba2: one rate and Δ a head, B and C shared by heads of a group."""
    import torch

    width, heads = m.out_proj.in_features, m.num_heads
    inside = m.conv1d.in_channels
    n = (inside - width) // (2 * m.n_groups)
    _, mixed, dt = m.in_proj(x).split([width, inside, heads], dim=-1)
    mixed = m.act(m.conv1d(mixed.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)
    u, b, c = torch.split(mixed, [width, m.n_groups * n, m.n_groups * n], dim=-1)
    step = torch.clamp(torch.nn.functional.softplus(dt + m.dt_bias), *m.time_step_limit)
    t = x.shape[1]
    each = heads // m.n_groups
    b, c = (np.repeat(_plain(v[0]).reshape(t, m.n_groups, n), each, axis=1) for v in (b, c))
    values = _plain(u[0]).reshape(t, heads, -1)
    scan = Selective(values[:, :, 0], _plain(step[0]), -np.exp(_plain(m.A_log))[:, None], b, c, _plain(m.D))
    return Captured(name, scan, values, np.ones((t, heads, 1)), _plain(passed[0]).reshape(t, heads, -1))
