"""One feature card as data: what the page of the dashboard shows, from the same functions."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import certificates as kept_certificates
from analysis.errors import LoupeError
from analysis.results import Result, Table
from analysis.workspace import Workspace
from dashboard.browse import card_charts, certificates, examples, histogram_picture, map_state, naming
from dashboard.browse.charts import Chart
from dashboard.browse.colour_sources import UNIT, Source, values_of
from dashboard.browse.feature_list import Tap
from dashboard.browse.listed_tap import listed_tap
from dashboard.browse.picture import in_steps
from dashboard.browse.unit import Unit
from dashboard.figures.colours import colouring
from dashboard.publishing import written_data
from dashboard.publishing.sample_data import Samples
from dashboard.publishing.scripts import bytes64

LIT_POINTS = 2000  # of the small map on a card


@dataclass(frozen=True)
class TapCards:
    """What all cards of a tap have in common, read once."""

    workspace: Workspace
    store: object
    reference: str
    samples: Samples
    list: Tap
    written: dict[int, dict]
    named: Table | None
    proposals: dict
    stale: str
    together: Result | None
    energy: Result | None
    map: Result | None

    @classmethod
    def of(cls, workspace: Workspace, reference: str, samples: Samples, who: bool = False) -> TapCards:
        """Read it; `who` : whether it is said who wrote a note. Raises as the functions that it calls."""
        name, _, tap = reference.partition(":")
        store, known = workspace.store(name), listed_tap(workspace, name, tap)
        feature = known.word == "feature"
        inputs = [f"{name}:{store.entry(tap)['of']}", reference] if feature else []
        return cls(
            workspace, store, reference, samples, known,
            written=written_data.of_tap(workspace, reference, who),
            named=naming.kept(workspace, reference),
            proposals=naming.proposed(workspace, reference),
            stale=kept_certificates.stale(workspace, reference, known.certificate) if known.certificate else "",
            together=workspace.cached("co_activation", [reference]) if feature else None,
            energy=workspace.cached("atom_energy", inputs) if feature else None,
            map=_map(workspace, reference),
        )  # fmt: skip

    def unit(self, number: int) -> Unit:
        return Unit(self.store, self.reference, number, self.list.unit_names)


def _map(workspace: Workspace, reference: str):
    """The map that the cards of the dashboard show, of few enough points to travel with each card."""
    found = workspace.cached("pca", [reference])
    return None if found is None else map_state.thinned(found, LIT_POINTS)


def card(tap: TapCards, number: int) -> dict:
    """Everything on the card of one feature; what could not be read says why."""
    unit, problems = tap.unit(number), []

    def part(make, otherwise=None):
        try:
            return make()
        except LoupeError as refusal:  # a store that is damaged in one place still has the rest of its card
            problems.append(str(refusal))
            return otherwise

    made = {
        "unit": number,
        "title": unit.title,
        "sentences": part(unit.sentences, []),
        "named": part(lambda: _named(tap, unit), []),
        "badge": _badge(tap, number),
        "star": number in tap.list.stars,
        "written": tap.written.get(number, written_data.NOTHING),
        "dead": unit.is_dead,
        "strongest": part(lambda: _strongest(tap, unit)),
        "weaker": part(lambda: _weaker(tap, unit), []),
        "histogram": part(lambda: _histogram(unit)),
        "charts": [chart.data() for chart in part(lambda: _charts(tap, unit), [])],
        "lit": part(lambda: _lit(tap, unit)),
    }
    return {**made, "problems": problems}


def _named(tap: TapCards, unit: Unit) -> list[str]:
    """What automatic names and those of language models say, with their scores."""
    said = [] if unit.is_dead else [naming.sentence(tap.named, unit.number)]
    if unit.number in tap.proposals and not unit.is_dead:
        said.append(naming.proposal_sentence(tap.proposals[unit.number]))
    return [text for text in said if text]


def _badge(tap: TapCards, number: int) -> dict | None:
    if tap.list.word == "unit":
        return None
    shown = certificates.badge(tap.list.certificate, number, tap.stale)
    return {"word": shown.word, "hover": shown.hover}


def _strongest(tap: TapCards, unit: Unit) -> dict | None:
    if unit.is_dead:
        return None
    found = unit.tiles(examples.FIRST)
    return {"how": examples.how_to_read(found), "tiles": tap.samples.told(tap.store, found, unit)}


def _weaker(tap: TapCards, unit: Unit) -> list[dict]:
    bands = []
    for band in unit.index.bands(unit.number):
        found = unit.tiles_of(band.rows, band.values, examples.OF_A_BAND) if len(band.rows) else []
        bands.append({"said": unit.band_words(band), "tiles": tap.samples.told(tap.store, found)})
    return bands


def _histogram(unit: Unit) -> dict | None:
    """Without colours: the page knows the theme."""
    if unit.is_dead:
        return None
    about = f" ({unit.rows_shown})"
    drawn = histogram_picture.picture(
        unit.histogram(), categories=("",), accent="", row_name=unit.row_word, about=about
    )
    for group in drawn["groups"]:
        del group["colour"], group["hatched"]
    return drawn


def _charts(tap: TapCards, unit: Unit) -> list[Chart]:
    """In the order of the page; what costs a computation of its own is there where it was made before."""
    drawn = [*card_charts.prototype(unit), card_charts.density(unit), card_charts.classes(unit),
             card_charts.nearest(tap.workspace, unit), card_charts.outputs(unit),
             card_charts.correlated(unit)]  # fmt: skip
    if card_charts.asks_together(unit):
        if unit.is_always_on:
            drawn.append(card_charts.everywhere(card_charts.TOGETHER))
        elif tap.together is not None:
            drawn.append(card_charts.together(unit, tap.together, card_charts.TOGETHER))
    if unit.word != "unit" and tap.energy is not None:
        drawn.append(card_charts.energy(unit, tap.energy, card_charts.ENERGY))
    return [chart for chart in drawn if chart is not None]


def _lit(tap: TapCards, unit: Unit) -> dict | None:
    """How strong it is at each point of the small map, in 255 steps; the points themselves are in the tap's list."""
    if tap.map is None:
        return None
    values, name, categorical = values_of(
        Source(UNIT, "", "unit"), tap.store, tap.map, unit.activations, unit.number
    )
    found = colouring(values, name, categorical=categorical, n=len(tap.map.rows))
    if found.kind != "value":
        return None
    ends = {"low": float(found.low), "high": float(found.high), "diverging": bool(found.diverging)}
    steps = in_steps(found.values, found.low, found.high)
    return {**ends, "label": found.name, "note": found.note, "steps": bytes64(steps.tobytes())}
