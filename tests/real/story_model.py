"""A language model in the llama2.c format, read from its own two files: weights and tokenizer."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class StoryBlock(nn.Module):
    """RMSNorm, grouped-query attention with interleaved rotary positions; RMSNorm, SwiGLU."""

    def __init__(self, dim: int, hidden: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, dim // heads
        self.attention_norm, self.ffn_norm = RMSNorm(dim), RMSNorm(dim)
        self.wq, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(2))
        self.wk, self.wv = (nn.Linear(dim, kv_heads * self.size, bias=False) for _ in range(2))
        self.w1, self.w3 = (nn.Linear(dim, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x, cos, sin):
        x = x + self.attend(self.attention_norm(x), cos, sin)
        h = self.ffn_norm(x)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))

    def attend(self, h, cos, sin):
        b, t, _ = h.shape
        q = rotated(self.wq(h).view(b, t, self.heads, self.size), cos, sin)
        k = rotated(self.wk(h).view(b, t, self.kv_heads, self.size), cos, sin)
        v = self.wv(h).view(b, t, self.kv_heads, self.size)
        k, v = (a.repeat_interleave(self.heads // self.kv_heads, dim=2) for a in (k, v))
        mixed = F.scaled_dot_product_attention(*(a.transpose(1, 2) for a in (q, k, v)), is_causal=True)
        return self.wo(mixed.transpose(1, 2).reshape(b, t, -1))


def rotated(x, cos, sin):
    """Rotate neighbouring pairs of (b, t, heads, size) by the angles of (t, size / 2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[None, :, None], sin[None, :, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class StoryModel(nn.Module):
    """Language model in the llama2.c format, with its tokenizer."""

    modality, causal = "text", True

    def __init__(self, weights: Path, tokenizer: Path) -> None:
        super().__init__()
        raw = Path(weights).read_bytes()
        dim, hidden, n_layers, heads, kv_heads, vocab, longest = struct.unpack("7i", raw[:28])
        self.pieces = Pieces(tokenizer, vocab)
        self.embedding = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList(StoryBlock(dim, hidden, heads, kv_heads) for _ in range(n_layers))
        self.norm = RMSNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        floats = iter_floats(np.frombuffer(raw, "<f4", offset=28))
        state = {"embedding.weight": floats(vocab, dim), "head.weight": None}
        kv = kv_heads * dim // heads
        shapes = {
            "attention_norm": (dim,), "wq": (dim, dim), "wk": (kv, dim), "wv": (kv, dim), "wo": (dim, dim),
            "ffn_norm": (dim,), "w1": (hidden, dim), "w2": (dim, hidden), "w3": (hidden, dim),
        }  # fmt: skip
        for name, shape in shapes.items():
            state.update({f"layers.{i}.{name}.weight": floats(*shape) for i in range(n_layers)})
        state["norm.weight"], state["head.weight"] = floats(dim), state["embedding.weight"]
        self.load_state_dict(state)
        half = dim // heads // 2
        self.register_buffer("cos", floats(longest, half))
        self.register_buffer("sin", floats(longest, half))

    def forward(
        self, input_ids, attention_mask=None
    ):  # padding is on the right: causal attention never sees it
        x = self.embedding(input_ids)
        t = input_ids.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return self.head(self.norm(x))

    def prepare(self, items):
        ids = [torch.tensor(self.pieces.encode(text)) for text in items]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True)
        lengths = torch.tensor([len(i) for i in ids])
        return {
            "input_ids": padded,
            "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long(),
        }

    def tokens(self, items):
        return [[self.pieces.text[i] for i in self.pieces.encode(text)] for text in items]


def iter_floats(values: np.ndarray):
    """A function that takes the next block of the given shape."""
    at = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal at
        n = int(np.prod(shape))
        at += n
        return torch.from_numpy(values[at - n : at].reshape(shape).copy())

    return take


class Pieces:
    """Byte-pair tokenizer in the llama2.c format: merges the best-scoring neighbours first."""

    def __init__(self, path: Path, vocab: int) -> None:
        raw = Path(path).read_bytes()
        at, self.text, self.score = 4, [], []
        for _ in range(vocab):
            score, length = struct.unpack_from("<fi", raw, at)
            self.text.append(raw[at + 8 : at + 8 + length].decode("utf-8", "replace"))
            self.score.append(score)
            at += 8 + length
        self.number = {text: i for i, text in reversed(list(enumerate(self.text)))}

    def encode(self, text: str) -> list[int]:
        """Token ids with the begin token (1) and the customary leading space."""
        ids = []
        for character in " " + text:
            known = self.number.get(character)
            ids += [known] if known is not None else [byte + 3 for byte in character.encode()]
        while True:
            pairs = [self.number.get(self.text[a] + self.text[b], -1) for a, b in pairwise(ids)]
            best = max(
                range(len(pairs)), key=lambda i: self.score[pairs[i]] if pairs[i] >= 0 else -1e30, default=-1
            )
            if best < 0 or pairs[best] < 0:
                return [1, *ids]
            ids[best : best + 2] = [pairs[best]]
