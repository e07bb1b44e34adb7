"""A notebook and a browser at once: a real kernel, the page in its frame, and a selection that goes both ways."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import page_stores
import pytest
from test_publishing_browser import ARGS, CHROMIUM, SLOW

ROOT = Path(__file__).parents[1]
TAP = "images:pooled"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


class Kernel:
    """A Jupyter kernel of its own; `run` gives the outputs of one cell."""

    def __init__(self) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))

    def run(self, code: str) -> list[dict]:
        """Contents of what the cell puts out. Fails with the cell's own traceback."""
        found = []

        def hear(message):
            kind, content = message["msg_type"], message["content"]
            assert kind != "error", "\n".join(content.get("traceback", ()))
            found.append(content)

        self.client.execute_interactive(code, output_hook=hear, timeout=300, allow_stdin=False)
        return [content for content in found if "data" in content or "text" in content]

    def text(self, code: str) -> str:
        """What the cell prints or shows as text."""
        said = [c.get("text") or c["data"].get("text/plain", "") for c in self.run(code)]
        return "".join(said).strip()

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    made = Kernel()
    yield made
    made.stop()


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        made = browser.new_page(viewport={"width": 1440, "height": 900})
        made.set_default_timeout(SLOW)
        yield made
        browser.close()


def test_a_selection_goes_from_the_browser_to_python_and_back(kernel, page, tmp_path):
    workspace = page_stores.make_workspace(tmp_path / "workspace")
    kernel.run(f"from dashboard import notebook as loupe\nview = loupe.open({str(workspace.path)!r})")
    (shown,) = kernel.run(f"view.show('map', tap={TAP!r}, height=880)")
    html = shown["data"]["text/html"]
    page.set_content(f"<h1>A notebook</h1>{html}")  # as Jupyter does: a frame of another origin
    frame = page.frame_locator("iframe")
    map_ = frame.locator(".map[data-drawn='240'], .map").first
    map_.wait_for()
    frame.get_by_role("button", name="Save").count()
    box = frame.locator(".map canvas").first.bounding_box()
    page.wait_for_timeout(1500)
    page.keyboard.down("Shift")
    for k, (x, y) in enumerate(((0.15, 0.2), (0.75, 0.2), (0.75, 0.8), (0.15, 0.8), (0.15, 0.2))):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        if k == 0:
            page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    frame.get_by_text("Classes, as a share of the selected samples").wait_for()
    frame.get_by_role("button", name="Save").first.click()
    frame.get_by_label("Name").fill("from the browser")
    frame.get_by_test_id("stFormSubmitButton").get_by_role("button", name="Save").click()
    frame.get_by_text("from the browser").first.wait_for()
    n = int(kernel.text("print(len(view.selection('from the browser')))"))
    assert 0 < n < 240
    assert n == len(workspace.selection("from the browser"))

    # back: fewer of them, by one line of Python, in the same frame
    kernel.run(
        "half = view.selection('from the browser').ids[::2]\nview.select('from Python', half, at='images')"
    )
    url = unescape(re.search(r'src="([^"]+)"', html)[1])
    page.evaluate("to => { document.querySelector('iframe').src = to; }", f"{url}&sel=from+Python")
    frame.get_by_text("Classes, as a share of the selected samples").wait_for()
    frame.get_by_text("from Python").first.wait_for()
    frame.get_by_text(re.compile(rf"\b{-(-n // 2)} (of 240 )?samples")).first.wait_for()
    kernel.run("view.stop()")


def test_every_kind_of_result_is_a_plotly_figure_in_a_cell(kernel, tmp_path):
    """Each is what a notebook of today shows: a Plotly bundle, with the numbers beside it as a table."""
    workspace = page_stores.make_workspace(tmp_path / "workspace")
    said = kernel.text(
        "from dashboard import notebook as loupe\n"
        f"view = loupe.open({str(workspace.path)!r})\n"
        "from test_figures_planted import ordinary\n"
        "from analysis.results import KINDS\n"
        "seen = set()\n"
        "for name, result in ordinary().items():\n"
        "    bundle = view.figure(result)._repr_mimebundle_()\n"
        "    drawn = bundle['application/vnd.plotly.v1+json']\n"
        "    assert drawn['data'] or drawn['layout'].get('annotations'), name\n"
        "    seen.add(result.kind)\n"
        "print(sorted(set(KINDS) - seen))"
    )
    assert said == "[]"
