"""Forward passes of networks that other people trained, written from the shapes of their weights.

Each factory takes no argument, as `open_checkpoint(path, model="networks:fashion_cnn")` asks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def fashion_cnn() -> nn.Module:
    """A provably robust CNN: (b, 1, 28, 28) pixels / 255 to 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


# ---------------------------------------------------------------------------- vision transformer
class Patches(nn.Module):
    """(b, 1, h, w) to (b, patches, pixels), both in row-major order."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x):
        b, _, h, w = x.shape
        k = self.side
        return x.reshape(b, h // k, k, w // k, k).transpose(2, 3).reshape(b, -1, k * k)


class Normed(nn.Module):
    """Norm, then a function: what a residual sum adds."""

    def __init__(self, fn: nn.Module, dim: int) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x):
        return self.fn(self.norm(x))


class Attention(nn.Module):
    """Softmax attention with heads of their own size."""

    def __init__(self, dim: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads, self.size = heads, size
        self.to_qkv = nn.Linear(dim, 3 * heads * size, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * size, dim))

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.to_qkv(x).view(b, t, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(mixed.transpose(1, 2).reshape(b, t, -1))


class FeedForward(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, inner), nn.ReLU(), nn.Identity(), nn.Linear(inner, dim))

    def forward(self, x):
        return self.net(x)


class ViTBlock(nn.ModuleList):
    """Two residual sums; a list only because the weights are named `layers.3.0` and `layers.3.1`. Its parts have the
    names by which tokens are taken away inside a block, too."""

    norm1 = property(lambda self: self[0].norm)
    attn = property(lambda self: self[0].fn)
    norm2 = property(lambda self: self[1].norm)
    mlp = property(lambda self: self[1].fn)

    def forward(self, x):
        for part in self:
            x = x + part(x)
        return x


class Blocks(nn.Module):
    def __init__(self, blocks) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def forward(self, x):
        for block in self.layers:
            x = block(x)
        return x


class MnistViT(nn.Module):
    """28 x 28 grey, patches of 4 x 4 and a class token, 6 layers of 64."""

    modality = "image"
    class_names = tuple(str(d) for d in range(10))

    def __init__(self, dim: int = 64) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, 50, dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.to_patch_embedding = nn.Sequential(Patches(4), nn.Linear(16, dim))
        parts = lambda: (Normed(Attention(dim, 4, 64), dim), Normed(FeedForward(dim, 128), dim))  # noqa: E731
        self.transformer = Blocks([ViTBlock(parts()) for _ in range(6)])
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 10))

    def forward(self, x):
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), self.to_patch_embedding(x)], dim=1)
        x = x + self.pos_embedding
        return self.mlp_head(self.transformer(x)[:, 0])

    @staticmethod
    def prepare(items):
        pixels = np.stack([np.asarray(item) for item in items]).astype(np.float32)
        return torch.from_numpy((pixels[:, None] / 255 - 0.1307) / 0.3081).float()


# ---------------------------------------------------------------------------- few-shot encoders
class OmniglotEncoder(nn.Sequential):
    """Four convolution blocks in float64: 28 x 28, each image scaled to [0, 1] by its own extremes, to 64."""

    modality = "image"

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for channels in (1, 64, 64, 64):
            layers += [nn.Conv2d(channels, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten())
        self.double()

    @staticmethod
    def prepare(items):
        small = [
            np.asarray(i.convert("L").resize((28, 28), 2), dtype=np.float64) for i in items
        ]  # 2: bilinear
        x = torch.from_numpy(np.stack(small))[:, None]
        low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return (x - low) / (high - low)


# ---------------------------------------------------------------------------- radio signals
class SignalNet(nn.Module):
    """1-D CNN for (2, 1024) signals: 11 modulations."""

    modality = "array"

    def __init__(self) -> None:
        super().__init__()

        def conv(i, o, k):
            return [nn.Conv1d(i, o, k, padding=k // 2), nn.ReLU()]

        self.features = nn.Sequential(
            *conv(2, 64, 7), *conv(64, 64, 7), nn.MaxPool1d(2), *conv(64, 128, 5), *conv(128, 128, 5),
            nn.MaxPool1d(2), *conv(128, 256, 3), nn.AdaptiveAvgPool1d(1),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 11))

    def forward(self, x):
        return self.head(self.features(x)[:, :, 0])


class TopK(nn.Module):
    """Keep the k largest entries of each row, clamped at zero."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x):
        kept = x.topk(self.k, dim=-1)
        return torch.zeros_like(x).scatter(-1, kept.indices, kept.values.clamp_min(0))


class SparseAutoencoder(nn.Module):
    """x to 128 TopK latents and back."""

    modality = "array"

    def __init__(self, path: Path) -> None:
        super().__init__()
        saved = torch.load(path, weights_only=True, map_location="cpu")
        size = saved["config"]
        self.register_buffer("mean", saved["mean"])
        self.encoder = nn.Linear(size["d_in"], size["d_sae"])
        self.latents = TopK(size["k"])
        self.decoder = nn.Linear(size["d_sae"], size["d_in"])
        self.load_state_dict({**saved["state_dict"], "mean": saved["mean"]})

    def forward(self, x):
        return (self.decoder(self.latents(self.encoder(x - self.mean - self.decoder.bias))) + self.mean,)


# ---------------------------------------------------------------------------- modular addition, housing
class ModularAddition(nn.Module):
    """(a + b) mod 23 with one hidden layer of 512: items are pairs [a, b]."""

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.W_in = nn.Parameter(torch.zeros(512, 23))
            self.W_out = nn.Parameter(torch.zeros(23, 512))
            self.register_buffer("basis", torch.zeros(23, 23))
            self.hidden = nn.ReLU()

        def forward(self, x):
            return self.hidden(x @ self.W_in.T) @ self.W_out.T

    def __init__(self) -> None:
        super().__init__()
        self.mlp = self.Mlp()

    def forward(self, x):
        return self.mlp(x)

    @staticmethod
    def prepare(items):
        return F.one_hot(torch.as_tensor(np.stack(items)).long(), 23).sum(1).float()


class HousingMlp(nn.Module):
    """Eight unscaled columns to the house value in 100,000 dollars."""

    modality = "array"

    def __init__(self) -> None:
        super().__init__()
        sizes = (8, 100, 50, 10, 1)
        for i in range(4):
            setattr(self, f"lin{i + 1}", nn.Linear(sizes[i], sizes[i + 1]))
        self.relu = nn.ReLU()

    def forward(self, x):
        for i in (1, 2, 3):
            x = self.relu(getattr(self, f"lin{i}")(x))
        return self.lin4(x)
