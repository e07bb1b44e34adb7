"""The features of a tap as files of a bundle: the list, its table, and the cards, some in each file."""

from __future__ import annotations

from dashboard.publishing import card_data, list_data, map_data, scripts, site_pages
from dashboard.publishing.plan import TapPlan


def write_tap(writer, tap: TapPlan) -> None:
    """Into the bundle of `writer` (as of `bundle`). In memory: the cards of one file."""
    cards = card_data.TapCards.of(writer.workspace, tap.reference, writer.samples, writer.asked.who)
    folder, units = f"taps/{tap.slug}", tap.units
    listed = {**list_data.listed(cards.list, cards.written, units), "lit": _lit(cards)}
    writer.data(f"{folder}/list", listed)
    writer.text(f"data/{folder}/features.csv", list_data.table(cards.list, cards.written, units))
    for k, first in enumerate(range(0, len(units), site_pages.CARDS)):
        made = []
        for unit in units[first : first + site_pages.CARDS].tolist():
            made.append(card_data.card(cards, unit))
            writer.step("cards", 1 / writer.plan.n_cards, f"{tap.reference}, {cards.list.word} {unit}")
        writer.data(f"{folder}/cards-{k}", made)
    store = tap.reference.partition(":")[0]
    writer.shown["taps"].append(
        {"reference": tap.reference, "slug": tap.slug, "store": writer.stores[store], "word": cards.list.word,
         "n": len(units), "of": tap.n_units,
         "units": units if len(units) < tap.n_units else None, "said": tap.said,
         "rows": cards.unit(int(units[0])).row_word}
    )  # fmt: skip


def _lit(cards: card_data.TapCards) -> dict | None:
    """The points of the small map on every card."""
    if cards.map is None:
        return None
    drawn = map_data.picture(cards.map, cards.workspace.activations(cards.reference).layout)
    whole = cards.workspace.cached("pca", [cards.reference])
    return {"n": drawn.n, "of_all": len(whole.rows), "positions": scripts.bytes64(drawn.positions.data)}
