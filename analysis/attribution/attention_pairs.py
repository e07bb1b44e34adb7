"""Attention and interaction of every pair of players of some samples, read at the same places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution import backgrounds, targets
from analysis.attribution.attention_maps import attention_of, gathered, identity_attention
from analysis.attribution.players import Coordinates
from analysis.attribution.split_game import split_game
from analysis.compute.games.exact import all_values
from analysis.compute.games.game import Game
from analysis.compute.games.interactions import shapley_interactions
from analysis.compute.games.sampled_interactions import round_cost, sampled_interactions
from analysis.compute.statistics.auroc import midranks
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress

SHAPLEY_PAIRS, LEFT_OUT = "Shapley interaction", "left out together"
EXACT_PLAYERS, FEWEST_PLAYERS = 10, 3
MEAN_NAME = "mean of all heads"
ROUNDING = {4: 3e-5, 8: 1e-12}  # of the answer, by the bytes of a number: smaller interactions are rounding


@dataclass(frozen=True)
class PairsOfSample:
    """`attention` [(heads, m, m)] of each sample, symmetric, the mean over all heads first; `interaction` [(m, m)];
    `change` (samples,) |answer - background|; `uneven` (samples, heads) how far attention is from equal shares; `names`
    and `layers` (heads,); `what` is run; `notes`."""

    attention: list[np.ndarray]
    interaction: list[np.ndarray]
    change: np.ndarray
    uneven: np.ndarray
    names: list[str]
    layers: np.ndarray
    what: str
    notes: tuple[str, ...]


def pairs_of_samples(samples, params, rng: np.random.Generator, progress: Progress, span) -> PairsOfSample:
    """Raises InputError, NotEnoughData."""
    n = len(samples.samples)
    some = np.sort(rng.choice(n, size=min(params.samples_asked, n), replace=False))
    others = backgrounds.Others(samples, params.background, params.background_samples, rng)
    attention, strengths, change, uneven, rows, few, joined = [], [], [], [], 0, 0, False
    for k, i in enumerate(some):
        progress(span[0] + (span[1] - span[0]) * k / len(some), f"asking sample {k + 1:,} of {len(some):,}")
        run = samples.run(int(i))
        who, maps, fewer = _players(run, samples.is_network, params)
        shape, joined = maps.shape[:2], joined or fewer
        behind = backgrounds.background(params.background, run.clean, others.without(int(i)))
        asked = targets.number_wanted(samples, run.logits, params.number, params.answer)
        target = targets.logit_target(run.logits, *asked)
        game = split_game(run, who, behind, target)
        strength = _strengths(game, params, rng)
        scale = ROUNDING[run.clean.element_size()] * max(np.abs(end).max() for end in game.ends)
        strengths.append(np.where(strength > scale, strength, 0.0))
        maps = np.concatenate([maps.mean(axis=(0, 1))[None], maps.reshape(-1, *maps.shape[2:])])
        attention.append((maps + maps.transpose(0, 2, 1)) / 2)
        uneven.append(np.abs(maps - 1 / maps.shape[1]).sum(axis=2).mean(axis=1) / 2)
        change.append(float(np.abs(game.ends[1] - game.ends[0]).max()))
        rows, few = rows + game.model_rows, max(few, len(strength))
    names, layers = [MEAN_NAME], [-1]
    if samples.is_network:
        names += [f"layer {a}, head {h}" for a, h in np.ndindex(*shape)]
        layers += [a for a, _ in np.ndindex(*shape)]
    else:
        names, layers = ["identity weights"], [0]
        attention, uneven = [a[:1] for a in attention], [u[:1] for u in uneven]
    notes = [
        f"{rows:,} rows went through {samples.what}, {len(some):,} samples; absent players: {behind.words}."
    ]
    notes += _said(samples, params, joined, few)
    if samples.number or targets.at_position(run.logits, -1).shape[-1] == 1:
        notes.append(f"Explained is the {targets.words_of(samples, target, run.logits)}, which is no class.")
    return PairsOfSample(attention, strengths, np.array(change), np.array(uneven), names, np.array(layers),
                         samples.what, tuple(notes))  # fmt: skip


def _said(samples, params, joined: bool, few: int) -> list[str]:
    said = []
    if samples.is_network:
        said.append("The network was run with its plain attention, which tells its weights.")
    else:
        said.append(
            "No network with attention was run: attention is that of a layer with identity weights over the tap."
        )
    if joined:
        said.append(f"Neighbouring tokens play as one where there are more than {params.players}.")
    if params.interaction == SHAPLEY_PAIRS and few > EXACT_PLAYERS:
        said.append("Shapley interactions are sampled; their noise pulls rank correlations to 0.")
    return said


def _players(run, is_network: bool, params):
    """Players, attention (layers, heads, players, players), and whether tokens were joined."""
    tokens, units = run.shape
    if not is_network and tokens == 1:
        if units < FEWEST_PLAYERS:
            raise NotEnoughData(
                f"{units} unit(s) and one token", f"at least {FEWEST_PLAYERS} fields of units"
            )
        parts = np.array_split(np.arange(units), min(params.fields, units))
        if len(parts) < FEWEST_PLAYERS:
            raise NotEnoughData(
                f"{len(parts)} fields", f"at least {FEWEST_PLAYERS}", "Cut the units into more fields"
            )
        width = min(len(p) for p in parts)
        owner = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
        x = run.clean.double().numpy()[0]
        names = tuple(f"field {k + 1}" for k in range(len(parts)))
        return (
            Coordinates(owner[None], names),
            identity_attention(np.stack([x[p[:width]] for p in parts])),
            False,
        )
    if tokens < FEWEST_PLAYERS:
        raise NotEnoughData(f"{tokens} token(s) of a sample at {run.site}", f"at least {FEWEST_PLAYERS}",
                            "Record a tap with all its tokens")  # fmt: skip
    maps = attention_of(run) if is_network else identity_attention(run.clean.double().numpy())
    if maps.shape[-1] != tokens:
        raise InputError(
            f"attention among {maps.shape[-1]} tokens, and {tokens} at {run.site}",
            "a tap with the same tokens",
        )
    parts = np.array_split(np.arange(tokens), min(params.players, tokens))
    owner = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    names = tuple(f"token {p[0]}" + (f" to {p[-1]}" if len(p) > 1 else "") for p in parts)
    return Coordinates(owner[:, None], names), gathered(maps, owner), len(parts) < tokens


def _strengths(game: Game, params, rng) -> np.ndarray:
    """(players, players) |interaction|, 0 on the diagonal."""
    m = game.players
    if params.interaction == LEFT_OUT:
        pairs = np.triu_indices(m, 1)
        alone = ~np.eye(m, dtype=bool)
        both = alone[pairs[0]] & alone[pairs[1]]
        values = game(np.concatenate([alone, both]))[:, 0]
        full, one, two = game.ends[1][0], values[:m], values[m:]
        found = np.zeros((m, m))
        found[pairs] = np.abs(full - one[pairs[0]] - one[pairs[1]] + two)
        return found + found.T
    if m <= EXACT_PLAYERS:
        return np.abs(shapley_interactions(all_values(game))[..., 0])
    budget = round_cost(m) * params.rounds + m + 2
    return np.abs(sampled_interactions(game, budget, rng).shapley[..., 0])


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Midranks about 0 of length 1; all 0 where every value is the same."""
    ranks = midranks(values[:, None])[0][:, 0]
    ranks = ranks - ranks.mean()
    size = np.sqrt(ranks @ ranks)
    return ranks / size if size > 0 else ranks


def square(values: np.ndarray, m: int, upper) -> np.ndarray:
    """(m, m) symmetric of values (pairs,) at `upper`, 0 on the diagonal."""
    full = np.zeros((m, m))
    full[upper] = values
    return full + full.T
