"""Networks that misbehave, for the tests of bad input; `loupe record --model bad_input_nets:NAME` builds them."""

from __future__ import annotations

import dataclasses
import os
import time

import torch
from torch import nn

UNITS = 8


def _seeded(*modules) -> nn.Module:
    return nn.Sequential(nn.Linear(6, UNITS), *modules)


def plain() -> nn.Module:
    torch.manual_seed(0)
    return _seeded(nn.ReLU(), nn.Linear(UNITS, 3))


class NotFinite(nn.Module):
    """Unit 0 is NaN in every row, unit 1 infinite where the row's unit 2 is positive."""

    def forward(self, x):
        y = x.clone()
        y[:, 0] = float("nan")
        y[x[:, 2] > 0, 1] = float("inf")
        return y


def not_finite() -> nn.Module:
    torch.manual_seed(0)
    return _seeded(NotFinite())


class Large(nn.Module):
    def forward(self, x):
        return x.abs() * 1e6 + 1e6


def large() -> nn.Module:
    torch.manual_seed(0)
    return _seeded(Large())


class Slow(nn.Module):
    """After a dozen batches it waits for as long as the file named in the environment is there."""

    batches = 0

    def forward(self, x):
        self.batches += 1
        while self.batches > 12 and os.path.exists(os.environ.get("SLOW_UNTIL_GONE", "")):
            time.sleep(0.01)
        return x


def slow() -> nn.Module:
    torch.manual_seed(0)
    return _seeded(Slow())


class Picky(nn.Module):
    """Refuses the batch that holds the row of sevens."""

    def forward(self, x):
        assert not (x == 7).all(dim=1).any(), "sevens"
        return x


def picky() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Picky(), nn.Linear(6, UNITS))


@dataclasses.dataclass
class Pair:
    hidden: torch.Tensor
    more: int


class GivesDataclass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(6, UNITS)

    def forward(self, x):
        return Pair(self.map(x), 3)


class GivesTuple(GivesDataclass):
    def forward(self, x):
        return self.map(x), {"a": 1}, None


class GivesText(nn.Module):
    def forward(self, x):
        return {"a": "text"}


class Odd(nn.Module):
    """Outputs of every type, a module that never runs, and names that hold a colon, a slash and markup."""

    def __init__(self) -> None:
        super().__init__()
        self.record, self.tuple, self.text = GivesDataclass(), GivesTuple(), GivesText()
        self.never = nn.Linear(6, 4)
        names = {"a:b": nn.Linear(UNITS, UNITS), "c/d": nn.ReLU(), "<b>x</b>\n[2J": nn.Linear(UNITS, 3)}
        self.named = nn.ModuleDict(names)

    def forward(self, x):
        self.text(x)
        h = self.record(x).hidden + self.tuple(x)[0]
        for module in self.named.values():
            h = module(h)
        return h


def odd() -> nn.Module:
    torch.manual_seed(0)
    return Odd()


def number() -> int:
    return 42


def broken() -> nn.Module:
    raise RuntimeError("out of order")
