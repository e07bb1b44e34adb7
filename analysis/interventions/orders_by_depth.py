"""What several parts of a sample do together, layer by layer: the variance of what each layer gives, over all
coalitions of the parts at a tap, by how many of them act together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.attribution.attention_maps import attention_of, gathered
from analysis.attribution.backgrounds import Background
from analysis.attribution.players import Coordinates
from analysis.attribution.sample_run import SampleRun, as_tokens, fitting_rows
from analysis.attribution.targets import at_position
from analysis.compute.games.exact import all_values
from analysis.compute.games.game import Game
from analysis.compute.games.orders import players_on_paths, variance_by_order
from analysis.errors import InputError, NotEnoughData
from analysis.interventions.finding_parts import network_parts

ANSWER = "the answer"
MOST_NUMBERS = 256  # of a layer's output that are followed, drawn at random
FEWEST_PLAYERS = 2


@dataclass
class EveryLayer:
    """What modules give and the logits, as one target of (b, numbers) columns; `blocks` of columns by name."""

    catch: tuple[str, ...]
    rng: np.random.Generator
    words: str = "what layers give"
    blocks: dict[str, slice] = field(default_factory=dict)
    _picked: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, logits, caught):
        import torch

        found, first = [], 0
        outputs = {name: as_tokens(caught[name]).flatten(1) for name in self.catch}
        if logits is not None:
            z = at_position(logits, -1)
            outputs[ANSWER] = z - z.mean(dim=1, keepdim=True) if z.shape[1] > 1 else z
        for name, y in outputs.items():
            if name not in self._picked:
                size = y.shape[1]
                self._picked[name] = np.sort(self.rng.permutation(size)[:MOST_NUMBERS])
            found.append(y[:, self._picked[name]].double())
            self.blocks[name] = slice(first, first + found[-1].shape[1])
            first += found[-1].shape[1]
        return torch.cat(found, dim=1)


def parts_of(run: SampleRun, most: int) -> Coordinates:
    """At most so many players: squares of a grid, tokens in a row joined to neighbours; the units of a single token.

    Raises NotEnoughData where there are fewer than two."""
    tokens, units = run.shape
    if tokens == 1:
        owner = _joined(units, most)[None]
        word = "units"
    elif (
        run.grid is not None
        and not run.leading
        and len(run.grid) == 2
        and tokens == run.grid[0] * run.grid[1]
    ):
        side = max(1, int(most**0.5))
        rows, columns = (_joined(n, side) for n in run.grid)
        owner = (rows[:, None] * (columns.max() + 1) + columns[None]).reshape(-1, 1)
        word = "part"
    else:
        owner, word = _joined(tokens, most)[:, None], "tokens"
    players = int(owner.max()) + 1
    if players < FEWEST_PLAYERS:
        raise NotEnoughData(
            f"{tokens} token(s) of {units} unit(s) at {run.site}", "two parts at least", "Choose another tap"
        )
    return Coordinates(owner, tuple(f"{word} {k + 1}" for k in range(players)))


def _joined(n: int, most: int) -> np.ndarray:
    parts = np.array_split(np.arange(n), min(most, n))
    return np.repeat(np.arange(len(parts)), [len(p) for p in parts])


def shares_by_layer(
    run: SampleRun,
    players: Coordinates,
    behind: Background,
    layers: tuple[str, ...],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], int]:
    """By layer (and the answer) the share of variance (players,) of order 1, 2, …, 0 where nothing moves; passes."""
    import torch

    target, x, base = EveryLayer(layers, rng), run.clean, behind.rows[0]

    def value(coalitions: np.ndarray) -> np.ndarray:
        mixed = players.mixed(torch.as_tensor(coalitions.astype(bool)), x, base)
        return np.concatenate([run.values(part, target).numpy() for part in mixed.split(fitting_rows(run))])

    game = Game(value, len(players.names))
    values = all_values(game)
    found = {}
    for name, block in target.blocks.items():
        own = values[:, block]
        by = variance_by_order(own)
        moved = by.sum() > 1e-10 * max(float((own**2).mean(axis=0).sum()), 1e-300)
        found[name] = by / by.sum() if moved else np.zeros(len(by))
    return found, game.evaluations


def paths_of(run: SampleRun, players: Coordinates, stay: float) -> np.ndarray | None:
    """(layers + 1, players) of `players_on_paths`, by the mean attention of each layer behind the site; None where the
    network has none among the tokens of the site."""
    if players.owner.shape[1] != 1:
        return None
    try:
        maps, blocks = attention_of(run), network_parts(run.loaded, run.inputs).blocks
    except InputError:
        return None
    if run.site not in blocks or len(maps) != len(blocks) or maps.shape[-1] != len(players.owner):
        return None
    own = gathered(maps, players.owner[:, 0]).mean(axis=1)
    return players_on_paths(own[blocks.index(run.site) + 1 :], stay)
