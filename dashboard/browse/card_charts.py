"""The charts on the card of a unit: its classes, its kin, its direction. Each is None where it does not apply.

What an `id` of a line opens: `unit_id` of another unit's card.
"""

from __future__ import annotations

import math

from analysis.errors import InputError, NotFound
from analysis.results import Scatter, Table
from analysis.workspace import Workspace
from dashboard.browse import feature_facts, feature_sets
from dashboard.browse.charts import Chart, Line
from dashboard.browse.unit import Unit
from dashboard.browse.unit_words import word_of
from dashboard.words import count

MOST_CLASSES = 20
MANY = 6  # outputs up, and down
NEAREST = {"heading": "Nearest directions", "about": " in its dictionary, by cosine"}
TOGETHER = {
    "label": "Features that fire together",
    "heading": "Fires together with",
    "about": ", PMI (log of common rows over expected ones), 95 % interval",
}
ENERGY = {"label": "Energy in the active subspace", "heading": "Energy in the active subspace"}


def unit_id(number: int, tap: str) -> str:
    """What a line with another unit opens."""
    return f"{number}:{tap}"


def classes(unit: Unit) -> Chart | None:
    """Mean per class, with the mean of as many rows drawn without looking at labels."""
    found = [] if unit.is_dead else sorted(unit.class_means(), key=lambda c: -c[2])
    if not found:
        return None
    lines = [
        Line(name, mean, *(v if math.isfinite(v) else None for v in (low, high)),
             null=chance, text=f"{mean:.3g}", title=f"{n:,} {unit.row_word}")
        for name, n, mean, low, high, chance in found[:MOST_CLASSES]
    ]  # fmt: skip
    said = []
    if len(found) > MOST_CLASSES:
        said.append(f"And {count(len(found) - MOST_CLASSES, 'class', 'classes')} with lower means.")
    if not unit.activations.layout.is_pooled:
        said.append(
            "Tokens of one sample are counted as independent: intervals and grey bands are too narrow."
        )
    head = {"heading": "Mean per class", "about": ", 95 % interval", "note": " ".join(said)}
    return Chart("Mean activation per class", lines, "shuffled labels (95 %)", **head)


def correlated(unit: Unit) -> Chart | None:
    """The most correlated units of all taps of the store."""
    found, chance = unit.correlated()
    if not found:
        return None
    head = {"heading": f"Most correlated {unit.word}s", "about": ", here and in other taps"}
    lines = [
        Line(_unit_word(unit, tap, number), r, low, high, (-chance, chance), f"{r:+.2f}",
             f"{tap}, {word_of(unit.store, tap)} {number}: Pearson's r over {n:,} samples; open its card",
             unit_id(number, tap))
        for tap, number, r, low, high, n in found
    ]  # fmt: skip
    return Chart("Most correlated units", lines, "best of as many independent units", **head)


def _unit_word(unit: Unit, tap: str, number: int) -> str:
    """Short enough for a line: the last two parts of another tap's name; of an encoded one its set, the number
    first."""
    if tap == unit.tap:
        return unit.titled(number)
    if tap in unit.store.recorded:
        return f"{'.'.join(tap.split('.')[-2:])} · {number}"
    return f"{number} · {tap.rpartition('@')[2]}"


# ---------------------------------------------------------------------------- of features of a set only
def prototype(unit: Unit) -> list[Chart]:
    """Of a prototype: its class, its nearest patch, and what it adds to each class; nothing for any other feature."""
    if unit.word == "unit" or not feature_facts.is_prototype(unit):
        return []
    said, connections = feature_facts.prototype(unit)
    drawn = [Chart("Prototype", heading="Prototype", note=said)]
    if connections:
        shown = connections if len(connections) <= 2 * MANY else connections[:MANY] + connections[-MANY:]
        lines = [Line(name, w, text=f"{w:+.2f}") for name, w in shown]
        about = ": what a similarity of 1 adds to the logit"
        drawn.append(Chart("Class connections", lines, heading="Class connections", about=about))
    return drawn


def density(unit: Unit) -> Chart | None:
    """A sentence; None for a unit, and for a prototype, which is similar to every patch somewhat."""
    if unit.word == "unit" or feature_facts.is_prototype(unit) or unit.is_dead:
        return None
    return Chart("Density", heading="Density", note=feature_facts.density(unit))


