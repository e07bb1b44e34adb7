"""How a dictionary is trained, whatever its architecture."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.spec import param


@dataclass(frozen=True)
class Training:
    """How a dictionary is trained, whatever its architecture."""

    tokens: int = param(2_000_000, "Rows seen in all; a row may come several times", low=1, label="rows seen")
    batch: int = param(1024, "Rows of a step", low=1, high=1 << 17, label="rows of a step")
    learning_rate: float = param(1e-3, "Of Adam, after the warm-up", low=1e-7, high=1.0)
    warm_up: float = param(0.05, "Share of the steps in which the learning rate rises", low=0.0, high=1.0)
    decay: float = param(
        0.2,
        "Share of the steps at the end in which it falls to 0",
        low=0.0,
        high=1.0,
        label="decay at the end",
    )
    start: str = param(
        "mean",
        "Where the dictionary's centre starts",
        choices=("mean", "geometric median", "origin"),
        label="centre",
    )
    directions: str = param(
        "random",
        "Where the features' directions start: anywhere, or inside the leading principal axes that hold 99 % of the "
        "variance, where fewer die",
        choices=("random", "active subspace"),
        label="directions start",
    )
    dead_after: int | None = param(
        None,
        "A latent is dead that was not active in so many rows; empty: a tenth of all rows seen",
        low=1,
        label="dead after rows",
    )
    auxiliary: float = param(
        1 / 32,
        "Weight of the loss by which dead latents learn; 0: none",
        low=0.0,
        high=10.0,
        label="help for dead latents",
    )
    held_out: float = param(
        0.1, "Share of the samples that is kept to judge by", low=0.001, high=0.5, label="held-out share"
    )
    every: int = param(100, "Steps between two points of the curve", low=1, label="steps between points")
    checkpoint_every: int = param(
        500, "Steps between two checkpoints", low=1, label="steps between checkpoints"
    )
    patience: int = param(
        20,
        "Points of the curve without a better held-out loss after which it stops; 0: never",
        low=0,
        label="patience in points",
    )

    @property
    def steps(self) -> int:
        return -(-self.tokens // self.batch)

    @property
    def dead_rows(self) -> int:
        return self.dead_after or max(1, self.tokens // 10)

    def rate(self, step: int) -> float:
        """Learning rate of step 0 … steps - 1."""
        rise, fall = self.warm_up * self.steps, self.decay * self.steps
        up = (step + 1) / rise if rise >= 1 else 1.0
        down = (self.steps - step) / fall if fall >= 1 else 1.0
        return self.learning_rate * min(1.0, up, down)
