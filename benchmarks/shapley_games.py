"""Games to measure Shapley estimators on: networks that were trained, and three with little or no structure to find.

Each function takes the number of players and the folder with the real data and returns v(coalitions (m, players)) ->
(m,), and its Shapley values where they are known in closed form. A network's absent players are replaced by a
background that is all used: the mean picture, or every one of the background rows in turn and the mean answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "real"))  # forward passes of networks that others trained

Value = Callable[[np.ndarray], np.ndarray]


def products(players: int, real: Path, order: int = 4) -> tuple[Value, np.ndarray]:
    """A sum of 5 random products per player, each of 1 to `order` players and all of like size."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, order + 1, 5 * players)
    inside = np.zeros((len(sizes), players), dtype=np.float32)
    for row, size in zip(inside, sizes, strict=True):
        row[rng.choice(players, size, replace=False)] = 1
    worth = rng.standard_normal(len(sizes))
    known = inside.T @ (worth / sizes)
    return lambda c: (c.astype(np.float32) @ inside.T == sizes) @ worth, known


def cancer(players: int, real: Path) -> tuple[Value, None]:
    """Columns of scikit-learn's breast cancer data for an MLP trained on the spot, 100 rows of background."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.neural_network import MLPClassifier

    data = load_breast_cancer()
    x = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    net = MLPClassifier((64, 32), max_iter=100, random_state=0).fit(x[100:], data.target[100:])
    background, row = x[100:200], x[3]
    layers = list(zip(net.coefs_, net.intercepts_, strict=True))
    return _mixed(row, background, lambda h: _perceptron(h, layers)), None


def california(players: int, real: Path) -> tuple[Value, None]:
    """The 100 units of the California housing MLP's first layer, or as many groups of them, 100 rows of background."""
    import csv

    import torch

    state = torch.load(real / "tabular" / "california_model.pt", weights_only=True, map_location="cpu")
    layers = [
        (state[f"lin{k}.weight"].double().numpy().T, state[f"lin{k}.bias"].double().numpy())
        for k in (1, 2, 3, 4)
    ]
    with open(real / "tabular" / "california_housing.csv") as lines:
        rows = [row for row in csv.DictReader(lines) if row["total_bedrooms"]]
    of = lambda name: np.array([float(row[name]) for row in rows])  # noqa: E731
    homes = of("households")
    columns = (of("median_income"), of("housing_median_age"), of("total_rooms") / homes, of("total_bedrooms") / homes,
               of("population"), of("population") / homes, of("latitude"), of("longitude"))  # fmt: skip
    units = np.maximum(np.stack(columns, axis=1) @ layers[0][0] + layers[0][1], 0)
    owner = np.arange(100) * players // 100
    value = _mixed(units[4321], units[:: len(units) // 100][:100], lambda h: _perceptron(h, layers[1:]))
    return lambda c: value(c[:, owner]), None


def _perceptron(h: np.ndarray, layers: list) -> np.ndarray:
    for weight, bias in layers[:-1]:
        h = np.maximum(h @ weight + bias, 0)
    return h @ layers[-1][0] + layers[-1][1]


def _mixed(row: np.ndarray, background: np.ndarray, answer: Callable) -> Value:
    def value(c: np.ndarray) -> np.ndarray:
        parts = np.array_split(c, -(-len(c) // 128))
        mixed = (np.where(some[:, None], row, background).reshape(-1, len(row)) for some in parts)
        return np.concatenate([answer(h).reshape(-1, len(background)).mean(axis=1) for h in mixed])

    return value


def images(players: int, real: Path) -> tuple[Value, None]:
    """Square patches of a Fashion-MNIST picture for a trained CNN's logit; 196 players are blocks of 2 x 2 pixels."""
    import torch
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    weights = torch.load(real / "fashion" / "fashion_mnist.pth", weights_only=True, map_location="cpu")
    net.load_state_dict(weights)
    pictures = np.load(real / "fashion" / "fashion_mnist_test.npz")["images"].astype(np.float32) / 255
    return _of_picture(
        net, torch.tensor(pictures[1234])[None], torch.tensor(pictures[::10].mean(axis=0)), players
    ), None


def vit(players: int, real: Path) -> tuple[Value, None]:
    """The MNIST ViT on a handwritten digit: its 49 patches, or 196 blocks of 2 x 2 pixels."""
    import torch
    from networks import MnistViT
    from sklearn.datasets import load_digits

    net = MnistViT().eval()
    net.load_state_dict(torch.load(real / "vit" / "vit_mnist_gpu.pt", weights_only=True, map_location="cpu"))
    digits = torch.tensor(load_digits().images[:200, None] / 16).float()
    digits = _resized(digits.clamp(0, 1), 20, 4)
    shown = (digits - 0.1307) / 0.3081
    return _of_picture(net, shown[7], shown.mean(dim=(0, 1)), players), None


def _resized(pictures, side: int, border: int):
    """Pictures (n, 1, h, w) of side x side within a black border."""
    from torch.nn import functional

    larger = functional.interpolate(pictures, size=(side, side), mode="bicubic", align_corners=False)
    return functional.pad(larger.clamp(0, 1), (border,) * 4)


def digits(players: int, real: Path) -> tuple[Value, None]:
    """The 64 pixels, or the 16 patches, of a digit for the ViT of the sample workspace."""
    import torch
    from transformers import AutoModelForImageClassification

    net = AutoModelForImageClassification.from_pretrained(
        ROOT / "sample_data" / "checkpoints" / "digits-vit-seed0", dtype=torch.float32
    ).eval()
    pictures = np.load(ROOT / "sample_data" / "data" / "digits.npz")["images"].astype(np.float32)
    shown = torch.tensor(pictures / pictures.max() * 2 - 1)
    return _of_picture(lambda x: net(x).logits, shown[11][None], shown[::10].mean(dim=0), players), None


def _of_picture(net: Callable, x, mean, players: int) -> Value:
    """The logit of its class as a game of blocks of the picture `x` (1, side, side)."""
    import torch

    side, blocks = x.shape[-1], round(players**0.5)
    along = np.arange(side) * blocks // side
    block = torch.tensor(along[:, None] * blocks + along)
    with torch.no_grad():
        label = int(net(x[None]).argmax())

    @torch.no_grad()
    def value(c: np.ndarray) -> np.ndarray:
        parts = (torch.where(some[:, block], x[0], mean)[:, None] for some in torch.tensor(c).split(512))
        return np.concatenate([net(part)[:, label].double().numpy() for part in parts])

    return value


def stories(players: int, real: Path) -> tuple[Value, None]:
    """The last tokens of a story that a small language model tells, for its logit of the next."""
    import torch
    from story_model import StoryModel

    net = StoryModel(real / "lm" / "stories260K.bin", real / "lm" / "tok512.bin").eval()
    told = torch.tensor([[1]])
    with torch.no_grad():
        for _ in range(players + 1):
            told = torch.cat([told, net(told)[:, -1:].argmax(-1)], dim=1)
        start, following = net.embedding(told[0, :-1]), int(told[0, -1])
    mean = start.mean(dim=0)

    @torch.no_grad()
    def value(c: np.ndarray) -> np.ndarray:
        answers = []
        for some in torch.tensor(c).split(64):
            h = torch.where(some[:, :, None], start[1:], mean)
            h = torch.cat([start[:1].expand(len(some), 1, -1), h], dim=1)
            for layer in net.layers:
                h = layer(h, net.cos[: h.shape[1]], net.sin[: h.shape[1]])
            answers.append(net.head(net.norm(h[:, -1]))[:, following].double().numpy())
        return np.concatenate(answers)

    return value, None


def attention(players: int, real: Path) -> tuple[Value, None]:
    """Tokens of two layers of attention with random weights: of no use to anyone, and hard."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0, norm_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    tokens, places, head = torch.randn(players, 16) * 1.5, torch.randn(players, 16) / 2, torch.randn(16)
    for weight in net.parameters():
        weight.requires_grad_(False).mul_(2 if weight.ndim > 1 else 1)

    @torch.no_grad()
    def value(c: np.ndarray) -> np.ndarray:
        parts = torch.tensor(c)[:, :, None].float().split(128)
        return np.concatenate(
            [(net(tokens * part + places).mean(1) @ head).double().numpy() for part in parts]
        )

    return value, None


def noise(players: int, real: Path) -> tuple[Value, np.ndarray]:
    """8 waves over coalitions, cos(Σ angle + shift): the value of a coalition says nothing of its neighbours'.

    Shapley values of Π z_j over members are ∫ (z_i - 1) Π_{j≠i} (1 - t + t z_j) dt over 0 to 1, a polynomial in t.
    """
    rng = np.random.default_rng(0)
    angles, shift = rng.uniform(1, 2 * np.pi - 1, (8, players)), rng.uniform(0, 2 * np.pi, 8)
    nodes, weights = np.polynomial.legendre.leggauss(players // 2 + 1)
    z, t = np.exp(1j * angles), (nodes[:, None, None] + 1) / 2
    terms = 1 - t + t * z
    others = (z - 1) * np.prod(terms, axis=2, keepdims=True) / terms
    known = np.einsum("t,twp,w->p", weights / 2, others, np.exp(1j * shift)).real
    return lambda c: np.cos(c @ angles.T + shift).sum(axis=1), known


GAMES = {
    "cancer": cancer, "california": california, "images": images, "vit": vit, "digits": digits, "stories": stories,
    "attention": attention, "products": products, "noise": noise,
}  # fmt: skip
