"""A dialogue of flips, turn by turn: what is asked, what was guessed, what the network says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.results import Table

MOST = 60  # guesses in a link


@dataclass(frozen=True)
class Turn:
    """`said`: what is changed, in words. `choices` to guess from; `after` the answer, `probability` that of the wanted
    one then; `shown` samples that show the concept; `flipped`: whether the answer is another than before."""

    step: int
    concept: str
    change: str
    choices: tuple[str, ...]
    before: str
    after: str
    probability: float
    shown: tuple[int, ...]

    @property
    def question(self) -> str:
        also = "also " if self.step > 1 else ""
        moved = "taken out of" if self.change == "without" else "put into"
        return f"If what shows “{self.concept}” were {also}{moved} this sample, what would the network say?"


def turns(result: Table) -> list[Turn]:
    """In their order."""
    c = result.columns
    shown = [c[name] for name in c if name.startswith("shown by")]
    return [
        Turn(int(c["step"][i]), str(c["concept"][i]), str(c["change"][i]), tuple(str(c["choices"][i]).split(" | ")),
             str(c["before"][i]), str(c["after"][i]), float(c["probability after"][i]),
             tuple(dict.fromkeys(int(s[i]) for s in shown)))
        for i in range(len(c["step"]))
    ]  # fmt: skip


def read(texts: Sequence[str], asked: Sequence[Turn]) -> dict[int, str]:
    """Guess by step of "2:cat"; what no turn offers is left out, and all after a turn without a guess."""
    given = dict(text.partition(":")[::2] for text in texts[:MOST])
    found = {}
    for turn in asked:
        guess = given.get(str(turn.step))
        if guess not in turn.choices:
            break
        found[turn.step] = guess
    return found


def written(guesses: Mapping[int, str]) -> list[str]:
    """The inverse of `read`."""
    return [f"{step}:{guess}" for step, guess in guesses.items()]


def answer(turn: Turn, guess: str) -> str:
    """What the network says, beside the guess."""
    right = "as you guessed" if guess == turn.after else f"where you guessed {guess}"
    held = f"It still says {turn.after}" if turn.after == turn.before else f"It says {turn.after}"
    return f"{held}, {right}."


def tally(asked: Sequence[Turn], guesses: Mapping[int, str]) -> str:
    """How well the person knew the network."""
    right = sum(guesses[t.step] == t.after for t in asked)
    by_chance = sum(1 / len(t.choices) for t in asked)
    return (
        f"You foresaw {right} of {len(asked)} answers; guessing blindly gives {by_chance:.2g}. "
        "What you did not foresee is what you did not yet know of this network."
    )