def nearest(workspace: Workspace, unit: Unit) -> Chart | None:
    """The largest cosines of its direction with those of the others; None for a unit."""
    if unit.word == "unit":
        return None
    try:
        found, chance = feature_sets.neighbours(workspace, unit.store, unit.tap, unit.number)
    except NotFound as refusal:
        return Chart("Nearest directions", note=f"Not known: {refusal}", **NEAREST)
    lines = [
        Line(unit.titled(other), cosine, null=(-chance, chance), text=f"{cosine:+.2f}",
             title=f"{unit.titled(other)}: cosine of the two directions; open its card",
             id=unit_id(other, unit.tap))
        for other, cosine in found
    ]  # fmt: skip
    note, points = _suspects(unit, found, chance) if found else ("Its direction has length 0.", ())
    null_word = "nearest of as many random directions (95 %)"
    return Chart("Nearest directions", lines, null_word, note=note, points=points, **NEAREST)


def _suspects(unit: Unit, near: list[tuple[int, float]], chance: float) -> tuple[str, tuple[str, ...]]:
    """Near features whose rows make them suspects of being the same, split, or absorbed."""
    if unit.is_dead:
        return "", ()
    if unit.is_always_on:
        return "It is active everywhere: its rows cannot tell a double, a split or absorption.", ()
    found = feature_facts.suspects(unit, near, chance)
    if not found:
        return (
            "By the rows it is active in, none of these is a suspect of a double, a split or absorption.",
            (),
        )
    return "Suspects, to be looked at:", tuple(
        f"Feature {unit.titled(s.feature).removeprefix('feature ')} {feature_facts.WORDS[s.verdict]} "
        f"({s.together:,} common {unit.row_word}, {s.expected:,.0f} expected)."
        for s in found
    )


def outputs(unit: Unit) -> Chart | None:
    """Outputs that its direction raises and lowers on the straight way."""
    if unit.word == "unit" or feature_facts.is_prototype(unit):
        return None
    chart = {"label": "Logit weights", "heading": "Logit weights"}
    chart["about"] = ": outputs that its direction raises, and lowers"
    try:
        up, down, chance, said = feature_facts.logit_weights(unit, MANY)
    except (InputError, NotFound) as refusal:
        return Chart(note=f"Not known here: {refusal}", **chart)
    lines = [
        Line(name or "(empty)", w, null=(-chance, chance), text=f"{w:+.2f}") for name, w in (*up, *down[::-1])
    ]
    note = (
        f"By {said}, on the straight way: what later layers make of it is left out, and so is the size that the last "
        "normalisation divides by."
    )
    return Chart(lines=lines, null_word="largest of a random direction (95 %)", note=note, **chart)


def asks_together(unit: Unit) -> bool:
    """Whether it can be asked what this fires together with."""
    return unit.word != "unit" and not unit.is_dead and not feature_facts.is_prototype(unit)


def everywhere(head: dict) -> Chart:
    """Instead of partners, for a feature that is active on nearly all rows."""
    return Chart(**head, note="It is active everywhere: what fires with it is whatever fires.")


def together(unit: Unit, found: Table, head: dict) -> Chart:
    """Features that are active in the same rows, beside what their rates give. `found` as of `co_activation`."""
    names = {name: i for i, name in enumerate(unit.activations.unit_names)}

    def titled(partner: str) -> str:
        return unit.titled(names[partner]) if partner in names else f"feature {partner}"

    lines = [
        Line(titled(p["partner"]), float(p["PMI"]), float(p["low"]), float(p["high"]), null=(0.0, 0.0),
             text=f"{p['PMI']:+.1f}",
             title=f"{titled(p['partner'])}: {p['together']:,} common rows, {p['expected']:.1f} expected"
             f"; {100 * p['share']:.0f} % of its rows, {100 * p['share of partner']:.0f} % of the partner's; open its "
             "card",
             id=unit_id(names[p["partner"]], unit.tap) if p["partner"] in names else None)
        for p in feature_facts.partners(found, unit.name)
    ]  # fmt: skip
    note = (
        "Active in the same rows, whatever their directions: kin by what they say together, not by likeness."
    )
    if not lines:
        note = "No other feature is active in five or more of the same rows."
    return Chart(lines=lines, null_word="independent features", note=note, **head)


def energy_inputs(unit: Unit) -> list[str]:
    """The taps that `atom_energy` is asked about."""
    store = unit.reference.partition(":")[0]
    return [f"{store}:{unit.store.entry(unit.tap)['of']}", unit.reference]


def energy(unit: Unit, found: Scatter, head: dict) -> Chart | None:
    """Share of its direction's length inside the space where the activations vary. `found` as of `atom_energy`."""
    own = feature_facts.energy(found, unit.number)
    if own is None:
        return None
    value, error, chance, of = own
    half = 1.96 * error
    line = Line(
        "energy", value, max(value - half, 0.0), min(value + half, 1.0), null=chance, text=f"{value:.2f}"
    )
    note = f"{of} directions hold 99 % of the activations' variance. Features that never fire tend to lie outside."
    return Chart(lines=[line], null_word="random directions (95 %)", reach=1.0, note=note, **head)
