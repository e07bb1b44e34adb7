"""What does the network say when it is pushed along a direction? The texts themselves, beside those of a random push.

    x -> x + alpha s d      at every token, those that it writes among them; |d| = 1, s the standard deviation along d

A language model goes on from the first tokens of a few samples, always with the likeliest token, at each push and along
one random direction as long (in natural deviations of units). A classifier, or a probe in its place, says one word: its
answer for a sample. Beside each text:

    changed     share of tokens that are others than without a push
    own log p   mean log-probability (nats a token) that the network without a push gives to the text: how far it has to
                leave its own way to write it
    named       share of tokens among the `outputs` that the direction raises most by the weights of the read-out

Null: the same of random directions. Interval: Student's t over prompts.

When it lies: one text is an example and no evidence; a network pushed far writes the same few tokens over and over,
which any direction can do, so that *changed* is large and *own log p* low; always taking the likeliest token repeats
itself without any push; read-out weights leave out all layers in between, and raise a token for many directions.

Cost: prompts x pushes x (1 + random directions) x length rows through the network.

References: D. Arad, A. Mueller & Y. Belinkov (2025), "SAEs are good for steering - if you select the right features"
(its transcripts); A. Turner et al. (2023), "Steering language models with activation engineering".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.random_directions import random_directions
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench
from analysis.interventions.directions import feature_direction
from analysis.interventions.interventions import steered
from analysis.interventions.transcripts import transcripts
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RANDOM, NO_PUSH = "a random direction", "no push"
HELP = {
    "prompt": "The sample that is gone on from, by its place in the store, and how it ends.",
    "push": "How far along the direction, in standard deviations of the tap along it.",
    "direction": "What it is pushed along.",
    "says": "What the network then writes or answers.",
    "changed": "Share of its tokens that are others than without a push.",
    "own log p": "Mean log-probability that the network without a push gives to it (nats a token).",
    "named": "Share of its tokens among those that the direction raises most by read-out weights; empty where unknown.",
}


@dataclass(frozen=True)
class SteeringTranscriptParams(BenchParams):
    feature: int = param(0, "Which feature or unit, by its number.", low=0, high=10_000_000)
    push: float = param(8.0, "How far, in standard deviations along it; both ways.", low=0.01, high=1000.0)
    pushes: int = param(2, "Pushes on each side, evenly up to the largest.", low=1, high=10)
    prompts: int = param(6, "Samples that are gone on from.", low=2, high=64)
    prompt_tokens: int = param(32, "Tokens of each that are given.", label="tokens given", low=1, high=4096)
    length: int = param(24, "Tokens that are written.", label="tokens written", low=1, high=512)
    outputs: int = param(20, "Outputs that the direction raises most.", low=1, high=1000)
    draws: int = param(4, "Random directions; the first is shown.", label="random directions", low=2, high=50)


def steering_transcript(
    activations, params: SteeringTranscriptParams = SteeringTranscriptParams(), rng=None, progress=no_progress
) -> Table:
    """Texts (or answers) at each push.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        The tap that is pushed; one that a feature set encoded has its features, any other its units.

    Returns
    -------
    Table
        A line for each prompt, push and direction, see `HELP`. Estimates: at the largest pushes the tokens that
        change, what they cost in own log p, and how many the direction names.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such feature; a tap that does not
        vary; fewer than two samples with as many tokens as are given.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    rows, _ = bench.rows()
    way, name = feature_direction(bench, params.feature)
    deviation = rows.std(axis=0)
    scale = float((rows @ way).std()) or float(np.sqrt((deviation**2).mean()))
    if not scale > 0:
        raise InputError(f"{bench.made.source.name} does not vary over the samples", "activations that do")
    ways = np.concatenate([way[None], random_directions(way, deviation, params.draws, rng)])
    side = np.arange(1, params.pushes + 1) / params.pushes * params.push
    alphas = np.r_[-side[::-1], 0.0, side]
    progress(0.1, "writing")
    inner = lambda f, doing="": progress(0.1 + 0.9 * f, doing)  # noqa: E731
    speaks = bench.samples.is_network and bench.samples.loaded(0).causal
    said = (_written if speaks else _answered)(bench, ways, alphas * scale, params, inner)
    progress(1.0, "done")
    columns = _columns(bench, said, ways[0], alphas, name, params)
    return Table(
        title=f"What {bench.what} says, pushed along {name}", reading=_reading(said, name, alphas, params, columns),
        caveats=(*bench.notes, *bench.made.notes, f"{said.passes:,} rows went through {bench.what}.",
                 "Texts are examples: the estimates are over all prompts and both ways."),
        estimates=_estimates(bench, said, columns, alphas), columns=columns, index="prompt", help=HELP,
    )  # fmt: skip


