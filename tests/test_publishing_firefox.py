"""A bundle in Firefox: by a double click, where a browser loads no module and lets scripts read no file, and from a
server."""

from __future__ import annotations

import publishing_subjects as subjects
import pytest
from firefox_bidi import FIREFOX, Firefox
from test_publishing_browser import MAP, WAITS, folder, server  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not FIREFOX, reason="needs Debian's firefox-esr")]


@pytest.fixture(scope="module")
def firefox():
    with Firefox() as made:
        made.size(1440, 900)
        yield made


@pytest.fixture(params=["file", "http"])
def base(request, folder, server):  # noqa: F811
    return folder.as_uri() + "/" if request.param == "file" else server


def opened(firefox, url: str, wait: str) -> None:
    firefox.faults.clear()
    firefox.open(url)
    firefox.until(f"Boolean(document.querySelector({wait!r}))")


def test_every_page_opens_without_a_fault_and_nothing_executes(firefox, base):
    for path, wait in WAITS.items():
        opened(firefox, base + path, wait)
        assert firefox.faults == [], path
        assert firefox.value("window.pwned ?? null") is None
        assert firefox.value("document.querySelectorAll('main script, main img[onerror]').length") == 0
    opened(firefox, base + "notes.html", ".note")
    said = firefox.value("document.querySelector('main').innerText")
    assert all(text in said for text in subjects.ATTACKS[:4])


def test_what_a_double_click_refuses_is_never_used(firefox, server):  # noqa: F811
    """Neither modules nor requests of scripts: browsers allow both to web servers only."""
    for path, wait in WAITS.items():
        opened(firefox, server + path, wait)
        assert firefox.value("document.querySelectorAll('script[type=module]').length") == 0
        kinds = set(firefox.value("performance.getEntriesByType('resource').map((e) => e.initiatorType)"))
        assert "script" in kinds
        assert kinds <= {"script", "link", "img", "css", "other"}, path


def test_a_reader_uses_map_search_cards_and_links(firefox, base):
    opened(firefox, base + "map.html#/images:pooled/pca?colour=predicted&sample=7", ".panel img")
    firefox.until(f"{MAP}.querySelector('.map').dataset.drawn === '240'")
    assert firefox.until("document.querySelector('.panel img').naturalWidth") == 8
    opened(firefox, base + "features.html#/list", ".list .row a")
    firefox.value("document.querySelector('[type=search]').focus()")
    firefox.keys("sees class c")
    firefox.until("document.querySelector('[role=status]').textContent.startsWith('1 feature')")
    firefox.value("document.querySelector('.list .row a').click()")
    firefox.until("document.querySelectorAll('.sides section').length > 2")
    assert firefox.value("location.hash").startswith("#/feature/images:pooled/5")
    at = firefox.value("""(() => {
        const tile = (n) => n.shadowRoot?.querySelector('button.tile');
        const box = tile([...document.querySelectorAll('.sides div')].find(tile)).getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    })()""")
    firefox.click(*at)
    firefox.until("Boolean(document.querySelector('dialog img'))")
    assert firefox.faults == []


def test_a_heat_map_and_the_figures_are_drawn(firefox, base):
    opened(firefox, base + "heatmaps.html", "#heat-page label")
    hosts = "[...document.querySelectorAll('#heat-page > div')]"
    firefox.until(f"{hosts}.some((n) => n.shadowRoot?.querySelector('canvas'))")
    opened(firefox, base + "figures.html", "figure img")
    firefox.value(
        "document.querySelectorAll('figure img').forEach((n) => n.setAttribute('loading', 'eager'))"
    )
    firefox.until(
        "[...document.querySelectorAll('figure img')].every((n) => n.complete && n.naturalWidth > 50)"
    )
    assert firefox.faults == []
