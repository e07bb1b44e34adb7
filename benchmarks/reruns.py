"""Server time of a widget's rerun on every page of the sample workspace. Limit: p95 of 60 ms.

    python benchmarks/reruns.py [--clicks 40] [--only map pair]

A real server and a real browser; the time is taken inside the server, around the run of the script and whatever
Streamlit does after it (garbage collection included), so the network and the browser do not count. The first click on
each thing may have to compute what later ones find ready; it stands in a column of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loopback import CHROMIUM, FLAGS, free_port, stop, wait_for

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_data" / "workspace"
LIMIT_MS = 60.0
QUIET = 0.6  # seconds: by then the browser, which shares the processor here, has drawn the last answer

ENCODED = "python-gpt-code:transformer.h.2@gpt-topk-s0"

SLIDER = "[data-testid=stSlider] input[type=range]"  # moved by a key, which is its click

# page, what to click in turn (button texts or roles)
OPENS = {"map": "button:has-text('Layers')"}  # the box that holds what is clicked
CLICKS = {
    "map": ("", ["label:has-text('Spanning tree')", "label:has-text('Distortion ellipses')"]),
    "features": ("features", ["button:has-text('Alive')", "button:has-text('All (')"]),
    "feature card": ("features?unit=3", ["button:has-text('Next')"]),
    "workspace": ("workspace", ["button:has-text('Jobs')", "button:has-text('Stores')"]),
    "analyses": ("analyses", None),  # the "r" key: the whole page again
    "similarity": ("compare", ["button:has-text('Excess over the null')", "button:has-text('Value')"]),
    "pair": ("compare?view=pair", None),
    "units": ("compare?view=units", ["button:has-text('matched (')", "button:has-text('all (')"]),
    "correlations": ("compare?view=correlations", None),
    "subspaces": ("subspaces", None),
    "film": ("subspaces?view=movement&ask=subspace_film&tap=digits-vit:vit.layers.2", [SLIDER]),
    "feature of a set": (f"features?tap={ENCODED}&unit=3", ["button:has-text('Next')"]),
    "set's features": (f"features?tap={ENCODED}", ["button:has-text('Alive')", "button:has-text('All (')"]),
    "trial of a set": (
        f"dictionaries?view=report&tap={ENCODED}",
        ["button:has-text('Excess over the null')", "button:has-text('Value')"],
    ),
    "certify": (f"dictionaries?view=certify&tap={ENCODED}", None),
    "train": ("dictionaries?view=train&tap=python-gpt-code:transformer.h.2", None),
}


def main() -> None:
    """Click on each page and print the server times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=CLICKS, default=list(CLICKS), metavar="PAGE")
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "LOG"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(int(given.serve[0]), given.serve[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        log, port = Path(folder) / "seconds.txt", free_port()
        log.touch()
        command = [sys.executable, __file__, "--serve", str(port), str(log)]
        environment = {**os.environ, "LOUPE_WORKSPACE": str(SAMPLE), "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(
            command, env=environment, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            wait_for(port, server)
            report(drive(port, log, given.clicks, given.only))
        finally:
            stop(server)


def serve(port: int, log: str) -> None:
    """The dashboard's server with a clock around each run of the script."""
    from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
    from streamlit.web import cli

    from dashboard.server import command

    plain = ScriptRunner._run_script

    def timed(self, *arguments, **named):
        started = time.perf_counter()
        try:
            return plain(self, *arguments, **named)
        finally:
            with open(log, "a") as f:
                f.write(f"{time.perf_counter() - started}\n")

    ScriptRunner._run_script = timed
    sys.argv = ["streamlit", *command(port)[3:]]
    cli.main()


def drive(port: int, log: Path, clicks: int, only: list[str]) -> dict[str, tuple[list[float], list[float]]]:
    """By page, the seconds of the first click on each thing and of all later ones."""
    from playwright.sync_api import sync_playwright

    seconds = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in only:
            path, targets = CLICKS[name]
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            opened = len(lines(log))
            page.goto(f"http://127.0.0.1:{port}/{path}")
            page.wait_for_selector("[data-testid=stSidebar]", timeout=60000)
            settle(log, opened)
            if name in OPENS:
                page.locator(OPENS[name]).first.click(timeout=10000)
                settle(log)
            before = len(lines(log))
            firsts = len(targets or "r")
            for k in range(firsts + clicks):
                target = None if targets is None else targets[k % len(targets)]
                if target is None:
                    page.keyboard.press("r")
                elif target == SLIDER:
                    page.locator(SLIDER).first.focus()
                    page.keyboard.press("ArrowRight" if k % 2 == 0 else "ArrowLeft")
                else:
                    page.locator(target).first.click(timeout=10000)
                settle(log, before + k)
            taken = lines(log)[before:]
            seconds[name] = taken[:firsts], taken[firsts:]
            page.close()
        browser.close()
    return seconds


def settle(log: Path, more_than: int = -1) -> None:
    """Until the server has been quiet for a while (and has run since)."""
    until, seen, quiet_since = time.monotonic() + 20, -1, time.monotonic()
    while time.monotonic() < until:
        now = len(lines(log))
        if now != seen:
            seen, quiet_since = now, time.monotonic()
        elif now > more_than and time.monotonic() - quiet_since > QUIET:
            return
        time.sleep(0.02)


def lines(log: Path) -> list[float]:
    return [float(text) for text in log.read_text().split()]


def report(seconds: dict[str, tuple[list[float], list[float]]]) -> None:
    print(
        f"{'page':<18}{'reruns':>8}{'median ms':>11}{'p95 ms':>9}{'max ms':>9}{'first ms':>10}   "
        f"limit {LIMIT_MS:.0f} ms (p95)"
    )
    for name, (firsts, values) in seconds.items():
        ordered = sorted(1000 * v for v in values)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        print(
            f"{name:<18}{len(ordered):>8}{statistics.median(ordered):>11.1f}{p95:>9.1f}{ordered[-1]:>9.1f}"
            f"{1000 * max(firsts):>10.1f}"
        )


if __name__ == "__main__":
    main()