@dataclass(frozen=True)
class Said:
    """`tokens` (ways, pushes, prompts, length), `log_p` (ways, pushes, prompts); `prompts` in words."""

    tokens: np.ndarray
    log_p: np.ndarray
    prompts: list[str]
    passes: int

    @property
    def changed(self) -> np.ndarray:
        """(ways, pushes, prompts) share of tokens that are others than at the push in the middle."""
        still = self.tokens[:, self.tokens.shape[1] // 2][:, None]
        return (self.tokens != still).mean(axis=-1)


def _written(bench: Bench, ways, lengths, params, progress) -> Said:
    samples, loaded = bench.samples, bench.samples.loaded(0)
    found, names = [], []
    most = getattr(loaded.text_inputs, "limit", None) or params.prompt_tokens + params.length
    given = min(params.prompt_tokens, max(1, most - params.length))
    for i in range(len(samples.samples)):
        ids = np.asarray(loaded.prepare([samples.item(i)])["input_ids"])[0]
        if len(ids) >= given and len(found) < params.prompts:
            found.append(ids[:given])
            names.append(f"{samples.samples[i]}: …{_text(bench, ids[:given][-12:])}")
    if len(found) < 2:
        raise NotEnoughData(f"{len(found)} sample(s) of {given} tokens", "at least 2", "Give fewer tokens")
    pushes = (lengths[None, :, None] * ways[:, None]).reshape(-1, ways.shape[1])
    length = max(1, min(params.length, most - given))
    out = transcripts(loaded, np.array(found), bench.site, pushes, length, progress)
    shape = (len(ways), len(lengths), len(found))
    return Said(out.tokens.reshape(*shape, -1), out.log_p.reshape(shape), names, out.passes)


def _answered(bench: Bench, ways, lengths, params, progress) -> Said:
    """A token is the answer of a sample."""
    import torch

    cells = [steered(bench.site, way, length) for way in ways for length in lengths]
    tokens, logs, at = [], [], []
    for k, (batch, target) in enumerate(zip(bench.batches, bench.targets, strict=True)):
        inner = lambda f, doing="", k=k: progress((k + f) / len(bench.batches), doing)  # noqa: E731
        clean = torch.log_softmax(target.read(batch.run.logits), dim=-1)
        z = [target.read(z) for _, z in batch.run.logits_with(cells, progress=inner)]
        own = torch.cat(z).argmax(dim=-1)
        tokens.append(own.numpy())
        logs.append(clean[torch.arange(len(batch.at)), own].numpy())
        at += batch.at.tolist()
    some = np.sort(np.argsort(at, kind="stable")[: params.prompts])
    shape = (len(ways), len(lengths), -1)
    joined = [np.concatenate(v, axis=1)[:, some].reshape(shape) for v in (tokens, logs)]
    names = [str(bench.samples.samples[at[i]]) for i in some]
    return Said(joined[0][..., None], joined[1], names, bench.passes)


def _text(bench: Bench, tokens) -> str:
    """On one line."""
    decode = bench.samples.loaded(0).decode if bench.samples.is_network else None
    if decode is None or not bench.samples.loaded(0).causal:
        return " ".join(bench.samples.word(int(t)) for t in tokens)
    return "".join(decode(int(t)) for t in tokens).replace("\n", "⏎").replace("\t", "⇥")


def _raised(bench: Bench, way: np.ndarray, count: int) -> np.ndarray | None:
    """The outputs that a direction raises most by read-out weights; None where the read-out has another width."""
    if bench.parts is None or not bench.parts.read_out:
        return None
    modules = dict(bench.samples.loaded(0).module.named_modules())
    weight = modules[bench.parts.read_out].weight.detach().double().numpy()
    if weight.ndim != 2 or weight.shape[1] != len(way):
        return None
    gain = getattr(modules.get(bench.parts.norm), "weight", None)
    gain = 1.0 if gain is None or gain.shape != way.shape else gain.detach().double().numpy()
    raised = (weight - weight.mean(axis=0)) @ (gain * way)
    return np.argsort(-raised, kind="stable")[: min(count, max(1, len(raised) // 10))]


def _columns(bench: Bench, said: Said, way, alphas, name: str, params) -> dict[str, np.ndarray]:
    """Prompt by prompt: along the direction from the lowest push to the highest, then along the random one."""
    raised, lines, changed = _raised(bench, way, params.outputs), [], said.changed
    for p, prompt in enumerate(said.prompts):
        for w, named in enumerate((name, RANDOM)):
            for a, alpha in enumerate(alphas):
                if w and not alpha:
                    continue
                own = said.tokens[w, a, p]
                hit = np.nan if raised is None or w else float(np.isin(own, raised).mean())
                lines.append((prompt, float(alpha), named if alpha else NO_PUSH, _text(bench, own),
                              float(changed[w, a, p]), float(said.log_p[w, a, p]), hit))  # fmt: skip
    return {key: np.array([line[i] for line in lines]) for i, key in enumerate(HELP)}


def _estimates(bench: Bench, said: Said, columns, alphas) -> tuple[Estimate, ...]:
    ends, middle, d = [0, -1], len(alphas) // 2, bench.made.source.shape[1]
    changed = said.changed[:, ends].mean(axis=1)
    cost = (said.log_p[:, middle][:, None] - said.log_p[:, ends]).mean(axis=1)
    method, made = f"{len(changed) - 1} random directions as long", []
    for name, values, limits, unit in (
        ("tokens that change at the largest pushes", changed, (0.0, 1.0), ""),
        ("own log p lost at the largest pushes", cost, (-np.inf, np.inf), "nats a token"),
    ):
        made.append(Estimate(name, float(values[0].mean()), **mean_interval(values[0], *limits), unit=unit,
                             null=float(values[1:].mean()), null_low=float(values[1:].mean(axis=1).min()),
                             null_high=float(values[1:].mean(axis=1).max()), null_method=method, n=values.shape[1],
                             d=d, estimator="mean over prompts and both ways"))  # fmt: skip
    far = (columns["push"] == alphas[-1]) & (columns["direction"] != RANDOM)
    still = columns["direction"] == NO_PUSH
    if np.isfinite(columns["named"][far]).all():
        own, before = columns["named"][far], columns["named"][still]
        made.append(Estimate("tokens that the direction names", float(own.mean()), **mean_interval(own, 0.0, 1.0),
                             null=float(before.mean()), null_method="without a push", n=len(own), d=d,
                             estimator="share at the largest push forward, mean over prompts"))  # fmt: skip
    return tuple(made)


def _reading(said: Said, name: str, alphas, params, columns) -> str:
    changed = said.changed
    own, other = (float(changed[w][..., [0, -1], :].mean()) for w in (slice(0, 1), slice(1, None)))
    most = int(changed[0, -1].argmax())  # the prompt that changes most
    at = np.flatnonzero((columns["push"] == alphas[-1]) & (columns["direction"] == name))[most]
    still = np.flatnonzero(columns["direction"] == NO_PUSH)[most]
    what = "tokens" if said.tokens.shape[-1] > 1 else "answers"
    return (
        f"Pushed {params.push:g} standard deviations along {name}, {own:.0%} of the {what} change (random directions "
        f"{other:.0%}): “{str(columns['says'][still])[:40]}” becomes “{str(columns['says'][at])[:40]}”."
    )


def _cost(shapes, params: SteeringTranscriptParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = params.prompts * (2 * params.pushes + 1) * (1 + params.draws) * params.length
    held = 10.0 * n * k + 8.0 * k * min(k, 4096) + 2e5
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of two labels: along the unit that decides it says the other one, along zeros not."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + 0.1 * rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    asked = dict(reader=PROBE, push=30.0, pushes=1, draws=2, prompts=8)
    found, other = (steering_transcript(tap, SteeringTranscriptParams(feature=j, **asked)) for j in (0, 1))
    far = found.columns["push"] == 30
    own = (found.columns["direction"] != RANDOM) & far
    return (
        CheckLine("all say 1", 8.0, float((found.columns["says"][own] == "1").sum()), 0.0),
        CheckLine("half change, going both ways", 0.5, found.estimates[0].value, 1e-12),
        CheckLine("a unit that is always 0 changes nothing", 0.0, other.estimates[0].value, 0.0),
        CheckLine("without a push nothing changes", 0.0,
                  float(found.columns["changed"][found.columns["push"] == 0].max()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="steering_transcript", family="attribution", title="What the network says when steered", version=1,
        function=steering_transcript,
        summary="Texts (or answers) of the network, pushed along a feature or unit, beside those of random pushes.",
        params=SteeringTranscriptParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the length of the direction; a constant added to all logits",
        papers=("SAEs are good for steering \u2014 with the right features",), libraries=("torch",),
    ),
)  # fmt: skip
